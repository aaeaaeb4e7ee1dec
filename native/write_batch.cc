#include "write_batch.h"

#include <algorithm>
#include <memory>

#include "bytes.h"

namespace karst {
namespace {

/** A range of up to this many rows is deleted row by row: range tombstones slow down every later read of the memtable. */
constexpr size_t kPointDeletesMax = 32;

/**
 * RocksDB has no open end of a range. The exact one is just behind the last key, which is either in the DB or earlier
 * in this batch. Batches are applied one after another, so nobody adds a later key between this look and the write.
 */
rocksdb::Status EndOfFamily(const Engine& engine, int32_t cf, const std::string& lastInBatch, std::string* end) {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> it(engine.db()->NewIterator(options, engine.Family(cf)));
  it->SeekToLast();
  // An iterator that failed looks like one at the end: rows would stay here that are gone on other replicas.
  if (!it->status().ok()) return it->status();
  *end = lastInBatch;
  if (it->Valid() && it->key().compare(*end) > 0) *end = it->key().ToString();
  end->push_back('\0');
  return rocksdb::Status::OK();
}

/** The rows of [start, end) when they are few and all in caches. @returns false: use a range tombstone */
bool FewKeys(const Engine& engine, int32_t cf, const rocksdb::Slice& start, const rocksdb::Slice& end, std::vector<std::string>* keys) {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.iterate_upper_bound = &end;
  options.read_tier = rocksdb::kBlockCacheTier;
  options.max_skippable_internal_keys = 256;
  const std::unique_ptr<rocksdb::Iterator> it(engine.db()->NewIterator(options, engine.Family(cf)));
  for (it->Seek(start); it->Valid(); it->Next()) {
    if (keys->size() == kPointDeletesMax) return false;
    keys->push_back(it->key().ToString());
  }
  return it->status().ok();
}

}  // namespace

rocksdb::Status ParseBatch(const Engine& engine, const uint8_t* data, size_t size, rocksdb::WriteBatch* batch, uint32_t* tombstones) {
  // Of the puts so far.
  std::string first[kFamilies];
  std::string last[kFamilies];
  bool hasPut[kFamilies] = {};
  *tombstones = 0;
  size_t at = 0;
  while (at < size) {
    if (size - at < kBatchHeaderBytes) return rocksdb::Status::InvalidArgument("batch: cut record header");
    const uint8_t op = data[at];
    const int32_t cf = data[at + 1];
    const uint64_t keyBytes = Load<uint32_t>(data + at + 4);
    const uint64_t valueBytes = Load<uint32_t>(data + at + 8);
    at += kBatchHeaderBytes;
    if (keyBytes + valueBytes > size - at) return rocksdb::Status::InvalidArgument("batch: record longer than the batch");
    rocksdb::ColumnFamilyHandle* family = engine.Family(cf);
    if (family == nullptr) return rocksdb::Status::InvalidArgument("batch: unknown column family");
    const rocksdb::Slice key(reinterpret_cast<const char*>(data + at), keyBytes);
    const rocksdb::Slice value(reinterpret_cast<const char*>(data + at + keyBytes), valueBytes);
    at += keyBytes + valueBytes;
    rocksdb::Status status;
    if (op == kPut) {
      status = batch->Put(family, key, value);
      if (!hasPut[cf] || key.compare(last[cf]) > 0) last[cf] = key.ToString();
      if (!hasPut[cf] || key.compare(first[cf]) < 0) first[cf] = key.ToString();
      hasPut[cf] = true;
    } else if (op == kDelete) {
      status = batch->Delete(family, key);
    } else if (op == kDeleteRange) {
      std::string end = value.ToString();
      if (value.empty()) status = EndOfFamily(engine, cf, last[cf], &end);
      if (!status.ok()) return status;
      if (key.compare(end) >= 0) continue;
      // What this batch puts is in no memtable yet: a range that it has touched goes as a range.
      const bool isTouched = hasPut[cf] && key.compare(last[cf]) <= 0 && rocksdb::Slice(first[cf]).compare(end) < 0;
      std::vector<std::string> rows;
      if (!isTouched && FewKeys(engine, cf, key, end, &rows)) {
        for (const std::string& row : rows) {
          if (status.ok()) status = batch->Delete(family, row);
        }
      } else {
        status = batch->DeleteRange(family, key, end);
        ++*tombstones;
      }
    } else {
      return rocksdb::Status::InvalidArgument("batch: unknown op");
    }
    if (!status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

}  // namespace karst
