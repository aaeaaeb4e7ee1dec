const polynomial = 0x82f63b78
const lanes = 8

/** Slicing by 8: one table per byte lane. Built once, never changed. (Castagnoli; Intel's slicing-by-8 paper) */
function buildTables(): Int32Array {
  const tables = new Int32Array(lanes * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    tables[byte] = crc
  }
  for (let lane = 1; lane < lanes; lane++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[(lane - 1) * 256 + byte]!
      tables[lane * 256 + byte] = (before >>> 8) ^ tables[before & 0xff]!
    }
  }
  return tables
}
const tables = buildTables()

/**
 * CRC-32C of bytes[from, to), continuing `before` (the crc of what came earlier; 0 at the start).
 * @returns unsigned 32 bits
 */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length, before = 0): number {
  let crc = ~before
  let at = from
  for (const last = to - lanes; at <= last; at += lanes) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc = tables[1792 + (low & 0xff)]! ^ tables[1536 + ((low >>> 8) & 0xff)]! ^
      tables[1280 + ((low >>> 16) & 0xff)]! ^ tables[1024 + (low >>> 24)]! ^
      tables[768 + bytes[at + 4]!]! ^ tables[512 + bytes[at + 5]!]! ^ tables[256 + bytes[at + 6]!]! ^ tables[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ tables[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
