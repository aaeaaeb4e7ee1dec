import { assert } from '../common/assert.js'
import { concatBytes } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { logIndex, plus, term } from '../common/ids.js'
import type { LogIndex, PeerId, RegionId } from '../common/ids.js'
import { peerOnStore } from '../common/region.js'
import type { Region } from '../common/region.js'
import { Cf, LogStateKind } from '../engine/api.js'
import type { LogBatch, RaftLog } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import type { HardState } from '../raft/types.js'
import { deleteRecords, deleteRows, initialApplied, visibleState, writeNewRegion } from './applier.js'
import type { ReplicaState } from './applier.js'
import { initialLog, storeLimits } from './config.js'
import { freshHardState } from './peer.js'
import type { PeerStart } from './peer.js'
import type { StoreShared } from './shared.js'
import {
  decodeApplyState, decodeLogRecord, decodeRaftKey, decodeRegion, encodeLogRecord, raftKeysEnd, raftKeysStart,
} from './state-records.js'
import type { LogRecord } from './state-records.js'

export interface Doomed {
  readonly regionId: RegionId
  readonly peerId: PeerId
  readonly region: Region | undefined
}

export interface Recovered {
  readonly peers: readonly PeerStart[]
  /** Peers that were removed and of which something is still there. */
  readonly doomed: readonly Doomed[]
  readonly entriesReplayed: number
}

/**
 * A log for a region that begins at `initialLog`, unless there is one already: after a crash the split that made the
 * region is applied again, and what the region has done since stands in its own log.
 */
export function birthHardState(log: RaftLog, batch: LogBatch, region: Region, self: PeerId): HardState {
  const { regionId } = region
  const known = log.region(regionId)
  batch.state(regionId, LogStateKind.Region, encodeLogRecord({ state: 'created', peerId: self }))
  if (known?.hardState !== undefined && known.lastIndex >= initialLog.index) return known.hardState
  const voted = known?.hardState
  const isLater = voted !== undefined && voted.term >= initialLog.term
  const hardState: HardState = {
    term: term(isLater ? voted.term : initialLog.term), vote: isLater ? voted.vote : 0 as PeerId,
    commit: logIndex(initialLog.index),
  }
  batch.reset(regionId, initialApplied.index, initialApplied.term)
  batch.hardState(regionId, hardState)
  return hardState
}

/**
 * Brings engine and log of a store together after any end (ARCHITECTURE.md, Durability and recovery): finishes raft
 * snapshots that were being written, then replays each region from its applied index to the commit index that its
 * HardState knows. Splits on the way make their children again, which are replayed in turn.
 */
export class Recovery {
  readonly #shared: StoreShared
  readonly #states = new Map<RegionId, ReplicaState>()
  readonly #records = new Map<RegionId, LogRecord>()
  #replayed = 0

  constructor(shared: StoreShared) { this.#shared = shared }

  run(): Recovered {
    this.#load()
    for (const [id, record] of this.#records) {
      if (record.state === 'applying') this.#settleSnapshot(id, record)
      else if (record.state === 'initial' && !this.#states.has(id)) this.#refound(id, record.region)
    }
    for (const state of this.#states.values()) this.#bearLog(state)
    // Grows while it is walked: splits make children.
    const queue = [...this.#states.values()]
    for (let at = 0; at < queue.length; at++) this.#replay(queue[at]!, queue)
    this.#shared.applier.endReplay()
    return { ...this.#sort(), entriesReplayed: this.#replayed }
  }

  #load(): void {
    const { engine, log } = this.#shared
    const regions = new Map<RegionId, Region>()
    const applied = new Map<RegionId, ReturnType<typeof decodeApplyState>>()
    for (let start = raftKeysStart, more = true; more;) {
      const page = engine.scan({ cf: Cf.Raft, start, end: raftKeysEnd, rowsMax: 4096, bytesMax: 1 << 20 })
      for (const { key, value } of page.rows) {
        const { regionId, isApply } = decodeRaftKey(key)
        if (isApply) applied.set(regionId, decodeApplyState(value))
        else regions.set(regionId, decodeRegion(value))
      }
      const last = page.rows[page.rows.length - 1]
      if (last !== undefined) start = concatBytes(last.key, Uint8Array.of(0))
      more = page.more
    }
    for (const [id, region] of regions) {
      const state = applied.get(id)
      if (state === undefined) throw new StorageError('corruption', `region ${id} has no apply state`)
      this.#states.set(id, visibleState(region, state.index, state.term))
    }
    for (const { regionId } of log.regions()) {
      const record = decodeLogRecord(log.state(regionId, LogStateKind.Region))
      if (record !== undefined) this.#records.set(regionId, record)
    }
  }

  /**
   * `applying` was durable before the first row was written, and the first write took the old state away. So: at its index
   * all is there and only the log must follow; at another index nothing had begun; without any, rows are half there.
   */
  #settleSnapshot(id: RegionId, record: Extract<LogRecord, { state: 'applying' }>): void {
    const { engine, log } = this.#shared
    const state = this.#states.get(id)
    const batch = log.batch()
    const hard = log.region(id)?.hardState ?? freshHardState
    if (state === undefined) {
      const writer = new BatchWriter()
      deleteRows(writer, record.region)
      deleteRecords(writer, id)
      engine.write(writer.finish())
      batch.remove(id)
      batch.hardState(id, { ...hard, commit: logIndex(0) })
    } else if (state.appliedIndex >= record.index) {
      batch.reset(id, state.appliedIndex, state.appliedTerm)
      const vote = hard.term >= state.appliedTerm ? hard.vote : 0 as PeerId
      batch.hardState(id, { term: term(Math.max(hard.term, state.appliedTerm)), vote, commit: state.appliedIndex })
    }
    const settled: LogRecord = { state: 'created', peerId: record.peerId }
    batch.state(id, LogStateKind.Region, encodeLogRecord(settled))
    log.append(batch, true, () => {})
    this.#records.set(id, settled)
    this.#shared.env.log('info', 'recovery.snapshot', { region: id, index: record.index, found: state?.appliedIndex })
  }

  /** The first region of the cluster, which the engine had not flushed yet. */
  #refound(id: RegionId, region: Region): void {
    const writer = new BatchWriter()
    writeNewRegion(writer, region)
    this.#shared.engine.write(writer.finish())
    this.#states.set(id, visibleState(region, initialApplied.index, initialApplied.term))
  }

  /**
   * The engine may have flushed a split before the log synced the first records of its child: they were never promised to
   * anybody, so they are written again.
   */
  #bearLog({ region, appliedIndex }: ReplicaState): void {
    const { log, deps } = this.#shared
    const self = peerOnStore(region, deps.storeId)
    const isDead = this.#records.get(region.regionId)?.state === 'tombstone'
    const isBorn = (log.region(region.regionId)?.lastIndex ?? 0) >= initialApplied.index
    if (self === undefined || isDead || isBorn || appliedIndex !== initialApplied.index) return
    this.#writeBirth(region, self.peerId)
  }

  #writeBirth(region: Region, peer: PeerId): void {
    const { log } = this.#shared
    const batch = log.batch()
    birthHardState(log, batch, region, peer)
    log.append(batch, true, () => {})
    this.#records.set(region.regionId, { state: 'created', peerId: peer })
  }

  #replay(state: ReplicaState, queue: ReplicaState[]): void {
    const { log, applier } = this.#shared
    const id = state.region.regionId
    const known = log.region(id)
    const commit = Math.max(known?.hardState?.commit ?? 0, state.appliedIndex) as LogIndex
    while (state.appliedIndex < commit) {
      if (known === undefined || known.truncatedIndex > state.appliedIndex) {
        throw new StorageError('corruption', `region ${id} is applied to ${state.appliedIndex}, its log begins at ${known?.truncatedIndex}`)
      }
      for (const entry of log.entries(id, plus(state.appliedIndex, 1), plus(commit, 1), storeLimits.replayBytes)) {
        const applied = applier.apply(state, entry)
        this.#replayed++
        assert(applied !== undefined, 'a replay waits for the engine by itself')
        if (applied.kind === 'split') this.#bear(applied.regions.slice(0, -1), queue)
      }
    }
  }

  #bear(children: readonly Region[], queue: ReplicaState[]): void {
    const { deps } = this.#shared
    for (const region of children) {
      const self = peerOnStore(region, deps.storeId)
      const record = this.#records.get(region.regionId)
      if (self === undefined || (record?.state === 'tombstone' && record.peerId >= self.peerId)) continue
      this.#writeBirth(region, self.peerId)
      const state = this.#shared.applier.bear(region)
      this.#states.set(region.regionId, state)
      queue.push(state)
    }
  }

  #sort(): Pick<Recovered, 'peers' | 'doomed'> {
    const { log, deps } = this.#shared
    const peers: PeerStart[] = []
    const doomed: Doomed[] = []
    const ids = new Set([...this.#states.keys(), ...this.#records.keys()])
    for (const id of [...ids].sort((left, right) => left - right)) {
      const state = this.#states.get(id)
      const record = this.#records.get(id)
      const hard = log.region(id)?.hardState ?? freshHardState
      const self = state && peerOnStore(state.region, deps.storeId)
      const isGone = record?.state === 'tombstone' && (self === undefined || self.peerId <= record.peerId)
      if (isGone || (state !== undefined && self === undefined)) {
        const isThere = state !== undefined || log.region(id)?.hardState !== undefined
        if (isThere && record !== undefined) doomed.push({ regionId: id, peerId: record.peerId, region: state?.region })
      } else if (state !== undefined && self !== undefined) {
        const hardState = { ...hard, commit: Math.max(hard.commit, state.appliedIndex) as LogIndex }
        peers.push({ regionId: id, self, state, hardState, guardVotes: true })
      } else if (record !== undefined) {
        if ((log.region(id)?.lastIndex ?? 0) > 0) throw new StorageError('corruption', `region ${id} has a log and no state`)
        const stranger = { peerId: record.peerId, storeId: deps.storeId, role: 'voter' as const }
        peers.push({ regionId: id, self: stranger, state: undefined, hardState: hard, guardVotes: true })
      }
    }
    return { peers, doomed }
  }
}
