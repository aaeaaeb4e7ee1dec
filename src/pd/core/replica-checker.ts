import type { PeerId, StoreId } from '../../common/ids.js'
import type { PeerRef } from '../../common/region.js'
import type { StoreMeta } from '../../wire/messages.js'
import type { RegionRecord } from './region-record.js'
import type { Liveness } from './store-liveness.js'
import { hasRoomFor, isLowSpace, spaceText } from './store-space.js'
import type { SpaceConfig, StoreSpace } from './store-space.js'

export interface ReplicaConfig extends SpaceConfig {
  /** `max-replicas`: voters each region should have. */
  readonly maxReplicas: number
  readonly maxStoreDownMs: number
  /** `location-labels`, most general first: replicas prefer stores that differ in them. */
  readonly locationLabels: readonly string[]
  /** `learner-timeout`: one that gets no further for so long is taken away, and another store is tried. */
  readonly learnerTimeoutMs: number
  /** `max-pending-peer-count`: replicas that are made on one store at a time. */
  readonly maxPendingPeers: number
}

/** What is under way elsewhere, and what went wrong before. */
export interface Circumstances {
  /** How long the region's learner has got no further. */
  readonly stuckMs: number
  /** Replicas that are being made on a store. */
  readonly joiningOn: (store: StoreId) => number
  /** Why a store is not to be tried now. */
  readonly avoided: (store: StoreId) => string | undefined
}

export const noCircumstances: Circumstances = { stuckMs: 0, joiningOn: () => 0, avoided: () => undefined }

/** A store as the checker sees it. */
export interface StoreView {
  readonly meta: StoreMeta
  readonly liveness: Liveness
  readonly isBusy: boolean
  readonly regions: number
  readonly space: StoreSpace
}

/** What one region needs next; `reason` is for `explain`. */
export type ReplicaStep =
  | { readonly kind: 'addLearner'; readonly storeId: StoreId; readonly reason: string }
  | {
    readonly kind: 'promoteLearner' | 'removePeer' | 'transferLeader'
    readonly peer: PeerRef
    readonly reason: string
    /** Its store did not do what was asked of it. */
    readonly isFailure?: true
  }
  | { readonly kind: 'none'; readonly reason: string }

const none = (reason: string): ReplicaStep => ({ kind: 'none', reason })
/** People are told of a learner that stands still for this long. */
const stuckToldMs = 30_000
export const majorityOf = (voters: number): number => Math.floor(voters / 2) + 1

export interface PeerView {
  readonly peer: PeerRef
  /** Its replica is lost or leaves: it must be replaced. Not merely silent for a while. */
  readonly isLost: boolean
  /** Would answer now, as far as we know. */
  readonly isHealthy: boolean
  readonly isPending: boolean
}

/**
 * One step towards `maxReplicas` good voters. One change at a time: a learner joins, catches up, is promoted;
 * only then is a superfluous or lost peer removed. So the number of good copies never sinks below what it was,
 * and a removal must leave a healthy majority. A silent store keeps its replicas for maxStoreDownMs: moving
 * data is dear.
 */
export function checkReplicas(
  region: RegionRecord, stores: ReadonlyMap<StoreId, StoreView>, config: ReplicaConfig, around: Circumstances = noCircumstances,
): ReplicaStep {
  if (region.leaderId === 0) return none('no leader has reported')
  const peers = region.peers().map(peer => peerViewOf(peer, region, stores, config, true))
  if (peers.some(({ peer }) => peer.role === 'incomingVoter' || peer.role === 'demotingVoter')) {
    return none('a joint change is under way')
  }
  const voters = peers.filter(({ peer }) => peer.role === 'voter')
  const learner = peers.find(({ peer }) => peer.role === 'learner')
  const good = voters.filter(view => !view.isLost)
  if (learner !== undefined) return checkLearner(learner, voters, good.length, config, around.stuckMs)
  if (good.length < config.maxReplicas) {
    const target = bestStore(region, peers, stores, config, around)
    if (typeof target !== 'string') {
      const reason = `${good.length} of ${config.maxReplicas} replicas are good`
      return { kind: 'addLearner', storeId: target.meta.storeId, reason }
    }
    if (voters.length <= config.maxReplicas) return none(target)
  }
  if (voters.length > config.maxReplicas) return removeOne(region, voters, stores, config)
  return none('all replicas are in place')
}

/** @param isReporting  its leader told us of it just now */
export function peerViewOf(
  peer: PeerRef, region: RegionRecord, stores: ReadonlyMap<StoreId, StoreView>, config: ReplicaConfig, isReporting: boolean,
): PeerView {
  const store = stores.get(peer.storeId)
  const downMs = (region.down.find(entry => entry.peerId === peer.peerId)?.downSeconds ?? 0) * 1000
  const isLeader = isReporting && peer.peerId === region.leaderId
  const isLost = store === undefined || store.meta.state !== 'up'
    || (!isLeader && (store.liveness === 'down' || downMs >= config.maxStoreDownMs))
  // The leader reported a moment ago, whatever its store's heartbeat says.
  const isAlive = store !== undefined && store.meta.state !== 'tombstone' && store.liveness === 'up'
  const isHealthy = isLeader || (isAlive && downMs === 0)
  return { peer, isLost, isHealthy, isPending: region.pending.includes(peer.peerId) }
}

function checkLearner(
  learner: PeerView, voters: readonly PeerView[], good: number, config: ReplicaConfig, stuckMs: number,
): ReplicaStep {
  const { peer } = learner
  if (learner.isLost) return { kind: 'removePeer', peer, reason: 'the learner is on a store that is lost or leaves' }
  if (good >= config.maxReplicas) return { kind: 'removePeer', peer, reason: 'the learner is not needed' }
  if (stuckMs >= config.learnerTimeoutMs) {
    const reason = `the learner on store ${peer.storeId} got no further for ${secondsText(stuckMs)}`
    return { kind: 'removePeer', peer, reason, isFailure: true }
  }
  if (learner.isPending) {
    const since = stuckMs < stuckToldMs ? '' : `; it got no further for ${secondsText(stuckMs)}`
    return none(`the learner is catching up${since}`)
  }
  if (!learner.isHealthy) return none('the learner is silent')
  const healthy = voters.filter(view => view.isHealthy).length + 1
  if (healthy < majorityOf(voters.length + 1)) return none('a promotion would leave no healthy majority')
  return { kind: 'promoteLearner', peer, reason: 'the learner has caught up' }
}

/** Worst first: lost, silent, where most other replicas are alike, on the fullest store. Never the leader. */
function removeOne(
  region: RegionRecord, voters: readonly PeerView[], stores: ReadonlyMap<StoreId, StoreView>, config: ReplicaConfig,
): ReplicaStep {
  const leader = voters.find(({ peer }) => peer.peerId === region.leaderId)
  if (leader?.isLost === true) {
    const heir = voters.find(view => !view.isLost && view.isHealthy && !view.isPending && view !== leader)
    if (heir !== undefined) return { kind: 'transferLeader', peer: heir.peer, reason: 'the leader\'s store leaves' }
  }
  let worst: PeerView | undefined
  let worstScore: readonly number[] = []
  for (const view of voters) {
    if (view.peer.peerId === region.leaderId) continue
    const store = stores.get(view.peer.storeId)
    const alike = store === undefined ? 0 : likeness(store, voters, view.peer.peerId, stores, config)
    const score = [view.isLost ? 1 : 0, view.isHealthy ? 0 : 1, view.isPending ? 1 : 0,
      store !== undefined && isLowSpace(store.space, store.regions, config) ? 1 : 0, alike, store?.regions ?? 0,
      view.peer.peerId]
    if (worst === undefined || compareScores(score, worstScore) > 0) {
      worst = view
      worstScore = score
    }
  }
  if (worst === undefined) return none('nobody but the leader could be removed')
  const rest = voters.filter(view => view !== worst)
  if (rest.filter(view => view.isHealthy).length < majorityOf(rest.length)) {
    return none('a removal would leave no healthy majority')
  }
  return { kind: 'removePeer', peer: worst.peer, reason: worst.isLost ? 'replaced' : 'more replicas than wanted' }
}

/**
 * The store that differs most from those that have a replica already; then one that has a free place; then the emptiest; then
 * the lowest id. @returns why there is none, else
 */
function bestStore(
  region: RegionRecord, peers: readonly PeerView[], stores: ReadonlyMap<StoreId, StoreView>, config: ReplicaConfig,
  around: Circumstances,
): StoreView | string {
  let best: StoreView | undefined
  let bestScore: readonly number[] = []
  let refusal: string | undefined
  const kept = peers.filter(view => !view.isLost)
  for (const store of stores.values()) {
    const { storeId } = store.meta
    if (store.meta.state !== 'up' || store.liveness !== 'up' || peers.some(({ peer }) => peer.storeId === storeId)) continue
    const why = storeRefusal(store, region, config, around)
    refusal ??= why
    if (why !== undefined) continue
    const isCrowded = around.joiningOn(storeId) >= config.maxPendingPeers
    const score = [likeness(store, kept, 0 as PeerId, stores, config), isCrowded ? 1 : 0, store.regions, storeId]
    if (best === undefined || compareScores(score, bestScore) < 0) {
      best = store
      bestScore = score
    }
  }
  if (best === undefined) return refusal ?? 'no healthy store is without a replica'
  const crowd = around.joiningOn(best.meta.storeId)
  // Another one that is worse placed would only be moved again.
  return crowd >= config.maxPendingPeers ? `store ${best.meta.storeId} is getting ${crowd} other replicas` : best
}

/** Why a healthy store gets no replica of this region now. */
function storeRefusal(store: StoreView, region: RegionRecord, config: ReplicaConfig, around: Circumstances): string | undefined {
  const { storeId } = store.meta
  if (store.isBusy) return `store ${storeId} is busy`
  if (isLowSpace(store.space, store.regions, config) || !hasRoomFor(store.space, region.approximateBytes)) {
    return `store ${storeId} is short of space: ${spaceText(store.space)}`
  }
  const why = around.avoided(storeId)
  return why === undefined ? undefined : `store ${storeId}: ${why}`
}

const secondsText = (ms: number): string => `${Math.round(ms / 1_000)} s`

/** How many location labels a store shares with the other replicas' stores, from the most general on. */
function likeness(
  store: StoreView, peers: readonly PeerView[], except: PeerId, stores: ReadonlyMap<StoreId, StoreView>,
  config: ReplicaConfig,
): number {
  let total = 0
  for (const { peer } of peers) {
    if (peer.peerId === except) continue
    const other = stores.get(peer.storeId)
    for (const label of config.locationLabels) {
      const value = store.meta.labels[label]
      if (value === undefined) continue
      if (other?.meta.labels[label] !== value) break
      total++
    }
  }
  return total
}

function compareScores(left: readonly number[], right: readonly number[]): number {
  for (let i = 0; i < left.length; i++) {
    const difference = left[i]! - right[i]!
    if (difference !== 0) return difference
  }
  return 0
}
