// Garbage collection: whole segments from the oldest on. What little is still needed of an old segment is written
// again at the end, and the segment goes when that is durable.
#include <algorithm>
#include <unordered_set>

#include "raft_log.h"

namespace karst {
namespace {

/** So many segments are left alone: what is in them mostly dies by itself. */
constexpr size_t kYoungSegments = 2;
/** A segment with more than a quarter of it alive is not worth copying. */
constexpr uint64_t kAliveShare = 4;
/** A region whose whole log is longer than this pins its segments; the store compacts it (oldestRegions). */
constexpr uint64_t kRegionBytesMax = 256 << 10;
constexpr uint64_t kGroupBytesMax = 1 << 20;

std::string NewRecord(uint8_t kind, uint8_t type, uint64_t region, uint64_t term, uint64_t index, const std::string& payload) {
  std::string bytes(AlignUp(kRecordHeaderBytes + payload.size(), kAlign), '\0');
  auto* at = reinterpret_cast<uint8_t*>(bytes.data());
  Store<uint32_t>(at + 4, static_cast<uint32_t>(payload.size()));
  at[12] = kind;
  at[13] = type;
  Store<uint64_t>(at + 16, region);
  Store<uint64_t>(at + 24, term);
  Store<uint64_t>(at + 32, index);
  std::memcpy(at + kRecordHeaderBytes, payload.data(), payload.size());
  return bytes;
}

bool HasEntriesIn(const RegionState& region, uint32_t oldest) {
  return !region.entries.empty() && region.entries.front().position.segment <= oldest;
}

bool Pins(const RegionState& region, uint32_t oldest) {
  return HasEntriesIn(region, oldest) && region.entryBytes > kRegionBytesMax;
}

}  // namespace

void RaftLog::Collect() {
  if (!open_) return;
  auto& segments = index_.segments();
  const uint64_t durable = writer_.DurableSequence();
  const uint32_t active = writer_.ActiveSegment();
  while (!segments.empty()) {
    const auto oldest = segments.begin();
    if (oldest->first >= active || oldest->second.liveRecords > 0 || oldest->second.deadSince > durable) break;
    writer_.Free(oldest->first);
    segments.erase(oldest);
    collectLater_ = true;
  }
  if (!collectLater_ || segments.size() <= kYoungSegments || rewriteSequence_ > durable) return;
  const auto oldest = segments.begin();
  if (oldest->first >= active || oldest->second.liveBytes > options_.segmentBytes / kAliveShare) return;
  if (const RegionState* region = index_.Find(pinningRegion_); region != nullptr && Pins(*region, oldest->first)) return;
  pinningRegion_ = 0;
  // Not looked at again before something was compacted or freed.
  collectLater_ = RewriteRegions(oldest->first);
}

/** @returns true when there is more to do after what was written is durable */
bool RaftLog::RewriteRegions(uint32_t oldest) {
  std::vector<uint64_t> ids;
  for (const auto& [id, region] : index_.regions()) {
    const bool entries = HasEntriesIn(region, oldest);
    if (Pins(region, oldest)) {
      pinningRegion_ = id;
      return false;
    }
    bool states = region.baseSegment == oldest || (region.hasHardState && region.hardStateSegment == oldest);
    for (const auto& [kind, state] : region.states) states = states || state.segment == oldest;
    if (entries || states) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  std::string records;
  bool more = false;
  for (const uint64_t id : ids) {
    if (records.size() >= kGroupBytesMax) {
      more = true;
      break;
    }
    if (!RewriteRegion(id, *index_.Find(id), oldest, &records).ok()) return false;  // an unreadable segment stays
  }
  if (records.empty()) return false;
  rewrittenBytes_ += records.size();
  return Append(reinterpret_cast<const uint8_t*>(records.data()), records.size(), false, &rewriteSequence_).ok() || more;
}

/**
 * With entries in the segment, the region's whole log moves: a Reset first, so that replay forgets what it saw of the
 * region in the segments between. Without, only the small records that are in the segment.
 */
Failure RaftLog::RewriteRegion(uint64_t id, const RegionState& region, uint32_t oldest, std::string* records) {
  const bool whole = HasEntriesIn(region, oldest);
  if (whole) records->append(NewRecord(kReset, 0, id, region.truncatedTerm, region.truncatedIndex, ""));
  else if (region.baseSegment == oldest) {
    records->append(NewRecord(kCompact, 0, id, region.truncatedTerm, region.truncatedIndex, ""));
  }
  if (region.hasHardState && (whole || region.hardStateSegment == oldest)) {
    const std::string vote(reinterpret_cast<const char*>(&region.vote), sizeof region.vote);
    records->append(NewRecord(kHardState, 0, id, region.term, region.commit, vote));
  }
  for (const auto& [kind, state] : region.states) {
    if (whole || state.segment == oldest) records->append(NewRecord(kState, kind, id, 0, 0, state.bytes));
  }
  return whole ? ReadEntries(region, 0, region.entries.size(), records) : Failure{};
}

}  // namespace karst
