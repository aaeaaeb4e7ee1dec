import { compareBytes } from '../common/bytes.js'
import type { RequestError } from '../common/errors.js'
import { limits } from '../common/limits.js'
import { keyspaceEnd, keyspaceOf, wirePrefixBytes } from './codec.js'

/** Seconds; about 68 years. Expiry then fits every language's integers. */
export const ttlSecondsMax = 0x7fff_ffff

/** A bound may be one byte longer than a key: "just after the longest key". */
export const boundBytesMax = limits.keyBytesMax + 1

/**
 * What one request may do in one turn of the loop, about a millisecond of it. A scan's answer ends there and says `more`;
 * a batch of more keys is read off the loop.
 */
export const turnRowsMax = 1024
export const turnBytesMax = 1 << 20
export const turnKeysMax = 256

const invalid = (reason: string): RequestError => ({ kind: 'InvalidArgument', reason })

const exceeded = (limit: string, actual: number, max: number): RequestError =>
  ({ kind: 'LimitExceeded', limit, actual, max })

/** @param key a wire key. The empty user key is refused: it would be told apart from "no bound" nowhere. */
export function checkKey(key: Uint8Array): RequestError | undefined {
  if (keyspaceOf(key) === undefined) return invalid('a raw key starts with `r` and a keyspace of 3 bytes')
  if (key.length === wirePrefixBytes) return invalid('the empty key cannot be stored')
  const userBytes = key.length - wirePrefixBytes
  return userBytes > limits.keyBytesMax ? exceeded('keyBytesMax', userBytes, limits.keyBytesMax) : undefined
}

/** [start, end) within one keyspace; `start` may be the bare prefix, `end` empty or the next keyspace's prefix. */
export function checkRange(start: Uint8Array, end: Uint8Array): RequestError | undefined {
  const keyspace = keyspaceOf(start)
  if (keyspace === undefined) return invalid('a range starts with `r` and a keyspace of 3 bytes')
  const longest = Math.max(start.length, end.length) - wirePrefixBytes
  if (longest > boundBytesMax) return exceeded('keyBytesMax', longest, limits.keyBytesMax)
  if (end.length === 0) return undefined
  if (compareBytes(end, keyspaceEnd(keyspace)) > 0) return invalid('a range ends within the keyspace it starts in')
  return undefined
}

export function checkTtl(ttlSeconds: number): RequestError | undefined {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0) return invalid('a TTL is a whole number of seconds, 0 = none')
  return ttlSeconds > ttlSecondsMax ? exceeded('ttlSecondsMax', ttlSeconds, ttlSecondsMax) : undefined
}

/** @param bytes packed records of one request */
export function checkEntry(bytes: number): RequestError | undefined {
  return bytes > limits.entryBytesMax ? exceeded('entryBytesMax', bytes, limits.entryBytesMax) : undefined
}

export function checkBatch(keys: number): RequestError | undefined {
  if (keys === 0) return invalid('an empty batch')
  return keys > limits.batchKeysMax ? exceeded('batchKeysMax', keys, limits.batchKeysMax) : undefined
}

export function checkRows(rowsMax: number): RequestError | undefined {
  if (!Number.isInteger(rowsMax) || rowsMax < 1) return invalid('rowsMax is a whole number from 1 on')
  return rowsMax > limits.scanRowsMax ? exceeded('scanRowsMax', rowsMax, limits.scanRowsMax) : undefined
}

/** Several values of a batch did not fit into one answer; the caller asks for fewer keys. */
export const answerTooLarge = (bytes: number): RequestError =>
  exceeded('responseBytesMax', bytes, limits.responseBytesMax)
