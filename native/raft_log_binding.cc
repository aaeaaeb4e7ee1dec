// Raft log functions for JS, on the environment's thread. Only logOpen and logRead touch the disk.
#include "args.h"
#include "env_state.h"
#include "modules.h"
#include "raft_log.h"

namespace karst {

Failure LogSession::Open(napi_env env, LogOptions options, napi_value onDurable, std::shared_ptr<LogSession>* result) {
  std::shared_ptr<LogSession> session(new LogSession());
  LogSession* self = session.get();
  const bool opened = self->completion_.Open(
      env, onDurable, "karst.raft-log", [self](napi_env turnEnv, napi_value callback) { self->Tell(turnEnv, callback); },
      [self] { self->Close(); });
  if (!opened) return Failure::Of(Code::invalid, "no completion function");
  session->log_ = std::make_unique<RaftLog>(std::move(options), [self] { self->completion_.Signal(); });
  if (Failure failure = session->log_->Open(); !failure.ok()) return failure;
  *result = std::move(session);
  return {};
}

LogSession::~LogSession() {
  Close();
  completion_.Close();
}

void LogSession::Appended(uint64_t sequence, bool sync) {
  if (!sync) return;
  waitsFor_ = sequence;
  completion_.Hold(true);
}

/** JS thread: onDurable(sequence). */
void LogSession::Tell(napi_env env, napi_value callback) {
  const uint64_t durable = log_->DurableSequence();
  if (durable >= waitsFor_) completion_.Hold(false);
  log_->Collect();
  napi_value argument = Number(env, static_cast<double>(durable));
  Completion::CallBack(env, callback, 1, &argument);
}

void LogSession::Close() {
  if (log_ != nullptr) log_->Close();
}

namespace {

Failure LogOf(napi_env env, int32_t handle, LogSession** session) {
  EnvState* state = EnvState::Of(env);
  *session = state == nullptr ? nullptr : state->Log(handle);
  return *session == nullptr ? Failure::Of(Code::closed, "raft log is closed") : Failure{};
}

/** logOpen(dir, segmentBytes, idleMarkMs, onDurable(sequence)): handle. Reads the whole log. */
napi_value LogOpen(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  EnvState* state = EnvState::Of(env);
  if (state == nullptr) return nullptr;
  LogOptions options;
  options.dir = args.Text(0);
  options.segmentBytes = AlignUp(args.U64(1), kAlign);
  options.idleMarkMs = static_cast<uint32_t>(args.Int(2));
  if (options.dir.empty() || options.segmentBytes < 4096 || options.segmentBytes > kSegmentBytesMax) {
    return Throw(env, Failure::Of(Code::invalid, "raft log needs a folder and segments of 4 KiB to 1 GiB"));
  }
  std::shared_ptr<LogSession> session;
  if (Failure failure = LogSession::Open(env, options, args.Raw(3), &session); !failure.ok()) return Throw(env, failure);
  state->logs.push_back(std::move(session));
  return Int(env, static_cast<int32_t>(state->logs.size()));
}

/** logClose(handle): writes and syncs what is queued, joins the threads. Idempotent. */
napi_value LogClose(napi_env env, napi_callback_info info) {
  const int32_t handle = Args<1>(env, info).Int(0);
  EnvState* state = EnvState::Of(env);
  if (state != nullptr && state->Log(handle) != nullptr) state->logs[static_cast<size_t>(handle) - 1].reset();
  return nullptr;
}

/** logAppend(handle, bytes, length, sync): sequence of the group. Copies. Never waits for the disk. */
napi_value LogAppend(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  LogSession* session = nullptr;
  if (Failure failure = LogOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const Span bytes = args.Bytes(1);
  const int32_t length = args.Int(2);
  const bool sync = args.Int(3) != 0;
  if (length < 0 || static_cast<size_t>(length) > bytes.size) return Throw(env, Failure::Of(Code::invalid, "length is out of range"));
  uint64_t sequence = 0;
  Failure failure = session->log()->Append(bytes.data, static_cast<size_t>(length), sync, &sequence);
  if (!failure.ok()) return Throw(env, failure);
  session->Appended(sequence, sync);
  session->log()->Collect();
  return Number(env, static_cast<double>(sequence));
}

/** logRead(handle, region, low, high, bytesMax): Uint8Array of records as on disk, each checked. Page cache or disk. */
napi_value LogRead(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  LogSession* session = nullptr;
  if (Failure failure = LogOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  std::string records;
  Failure failure = session->log()->Read(args.U64(1), args.U64(2), args.U64(3), args.U64(4), &records);
  if (!failure.ok()) return Throw(env, failure);
  return Bytes(env, records.data(), records.size());
}

/** logDump(handle): Uint8Array with everything about all regions. */
napi_value LogDump(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  LogSession* session = nullptr;
  if (Failure failure = LogOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const std::string dump = session->log()->Dump();
  return Bytes(env, dump.data(), dump.size());
}

/** logOldest(handle, limit): region ids. */
napi_value LogOldest(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  LogSession* session = nullptr;
  if (Failure failure = LogOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const auto regions = session->log()->OldestRegions(static_cast<size_t>(args.U64(1)));
  napi_value result = nullptr;
  napi_create_array_with_length(env, regions.size(), &result);
  for (size_t i = 0; i < regions.size(); i++) {
    napi_set_element(env, result, static_cast<uint32_t>(i), Number(env, static_cast<double>(regions[i])));
  }
  return result;
}

/** logStats(handle): figures in the order of native-raft-log.ts. */
napi_value LogStatsOf(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  LogSession* session = nullptr;
  if (Failure failure = LogOf(env, args.Int(0), &session); !failure.ok()) return Throw(env, failure);
  const LogStats stats = session->log()->Stats();
  const uint64_t figures[] = {
      stats.writer.diskBytes, stats.writer.spareBytes, stats.liveBytes, stats.pinnedBytes, stats.liveEntries, stats.regions,
      stats.segments, stats.rewrittenBytes, stats.writer.groupBytes, stats.writer.zeroBytes, stats.writer.syncs,
      stats.writer.memoryBytes, stats.writer.files,
  };
  napi_value result = nullptr;
  const size_t count = sizeof figures / sizeof figures[0];
  napi_create_array_with_length(env, count, &result);
  for (size_t i = 0; i < count; i++) {
    napi_set_element(env, result, static_cast<uint32_t>(i), Number(env, static_cast<double>(figures[i])));
  }
  return result;
}

/** crc32c(bytes, seed): for tests and tools that read log files. */
napi_value CrcOf(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const Span bytes = args.Bytes(0);
  return Number(env, Crc32c(bytes.data, bytes.size, static_cast<uint32_t>(args.U64(1))));
}

}  // namespace

void InitRaftLog(napi_env env, napi_value exports) {
  Export<LogOpen>(env, exports, "logOpen");
  Export<LogClose>(env, exports, "logClose");
  Export<LogAppend>(env, exports, "logAppend");
  Export<LogRead>(env, exports, "logRead");
  Export<LogDump>(env, exports, "logDump");
  Export<LogOldest>(env, exports, "logOldest");
  Export<LogStatsOf>(env, exports, "logStats");
  Export<CrcOf>(env, exports, "crc32c");
}

}  // namespace karst
