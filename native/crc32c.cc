#include "crc32c.h"

#include <array>

#include "bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace karst {
namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) ? 0x82f63b78u : 0);
    tables[0][byte] = value;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (size_t k = 1; k < 8; k++) tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 255];
  }
  return tables;
}

/** Eight bytes a step through eight tables. */
uint32_t Portable(const uint8_t* at, size_t size, uint32_t crc) {
  static const Tables tables = MakeTables();
  for (; size >= 8; at += 8, size -= 8) {
    const uint64_t word = Load<uint64_t>(at) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; k++) crc ^= tables[7 - k][(word >> (8 * k)) & 255];
  }
  for (; size > 0; at++, size--) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 255];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Hardware(const uint8_t* at, size_t size, uint32_t crc) {
  uint64_t wide = crc;
  for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, Load<uint64_t>(at));
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; at++, size--) crc = _mm_crc32_u8(crc, *at);
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(const void* data, size_t size, uint32_t seed) {
  const auto* at = static_cast<const uint8_t*>(data);
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("sse4.2");
  if (hardware) return ~Hardware(at, size, ~seed);
#endif
  return ~Portable(at, size, ~seed);
}

}  // namespace karst
