import { assert } from '../common/assert.js'
import type { LogIndex } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { Cf, LogStateKind } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import type { Message, RaftSnapshot } from '../raft/types.js'
import { deleteRecords, deleteRows, visibleState } from './applier.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'
import type { SnapshotReceiver, SpooledSnapshot } from './snapshot-receiver.js'
import { applyKey, decodeSnapshotData, encodeApplyState, encodeLogRecord, encodeRegion, regionKey } from './state-records.js'

/** What the installer asks of the store; see Turn and Lifecycle. */
export interface InstallEvents {
  finish(peer: Peer, responses: readonly Message[]): void
  onInstalled(peer: Peer): void
}

/**
 * Puts a raft snapshot in the place of a region's data, so that a crash at any point leaves something to go on from:
 *
 *   1 log: Applying{index, region}, durable        4 engine: flush
 *   2 engine: old rows and old state away          5 log: reset to index, HardState, Created, durable
 *   3 engine: rows …, then region and apply state  6 acknowledge
 *
 * Found after a crash: before 2, the old state; between 2 and 4, no state: the range is wiped and another snapshot comes;
 * after 4, the new state, and the log is reset again (recovery.ts). What raft
 * asks to be written meanwhile waits; its other messages leave, so that the leader knows that this peer lives.
 */
export class SnapshotInstaller {
  readonly #shared: StoreShared
  readonly #receiver: SnapshotReceiver
  readonly #events: InstallEvents

  constructor(shared: StoreShared, receiver: SnapshotReceiver, events: InstallEvents) {
    this.#shared = shared
    this.#receiver = receiver
    this.#events = events
  }

  begin(peer: Peer, work: Message): void {
    const { snapshot } = work
    const data = snapshot && decodeSnapshotData(snapshot.data)
    const rows = data && this.#receiver.take(data.snapshotId)
    assert(snapshot !== undefined && rows !== undefined, 'raft accepts only snapshots that have arrived')
    peer.isInstalling = true
    this.#shared.applier.flush()
    const { index, term } = snapshot.meta
    const install = (): void => { this.#clear(peer, work, snapshot, rows) }
    if (this.#shared.plants.has('P16')) {
      this.#writeState(peer, snapshot, rows.region)
      install()
      return
    }
    const batch = this.#shared.log.batch()
    batch.state(peer.regionId, LogStateKind.Region,
      encodeLogRecord({ state: 'applying', peerId: peer.peerId, index, term, region: rows.region }))
    this.#shared.log.append(batch, true, () => {
      this.#shared.guarded(() => {
        this.#shared.env.failpoint('store.snapshot-marked')
        install()
      })
    })
  }

  #clear(peer: Peer, work: Message, snapshot: RaftSnapshot, rows: SpooledSnapshot): void {
    const { applier, plants, env } = this.#shared
    const writer = new BatchWriter()
    if (peer.region !== undefined) deleteRows(writer, peer.region)
    deleteRows(writer, rows.region)
    if (!plants.has('P16')) deleteRecords(writer, peer.regionId)
    applier.write(writer.finish(), () => {
      env.failpoint('store.snapshot-cleared')
      this.#next(peer, work, snapshot, rows)
    })
  }

  /** One chunk at a time, as fast as the engine takes them; at most one a turn: others have work, too. */
  #next(peer: Peer, work: Message, snapshot: RaftSnapshot, rows: SpooledSnapshot): void {
    const { applier, engine, env, plants } = this.#shared
    const chunk = rows.next()
    if (chunk !== undefined) {
      applier.write(chunk, () => {
        env.failpoint('store.snapshot-chunk')
        this.#next(peer, work, snapshot, rows)
      })
      return
    }
    rows.remove()
    if (!plants.has('P16')) this.#writeState(peer, snapshot, rows.region)
    env.failpoint('store.snapshot-written')
    const settle = (): void => { this.#settle(peer, work, snapshot, rows.region) }
    if (plants.has('P16')) settle()
    else engine.flush(() => { this.#shared.guarded(settle) })
  }

  #writeState(peer: Peer, { meta: { index, term } }: RaftSnapshot, region: Region): void {
    const writer = new BatchWriter()
    writer.put(Cf.Raft, regionKey(peer.regionId), encodeRegion(region))
    writer.put(Cf.Raft, applyKey(peer.regionId), encodeApplyState({ index, term }))
    this.#shared.applier.write(writer.finish(), () => {})
  }

  #settle(peer: Peer, work: Message, snapshot: RaftSnapshot, region: Region): void {
    const { log, env } = this.#shared
    const { index, term } = snapshot.meta
    env.failpoint('store.snapshot-flushed')
    const batch = log.batch()
    batch.reset(peer.regionId, index, term)
    if (work.entries.length > 0) batch.entries(peer.regionId, work.entries)
    const { hardState } = peer
    batch.hardState(peer.regionId, { ...hardState, commit: Math.max(work.commit, index) as LogIndex })
    batch.state(peer.regionId, LogStateKind.Region, encodeLogRecord({ state: 'created', peerId: peer.peerId }))
    log.append(batch, true, () => {
      this.#shared.guarded(() => {
        peer.state = visibleState(region, index, term)
        peer.isInstalling = false
        this.#events.onInstalled(peer)
        this.#events.finish(peer, work.responses)
      })
    })
  }
}
