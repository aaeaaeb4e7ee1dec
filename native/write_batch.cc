#include "write_batch.h"

#include <algorithm>
#include <memory>

#include "bytes.h"

namespace karst {
namespace {

/**
 * RocksDB has no open end of a range. The exact one is just behind the last key, which is either in the DB or earlier
 * in this batch. Batches are applied one after another, so nobody adds a later key between this look and the write.
 */
std::string EndOfFamily(const Engine& engine, int32_t cf, const std::string& lastInBatch) {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  const std::unique_ptr<rocksdb::Iterator> it(engine.db()->NewIterator(options, engine.Family(cf)));
  it->SeekToLast();
  std::string last = lastInBatch;
  if (it->Valid() && it->key().compare(last) > 0) last = it->key().ToString();
  last.push_back('\0');
  return last;
}

}  // namespace

rocksdb::Status ParseBatch(const Engine& engine, const uint8_t* data, size_t size, rocksdb::WriteBatch* batch) {
  std::string last[kFamilies];
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
      if (key.compare(last[cf]) > 0) last[cf] = key.ToString();
    } else if (op == kDelete) {
      status = batch->Delete(family, key);
    } else if (op == kDeleteRange) {
      const std::string end = value.empty() ? EndOfFamily(engine, cf, last[cf]) : value.ToString();
      if (key.compare(end) < 0) status = batch->DeleteRange(family, key, end);
    } else {
      return rocksdb::Status::InvalidArgument("batch: unknown op");
    }
    if (!status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

}  // namespace karst
