import { assert } from '../common/assert.js'
import { copyBytes, emptyBytes } from '../common/bytes.js'
import type { RegionId } from '../common/ids.js'
import { epochIsStale, peerOnStore } from '../common/region.js'
import type { PeerRef, Region } from '../common/region.js'
import { LogStateKind } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import { MessageType } from '../raft/types.js'
import type { RaftEnvelope } from '../wire/messages.js'
import { deleteRecords, deleteRows } from './applier.js'
import type { Applied, ChildFate } from './applier.js'
import { storeLimits } from './config.js'
import { freshHardState, Peer } from './peer.js'
import type { PeerContext } from './peer.js'
import { birthHardState } from './recovery.js'
import type { Doomed } from './recovery.js'
import type { StoreShared } from './shared.js'
import { decodeLogRecord, encodeLogRecord } from './state-records.js'
import type { Turn } from './turn.js'

/** Messages that a store may get for a region it does not know, and that are reason enough to be born. */
const births: ReadonlySet<MessageType> = new Set<MessageType>([
  MessageType.Append, MessageType.Heartbeat, MessageType.Snapshot, MessageType.Vote, MessageType.PreVote,
])
/** Votes kept for one child. */
const parkedPerRegionMax = 8
const votes: ReadonlySet<MessageType> = new Set<MessageType>([MessageType.Vote, MessageType.PreVote])

/** Birth and death of peers: by a split, by a message of a leader or candidate, by removal. */
export class Lifecycle {
  readonly #shared: StoreShared
  readonly #context: PeerContext
  readonly #turn: Turn
  readonly #onChanged: (peer: Peer) => void
  /** Votes for children whose split is not applied here yet. */
  readonly #parked = new Map<RegionId, { readonly envelope: RaftEnvelope; readonly atMs: number }[]>()
  #parkedCount = 0
  /** Regions of peers that messages called into being; cleared now and then of those that have a region since. */
  readonly #unborn = new Set<RegionId>()

  constructor(shared: StoreShared, context: PeerContext, turn: Turn, onChanged: (peer: Peer) => void) {
    this.#shared = shared
    this.#context = context
    this.#turn = turn
    this.#onChanged = onChanged
  }

  /** The id of the youngest peer of a region that is known to be gone; 0: none. */
  goneId(id: RegionId): number {
    const record = decodeLogRecord(this.#shared.log.state(id, LogStateKind.Region))
    return record?.state === 'tombstone' ? record.peerId : 0
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  /** @returns the peer that shall step the message, or undefined when it ends here */
  receiver(envelope: RaftEnvelope): Peer | undefined {
    const { regionId, to } = envelope
    const { peers, leaving, plants, deps } = this.#shared
    if (to.storeId !== deps.storeId) return undefined
    const peer = peers.get(regionId)
    if (envelope.isTombstone) {
      if (peer !== undefined) this.#onTombstone(peer, envelope)
      return undefined
    }
    if (peer === undefined) return leaving.has(regionId) ? undefined : this.#birth(envelope)
    if (to.peerId === peer.peerId) return this.#isFromStranger(peer, envelope) ? undefined : peer
    if (plants.has('P10')) return peer
    // The group has given this store a new peer: ours is of the past, even if nobody told it.
    if (to.peerId > peer.peerId && !peer.isInstalling) this.destroy(peer, 'replaced by a newer peer')
    return undefined
  }

  /** A removed peer that has not heard of it campaigns for ever; it is told, by whoever knows better. */
  #isFromStranger(peer: Peer, envelope: RaftEnvelope): boolean {
    const { region } = peer
    const { from, epoch, message } = envelope
    if (region === undefined || this.#shared.plants.has('P10')) return false
    if (region.peers.some(one => one.peerId === from.peerId) || epoch.confVer >= region.epoch.confVer) return false
    if (!votes.has(message.type)) return false
    const hint = { ...peer.envelope(message, from), isTombstone: true }
    this.#shared.deps.links.send(from.storeId, hint)
    this.#turn.schedule()
    return true
  }

  #onTombstone(peer: Peer, envelope: RaftEnvelope): void {
    if (envelope.to.peerId !== peer.peerId || peer.isInstalling) return
    const ours = peer.region?.epoch.confVer ?? 0
    if (envelope.epoch.confVer > ours) this.destroy(peer, 'told that it was removed')
  }

  #birth(envelope: RaftEnvelope): Peer | undefined {
    const { regionId, to, message, startKey, endKey } = envelope
    if (!births.has(message.type)) return undefined
    if (to.peerId <= this.goneId(regionId) && !this.#shared.plants.has('P10')) return undefined
    const inTheWay = this.#shared.table.overlapping(startKey, endKey)
    if (inTheWay.length > 0 && !this.#shared.plants.has('P17')) {
      // Most likely a split that we have not applied yet: it will bear this peer.
      if (votes.has(message.type)) this.#park(envelope)
      return undefined
    }
    if (!this.#hasRoomForUnborn()) return undefined
    this.#unborn.add(regionId)
    const batch = this.#shared.log.batch()
    batch.state(regionId, LogStateKind.Region, encodeLogRecord({ state: 'created', peerId: to.peerId }))
    this.#shared.log.append(batch, false, () => {})
    const hardState = this.#shared.log.region(regionId)?.hardState ?? freshHardState
    const peer = new Peer(this.#context, { regionId, self: to, state: undefined, hardState, guardVotes: false })
    this.#shared.peers.set(regionId, peer)
    this.#shared.env.log('info', 'peer.created', { region: regionId, peer: to.peerId, by: envelope.from.storeId })
    return peer
  }

  #park(envelope: RaftEnvelope): void {
    if (this.#parkedCount >= storeLimits.parkedMessagesMax) return
    const { env } = this.#shared
    const { message } = envelope
    // Its own memory: what came lies in a received frame.
    const kept = { ...envelope, startKey: emptyBytes, endKey: emptyBytes, message: { ...message, context: copyBytes(message.context) } }
    const one = { envelope: kept, atMs: env.clock.monotonicMs() }
    const parked = this.#parked.get(envelope.regionId)
    if (parked === undefined) this.#parked.set(envelope.regionId, [one])
    else if (parked.length < parkedPerRegionMax) parked.push(one)
    else return
    this.#parkedCount++
  }

  get parkedCount(): number { return this.#parkedCount }

  /** Whoever needed these votes has asked again, or has given up. */
  patrol(nowMs: number): void {
    for (const [id, parked] of this.#parked) {
      const left = parked.filter(one => nowMs - one.atMs < storeLimits.parkedMsMax)
      this.#parkedCount -= parked.length - left.length
      if (left.length === 0) this.#parked.delete(id)
      else if (left.length < parked.length) this.#parked.set(id, left)
    }
  }

  #hasRoomForUnborn(): boolean {
    if (this.#unborn.size < storeLimits.unbornMax) return true
    for (const id of this.#unborn) {
      const peer = this.#shared.peers.get(id)
      if (peer === undefined || peer.state !== undefined) this.#unborn.delete(id)
    }
    return this.#unborn.size < storeLimits.unbornMax
  }

  #takeParked(id: RegionId): readonly RaftEnvelope[] {
    const parked = this.#parked.get(id) ?? []
    this.#parked.delete(id)
    this.#parkedCount -= parked.length
    return parked.map(one => one.envelope)
  }

  // --- split --------------------------------------------------------------------------------------------------------

  onSplit(parent: Peer, regions: readonly Region[]): void {
    const { table, env, counters, plants } = this.#shared
    counters.splits++
    const shrunk = regions[regions.length - 1]
    assert(shrunk?.regionId === parent.regionId, 'the old region keeps the rightmost part')
    table.set(shrunk, plants.has('P17'))
    for (const region of regions.slice(0, -1)) {
      env.log('info', 'region.split', { region: parent.regionId, new: region.regionId, version: region.epoch.version })
      const self = peerOnStore(region, this.#shared.deps.storeId)
      if (self !== undefined && this.fateOf(region) === 'create') this.#bear(parent, region, self)
    }
    this.#onChanged(parent)
  }

  /** Is a region that a split makes still ours? Not if its peer here is gone, or has a successor. */
  fateOf(child: Region): ChildFate {
    const self = peerOnStore(child, this.#shared.deps.storeId)
    if (self === undefined) return 'gone'
    const later = Math.max(this.goneId(child.regionId), (this.#shared.peers.get(child.regionId)?.peerId ?? 1) - 1)
    return self.peerId <= later ? 'gone' : 'create'
  }

  #bear(parent: Peer, region: Region, self: PeerRef): void {
    const { log, peers, table, plants } = this.#shared
    const { regionId } = region
    const isGuarded = this.#replaceUnborn(regionId)
    const batch = log.batch()
    const hardState = birthHardState(log, batch, region, self.peerId)
    log.append(batch, false, () => {})
    const state = this.#shared.applier.bear(region)
    const peer = new Peer(this.#context, { regionId, self, state, hardState, guardVotes: isGuarded })
    table.set(region, plants.has('P17'))
    peers.set(regionId, peer)
    // Who led the parent serves its last part now; the others get a chance when it does not.
    if (parent.isLeader) peer.node.campaign()
    for (const envelope of this.#takeParked(regionId)) {
      if (envelope.to.peerId === self.peerId) peer.step(envelope)
    }
    this.#onChanged(peer)
    this.#turn.markDirty(peer)
  }

  /**
   * A message may have called the peer into being before the split that fills it. Its vote is in the log; what it may have
   * said to a leader, who reads by it, goes over to its successor.
   * @returns has it answered a leader lately?
   */
  #replaceUnborn(id: RegionId): boolean {
    const unborn = this.#shared.peers.get(id)
    if (unborn === undefined) return false
    const isPlanted = this.#shared.plants.size > 0
    assert((unborn.state === undefined && !unborn.isInstalling) || isPlanted, () => `region ${id} exists before its split`)
    unborn.isRemoved = true
    this.#shared.peers.delete(id)
    this.abandon(unborn, 'replaced')
    return unborn.node.guardTicksLeft > 0
  }

  // --- members ------------------------------------------------------------------------------------------------------

  onConfChange(peer: Peer, { change, peer: subject }: Extract<Applied, { kind: 'conf' }>): void {
    if (change === undefined) return
    const { region } = peer
    assert(region !== undefined, 'a change of members is applied to a region')
    peer.node.applyConfChange(change)
    this.#shared.table.set(region, this.#shared.plants.has('P17'))
    const kind = change.changes[0]?.type ?? 'none'
    this.#shared.env.log('info', 'region.members', {
      region: peer.regionId, change: kind, peer: subject.peerId, store: subject.storeId, confVer: region.epoch.confVer,
    })
    peer.onMembers()
    if (kind !== 'removeNode') peer.heardFrom.set(subject.peerId, this.#shared.env.clock.monotonicMs())
    const isSelf = kind === 'removeNode' && subject.peerId === peer.peerId
    if (isSelf) this.#shared.applier.whenVisible(() => { this.destroy(peer, 'removed') })
    this.#onChanged(peer)
  }

  /** PD, who asks leaders, was asked about a peer that hears of none. */
  onVerdict(peer: Peer, current: Region): void {
    if (peer.isRemoved || peer.isInstalling) return
    const ours = peer.region?.epoch ?? { confVer: 0, version: 0 }
    const isMember = current.peers.some(one => one.peerId === peer.peerId)
    if (!isMember && epochIsStale(ours, current.epoch) && ours.confVer < current.epoch.confVer) this.destroy(peer, 'PD says so')
  }

  // --- death --------------------------------------------------------------------------------------------------------

  /**
   * The tombstone is durable first. The log goes last, when the engine has flushed: after a crash before that, replaying
   * it again makes the children of its splits, whose own logs begin there.
   */
  destroy(peer: Peer, reason: string): void {
    if (peer.isRemoved) return
    const { peers, leaving, env } = this.#shared
    env.log('info', 'peer.destroyed', { region: peer.regionId, peer: peer.peerId, reason })
    peer.isRemoved = true
    peers.delete(peer.regionId)
    leaving.add(peer.regionId)
    this.abandon(peer, 'this peer was removed')
    if (peer.commitUnsaved && peer.state !== undefined) this.#turn.saveCommit(peer)
    this.bury(peer)
  }

  /** The tombstone, then the rows: for `destroy`, and again after a restart that finds something left. */
  bury({ regionId, peerId, region }: Doomed): void {
    const { log } = this.#shared
    const batch = log.batch()
    batch.state(regionId, LogStateKind.Region, encodeLogRecord({ state: 'tombstone', peerId }))
    log.append(batch, true, () => { this.#shared.guarded(() => { this.#deleteData(regionId, region) }) })
  }

  #deleteData(id: RegionId, region: Region | undefined): void {
    const { applier, env, table } = this.#shared
    env.failpoint('store.tombstone-durable')
    const forget = (): void => { this.#forgetLog(id) }
    if (region === undefined) applier.whenVisible(forget)
    else {
      const writer = new BatchWriter()
      deleteRows(writer, region)
      deleteRecords(writer, id)
      applier.write(writer.finish(), forget)
    }
    // Whoever takes the range from now on writes behind the batch that clears it.
    table.delete(id)
    applier.flush()
  }

  #forgetLog(id: RegionId): void {
    const { engine, log, leaving } = this.#shared
    engine.flush(() => {
      this.#shared.guarded(() => {
        // Only now may a successor be born: it would take this log for its own.
        leaving.delete(id)
        if (this.#shared.peers.has(id)) return // Born again by a split meanwhile, with a log of its own.
        const batch = log.batch()
        batch.remove(id)
        log.append(batch, false, () => {})
      })
    })
  }

  /** Whoever waits for this peer gets an answer. */
  abandon(peer: Peer, reason: string): void {
    peer.pending.giveUp(reason, this.#turn.answers)
    const error = { kind: 'RegionNotFound', regionId: peer.regionId } as const
    for (const write of peer.queue) this.#turn.answer(() => { this.#shared.ledger.end(write, { ok: false, error }) })
    peer.queue = []
    this.#turn.refuseReads(peer)
  }
}
