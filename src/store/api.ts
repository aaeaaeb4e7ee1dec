import type { ServerError, StorageError } from '../common/errors.js'
import type { Env } from '../common/env.js'
import type { RegionId, StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import type { Result } from '../common/result.js'
import type { Engine, EngineReader, RaftLog } from '../engine/api.js'
import type { RaftLinks, RpcChannel } from '../transport/api.js'
import type { Operator, PeerInfo, RaftEnvelope, RegionBeat, RequestContext, SplitIds, StoreStats } from '../wire/messages.js'

/** Ops of the state machine that are resolved at apply; numbers continue engine/api BatchOp. */
export const ApplyOp = { Section: 16, CompareAndSwap: 17, PutTtl: 18 } as const

/**
 * Room in front of packed records: who allocates them with allocateRecords saves the store a copy, which it would make to
 * put the header of an entry there. Worth it for large values.
 */
export const recordsHeadroomBytes = 20
export const allocateRecords = (bytes: number): Uint8Array =>
  new Uint8Array(recordsHeadroomBytes + bytes).subarray(recordsHeadroomBytes)

/** Decides one conditional operation at apply. Pure and deterministic: same input, same output on every replica. */
export interface ApplyEvaluator {
  /** Does the operation not look at the stored value? Then it is not read. */
  isBlind(op: number): boolean
  /**
   * @param op       one of ApplyOp (not Section)
   * @param current  the stored value of `key` as of all earlier operations; borrowed
   * @param nowMs    wall time that the proposing leader wrote into the entry
   * @returns        `put`: bytes to store; `delete`; or `keep`. `result` is handed to the proposer, opaque to store/
   */
  evaluate(op: number, key: Uint8Array, operand: Uint8Array, current: Uint8Array | undefined, nowMs: number):
    { readonly effect: 'put' | 'delete' | 'keep'; readonly bytes: Uint8Array; readonly result: Uint8Array }
}

/** What a data service (rawkv, later txn) needs of a store. */
export interface RegionStore {
  /**
   * Proposes packed records (engine BatchOp or ApplyOp, CF default) to one region. All keys must be inside
   * [start, end] given here: they are checked against the region now and again at apply.
   * `done` runs once, in a later turn: the results of the conditional operations in order, a RegionError (certainly not
   * applied), or Undetermined (leadership was lost while it was in flight, or it took too long).
   * @param onSettled  runs once a write that was let in can no longer be applied by this leader: with `done`, or, after an
   *   Undetermined, when its entry is applied after all or another term leads. What belongs to the write is not free before.
   */
  write(context: RequestContext, range: KeyRange, records: Uint8Array,
    done: (result: Result<readonly Uint8Array[], ServerError>) => void, onSettled?: () => void): void
  /**
   * Linearizable view of one region: by lease when it holds (then `done` runs before read returns), else after ReadIndex.
   * The reader is valid during `done` only; what it is asked for in there to be read later is read as of then.
   */
  read(context: RequestContext, range: KeyRange, done: (result: Result<RegionView, ServerError>) => void): void
  /** Rough load figure for refusing early. */
  readonly isBusy: boolean
}

/** Smallest key, and an exclusive end; `end` empty = no bound; `single`: just the one key `start`. */
export interface KeyRange {
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly single: boolean
  /** Of a list of keys: the largest, for errors; `end` lies just behind it and is no key. */
  readonly last?: Uint8Array
}

export interface RegionView {
  readonly reader: EngineReader
  readonly region: Region
  /** Wall clock for expiry of TTL on read. */
  readonly nowMs: number
  /** The reader failed, at once or later: the store acts on it. @returns what the caller is told */
  readonly failed: (regionId: RegionId, error: StorageError) => ServerError
}

/** What a store asks of PD. Fire and forget with callbacks in later turns; undefined = PD not reachable. */
export interface StorePd {
  allocIds(count: number, done: (first: number | undefined) => void): void
  askSplit(region: Region, count: number, done: (ids: readonly SplitIds[] | undefined) => void): void
  reportSplit(regions: readonly Region[]): void
  regionHeartbeat(beats: readonly RegionBeat[], done: (operators: readonly Operator[]) => void): void
  storeHeartbeat(stats: StoreStats): void
  /** Is this peer still a member, as far as PD knows? For stale-peer cleanup. */
  getRegionById(regionId: RegionId, done: (region: Region | undefined) => void): void
}

/** Temporary bytes of raft snapshots under way. Production: files below the data directory, swept at start. */
export interface SnapshotSpool {
  /** Creates or truncates. @param name  of ours: nothing that came over the wire becomes a path */
  create(name: string): SpoolFile
  /** Removes everything left by an earlier life. */
  sweep(): void
}
export interface SpoolFile {
  append(bytes: Uint8Array): void
  readonly bytes: number
  /** @returns owned bytes; fewer at the end */
  read(offset: number, bytesMax: number): Uint8Array
  remove(): void
}

export interface StoreDependencies {
  readonly env: Env
  readonly storeId: StoreId
  readonly engine: Engine
  readonly raftLog: RaftLog
  readonly links: RaftLinks
  /** A bulk connection to another store (snapshots), undefined while its address is unknown. */
  readonly bulkChannel: (to: StoreId) => RpcChannel | undefined
  readonly pd: StorePd
  readonly spool: SnapshotSpool
  readonly evaluator: ApplyEvaluator
  readonly config: StoreConfig
  /** The process must end: a broken invariant or a broken disk. Never returns to normal work. */
  readonly onFatal: (error: Error) => void
  /** Of the disk the store writes to; asked about once a second. Absent: nobody knows, and it is never full. */
  readonly diskSpace?: () => { readonly capacityBytes: number; readonly availableBytes: number; readonly heldBackBytes?: number }
  /** What is wrong with a key as a boundary of regions? Absent: any key will do. */
  readonly boundaryMistake?: (key: Uint8Array) => string | undefined
  /** Bugs on purpose (plants.ts), for the simulator only. */
  readonly plants?: ReadonlySet<string>
}

/** Outside names are TiKV's (`raftstore.*`); times in ms, sizes in bytes. Defaults in store/config.ts. */
export interface StoreConfig {
  readonly tickMs: number
  readonly heartbeatTicks: number
  readonly electionTicksMin: number
  /** Vote guard, see ARCHITECTURE.md "Time". */
  readonly leaseTicks: number
  readonly leaseMs: number
  readonly raftMessageBytesMax: number
  readonly raftInflightMessagesMax: number
  readonly uncommittedBytesMax: number
  readonly proposalsPendingMax: number
  /** Committed bytes, over all regions, that the engine has not got yet; beyond it raft hands out no more. */
  readonly applyPendingBytesMax: number
  /** Bytes, over all regions, of client writes that may still be applied: beyond it, writes get ServerIsBusy. */
  readonly writesPendingBytesMax: number
  /** At so much in memtables, or in debt to compaction, the engine is behind: writes get ServerIsBusy. */
  readonly memtableBytesMax: number
  readonly compactionBytesMax: number
  readonly logGcTickMs: number
  /** Entries kept for slow followers before they need a snapshot. */
  readonly logGcCountLimit: number
  readonly logGcBytesLimit: number
  /** A quiet engine is flushed after this time, so that no region pins the log. */
  readonly idleFlushMs: number
  readonly snapshotChunkBytes: number
  readonly snapshotBytesPerSecond: number
  readonly snapshotConcurrencyMax: number
  readonly regionHeartbeatMs: number
  readonly storeHeartbeatMs: number
  readonly peerStaleMs: number
  readonly reserveDiskBytes: number
}

/** The public face of a store for server/ and sim/. */
export interface StoreApi extends RegionStore {
  /** Recovers from engine and log (replay), then ticks. Synchronous; throws StorageError. */
  start(): void
  /** First store of a fresh cluster: writes the first region with this store as its only voter. Before start(). */
  bootstrapRegion(region: Region): void
  onRaft(envelope: RaftEnvelope): void
  onLinkDown(storeId: StoreId): void
  onLinkUp(storeId: StoreId): void
  /** PD tells whose disks are full, and whose may soon be. */
  onShortOfSpace(full: readonly StoreId[], low: readonly StoreId[]): void
  /** Incoming raft snapshot stream (handlers of the Snapshot* RPCs). */
  readonly snapshots: {
    begin(snapshotId: string, envelope: RaftEnvelope, totalBytes: number, done: (error: ServerError | undefined) => void): void
    chunk(snapshotId: string, sequence: number, rows: Uint8Array, crc32c: number, done: (error: ServerError | undefined) => void): void
    end(snapshotId: string, chunks: number, crc32c: number, done: (error: ServerError | undefined) => void): void
  }
  /**
   * Here as with writes: a RegionError is certainly not done, now or later; Undetermined may be.
   * @param keys  engine keys, ascending, each the end of a new region; none: in about two halves
   */
  splitRegion(context: RequestContext, keys: readonly Uint8Array[], done: (result: Result<readonly Region[], ServerError>) => void): void
  transferLeader(context: RequestContext, to: StoreId, done: (error: ServerError | undefined) => void): void
  peers(regionId: RegionId | 0): readonly PeerInfo[]
  stats(): StoreStats
  /** Hands leaderships over, at most for timeoutMs; then stops ticking, drains applies. The engine and log stay open. */
  stop(timeoutMs: number, done: () => void): void
  /** Figures for /metrics: plain counters and gauges by metric name. */
  metrics(): Readonly<Record<string, number>>
}
