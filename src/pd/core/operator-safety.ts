import { boundaryMistake } from '../../common/boundary.js'
import { compareBytes } from '../../common/bytes.js'
import type { ServerError } from '../../common/errors.js'
import type { StoreId } from '../../common/ids.js'
import { regionContains } from '../../common/region.js'
import type { PeerRef } from '../../common/region.js'
import type { Operator } from '../../wire/messages.js'
import type { RegionRecord } from './region-record.js'
import { majorityOf, peerViewOf } from './replica-checker.js'
import type { PeerView, ReplicaConfig, StoreView } from './replica-checker.js'
import { isLowSpace, spaceText } from './store-space.js'

type Stores = ReadonlyMap<StoreId, StoreView>

const invalid = (reason: string): ServerError => ({ kind: 'InvalidArgument', reason })
const forceText = 'say --force if that is wanted'

/**
 * The rules of the checker hold for wishes of people as well. What may be undone, or costs nothing, is carried out; what
 * costs a region its quorum or its last copy asks for force; what makes no sense is refused with or without.
 */
export function operatorRefusal(
  asked: Operator, region: RegionRecord, stores: Stores, config: ReplicaConfig, idBound: number, isForced: boolean,
): ServerError | undefined {
  if (asked.kind === 'splitRegion') return splitRefusal(asked.keys, region)
  const views = region.peers().map(peer => peerViewOf(peer, region, stores, config, false))
  if (asked.kind === 'addLearner') return addRefusal(asked.peer, region, stores, config, idBound)
  const subject = views.find(({ peer }) => peer.peerId === asked.peer.peerId)
  if (subject === undefined) return invalid(`peer ${asked.peer.peerId} is not in region ${region.regionId}`)
  switch (asked.kind) {
    case 'promoteLearner': return promotionRefusal(subject, views, isForced)
    case 'transferLeader': return transferRefusal(subject, region)
    case 'removePeer': return removalRefusal(subject, views, region, isForced)
  }
}

function splitRefusal(keys: readonly Uint8Array[], record: RegionRecord): ServerError | undefined {
  if (keys.length === 0) return invalid('a split needs at least one key')
  const region = record.region()
  const { regionId, startKey, endKey } = region
  let before = startKey
  for (const key of keys) {
    const mistake = boundaryMistake(key)
    if (mistake !== undefined) return invalid(`regions cannot meet at a split key: ${mistake}`)
    if (!regionContains(region, key)) return { kind: 'KeyNotInRegion', regionId, key, startKey, endKey }
    if (compareBytes(key, before) <= 0) return invalid('split keys must ascend, and must not be the start of the region')
    before = key
  }
  return undefined
}

function addRefusal(
  peer: PeerRef, region: RegionRecord, stores: Stores, config: ReplicaConfig, idBound: number,
): ServerError | undefined {
  const { storeId, peerId } = peer
  const store = stores.get(storeId)
  if (store === undefined) return invalid(`there is no store ${storeId}`)
  if (store.meta.state !== 'up') return invalid(`store ${storeId} is ${store.meta.state}`)
  if (store.liveness !== 'up') return invalid(`store ${storeId} is ${store.liveness}: it would not answer`)
  const there = region.peers()
  if (there.some(one => one.storeId === storeId)) return invalid(`store ${storeId} has a replica of region ${region.regionId} already`)
  if (there.some(one => one.peerId === peerId)) return invalid(`region ${region.regionId} has a peer ${peerId} already`)
  if (peerId > idBound) return invalid(`peer id ${peerId} was never allocated`)
  if (isLowSpace(store.space, store.regions, config)) return invalid(`store ${storeId} is short of space: ${spaceText(store.space)}`)
  return undefined
}

const votersOf = (views: readonly PeerView[]): readonly PeerView[] => views.filter(({ peer }) => peer.role === 'voter')
const healthyOf = (views: readonly PeerView[]): number => views.filter(view => view.isHealthy && !view.isPending).length

function promotionRefusal(subject: PeerView, views: readonly PeerView[], isForced: boolean): ServerError | undefined {
  const { peer } = subject
  if (peer.role !== 'learner') return invalid(`peer ${peer.peerId} is no learner: it is a ${peer.role}`)
  if (subject.isPending) return invalid(`the learner on store ${peer.storeId} has not caught up`)
  if (!subject.isHealthy) return invalid(`the learner on store ${peer.storeId} does not answer`)
  const voters = votersOf(views)
  if (isForced || healthyOf(voters) + 1 >= majorityOf(voters.length + 1)) return undefined
  return invalid(`of ${voters.length + 1} voters only ${healthyOf(voters) + 1} would answer; ${forceText}`)
}

function transferRefusal(subject: PeerView, region: RegionRecord): ServerError | undefined {
  const { peer } = subject
  if (peer.peerId === region.leaderId) return undefined
  if (peer.role !== 'voter') return invalid(`the replica on store ${peer.storeId} is a ${peer.role}: it cannot lead`)
  if (!subject.isHealthy) return invalid(`the replica on store ${peer.storeId} does not answer`)
  if (subject.isPending) return invalid(`the replica on store ${peer.storeId} has not caught up`)
  return undefined
}

function removalRefusal(
  subject: PeerView, views: readonly PeerView[], region: RegionRecord, isForced: boolean,
): ServerError | undefined {
  const { peer } = subject
  if (peer.peerId === region.leaderId) return invalid('the leader cannot be removed; transfer the leadership first')
  if (peer.role !== 'voter') return undefined
  const rest = votersOf(views).filter(view => view !== subject)
  const healthy = healthyOf(rest)
  if (rest.length === 0) return invalid(`it is the last copy of region ${region.regionId}`)
  if (isForced || healthy >= majorityOf(rest.length)) return undefined
  const silent = rest.filter(view => !view.isHealthy || view.isPending).map(view => view.peer.storeId).join(', ')
  return invalid(`region ${region.regionId} would lose its quorum: of the ${rest.length} voters left, ${healthy} would answer `
    + `(not: store ${silent}); ${forceText}`)
}

/** What burying a store costs the regions that have a replica there. */
export interface BurialCost {
  readonly regions: number
  readonly withoutQuorum: readonly number[]
  readonly lastCopies: readonly number[]
}

export function burialCost(
  storeId: StoreId, regions: Iterable<RegionRecord>, stores: Stores, config: ReplicaConfig,
): BurialCost {
  let count = 0
  const withoutQuorum: number[] = []
  const lastCopies: number[] = []
  for (const region of regions) {
    const views = region.peers().map(peer => peerViewOf(peer, region, stores, config, false))
    count++
    const voters = votersOf(views)
    const isVoter = voters.some(({ peer }) => peer.storeId === storeId)
    const left = healthyOf(voters.filter(({ peer }) => peer.storeId !== storeId))
    if (isVoter && left === 0) lastCopies.push(region.regionId)
    else if (isVoter && left < majorityOf(voters.length)) withoutQuorum.push(region.regionId)
  }
  return { regions: count, withoutQuorum, lastCopies }
}

const idsShownMax = 10
const someOf = (ids: readonly number[]): string =>
  `${ids.slice(0, idsShownMax).join(', ')}${ids.length > idsShownMax ? `, … ${ids.length} in all` : ''}`

/** @returns undefined when nothing is lost */
export function burialText(storeId: StoreId, { regions, withoutQuorum, lastCopies }: BurialCost): string | undefined {
  if (regions === 0) return undefined
  const losses = [
    ...withoutQuorum.length === 0 ? [] : [`regions ${someOf(withoutQuorum)} would lose their quorum`],
    ...lastCopies.length === 0 ? [] : [`regions ${someOf(lastCopies)} their last copy that answers`],
  ]
  const cost = losses.length === 0 ? 'they have others that answer, but fewer than they should' : losses.join(', ')
  return `store ${storeId} holds replicas of ${regions} regions: ${cost}. PD buries it by itself when they are elsewhere; ${forceText}`
}
