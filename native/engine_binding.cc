// Engine functions for JS. All run on the calling environment's thread; which of them may touch disk is said at each.
#include <rocksdb/options.h>

#include <time.h>

#include <algorithm>

#include "args.h"
#include "bytes.h"
#include "cursor.h"
#include "engine.h"
#include "env_state.h"
#include "modules.h"
#include "read_pool.h"
#include "reader.h"

namespace karst {

uint64_t OnLoop::Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void LoopCalls::Add(uint64_t ns) {
  const uint64_t us = ns / 1000;
  const size_t bucket = us == 0 ? 0 : static_cast<size_t>(64 - __builtin_clzll(us));
  count[std::min(bucket, kBuckets - 1)]++;
  sumNs += ns;
  maxNs = std::max(maxNs, ns);
}

Failure ReaderOf(napi_env env, int32_t handle, int32_t snapshot, int32_t cf, Reader* reader) {
  reader->state = EnvState::Of(env);
  if (reader->state == nullptr) return Failure::Of(Code::closed, "the environment is going");
  reader->session = reader->state->Engine(handle);
  if (reader->session == nullptr || reader->session->closed()) return Failure::Of(Code::closed, "engine is closed");
  reader->engine = reader->session->engine();
  reader->family = reader->engine->Family(cf);
  if (reader->family == nullptr) return Failure::Of(Code::invalid, "unknown column family");
  if (snapshot != 0) {
    reader->snapshot = reader->engine->Snapshot(static_cast<uint32_t>(snapshot));
    if (reader->snapshot == nullptr) return Failure::Of(Code::closed, "engine snapshot is released");
    reader->options.snapshot = reader->snapshot->snapshot;
  }
  return {};
}

namespace {

/** Enough for a disk that answers several at once; on two cores more would only queue up in front of them. */
constexpr int kReadThreads = 4;

Failure SessionOf(napi_env env, int32_t handle, EngineSession** session) {
  EnvState* state = EnvState::Of(env);
  *session = state == nullptr ? nullptr : state->Engine(handle);
  if (*session == nullptr || (*session)->closed()) return Failure::Of(Code::closed, "engine is closed");
  return {};
}

/** engineOpen(path, memtableBytes, blockCacheBytes, backgroundJobs, onDone(applied, flushed, error), onRead): handle. Disk. */
napi_value EngineOpen(napi_env env, napi_callback_info info) {
  Args<6> args(env, info);
  EnvState* state = EnvState::Of(env);
  if (state == nullptr) return nullptr;
  EngineOptions options;
  options.path = args.Text(0);
  if (options.path.empty()) return Throw(env, Failure::Of(Code::invalid, "engine path is empty"));
  options.memtableBytes = args.U64(1);
  options.blockCacheBytes = args.U64(2);
  options.backgroundJobs = std::max(1, args.Int(3));
  std::shared_ptr<EngineSession> session;
  if (Failure failure = EngineSession::Open(env, options, args.Raw(4), &session); !failure.ok()) return Throw(env, failure);
  session->reads = std::make_unique<ReadPool>(session->engine(), kReadThreads);
  if (!session->reads->Open(env, args.Raw(5))) return Throw(env, Failure::Of(Code::invalid, "no function for reads"));
  state->engines.push_back(std::move(session));
  return Int(env, static_cast<int32_t>(state->engines.size()));
}

/** engineClose(handle): joins threads; the last attachment closes the DB. Does not flush. Disk. Idempotent. */
napi_value EngineClose(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EnvState* state = EnvState::Of(env);
  const int32_t handle = args.Int(0);
  if (state == nullptr || state->Engine(handle) == nullptr) return nullptr;
  state->engines[static_cast<size_t>(handle) - 1].reset();
  return nullptr;
}

/** engineWrite(handle, bytes): applies one packed batch now. May wait in a write stall. */
napi_value EngineWrite(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  if (!session->idle()) return Throw(env, Failure::Of(Code::invalid, "write while submits are pending"));
  const OnLoop timer(session);
  const Span batch = args.Bytes(1);
  const rocksdb::Status status = session->engine()->Write(batch.data, batch.size, true);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return nullptr;
}

/** engineTryWrite(handle, bytes): 1 when it was applied inside the call, 0 when nothing was done. Never waits. */
napi_value EngineTryWrite(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const Span batch = args.Bytes(1);
  bool done = false;
  if (Failure failure = session->TryWrite(batch.data, batch.size, &done); !failure.ok()) return Throw(env, failure);
  return Int(env, done ? 1 : 0);
}

/** engineSubmit(handle, bytes): 0 when applied inside the call, else the ordinal among the queued. Copies. Never waits. */
napi_value EngineSubmit(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(session);
  const Span batch = args.Bytes(1);
  uint64_t ordinal = 0;
  if (Failure failure = session->Submit(batch.data, batch.size, &ordinal); !failure.ok()) return Throw(env, failure);
  return Number(env, static_cast<double>(ordinal));
}

/** engineFlush(handle): ordinal of the flush, reported by onDone. Never waits. */
napi_value EngineFlush(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(session);
  return Number(env, static_cast<double>(session->Flush()));
}

Sink ArenaOf(EnvState& state) { return {state.arena, state.arenaBytes, &state.spill}; }

void LookIn(int32_t tier, rocksdb::ReadOptions* options) {
  if (tier == kTierPersisted) options->read_tier = rocksdb::kPersistedTier;
  if (tier == kTierCached) options->read_tier = rocksdb::kBlockCacheTier;
}

/** JS says UINT64_MAX as a negative number. */
uint64_t TailBytes(int32_t bytes) { return bytes < 0 ? UINT64_MAX : static_cast<uint64_t>(bytes); }

/**
 * engineGet(handle, snapshot, cf, keyBytes, tier, tailBytes): key at arena 0; the value, or its last bytes, replaces it.
 * Answers its length, -1 when there is none, -2 when it is in the spill, -3 when it is in no cache. Tier 2 reads no disk.
 */
napi_value EngineGet(napi_env env, napi_callback_info info) {
  Args<6> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  const size_t keyBytes = static_cast<size_t>(args.Int(3));
  if (keyBytes > reader.state->arenaBytes) return Throw(env, Failure::Of(Code::invalid, "key is longer than the arena"));
  LookIn(args.Int(4), &reader.options);
  const rocksdb::Slice key(reinterpret_cast<const char*>(reader.state->arena), keyBytes);
  int32_t answer = 0;
  Failure failure =
      ReadOne(*reader.engine, reader.options, reader.family, key, TailBytes(args.Int(5)), ArenaOf(*reader.state), &answer);
  return failure.ok() ? Int(env, answer) : Throw(env, failure);
}

/**
 * engineMultiGet(handle, snapshot, cf, count, requestBytes, bytesMax, tier): request at arena 0: per key u32 length, bytes.
 * Answer: u32 count, u32 more, per key i32 length (-1: none), bytes. Returns its length, -2 (spill) or -3 (cold).
 */
napi_value EngineMultiGet(napi_env env, napi_callback_info info) {
  Args<7> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  const size_t requestBytes = static_cast<size_t>(args.Int(4));
  if (requestBytes > reader.state->arenaBytes) return Throw(env, Failure::Of(Code::invalid, "request is longer than the arena"));
  std::vector<rocksdb::Slice> keys;
  const size_t count = static_cast<size_t>(std::max(0, args.Int(3)));
  if (Failure failure = KeysOf(reader.state->arena, requestBytes, count, &keys); !failure.ok()) return Throw(env, failure);
  LookIn(args.Int(6), &reader.options);
  int32_t answer = 0;
  Failure failure = ReadMany(*reader.engine, reader.options, reader.family, keys, args.U64(5), ArenaOf(*reader.state), &answer);
  return failure.ok() ? Int(env, answer) : Throw(env, failure);
}

/**
 * engineReadLater(handle, snapshot, cf, kind, firstBytes, secondBytes, count, flags, rowsMax, bytesMax, tailBytes, hiddenMax):
 * what engineGet (kind 0), engineMultiGet (1) or scan (2) finds in arena 0, read on a read thread at the snapshot, or at
 * the state of this call. Its number for onRead, 0 when the pool has enough to do. Copies. Never waits.
 */
napi_value ReadLater(napi_env env, napi_callback_info info) {
  Args<12> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(reader.session);
  const size_t first = static_cast<size_t>(std::max(0, args.Int(4)));
  const size_t second = static_cast<size_t>(std::max(0, args.Int(5)));
  if (first + second > reader.state->arenaBytes) return Throw(env, Failure::Of(Code::invalid, "request is longer than the arena"));
  auto read = std::make_unique<ColdRead>();
  const auto* at = reinterpret_cast<const char*>(reader.state->arena);
  read->cf = args.Int(2);
  read->kind = args.Int(3);
  read->first.assign(at, first);
  read->second.assign(at + first, second);
  read->count = static_cast<size_t>(std::max(0, args.Int(6)));
  read->reverse = (args.Int(7) & kFlagReverse) != 0;
  read->limits.rowsMax = static_cast<uint32_t>(std::max(1, args.Int(8)));
  read->limits.bytesMax = args.U64(9);
  read->limits.tailBytes = TailBytes(args.Int(10));
  read->limits.hiddenMax = static_cast<uint64_t>(std::max(1, args.Int(11)));
  read->snapshot = reader.snapshot != nullptr ? reader.snapshot : std::make_shared<EngineSnapshot>(reader.engine->db());
  return Int(env, static_cast<int32_t>(reader.session->reads->Add(std::move(read))));
}

/** engineReadCancel(handle, read): onRead does not hear of it any more. Idempotent, also after close. */
napi_value ReadCancel(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (SessionOf(env, args.Int(0), &session).ok()) session->reads->Cancel(static_cast<uint32_t>(args.Int(1)));
  return nullptr;
}

/** engineCalls(handle): [sumNs, maxNs, count of each bucket, …]: how long this thread was in the engine's functions. */
napi_value Calls(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const LoopCalls& calls = session->calls;
  napi_value result = nullptr;
  napi_create_array_with_length(env, LoopCalls::kBuckets + 2, &result);
  napi_set_element(env, result, 0, Number(env, static_cast<double>(calls.sumNs)));
  napi_set_element(env, result, 1, Number(env, static_cast<double>(calls.maxNs)));
  for (uint32_t i = 0; i < LoopCalls::kBuckets; i++) napi_set_element(env, result, i + 2, Number(env, static_cast<double>(calls.count[i])));
  return result;
}

/** engineSnapshot(handle): process-wide number > 0, owned by this environment's attachment. */
napi_value TakeSnapshot(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(session);
  return Int(env, static_cast<int32_t>(session->engine()->TakeSnapshot(session)));
}

/** engineRelease(handle, snapshot): idempotent, also after close. */
napi_value ReleaseSnapshot(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (SessionOf(env, args.Int(0), &session).ok()) session->engine()->ReleaseSnapshot(static_cast<uint32_t>(args.Int(1)));
  return nullptr;
}

/** engineDamages(handle): [family, file, smallest key, largest key, reason, …] of files found damaged since the last call. */
napi_value Damages(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  napi_value result = nullptr;
  napi_create_array(env, &result);
  uint32_t at = 0;
  const auto text = [env](const std::string& value) {
    napi_value string = nullptr;
    napi_create_string_utf8(env, value.data(), value.size(), &string);
    return string;
  };
  for (const Damage& damage : session->engine()->damage().Take()) {
    napi_set_element(env, result, at++, text(damage.family));
    napi_set_element(env, result, at++, text(damage.file));
    napi_set_element(env, result, at++, Bytes(env, damage.smallest.data(), damage.smallest.size()));
    napi_set_element(env, result, at++, Bytes(env, damage.largest.data(), damage.largest.size()));
    napi_set_element(env, result, at++, text(damage.reason));
  }
  return result;
}

/** engineStats(handle): [diskBytes, memtableBytes, pendingCompactionBytes, stalled, references, snapshots, rangeTombstones] */
napi_value Stats(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const OnLoop timer(session);
  Engine* engine = session->engine();
  const char* const properties[] = {"rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables",
                                    "rocksdb.estimate-pending-compaction-bytes"};
  double values[7] = {};
  for (size_t i = 0; i < 3; i++) {
    for (auto* family : engine->families()) {
      uint64_t value = 0;
      if (engine->db()->GetIntProperty(family, properties[i], &value)) values[i] += static_cast<double>(value);
    }
  }
  uint64_t stopped = 0;
  uint64_t delayed = 0;
  engine->db()->GetIntProperty("rocksdb.is-write-stopped", &stopped);
  engine->db()->GetIntProperty("rocksdb.actual-delayed-write-rate", &delayed);
  values[3] = stopped != 0 || delayed != 0 ? 1 : 0;
  values[4] = static_cast<double>(EngineRegistry::Get().References(session->path()));
  values[5] = static_cast<double>(engine->snapshotCount());
  values[6] = static_cast<double>(engine->damage().rangeTombstones.load(std::memory_order_relaxed));
  napi_value result = nullptr;
  napi_create_array_with_length(env, 7, &result);
  for (uint32_t i = 0; i < 7; i++) napi_set_element(env, result, i, Number(env, values[i]));
  return result;
}

}  // namespace

void InitEngine(napi_env env, napi_value exports) {
  Export<EngineOpen>(env, exports, "engineOpen");
  Export<EngineClose>(env, exports, "engineClose");
  Export<EngineWrite>(env, exports, "engineWrite");
  Export<EngineTryWrite>(env, exports, "engineTryWrite");
  Export<EngineSubmit>(env, exports, "engineSubmit");
  Export<EngineFlush>(env, exports, "engineFlush");
  Export<EngineGet>(env, exports, "engineGet");
  Export<EngineMultiGet>(env, exports, "engineMultiGet");
  Export<ReadLater>(env, exports, "engineReadLater");
  Export<ReadCancel>(env, exports, "engineReadCancel");
  Export<Calls>(env, exports, "engineCalls");
  Export<TakeSnapshot>(env, exports, "engineSnapshot");
  Export<ReleaseSnapshot>(env, exports, "engineRelease");
  Export<Damages>(env, exports, "engineDamages");
  Export<Stats>(env, exports, "engineStats");
}

}  // namespace karst
