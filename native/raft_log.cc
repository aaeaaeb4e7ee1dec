#include "raft_log.h"

#include <unistd.h>

#include <algorithm>

namespace karst {

RaftLog::RaftLog(LogOptions options, std::function<void()> onDurable)
    : options_(options), writer_(options, std::move(onDurable)) {}

RaftLog::~RaftLog() { Close(); }

Failure RaftLog::Open() {
  if (Failure failure = LockFolder(); !failure.ok()) return failure;
  std::vector<uint32_t> segments;
  if (Failure failure = ListFolder(&segments); !failure.ok()) return failure;
  if (Failure failure = Recover(segments); !failure.ok()) return failure;
  open_ = true;
  Collect();
  return {};
}

void RaftLog::Close() {
  open_ = false;
  writer_.Stop();
  if (lockFd_ >= 0) close(lockFd_);  // gives the lock back
  lockFd_ = -1;
}

Failure RaftLog::Append(const uint8_t* records, uint64_t bytes, bool sync, uint64_t* sequence) {
  if (!open_) return Failure::Of(Code::closed, "raft log is closed");
  uint32_t count = 0;
  for (uint64_t at = 0; at < bytes; count++) {
    const Record record{records + at};
    if (!record.Fits(bytes - at)) return Failure::Of(Code::invalid, "raft log batch is malformed");
    if (!record.Plausible()) return Failure::Of(Code::invalid, "raft log batch has a number above 2^53");
    at += record.bytes();
  }
  if (bytes > kBodyBytesMax) return Failure::Of(Code::invalid, "raft log batch is larger than a segment can be");
  if (writer_.IsExhausted()) return Failure::Of(Code::invalid, "raft log has no sequence or segment numbers left");
  Position position = writer_.Append(records, bytes, count, 0, sync, sequence);
  index_.Reached(position.segment);
  for (uint64_t at = 0; at < bytes;) {
    const Record record{records + at};
    index_.Apply(record, position, *sequence);
    collectLater_ = collectLater_ || record.kind() >= kCompact;
    at += record.bytes();
    position.offset += static_cast<uint32_t>(record.bytes());
  }
  index_.segments()[position.segment].usedBytes = position.offset;
  return {};
}

Failure RaftLog::ReadEntries(const RegionState& region, size_t from, size_t to, std::string* records) {
  for (size_t at = from; at < to;) {
    // Neighbours in the file are read in one go.
    const Position start = region.entries[at].position;
    uint64_t bytes = region.entries[at].bytes;
    size_t end = at + 1;
    for (; end < to; end++) {
      const EntryAt& next = region.entries[end];
      if (next.position.segment != start.segment || next.position.offset != start.offset + bytes) break;
      bytes += next.bytes;
    }
    const size_t used = records->size();
    records->resize(used + bytes);
    auto* out = reinterpret_cast<uint8_t*>(records->data()) + used;
    if (Failure failure = writer_.Read(start, out, bytes); !failure.ok()) return failure;
    const Seal seal = secret_.Of(start.segment);
    for (uint64_t offset = 0; offset < bytes;) {
      const Record record{out + offset};
      if (!record.Fits(bytes - offset) || !record.Intact(seal)) {
        Failure failure = Failure::Of(Code::corruption, "raft log record is damaged: " + SegmentName(start.segment));
        failure.segment = start.segment;
        failure.offset = start.offset + offset;
        return failure;
      }
      offset += record.bytes();
    }
    at = end;
  }
  return {};
}

Failure RaftLog::Read(uint64_t id, uint64_t low, uint64_t high, uint64_t bytesMax, std::string* records) {
  if (!open_) return Failure::Of(Code::closed, "raft log is closed");
  const RegionState* region = index_.Find(id);
  if (region == nullptr || low < region->first || low >= high || high > region->last() + 1) {
    return Failure::Of(Code::invalid, "raft log has not all of these entries");
  }
  const size_t from = static_cast<size_t>(low - region->first);
  size_t to = from;
  uint64_t bytes = 0;
  while (to < static_cast<size_t>(high - region->first)) {
    bytes += region->entries[to].payloadBytes;
    if (to > from && bytes > bytesMax) break;
    to++;
  }
  Failure failure = ReadEntries(*region, from, to, records);
  if (failure.code == Code::corruption) failure.regions.push_back(id);
  return failure;
}

namespace {

void Put(std::string* out, uint64_t value) { out->append(reinterpret_cast<const char*>(&value), sizeof value); }

}  // namespace

std::string RaftLog::Dump() const {
  std::string out;
  Put(&out, index_.regions().size());
  for (const auto& [id, region] : index_.regions()) {
    Put(&out, id);
    Put(&out, region.truncatedIndex);
    Put(&out, region.truncatedTerm);
    Put(&out, region.last());
    Put(&out, region.hasHardState ? 1 : 0);
    Put(&out, region.term);
    Put(&out, region.vote);
    Put(&out, region.commit);
    Put(&out, region.states.size());
    for (const auto& [kind, state] : region.states) {
      Put(&out, kind);
      Put(&out, state.bytes.size());
      out.append(state.bytes);
      out.append(AlignUp(state.bytes.size(), kAlign) - state.bytes.size(), '\0');
    }
    const size_t countAt = out.size();
    uint64_t runs = 0;
    Put(&out, 0);
    for (size_t i = 0; i < region.entries.size(); i++) {
      if (i > 0 && region.entries[i].term == region.entries[i - 1].term) continue;
      Put(&out, region.first + i);
      Put(&out, region.entries[i].term);
      runs++;
    }
    std::memcpy(out.data() + countAt, &runs, sizeof runs);
  }
  return out;
}

std::vector<uint64_t> RaftLog::OldestRegions(size_t limit) {
  std::vector<std::pair<uint64_t, uint64_t>> found;
  for (const auto& [id, region] : index_.regions()) {
    if (!region.entries.empty()) found.emplace_back(region.entries.front().position.Packed(), id);
  }
  limit = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(limit), found.end());
  std::vector<uint64_t> regions;
  for (size_t i = 0; i < limit; i++) regions.push_back(found[i].second);
  return regions;
}

LogStats RaftLog::Stats() {
  LogStats stats;
  stats.writer = writer_.Stats();
  stats.liveBytes = index_.liveBytes();
  stats.liveEntries = index_.liveEntries();
  stats.regions = index_.regions().size();
  stats.segments = index_.segments().size();
  stats.rewrittenBytes = rewrittenBytes_;
  const uint32_t active = writer_.ActiveSegment();
  for (const auto& [segment, use] : index_.segments()) {
    if (segment < active) stats.pinnedBytes += use.usedBytes;
  }
  return stats;
}

}  // namespace karst
