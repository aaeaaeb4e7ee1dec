// The addon's front page: one environment state, then each part exports its functions. Errors' words live here too.
#include <napi.h>

#include <cerrno>
#include <cstring>

#include "env_state.h"
#include "errors.h"
#include "modules.h"

namespace karst {

const char* CodeName(Code code) {
  switch (code) {
    case Code::ok: return "ok";
    case Code::io: return "io";
    case Code::corruption: return "corruption";
    case Code::noSpace: return "noSpace";
    case Code::closed: return "closed";
    case Code::invalid: return "invalid";
  }
  return "io";
}

Failure Failure::Of(const rocksdb::Status& status) {
  if (status.ok()) return {};
  Code code = Code::io;
  if (status.IsNoSpace()) code = Code::noSpace;
  else if (status.IsCorruption()) code = Code::corruption;
  else if (status.IsInvalidArgument() || status.IsNotSupported()) code = Code::invalid;
  else if (status.IsShutdownInProgress() || status.IsAborted()) code = Code::closed;
  return Of(code, status.ToString());
}

Failure Failure::OfErrno(int error, const std::string& what) {
  const Code code = error == ENOSPC || error == EDQUOT ? Code::noSpace : Code::io;
  return Of(code, what + ": " + std::strerror(error));
}

napi_value MakeError(napi_env env, const Failure& failure) {
  const Napi::Env environment(env);
  const Napi::Error error = Napi::Error::New(environment, failure.text);
  Napi::Object object = error.Value();
  if (object.IsEmpty()) return nullptr;
  object.Set("code", CodeName(failure.code));
  if (failure.code == Code::corruption && (failure.everyRegion || !failure.regions.empty())) {
    Napi::Array regions = Napi::Array::New(environment, failure.regions.size());
    for (size_t i = 0; i < failure.regions.size(); i++) regions.Set(static_cast<uint32_t>(i), static_cast<double>(failure.regions[i]));
    object.Set("regions", regions);
    object.Set("everyRegion", failure.everyRegion);
    object.Set("segment", static_cast<double>(failure.segment));
    object.Set("offset", static_cast<double>(failure.offset));
  }
  return object;
}

napi_value Throw(napi_env env, const Failure& failure) {
  napi_value error = MakeError(env, failure);
  if (error != nullptr) napi_throw(env, error);
  return nullptr;
}

}  // namespace karst

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  karst::InitEnvState(env, exports);
  karst::InitDoor(env, exports);
  karst::InitSystem(env, exports);
  karst::InitEngine(env, exports);
  karst::InitScan(env, exports);
  karst::InitRange(env, exports);
  karst::InitRaftLog(env, exports);
  return exports;
}

NODE_API_MODULE(karst, Init)
