import type { PeerId, RegionId, StoreId } from '../../common/ids.js'
import type { PeerRef, PeerRole, Region } from '../../common/region.js'
import type { RegionBeat } from '../../wire/messages.js'
import { keyBytes, keyText } from './key-text.js'

const roles: readonly PeerRole[] = ['voter', 'learner', 'incomingVoter', 'demotingVoter']
const idsPerPeer = 3
const nobody: readonly PeerId[] = []
const nothingDown: readonly DownPeer[] = []

export interface DownPeer {
  readonly peerId: PeerId
  readonly downSeconds: number
}

/**
 * What PD knows of one region, packed: there may be a million. Immutable; a heartbeat brings a new one.
 */
export class RegionRecord {
  private constructor(
    readonly regionId: RegionId,
    readonly start: string,
    /** Empty: no bound. */
    readonly end: string,
    readonly confVer: number,
    readonly version: number,
    /** peerId, storeId, index of role; three numbers a peer. */
    readonly packedPeers: readonly number[],
    /** 0: not known. */
    readonly leaderId: PeerId,
    readonly term: number,
    readonly approximateBytes: number,
    readonly approximateKeys: number,
    readonly pending: readonly PeerId[],
    readonly down: readonly DownPeer[],
    readonly pendingProgress: number,
    /** When its leader reported, on the monotonic clock of PD's leader. */
    readonly heardAtMs: number,
  ) {}

  static fromBeat(beat: RegionBeat, nowMs = 0): RegionRecord {
    const { region } = beat
    const down = beat.downPeers.length === 0 ? nothingDown
      : beat.downPeers.map(entry => ({ peerId: entry.peer.peerId, downSeconds: entry.downSeconds }))
    const pending = beat.pendingPeers.length === 0 ? nobody : beat.pendingPeers.map(peer => peer.peerId)
    return new RegionRecord(region.regionId, keyText(region.startKey), keyText(region.endKey), region.epoch.confVer,
      region.epoch.version, packPeers(region), beat.leader.peerId, beat.term,
      Math.round(beat.approximateBytes), Math.round(beat.approximateKeys), pending, down, beat.pendingProgress,
      Math.round(nowMs))
  }

  /** A region that nobody's leader has reported yet. */
  static fromRegion(region: Region, leaderId: PeerId, nowMs = 0): RegionRecord {
    return new RegionRecord(region.regionId, keyText(region.startKey), keyText(region.endKey), region.epoch.confVer,
      region.epoch.version, packPeers(region), leaderId, 0, 0, 0, nobody, nothingDown, 0, Math.round(nowMs))
  }

  get peerCount(): number { return this.packedPeers.length / idsPerPeer }
  storeAt(index: number): StoreId { return this.packedPeers[index * idsPerPeer + 1] as StoreId }
  peerIdAt(index: number): PeerId { return this.packedPeers[index * idsPerPeer] as PeerId }
  get hasLearner(): boolean {
    for (let at = 2; at < this.packedPeers.length; at += idsPerPeer) if (this.packedPeers[at] === 1) return true
    return false
  }
  isLearnerAt(index: number): boolean { return this.packedPeers[index * idsPerPeer + 2] === 1 }

  peers(): PeerRef[] {
    const peers: PeerRef[] = []
    for (let at = 0; at < this.packedPeers.length; at += idsPerPeer) {
      peers.push({
        peerId: this.packedPeers[at] as PeerId, storeId: this.packedPeers[at + 1] as StoreId,
        role: roles[this.packedPeers[at + 2]!]!,
      })
    }
    return peers
  }

  get leader(): PeerRef | undefined {
    return this.leaderId === 0 ? undefined : this.peers().find(peer => peer.peerId === this.leaderId)
  }

  /** @returns owned */
  region(): Region {
    return {
      regionId: this.regionId, startKey: keyBytes(this.start), endKey: keyBytes(this.end),
      epoch: { confVer: this.confVer, version: this.version }, peers: this.peers(),
    }
  }

  contains(key: string): boolean { return this.start <= key && (this.end === '' || key < this.end) }
}

function packPeers(region: Region): readonly number[] {
  const packed: number[] = []
  for (const peer of region.peers) packed.push(peer.peerId, peer.storeId, roles.indexOf(peer.role))
  return packed
}
