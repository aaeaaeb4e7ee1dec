import { ignore, unreachable } from '../common/assert.js'
import type { RegionError } from '../common/errors.js'
import { epochIsStale, peerOnStore } from '../common/region.js'
import type { PeerRef } from '../common/region.js'
import type { BackoffKind } from './backoff.js'
import { LimitExceededError } from './errors.js'
import type { KarstError } from './errors.js'
import type { RegionCache, Route } from './region-cache.js'
import type { RouteFinder } from './route-finder.js'
import type { StorePool } from './store-pool.js'

/** What a call does next. `hop`: at once, with a pause only when that happens too often in a row. */
export type Reaction =
  | { readonly then: 'hop'; readonly pause: BackoffKind; readonly reason: string }
  | { readonly then: 'wait'; readonly pause: BackoffKind; readonly reason: string; readonly leastMs: number }
  | { readonly then: 'fail'; readonly error: KarstError }

interface Knowledge {
  readonly cache: RegionCache
  readonly finder: RouteFinder
  readonly pool: StorePool
}

const hop = (pause: BackoffKind, reason: string): Reaction => ({ then: 'hop', pause, reason })
const wait = (pause: BackoffKind, reason: string, leastMs = 0): Reaction => ({ then: 'wait', pause, reason, leastMs })

type Of<Kind extends RegionError['kind']> = Extract<RegionError, { kind: Kind }>

/**
 * Corrects the cache by what a store answered and says how to go on. The table is client-go's (region_request.go);
 * none of these errors leaves a write's outcome open, so all but RaftEntryTooLarge are repeated.
 */
export function reactTo(error: RegionError, route: Route, peer: PeerRef, known: Knowledge): Reaction {
  const reason = `${error.kind} at store ${peer.storeId}, region ${route.region.regionId}`
  switch (error.kind) {
    case 'NotLeader': return onNotLeader(error, route, peer, known, reason)
    case 'EpochNotMatch': return onEpochNotMatch(error, route, peer, known.cache, reason)
    case 'RegionNotFound':
    case 'KeyNotInRegion':
    case 'MismatchPeerId':
      known.cache.invalidate(route)
      return wait('regionMiss', reason)
    case 'StoreNotMatch':
      known.cache.invalidate(route)
      known.pool.refresh().catch(failure => ignore(failure, 'the pause and the next answer bring us back here'))
      return wait('regionMiss', reason)
    case 'ServerIsBusy': return wait('busy', `${reason}: ${error.reason}`, error.backoffMs)
    case 'StaleCommand': return wait('stale', reason)
    case 'ReadIndexNotReady': return wait('readIndex', `${reason}: ${error.reason}`)
    case 'RegionNotInitialized': return wait('notInitialized', reason)
    case 'DiskFull': return wait('diskFull', `${reason}: ${error.reason}`)
    case 'RaftEntryTooLarge':
      return { then: 'fail', error: new LimitExceededError('entryBytesMax', error.entryBytes, error.limitBytes) }
    default: return unreachable(error, 'region error')
  }
}

function onNotLeader(
  error: Of<'NotLeader'>, route: Route, peer: PeerRef, known: Knowledge, reason: string,
): Reaction {
  const { leader } = error
  if (leader === undefined || leader.peerId === peer.peerId) {
    return leaderless(route, known, `${reason}, which knows no leader`)
  }
  if (peerOnStore(route.region, leader.storeId)?.peerId !== leader.peerId) {
    known.cache.invalidate(route)
    return hop('regionMiss', `${reason}: its leader is a peer we do not know`)
  }
  // Followers go on naming a dead leader until they have elected another.
  if (known.pool.isSuspect(leader.storeId)) return leaderless(route, known, `${reason}: store ${leader.storeId} is lost`)
  known.cache.switchLeader(route, leader)
  return hop('noLeader', reason)
}

/** The other peers are asked in turn; after some rounds PD may know better than all of them. */
function leaderless(route: Route, known: Knowledge, reason: string): Reaction {
  route.setLeader(undefined)
  if (route.missed()) known.finder.refresh(route)
  return wait('noLeader', reason)
}

function onEpochNotMatch(
  error: Of<'EpochNotMatch'>, route: Route, peer: PeerRef, cache: RegionCache, reason: string,
): Reaction {
  const theirs = error.currentRegions.find(region => region.regionId === route.region.regionId)
  if (theirs !== undefined && epochIsStale(theirs.epoch, route.region.epoch)) {
    // Either it is about to apply what we have seen elsewhere, or it leads no longer: the others know.
    route.setLeader(undefined)
    return wait('epochBehind', `${reason}: the store is behind`)
  }
  for (const region of error.currentRegions) cache.insert(region, peerOnStore(region, peer.storeId))
  // Nothing new about this region: PD has to say where its keys are.
  if (route.isCurrent) cache.invalidate(route)
  return error.currentRegions.length === 0 ? wait('regionMiss', reason) : hop('regionMiss', reason)
}
