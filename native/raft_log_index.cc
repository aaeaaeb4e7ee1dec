#include "raft_log_index.h"

namespace karst {
namespace {

constexpr uint64_t kHardStateBytes = kRecordHeaderBytes + 8;

uint64_t StateBytes(const RegionState::State& state) { return AlignUp(kRecordHeaderBytes + state.bytes.size(), kAlign); }

}  // namespace

const RegionState* LogIndex::Find(uint64_t region) const {
  const auto found = regions_.find(region);
  return found == regions_.end() ? nullptr : &found->second;
}

std::vector<uint64_t> LogIndex::Broken() const {
  std::vector<uint64_t> broken;
  for (const auto& [id, region] : regions_) {
    if (!region.baseKnown) broken.push_back(id);
  }
  return broken;
}

void LogIndex::Reached(uint32_t segment) {
  if (segments_.empty()) segments_[segment];
  for (uint32_t next = segments_.rbegin()->first + 1; next <= segment; next++) segments_[next];
}

void LogIndex::Born(uint32_t segment, uint64_t bytes, Part part) {
  SegmentUse& use = segments_[segment];
  use.liveRecords++;
  use.liveBytes += bytes;
  if (part != Part::start) liveBytes_ += bytes;
  if (part != Part::entry) return;
  use.liveEntries++;
  liveEntries_++;
}

void LogIndex::Dead(uint32_t segment, uint64_t bytes, Part part) {
  SegmentUse& use = segments_[segment];
  use.liveRecords--;
  use.liveBytes -= bytes;
  use.deadSince = sequence_;
  if (part != Part::start) liveBytes_ -= bytes;
  if (part != Part::entry) return;
  use.liveEntries--;
  liveEntries_--;
}

void LogIndex::Apply(const Record& record, Position position, uint64_t sequence) {
  sequence_ = sequence;
  RegionState& region = regions_[record.region()];
  switch (record.kind()) {
    case kEntry: ApplyEntry(region, record, position); break;
    case kCompact: ApplyCompact(region, record, position); break;
    case kHardState:
      DropHardState(region);
      region.hasHardState = true;
      region.term = record.term();
      region.commit = record.index();
      region.vote = record.payloadBytes() >= 8 ? Load<uint64_t>(record.payload()) : 0;
      region.hardStateSegment = position.segment;
      Born(position.segment, kHardStateBytes, Part::small);
      break;
    case kState: {
      const auto old = region.states.find(record.type());
      if (old != region.states.end()) {
        Dead(old->second.segment, StateBytes(old->second), Part::small);
        region.states.erase(old);
      }
      if (record.payloadBytes() == 0) break;
      RegionState::State& state = region.states[record.type()];
      state.bytes.assign(reinterpret_cast<const char*>(record.payload()), record.payloadBytes());
      state.segment = position.segment;
      Born(position.segment, StateBytes(state), Part::small);
      break;
    }
    case kReset:
      DropEntriesFrom(region, region.first);
      SetBase(region, &record, position.segment);
      break;
    case kRemove:
      DropEntriesFrom(region, region.first);
      DropHardState(region);
      SetBase(region, nullptr, 0);
      break;
    default: break;
  }
  if (region.baseKnown && region.states.empty() && region.blank()) regions_.erase(record.region());
}

void LogIndex::ApplyEntry(RegionState& region, const Record& record, Position position) {
  const uint64_t index = record.index();
  if (index < region.first || index > region.last() + 1) {
    // Behind a hole. Fine if a rewrite comes later, damage otherwise.
    DropEntriesFrom(region, region.first);
    region.baseKnown = false;
    region.first = index;
  }
  DropEntriesFrom(region, index);
  EntryAt entry;
  entry.position = position;
  entry.bytes = static_cast<uint32_t>(record.bytes());
  entry.payloadBytes = record.payloadBytes();
  entry.term = record.term();
  region.entries.push_back(entry);
  region.entryBytes += entry.bytes;
  Born(position.segment, entry.bytes, Part::entry);
}

void LogIndex::ApplyCompact(RegionState& region, const Record& record, Position position) {
  const uint64_t index = record.index();
  if (index < region.truncatedIndex || (!region.baseKnown && index + 1 < region.first)) return;
  DropEntriesTo(region, index);
  SetBase(region, &record, position.segment);
}

void LogIndex::SetBase(RegionState& region, const Record* record, uint32_t segment) {
  if (region.baseSegment != 0) Dead(region.baseSegment, kRecordHeaderBytes, Part::start);
  region.baseKnown = true;
  region.truncatedIndex = record == nullptr ? 0 : record->index();
  region.truncatedTerm = record == nullptr ? 0 : record->term();
  region.first = region.truncatedIndex + 1;
  region.baseSegment = segment;
  if (segment != 0) Born(segment, kRecordHeaderBytes, Part::start);
}

void LogIndex::DropEntriesFrom(RegionState& region, uint64_t index) {
  while (!region.entries.empty() && region.last() >= index) {
    const EntryAt& entry = region.entries.back();
    region.entryBytes -= entry.bytes;
    Dead(entry.position.segment, entry.bytes, Part::entry);
    region.entries.pop_back();
  }
}

void LogIndex::DropEntriesTo(RegionState& region, uint64_t index) {
  while (!region.entries.empty() && region.first <= index) {
    const EntryAt& entry = region.entries.front();
    region.entryBytes -= entry.bytes;
    Dead(entry.position.segment, entry.bytes, Part::entry);
    region.entries.pop_front();
    region.first++;
  }
}

void LogIndex::DropHardState(RegionState& region) {
  if (!region.hasHardState) return;
  Dead(region.hardStateSegment, kHardStateBytes, Part::small);
  region.hasHardState = false;
  region.term = region.vote = region.commit = 0;
}

}  // namespace karst
