#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "engine.h"

namespace karst {
namespace {

Failure MakeFolders(const std::string& path) {
  for (size_t at = 1; at <= path.size(); at++) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return Failure::OfErrno(errno, "mkdir " + part);
  }
  return {};
}

}  // namespace

EngineRegistry& EngineRegistry::Get() {
  // Never destroyed: static destructors must not close a DB that a thread still uses; environments detach.
  static auto* registry = new EngineRegistry();
  return *registry;
}

Failure EngineRegistry::Attach(const EngineOptions& options, Engine** engine, std::string* path) {
  if (Failure failure = MakeFolders(options.path); !failure.ok()) return failure;
  char real[PATH_MAX];
  if (realpath(options.path.c_str(), real) == nullptr) return Failure::OfErrno(errno, "realpath " + options.path);
  *path = real;
  const std::lock_guard<std::mutex> lock(mutex_);
  Slot& slot = slots_[*path];
  if (slot.engine == nullptr) {
    EngineOptions exact = options;
    exact.path = *path;
    if (Failure failure = Engine::Open(exact, &slot.engine); !failure.ok()) {
      slots_.erase(*path);
      return failure;
    }
  }
  slot.references++;
  *engine = slot.engine.get();
  return {};
}

void EngineRegistry::Detach(const std::string& path) {
  // The DB closes under the lock, so that a concurrent open of the same path waits instead of meeting its LOCK file.
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = slots_.find(path);
  if (found != slots_.end() && --found->second.references == 0) slots_.erase(found);
}

size_t EngineRegistry::References(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = slots_.find(path);
  return found == slots_.end() ? 0 : found->second.references;
}

}  // namespace karst
