// Engine functions for JS. All run on the calling environment's thread; which of them may touch disk is said at each.
#include <rocksdb/options.h>

#include <algorithm>

#include "args.h"
#include "bytes.h"
#include "cursor.h"
#include "engine.h"
#include "env_state.h"
#include "modules.h"
#include "reader.h"

namespace karst {

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

constexpr int32_t kNotFound = -1;

Failure SessionOf(napi_env env, int32_t handle, EngineSession** session) {
  EnvState* state = EnvState::Of(env);
  *session = state == nullptr ? nullptr : state->Engine(handle);
  if (*session == nullptr || (*session)->closed()) return Failure::Of(Code::closed, "engine is closed");
  return {};
}

/** engineOpen(path, memtableBytes, blockCacheBytes, backgroundJobs, onDone(applied, flushed, error)): handle. Disk. */
napi_value EngineOpen(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
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
  const Span batch = args.Bytes(1);
  const rocksdb::Status status = session->engine()->Write(batch.data, batch.size, true);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return nullptr;
}

/** engineSubmit(handle, bytes): 0 when applied inside the call, else the ordinal among the queued. Copies. Never waits. */
napi_value EngineSubmit(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
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
  return Number(env, static_cast<double>(session->Flush()));
}

/**
 * engineGet(handle, snapshot, cf, keyBytes, persisted): key at arena 0; the value replaces it.
 * Answers its length, -1 when there is none, -2 when it is in the spill. May read disk.
 */
napi_value EngineGet(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  const size_t keyBytes = static_cast<size_t>(args.Int(3));
  EnvState& state = *reader.state;
  if (keyBytes > state.arenaBytes) return Throw(env, Failure::Of(Code::invalid, "key is longer than the arena"));
  if (args.Int(4) != 0) reader.options.read_tier = rocksdb::kPersistedTier;
  rocksdb::PinnableSlice value;
  const rocksdb::Slice key(reinterpret_cast<const char*>(state.arena), keyBytes);
  const rocksdb::Status status = reader.engine->db()->Get(reader.options, reader.family, key, &value);
  if (status.IsNotFound()) return Int(env, kNotFound);
  if (!status.ok()) return Throw(env, Failure::Of(status));
  return Int(env, Answer(state, value.data(), value.size()));
}

/**
 * engineMultiGet(handle, snapshot, cf, count, requestBytes): request at arena 0: per key u32 length, bytes.
 * Answer: per key i32 length (-1: none), bytes. Returns its length, or -2 when it is in the spill. May read disk.
 */
napi_value EngineMultiGet(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  Reader reader;
  if (Failure failure = ReaderOf(env, args.Int(0), args.Int(1), args.Int(2), &reader); !failure.ok()) return Throw(env, failure);
  EnvState& state = *reader.state;
  const size_t count = static_cast<size_t>(std::max(0, args.Int(3)));
  const size_t requestBytes = static_cast<size_t>(args.Int(4));
  if (requestBytes > state.arenaBytes) return Throw(env, Failure::Of(Code::invalid, "request is longer than the arena"));
  std::vector<rocksdb::Slice> keys;
  keys.reserve(count);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    if (requestBytes - at < 4) return Throw(env, Failure::Of(Code::invalid, "multiGet request is cut"));
    const uint32_t length = Load<uint32_t>(state.arena + at);
    at += 4;
    if (length > requestBytes - at) return Throw(env, Failure::Of(Code::invalid, "multiGet request is cut"));
    keys.emplace_back(reinterpret_cast<const char*>(state.arena + at), length);
    at += length;
  }
  std::vector<rocksdb::PinnableSlice> values(count);
  std::vector<rocksdb::Status> statuses(count);
  reader.engine->db()->MultiGet(reader.options, reader.family, count, keys.data(), values.data(), statuses.data(), false);
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    if (!statuses[i].ok() && !statuses[i].IsNotFound()) return Throw(env, Failure::Of(statuses[i]));
    total += 4 + (statuses[i].ok() ? values[i].size() : 0);
  }
  const bool spills = total > state.arenaBytes;
  if (spills) state.spill.resize(total);
  uint8_t* out = spills ? reinterpret_cast<uint8_t*>(state.spill.data()) : state.arena;
  for (size_t i = 0; i < count; i++) {
    Store<int32_t>(out, statuses[i].ok() ? static_cast<int32_t>(values[i].size()) : -1);
    out += 4;
    if (!statuses[i].ok()) continue;
    std::memcpy(out, values[i].data(), values[i].size());
    out += values[i].size();
  }
  return Int(env, spills ? -2 : static_cast<int32_t>(total));
}

/** engineSnapshot(handle): process-wide number > 0, owned by this environment's attachment. */
napi_value TakeSnapshot(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  return Int(env, static_cast<int32_t>(session->engine()->TakeSnapshot(session)));
}

/** engineRelease(handle, snapshot): idempotent, also after close. */
napi_value ReleaseSnapshot(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  EngineSession* session = nullptr;
  if (SessionOf(env, args.Int(0), &session).ok()) session->engine()->ReleaseSnapshot(static_cast<uint32_t>(args.Int(1)));
  return nullptr;
}

/** engineStats(handle): [diskBytes, memtableBytes, pendingCompactionBytes, stalled, references, snapshots] */
napi_value Stats(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EngineSession* session = nullptr;
  if (Failure failure = SessionOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  Engine* engine = session->engine();
  const char* const properties[] = {"rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables",
                                    "rocksdb.estimate-pending-compaction-bytes"};
  double values[6] = {};
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
  napi_value result = nullptr;
  napi_create_array_with_length(env, 6, &result);
  for (uint32_t i = 0; i < 6; i++) napi_set_element(env, result, i, Number(env, values[i]));
  return result;
}

}  // namespace

void InitEngine(napi_env env, napi_value exports) {
  Export<EngineOpen>(env, exports, "engineOpen");
  Export<EngineClose>(env, exports, "engineClose");
  Export<EngineWrite>(env, exports, "engineWrite");
  Export<EngineSubmit>(env, exports, "engineSubmit");
  Export<EngineFlush>(env, exports, "engineFlush");
  Export<EngineGet>(env, exports, "engineGet");
  Export<EngineMultiGet>(env, exports, "engineMultiGet");
  Export<TakeSnapshot>(env, exports, "engineSnapshot");
  Export<ReleaseSnapshot>(env, exports, "engineRelease");
  Export<Stats>(env, exports, "engineStats");
}

}  // namespace karst
