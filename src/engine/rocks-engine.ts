import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import type { Cf, Engine, EngineSnapshot, EngineStats, ScanOptions, ScanPage } from './api.js'
import { addon, arenaFor, storageError } from './native.js'
import { copyOut, decodePage, decodeValues, encodeKeys } from './pages.js'

export interface RocksEngineOptions {
  readonly path: string
  /** All column families together; bounds what a restart replays. */
  readonly memtableBytes?: number
  readonly blockCacheBytes?: number
  readonly backgroundJobs?: number
  /** A background write or flush failed: nothing submitted later is acknowledged. Default: thrown from a later turn. */
  readonly onError?: (error: StorageError) => void
}

const scanReverse = 1
const scanKeysOnly = 2
const none = -1
const spilled = -2
const now = 0
const bytesUnlimited = Number.MAX_SAFE_INTEGER
const rowsUnlimited = 0x7fffffff

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
        (applied, flushed, error) => this.#onProgress(applied, flushed, error))
    } catch (error) {
      throw storageError(error)
    }
  }

  /** This thread's number for the engine in calls to the addon. */
  get handle(): number { return this.#handle }

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.getAt(now, cf, key, 0) }
  getPersisted(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.getAt(now, cf, key, 1) }
  multiGet(cf: Cf, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] { return this.multiGetAt(now, cf, keys) }
  scan(options: ScanOptions): ScanPage { return this.scanAt(now, options) }

  /** @param snapshot a number from RocksSnapshot.id, also of another thread; 0 = now. hot path: bench/micro/engine */
  getAt(snapshot: number, cf: Cf, key: Uint8Array, persisted: 0 | 1 = 0): Uint8Array | undefined {
    const arena = arenaFor(key.length)
    arena.set(key)
    let length: number
    try {
      length = addon.engineGet(this.#handle, snapshot, cf, key.length, persisted)
    } catch (error) {
      throw storageError(error)
    }
    if (length === none) return undefined
    return length === spilled ? addon.takeSpill() : copyOut(arena, length)
  }

  multiGetAt(snapshot: number, cf: Cf, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    if (keys.length === 0) return []
    let requestBytes = 0
    for (const key of keys) requestBytes += 4 + key.length
    const arena = arenaFor(requestBytes)
    encodeKeys(keys, arena)
    try {
      const length = addon.engineMultiGet(this.#handle, snapshot, cf, keys.length, requestBytes)
      return decodeValues(length === spilled ? addon.takeSpill() : copyOut(arena, length), keys.length)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** @param cancelToken from `takeCancelToken`; 0 = cannot be cancelled */
  scanAt(snapshot: number, options: ScanOptions, cancelToken = 0): ScanPage {
    const { cf, start, end, rowsMax, bytesMax } = options
    assert(rowsMax >= 1, 'a scan asks for at least one row')
    const arena = arenaFor(start.length + end.length)
    arena.set(start)
    arena.set(end, start.length)
    const flags = (options.reverse === true ? scanReverse : 0) | (options.keysOnly === true ? scanKeysOnly : 0)
    try {
      const length = addon.scan(this.#handle, snapshot, cf, flags, start.length, end.length,
        Math.min(rowsMax, rowsUnlimited), Math.min(bytesMax, bytesUnlimited), cancelToken)
      return decodePage(length === spilled ? addon.takeSpill() : copyOut(arena, length))
    } catch (error) {
      throw storageError(error)
    }
  }

  write(batch: Uint8Array): void {
    try {
      addon.engineWrite(this.#handle, batch)
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
      const [diskBytes, memtableBytes, pendingCompactionBytes, stalled] = addon.engineStats(this.#handle)
      return {
        diskBytes: diskBytes!, memtableBytes: memtableBytes!, pendingCompactionBytes: pendingCompactionBytes!,
        stalled: stalled !== 0,
      }
    } catch (error) {
      throw storageError(error)
    }
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve, reject) => {
      if (this.#failed) {
        addon.engineClose(this.#handle)
        resolve()
        return
      }
      try {
        this.#flush(() => {
          this.#drain(this.#submits.length)
          addon.engineClose(this.#handle)
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

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined {
    this.#assertHeld()
    return this.engine.getAt(this.id, cf, key)
  }

  multiGet(cf: Cf, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    this.#assertHeld()
    return this.engine.multiGetAt(this.id, cf, keys)
  }

  scan(options: ScanOptions): ScanPage {
    this.#assertHeld()
    return this.engine.scanAt(this.id, options)
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    addon.engineRelease(this.engine.handle, this.id)
  }

  #assertHeld(): void { assert(!this.#released, 'engine snapshot is released') }
}

export const takeCancelToken = (): number => addon.cancelToken()
/** Running and later scans with the token fail with StorageError `closed`, on whichever thread they run. */
export const cancelScans = (token: number): void => addon.cancel(token)
export const releaseCancelToken = (token: number): void => addon.cancelRelease(token)
