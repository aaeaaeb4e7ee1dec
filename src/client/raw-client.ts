import { compareBytes, equalBytes } from '../common/bytes.js'
import { engineKeyOf } from '../rawkv/codec.js'
import type { RawPair, RpcName } from '../wire/messages.js'
import {
  checkEntry, checkList, checkOptions, checkSignal, checkTtl, toBytes, toTimeoutMs, toWireKey, toWireRange,
} from './arguments.js'
import type { Bytes, KeyRangeInput } from './arguments.js'
import { Batch, batchItems } from './batch.js'
import { InvalidArgumentError, PartialWriteError, TimeoutError } from './errors.js'
import { RawScan, outcomeError, upper } from './raw-scan.js'
import type { Build, CallKind, CallSettings, Outcome } from './region-call.js'
import type { Router } from './router.js'

export interface ReadOptions {
  /** Whole milliseconds for everything: look-ups, pauses, repeats. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface WriteOptions extends ReadOptions {
  /**
   * Repeat a put or delete whose outcome is open, as TiKV's clients do. It ends sooner in success than in
   * UndeterminedError, but a write of somebody else in between may be overwritten by the repeat. Default false.
   */
  readonly retryUndetermined?: boolean
}

export interface PutOptions extends WriteOptions {
  /** Whole seconds; 0 = for ever. */
  readonly ttlSeconds?: number
}

export interface CasOptions extends ReadOptions {
  readonly ttlSeconds?: number
}

export interface ScanOptions extends ReadOptions {
  /** Rows at most; default: all. */
  readonly limit?: number
  readonly keysOnly?: boolean
  /** Rows asked for at once. Default 1024. */
  readonly pageRows?: number
}

export interface Swap {
  readonly swapped: boolean
  /** What was there before, whether it was swapped or not; undefined = absent. */
  readonly previous: Uint8Array | undefined
}

export type PutPair = readonly [key: Bytes, value: Bytes] |
  { readonly key: Bytes; readonly value: Bytes; readonly ttlSeconds?: number }

const defaultPageRows = 1024

/**
 * Keys and values without transactions. Every operation on one key is linearizable; batches and scans are not atomic
 * over regions. Keys and values go in as text or bytes and come out as bytes, owned by the caller.
 *
 * All methods reject with KarstError only: InvalidArgument and LimitExceeded before anything is sent; Timeout,
 * Aborted, PdUnavailable and Closed when certainly nothing was written; Undetermined when a write may have happened.
 */
export class RawClient {
  readonly #router: Router
  readonly #keyspace: number
  readonly #timeoutMs: number
  readonly #plain: { readonly [kind in CallKind]: CallSettings }

  constructor(router: Router, keyspace: number, timeoutMs: number) {
    this.#router = router
    this.#keyspace = keyspace
    this.#timeoutMs = timeoutMs
    const plain = (kind: CallKind): CallSettings => ({ kind, timeoutMs, signal: undefined })
    this.#plain = { read: plain('read'), write: plain('write'), idempotentWrite: plain('idempotentWrite') }
  }

  /** @returns undefined when absent or expired */
  get(key: Bytes, options?: ReadOptions): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const wire = toWireKey(this.#keyspace, key)
      this.#request('RawGet', wire, context => ({ context, key: wire }), this.#settings('read', options), outcome =>
        outcome.kind === 'done' ? resolve(outcome.value.value) : reject(outcomeError(outcome)))
    })
  }

  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const wire = toWireKey(this.#keyspace, key)
      const bytes = toBytes(value, 'a value')
      checkOptions(options)
      const ttlSeconds = this.#checked(wire, bytes, options?.ttlSeconds)
      this.#request('RawPut', wire, context => ({ context, key: wire, value: bytes, ttlSeconds }),
        this.#settings(writeKind(options), options), outcome =>
          outcome.kind === 'done' ? resolve() : reject(outcomeError(outcome)))
    })
  }

  delete(key: Bytes, options?: WriteOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const wire = toWireKey(this.#keyspace, key)
      this.#request('RawDelete', wire, context => ({ context, key: wire }),
        this.#settings(writeKind(options), options), outcome =>
          outcome.kind === 'done' ? resolve() : reject(outcomeError(outcome)))
    })
  }

  /** @returns seconds left, 0 = no expiry, undefined = absent */
  getTtl(key: Bytes, options?: ReadOptions): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const wire = toWireKey(this.#keyspace, key)
      this.#request('RawGetTtl', wire, context => ({ context, key: wire }), this.#settings('read', options), outcome =>
        outcome.kind === 'done' ? resolve(outcome.value.ttlSeconds) : reject(outcomeError(outcome)))
    })
  }

  /** Writes `value` if the key holds `expected`; `expected` undefined: if the key is absent. Never repeated when open. */
  compareAndSwap(key: Bytes, expected: Bytes | undefined, value: Bytes, options?: CasOptions): Promise<Swap> {
    return this.#cas(key, expected, value, options)
  }

  putIfAbsent(key: Bytes, value: Bytes, options?: CasOptions): Promise<Swap> {
    return this.#cas(key, undefined, value, options)
  }

  /** Deletes the key if it holds `expected`. */
  compareAndDelete(key: Bytes, expected: Bytes, options?: ReadOptions): Promise<Swap> {
    return this.#cas(key, expected, undefined, options)
  }

  /** @returns values in the order of keys */
  async batchGet(keys: readonly Bytes[], options?: ReadOptions): Promise<(Uint8Array | undefined)[]> {
    checkList(keys, 'keys')
    const values = new Array<Uint8Array | undefined>(keys.length).fill(undefined)
    const wireKeys = keys.map(key => toWireKey(this.#keyspace, key))
    await new Batch(this.#router, {
      name: 'RawBatchGet',
      request: (context, items) => ({ context, keys: items.map(item => item.key), prefixWelcome: true }),
      take: (items, answer) => {
        answer.values.forEach((value, at) => { values[items[at]!.index] = value })
        return answer.values.length
      },
    }, this.#settings('read', options)).run(batchItems(wireKeys, () => 0))
    return values
  }

  /** Atomic per request only: up to 1024 keys or 512 KiB of one region. Of a key that comes twice the last one counts. */
  async batchPut(pairs: readonly PutPair[], options?: PutOptions): Promise<void> {
    checkList(pairs, 'pairs')
    checkOptions(options)
    const rows = lastOfEach(pairs.map(pair => this.#pair(pair, options?.ttlSeconds)))
    await new Batch(this.#router, {
      name: 'RawBatchPut',
      request: (context, items) => ({ context, pairs: items.map(item => rows[item.index]!) }),
      take: items => items.length,
    }, this.#settings(writeKind(options), options))
      .run(batchItems(rows.map(row => row.key), index => rows[index]!.value.length))
  }

  async batchDelete(keys: readonly Bytes[], options?: WriteOptions): Promise<void> {
    checkList(keys, 'keys')
    const wireKeys = keys.map(key => toWireKey(this.#keyspace, key))
    await new Batch(this.#router, {
      name: 'RawBatchDelete',
      request: (context, items) => ({ context, keys: items.map(item => item.key) }),
      take: items => items.length,
    }, this.#settings(writeKind(options), options)).run(batchItems(wireKeys, () => 0))
  }

  /** `for await (const { key, value } of raw.scan({ prefix: 'user/' }))`, or `.toArray()`. Ascending. */
  scan(range: KeyRangeInput = {}, options: ScanOptions = {}): RawScan {
    return this.#scan(range, options, false)
  }

  /** The same range, [start, end), from its end downwards. */
  reverseScan(range: KeyRangeInput = {}, options: ScanOptions = {}): RawScan {
    return this.#scan(range, options, true)
  }

  /**
   * Deletes [start, end) or a prefix, region by region; the time-out is for all of them together. At least one bound must
   * be given, and an empty one is none.
   */
  async deleteRange(range: KeyRangeInput, options?: WriteOptions): Promise<void> {
    const { start: first, end } = toWireRange(this.#keyspace, range)
    let start = first
    const isBounded = range.prefix !== undefined || Boolean(range.start?.length) || Boolean(range.end?.length)
    if (!isBounded) throw new InvalidArgumentError('a delete range needs a bound; prefix: \'\' stands for all keys')
    const whole = this.#settings(writeKind(options), options)
    const deadlineMs = this.#router.nowMs + whole.timeoutMs
    for (let regions = 0; compareBytes(start, end) < 0; regions++) {
      const from = start
      const timeoutMs = Math.ceil(deadlineMs - this.#router.nowMs)
      if (timeoutMs <= 0) {
        throw new PartialWriteError(regions, 1, 'regions', { cause: new TimeoutError(whole.timeoutMs, 'more regions to go') })
      }
      const settings = regions === 0 ? whole : { ...whole, timeoutMs }
      const outcome = await this.#router.call('RawDeleteRange', { key: engineKeyOf(from), isBefore: false },
        context => ({ context, start: from, end }), settings)
      if (outcome.kind === 'done') {
        start = upper(start, end, outcome.route.region.endKey)
        continue
      }
      const error = outcomeError(outcome)
      if (regions === 0 || error.isUndetermined) throw error
      throw new PartialWriteError(regions, 1, 'regions', { cause: error })
    }
  }

  #cas(key: Bytes, expected: Bytes | undefined, value: Bytes | undefined, options?: CasOptions): Promise<Swap> {
    return new Promise((resolve, reject) => {
      const wire = toWireKey(this.#keyspace, key)
      const before = expected === undefined ? undefined : toBytes(expected, 'an expected value')
      const after = value === undefined ? undefined : toBytes(value, 'a value')
      const bytes = (before?.length ?? 0) + (after?.length ?? 0)
      checkEntry(wire.length + bytes)
      checkOptions(options)
      const ttlSeconds = options?.ttlSeconds ?? 0
      checkTtl(ttlSeconds)
      this.#request('RawCas', wire, context => ({ context, key: wire, expected: before, value: after, ttlSeconds }),
        this.#settings('write', options), outcome =>
          outcome.kind === 'done' ? resolve(outcome.value) : reject(outcomeError(outcome)))
    })
  }

  #scan(range: KeyRangeInput, options: ScanOptions, isReverse: boolean): RawScan {
    checkOptions(options)
    return new RawScan(this.#router, {
      ...toWireRange(this.#keyspace, range),
      rowsMax: options.limit ?? Infinity,
      keysOnly: options.keysOnly ?? false,
      isReverse,
      pageRows: options.pageRows ?? defaultPageRows,
    }, this.#settings('read', options))
  }

  #request<N extends RpcName>(
    name: N, key: Uint8Array, build: Build<N>, settings: CallSettings, done: (outcome: Outcome<N>) => void,
  ): void {
    this.#router.request(name, { key: engineKeyOf(key), isBefore: false }, build, settings, done)
  }

  #pair(pair: PutPair, ttlSeconds: number | undefined): RawPair {
    if (typeof pair !== 'object' || (pair as object | null) === null) {
      throw new InvalidArgumentError('a pair is [key, value] or { key, value }')
    }
    const { key, value, ttlSeconds: own } = isTuple(pair) ? { key: pair[0], value: pair[1], ttlSeconds: undefined } : pair
    const wire = toWireKey(this.#keyspace, key)
    const bytes = toBytes(value, 'a value')
    return { key: wire, value: bytes, ttlSeconds: this.#checked(wire, bytes, own ?? ttlSeconds) }
  }

  #checked(key: Uint8Array, value: Uint8Array, ttlSeconds = 0): number {
    checkEntry(key.length + value.length)
    checkTtl(ttlSeconds)
    return ttlSeconds
  }

  #settings(kind: CallKind, options: ReadOptions | undefined): CallSettings {
    checkOptions(options)
    if (options === undefined || (options.timeoutMs === undefined && options.signal === undefined)) {
      return this.#plain[kind]
    }
    checkSignal(options.signal)
    const { timeoutMs = this.#timeoutMs, signal } = options
    return { kind, timeoutMs: toTimeoutMs(timeoutMs), signal }
  }
}

const isTuple = (pair: PutPair): pair is readonly [Bytes, Bytes] => Array.isArray(pair)

const writeKind = (options: WriteOptions | undefined): CallKind =>
  options?.retryUndetermined ? 'idempotentWrite' : 'write'

/** Parts of a batch run side by side, so that a key's place in the list would not decide. */
function lastOfEach(pairs: readonly RawPair[]): RawPair[] {
  const sorted = [...pairs].sort((left, right) => compareBytes(left.key, right.key))
  return sorted.filter((pair, at) => {
    const next = sorted[at + 1]
    return next === undefined || !equalBytes(pair.key, next.key)
  })
}
