import { utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import type { PeerRef, PeerRole, Region } from '../../src/common/region.js'
import type { RegionBeat, StoreMeta, StoreStats } from '../../src/wire/messages.js'

export const store = (id: number, more: Partial<StoreMeta> = {}): StoreMeta => ({
  storeId: storeId(id), address: `s${id}:20160`, statusAddress: `s${id}:20180`, labels: {}, version: '0.1.0',
    state: 'up',
  startedAtWallMs: 1_700_000_000_000, ...more,
})

export const stats = (id: number, more: Partial<StoreStats> = {}): StoreStats => ({
  storeId: storeId(id), capacityBytes: 1e12, availableBytes: 9e11, usedBytes: 1e11, regionCount: 1,
    leaderCount: 1, isBusy: false, snapshotsReceiving: 0, snapshotsSending: 0, isDiskFull: false, reserveBytes: 0, wallMs: 0,
    regionHeartbeatMs: 10_000,
  ...more,
})

export const peer = (id: number, on: number, role: PeerRole = 'voter'): PeerRef =>
  ({ peerId: peerId(id), storeId: storeId(on), role })

export interface RegionShape {
  readonly id?: number
  readonly start?: string
  readonly end?: string
  readonly confVer?: number
  readonly version?: number
  readonly peers?: readonly PeerRef[]
}

export const region = (shape: RegionShape = {}): Region => ({
  regionId: regionId(shape.id ?? 2), startKey: utf8(shape.start ?? ''), endKey: utf8(shape.end ?? ''),
  epoch: { confVer: shape.confVer ?? 1, version: shape.version ?? 1 }, peers: shape.peers ?? [peer(3, 1)],
})

export const beat = (shape: RegionShape & { term?: number; leader?: PeerRef; pending?: readonly PeerRef[];
  down?: readonly { peer: PeerRef; downSeconds: number }[] } = {}): RegionBeat => {
  const of = region(shape)
  return {
    region: of, leader: shape.leader ?? of.peers[0]!, term: shape.term ?? 5, downPeers: shape.down ?? [],
    pendingPeers: shape.pending ?? [], approximateBytes: 1e6, approximateKeys: 1e4, pendingProgress: 0,
  }
}
