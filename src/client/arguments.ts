import { equalBytes, prefixEnd, utf8 } from '../common/bytes.js'
import { limits } from '../common/limits.js'
import { keyspaceBounds, wireKey, wireKeyOfText, wirePrefixBytes } from '../rawkv/codec.js'
import { InvalidArgumentError, LimitExceededError } from './errors.js'

/** Text is UTF-8. */
export type Bytes = string | Uint8Array

/** [start, end) of user keys, or all keys with a prefix. Nothing given: no bound on that side. */
export type KeyRangeInput =
  | { readonly start?: Bytes; readonly end?: Bytes; readonly prefix?: undefined }
  | { readonly prefix: Bytes; readonly start?: undefined; readonly end?: undefined }

export const toBytes = (input: Bytes): Uint8Array => typeof input === 'string' ? utf8(input) : input

/** @throws InvalidArgumentError, LimitExceededError. The servers check the same again. */
export function toWireKey(keyspace: number, input: Bytes): Uint8Array {
  if (input.length === 0) throw new InvalidArgumentError('the empty key cannot be stored')
  const key = typeof input === 'string' ? wireKeyOfText(keyspace, input) : wireKey(keyspace, input)
  checkKeyBytes(key.length - wirePrefixBytes)
  return key
}

function checkKeyBytes(bytes: number): void {
  if (bytes > limits.keyBytesMax) throw new LimitExceededError('keyBytesMax', bytes, limits.keyBytesMax)
}

/** @returns wire keys, both set */
export function toWireRange(keyspace: number, range: KeyRangeInput): { start: Uint8Array; end: Uint8Array } {
  const whole = keyspaceBounds(keyspace)
  const bound = (input: Bytes): Uint8Array => {
    const bytes = toBytes(input)
    checkKeyBytes(bytes.length)
    return wireKey(keyspace, bytes)
  }
  if (range.prefix !== undefined) {
    const start = bound(range.prefix)
    return { start, end: equalBytes(start, whole.start) ? whole.end : prefixEnd(start) }
  }
  return {
    start: range.start === undefined ? whole.start : bound(range.start),
    end: range.end === undefined ? whole.end : bound(range.end),
  }
}

export function checkTtl(ttlSeconds: number): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0) {
    throw new InvalidArgumentError('a TTL is a whole number of seconds, 0 = none')
  }
}

/** The server counts a few more bytes a record; it has the last word. */
export function checkEntry(bytes: number): void {
  if (bytes > limits.entryBytesMax) throw new LimitExceededError('entryBytesMax', bytes, limits.entryBytesMax)
}

/** The key just behind a key. */
export function nextKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

