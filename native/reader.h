// What every read binding resolves first: session, column family, snapshot.
#pragma once
#include <node_api.h>
#include <rocksdb/options.h>

#include <memory>

#include "engine.h"
#include "env_state.h"
#include "reads.h"

namespace karst {

struct Reader {
  EnvState* state = nullptr;
  EngineSession* session = nullptr;
  Engine* engine = nullptr;
  rocksdb::ColumnFamilyHandle* family = nullptr;
  /** Keeps the snapshot for the length of the call, whoever releases it meanwhile. */
  std::shared_ptr<EngineSnapshot> snapshot;
  rocksdb::ReadOptions options;
};

/** Times one call of a binding; its session must outlive it. */
class OnLoop {
 public:
  explicit OnLoop(EngineSession* session) : session_(session), began_(Now()) {}
  ~OnLoop() { session_->calls.Add(Now() - began_); }
  OnLoop(const OnLoop&) = delete;

 private:
  static uint64_t Now();
  EngineSession* session_;
  uint64_t began_;
};

/** @param snapshot 0 = now */
Failure ReaderOf(napi_env env, int32_t handle, int32_t snapshot, int32_t cf, Reader* reader);

}  // namespace karst
