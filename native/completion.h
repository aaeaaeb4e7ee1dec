// One door from native threads to one environment's JS thread. Calls are coalesced: however often a thread
// signals, at most one turn is queued, and that turn reads the newest state.
#pragma once
#include <node_api.h>

#include <atomic>
#include <functional>

namespace karst {

class Completion {
 public:
  /** Runs on the JS thread, in a turn of its own. `callback` is the JS function given to Open. */
  using Turn = std::function<void(napi_env env, napi_value callback)>;

  /** JS thread. @param onTeardown runs before the environment goes; must stop every thread that may Signal. */
  bool Open(napi_env env, napi_value callback, const char* name, Turn turn, std::function<void()> onTeardown);
  /** Any thread, between Open and Close. */
  void Signal();
  /** JS thread: keep the event loop alive while work is under way. */
  void Hold(bool held);
  /** JS thread, after the signalling threads are joined. Idempotent. */
  void Close();
  ~Completion() { Close(); }

  /** Calls into JS from a turn. What it throws becomes an uncaught exception; by default it would only be a warning. */
  static void CallBack(napi_env env, napi_value callback, size_t count, const napi_value* arguments);

 private:
  static void CallJs(napi_env env, napi_value callback, void* context, void* data);
  static void Teardown(void* self);

  napi_env env_ = nullptr;
  napi_threadsafe_function function_ = nullptr;
  std::atomic<bool> queued_{false};
  bool held_ = false;
  Turn turn_;
  std::function<void()> onTeardown_;
};

}  // namespace karst
