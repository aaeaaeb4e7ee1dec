// SipHash-2-4 (Aumasson, Bernstein 2012): a short keyed tag that cannot be made without the key.
#pragma once
#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace karst {

struct SipKey {
  uint64_t low = 0;
  uint64_t high = 0;
};

inline uint64_t SipHash(const SipKey& key, const uint8_t* data, size_t size) {
  uint64_t v0 = key.low ^ 0x736f6d6570736575;
  uint64_t v1 = key.high ^ 0x646f72616e646f6d;
  uint64_t v2 = key.low ^ 0x6c7967656e657261;
  uint64_t v3 = key.high ^ 0x7465646279746573;
  const auto rotate = [](uint64_t value, int by) { return value << by | value >> (64 - by); };
  const auto rounds = [&](int count) {
    for (; count > 0; count--) {
      v0 += v1, v1 = rotate(v1, 13) ^ v0, v0 = rotate(v0, 32);
      v2 += v3, v3 = rotate(v3, 16) ^ v2;
      v0 += v3, v3 = rotate(v3, 21) ^ v0;
      v2 += v1, v1 = rotate(v1, 17) ^ v2, v2 = rotate(v2, 32);
    }
  };
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (; size >= 8; data += 8, size -= 8) {
    const uint64_t word = Load<uint64_t>(data);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  for (size_t i = 0; i < size; i++) last |= static_cast<uint64_t>(data[i]) << (8 * i);
  v3 ^= last;
  rounds(2);
  v0 ^= last;
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace karst
