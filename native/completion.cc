#include "completion.h"

namespace karst {

bool Completion::Open(napi_env env, napi_value callback, const char* name, Turn turn, std::function<void()> onTeardown) {
  env_ = env;
  turn_ = std::move(turn);
  onTeardown_ = std::move(onTeardown);
  napi_value label = nullptr;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &label) != napi_ok) return false;
  if (napi_create_threadsafe_function(env, callback, nullptr, label, 0, 1, nullptr, nullptr, this, CallJs, &function_) != napi_ok) {
    function_ = nullptr;
    return false;
  }
  napi_unref_threadsafe_function(env, function_);
  // Registered after the function's own hook, and hooks run last in, first out: our threads are joined while the
  // function still takes calls.
  napi_add_env_cleanup_hook(env, Teardown, this);
  return true;
}

void Completion::Signal() {
  if (queued_.exchange(true)) return;
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Completion::Hold(bool held) {
  if (function_ == nullptr || held == held_) return;
  held_ = held;
  if (held) napi_ref_threadsafe_function(env_, function_);
  else napi_unref_threadsafe_function(env_, function_);
}

void Completion::Close() {
  if (function_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, Teardown, this);
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

void Completion::CallJs(napi_env env, napi_value callback, void* context, void* data) {
  if (env == nullptr || callback == nullptr) return;  // the environment is going: nobody is left to tell
  auto* self = static_cast<Completion*>(context);
  self->queued_.store(false);
  if (self->function_ != nullptr) self->turn_(env, callback);
}

void Completion::CallBack(napi_env env, napi_value callback, size_t count, const napi_value* arguments) {
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, callback, count, arguments, nullptr) != napi_pending_exception) return;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

void Completion::Teardown(void* pointer) {
  auto* self = static_cast<Completion*>(pointer);
  self->onTeardown_();
  if (self->function_ == nullptr) return;
  napi_release_threadsafe_function(self->function_, napi_tsfn_abort);
  self->function_ = nullptr;
}

}  // namespace karst
