import type { Env, Timer } from '../../src/common/env.js'
import type { ServerError, StorageError } from '../../src/common/errors.js'
import { compareBytes } from '../../src/common/bytes.js'
import { regionContains, regionCovers, sameEpoch } from '../../src/common/region.js'
import type { RegionId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import { err, ok } from '../../src/common/result.js'
import type { Result } from '../../src/common/result.js'
import { BatchOp, wholeValue } from '../../src/engine/api.js'
import type {
  Cf, EngineReader, Hot, PendingRead, ReadDone, Row, ScanOptions, ScanPage, ValuesPage,
} from '../../src/engine/api.js'
import { rawEvaluator } from '../../src/rawkv/evaluator.js'
import { toHex } from '../../src/common/bytes.js'
import type { KeyRange, RegionStore, RegionView } from '../../src/store/api.js'
import type { RequestContext } from '../../src/wire/messages.js'

/** A sorted map that scans as engine/api promises; enough to stand under the raw service. */
export class MapReader implements EngineReader {
  readonly rows = new Map<string, Row>()
  /** Everything is on disk. */
  isCold = false
  /** What reads fail with. */
  failure: StorageError | undefined
  /** No thread takes a read. */
  isCrowded = false
  later: (run: () => void) => void = run => { queueMicrotask(run) }
  readonly scans: ScanOptions[] = []

  get(_cf: Cf, key: Uint8Array, tailBytes = wholeValue): Uint8Array | undefined {
    return tailOf(this.rows.get(toHex(key))?.value, tailBytes)
  }
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
    const values: (Uint8Array | undefined)[] = []
    let bytes = 0
    for (const key of keys) {
      const value = this.get(cf, key)
      bytes += value?.length ?? 0
      if (values.length > 0 && bytes > bytesMax) return { values, more: true }
      values.push(value)
    }
    return { values, more: false }
  }
  scan(options: ScanOptions): ScanPage {
    this.scans.push(options)
    const all = [...this.rows.values()].sort((left, right) => compareBytes(left.key, right.key))
      .filter(row => compareBytes(row.key, options.start) >= 0 &&
        (options.end.length === 0 || compareBytes(row.key, options.end) < 0))
    if (options.reverse) all.reverse()
    const rows: Row[] = []
    let bytes = 0
    for (const row of all) {
      if (rows.length === options.rowsMax || (rows.length > 0 && bytes >= options.bytesMax)) return { rows, more: true, resume: undefined }
      const value = tailOf(row.value, options.valueTailBytes ?? wholeValue)!
      rows.push({ key: row.key, value })
      bytes += row.key.length + value.length
    }
    return { rows, more: false, resume: undefined }
  }

  tryGet(cf: Cf, key: Uint8Array, tailBytes?: number): Hot<Uint8Array | undefined> { return this.#try(() => this.get(cf, key, tailBytes)) }
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.#try(() => this.multiGet(cf, keys, bytesMax))
  }
  tryScan(options: ScanOptions): Hot<ScanPage> { return this.#try(() => this.scan(options)) }
  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead | undefined {
    return this.#later(this.get(cf, key, tailBytes), done)
  }
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead | undefined {
    return this.#later(this.multiGet(cf, keys, bytesMax), done)
  }
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined { return this.#later(this.scan(options), done) }

  #try<T>(read: () => T): Hot<T> {
    if (this.isCold) return 'cold'
    if (this.failure) throw this.failure
    return read()
  }

  /** Found at once, told later: what is written meanwhile is not seen. */
  #later<T>(found: T, done: ReadDone<T>): PendingRead | undefined {
    if (this.isCrowded) return undefined
    const { failure } = this
    this.later(() => { done(failure ? err(failure) : ok(found)) })
    return { cancel: () => {} }
  }
}

const tailOf = (value: Uint8Array | undefined, tailBytes: number): Uint8Array | undefined =>
  value && value.length > tailBytes ? value.subarray(value.length - tailBytes) : value

/** One store, all its regions led here; applies at once and answers in the same turn. */
export class FakeStore implements RegionStore {
  isBusy = false
  nowMs = 1_000_000
  reads = 0
  writes = 0
  /** Answers instead of the next operations, first in first out. */
  readonly failures: ServerError[] = []

  /** Asked before the region is looked at. */
  gate: (context: RequestContext) => ServerError | undefined = () => undefined

  constructor(public regions: readonly Region[], readonly reader = new MapReader()) {}

  #region(context: RequestContext, range: KeyRange): Result<Region, ServerError> {
    const failure = this.failures.shift() ?? this.gate(context)
    if (failure) return err(failure)
    const region = this.regions.find(one => one.regionId === context.regionId)
    if (!region) return err({ kind: 'RegionNotFound', regionId: context.regionId })
    if (!sameEpoch(region.epoch, context.epoch)) return err({ kind: 'EpochNotMatch', currentRegions: this.regions })
    const isInside = range.single ? regionContains(region, range.start) : regionCovers(region, range.start, range.end)
    if (isInside) return ok(region)
    return err({ kind: 'KeyNotInRegion', regionId: region.regionId, key: range.start,
      startKey: region.startKey, endKey: region.endKey })
  }

  readonly readFailures: StorageError[] = []
  readonly #failed = (_region: RegionId, error: StorageError): ServerError => {
    this.readFailures.push(error)
    return { kind: 'ServerIsBusy', reason: error.message, backoffMs: 1 }
  }

  read(context: RequestContext, range: KeyRange, done: (result: Result<RegionView, ServerError>) => void): void {
    this.reads++
    const region = this.#region(context, range)
    done(region.ok ? ok({ reader: this.reader, region: region.value, nowMs: this.nowMs, failed: this.#failed }) : region)
  }

  write(context: RequestContext, range: KeyRange, records: Uint8Array,
    done: (result: Result<readonly Uint8Array[], ServerError>) => void): void {
    this.writes++
    const region = this.#region(context, range)
    if (!region.ok) return done(region)
    const results: Uint8Array[] = []
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength)
    for (let at = 0; at < records.length;) {
      const keyBytes = view.getUint32(at + 4, true)
      const valueBytes = view.getUint32(at + 8, true)
      const key = records.subarray(at + 12, at + 12 + keyBytes)
      const value = records.subarray(at + 12 + keyBytes, at + 12 + keyBytes + valueBytes)
      this.#apply(records[at]!, key, value, results)
      at += 12 + keyBytes + valueBytes
    }
    done(ok(results))
  }

  #apply(op: number, key: Uint8Array, value: Uint8Array, results: Uint8Array[]): void {
    const { rows } = this.reader
    const id = toHex(key)
    if (op === BatchOp.Put) rows.set(id, { key, value })
    else if (op === BatchOp.Delete) rows.delete(id)
    else if (op === BatchOp.DeleteRange) {
      for (const [at, row] of rows) {
        if (compareBytes(row.key, key) >= 0 && compareBytes(row.key, value) < 0) rows.delete(at)
      }
    } else {
      const outcome = rawEvaluator.evaluate(op, key, value, rows.get(id)?.value, this.nowMs)
      if (outcome.effect === 'put') rows.set(id, { key, value: outcome.bytes })
      if (outcome.effect === 'delete') rows.delete(id)
      results.push(outcome.result)
    }
  }
}

/** Time that a test moves. Timers and deferred calls run in `advance`, in order of time and then of setting. */
export class FakeEnv implements Env {
  readonly name = 'test'
  nowMs = 1000
  #seed: number
  #order = 0
  #timers: { at: number; order: number; run: () => void }[] = []

  constructor(seed = 1) { this.#seed = seed }

  readonly clock = { monotonicMs: (): number => this.nowMs, wallMs: (): number => 1_700_000_000_000 + this.nowMs }
  readonly random = {
    float: (): number => {
      this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0
      return this.#seed / 2 ** 32
    },
    below: (bound: number): number => Math.floor(this.random.float() * bound),
    bytes: (count: number): Uint8Array => Uint8Array.from({ length: count }, () => this.random.below(256)),
  }
  get network(): never { throw new Error('no network here') }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer = { at: this.nowMs + Math.max(0, delayMs), order: this.#order++, run }
    this.#timers.push(timer)
    return { cancel: () => { this.#timers = this.#timers.filter(other => other !== timer) } }
  }
  defer(run: () => void): void { this.setTimer(0, run) }
  log(): void {}
  failpoint(): void {}

  get timers(): number { return this.#timers.length }

  /** Runs whatever is due now. */
  async advance(ms: number): Promise<void> {
    const until = this.nowMs + ms
    for (;;) {
      for (let i = 0; i < 20; i++) await Promise.resolve()
      const next = this.#timers.filter(timer => timer.at <= until)
        .sort((left, right) => left.at - right.at || left.order - right.order)[0]
      if (!next) break
      this.#timers = this.#timers.filter(timer => timer !== next)
      this.nowMs = Math.max(this.nowMs, next.at)
      next.run()
    }
    this.nowMs = until
    for (let i = 0; i < 20; i++) await Promise.resolve()
  }

  /** Advances until the promise settles; a promise that hangs fails the test. */
  async settle<T>(promise: Promise<T>, withinMs = 120_000): Promise<T> {
    const state: { outcome?: { ok: true; value: T } | { ok: false; reason: unknown } } = {}
    promise.then(value => { state.outcome = { ok: true, value } }, reason => { state.outcome = { ok: false, reason } })
    const until = this.nowMs + withinMs
    for (;;) {
      await this.advance(0)
      if (state.outcome) break
      if (this.nowMs >= until) throw new Error(`not settled within ${withinMs} ms`)
      const next = Math.min(until, ...this.#timers.map(timer => timer.at))
      await this.advance(next - this.nowMs)
    }
    if (state.outcome.ok) return state.outcome.value
    throw state.outcome.reason
  }
}
