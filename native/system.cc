#include <sys/statvfs.h>
#include <time.h>

#include <cerrno>

#include "args.h"
#include "modules.h"

namespace karst {
namespace {

/** bootTimeMs(): milliseconds with fraction since boot, suspended time included (CLOCK_BOOTTIME). */
napi_value BootTimeMs(napi_env env, napi_callback_info) {
  timespec now{};
#ifdef CLOCK_BOOTTIME
  clock_gettime(CLOCK_BOOTTIME, &now);
#else
  clock_gettime(CLOCK_MONOTONIC, &now);
#endif
  return Number(env, static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6);
}

/** diskFreeBytes(path): bytes that an ordinary user may still write on the path's file system. May touch disk. */
napi_value DiskFreeBytes(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  const std::string path = args.Text(0);
  struct statvfs stats {};
  if (statvfs(path.c_str(), &stats) != 0) return Throw(env, Failure::OfErrno(errno, "statvfs " + path));
  return Number(env, static_cast<double>(stats.f_bavail) * static_cast<double>(stats.f_frsize));
}

}  // namespace

void InitSystem(napi_env env, napi_value exports) {
  Export<BootTimeMs>(env, exports, "bootTimeMs");
  Export<DiskFreeBytes>(env, exports, "diskFreeBytes");
}

}  // namespace karst
