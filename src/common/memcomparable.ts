import { emptyBytes } from './bytes.js'

/**
 * Order-preserving byte codec of the field (MyRocks, TiKV): groups of 8 bytes padded with zeros, each
 * followed by 0xff minus the number of pad bytes. Encoded order equals plain order, and no encoded key is
 * a proper prefix of another, so that suffixes (timestamps) never disturb the order.
 */
const groupBytes = 8
const marker = 0xff

export const encodedLength = (plainLength: number): number =>
  (Math.floor(plainLength / groupBytes) + 1) * (groupBytes + 1)

/** @returns owned bytes */
export function encodeBytes(plain: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(encodedLength(plain.length))
  let at = 0
  for (let from = 0; from <= plain.length; from += groupBytes) {
    const count = Math.min(groupBytes, plain.length - from)
    for (let i = 0; i < count; i++) encoded[at + i] = plain[from + i]!
    encoded[at + groupBytes] = marker - (groupBytes - count)
    at += groupBytes + 1
  }
  return encoded
}

/** @returns the plain bytes and the encoded length taken, or undefined when the bytes are not an encoding */
export function decodeBytes(encoded: Uint8Array): { plain: Uint8Array; taken: number } | undefined {
  const plain = new Uint8Array(encoded.length)
  let length = 0
  for (let at = 0; at + groupBytes < encoded.length; at += groupBytes + 1) {
    const pad = marker - encoded[at + groupBytes]!
    if (pad > groupBytes) return undefined
    const count = groupBytes - pad
    for (let i = 0; i < count; i++) plain[length++] = encoded[at + i]!
    for (let i = count; i < groupBytes; i++) if (encoded[at + i] !== 0) return undefined
    if (pad > 0) return { plain: length === 0 ? emptyBytes : plain.subarray(0, length), taken: at + groupBytes + 1 }
  }
  return undefined
}
