// Reading the log at start. The one hard question is what an unreadable place means: a tail that was never synced is
// cut off; a hole before something that was synced is damage, and is reported instead of being papered over.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "raft_log.h"

namespace karst {

/** What has been read so far. */
struct RaftLog::Scan {
  uint64_t sequence = 0;  // of the last intact group; 0 = none yet
  uint32_t incarnation = 0;
  /** Also of groups that do not count: a new life must be younger than all that might still lie about. */
  uint32_t incarnationMax = 0;
  Position end;
  std::set<uint64_t> seen;  // regions named anywhere, for a hole that nobody can read
};

Failure RaftLog::ListFolder(std::vector<uint32_t>* segments) {
  DIR* folder = opendir(options_.dir.c_str());
  if (folder == nullptr) return Failure::OfErrno(errno, "opendir " + options_.dir);
  std::vector<std::string> spares;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    if (name.size() == 14 && name.substr(10) == ".seg") segments->push_back(static_cast<uint32_t>(std::stoul(name)));
    else if (name.rfind("spare-", 0) == 0) spares.push_back(name);
  }
  closedir(folder);
  std::sort(segments->begin(), segments->end());
  for (const std::string& name : spares) {
    const std::string path = options_.dir + "/" + name;
    struct stat info {};
    if (stat(path.c_str(), &info) == 0 && static_cast<uint64_t>(info.st_size) == options_.segmentBytes) {
      writer_.AdoptSpare(name, options_.segmentBytes);
    } else {
      unlink(path.c_str());
    }
  }
  return {};
}

Failure RaftLog::Recover(const std::vector<uint32_t>& segments) {
  Scan scan;
  scan.end = {segments.empty() ? 1 : segments.front(), 0};
  for (size_t i = 0; i < segments.size(); i++) {
    if (i > 0 && segments[i] != segments[i - 1] + 1) {
      Failure failure = Failure::Of(Code::corruption, "raft log segment is missing: " + SegmentName(segments[i - 1] + 1));
      failure.everyRegion = true;
      failure.segment = segments[i - 1] + 1;
      return failure;
    }
    if (Failure failure = ScanSegment(segments[i], i + 1 == segments.size(), &scan); !failure.ok()) return failure;
  }
  if (std::vector<uint64_t> broken = index_.Broken(); !broken.empty()) {
    Failure failure = Failure::Of(Code::corruption, "raft log misses the start of " + std::to_string(broken.size()) + " regions");
    failure.regions = std::move(broken);
    failure.segment = segments.front();
    return failure;
  }
  // What a killed process wrote and never synced is in the page cache: it must not be acted on before it is on disk.
  if (Failure failure = writer_.SyncAdopted(segments.empty() ? 0 : segments.back()); !failure.ok()) return failure;
  if (Failure failure = writer_.SyncAdopted(scan.end.segment); !failure.ok()) return failure;
  writer_.Start(scan.end, scan.sequence, scan.incarnationMax + 1);
  return {};
}

namespace {

/** @returns offset of the next intact group header of this segment and life at or after `from`, or bytes.size() */
uint64_t NextGroup(const std::vector<uint8_t>& bytes, uint32_t segment, uint64_t from, uint32_t incarnation, GroupHeader* header) {
  for (uint64_t at = AlignUp(from, kAlign); at + kGroupHeaderBytes <= bytes.size(); at += kAlign) {
    if (Load<uint32_t>(bytes.data() + at) != kGroupMagic) continue;
    if (GroupHeader::Read(bytes.data() + at, segment, header) && header->incarnation >= incarnation) return at;
  }
  return bytes.size();
}

bool BodyIntact(const uint8_t* body, const GroupHeader& header) {
  uint64_t at = 0;
  uint32_t records = 0;
  for (; at < header.bodyBytes; records++) {
    const Record record{body + at};
    if (!record.Fits(header.bodyBytes - at) || !record.Intact(header.epoch)) return false;
    at += record.bytes();
  }
  return at == header.bodyBytes && records == header.records;
}

}  // namespace

Failure RaftLog::ScanSegment(uint32_t segment, bool isLast, Scan* scan) {
  const std::string path = options_.dir + "/" + SegmentName(segment);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return Failure::OfErrno(errno, "open " + path);
  struct stat info {};
  fstat(fd, &info);
  auto file = std::make_shared<SegmentFile>(fd, static_cast<uint64_t>(info.st_size));
  writer_.Adopt(segment, file);
  std::vector<uint8_t> bytes(file->bytes);
  if (Failure failure = ReadFully(fd, bytes.data(), bytes.size(), 0); !failure.ok()) return failure;
  index_.segments()[segment];  // also when nothing in it is alive

  uint64_t at = 0;
  GroupHeader header;
  while (at + kGroupHeaderBytes <= bytes.size() && GroupHeader::Read(bytes.data() + at, segment, &header)) {
    const uint8_t* body = bytes.data() + at + kGroupHeaderBytes;
    const bool inOrder = scan->sequence == 0 || header.sequence == scan->sequence + 1;
    if (header.bodyBytes > bytes.size() - at - kGroupHeaderBytes || header.incarnation < scan->incarnation || !inOrder ||
        !BodyIntact(body, header)) {
      break;
    }
    Position position{segment, static_cast<uint32_t>(at + kGroupHeaderBytes)};
    for (uint64_t offset = 0; offset < header.bodyBytes;) {
      const Record record{body + offset};
      scan->seen.insert(record.region());
      index_.Apply(record, position, 0);
      offset += record.bytes();
      position.offset += static_cast<uint32_t>(record.bytes());
    }
    at += kGroupHeaderBytes + header.bodyBytes;
    scan->sequence = header.sequence;
    scan->incarnation = header.incarnation;
    scan->incarnationMax = std::max(scan->incarnationMax, header.incarnation);
    scan->end = {segment, static_cast<uint32_t>(at)};
  }

  // `at` is where reading stopped. Is there proof, further on, that what belongs here had been durable?
  const Position stop{segment, static_cast<uint32_t>(at)};
  GroupHeader later;
  for (uint64_t next = NextGroup(bytes, segment, at, scan->incarnation, &later); next < bytes.size();
       next = NextGroup(bytes, segment, next + kAlign, scan->incarnation, &later)) {
    scan->incarnationMax = std::max(scan->incarnationMax, later.incarnation);
    const bool proves = later.durable > stop.Packed() || (next == at && later.sequence > scan->sequence + 1);
    if (proves) return Damage(*scan, segment, bytes, at, next);
  }
  if (at == 0 && !isLast) return Damage(*scan, segment, bytes, 0, bytes.size());
  return {};
}

/** A later segment is begun only when this one is durable, so an out-of-order start there lands here too. */
Failure RaftLog::Damage(const Scan& scan, uint32_t segment, const std::vector<uint8_t>& bytes, uint64_t from, uint64_t to) {
  Failure failure = Failure::Of(Code::corruption, "raft log is damaged before its durable end: " + SegmentName(segment) +
                                                      " from " + std::to_string(from) + " to " + std::to_string(to));
  failure.segment = segment;
  failure.offset = from;
  std::set<uint64_t> regions;
  // Names of regions are believed only as far as the records line up to the end of the hole.
  uint64_t at = from;
  GroupHeader header;
  while (at + kGroupHeaderBytes <= to && GroupHeader::Read(bytes.data() + at, segment, &header)) {
    uint64_t offset = at + kGroupHeaderBytes;
    const uint64_t end = offset + header.bodyBytes;
    if (end > to) break;
    while (offset < end && Record{bytes.data() + offset}.Fits(end - offset)) {
      const Record record{bytes.data() + offset};
      const bool known = scan.seen.count(record.region()) > 0 || record.Intact(segment);
      if (!known) break;
      regions.insert(record.region());
      offset += record.bytes();
    }
    if (offset != end) break;
    at = end;
  }
  failure.everyRegion = at != to || from == to;
  failure.regions.assign(regions.begin(), regions.end());
  if (failure.everyRegion) failure.regions.assign(scan.seen.begin(), scan.seen.end());
  return failure;
}

}  // namespace karst
