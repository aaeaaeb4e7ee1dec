import { compareBytes } from '../common/bytes.js'
import type { RegionError } from '../common/errors.js'
import { regionContains, regionCovers } from '../common/region.js'
import type { Region } from '../common/region.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import type { RequestContext } from '../wire/messages.js'
import type { KeyRange } from './api.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'

/** Regions told beside the one asked for, when an epoch is stale: a split leaves its new regions to the left. */
const neighboursMax = 16

/** The checks of TiKV's `check_region_epoch` and its neighbours, in that order. */
export function leaderFor(shared: StoreShared, context: RequestContext, range: KeyRange): Result<Peer, RegionError> {
  const peer = shared.peers.get(context.regionId)
  if (peer === undefined) return err({ kind: 'RegionNotFound', regionId: context.regionId })
  const { region } = peer
  if (context.peerId !== 0 && context.peerId !== peer.peerId) {
    return err({ kind: 'MismatchPeerId', requestPeerId: context.peerId, storePeerId: peer.peerId })
  }
  if (!peer.isLeader) return err(peer.notLeader())
  if (region === undefined) return err({ kind: 'RegionNotInitialized', regionId: context.regionId })
  if (context.epoch.version !== region.epoch.version) return err(epochNotMatch(shared, region, context.epoch.version))
  const wrong = keyOutside(region, range)
  if (wrong !== undefined) return err(wrong)
  return ok(peer)
}

export function epochNotMatch(shared: StoreShared, region: Region, askedVersion: number): RegionError {
  const splits = Math.min(neighboursMax, Math.max(0, region.epoch.version - askedVersion))
  return { kind: 'EpochNotMatch', currentRegions: [region, ...shared.table.leftNeighbours(region, splits)] }
}

function keyOutside(region: Region, range: KeyRange): RegionError | undefined {
  const { regionId, startKey, endKey } = region
  const isInside = range.single ? regionContains(region, range.start) : regionCovers(region, range.start, range.end)
  if (isInside) return undefined
  const key = range.single || compareBytes(range.start, startKey) < 0 ? range.start : range.last ?? range.end
  return { kind: 'KeyNotInRegion', regionId, key, startKey, endKey }
}
