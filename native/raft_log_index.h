// What is alive in the log: per region its entries' places and small records, per segment how much of it is needed.
// Lives on the JS thread; knows no files.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "raft_log_format.h"

namespace karst {

struct EntryAt {
  Position position;
  uint32_t bytes = 0;  // whole record on disk
  uint32_t payloadBytes = 0;
  uint64_t term = 0;
};

struct RegionState {
  uint64_t truncatedIndex = 0;
  uint64_t truncatedTerm = 0;
  /** False while entries are known whose start is not: older segments are gone, and the record that says where the
   *  region begins comes later in the log (a rewrite). Still false at the end of recovery: something is missing. */
  bool baseKnown = true;
  uint64_t first = 1;  // index of entries.front(), or of the next entry
  std::deque<EntryAt> entries;
  uint64_t entryBytes = 0;
  uint32_t baseSegment = 0;  // where the Compact or Reset record is; 0 = none needed
  uint32_t baseBytes = 0;

  bool hasHardState = false;
  uint64_t term = 0;
  uint64_t vote = 0;
  uint64_t commit = 0;
  uint32_t hardStateSegment = 0;

  struct State {
    std::string bytes;
    uint32_t segment = 0;
  };
  std::map<uint8_t, State> states;

  uint64_t last() const { return first + entries.size() - 1; }
  bool blank() const { return entries.empty() && !hasHardState && baseSegment == 0 && truncatedIndex == 0; }
};

struct SegmentUse {
  uint64_t liveRecords = 0;
  uint64_t liveBytes = 0;
  uint64_t liveEntries = 0;
  uint64_t usedBytes = 0;
  /** The group that made the last record dead: only when it is durable may the segment go. */
  uint64_t deadSince = 0;
};

class LogIndex {
 public:
  /** Takes one intact record. @param sequence of its group */
  void Apply(const Record& record, Position position, uint64_t sequence);

  const std::unordered_map<uint64_t, RegionState>& regions() const { return regions_; }
  const RegionState* Find(uint64_t region) const;
  /** Regions whose start never became known. */
  std::vector<uint64_t> Broken() const;
  std::map<uint32_t, SegmentUse>& segments() { return segments_; }
  /** Every segment up to this one is known, also one that only holds marks. */
  void Reached(uint32_t segment);
  uint64_t liveBytes() const { return liveBytes_; }
  uint64_t liveEntries() const { return liveEntries_; }

 private:
  void ApplyEntry(RegionState& region, const Record& record, Position position);
  void ApplyCompact(RegionState& region, const Record& record, Position position);
  void DropEntriesFrom(RegionState& region, uint64_t index);
  void DropEntriesTo(RegionState& region, uint64_t index);
  void DropHardState(RegionState& region);
  void SetBase(RegionState& region, const Record* record, uint32_t segment);
  /** `start`: the record that says where a region's entries begin. Moving a region may add one, so it is not counted. */
  enum class Part { entry, small, start };
  void Born(uint32_t segment, uint64_t bytes, Part part);
  void Dead(uint32_t segment, uint64_t bytes, Part part);

  std::unordered_map<uint64_t, RegionState> regions_;
  std::map<uint32_t, SegmentUse> segments_;
  uint64_t sequence_ = 0;
  uint64_t liveBytes_ = 0;
  uint64_t liveEntries_ = 0;
};

}  // namespace karst
