#include "engine.h"

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/write_buffer_manager.h>

#include "write_batch.h"

namespace karst {
namespace {

/** Keys of the write CF end in an 8-byte timestamp; the filter knows the key without it. */
class WithoutTimestamp : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "karst.WithoutTimestamp"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return {key.data(), key.size() - kTimestampBytes}; }
  bool InDomain(const rocksdb::Slice& key) const override { return key.size() >= kTimestampBytes; }
};

/**
 * Range tombstones in a memtable are sorted anew for the first read behind each write: 20 ms a read after some ten thousand.
 * With this many the memtable is flushed.
 */
constexpr uint32_t kRangeTombstonesMax = 512;

/** So many deletions among so many neighbours ask for a compaction: the head of a queue does not stay a field of them. */
constexpr size_t kDeletionWindow = 32768;
constexpr size_t kDeletionsInWindow = 16384;

const char* const kFamilyNames[kFamilies] = {"default", "lock", "write", "raft"};

rocksdb::DBOptions DbOptions(const EngineOptions& options) {
  rocksdb::DBOptions db;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.atomic_flush = true;  // without WAL, families that flush apart would disagree after a crash
  db.avoid_flush_during_shutdown = true;  // close flushes by itself, and says so when it fails
  db.max_background_jobs = options.backgroundJobs;
  db.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(options.memtableBytes);
  db.bytes_per_sync = 1 << 20;
  db.info_log_level = rocksdb::WARN_LEVEL;
  db.keep_log_file_num = 2;
  db.max_log_file_size = 4 << 20;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.skip_stats_update_on_db_open = true;
  return db;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const EngineOptions& options, size_t family, const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions cf;
  cf.write_buffer_size = options.memtableBytes;  // the manager's total acts first; this is the ceiling for one family
  cf.max_write_buffer_number = 4;
  cf.arena_block_size = 256 << 10;
  cf.level_compaction_dynamic_level_bytes = true;
  cf.target_file_size_base = 16 << 20;
  cf.max_bytes_for_level_base = 128 << 20;
  cf.compression_per_level = {rocksdb::kNoCompression,  rocksdb::kNoCompression,  rocksdb::kLZ4Compression, rocksdb::kLZ4Compression,
                              rocksdb::kLZ4Compression, rocksdb::kLZ4Compression, rocksdb::kLZ4Compression};
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = 16 << 10;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  // What was just written is read soon: a flush must not turn it cold.
  table.prepopulate_block_cache = rocksdb::BlockBasedTableOptions::PrepopulateBlockCache::kFlushOnly;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  if (family == kFamilyWrite) {
    cf.prefix_extractor = std::make_shared<WithoutTimestamp>();
    cf.memtable_prefix_bloom_size_ratio = 0.05;
    table.whole_key_filtering = false;
  }
  cf.table_properties_collector_factories = {rocksdb::NewCompactOnDeletionCollectorFactory(kDeletionWindow, kDeletionsInWindow)};
  cf.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return cf;
}

}  // namespace

Failure Engine::Open(const EngineOptions& options, std::unique_ptr<Engine>* result) {
  const auto cache = rocksdb::NewLRUCache(options.blockCacheBytes, 4);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kFamilies; i++) families.emplace_back(kFamilyNames[i], FamilyOptions(options, i, cache));
  std::unique_ptr<Engine> engine(new Engine());
  rocksdb::DB* db = nullptr;
  rocksdb::DBOptions dbOptions = DbOptions(options);
  dbOptions.listeners = {engine->damage_};
  rocksdb::Status status = rocksdb::DB::Open(dbOptions, options.path, families, &engine->families_, &db);
  const bool isDamaged = status.IsCorruption();
  if (isDamaged) {
    // One table that cannot be opened: without the strict mode only reads of that table fail.
    dbOptions.paranoid_checks = false;
    status = rocksdb::DB::Open(dbOptions, options.path, families, &engine->families_, &db);
  }
  if (!status.ok()) return Failure::Of(status);
  engine->db_.reset(db);
  if (isDamaged) engine->damage_->LookThroughAll(db);
  *result = std::move(engine);
  return {};
}

Engine::~Engine() {
  if (db_ == nullptr) return;
  snapshots_.clear();
  for (auto* family : families_) db_->DestroyColumnFamilyHandle(family);
  db_->Close();
}

rocksdb::Status Engine::Write(const uint8_t* data, size_t size, bool mayStall) {
  rocksdb::WriteBatch batch(size + size / 8 + 64);
  uint32_t tombstones = 0;
  rocksdb::Status status = ParseBatch(*this, data, size, &batch, &tombstones);
  if (!status.ok()) return status;
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.no_slowdown = !mayStall;
  status = db_->Write(options, &batch);
  if (!status.ok() || tombstones == 0) return status;
  if (damage_->rangeTombstones.fetch_add(tombstones, std::memory_order_relaxed) + tombstones < kRangeTombstonesMax) return status;
  damage_->rangeTombstones.store(0, std::memory_order_relaxed);
  rocksdb::FlushOptions flush;
  flush.wait = false;
  flush.allow_write_stall = true;
  return db_->Flush(flush, families_);
}

}  // namespace karst
