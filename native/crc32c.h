#pragma once
#include <cstddef>
#include <cstdint>

namespace karst {

/** CRC-32C (Castagnoli, reflected 0x82f63b78), as in iSCSI. Hardware where there is one. */
uint32_t Crc32c(const void* data, size_t size, uint32_t seed = 0);

}  // namespace karst
