// Little-endian loads and stores. The layouts of LAYOUT.md are written for little-endian hosts.
#pragma once
#include <cstdint>
#include <cstring>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "karst's packed layouts are little-endian");

namespace karst {

template <typename T>
inline T Load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
inline void Store(void* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

inline uint64_t AlignUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace karst
