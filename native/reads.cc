#include "reads.h"

#include <algorithm>
#include <cstring>

#include "bytes.h"

namespace karst {
namespace {

constexpr size_t kPageHeaderBytes = 8;
constexpr uint32_t kCancelPollRows = 256;
constexpr uint32_t kPageMore = 1;
constexpr uint32_t kPageResume = 2;

int32_t Put(const Sink& sink, const void* data, size_t size) {
  if (size <= sink.arenaBytes) {
    if (size > 0) std::memcpy(sink.arena, data, size);
    return static_cast<int32_t>(size);
  }
  sink.spill->assign(static_cast<const char*>(data), size);
  return kSpilled;
}

rocksdb::Slice TailOf(const rocksdb::Slice& value, uint64_t tailBytes) {
  if (value.size() <= tailBytes) return value;
  return {value.data() + (value.size() - tailBytes), static_cast<size_t>(tailBytes)};
}

/** Rows go into the arena until one does not fit; then everything moves to the spill and grows there. */
class PageWriter {
 public:
  explicit PageWriter(const Sink& sink) : sink_(sink), spilled_(sink.arenaBytes < kPageHeaderBytes) {
    if (spilled_) sink_.spill->assign(kPageHeaderBytes, '\0');
  }

  void Add(const rocksdb::Slice& key, const rocksdb::Slice& value) {
    lastRowAt_ = used_;
    uint8_t* out = Grow(8 + key.size() + value.size());
    Store<uint32_t>(out, static_cast<uint32_t>(key.size()));
    Store<uint32_t>(out + 4, static_cast<uint32_t>(value.size()));
    std::memcpy(out + 8, key.data(), key.size());
    if (value.size() > 0) std::memcpy(out + 8 + key.size(), value.data(), value.size());
    rows_++;
  }

  void Resume(const rocksdb::Slice& key) {
    uint8_t* out = Grow(4 + key.size());
    Store<uint32_t>(out, static_cast<uint32_t>(key.size()));
    std::memcpy(out + 4, key.data(), key.size());
  }

  int32_t Finish(uint32_t flags) {
    Store<uint32_t>(Data(), rows_);
    Store<uint32_t>(Data() + 4, flags);
    return spilled_ ? kSpilled : static_cast<int32_t>(used_);
  }

  uint32_t rows() const { return rows_; }
  bool EndsWith(const rocksdb::Slice& key) {
    if (rows_ == 0) return false;
    const uint8_t* row = Data() + lastRowAt_;
    return key == rocksdb::Slice(reinterpret_cast<const char*>(row) + 8, Load<uint32_t>(row));
  }

 private:
  uint8_t* Data() { return spilled_ ? reinterpret_cast<uint8_t*>(sink_.spill->data()) : sink_.arena; }

  uint8_t* Grow(size_t need) {
    if (!spilled_ && used_ + need > sink_.arenaBytes) {
      sink_.spill->assign(reinterpret_cast<const char*>(sink_.arena), used_);
      spilled_ = true;
    }
    if (spilled_) {
      if (sink_.spill->capacity() < used_ + need) sink_.spill->reserve(std::max(used_ + need, 2 * used_));
      sink_.spill->resize(used_ + need);
    }
    uint8_t* out = Data() + used_;
    used_ += need;
    return out;
  }

  const Sink& sink_;
  bool spilled_;
  size_t used_ = kPageHeaderBytes;
  size_t lastRowAt_ = 0;
  uint32_t rows_ = 0;
};

/** The prefix of the values that fits. */
template <typename Value>
Failure PutValues(const std::vector<Value>& values, const std::vector<rocksdb::Status>& statuses, uint64_t bytesMax, const Sink& sink,
                  int32_t* answer) {
  size_t total = kPageHeaderBytes;
  uint64_t bytes = 0;
  size_t count = 0;
  for (; count < values.size(); count++) {
    const rocksdb::Status& status = statuses[count];
    if (status.IsAborted()) break;
    if (status.IsIncomplete()) {
      *answer = kCold;
      return {};
    }
    if (!status.ok() && !status.IsNotFound()) return Failure::Of(status);
    const size_t size = status.ok() ? values[count].size() : 0;
    if (count > 0 && bytes + size > bytesMax) break;
    bytes += size;
    total += 4 + size;
  }
  const bool spills = total > sink.arenaBytes;
  if (spills) sink.spill->resize(total);
  uint8_t* out = spills ? reinterpret_cast<uint8_t*>(sink.spill->data()) : sink.arena;
  Store<uint32_t>(out, static_cast<uint32_t>(count));
  Store<uint32_t>(out + 4, count < values.size() ? kPageMore : 0);
  out += kPageHeaderBytes;
  for (size_t i = 0; i < count; i++) {
    const bool found = statuses[i].ok();
    Store<int32_t>(out, found ? static_cast<int32_t>(values[i].size()) : kNone);
    out += 4;
    if (!found || values[i].empty()) continue;
    std::memcpy(out, values[i].data(), values[i].size());
    out += values[i].size();
  }
  *answer = spills ? kSpilled : static_cast<int32_t>(total);
  return {};
}

}  // namespace

void RangeIterator::Place(const Engine& engine, rocksdb::ColumnFamilyHandle* family, rocksdb::ReadOptions options) {
  options.total_order_seek = true;
  if (!end.empty()) {
    endSlice = end;
    options.iterate_upper_bound = &endSlice;
  }
  if (!start.empty()) {
    startSlice = start;
    options.iterate_lower_bound = &startSlice;
  }
  it.reset(engine.db()->NewIterator(options, family));
  if (reverse) it->SeekToLast();
  else it->SeekToFirst();
}

void RangeIterator::Continue(const std::string& from) {
  if (!reverse) return it->Seek(from);
  it->SeekForPrev(from);
  if (it->Valid() && it->key() == rocksdb::Slice(from)) it->Prev();
}

Failure ReadOne(const Engine& engine, rocksdb::ReadOptions& options, rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice& key,
                uint64_t tailBytes, const Sink& sink, int32_t* answer) {
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = engine.db()->Get(options, family, key, &value);
  if (status.ok()) {
    const rocksdb::Slice tail = TailOf(value, tailBytes);
    *answer = Put(sink, tail.data(), tail.size());
  } else if (status.IsNotFound()) {
    *answer = kNone;
  } else if (status.IsIncomplete()) {
    *answer = kCold;
  } else {
    return Failure::Of(status);
  }
  return {};
}

Failure KeysOf(const uint8_t* data, size_t size, size_t count, std::vector<rocksdb::Slice>* keys) {
  // A key takes four bytes at least: a count that cannot be true reserves nothing.
  if (count > size / 4) return Failure::Of(Code::invalid, "multiGet request is cut");
  keys->reserve(count);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (size - at < 4) return Failure::Of(Code::invalid, "multiGet request is cut");
    const uint32_t length = Load<uint32_t>(data + at);
    at += 4;
    if (length > size - at) return Failure::Of(Code::invalid, "multiGet request is cut");
    keys->emplace_back(reinterpret_cast<const char*>(data + at), length);
    at += length;
  }
  return {};
}

Failure ReadMany(const Engine& engine, rocksdb::ReadOptions& options, rocksdb::ColumnFamilyHandle* family,
                 std::vector<rocksdb::Slice>& keys, uint64_t bytesMax, const Sink& sink, int32_t* answer) {
  // Behind the limit RocksDB reads nothing and answers Aborted.
  options.value_size_soft_limit = bytesMax;
  if (options.read_tier == rocksdb::kBlockCacheTier) {
    // The batched form below reads the disk in this tier too (7.8); the plain one does not, and sees one state as well.
    const std::vector<rocksdb::ColumnFamilyHandle*> families(keys.size(), family);
    std::vector<std::string> values;
    const std::vector<rocksdb::Status> statuses = engine.db()->MultiGet(options, families, keys, &values);
    return PutValues(values, statuses, bytesMax, sink, answer);
  }
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  engine.db()->MultiGet(options, family, keys.size(), keys.data(), values.data(), statuses.data(), false);
  // It goes by sorted keys, we by the order that was asked: the first key may be behind its limit.
  if (!keys.empty() && statuses[0].IsAborted()) {
    values[0].Reset();
    statuses[0] = engine.db()->Get(options, family, keys[0], &values[0]);
  }
  return PutValues(values, statuses, bytesMax, sink, answer);
}

Failure ReadPage(RangeIterator& range, const PageLimits& limits, const std::atomic<bool>* cancelled, const Sink& sink, int32_t* answer) {
  rocksdb::Iterator* it = range.it.get();
  PageWriter page(sink);
  uint64_t bytes = 0;
  uint64_t hidden = 0;
  const auto isCancelled = [&] { return cancelled != nullptr && cancelled->load(std::memory_order_relaxed); };
  for (;;) {
    for (; it->Valid(); range.reverse ? it->Prev() : it->Next()) {
      const rocksdb::Slice key = it->key();
      const rocksdb::Slice value = limits.tailBytes == 0 ? rocksdb::Slice() : TailOf(it->value(), limits.tailBytes);
      const uint64_t rowBytes = key.size() + value.size();
      if (page.rows() > 0 && (page.rows() >= limits.rowsMax || bytes + rowBytes > limits.bytesMax)) break;
      page.Add(key, value);
      bytes += rowBytes;
      if (page.rows() % kCancelPollRows == 0 && isCancelled()) return Failure::Of(Code::closed, "scan was cancelled");
    }
    const rocksdb::Status status = it->status();
    if (status.ok()) {
      *answer = page.Finish(it->Valid() ? kPageMore : 0);
      return {};
    }
    if (!status.IsIncomplete()) return Failure::Of(status);
    // Too many hidden keys in one step, or something is in no cache; the first only where hidden keys are counted at all.
    std::string stoppedAt;
    if (limits.hiddenMax == 0 || !it->GetProperty("rocksdb.iterator.internal-key", &stoppedAt).ok()) {
      *answer = kCold;
      return {};
    }
    if (isCancelled()) return Failure::Of(Code::closed, "scan was cancelled");
    // Everything up to this key has been looked at; of the key itself perhaps not all. A row is never answered twice.
    const bool isAnswered = page.EndsWith(stoppedAt);
    if (range.reverse ? !isAnswered : isAnswered) stoppedAt.push_back('\0');
    hidden += kHiddenStep;
    if (hidden >= limits.hiddenMax) {
      page.Resume(stoppedAt);
      *answer = page.Finish(kPageMore | kPageResume);
      return {};
    }
    range.Continue(stoppedAt);
  }
}

int32_t EmptyPage(const Sink& sink) { return PageWriter(sink).Finish(0); }

}  // namespace karst
