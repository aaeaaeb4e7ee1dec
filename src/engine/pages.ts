import { copyBytes, emptyBytes } from '../common/bytes.js'
import type { Row, ScanPage, ValuesPage } from './api.js'

const emptyPage: ScanPage = { rows: [], more: false, resume: undefined }
const flagMore = 1
const flagResume = 2

/** @param bytes  an owned packed page (native/LAYOUT.md) */
export function decodePage(bytes: Uint8Array): ScanPage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = view.getUint32(0, true)
  const flags = view.getUint32(4, true)
  if (count === 0 && flags === 0) return emptyPage
  const rows = new Array<Row>(count)
  let at = 8
  for (let i = 0; i < count; i++) {
    const valueAt = at + 8 + view.getUint32(at, true)
    const end = valueAt + view.getUint32(at + 4, true)
    const value = end === valueAt ? emptyBytes : bytes.subarray(valueAt, end)
    rows[i] = { key: bytes.subarray(at + 8, valueAt), value }
    at = end
  }
  const resume = flags & flagResume ? bytes.subarray(at + 4, at + 4 + view.getUint32(at, true)) : undefined
  return { rows, more: (flags & flagMore) !== 0, resume }
}

/** @param bytes  an owned packed answer (native/LAYOUT.md) */
export function decodeValues(bytes: Uint8Array): ValuesPage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = view.getUint32(0, true)
  const values = new Array<Uint8Array | undefined>(count)
  let at = 8
  for (let i = 0; i < count; i++) {
    const length = view.getInt32(at, true)
    at += 4
    values[i] = length < 0 ? undefined : bytes.subarray(at, at + Math.max(0, length))
    at += Math.max(0, length)
  }
  return { values, more: view.getUint32(4, true) !== 0 }
}

export function encodedKeysBytes(keys: readonly Uint8Array[]): number {
  let bytes = 0
  for (const key of keys) bytes += 4 + key.length
  return bytes
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
