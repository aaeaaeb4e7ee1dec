import { copyBytes, equalBytes, prefixEnd, utf8 } from '../common/bytes.js'
import { limits } from '../common/limits.js'
import { keyspaceBounds, wireKey, wireKeyOfText, wirePrefixBytes } from '../rawkv/codec.js'
import { boundBytesMax, ttlSecondsMax } from '../rawkv/limits.js'
import { InvalidArgumentError, LimitExceededError } from './errors.js'

/** Text is UTF-8. */
export type Bytes = string | Uint8Array

/** [start, end) of user keys, or all keys with a prefix. Nothing given, or an empty end: no bound on that side. */
export type KeyRangeInput =
  | { readonly start?: Bytes; readonly end?: Bytes; readonly prefix?: undefined }
  | { readonly prefix: Bytes; readonly start?: undefined; readonly end?: undefined }

/** What a timer takes: about 24 days. More would fire at once. */
export const timeoutMsMax = 2 ** 31 - 1

/** How a value that is none of ours is told: `an ArrayBuffer`, `a number`, `null`. */
function told(input: unknown): string {
  if (input === null || input === undefined) return String(input)
  const name = typeof input === 'object' ? Object.prototype.toString.call(input).slice('[object '.length, -1) : typeof input
  return `${/^[AEIOUaeiou]/.test(name) ? 'an' : 'a'} ${name}`
}

/** Buffers are Uint8Arrays; those of another realm are too. Nothing else has one byte an element. */
const isByteArray = (input: unknown): input is Uint8Array =>
  input instanceof Uint8Array || (ArrayBuffer.isView(input) && Object.prototype.toString.call(input) === '[object Uint8Array]')

function checkText(text: string, what: string): void {
  // TextEncoder would write U+FFFD for a lone surrogate: two texts would become one key.
  if (!isWellFormed(text)) throw new InvalidArgumentError(`${what} is text with half of a surrogate pair, which UTF-8 cannot hold`)
}

const loneSurrogate = /\p{Surrogate}/u
const isWellFormed = (text: string): boolean => !loneSurrogate.test(text)

/**
 * @returns owned bytes: a request may be encoded, or encoded again, long after the call returned
 * @throws InvalidArgumentError for what is neither text nor bytes
 */
export function toBytes(input: Bytes, what: string): Uint8Array {
  if (typeof input === 'string') {
    checkText(input, what)
    return utf8(input)
  }
  if (!isByteArray(input)) throw notBytes(input, what)
  return copyBytes(input)
}

function notBytes(input: unknown, what: string): InvalidArgumentError {
  const hint = ArrayBuffer.isView(input) ? ': wrap its buffer, byteOffset and byteLength in a Uint8Array'
    : Object.prototype.toString.call(input).endsWith('ArrayBuffer]') ? ': wrap it in a Uint8Array' : ''
  return new InvalidArgumentError(`${what} is a string or a Uint8Array, not ${told(input)}${hint}`)
}

/** @throws InvalidArgumentError, LimitExceededError. The servers check the same again. */
export function toWireKey(keyspace: number, input: Bytes, what = 'a key'): Uint8Array {
  if (typeof input !== 'string' && !isByteArray(input)) throw notBytes(input, what)
  if (input.length === 0) throw new InvalidArgumentError('the empty key cannot be stored')
  // A text has at most three bytes a character: one far too long is not encoded to find that out.
  if (input.length > limits.keyBytesMax) throw new LimitExceededError('keyBytesMax', input.length, limits.keyBytesMax)
  if (typeof input !== 'string') return wireKey(keyspace, input)
  checkText(input, what)
  const key = wireKeyOfText(keyspace, input)
  checkKeyBytes(key.length - wirePrefixBytes, limits.keyBytesMax)
  return key
}

function checkKeyBytes(bytes: number, max: number): void {
  if (bytes > max) throw new LimitExceededError('keyBytesMax', bytes, limits.keyBytesMax)
}

const rangeFields: ReadonlySet<string> = new Set(['start', 'end', 'prefix'])

/** A misspelt bound must not become "no bound": that may delete everything. */
function checkRangeShape(range: KeyRangeInput): void {
  if (typeof range !== 'object' || range === null || Array.isArray(range) || ArrayBuffer.isView(range)) {
    throw new InvalidArgumentError(`a range is { start, end } or { prefix }, not ${told(range)}`)
  }
  const stranger = Object.keys(range).find(field => !rangeFields.has(field))
  if (stranger !== undefined) throw new InvalidArgumentError(`a range has start and end, or prefix, but no ${stranger}`)
  if (range.prefix !== undefined && ((range.start ?? range.end) as unknown) !== undefined) {
    throw new InvalidArgumentError('a range has either a prefix or start and end')
  }
}

/** @returns wire keys, both set */
export function toWireRange(keyspace: number, range: KeyRangeInput): { start: Uint8Array; end: Uint8Array } {
  checkRangeShape(range)
  const whole = keyspaceBounds(keyspace)
  const bound = (input: Bytes, what: string, bytesMax: number): Uint8Array => {
    const bytes = toBytes(input, what)
    checkKeyBytes(bytes.length, bytesMax)
    return wireKey(keyspace, bytes)
  }
  if (range.prefix !== undefined) {
    const start = bound(range.prefix, 'a prefix', limits.keyBytesMax)
    return { start, end: equalBytes(start, whole.start) ? whole.end : prefixEndOf(start, whole.end) }
  }
  const start = range.start === undefined ? whole.start : bound(range.start, 'a start', boundBytesMax)
  const end = range.end === undefined ? whole.start : bound(range.end, 'an end', boundBytesMax)
  return { start, end: equalBytes(end, whole.start) ? whole.end : end }
}

/** A prefix of nothing but 0xff has no successor within its keyspace. */
function prefixEndOf(start: Uint8Array, wholeEnd: Uint8Array): Uint8Array {
  const userKey = start.subarray(wirePrefixBytes)
  return userKey.every(byte => byte === 0xff) ? wholeEnd : prefixEnd(start)
}

/** A list, and really one: a text has a length and parts too. */
export function checkList(list: readonly unknown[], what: string): void {
  if (!Array.isArray(list)) throw new InvalidArgumentError(`${what} are an array, not ${told(list)}`)
}

export function checkTtl(ttlSeconds: number): void {
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 0) {
    throw new InvalidArgumentError('a TTL is a whole number of seconds, 0 = none')
  }
  if (ttlSeconds > ttlSecondsMax) throw new LimitExceededError('ttlSecondsMax', ttlSeconds, ttlSecondsMax)
}

/** Whole milliseconds. */
export function toTimeoutMs(timeoutMs: number): number {
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0 && timeoutMs <= timeoutMsMax)) {
    throw new InvalidArgumentError(`timeoutMs is a number of milliseconds above 0, up to ${timeoutMsMax}`)
  }
  return Math.ceil(timeoutMs)
}

export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined || (typeof signal === 'object' && typeof (signal as AbortSignal | null)?.addEventListener === 'function')) return
  throw new InvalidArgumentError(`signal is an AbortSignal, not ${told(signal)}`)
}

/** Options that are no object would be read as none. */
export function checkOptions(options: object | undefined): void {
  if (options === undefined || (typeof options === 'object' && (options as object | null) !== null)) return
  throw new InvalidArgumentError(`options are an object, not ${told(options)}`)
}

/** What certainly does not fit. The server counts a few more bytes a record; it has the last word. */
export function checkEntry(bytes: number): void {
  if (bytes > limits.entryBytesMax) throw new LimitExceededError('entryBytesMax', bytes, limits.entryBytesMax)
}

/** The key just behind a key. */
export function nextKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}
