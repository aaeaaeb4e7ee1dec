// What one environment (main thread or worker) owns: its arena, and its handles to process-wide things.
#pragma once
#include <node_api.h>

#include <memory>
#include <string>
#include <vector>

#include "args.h"

namespace karst {

class EngineSession;
class LogSession;

struct EnvState {
  /** Bound Uint8Array: requests are written and answers read there, no object crosses. JS keeps it referenced too. */
  napi_ref arenaRef = nullptr;
  uint8_t* arena = nullptr;
  size_t arenaBytes = 0;
  /** An answer that did not fit into the arena; taken by takeSpill. */
  std::string spill;
  /** Handle = index + 1. A closed slot is null and never used again. */
  std::vector<std::shared_ptr<EngineSession>> engines;
  std::vector<std::shared_ptr<LogSession>> logs;

  EnvState();
  ~EnvState();

  static EnvState* Of(napi_env env);
  EngineSession* Engine(int32_t handle) const;
  LogSession* Log(int32_t handle) const;
};

/** Written to the arena when it fits, else to the spill. @returns what the binding answers: the length, or -2 */
int32_t Answer(EnvState& state, const void* data, size_t size);

void InitEnvState(napi_env env, napi_value exports);

}  // namespace karst
