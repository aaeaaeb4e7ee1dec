import { createRequire } from 'node:module'
import { StorageError } from '../common/errors.js'
import type { RegionId } from '../common/ids.js'

/** Number of a read, its answer, its error: flat, one behind the other. */
export type ReadTriple = number | Uint8Array | Error | undefined

/** The addon's functions (native/*.cc say the rest). Handles and counts are numbers; errors carry a `code`. */
export interface Addon {
  bindArena(bytes: Uint8Array): void
  takeSpill(): Uint8Array
  bootTimeMs(): number
  diskFreeBytes(path: string): number

  engineOpen(path: string, memtableBytes: number, blockCacheBytes: number, backgroundJobs: number,
    onDone: (applied: number, flushed: number, error: Error | undefined) => void,
    onRead: (triples: readonly ReadTriple[]) => void): number
  engineClose(engine: number): void
  engineWrite(engine: number, batch: Uint8Array): void
  engineTryWrite(engine: number, batch: Uint8Array): number
  engineSubmit(engine: number, batch: Uint8Array): number
  engineFlush(engine: number): number
  engineGet(engine: number, snapshot: number, cf: number, keyBytes: number, tier: number, tailBytes: number): number
  engineMultiGet(engine: number, snapshot: number, cf: number, count: number, requestBytes: number, bytesMax: number,
    tier: number): number
  engineReadLater(engine: number, snapshot: number, cf: number, kind: number, firstBytes: number, secondBytes: number,
    count: number, flags: number, rowsMax: number, bytesMax: number, tailBytes: number, hiddenMax: number): number
  engineReadCancel(engine: number, read: number): void
  engineCalls(engine: number): number[]
  engineSnapshot(engine: number): number
  engineRelease(engine: number, snapshot: number): void
  engineDamages(engine: number): (string | Uint8Array)[]
  dropFiles(engine: number, cf: number, start: Uint8Array, end: Uint8Array): void
  engineStats(engine: number): number[]
  scan(engine: number, snapshot: number, cf: number, flags: number, startBytes: number, endBytes: number,
    rowsMax: number, bytesMax: number, tailBytes: number, tier: number, cancelToken: number): number
  cursorOpen(engine: number, snapshot: number, cf: number, flags: number, startBytes: number, endBytes: number,
    tailBytes: number): number
  cursorNext(engine: number, cursor: number, rowsMax: number, bytesMax: number, cancelToken: number): number
  cursorClose(engine: number, cursor: number): void
  cancelToken(): number
  cancel(token: number): void
  cancelRelease(token: number): void
  approximateBytes(engine: number, cf: number, start: Uint8Array, end: Uint8Array): number
  middleKey(engine: number, cf: number, start: Uint8Array, end: Uint8Array): Uint8Array | undefined
  checkpoint(engine: number, folder: string): void
  sstExport(engine: number, snapshot: number, cf: number, start: Uint8Array, end: Uint8Array, file: string): number
  sstIngest(engine: number, cf: number, file: string): void

  logOpen(dir: string, segmentBytes: number, idleMarkMs: number, onDurable: (sequence: number) => void): number
  logClose(log: number): void
  logAppend(log: number, records: Uint8Array, length: number, sync: number): number
  logRead(log: number, region: number, low: number, high: number, bytesMax: number): Uint8Array
  logDump(log: number): Uint8Array
  logOldest(log: number, limit: number): number[]
  logStats(log: number): number[]
  crc32c(bytes: Uint8Array, seed?: number): number

  doorOpen(
    host: string, port: number, arena: Uint8Array, onEvent: (kind: number, id: number, first: unknown, second: unknown) => unknown,
    messageBytesMax: number, helloBytesMax: number, unfinishedBytesMax: number, unfinishedMsMax: number, upgradeMsMax: number,
    silentMsMax: number, connectionsMax: number, connectionsReserved: number, connectionsPerAddressMax: number): object
  doorSend(door: object, id: number, bytes: Uint8Array): number
  doorBuffered(door: object, id: number): number
  doorPause(door: object, id: number, paused: number): void
  doorAdmit(door: object, id: number, isPeer: number): void
  doorEnd(door: object, id: number, code: number, reason: string): void
  doorFigures(door: object): number[]
  doorClose(door: object): void
}

/** From dist/src/engine/. KARST_ADDON names another build of the addon (the ASan run). */
export const addon = createRequire(import.meta.url)(
  process.env['KARST_ADDON'] ?? '../../../build/Release/karst.node') as Addon

/** Milliseconds with fraction since boot, suspended time included (CLOCK_BOOTTIME). */
export const bootTimeMs = (): number => addon.bootTimeMs()

/** Bytes that may still be written on the file system of `path`. @throws StorageError */
export function diskFreeBytes(path: string): number {
  try {
    return addon.diskFreeBytes(path)
  } catch (error) {
    throw storageError(error)
  }
}

/**
 * The raft log is damaged before its durable end: something that was acknowledged is gone. The replicas of `regions`
 * (of all regions the store has, when `everyRegion`) must neither vote nor lead, and are rebuilt from their peers.
 */
export class LogCorruptionError extends StorageError {
  constructor(message: string, readonly regions: readonly RegionId[], readonly everyRegion: boolean,
    readonly segment: number, readonly offset: number, options?: ErrorOptions) {
    super('corruption', message, options)
  }
}

interface NativeError extends Error {
  readonly code?: StorageError['code']
  readonly regions?: readonly RegionId[]
  readonly everyRegion?: boolean
  readonly segment?: number
  readonly offset?: number
}

/** What the addon threw, in the house's words. Anything else passes through. */
export function storageError(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof StorageError) return thrown
  const error = thrown as NativeError
  if (error.regions !== undefined) {
    return new LogCorruptionError(error.message, error.regions, error.everyRegion === true, error.segment ?? 0,
      error.offset ?? 0, { cause: error })
  }
  return error.code === undefined ? error : new StorageError(error.code, error.message, { cause: error })
}

const arenaBytesMin = 256 << 10
/** A larger one goes with the request that needed it. */
const arenaBytesKept = 4 << 20
let arena = new Uint8Array(0)

/**
 * The one scratch of this thread, shared with the addon: requests are written at 0, answers are read at 0. Valid until
 * the next call into the addon. (The one piece of module state: the addon has one arena per thread, so have we.)
 */
export function arenaFor(bytes: number): Uint8Array {
  if (bytes > arena.length || arena.length === 0 || (arena.length > arenaBytesKept && bytes <= arenaBytesMin)) {
    arena = new Uint8Array(Math.max(arenaBytesMin, 2 ** Math.ceil(Math.log2(bytes + 1))))
    addon.bindArena(arena)
  }
  return arena
}
