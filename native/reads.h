// Reads of one engine, without JS: the same functions answer on the JS thread and on the read threads (read_pool.cc).
#pragma once
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

namespace karst {

/** What a reading binding answers instead of a length. */
constexpr int32_t kNone = -1;
constexpr int32_t kSpilled = -2;
constexpr int32_t kCold = -3;

/** Where a read may look. `cached` never waits for a disk: what is in no cache is answered with kCold. */
enum Tier : int32_t { kTierAll = 0, kTierPersisted = 1, kTierCached = 2 };

constexpr int32_t kFlagReverse = 1;

/** ReadOptions.max_skippable_internal_keys of bounded scans: half a millisecond, then budget and cancel flag are looked at. */
constexpr uint64_t kHiddenStep = 4096;

/** An answer is written into the arena while it fits, and else as a whole into the spill. */
struct Sink {
  uint8_t* arena = nullptr;
  size_t arenaBytes = 0;
  std::string* spill = nullptr;
};

/** A page of [start, end) is over at `rowsMax`, before `bytesMax` (not before its first row), or at `hiddenMax`. */
struct PageLimits {
  uint32_t rowsMax = 1;
  uint64_t bytesMax = 0;
  /** Of each value only the last so many bytes are answered. */
  uint64_t tailBytes = UINT64_MAX;
  /** Deleted and overwritten keys to walk over at most, in steps of kHiddenStep; 0 = not counted, and a step that is too
   *  long is kCold. A page that ends there says where to go on. */
  uint64_t hiddenMax = 0;
};

/** An iterator and what its ReadOptions point at. Members are destroyed from the bottom up. */
struct RangeIterator {
  std::shared_ptr<EngineSnapshot> snapshot;
  std::string start;
  std::string end;
  rocksdb::Slice startSlice;
  rocksdb::Slice endSlice;
  bool reverse = false;
  std::unique_ptr<rocksdb::Iterator> it;

  /** Stands on the first row of [start, end), on its last when `reverse`. @param options completed and copied */
  void Place(const Engine& engine, rocksdb::ColumnFamilyHandle* family, rocksdb::ReadOptions options);
  /** Goes on at `from`, downwards below it. */
  void Continue(const std::string& from);
};

/** @param answer the length of the value, kNone, kSpilled or kCold */
Failure ReadOne(const Engine& engine, rocksdb::ReadOptions& options, rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice& key,
                uint64_t tailBytes, const Sink& sink, int32_t* answer);

/** Keys as u32 length, bytes. @param keys views into `data` */
Failure KeysOf(const uint8_t* data, size_t size, size_t count, std::vector<rocksdb::Slice>* keys);

/**
 * The values of a prefix of `keys`: as many as fit into bytesMax, at least one. What RocksDB reads is bounded by the
 * same figure (and one value), however often a key is named. Answer: LAYOUT.md.
 */
Failure ReadMany(const Engine& engine, rocksdb::ReadOptions& options, rocksdb::ColumnFamilyHandle* family,
                 std::vector<rocksdb::Slice>& keys, uint64_t bytesMax, const Sink& sink, int32_t* answer);

/**
 * One page from where the iterator stands. @param cancelled polled every 256 rows and every few thousand hidden keys
 * @param answer the length of the page, kSpilled, or kCold when the iterator reads caches only
 */
Failure ReadPage(RangeIterator& range, const PageLimits& limits, const std::atomic<bool>* cancelled, const Sink& sink, int32_t* answer);

/** A page without rows. @returns its length, or kSpilled */
int32_t EmptyPage(const Sink& sink);

}  // namespace karst
