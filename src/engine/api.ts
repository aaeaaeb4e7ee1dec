import type { StorageError } from '../common/errors.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Result } from '../common/result.js'
import type { Entry, HardState } from '../raft/types.js'

/** Column families. `raft` holds each region's own state, written in the same batch as the data it speaks of. */
export const Cf = { Default: 0, Lock: 1, Write: 2, Raft: 3 } as const
export type Cf = (typeof Cf)[keyof typeof Cf]
export const cfNames = ['default', 'lock', 'write', 'raft'] as const

/**
 * Operations of a packed batch, little-endian records (native/LAYOUT.md):
 *   u8 op, u8 cf, u16 0, u32 keyBytes, u32 valueBytes, key, value
 * DeleteRange: key = start, value = end (empty = no bound). Ops from 16 on never reach an engine: they are the
 * state machine's own (store/apply resolves them to Put and Delete).
 */
export const BatchOp = { Put: 1, Delete: 2, DeleteRange: 3 } as const
export type BatchOp = (typeof BatchOp)[keyof typeof BatchOp]
export const batchRecordHeaderBytes = 12

export interface ScanOptions {
  readonly cf: Cf
  /** [start, end); empty end = no bound. Reverse scans walk the same range downwards from end. */
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly rowsMax: number
  readonly bytesMax: number
  readonly reverse?: boolean
  /** Of each value only the last so many bytes are answered (and weighed); 0: keys only. Default: all. */
  readonly valueTailBytes?: number
}

export interface Row {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Rows are owned. `more`: the scan stopped at a limit, not at the end of the range. At least one row if there is one. */
export interface ScanPage {
  readonly rows: readonly Row[]
  readonly more: boolean
  /**
   * Of scanLater alone: so many deleted keys lay in the way that the page ended among them, with or without rows. The
   * next page starts here (downwards: ends here, exclusive) and not behind the last row.
   */
  readonly resume: Uint8Array | undefined
}

/** Values of a prefix of the keys that were asked, in their order: as many as fit into bytesMax, at least one. */
export interface ValuesPage {
  readonly values: readonly (Uint8Array | undefined)[]
  readonly more: boolean
}

/** What a read answers that never waits for a disk: the answer, or that part of it is in no cache. */
export type Hot<T> = T | 'cold'

/** Of a read on another thread. Codes of a failure: io, corruption, closed. */
export type ReadDone<T> = (result: Result<T, StorageError>) => void

export interface PendingRead {
  /** `done` does not run any more. Idempotent, also after it ran. */
  cancel(): void
}

/**
 * Every read in three forms.
 *
 * - `get`, `multiGet`, `scan` may wait for the disk: for start, recovery and tests.
 * - `try…` looks at memtables and block cache alone, and walks over a bounded number of deleted keys.
 * - `…Later` reads on another thread, at the state of the moment of the call (that of the snapshot): rows that are written
 *   or destroyed meanwhile change nothing. `done` runs once, in a later turn; undefined: enough reads wait already.
 *
 * Bytes that are answered are owned. Limits hold inside: no read builds more than it may answer.
 */
export interface EngineReader {
  get(cf: Cf, key: Uint8Array): Uint8Array | undefined
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage
  scan(options: ScanOptions): ScanPage
  /** @param tailBytes  only the last so many bytes of the value; default all */
  tryGet(cf: Cf, key: Uint8Array, tailBytes?: number): Hot<Uint8Array | undefined>
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage>
  tryScan(options: ScanOptions): Hot<ScanPage>
  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead | undefined
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead | undefined
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined
}

/** `tailBytes` of a whole value. */
export const wholeValue = 0x7fff_ffff

export interface EngineSnapshot extends EngineReader {
  /** Idempotent. Reading after it is an assertion; reads that wait for another thread keep what they need. */
  release(): void
}

export interface EngineStats {
  readonly diskBytes: number
  readonly memtableBytes: number
  readonly pendingCompactionBytes: number
  readonly stalled: boolean
  /** Reads that wait for another thread, or for their turn to be told. */
  readonly readsWaiting: number
  /** Range tombstones in memtables that are written to; bounded, because each read sorts them. */
  readonly rangeTombstones: number
  /** How long calls into the engine kept the event loop; undefined where calls take no time (memory). */
  readonly calls: EngineCalls | undefined
}

export interface EngineDamage {
  readonly cf: Cf
  readonly file: string
  /** First and last key that may be in it. */
  readonly smallest: Uint8Array
  readonly largest: Uint8Array
  readonly reason: string
}

/** Durations of calls on the event loop since the engine was opened. `counts[i]`: calls of [2^(i-1), 2^i) µs. */
export interface EngineCalls {
  readonly counts: readonly number[]
  /** Reads that left the loop. */
  readonly reads: number
  readonly sumMs: number
  readonly maxMs: number
}

/**
 * One ordered store of bytes with four column families. Writes go without WAL: what is not flushed is lost by a
 * crash, and a crash leaves a *prefix of the write order* over all column families (atomic flush). The raft log
 * is the log. RocksEngine and MemEngine pass one contract suite.
 */
export interface Engine extends EngineReader {
  /** Applies one packed batch atomically, on the calling thread. Must not be used while submits are pending. */
  write(batch: Uint8Array): void
  /** Applies a small batch atomically inside the call, when nothing is queued before it and the engine would not make us
   *  wait. @returns false: nothing was done; submit it. */
  tryWrite(batch: Uint8Array): boolean
  /** Applies batches in the order of calls; small ones inline, large ones on the apply thread. `onDone` never runs
   *  inside the call; it runs in a later turn, in the order of calls. Copies the batch. */
  submit(batch: Uint8Array, onDone: () => void): void
  snapshot(): EngineSnapshot
  /** Makes everything written or submitted so far survive a crash. `onDone` runs in a later turn. */
  flush(onDone: () => void): void
  /** Reads only what would survive a crash now (RocksDB kPersistedTier). */
  getPersisted(cf: Cf, key: Uint8Array): Uint8Array | undefined
  /** Rough; data in memtables may be missing. */
  approximateBytes(cf: Cf, start: Uint8Array, end: Uint8Array): number
  /** Some key that splits the range's data in about two halves; undefined when it has too little data. */
  middleKey(cf: Cf, start: Uint8Array, end: Uint8Array): Uint8Array | undefined
  stats(): EngineStats
  /** Files that were found damaged since the last call: whoever has rows in them reads `corruption`, all others do not. */
  damages(): readonly EngineDamage[]
  /** Forgets whole files of [start, end], damaged ones too: when nobody has rows there any more. */
  dropFiles(cf: Cf, start: Uint8Array, end: Uint8Array): void
  /** Drains submits, flushes, closes. Idempotent. */
  close(): Promise<void>
}

/** Small records that ride in the same group commit as entries. */
export const LogStateKind = { Region: 1, Store: 2 } as const
export type LogStateKind = (typeof LogStateKind)[keyof typeof LogStateKind]

/** What the log knows of one region when it is opened. Entries are (truncatedIndex, lastIndex]. */
export interface RegionLog {
  readonly regionId: RegionId
  readonly truncatedIndex: LogIndex
  readonly truncatedTerm: Term
  /** = truncatedIndex when there are no entries. */
  readonly lastIndex: LogIndex
  readonly hardState: HardState | undefined
}

/** One group of changes, durable together and in order. Built, handed to append, never reused. */
export interface LogBatch {
  /** Consecutive entries. The first may be at or below lastIndex: everything from it on is replaced. */
  entries(regionId: RegionId, entries: readonly Entry[]): void
  hardState(regionId: RegionId, hardState: HardState): void
  /** A small record of a region (or of the store: regionId 0). Empty bytes remove it. */
  state(regionId: RegionId, kind: LogStateKind, bytes: Uint8Array): void
  /** Forget entries <= index (log GC). The entries above stay. */
  compact(regionId: RegionId, index: LogIndex, term: Term): void
  /** The log restarts behind a snapshot: all entries are dropped, the next one is index + 1. */
  reset(regionId: RegionId, index: LogIndex, term: Term): void
  /** All entries, the HardState and truncation of a region are dropped; `state` records stay. */
  remove(regionId: RegionId): void
  readonly isEmpty: boolean
  readonly bytes: number
}

/** How much room a log takes, in three senses that must not be mixed up. */
export interface LogSpace {
  /** For the operator: all its files, with what is written ahead and files kept to be used again. */
  readonly diskBytes: number
  /** Entries, HardStates and state records that are still needed, as they are on disk. */
  readonly liveBytes: number
  /** Written in segments that the log has left behind and that something alive still keeps: what log GC can win. */
  readonly pinnedBytes: number
  /** Asked to be appended since the log was opened, as `LogBatch.bytes` counts. */
  readonly appendedBytes: number
}

/**
 * Append-only log of all regions of a store. Batches become durable in the order of append: whoever finds batch n
 * after a crash finds all before it. A write or sync error stops the process (onError), it is never retried.
 */
export interface RaftLog {
  batch(): LogBatch
  /** Visible to readers at once; durable when onDurable runs (a later turn, in order).
   *  @param sync false: no sync is forced for this batch; it becomes durable with the next one that is. */
  append(batch: LogBatch, sync: boolean, onDurable: () => void): void
  regions(): readonly RegionLog[]
  region(regionId: RegionId): RegionLog | undefined
  state(regionId: RegionId, kind: LogStateKind): Uint8Array | undefined
  /** Term of an entry in [truncatedIndex, lastIndex]. */
  term(regionId: RegionId, index: LogIndex): Term | undefined
  /** [low, high): at least one entry, then while they fit into bytesMax. All must be present. */
  entries(regionId: RegionId, low: LogIndex, high: LogIndex, bytesMax: number): Entry[]
  /** Regions whose entries keep the oldest segments alive, oldest first: for log GC. */
  oldestRegions(limit: number): readonly RegionId[]
  readonly space: LogSpace
  close(): Promise<void>
}
