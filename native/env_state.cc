#include "env_state.h"

#include "engine.h"
#include "modules.h"
#include "read_pool.h"
#include "raft_log.h"

namespace karst {

EnvState::EnvState() = default;
EnvState::~EnvState() { ReleaseCancelTokensOf(this); }

EnvState* EnvState::Of(napi_env env) {
  void* data = nullptr;
  return napi_get_instance_data(env, &data) == napi_ok ? static_cast<EnvState*>(data) : nullptr;
}

EngineSession* EnvState::Engine(int32_t handle) const {
  if (handle < 1 || static_cast<size_t>(handle) > engines.size()) return nullptr;
  return engines[static_cast<size_t>(handle) - 1].get();
}

LogSession* EnvState::Log(int32_t handle) const {
  if (handle < 1 || static_cast<size_t>(handle) > logs.size()) return nullptr;
  return logs[static_cast<size_t>(handle) - 1].get();
}

int32_t Answer(EnvState& state, const void* data, size_t size) {
  if (size <= state.arenaBytes) {
    std::memcpy(state.arena, data, size);
    return static_cast<int32_t>(size);
  }
  state.spill.assign(static_cast<const char*>(data), size);
  return -2;
}

namespace {

/** bindArena(bytes): replaces the arena. Any thread's environment, once per environment and at growth. */
napi_value BindArena(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  EnvState* state = EnvState::Of(env);
  const Span span = args.Bytes(0);
  if (state == nullptr || span.data == nullptr) return Throw(env, Failure::Of(Code::invalid, "bindArena needs a Uint8Array"));
  if (state->arenaRef != nullptr) napi_delete_reference(env, state->arenaRef);
  state->arenaRef = nullptr;
  napi_create_reference(env, args.Raw(0), 1, &state->arenaRef);
  state->arena = span.data;
  state->arenaBytes = span.size;
  return nullptr;
}

/** takeSpill(): Uint8Array with the answer that did not fit. The memory is copied, then freed. */
napi_value TakeSpill(napi_env env, napi_callback_info) {
  EnvState* state = EnvState::Of(env);
  if (state == nullptr) return nullptr;
  napi_value result = Bytes(env, state->spill.data(), state->spill.size());
  std::string().swap(state->spill);
  return result;
}

}  // namespace

void InitEnvState(napi_env env, napi_value exports) {
  napi_set_instance_data(env, new EnvState(), [](napi_env, void* data, void*) { delete static_cast<EnvState*>(data); }, nullptr);
  Export<BindArena>(env, exports, "bindArena");
  Export<TakeSpill>(env, exports, "takeSpill");
}

}  // namespace karst
