import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import { cfNames, wholeValue } from './api.js'
import type {
  Cf, Engine, EngineCalls, EngineDamage, EngineSnapshot, EngineStats, Hot, PendingRead, ReadDone, ScanOptions, ScanPage, ValuesPage,
} from './api.js'
import { addon, storageError } from './native.js'
import { RocksReads } from './rocks-reads.js'

export interface RocksEngineOptions {
  readonly path: string
  /** All column families together; bounds what a restart replays. */
  readonly memtableBytes?: number
  readonly blockCacheBytes?: number
  readonly backgroundJobs?: number
  /** A background write or flush failed: nothing submitted later is acknowledged. Default: thrown from a later turn. */
  readonly onError?: (error: StorageError) => void
}

const now = 0

type DamageFields = [family: string, file: string, smallest: Uint8Array, largest: Uint8Array, reason: string]

interface Waiting {
  /** Done when the addon's count has reached it; 0 = done already. */
  readonly ordinal: number
  readonly onDone: () => void
}

/**
 * Opens or creates. One RocksDB per path and process, however many threads and openers: the last close closes it,
 * and only the first one's options count.
 * @throws StorageError
 */
export function openRocksEngine(options: RocksEngineOptions): RocksEngine {
  return new RocksEngine(options)
}

/** Engine on RocksDB through the addon. See engine/api.ts for the contract. */
export class RocksEngine implements Engine {
  readonly #handle: number
  /** What this thread reads, now and at snapshots. */
  readonly reads: RocksReads
  readonly #onError: ((error: StorageError) => void) | undefined
  #submits: Waiting[] = []
  #flushes: Waiting[] = []
  #applied = 0
  #flushed = 0
  #drainScheduled = false
  #failed = false
  #closing: Promise<void> | undefined

  constructor(options: RocksEngineOptions) {
    this.#onError = options.onError
    try {
      this.#handle = addon.engineOpen(options.path, options.memtableBytes ?? 32 << 20,
        options.blockCacheBytes ?? 64 << 20, options.backgroundJobs ?? 2,
        (applied, flushed, error) => this.#onProgress(applied, flushed, error), triples => this.reads.onRead(triples))
    } catch (error) {
      throw storageError(error)
    }
    this.reads = new RocksReads(this.#handle)
  }

  /** This thread's number for the engine in calls to the addon. */
  get handle(): number { return this.#handle }

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.reads.getAt(now, cf, key) }
  getPersisted(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.reads.getPersisted(cf, key) }
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
    return this.reads.multiGetAt(now, cf, keys, bytesMax)
  }
  scan(options: ScanOptions): ScanPage { return this.reads.scanAt(now, options, 0) }
  tryGet(cf: Cf, key: Uint8Array, tailBytes = wholeValue): Hot<Uint8Array | undefined> {
    return this.reads.tryGetAt(now, cf, key, tailBytes)
  }
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.reads.tryMultiGetAt(now, cf, keys, bytesMax)
  }
  tryScan(options: ScanOptions): Hot<ScanPage> { return this.reads.tryScanAt(now, options) }
  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead | undefined {
    return this.reads.getLaterAt(now, cf, key, tailBytes, done)
  }
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead | undefined {
    return this.reads.multiGetLaterAt(now, cf, keys, bytesMax, done)
  }
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined {
    return this.reads.scanLaterAt(now, options, done)
  }

  /** @param snapshot a number from RocksSnapshot.id, also of another thread; 0 = now */
  getAt(snapshot: number, cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.reads.getAt(snapshot, cf, key) }
  multiGetAt(snapshot: number, cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
    return this.reads.multiGetAt(snapshot, cf, keys, bytesMax)
  }
  /** @param cancelToken from `takeCancelToken`; 0 = cannot be cancelled */
  scanAt(snapshot: number, options: ScanOptions, cancelToken = 0): ScanPage {
    return this.reads.scanAt(snapshot, options, cancelToken)
  }

  write(batch: Uint8Array): void {
    try {
      addon.engineWrite(this.#handle, batch)
    } catch (error) {
      throw storageError(error)
    }
  }

  tryWrite(batch: Uint8Array): boolean {
    try {
      return addon.engineTryWrite(this.#handle, batch) !== 0
    } catch (error) {
      throw storageError(error)
    }
  }

  submit(batch: Uint8Array, onDone: () => void): void {
    this.#assertOpen()
    let ordinal: number
    try {
      ordinal = addon.engineSubmit(this.#handle, batch)
    } catch (error) {
      throw storageError(error)
    }
    this.#submits.push({ ordinal, onDone })
    if (ordinal === 0) this.#scheduleDrain()
  }

  flush(onDone: () => void): void {
    this.#assertOpen()
    this.#flush(onDone)
  }

  snapshot(): RocksSnapshot {
    try {
      return new RocksSnapshot(this, addon.engineSnapshot(this.#handle))
    } catch (error) {
      throw storageError(error)
    }
  }

  approximateBytes(cf: Cf, start: Uint8Array, end: Uint8Array): number {
    try {
      return addon.approximateBytes(this.#handle, cf, start, end)
    } catch (error) {
      throw storageError(error)
    }
  }

  middleKey(cf: Cf, start: Uint8Array, end: Uint8Array): Uint8Array | undefined {
    try {
      return addon.middleKey(this.#handle, cf, start, end)
    } catch (error) {
      throw storageError(error)
    }
  }

  stats(): EngineStats {
    try {
      const [diskBytes, memtableBytes, pendingCompactionBytes, stalled, , , rangeTombstones] = addon.engineStats(this.#handle)
      return {
        diskBytes: diskBytes!, memtableBytes: memtableBytes!, pendingCompactionBytes: pendingCompactionBytes!,
        stalled: stalled !== 0, readsWaiting: this.reads.waiting, rangeTombstones: rangeTombstones!,
        calls: callsOf(addon.engineCalls(this.#handle), this.reads.left),
      }
    } catch (error) {
      throw storageError(error)
    }
  }

  damages(): readonly EngineDamage[] {
    const fields = addon.engineDamages(this.#handle)
    return Array.from({ length: fields.length / 5 }, (_, i) => {
      const [family, file, smallest, largest, reason] = fields.slice(5 * i, 5 * i + 5) as DamageFields
      return { cf: cfNames.findIndex(name => name === family) as Cf, file, smallest, largest, reason }
    })
  }

  dropFiles(cf: Cf, start: Uint8Array, end: Uint8Array): void {
    try {
      addon.dropFiles(this.#handle, cf, start, end)
    } catch (error) {
      throw storageError(error)
    }
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve, reject) => {
      if (this.#failed) {
        addon.engineClose(this.#handle)
        this.reads.end()
        resolve()
        return
      }
      try {
        this.#flush(() => {
          this.#drain(this.#submits.length)
          addon.engineClose(this.#handle)
          this.reads.end()
          resolve()
        })
      } catch (error) {
        reject(error as Error)
      }
    })
    return this.#closing
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new StorageError('closed', 'engine is closed')
  }

  #flush(onDone: () => void): void {
    try {
      this.#flushes.push({ ordinal: addon.engineFlush(this.#handle), onDone })
    } catch (error) {
      throw storageError(error)
    }
  }

  #onProgress(applied: number, flushed: number, error: Error | undefined): void {
    if (error !== undefined) this.#fail(storageError(error) as StorageError)
    if (this.#failed) return
    this.#applied = applied
    this.#flushed = flushed
    this.#drain(this.#submits.length)
    let done = 0
    while (done < this.#flushes.length && this.#flushes[done]!.ordinal <= this.#flushed) done++
    for (const waiting of this.#flushes.splice(0, done)) waiting.onDone()
  }

  #scheduleDrain(): void {
    if (this.#drainScheduled) return
    this.#drainScheduled = true
    setImmediate(() => {
      this.#drainScheduled = false
      this.#drain(this.#submits.length)
    })
  }

  /** Runs what is done, from the front, but nothing that was submitted meanwhile: that is for a later turn. */
  #drain(countMax: number): void {
    if (this.#failed) return
    let done = 0
    while (done < countMax && this.#submits[done]!.ordinal <= this.#applied) done++
    if (done === 0) return
    const finished = this.#submits.splice(0, done)
    for (let i = 0; i < finished.length; i++) finished[i]!.onDone()
  }

  #fail(error: StorageError): void {
    this.#failed = true
    this.#submits = []
    this.#flushes = []
    if (this.#onError === undefined) throw error
    this.#onError(error)
  }
}

/** `id` is known process-wide: a worker that opened the same path reads at it with getAt, multiGetAt and scanAt. */
export class RocksSnapshot implements EngineSnapshot {
  #released = false

  constructor(readonly engine: RocksEngine, readonly id: number) {}

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.#reads.getAt(this.id, cf, key) }
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
    return this.#reads.multiGetAt(this.id, cf, keys, bytesMax)
  }
  scan(options: ScanOptions): ScanPage { return this.#reads.scanAt(this.id, options, 0) }
  tryGet(cf: Cf, key: Uint8Array, tailBytes = wholeValue): Hot<Uint8Array | undefined> {
    return this.#reads.tryGetAt(this.id, cf, key, tailBytes)
  }
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.#reads.tryMultiGetAt(this.id, cf, keys, bytesMax)
  }
  tryScan(options: ScanOptions): Hot<ScanPage> { return this.#reads.tryScanAt(this.id, options) }
  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead | undefined {
    return this.#reads.getLaterAt(this.id, cf, key, tailBytes, done)
  }
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead | undefined {
    return this.#reads.multiGetLaterAt(this.id, cf, keys, bytesMax, done)
  }
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined {
    return this.#reads.scanLaterAt(this.id, options, done)
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    addon.engineRelease(this.engine.handle, this.id)
  }

  get #reads(): RocksReads {
    assert(!this.#released, 'engine snapshot is released')
    return this.engine.reads
  }
}

function callsOf([sumNs, maxNs, ...counts]: readonly number[], reads: number): EngineCalls {
  return { counts, reads, sumMs: sumNs! / 1e6, maxMs: maxNs! / 1e6 }
}

export const takeCancelToken = (): number => addon.cancelToken()
/** Running and later scans with the token fail with StorageError `closed`, on whichever thread they run. */
export const cancelScans = (token: number): void => addon.cancel(token)
export const releaseCancelToken = (token: number): void => addon.cancelRelease(token)
