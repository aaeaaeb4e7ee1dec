#include "raft_log_secret.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "raft_log_writer.h"

namespace karst {
namespace {

/**
 * The name ends like a segment's, on purpose: a karst that knows only format 1 would take a keyed log for an empty one.
 * This name it cannot read, and refuses the folder.
 */
constexpr const char* kName = "SECRET-KEY.seg";
constexpr uint64_t kFileMagic = 0x474f4c545352414b;  // "KARSTLOG"
constexpr uint32_t kVersion = 2;
constexpr size_t kFileBytes = 40;

Failure Unusable(const std::string& path, const std::string& what) {
  Failure failure = Failure::Of(Code::corruption, path + " " + what);
  failure.everyRegion = true;
  return failure;
}

/** On disk when it returns, data and name. */
Failure WriteDurably(const std::string& dir, const uint8_t* bytes, size_t size) {
  const std::string path = dir + "/" + kName;
  const std::string temporary = dir + "/SECRET-KEY.tmp";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Failure::OfErrno(errno, "open " + temporary);
  const bool whole = WriteFully(fd, bytes, size, 0) && fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!whole) return Failure::OfErrno(error, "write " + temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) return Failure::OfErrno(errno, "rename to " + path);
  return SyncFolder(dir);
}

}  // namespace

Failure LogSecret::Load(const std::string& dir, bool* found) {
  const std::string path = dir + "/" + kName;
  *found = false;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? Failure{} : Failure::OfErrno(errno, "open " + path);
  uint8_t bytes[kFileBytes];
  Failure failure = ReadFully(fd, bytes, sizeof bytes, 0);
  close(fd);
  if (failure.code == Code::io) return failure;
  const bool isOurs = failure.ok() && karst::Load<uint64_t>(bytes) == kFileMagic;
  if (isOurs && karst::Load<uint32_t>(bytes + 8) > kVersion) {
    return Unusable(path, "is of a newer karst: the raft log is in format " + std::to_string(karst::Load<uint32_t>(bytes + 8)) +
                              ", this one reads up to " + std::to_string(kVersion));
  }
  if (!isOurs || karst::Load<uint32_t>(bytes + 32) != Crc32c(bytes, 32)) {
    return Unusable(path, "is damaged: without the log's secret nothing in the raft log can be believed");
  }
  firstKeyed_ = karst::Load<uint32_t>(bytes + 12);
  key_ = {karst::Load<uint64_t>(bytes + 16), karst::Load<uint64_t>(bytes + 24)};
  *found = true;
  return {};
}

Failure LogSecret::Create(const std::string& dir, uint32_t firstKeyed) {
  uint8_t bytes[kFileBytes] = {};
  Store<uint64_t>(bytes, kFileMagic);
  Store<uint32_t>(bytes + 8, kVersion);
  Store<uint32_t>(bytes + 12, firstKeyed);
  if (getentropy(bytes + 16, 16) != 0) return Failure::OfErrno(errno, "getentropy");
  Store<uint32_t>(bytes + 32, Crc32c(bytes, 32));
  if (Failure failure = WriteDurably(dir, bytes, sizeof bytes); !failure.ok()) return failure;
  firstKeyed_ = firstKeyed;
  key_ = {karst::Load<uint64_t>(bytes + 16), karst::Load<uint64_t>(bytes + 24)};
  return {};
}

}  // namespace karst
