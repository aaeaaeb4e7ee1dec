import { copyBytes, emptyBytes } from '../common/bytes.js'
import type { Row, ScanPage } from './api.js'

const emptyPage: ScanPage = { rows: [], more: false }

/** @param bytes  an owned packed page: u32 rows, u32 more, then per row u32 keyBytes, u32 valueBytes, key, value */
export function decodePage(bytes: Uint8Array): ScanPage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = view.getUint32(0, true)
  if (count === 0) return emptyPage
  const rows = new Array<Row>(count)
  let at = 8
  for (let i = 0; i < count; i++) {
    const valueAt = at + 8 + view.getUint32(at, true)
    const end = valueAt + view.getUint32(at + 4, true)
    const value = end === valueAt ? emptyBytes : bytes.subarray(valueAt, end)
    rows[i] = { key: bytes.subarray(at + 8, valueAt), value }
    at = end
  }
  return { rows, more: view.getUint32(4, true) !== 0 }
}

/** @param bytes  an owned packed answer: per key i32 length or -1, value */
export function decodeValues(bytes: Uint8Array, count: number): (Uint8Array | undefined)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const values = new Array<Uint8Array | undefined>(count)
  let at = 0
  for (let i = 0; i < count; i++) {
    const length = view.getInt32(at, true)
    at += 4
    values[i] = length < 0 ? undefined : bytes.subarray(at, at + Math.max(0, length))
    at += Math.max(0, length)
  }
  return values
}

/** Packs keys as u32 length, bytes. @returns bytes used */
export function encodeKeys(keys: readonly Uint8Array[], to: Uint8Array): number {
  let at = 0
  for (const key of keys) {
    to[at] = key.length & 0xff
    to[at + 1] = (key.length >>> 8) & 0xff
    to[at + 2] = (key.length >>> 16) & 0xff
    to[at + 3] = key.length >>> 24
    to.set(key, at + 4)
    at += 4 + key.length
  }
  return at
}

export const copyOut = (arena: Uint8Array, length: number): Uint8Array => copyBytes(arena.subarray(0, length))
