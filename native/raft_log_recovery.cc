// Reading the log at start. The one hard question is what an unreadable place means: a tail that was never synced is
// cut off; a hole before something that was synced is damage, and is reported instead of being papered over.
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
  uint64_t durable = 0;  // the newest durable position that a group has named
  /** What was read from `tailFrom` to `end`: perhaps in the page cache only. */
  Position tailFrom;
  std::vector<uint8_t> tail;
  std::set<uint64_t> seen;  // regions named anywhere, for a hole that nobody can read
  std::vector<uint8_t> bytes;  // of the segment at hand
};

Failure RaftLog::Recover(const std::vector<uint32_t>& segments) {
  bool isKeyed = false;
  if (Failure failure = secret_.Load(options_.dir, &isKeyed); !failure.ok()) return failure;
  if (!isKeyed) {
    if (Failure failure = RefuseKeyed(segments); !failure.ok()) return failure;
  }
  Scan scan;
  scan.end = {segments.empty() ? 1 : segments.front(), 0};
  for (size_t i = 0; i < segments.size(); i++) {
    if (i > 0 && segments[i] != segments[i - 1] + 1) {
      Failure failure = Failure::Of(Code::corruption, "raft log segment is missing: " + SegmentName(segments[i - 1] + 1));
      failure.everyRegion = true;
      failure.segment = segments[i - 1] + 1;
      return failure;
    }
    if (Failure failure = ScanSegment(segments[i], segments.size() - 1 - i, &scan); !failure.ok()) return failure;
  }
  if (std::vector<uint64_t> broken = index_.Broken(); !broken.empty()) {
    Failure failure = Failure::Of(Code::corruption, "raft log misses the start of " + std::to_string(broken.size()) + " regions");
    failure.regions = std::move(broken);
    failure.segment = segments.front();
    return failure;
  }
  if (scan.incarnationMax >= kIncarnationMax) return Failure::Of(Code::invalid, "raft log has been opened too often");
  // What a killed process wrote and never synced may be in the page cache alone, and after a sync that failed even in
  // pages that are taken for clean, which no other sync would write. So it is written again before anybody acts on it.
  if (Failure failure = writer_.Rewrite(scan.tailFrom, scan.tail); !failure.ok()) return failure;
  // Reading ahead made large folios of the segment that goes on; see WriteZeros.
  writer_.ForgetCached(scan.end.segment);
  if (!isKeyed) {
    // A log of format 1 goes on in a segment of its own. A leftover file of that number has nothing to say.
    const uint32_t firstKeyed = scan.end.segment + (scan.sequence > 0 ? 1 : 0);
    if (Failure failure = secret_.Create(options_.dir, firstKeyed); !failure.ok()) return failure;
  }
  const bool isPlainEnd = scan.end.segment < secret_.firstKeyed();
  writer_.Start(isPlainEnd ? Position{secret_.firstKeyed(), 0} : scan.end, scan.sequence, scan.incarnationMax + 1, secret_);
  return {};
}

/** Without a secret there are only segments of format 1, or none. */
Failure RaftLog::RefuseKeyed(const std::vector<uint32_t>& segments) {
  for (const uint32_t segment : segments) {
    const std::string path = options_.dir + "/" + SegmentName(segment);
    const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return Failure::OfErrno(errno, "open " + path);
    uint8_t magic[4] = {};
    const bool isKeyed = ReadFully(fd, magic, sizeof magic, 0).ok() && Load<uint32_t>(magic) == kGroupMagic;
    close(fd);
    if (!isKeyed) continue;
    Failure failure = Failure::Of(Code::corruption, "SECRET-KEY.seg is missing in " + options_.dir +
                                                        ": without the log's secret nothing in the raft log can be believed");
    failure.everyRegion = true;
    failure.segment = segment;
    return failure;
  }
  return {};
}

namespace {

/** A life leaves at least one group behind, so that the number of lives between two groups is limited. */
constexpr uint32_t kLivesMax = 1 << 20;

/** @returns offset of the next intact group header of this segment and life at or after `from`, or bytes.size() */
uint64_t NextGroup(const std::vector<uint8_t>& bytes, const Seal& seal, uint64_t from, uint32_t incarnation, GroupHeader* header) {
  for (uint64_t at = AlignUp(from, kAlign); at + kGroupHeaderBytes <= bytes.size(); at += kAlign) {
    if (Load<uint32_t>(bytes.data() + at) != seal.magic) continue;
    if (GroupHeader::Read(bytes.data() + at, seal, header) && header->incarnation >= incarnation) return at;
  }
  return bytes.size();
}

bool BodyIntact(const std::vector<uint8_t>& bytes, uint64_t from, const GroupHeader& header, const Seal& seal) {
  if (header.bodyBytes > bytes.size() - from) return false;
  const uint8_t* body = bytes.data() + from;
  uint64_t at = 0;
  uint32_t records = 0;
  for (; at < header.bodyBytes; records++) {
    const Record record{body + at};
    if (!record.Fits(header.bodyBytes - at) || !record.Intact(seal)) return false;
    at += record.bytes();
  }
  return at == header.bodyBytes && records == header.records;
}

/** Can a writer have put this header there? In a keyed segment nobody else can have; format 1 says nothing of that. */
bool IsPossible(const GroupHeader& header, Position at, uint32_t incarnation) {
  return header.sequence > 0 && header.sequence <= kNumberMax && header.durable <= at.Packed() &&
         header.incarnation >= incarnation && header.incarnation < UINT32_MAX &&
         (incarnation == 0 || header.incarnation - incarnation <= kLivesMax);
}

}  // namespace

/** @param later how many segments follow */
Failure RaftLog::ScanSegment(uint32_t segment, size_t later, Scan* scan) {
  const std::string path = options_.dir + "/" + SegmentName(segment);
  const int fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return Failure::OfErrno(errno, "open " + path);
  auto file = std::make_shared<SegmentFile>(fd, 0);
  if (Failure failure = CheckSegmentFile(fd, path, &file->bytes); !failure.ok()) return failure;
  writer_.Adopt(segment, file);
  std::vector<uint8_t>& bytes = scan->bytes;
  bytes.resize(file->bytes);
  if (Failure failure = ReadFully(fd, bytes.data(), bytes.size(), 0); !failure.ok()) return failure;
  SegmentUse& use = index_.segments()[segment];  // also when nothing in it is alive
  const Seal seal = secret_.Of(segment);

  uint64_t at = 0;
  GroupHeader header;
  while (at + kGroupHeaderBytes <= bytes.size() && GroupHeader::Read(bytes.data() + at, seal, &header)) {
    const bool inOrder = scan->sequence == 0 || header.sequence == scan->sequence + 1;
    Position position{segment, static_cast<uint32_t>(at)};
    if (!inOrder || !IsPossible(header, position, scan->incarnation) ||
        !BodyIntact(bytes, at + kGroupHeaderBytes, header, seal)) {
      break;
    }
    position.offset += kGroupHeaderBytes;
    for (uint64_t offset = 0; offset < header.bodyBytes;) {
      const Record record{bytes.data() + position.offset};
      scan->seen.insert(record.region());
      index_.Apply(record, position, 0);
      offset += record.bytes();
      position.offset += static_cast<uint32_t>(record.bytes());
    }
    at = position.offset;
    scan->sequence = header.sequence;
    scan->incarnation = header.incarnation;
    scan->incarnationMax = std::max(scan->incarnationMax, header.incarnation);
    scan->durable = std::max(scan->durable, header.durable);
    scan->end = position;
  }
  use.usedBytes = at;
  if (at > 0 && later <= 1) {
    // Of format 1 everything, since anybody may have named its durable positions. An earlier segment was synced as a whole.
    const bool isNamed = seal.keyed && scan->durable >> 32 == segment;
    scan->tailFrom = {segment, isNamed ? static_cast<uint32_t>(scan->durable) : 0};
    scan->tail.assign(bytes.begin() + scan->tailFrom.offset, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (Failure failure = LookBeyond(*scan, segment, at, &scan->incarnationMax); !failure.ok()) return failure;
  if (at == 0 && later > 0) return Damage(*scan, segment, 0, bytes.size());
  return {};
}

/** Reading stopped at `stop`. Is there proof, further on, that what belongs there had been durable? */
Failure RaftLog::LookBeyond(const Scan& scan, uint32_t segment, uint64_t stop, uint32_t* incarnationMax) {
  const Seal seal = secret_.Of(segment);
  const std::vector<uint8_t>& bytes = scan.bytes;
  // What anybody may have written is not read without end.
  uint64_t bodyBytesLeft = 8 * (bytes.size() + kGroupHeaderBytes);
  GroupHeader later;
  for (uint64_t next = NextGroup(bytes, seal, stop, scan.incarnation, &later); next < bytes.size();
       next = NextGroup(bytes, seal, next + kAlign, scan.incarnation, &later)) {
    if (!IsPossible(later, {segment, static_cast<uint32_t>(next)}, scan.incarnation)) continue;
    const bool isJump = next == stop && scan.sequence > 0 && later.sequence > scan.sequence + 1;
    if (seal.keyed) *incarnationMax = std::max(*incarnationMax, later.incarnation);
    if (later.durable <= scan.end.Packed() && !isJump) continue;
    // A keyed header is proof by itself, even of a group whose body is torn: nobody but this log can have written it. One
    // of format 1 must at least be of a whole group, with a sequence for which there was room.
    if (!seal.keyed) {
      const uint64_t gap = next - stop + (stop == 0 ? options_.segmentBytes : 0);
      const bool fits = scan.sequence == 0 ||
                        (later.sequence > scan.sequence && later.sequence - scan.sequence - 1 <= gap / kGroupHeaderBytes);
      if (!fits || later.bodyBytes > bodyBytesLeft) continue;
      bodyBytesLeft -= later.bodyBytes;
      if (!BodyIntact(bytes, next + kGroupHeaderBytes, later, seal)) continue;
    }
    return Damage(scan, segment, stop, next);
  }
  return {};
}

/** A later segment is begun only when this one is durable, so an out-of-order start there lands here too. */
Failure RaftLog::Damage(const Scan& scan, uint32_t segment, uint64_t from, uint64_t to) {
  Failure failure = Failure::Of(Code::corruption, "raft log is damaged before its durable end: " + SegmentName(segment) +
                                                      " from " + std::to_string(from) + " to " + std::to_string(to));
  failure.segment = segment;
  failure.offset = from;
  std::set<uint64_t> regions;
  const Seal seal = secret_.Of(segment);
  const std::vector<uint8_t>& bytes = scan.bytes;
  // Names of regions are believed only as far as the records line up to the end of the hole.
  uint64_t at = from;
  GroupHeader header;
  while (at + kGroupHeaderBytes <= to && GroupHeader::Read(bytes.data() + at, seal, &header)) {
    uint64_t offset = at + kGroupHeaderBytes;
    const uint64_t end = offset + header.bodyBytes;
    if (end > to) break;
    while (offset < end && Record{bytes.data() + offset}.Fits(end - offset)) {
      const Record record{bytes.data() + offset};
      const bool known = scan.seen.count(record.region()) > 0 || record.Intact(seal);
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
