import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import { err, ok } from '../common/result.js'
import { wholeValue } from './api.js'
import type { Cf, Hot, PendingRead, ReadDone, ScanOptions, ScanPage, ValuesPage } from './api.js'
import { addon, arenaFor, storageError } from './native.js'
import type { ReadTriple } from './native.js'
import { copyOut, decodePage, decodeValues, encodeKeys, encodedKeysBytes } from './pages.js'

const scanReverse = 1
const none = -1
const spilled = -2
const cold = -3
const now = 0
const bytesUnlimited = Number.MAX_SAFE_INTEGER
const rowsUnlimited = 0x7fffffff
const wholeValueNative = -1
/** Where a read looks (native/reads.h Tier). */
const everywhere = 0
const persisted = 1
const cached = 2
type Tier = typeof everywhere | typeof persisted | typeof cached
const readOne = 0
const readMany = 1
const readPage = 2
/** Deleted keys that one page off the loop walks over: some 50 ms of a read thread. */
const hiddenKeysMax = 256 << 10

/** Decodes the answer of one read that waits for another thread; undefined bytes: there is no such key. */
type Settle = (answer: Uint8Array | undefined, error: StorageError | undefined) => void

/** The reads of one opener of a RocksDB: each in this thread, now or at a snapshot's number, or on a read thread. */
export class RocksReads {
  readonly #handle: number
  readonly #pending = new Map<number, Settle>()

  constructor(handle: number) { this.#handle = handle }

  /** Reads that have left this thread so far. */
  left = 0

  /** Reads that no answer was told of yet. */
  get waiting(): number { return this.#pending.size }

  getPersisted(cf: Cf, key: Uint8Array): Uint8Array | undefined { return hot(this.#get(now, cf, key, wholeValue, persisted)) }
  getAt(snapshot: number, cf: Cf, key: Uint8Array): Uint8Array | undefined {
    return hot(this.#get(snapshot, cf, key, wholeValue, everywhere))
  }
  multiGetAt(snapshot: number, cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage {
    return hot(this.#multiGet(snapshot, cf, keys, bytesMax, everywhere))
  }
  scanAt(snapshot: number, options: ScanOptions, cancelToken: number): ScanPage {
    return hot(this.#scan(snapshot, options, everywhere, cancelToken))
  }
  tryGetAt(snapshot: number, cf: Cf, key: Uint8Array, tailBytes: number): Hot<Uint8Array | undefined> {
    return this.#get(snapshot, cf, key, tailBytes, cached)
  }
  tryMultiGetAt(snapshot: number, cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.#multiGet(snapshot, cf, keys, bytesMax, cached)
  }
  tryScanAt(snapshot: number, options: ScanOptions): Hot<ScanPage> { return this.#scan(snapshot, options, cached, 0) }

  getLaterAt(snapshot: number, cf: Cf, key: Uint8Array, tailBytes: number,
    done: ReadDone<Uint8Array | undefined>): PendingRead | undefined {
    arenaFor(key.length).set(key)
    return this.#later(snapshot, cf, [readOne, key.length, 0, 0, 0, 1, 0, nativeTail(tailBytes), 1],
      (answer, error) => { done(error === undefined ? ok(answer) : err(error)) })
  }

  multiGetLaterAt(snapshot: number, cf: Cf, keys: readonly Uint8Array[], bytesMax: number,
    done: ReadDone<ValuesPage>): PendingRead | undefined {
    const requestBytes = encodedKeysBytes(keys)
    encodeKeys(keys, arenaFor(requestBytes))
    return this.#later(snapshot, cf, [readMany, requestBytes, 0, keys.length, 0, 1, Math.min(bytesMax, bytesUnlimited), -1, 1],
      (answer, error) => { done(error === undefined ? ok(decodeValues(answer!)) : err(error)) })
  }

  scanLaterAt(snapshot: number, options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined {
    const { cf, start, end, rowsMax, bytesMax } = options
    assert(rowsMax >= 1, 'a scan asks for at least one row')
    const arena = arenaFor(start.length + end.length)
    arena.set(start)
    arena.set(end, start.length)
    return this.#later(snapshot, cf, [readPage, start.length, end.length, 0, options.reverse === true ? scanReverse : 0,
      Math.min(rowsMax, rowsUnlimited), Math.min(bytesMax, bytesUnlimited), nativeTail(options.valueTailBytes), hiddenKeysMax],
    (answer, error) => { done(error === undefined ? ok(decodePage(answer!)) : err(error)) })
  }

  // hot path: bench/micro/engine
  #get(snapshot: number, cf: Cf, key: Uint8Array, tailBytes: number, tier: Tier): Hot<Uint8Array | undefined> {
    const arena = arenaFor(key.length)
    arena.set(key)
    let length: number
    try {
      length = addon.engineGet(this.#handle, snapshot, cf, key.length, tier, nativeTail(tailBytes))
    } catch (error) {
      throw storageError(error)
    }
    if (length >= 0) return copyOut(arena, length)
    return length === none ? undefined : length === spilled ? addon.takeSpill() : 'cold'
  }

  #multiGet(snapshot: number, cf: Cf, keys: readonly Uint8Array[], bytesMax: number, tier: Tier): Hot<ValuesPage> {
    if (keys.length === 0) return { values: [], more: false }
    const requestBytes = encodedKeysBytes(keys)
    const arena = arenaFor(requestBytes)
    encodeKeys(keys, arena)
    try {
      const length = addon.engineMultiGet(this.#handle, snapshot, cf, keys.length, requestBytes,
        Math.min(bytesMax, bytesUnlimited), tier)
      if (length === cold) return 'cold'
      return decodeValues(length === spilled ? addon.takeSpill() : copyOut(arena, length))
    } catch (error) {
      throw storageError(error)
    }
  }

  #scan(snapshot: number, options: ScanOptions, tier: Tier, cancelToken: number): Hot<ScanPage> {
    const { cf, start, end, rowsMax, bytesMax } = options
    assert(rowsMax >= 1, 'a scan asks for at least one row')
    const arena = arenaFor(start.length + end.length)
    arena.set(start)
    arena.set(end, start.length)
    try {
      const length = addon.scan(this.#handle, snapshot, cf, options.reverse === true ? scanReverse : 0, start.length, end.length,
        Math.min(rowsMax, rowsUnlimited), Math.min(bytesMax, bytesUnlimited), nativeTail(options.valueTailBytes), tier, cancelToken)
      if (length === cold) return 'cold'
      return decodePage(length === spilled ? addon.takeSpill() : copyOut(arena, length))
    } catch (error) {
      throw storageError(error)
    }
  }

  #later(snapshot: number, cf: Cf, request: readonly [kind: number, firstBytes: number, secondBytes: number, count: number,
    flags: number, rowsMax: number, bytesMax: number, tailBytes: number, hiddenMax: number], settle: Settle): PendingRead | undefined {
    let id: number
    try {
      id = addon.engineReadLater(this.#handle, snapshot, cf, ...request)
    } catch (error) {
      throw storageError(error)
    }
    if (id === 0) return undefined
    this.left++
    this.#pending.set(id, settle)
    return {
      cancel: () => { if (this.#pending.get(id) === settle && this.#pending.delete(id)) addon.engineReadCancel(this.#handle, id) },
    }
  }

  /** In a later turn than the reads came in. */
  onRead(triples: readonly ReadTriple[]): void {
    for (let i = 0; i < triples.length; i += 3) {
      const id = triples[i] as number
      const settle = this.#pending.get(id)
      if (settle === undefined) continue
      this.#pending.delete(id)
      const error = triples[i + 2] as Error | undefined
      settle(triples[i + 1] as Uint8Array | undefined, error && storageError(error) as StorageError)
    }
  }

  /** The read threads are gone: who still waits hears of it. */
  end(): void {
    const settles = [...this.#pending.values()]
    this.#pending.clear()
    for (const settle of settles) settle(undefined, new StorageError('closed', 'engine is closed'))
  }
}

const nativeTail = (tailBytes: number | undefined): number =>
  tailBytes === undefined || tailBytes >= wholeValue ? wholeValueNative : tailBytes

/** Of a read that looks everywhere. */
function hot<T>(answer: Hot<T>): T {
  assert(answer !== 'cold', 'a read that may use the disk is never cold')
  return answer
}
