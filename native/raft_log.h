// The raft log of one store: index, writer, recovery and garbage collection. Used by one JS thread.
#pragma once
#include <node_api.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "completion.h"
#include "errors.h"
#include "raft_log_index.h"
#include "raft_log_writer.h"

namespace karst {

/** Figures of an open log, in bytes unless the name says otherwise. */
struct LogStats {
  WriterStats writer;
  uint64_t liveBytes = 0;    // entries and small records that are needed, as they are on disk
  uint64_t pinnedBytes = 0;  // written in segments that the log has left behind and that something alive keeps
  uint64_t liveEntries = 0;
  uint64_t regions = 0;
  uint64_t segments = 0;
  uint64_t rewrittenBytes = 0;  // moved out of old segments in this life
};

class RaftLog {
 public:
  RaftLog(LogOptions options, std::function<void()> onDurable);
  ~RaftLog();

  /** Locks the folder, reads all segments, starts the threads. Blocks for about a second per GiB of log. */
  Failure Open();

  /** Packed records (LAYOUT.md). Durable in the order of calls. @returns the group's sequence */
  Failure Append(const uint8_t* records, uint64_t bytes, bool sync, uint64_t* sequence);
  /** [low, high), at least one, then while the payloads fit into bytesMax: the records as they are on disk, checked. */
  Failure Read(uint64_t region, uint64_t low, uint64_t high, uint64_t bytesMax, std::string* records);
  /** Everything about all regions, packed (LAYOUT.md "Log dump"). */
  std::string Dump() const;
  /** Regions with entries in the oldest segments, oldest first. */
  std::vector<uint64_t> OldestRegions(size_t limit);
  /** Frees segments that nothing needs, rewrites stragglers. Cheap when there is nothing to do. */
  void Collect();

  uint64_t DurableSequence() { return writer_.DurableSequence(); }
  LogStats Stats();
  void Close();

 private:
  struct Scan;
  Failure LockFolder();
  Failure ListFolder(std::vector<uint32_t>* segments);
  Failure Recover(const std::vector<uint32_t>& segments);
  Failure ScanSegment(uint32_t segment, size_t later, Scan* scan);
  Failure LookBeyond(const Scan& scan, uint32_t segment, uint64_t stop, uint32_t* incarnationMax);
  Failure RefuseKeyed(const std::vector<uint32_t>& segments);
  Failure CheckSegmentFile(int fd, const std::string& path, uint64_t* bytes);
  Failure Damage(const Scan& scan, uint32_t segment, uint64_t from, uint64_t to);
  bool RewriteRegions(uint32_t oldest);
  Failure RewriteRegion(uint64_t id, const RegionState& region, uint32_t oldest, std::string* records);
  Failure ReadEntries(const RegionState& region, size_t from, size_t to, std::string* records);

  const LogOptions options_;
  LogSecret secret_;
  LogIndex index_;
  LogWriter writer_;
  int lockFd_ = -1;
  bool open_ = false;
  /** A rewrite is under way until this group is durable. */
  uint64_t rewriteSequence_ = 0;
  bool collectLater_ = true;
  /** The region whose long log keeps a segment: nothing is looked for before it has moved on. */
  uint64_t pinningRegion_ = 0;
  uint64_t rewrittenBytes_ = 0;
};

/** One environment's open log. The last reference closes it. */
class LogSession {
 public:
  static Failure Open(napi_env env, LogOptions options, napi_value onDurable, std::shared_ptr<LogSession>* session);
  ~LogSession();
  RaftLog* log() { return log_.get(); }
  /** Keep the loop alive until everything that is to be synced is. */
  void Appended(uint64_t sequence, bool sync);
  void Close();

 private:
  LogSession() = default;
  void Tell(napi_env env, napi_value callback);
  Completion completion_;
  std::unique_ptr<RaftLog> log_;
  uint64_t waitsFor_ = 0;
};

}  // namespace karst
