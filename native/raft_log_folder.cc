// The log's folder: one opener at a time, and only files that are the log's own. Other names are left alone.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "raft_log.h"

namespace karst {
namespace {

constexpr size_t kSparesMax = 2;

/** The number in `name` between `prefix` and `suffix`, of at most 18 digits; 0 when it is no such name. */
uint64_t NumberIn(const std::string& name, const std::string& prefix, const std::string& suffix) {
  if (name.size() <= prefix.size() + suffix.size() || name.size() > prefix.size() + suffix.size() + 18) return 0;
  if (name.compare(0, prefix.size(), prefix) != 0) return 0;
  const size_t end = name.size() - suffix.size();
  if (name.compare(end, suffix.size(), suffix) != 0) return 0;
  uint64_t number = 0;
  for (size_t at = prefix.size(); at < end; at++) {
    if (name[at] < '0' || name[at] > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(name[at] - '0');
  }
  return number;
}

uint32_t SegmentOf(const std::string& name) {
  const uint64_t number = NumberIn(name, "", ".seg");
  const auto segment = static_cast<uint32_t>(number);
  return number <= UINT32_MAX && name == SegmentName(segment) ? segment : 0;
}

}  // namespace

Failure RaftLog::LockFolder() {
  for (size_t at = 1; at <= options_.dir.size(); at++) {
    if (at != options_.dir.size() && options_.dir[at] != '/') continue;
    const std::string part = options_.dir.substr(0, at);
    if (mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return Failure::OfErrno(errno, "mkdir " + part);
  }
  const std::string path = options_.dir + "/LOCK";
  lockFd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lockFd_ < 0) return Failure::OfErrno(errno, "open " + path);
  if (flock(lockFd_, LOCK_EX | LOCK_NB) != 0) return Failure::Of(Code::io, "raft log is in use by another opener: " + options_.dir);
  return {};
}

Failure RaftLog::ListFolder(std::vector<uint32_t>* segments) {
  // A segment that was renamed to its name by a life that ended before it could sync the folder.
  if (Failure failure = SyncFolder(options_.dir); !failure.ok()) return failure;
  DIR* folder = opendir(options_.dir.c_str());
  if (folder == nullptr) return Failure::OfErrno(errno, "opendir " + options_.dir);
  std::vector<uint64_t> spares;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (const uint32_t segment = SegmentOf(name); segment != 0) segments->push_back(segment);
    const uint64_t spare = NumberIn(name, "spare-", ".tmp");
    if (spare != 0 && name == SpareName(spare)) spares.push_back(spare);
  }
  closedir(folder);
  std::sort(segments->begin(), segments->end());
  std::sort(spares.begin(), spares.end());
  size_t kept = 0;
  for (const uint64_t spare : spares) {
    const std::string path = options_.dir + "/" + SpareName(spare);
    struct stat info {};
    const bool isWhole = lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
                         static_cast<uint64_t>(info.st_size) == options_.segmentBytes;
    if (isWhole && kept < kSparesMax) {
      writer_.AdoptSpare(spare, options_.segmentBytes);
      kept++;
    } else if (!S_ISDIR(info.st_mode)) {
      unlink(path.c_str());
    }
  }
  return {};
}

/** Of a segment that is opened to be read: a file of a size that a segment can have. */
Failure RaftLog::CheckSegmentFile(int fd, const std::string& path, uint64_t* bytes) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return Failure::OfErrno(errno, "fstat " + path);
  if (!S_ISREG(info.st_mode)) return Failure::Of(Code::io, path + " is no file");
  *bytes = static_cast<uint64_t>(info.st_size);
  if (*bytes <= kSegmentBytesMax) return {};
  Failure failure = Failure::Of(Code::corruption, path + " is larger than any segment of a raft log");
  failure.everyRegion = true;
  return failure;
}

}  // namespace karst
