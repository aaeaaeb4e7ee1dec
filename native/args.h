// Arguments of a binding. A wrong type reads as 0 or empty, which every handle table rejects: after a swallowed
// exception (a terminating worker) the values are garbage, so nothing is trusted without a check.
#pragma once
#include <node_api.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <string>

#include "errors.h"

namespace karst {

struct Span {
  uint8_t* data = nullptr;
  size_t size = 0;
};

template <size_t N>
class Args {
 public:
  Args(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = N;
    if (napi_get_cb_info(env, info, &count, values_, nullptr, nullptr) != napi_ok) {
      for (auto& value : values_) value = nullptr;
    }
  }

  int32_t Int(size_t at) const {
    int32_t value = 0;
    if (values_[at] != nullptr && napi_get_value_int32(env_, values_[at], &value) != napi_ok) return 0;
    return value;
  }

  double Number(size_t at) const {
    double value = 0;
    if (values_[at] != nullptr && napi_get_value_double(env_, values_[at], &value) != napi_ok) return 0;
    return value;
  }

  uint64_t U64(size_t at) const {
    const double value = Number(at);
    return value >= 0 && value < 18446744073709551615.0 ? static_cast<uint64_t>(value) : 0;
  }

  std::string Text(size_t at) const {
    size_t bytes = 0;
    if (values_[at] == nullptr || napi_get_value_string_utf8(env_, values_[at], nullptr, 0, &bytes) != napi_ok) return {};
    std::string text(bytes, '\0');
    napi_get_value_string_utf8(env_, values_[at], text.data(), bytes + 1, &bytes);
    return text;
  }

  /** A Uint8Array or Buffer; empty when it is something else. */
  Span Bytes(size_t at) const {
    Span span;
    napi_typedarray_type type;
    void* data = nullptr;
    size_t length = 0;
    if (values_[at] == nullptr || napi_get_typedarray_info(env_, values_[at], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      return span;
    }
    span.data = static_cast<uint8_t*>(data);
    span.size = length;
    return span;
  }

  napi_value Raw(size_t at) const { return values_[at]; }

 private:
  napi_env env_;
  napi_value values_[N];
};

inline napi_value Number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

inline napi_value Int(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

/** A plain Uint8Array with a copy. */
inline napi_value Bytes(napi_env env, const void* data, size_t size) {
  napi_value buffer = nullptr;
  napi_value result = nullptr;
  void* to = nullptr;
  if (napi_create_arraybuffer(env, size, &to, &buffer) != napi_ok) return nullptr;
  if (size > 0) std::memcpy(to, data, size);
  napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &result);
  return result;
}

/** No C++ exception crosses the JS line. */
template <napi_value (*Body)(napi_env, napi_callback_info)>
napi_value Guarded(napi_env env, napi_callback_info info) noexcept {
  try {
    return Body(env, info);
  } catch (const std::exception& error) {
    return Throw(env, Failure::Of(Code::io, error.what()));
  } catch (...) {
    return Throw(env, Failure::Of(Code::io, "unknown C++ exception"));
  }
}

template <napi_value (*Body)(napi_env, napi_callback_info)>
void Export(napi_env env, napi_value exports, const char* name) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, Guarded<Body>, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace karst
