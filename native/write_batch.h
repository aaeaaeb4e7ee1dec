#pragma once
#include <rocksdb/write_batch.h>

#include <cstdint>

#include "engine.h"

namespace karst {

constexpr size_t kBatchHeaderBytes = 12;
enum BatchOp : uint8_t { kPut = 1, kDelete = 2, kDeleteRange = 3 };

/**
 * Turns a packed batch (LAYOUT.md) into RocksDB's. Any thread; reads the DB for a DeleteRange: its caches, and the disk
 * only when it has no end. A range of few rows becomes deletes of rows.
 *
 * @param tombstones  range tombstones in the batch
 * Malformed bytes give InvalidArgument and leave nothing written.
 */
rocksdb::Status ParseBatch(const Engine& engine, const uint8_t* data, size_t size, rocksdb::WriteBatch* batch,
                           uint32_t* tombstones);

}  // namespace karst
