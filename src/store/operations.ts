import { compareBytes, emptyBytes, toHex } from '../common/bytes.js'
import type { ServerError } from '../common/errors.js'
import { logIndex } from '../common/ids.js'
import type { PeerId, StoreId, Term } from '../common/ids.js'
import { peerOnStore, regionContains, sameEpoch } from '../common/region.js'
import type { PeerRef, Region } from '../common/region.js'
import { err, ok } from '../common/result.js'
import { Cf } from '../engine/api.js'
import type { Result } from '../common/result.js'
import type { ConfChangeType, ConfChangeV2 } from '../raft/raw-node.js'
import type { Operator, RegionBeat, RequestContext, SplitIds } from '../wire/messages.js'
import { storeLimits } from './config.js'
import { encodePeerContext, encodeSplit } from './entry.js'
import { operatorMistake, transferMistake } from './operator-guard.js'
import type { Peer } from './peer.js'
import { epochNotMatch, leaderFor } from './requests.js'
import type { StoreShared } from './shared.js'
import type { Turn } from './turn.js'

type SplitDone = (result: Result<readonly Region[], ServerError>) => void

const invalid = (reason: string): ServerError => ({ kind: 'InvalidArgument', reason })

/** What operators and PD ask of regions that this store leads, and what it tells PD of them. */
export class Operations {
  readonly #shared: StoreShared
  readonly #turn: Turn
  readonly #due = new Set<Peer>()
  #isBeatScheduled = false

  readonly #snapshotBytesTo: (peer: Peer, to: PeerRef) => number

  /** @param snapshotBytesTo  of a snapshot under way */
  constructor(shared: StoreShared, turn: Turn, snapshotBytesTo: (peer: Peer, to: PeerRef) => number) {
    this.#shared = shared
    this.#turn = turn
    this.#snapshotBytesTo = snapshotBytesTo
  }

  /** Who was not heard for two election timeouts does not answer. */
  /** A replica that was not heard for longer does not count. */
  get silentMsMax(): number { return 2 * this.#shared.config.electionTicksMin * this.#shared.config.tickMs }

  // --- split --------------------------------------------------------------------------------------------------------

  /** @param asked  no keys: in about two halves, by what the engine knows of its files */
  split(context: RequestContext, asked: readonly Uint8Array[], done: SplitDone): void {
    const start = asked[0] ?? this.#shared.peers.get(context.regionId)?.region?.startKey ?? emptyBytes
    const found = leaderFor(this.#shared, context, { start, end: emptyBytes, single: true })
    if (!found.ok) return done(found)
    const peer = found.value
    const region = peer.region!
    const middle = asked.length === 0 ? this.#shared.engine.middleKey(Cf.Default, region.startKey, region.endKey) : undefined
    const keys = middle === undefined ? asked : [middle]
    if (keys.length === 0) return done(err(invalid('the region holds too little data to be halved; name a key')))
    const mistake = splitMistake(region, keys) ?? this.#boundaryMistake(keys)
    if (mistake !== undefined) return done(err(mistake))
    this.#shared.deps.pd.askSplit(region, keys.length, ids => {
      this.#shared.guarded(() => {
        if (ids?.length !== keys.length) done(err({ kind: 'ServerIsBusy', reason: 'PD gives no ids for the new regions', backoffMs: 200 }))
        else this.#proposeSplit(peer, region, keys, ids, done)
      })
    })
  }

  /** Whoever asks, PD or an operator: a boundary is for ever. */
  #boundaryMistake(keys: readonly Uint8Array[]): ServerError | undefined {
    for (const key of keys) {
      const mistake = this.#shared.deps.boundaryMistake?.(key)
      if (mistake !== undefined) return invalid(`regions cannot meet at ${toHex(key.subarray(0, 32))}: ${mistake}`)
    }
    return undefined
  }

  #proposeSplit(peer: Peer, asked: Region, keys: readonly Uint8Array[], ids: readonly SplitIds[], done: SplitDone): void {
    const { region } = peer
    if (peer.isRemoved || region === undefined || !peer.isLeader) return done(err(peer.notLeader()))
    if (!sameEpoch(region.epoch, asked.epoch)) return done(err(epochNotMatch(this.#shared, region, asked.epoch.version)))
    const parts = keys.map((endKey, at) => ({ endKey, ids: ids[at]! }))
    const data = encodeSplit(parts, region.epoch, this.#shared.env.clock.wallMs())
    const isProposed = peer.proposeSplit(data, outcome => {
      if (!outcome.ok) return done(outcome)
      const applied = outcome.value
      // Somebody else changed the region first: certainly not done.
      const { region: now } = peer
      if (applied.kind !== 'split') {
        return done(err(now === undefined ? { kind: 'StaleCommand' } : epochNotMatch(this.#shared, now, asked.epoch.version)))
      }
      this.#shared.deps.pd.reportSplit(applied.regions)
      done(ok(applied.regions))
    })
    if (!isProposed) done(err(peer.dropReason()))
    this.#turn.markDirty(peer)
  }

  // --- leadership ---------------------------------------------------------------------------------------------------

  /**
   * A region error says that the leadership was not moved, and will not be by this request. Until that is certain, nobody
   * is told so: the other may have been told to campaign, and do so late.
   */
  transfer(context: RequestContext, to: StoreId, done: (error: ServerError | undefined) => void): void {
    const peer = this.#shared.peers.get(context.regionId)
    if (peer?.region === undefined) return done({ kind: 'RegionNotFound', regionId: context.regionId })
    if (!peer.isLeader) return done(peer.notLeader())
    const target = peerOnStore(peer.region, to)
    if (target?.role !== 'voter') return done(invalid(`region ${context.regionId} has no voter on store ${to}`))
    if (target.peerId === peer.peerId) return done(undefined)
    const mistake = transferMistake(peer, target.peerId, this.#shared.env.clock.monotonicMs(), this.silentMsMax)
    if (mistake !== undefined) return done({ kind: 'ServerIsBusy', reason: mistake, backoffMs: 1_000 })
    if (!this.handOver(peer, target)) return done({ kind: 'ServerIsBusy', reason: 'the target lags too far behind', backoffMs: 100 })
    const askedIn = peer.node.term
    const deadlineMs = this.#shared.env.clock.monotonicMs() + storeLimits.transferTimeoutMs
    const look = (): void => {
      const outcome = transferOutcome(peer, target.peerId, askedIn)
      if (outcome === 'done') return done(undefined)
      if (outcome === 'failed') return done({ kind: 'ServerIsBusy', reason: 'the target did not take over', backoffMs: 100 })
      const isLate = this.#shared.env.clock.monotonicMs() >= deadlineMs
      if (isLate || peer.isRemoved) return done({ kind: 'Undetermined', reason: 'nobody knows yet whether the target takes over' })
      this.#shared.later(5, look)
    }
    this.#shared.later(5, look)
  }

  /** @returns false when it would only stop writes: the other is too far behind, or members are changing */
  handOver(peer: Peer, to: PeerRef): boolean {
    const progress = peer.node.status().progress.get(to.peerId)
    const isBusy = peer.node.pendingConfIndex > (peer.state?.visibleIndex ?? logIndex(0))
    if (progress === undefined || isBusy || progress.match + storeLimits.transferLagEntriesMax < peer.node.lastIndex) return false
    const isAccepted = peer.node.transferLeader(to.peerId) === 'ok'
    this.#turn.markDirty(peer)
    return isAccepted
  }

  /** Best heir: a voter that answers and lags least. */
  handOverToAny(peer: Peer): boolean {
    const voters = (peer.region?.peers ?? []).filter(one => one.role === 'voter' && one.peerId !== peer.peerId)
    const { progress } = peer.node.status()
    const heirs = voters.filter(one => progress.get(one.peerId)?.recentActive === true)
      .sort((left, right) => (progress.get(right.peerId)?.match ?? 0) - (progress.get(left.peerId)?.match ?? 0))
    return heirs.some(heir => this.handOver(peer, heir))
  }

  // --- PD -----------------------------------------------------------------------------------------------------------

  /** Something that PD knows of this region has changed. */
  changed(peer: Peer): void {
    if (!peer.isLeader) return
    this.#due.add(peer)
    if (this.#isBeatScheduled) return
    this.#isBeatScheduled = true
    this.#shared.env.defer(() => { this.#shared.guarded(this.#beat) })
  }

  beatAll(): void {
    for (const peer of this.#shared.peers.values()) if (peer.isLeader) this.#due.add(peer)
    if (!this.#isBeatScheduled) this.#beat()
  }

  /** Some at a time: each asks the engine how much the region holds, and others have work, too. */
  readonly #beat = (): void => {
    const beats: RegionBeat[] = []
    let looked = 0
    for (const peer of this.#due) {
      if (looked++ === storeLimits.beatsPerTurn) break
      this.#due.delete(peer)
      const beat = this.#beatOf(peer)
      if (beat !== undefined) beats.push(beat)
    }
    this.#isBeatScheduled = this.#due.size > 0
    if (this.#isBeatScheduled) this.#shared.later(1, this.#beat)
    if (beats.length === 0) return
    this.#shared.deps.pd.regionHeartbeat(beats, operators => {
      this.#shared.guarded(() => { for (const operator of operators) this.#carryOut(operator) })
    })
  }

  #beatOf(peer: Peer): RegionBeat | undefined {
    const { region, state } = peer
    // A leader that has not applied an entry of its own may tell of a shape that is long gone.
    if (peer.isRemoved || !peer.isLeader || region === undefined || state?.visibleTerm !== peer.node.term) return undefined
    const now = this.#shared.env.clock.monotonicMs()
    const pendingPeers = peer.pendingPeers()
    peer.hasPendingReplicas = pendingPeers.length > 0
    return {
      region, leader: peer.self, term: peer.node.term, downPeers: peer.downPeers(now), pendingPeers,
      approximateBytes: Math.round(this.#shared.engine.approximateBytes(Cf.Default, region.startKey, region.endKey)), approximateKeys: 0,
      pendingProgress: this.#progressOf(peer, pendingPeers),
    }
  }

  #progressOf(peer: Peer, pending: readonly PeerRef[]): number {
    if (pending.length === 0) return 0
    const { progress } = peer.node.status()
    return pending.reduce((sum, one) => sum + (progress.get(one.peerId)?.match ?? 0) + this.#snapshotBytesTo(peer, one), 0)
  }

  #carryOut(operator: Operator): void {
    const peer = this.#shared.peers.get(operator.regionId)
    const { region } = peer ?? {}
    if (peer === undefined || region === undefined || !peer.isLeader || !sameEpoch(region.epoch, operator.epoch)) return
    const mistake = operatorMistake(peer, operator, this.#shared.env.clock.monotonicMs(), this.silentMsMax)
    const fields = { region: operator.regionId, kind: operator.kind, reason: mistake }
    this.#shared.env.log(mistake === undefined ? 'info' : 'warn', mistake === undefined ? 'operator' : 'operator.refused', fields)
    if (mistake !== undefined) return
    switch (operator.kind) {
      case 'addLearner': return this.#change(peer, 'addLearner', { ...operator.peer, role: 'learner' })
      case 'promoteLearner': return this.#change(peer, 'addNode', { ...operator.peer, role: 'voter' })
      case 'removePeer':
        // A leader that removes itself may be the last to know of it.
        if (operator.peer.peerId === peer.peerId) this.handOverToAny(peer)
        else this.#change(peer, 'removeNode', operator.peer)
        return
      case 'transferLeader':
        if (operator.peer.peerId !== peer.peerId) this.handOver(peer, operator.peer)
        return
      case 'splitRegion': {
        const context: RequestContext = { regionId: region.regionId, epoch: region.epoch, peerId: peer.peerId, timeoutMs: 0 }
        return this.split(context, operator.keys, () => {})
      }
    }
  }

  #change(peer: Peer, type: ConfChangeType, subject: PeerRef): void {
    const context = encodePeerContext(subject, peer.region!.epoch.confVer)
    const change: ConfChangeV2 = { transition: 'auto', changes: [{ type, nodeId: subject.peerId }], context }
    if (peer.proposeConfChange(change)) this.#turn.markDirty(peer)
  }
}

/** In the next term of the old leader a TimeoutNow of this one is void (raft-election, renewTerm). */
function transferOutcome({ node }: Peer, target: PeerId, askedIn: Term): 'done' | 'failed' | 'open' {
  if (node.lead === target && node.term > askedIn) return 'done'
  if (node.role !== 'leader') return 'open'
  const isGivenUp = node.term === askedIn && node.leadTransferee !== target && !node.timeoutNowSent
  return isGivenUp || node.term === askedIn + 1 ? 'failed' : 'open'
}

function splitMistake(region: Region, keys: readonly Uint8Array[]): ServerError | undefined {
  let before = region.startKey
  for (const key of keys) {
    if (!regionContains(region, key)) {
      const { regionId, startKey, endKey } = region
      return { kind: 'KeyNotInRegion', regionId, key, startKey, endKey }
    }
    if (compareBytes(key, before) <= 0) return invalid('split keys must ascend, and must not be the start of the region')
    before = key
  }
  return undefined
}
