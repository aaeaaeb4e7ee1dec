// One RocksDB per path and process (Engine), and each environment's way to it (EngineSession).
#pragma once
#include <node_api.h>
#include <rocksdb/db.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "completion.h"
#include "damage.h"
#include "errors.h"

namespace karst {

constexpr size_t kFamilies = 4;  // default, lock, write, raft: engine/api.ts Cf
constexpr size_t kFamilyWrite = 2;
constexpr size_t kTimestampBytes = 8;

struct EngineOptions {
  std::string path;
  uint64_t memtableBytes = 32u << 20;
  uint64_t blockCacheBytes = 64u << 20;
  int backgroundJobs = 2;
};

/** Released when the last holder lets go, whichever thread that is; never after the DB (see Engine::Close). */
struct EngineSnapshot {
  EngineSnapshot(rocksdb::DB* db) : db(db), snapshot(db->GetSnapshot()) {}
  ~EngineSnapshot() { db->ReleaseSnapshot(snapshot); }
  EngineSnapshot(const EngineSnapshot&) = delete;
  rocksdb::DB* db;
  const rocksdb::Snapshot* snapshot;
};

class Engine {
 public:
  static Failure Open(const EngineOptions& options, std::unique_ptr<Engine>* engine);
  ~Engine();

  rocksdb::DB* db() const { return db_.get(); }
  /** nullptr when out of range. */
  rocksdb::ColumnFamilyHandle* Family(int32_t cf) const {
    return cf >= 0 && cf < static_cast<int32_t>(kFamilies) ? families_[static_cast<size_t>(cf)] : nullptr;
  }
  const std::vector<rocksdb::ColumnFamilyHandle*>& families() const { return families_; }

  /** Packed batch (LAYOUT.md) to the memtables, no WAL, atomic. @param mayStall false: Incomplete instead of waiting */
  rocksdb::Status Write(const uint8_t* data, size_t size, bool mayStall);

  /** Damaged files, and range tombstones in the memtables. */
  DamageListener& damage() const { return *damage_; }

  /** Snapshots are process-wide numbers, so that a worker reads at one that the main thread took. */
  uint32_t TakeSnapshot(const void* owner);
  void ReleaseSnapshot(uint32_t id);
  void ReleaseSnapshotsOf(const void* owner);
  std::shared_ptr<EngineSnapshot> Snapshot(uint32_t id) const;
  size_t snapshotCount() const;

 private:
  Engine() = default;
  const std::shared_ptr<DamageListener> damage_ = std::make_shared<DamageListener>();
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  struct Held {
    std::shared_ptr<EngineSnapshot> snapshot;
    const void* owner;
  };
  mutable std::shared_mutex snapshotsMutex_;
  std::unordered_map<uint32_t, Held> snapshots_;
  uint32_t lastSnapshot_ = 0;
};

/** The one allowed global: path -> Engine with a count of attached environments. The last detach closes the DB. */
class EngineRegistry {
 public:
  static EngineRegistry& Get();
  /** Later openers get the engine as it is; their options are not looked at. */
  Failure Attach(const EngineOptions& options, Engine** engine, std::string* path);
  void Detach(const std::string& path);
  size_t References(const std::string& path);

 private:
  struct Slot {
    std::unique_ptr<Engine> engine;
    size_t references = 0;
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Slot> slots_;
};

/**
 * How long the JS thread was in the engine's functions: a call that waits for a disk or a lock shows up here. Bucket i
 * counts calls of less than 2^i microseconds (and at least half of that); the last one everything longer.
 */
struct LoopCalls {
  static constexpr size_t kBuckets = 24;
  uint64_t count[kBuckets] = {};
  uint64_t sumNs = 0;
  uint64_t maxNs = 0;
  void Add(uint64_t ns);
};

class ReadPool;

/**
 * One environment's attachment. Owns the apply thread (batches in the order of submit) and the flush thread; both
 * start at first use. Public functions are called on the JS thread.
 */
class EngineSession {
 public:
  static Failure Open(napi_env env, const EngineOptions& options, napi_value onDone, std::shared_ptr<EngineSession>* session);
  ~EngineSession();

  Engine* engine() const { return engine_; }
  const std::string& path() const { return path_; }
  bool closed() const { return engine_ == nullptr; }
  bool idle();

  /** Applies a small batch now; `*done` stays false when something is queued before it or the engine would make us wait. */
  Failure TryWrite(const uint8_t* data, size_t size, bool* done);
  /** @returns 0 when it was applied inside the call, else its ordinal among the queued ones (1, 2, …). */
  Failure Submit(const uint8_t* data, size_t size, uint64_t* ordinal);
  /** Everything written or submitted before is covered. @returns the ordinal of the flush (1, 2, …) */
  uint64_t Flush();
  /** Joins threads (queued batches are applied first), drops iterators and snapshots, detaches. Idempotent. */
  void Close();

  /** Kept iterators: scan.cc. */
  struct Cursor;
  std::vector<std::unique_ptr<Cursor>> cursors;
  /** Reads off the JS thread: read_pool.cc. Stopped before the engine is let go. */
  std::unique_ptr<ReadPool> reads;
  LoopCalls calls;

 private:
  struct Item {
    std::vector<uint8_t> batch;
    bool isFlush = false;
  };
  EngineSession() = default;
  void StartThreads();
  void ApplyLoop();
  void FlushLoop();
  void Fail(const rocksdb::Status& status);
  void Tell(napi_env env, napi_value callback);
  void StopThreads();

  Engine* engine_ = nullptr;
  std::string path_;
  Completion completion_;
  std::mutex mutex_;
  std::condition_variable wakeApply_;
  std::condition_variable wakeFlush_;
  std::deque<Item> queue_;
  size_t pendingApplies_ = 0;
  uint64_t submitted_ = 0;
  uint64_t applied_ = 0;
  uint64_t flushesAsked_ = 0;
  uint64_t flushesReady_ = 0;
  uint64_t flushesDone_ = 0;
  Failure failure_;
  bool failureTold_ = false;
  bool stopping_ = false;
  std::thread applyThread_;
  std::thread flushThread_;
};

}  // namespace karst
