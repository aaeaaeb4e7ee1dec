import { assert } from '../common/assert.js'
import { emptyBytes, toHex } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { encodedLength } from '../common/memcomparable.js'

/**
 * Three shapes of a raw key:
 *
 *   user key     what the application wrote
 *   wire key     `r` ‖ keyspace (3 bytes, big-endian) ‖ user key          (storage API v2)
 *   engine key   memcomparable(wire key); region boundaries are engine keys
 *
 * and one of a raw value in CF default:   value ‖ [expiry: u64 BE, seconds since 1970] ‖ flags u8
 */
export const rawMode = 0x72
export const keyspaceMax = 0xff_ffff
/** Mode byte and keyspace in front of the user key. */
export const wirePrefixBytes = 4

const groupBytes = 8
const groupMarker = 0xff
const flagExpiry = 1
const expiryBytes = 8

/** @returns owned bytes; with an empty user key this is the smallest wire key of the keyspace */
export function wireKey(keyspace: number, userKey: Uint8Array): Uint8Array {
  const key = new Uint8Array(wirePrefixBytes + userKey.length)
  writePrefix(key, keyspace)
  key.set(userKey, wirePrefixBytes)
  return key
}

/** Short ASCII texts, the usual keys, are written in place: a third of the time of TextEncoder and a copy. */
export function wireKeyOfText(keyspace: number, text: string): Uint8Array {
  const key = new Uint8Array(wirePrefixBytes + text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return wireKey(keyspace, new TextEncoder().encode(text))
    key[wirePrefixBytes + i] = code
  }
  writePrefix(key, keyspace)
  return key
}

function writePrefix(key: Uint8Array, keyspace: number): void {
  assert(Number.isInteger(keyspace) && keyspace >= 0 && keyspace <= keyspaceMax, () => `keyspace ${keyspace}`)
  key[0] = rawMode
  key[1] = keyspace >>> 16
  key[2] = keyspace >>> 8
  key[3] = keyspace
}

/** @param key a wire key that passed limits.checkKey; @returns a view */
export const userKeyOf = (key: Uint8Array): Uint8Array => key.subarray(wirePrefixBytes)

/** @returns the keyspace of a wire key, or undefined when it has no raw prefix */
export function keyspaceOf(key: Uint8Array): number | undefined {
  if (key.length < wirePrefixBytes || key[0] !== rawMode) return undefined
  return key[1]! << 16 | key[2]! << 8 | key[3]!
}

/** The first wire key behind the keyspace; behind the last keyspace it is the next mode byte, `s`. */
export function keyspaceEnd(keyspace: number): Uint8Array {
  if (keyspace === keyspaceMax) return Uint8Array.of(rawMode + 1)
  return wireKey(keyspace + 1, emptyBytes)
}

/** All keys of the keyspace: [start, end), wire keys. */
export function keyspaceBounds(keyspace: number): { readonly start: Uint8Array; readonly end: Uint8Array } {
  return { start: wireKey(keyspace, emptyBytes), end: keyspaceEnd(keyspace) }
}

/** Memcomparable encoding into a buffer that is zero from `at` on. @returns the position behind it */
export function writeEngineKey(target: Uint8Array, at: number, key: Uint8Array): number {
  const length = key.length
  let from = 0
  for (; from + groupBytes <= length; from += groupBytes) {
    for (let i = 0; i < groupBytes; i++) target[at + i] = key[from + i]!
    target[at + groupBytes] = groupMarker
    at += groupBytes + 1
  }
  const rest = length - from
  for (let i = 0; i < rest; i++) target[at + i] = key[from + i]!
  target[at + groupBytes] = groupMarker - groupBytes + rest
  return at + groupBytes + 1
}

/** @returns owned bytes; the empty key, "no bound", stays empty */
export function engineKeyOf(key: Uint8Array): Uint8Array {
  if (key.length === 0) return emptyBytes
  const encoded = new Uint8Array(encodedLength(key.length))
  writeEngineKey(encoded, 0, key)
  return encoded
}

/** Length of the wire key inside an engine key, read off its last marker. */
export function wireKeyLength(engineKey: Uint8Array): number {
  const groups = engineKey.length / (groupBytes + 1)
  const pad = groupMarker - (engineKey[engineKey.length - 1] ?? 0)
  if (!Number.isInteger(groups) || groups === 0 || pad < 1 || pad > groupBytes) {
    throw new StorageError('corruption', `not an engine key: ${toHex(engineKey)}`)
  }
  return groups * groupBytes - pad
}

/** Decodes into `target` from `at` on; row loops decode a page of keys into one buffer. @returns the position behind it */
export function writeWireKey(target: Uint8Array, at: number, engineKey: Uint8Array, length: number): number {
  for (let from = 0, left = length; left > 0; from += groupBytes + 1, left -= groupBytes) {
    const count = left < groupBytes ? left : groupBytes
    for (let i = 0; i < count; i++) target[at + i] = engineKey[from + i]!
    at += count
  }
  return at
}

/** The inverse of engineKeyOf. @returns owned bytes @throws StorageError corruption */
export function wireKeyOf(engineKey: Uint8Array): Uint8Array {
  if (engineKey.length === 0) return emptyBytes
  const key = new Uint8Array(wireKeyLength(engineKey))
  writeWireKey(key, 0, engineKey, key.length)
  return key
}

/**
 * The smallest wire key whose engine key is not below a boundary, whatever bytes the boundary is: regions made by older
 * servers may meet where no key can be. The first group that is not full decides how much of it the key needs.
 */
export function ceilWireKey(boundary: Uint8Array): Uint8Array {
  const groupLength = groupBytes + 1
  let groups = 0
  while ((groups + 1) * groupLength <= boundary.length && boundary[groups * groupLength + groupBytes] === groupMarker) groups++
  const key = new Uint8Array((groups + 1) * groupBytes)
  for (let group = 0; group <= groups; group++) {
    key.set(boundary.subarray(group * groupLength, group * groupLength + groupBytes), group * groupBytes)
  }
  const at = groups * groupLength
  if (at === boundary.length) return key.subarray(0, groups * groupBytes)
  let count = groupBytes
  while (count > 0 && key[groups * groupBytes + count - 1] === 0) count--
  const marker = (boundary[at + groupBytes] ?? 0) + (boundary.length > at + groupLength ? 1 : 0)
  return key.subarray(0, groups * groupBytes + Math.max(count, marker - (groupMarker - groupBytes)))
}

/** The smallest engine key above this one; not an encoding itself, good for bounds only. */
export function afterEngineKey(engineKey: Uint8Array): Uint8Array {
  const next = new Uint8Array(engineKey.length + 1)
  next.set(engineKey)
  return next
}

// ---- values ----

/** So much of a stored value's end says whether it is alive. */
export const storedTailBytes = expiryBytes + 1

export const storedLength = (valueBytes: number, hasExpiry: boolean): number =>
  valueBytes + 1 + (hasExpiry ? expiryBytes : 0)

/** Writes value ‖ flags for a value without expiry. @returns the position behind it */
export function writeStored(target: Uint8Array, at: number, value: Uint8Array): number {
  target.set(value, at)
  at += value.length
  target[at] = 0
  return at + 1
}

/** @param expirySeconds 0: lives for ever. @returns owned bytes */
export function storedValue(value: Uint8Array, expirySeconds: number): Uint8Array {
  assert(Number.isSafeInteger(expirySeconds) && expirySeconds >= 0, () => `expiry ${expirySeconds}`)
  const stored = new Uint8Array(storedLength(value.length, expirySeconds > 0))
  if (expirySeconds === 0) {
    writeStored(stored, 0, value)
    return stored
  }
  stored.set(value)
  const view = new DataView(stored.buffer, value.length, expiryBytes)
  view.setUint32(0, Math.floor(expirySeconds / 2 ** 32))
  view.setUint32(4, expirySeconds % 2 ** 32)
  stored[stored.length - 1] = flagExpiry
  return stored
}

/** @returns seconds since 1970, 0 = no expiry @throws StorageError corruption */
export function expiryOf(stored: Uint8Array): number {
  const flags = stored.length === 0 ? -1 : stored[stored.length - 1]!
  if (flags === 0) return 0
  const at = stored.length - 1 - expiryBytes
  if (flags !== flagExpiry || at < 0) throw new StorageError('corruption', `stored raw value with flags ${flags}`)
  const view = new DataView(stored.buffer, stored.byteOffset + at, expiryBytes)
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4)
}

/** The user's part of a stored value, or undefined when it has expired. @returns a view */
export function liveValue(stored: Uint8Array, nowMs: number): Uint8Array | undefined {
  const last = stored.length - 1
  if (last >= 0 && stored[last] === 0) return stored.subarray(0, last)
  const expiry = expiryOf(stored)
  if (expiry * 1000 <= nowMs) return undefined
  return stored.subarray(0, last - expiryBytes)
}

/** When a value written at `nowMs` expires: never earlier than `ttlSeconds` from now, less than a second later. */
export const expiryAt = (nowMs: number, ttlSeconds: number): number =>
  ttlSeconds === 0 ? 0 : Math.ceil(nowMs / 1000) + ttlSeconds

/** Whole seconds left of a live value, at least 1; 0 = no expiry. */
export function ttlLeft(stored: Uint8Array, nowMs: number): number {
  const expiry = expiryOf(stored)
  return expiry === 0 ? 0 : Math.max(1, Math.floor(expiry - nowMs / 1000))
}
