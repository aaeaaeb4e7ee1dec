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

constexpr size_t kCancelTokens = 1024;

/** Process-wide, so that the main thread can stop a worker's scan. Token = index + 1. */
std::atomic<bool> cancelled[kCancelTokens];
/** The environment that took it; nullptr: free. */
std::atomic<const void*> tokenOwner[kCancelTokens];

const std::atomic<bool>* FlagOf(int32_t token) {
  return token >= 1 && token <= static_cast<int32_t>(kCancelTokens) ? &cancelled[token - 1] : nullptr;
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

uint64_t TailBytes(int32_t bytes) { return bytes < 0 ? UINT64_MAX : static_cast<uint64_t>(bytes); }

/** cursor->start and end to the iterator that stands there. */
void Place(Reader& reader, EngineSession::Cursor& cursor, int32_t flags, int32_t tailBytes) {
  cursor.reverse = (flags & kFlagReverse) != 0;
  cursor.tailBytes = TailBytes(tailBytes);
  cursor.snapshot = reader.snapshot;
  cursor.Place(*reader.engine, reader.family, reader.options);
}

/**
 * scan(handle, snapshot, cf, flags, startBytes, endBytes, rowsMax, bytesMax, tailBytes, tier, cancelToken): start, end at
 * arena 0. Answer: a page (LAYOUT.md). Returns its length, -2 (spill) or -3: with tier 2, something was in no cache or too
 * many hidden keys were in the way. Tier 2 reads no disk.
 */
napi_value Scan(napi_env env, napi_callback_info info) {
  Args<11> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  EngineSession::Cursor cursor;
  if (Failure failure = RangeFromArena(*reader.state, args.Int(4), args.Int(5), &cursor); !failure.ok()) return Throw(env, failure);
  PageLimits limits;
  limits.rowsMax = static_cast<uint32_t>(std::max(1, args.Int(6)));
  limits.bytesMax = args.U64(7);
  limits.tailBytes = TailBytes(args.Int(8));
  const Sink sink{reader.state->arena, reader.state->arenaBytes, &reader.state->spill};
  if (!cursor.end.empty() && cursor.start >= cursor.end) return Int(env, EmptyPage(sink));
  if (args.Int(9) == kTierCached) {
    reader.options.read_tier = rocksdb::kBlockCacheTier;
    reader.options.max_skippable_internal_keys = kHiddenStep;
  }
  Place(reader, cursor, args.Int(3), args.Int(8));
  int32_t answer = 0;
  Failure failure = ReadPage(cursor, limits, FlagOf(args.Int(10)), sink, &answer);
  return failure.ok() ? Int(env, answer) : Throw(env, failure);
}

/** cursorOpen(handle, snapshot, cf, flags, startBytes, endBytes, tailBytes): number of a kept iterator of this environment. */
napi_value CursorOpen(napi_env env, napi_callback_info info) {
  Args<7> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  auto cursor = std::make_unique<EngineSession::Cursor>();
  if (Failure failure = RangeFromArena(*reader.state, args.Int(4), args.Int(5), cursor.get()); !failure.ok()) return Throw(env, failure);
  if (!cursor->end.empty() && cursor->start >= cursor->end) cursor->start = cursor->end;
  Place(reader, *cursor, args.Int(3), args.Int(6));
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
  PageLimits limits;
  limits.rowsMax = static_cast<uint32_t>(std::max(1, args.Int(2)));
  limits.bytesMax = args.U64(3);
  limits.tailBytes = cursor->tailBytes;
  const Sink sink{state->arena, state->arenaBytes, &state->spill};
  int32_t answer = 0;
  Failure failure = ReadPage(*cursor, limits, FlagOf(args.Int(4)), sink, &answer);
  return failure.ok() ? Int(env, answer) : Throw(env, failure);
}

/** cursorClose(handle, cursor): idempotent. */
napi_value CursorClose(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EnvState* state = EnvState::Of(env);
  EngineSession* session = state == nullptr ? nullptr : state->Engine(args.Int(0));
  if (CursorOf(session, args.Int(1)) != nullptr) session->cursors[static_cast<size_t>(args.Int(1)) - 1].reset();
  return nullptr;
}

/** cancelToken(): a number to hand to scans of any thread; 0 when all are taken. It is free again when its taker ends. */
napi_value TakeCancelToken(napi_env env, napi_callback_info) {
  const EnvState* owner = EnvState::Of(env);
  if (owner == nullptr) return Int(env, 0);
  for (size_t i = 0; i < kCancelTokens; i++) {
    const void* nobody = nullptr;
    if (!tokenOwner[i].compare_exchange_strong(nobody, owner)) continue;
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
  if (token >= 1 && token <= static_cast<int32_t>(kCancelTokens)) tokenOwner[token - 1].store(nullptr);
  return nullptr;
}

}  // namespace

void ReleaseCancelTokensOf(const EnvState* owner) {
  for (auto& token : tokenOwner) {
    const void* expected = owner;
    token.compare_exchange_strong(expected, nullptr);
  }
}

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
