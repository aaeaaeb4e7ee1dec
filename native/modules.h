// Each translation unit with bindings exports them through one of these.
#pragma once
#include <node_api.h>

namespace karst {

struct EnvState;

void InitDoor(napi_env env, napi_value exports);
void InitSystem(napi_env env, napi_value exports);
void InitEngine(napi_env env, napi_value exports);
void InitScan(napi_env env, napi_value exports);
/** The environment ends. */
void ReleaseCancelTokensOf(const EnvState* owner);
void InitRange(napi_env env, napi_value exports);
void InitRaftLog(napi_env env, napi_value exports);

}  // namespace karst
