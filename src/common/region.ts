import { compareBytes, equalBytes } from './bytes.js'
import type { PeerId, RegionId, StoreId } from './ids.js'

/** A replica of a region. `voter` and `learner` are settled; the other two exist only in a joint configuration. */
export type PeerRole = 'voter' | 'learner' | 'incomingVoter' | 'demotingVoter'

export interface PeerRef {
  readonly peerId: PeerId
  readonly storeId: StoreId
  readonly role: PeerRole
}

/** `confVer` grows with each membership change, `version` with each split or merge. Printed `confVer:version`. */
export interface Epoch {
  readonly confVer: number
  readonly version: number
}

/** A key range [startKey, endKey) and its replicas. Keys are engine keys (memcomparable); empty endKey = no bound. */
export interface Region {
  readonly regionId: RegionId
  readonly startKey: Uint8Array
  readonly endKey: Uint8Array
  readonly epoch: Epoch
  readonly peers: readonly PeerRef[]
}

export function regionContains(region: Region, key: Uint8Array): boolean {
  return compareBytes(key, region.startKey) >= 0 && (region.endKey.length === 0 || compareBytes(key, region.endKey) < 0)
}

/** Is [start, end) inside the region? Empty `end` means no bound. */
export function regionCovers(region: Region, start: Uint8Array, end: Uint8Array): boolean {
  if (compareBytes(start, region.startKey) < 0) return false
  if (region.endKey.length === 0) return true
  return end.length !== 0 && compareBytes(end, region.endKey) <= 0
}

export function regionsOverlap(left: Region, right: Region): boolean {
  const leftBeforeEnd = right.endKey.length === 0 || compareBytes(left.startKey, right.endKey) < 0
  const rightBeforeEnd = left.endKey.length === 0 || compareBytes(right.startKey, left.endKey) < 0
  return leftBeforeEnd && rightBeforeEnd
}

export function sameEpoch(left: Epoch, right: Epoch): boolean {
  return left.confVer === right.confVer && left.version === right.version
}

/** Is `left` older than `right` in either part? */
export function epochIsStale(left: Epoch, right: Epoch): boolean {
  return left.confVer < right.confVer || left.version < right.version
}

export function peerOnStore(region: Region, storeId: StoreId): PeerRef | undefined {
  return region.peers.find(peer => peer.storeId === storeId)
}

export function sameRange(left: Region, right: Region): boolean {
  return equalBytes(left.startKey, right.startKey) && equalBytes(left.endKey, right.endKey)
}
