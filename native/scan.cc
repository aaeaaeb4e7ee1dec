// Packed scans: a whole page of rows in one call, forward or reverse, in one piece (scan) or kept open (cursor).
#include <rocksdb/iterator.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "args.h"
#include "bytes.h"
#include "cursor.h"
#include "modules.h"
#include "reader.h"

namespace karst {
namespace {

constexpr int32_t kReverse = 1;
constexpr int32_t kKeysOnly = 2;
constexpr size_t kPageHeaderBytes = 8;
constexpr uint32_t kCancelPollRows = 256;
constexpr size_t kCancelTokens = 1024;

/** Process-wide, so that the main thread can stop a worker's scan. Token = index + 1. */
std::atomic<bool> cancelled[kCancelTokens];
std::atomic<bool> tokenTaken[kCancelTokens];

bool IsCancelled(int32_t token) {
  return token >= 1 && token <= static_cast<int32_t>(kCancelTokens) && cancelled[token - 1].load(std::memory_order_relaxed);
}

/** Rows go into the arena until one does not fit; then everything moves to the spill and grows there. */
class PageWriter {
 public:
  explicit PageWriter(EnvState& state) : state_(state), spilled_(state.arenaBytes < kPageHeaderBytes) {
    if (spilled_) state_.spill.assign(kPageHeaderBytes, '\0');
  }

  void Add(const rocksdb::Slice& key, const rocksdb::Slice& value) {
    const size_t need = 8 + key.size() + value.size();
    if (!spilled_ && used_ + need > state_.arenaBytes) {
      state_.spill.assign(reinterpret_cast<const char*>(state_.arena), used_);
      spilled_ = true;
    }
    if (spilled_) {
      if (state_.spill.capacity() < used_ + need) state_.spill.reserve(std::max(used_ + need, 2 * used_));
      state_.spill.resize(used_ + need);
    }
    uint8_t* out = Data() + used_;
    Store<uint32_t>(out, static_cast<uint32_t>(key.size()));
    Store<uint32_t>(out + 4, static_cast<uint32_t>(value.size()));
    std::memcpy(out + 8, key.data(), key.size());
    std::memcpy(out + 8 + key.size(), value.data(), value.size());
    used_ += need;
    rows_++;
  }

  int32_t Finish(bool more) {
    Store<uint32_t>(Data(), rows_);
    Store<uint32_t>(Data() + 4, more ? 1 : 0);
    return spilled_ ? -2 : static_cast<int32_t>(used_);
  }

  uint32_t rows() const { return rows_; }

 private:
  uint8_t* Data() { return spilled_ ? reinterpret_cast<uint8_t*>(state_.spill.data()) : state_.arena; }
  EnvState& state_;
  bool spilled_;
  size_t used_ = kPageHeaderBytes;
  uint32_t rows_ = 0;
};

struct PageLimits {
  uint32_t rowsMax;
  uint64_t bytesMax;
  int32_t cancelToken;
};

/** Fills one page from where the iterator stands. @returns the binding's answer, or a failure */
Failure FillPage(EnvState& state, rocksdb::Iterator* it, bool reverse, bool keysOnly, const PageLimits& limits, int32_t* answer) {
  PageWriter page(state);
  uint64_t bytes = 0;
  for (; it->Valid(); reverse ? it->Prev() : it->Next()) {
    const rocksdb::Slice key = it->key();
    const rocksdb::Slice value = keysOnly ? rocksdb::Slice() : it->value();
    const uint64_t rowBytes = key.size() + value.size();
    if (page.rows() > 0 && (page.rows() >= limits.rowsMax || bytes + rowBytes > limits.bytesMax)) break;
    page.Add(key, value);
    bytes += rowBytes;
    if (page.rows() % kCancelPollRows == 0 && IsCancelled(limits.cancelToken)) {
      return Failure::Of(Code::closed, "scan was cancelled");
    }
  }
  if (!it->status().ok()) return Failure::Of(it->status());
  *answer = page.Finish(it->Valid());
  return {};
}

/** Builds the iterator of [start, end), standing on its first row (its last when reverse). */
void Place(Reader& reader, EngineSession::Cursor& cursor, int32_t flags) {
  cursor.reverse = (flags & kReverse) != 0;
  cursor.keysOnly = (flags & kKeysOnly) != 0;
  cursor.snapshot = reader.snapshot;
  reader.options.total_order_seek = true;
  if (!cursor.end.empty()) {
    cursor.endSlice = cursor.end;
    reader.options.iterate_upper_bound = &cursor.endSlice;
  }
  if (!cursor.start.empty()) {
    cursor.startSlice = cursor.start;
    reader.options.iterate_lower_bound = &cursor.startSlice;
  }
  cursor.it.reset(reader.engine->db()->NewIterator(reader.options, reader.family));
  if (cursor.reverse) cursor.it->SeekToLast();
  else cursor.it->SeekToFirst();
}

Failure RangeFromArena(const EnvState& state, int32_t startBytes, int32_t endBytes, EngineSession::Cursor* cursor) {
  if (startBytes < 0 || endBytes < 0 || static_cast<size_t>(startBytes) + static_cast<size_t>(endBytes) > state.arenaBytes) {
    return Failure::Of(Code::invalid, "range is longer than the arena");
  }
  const auto* at = reinterpret_cast<const char*>(state.arena);
  cursor->start.assign(at, static_cast<size_t>(startBytes));
  cursor->end.assign(at + startBytes, static_cast<size_t>(endBytes));
  return {};
}

/**
 * scan(handle, snapshot, cf, flags, startBytes, endBytes, rowsMax, bytesMax, cancelToken): start, end at arena 0.
 * Answer: u32 rows, u32 more, then per row u32 keyBytes, u32 valueBytes, key, value. Returns its length, or -2 when
 * it is in the spill. May read disk.
 */
napi_value Scan(napi_env env, napi_callback_info info) {
  Args<9> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  EngineSession::Cursor cursor;
  if (Failure failure = RangeFromArena(*reader.state, args.Int(4), args.Int(5), &cursor); !failure.ok()) return Throw(env, failure);
  const PageLimits limits{static_cast<uint32_t>(std::max(1, args.Int(6))), args.U64(7), args.Int(8)};
  if (!cursor.end.empty() && cursor.start >= cursor.end) return Int(env, PageWriter(*reader.state).Finish(false));
  Place(reader, cursor, args.Int(3));
  int32_t answer = 0;
  Failure failure = FillPage(*reader.state, cursor.it.get(), cursor.reverse, cursor.keysOnly, limits, &answer);
  if (!failure.ok()) return Throw(env, failure);
  return Int(env, answer);
}

/** cursorOpen(handle, snapshot, cf, flags, startBytes, endBytes): number of a kept iterator of this environment. */
napi_value CursorOpen(napi_env env, napi_callback_info info) {
  Args<6> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  auto cursor = std::make_unique<EngineSession::Cursor>();
  if (Failure failure = RangeFromArena(*reader.state, args.Int(4), args.Int(5), cursor.get()); !failure.ok()) return Throw(env, failure);
  if (!cursor->end.empty() && cursor->start >= cursor->end) cursor->start = cursor->end;
  Place(reader, *cursor, args.Int(3));
  auto& cursors = reader.session->cursors;
  auto free = std::find(cursors.begin(), cursors.end(), nullptr);
  if (free == cursors.end()) free = cursors.insert(free, nullptr);
  *free = std::move(cursor);
  return Int(env, static_cast<int32_t>(free - cursors.begin()) + 1);
}

EngineSession::Cursor* CursorOf(EngineSession* session, int32_t number) {
  if (session == nullptr || session->closed() || number < 1 || static_cast<size_t>(number) > session->cursors.size()) return nullptr;
  return session->cursors[static_cast<size_t>(number) - 1].get();
}

/** cursorNext(handle, cursor, rowsMax, bytesMax, cancelToken): like scan, continuing behind the last page. */
napi_value CursorNext(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  EnvState* state = EnvState::Of(env);
  if (state == nullptr) return nullptr;
  EngineSession::Cursor* cursor = CursorOf(state->Engine(args.Int(0)), args.Int(1));
  if (cursor == nullptr) return Throw(env, Failure::Of(Code::closed, "cursor is closed"));
  const PageLimits limits{static_cast<uint32_t>(std::max(1, args.Int(2))), args.U64(3), args.Int(4)};
  int32_t answer = 0;
  Failure failure = FillPage(*state, cursor->it.get(), cursor->reverse, cursor->keysOnly, limits, &answer);
  if (!failure.ok()) return Throw(env, failure);
  return Int(env, answer);
}

/** cursorClose(handle, cursor): idempotent. */
napi_value CursorClose(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EnvState* state = EnvState::Of(env);
  EngineSession* session = state == nullptr ? nullptr : state->Engine(args.Int(0));
  if (CursorOf(session, args.Int(1)) != nullptr) session->cursors[static_cast<size_t>(args.Int(1)) - 1].reset();
  return nullptr;
}

/** cancelToken(): a number to hand to scans of any thread; 0 when all are taken. */
napi_value TakeCancelToken(napi_env env, napi_callback_info) {
  for (size_t i = 0; i < kCancelTokens; i++) {
    bool expected = false;
    if (!tokenTaken[i].compare_exchange_strong(expected, true)) continue;
    cancelled[i].store(false);
    return Int(env, static_cast<int32_t>(i) + 1);
  }
  return Int(env, 0);
}

/** cancel(token): running and later scans with the token fail with `closed`. */
napi_value Cancel(napi_env env, napi_callback_info info) {
  const int32_t token = Args<1>(env, info).Int(0);
  if (token >= 1 && token <= static_cast<int32_t>(kCancelTokens)) cancelled[token - 1].store(true);
  return nullptr;
}

/** cancelRelease(token): the number may be given to somebody else. */
napi_value ReleaseCancelToken(napi_env env, napi_callback_info info) {
  const int32_t token = Args<1>(env, info).Int(0);
  if (token >= 1 && token <= static_cast<int32_t>(kCancelTokens)) tokenTaken[token - 1].store(false);
  return nullptr;
}

}  // namespace

void InitScan(napi_env env, napi_value exports) {
  Export<Scan>(env, exports, "scan");
  Export<CursorOpen>(env, exports, "cursorOpen");
  Export<CursorNext>(env, exports, "cursorNext");
  Export<CursorClose>(env, exports, "cursorClose");
  Export<TakeCancelToken>(env, exports, "cancelToken");
  Export<Cancel>(env, exports, "cancel");
  Export<ReleaseCancelToken>(env, exports, "cancelRelease");
}

}  // namespace karst
