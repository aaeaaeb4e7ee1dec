/** One or more requests and responses of every RPC, with every optional field both ways. Typed: it cannot drift. */
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import type { ServerError } from '../../src/common/errors.js'
import { logIndex, peerId, regionId, storeId, term } from '../../src/common/ids.js'
import type { PeerRef, Region } from '../../src/common/region.js'
import type { Message } from '../../src/raft/types.js'
import type { Operator, RaftEnvelope, RequestContext, Requests, Responses, RpcName, StoreMeta } from '../../src/wire/messages.js'

export const top = Number.MAX_SAFE_INTEGER

export const context: RequestContext = { regionId: regionId(2), epoch: { confVer: 3, version: top }, peerId: peerId(5), timeoutMs: 4_000 }
const noContext: RequestContext = { regionId: regionId(0), epoch: { confVer: 0, version: 0 }, peerId: peerId(0), timeoutMs: 0 }
export const peer: PeerRef = { peerId: peerId(101), storeId: storeId(1), role: 'voter' }
export const learner: PeerRef = { peerId: peerId(top), storeId: storeId(2 ** 40), role: 'learner' }
export const region: Region = {
  regionId: regionId(7), startKey: utf8('a'), endKey: utf8('m'), epoch: { confVer: 5, version: 2 ** 33 },
  peers: [peer, learner, { ...peer, role: 'incomingVoter' }, { ...peer, role: 'demotingVoter' }],
}
export const wholeRegion: Region =
  { regionId: regionId(1), startKey: emptyBytes, endKey: emptyBytes, epoch: { confVer: 1, version: 1 }, peers: [] }
const store: StoreMeta = {
  storeId: storeId(4), address: '127.0.0.1:20160', statusAddress: '127.0.0.1:20180', labels: { zone: 'a', host: 'löwe' },
  version: '0.1.0', state: 'up', startedAtWallMs: 1_790_000_000_123,
}
const bareStore: StoreMeta =
  { ...store, labels: {}, version: '', state: 'tombstone', startedAtWallMs: 0, address: '', statusAddress: '' }
const bytes = (count: number, seed: number): Uint8Array => Uint8Array.from({ length: count }, (unused, i) => (i * 31 + seed) & 0xff)

export const message: Message = {
  type: 3, to: peerId(9), from: peerId(101), term: term(7), logTerm: term(6), index: logIndex(2 ** 45), entries: [], commit: logIndex(3),
  vote: peerId(0), reject: false, rejectHint: logIndex(0), context: emptyBytes, snapshot: undefined, responses: [],
}
export const envelope: RaftEnvelope = {
  regionId: regionId(7), epoch: { confVer: 2, version: 3 }, from: peer, to: { ...learner, peerId: peerId(9) }, message, startKey: utf8('a'), endKey: utf8('zz'),
  isTombstone: false,
}
export const envelopeFrom = (id: number): RaftEnvelope => ({ ...envelope, from: { ...peer, storeId: storeId(id) } })
export const appendEnvelope = (entries: number, dataBytes: number): RaftEnvelope => ({
  ...envelope, message: { ...message, entries: Array.from({ length: entries }, (unused, i) => ({
    term: term(7), index: logIndex(2 ** 45 + 1 + i), type: 0, data: bytes(dataBytes, i) })) },
})
export const envelopes: readonly RaftEnvelope[] = [
  envelope,
  appendEnvelope(3, 100),
  { ...appendEnvelope(1, 0), isTombstone: true, startKey: emptyBytes, endKey: emptyBytes },
  { ...envelope, message: { ...message, type: 17, reject: true, rejectHint: logIndex(11), context: utf8('ctx'), vote: peerId(3) } },
  { ...envelope, message: { ...message, entries: [{ term: term(6), index: logIndex(2 ** 45 + 1), type: 2, data: utf8('cc') }] } },
  { ...envelope, message: { ...message, type: 7, snapshot: { data: utf8('stream-7'), meta: { index: logIndex(90), term: term(4),
    confState: { voters: [peerId(1), peerId(2)], learners: [peerId(2 ** 50)], votersOutgoing: [peerId(1), peerId(3)], learnersNext: [peerId(3)],
      autoLeave: true } } } } },
]

export const errors: readonly ServerError[] = [
  { kind: 'NotLeader', regionId: regionId(7), leader: peer },
  { kind: 'NotLeader', regionId: regionId(7), leader: undefined },
  { kind: 'RegionNotFound', regionId: regionId(top) },
  { kind: 'KeyNotInRegion', regionId: regionId(7), key: utf8('k'), startKey: utf8('a'), endKey: emptyBytes },
  { kind: 'EpochNotMatch', currentRegions: [region, wholeRegion] },
  { kind: 'EpochNotMatch', currentRegions: [] },
  { kind: 'ServerIsBusy', reason: 'too many proposals', backoffMs: 250 },
  { kind: 'StaleCommand' },
  { kind: 'StoreNotMatch', requestStoreId: storeId(1), actualStoreId: storeId(2) },
  { kind: 'RaftEntryTooLarge', regionId: regionId(7), entryBytes: 9_000_000, limitBytes: 8_388_608 },
  { kind: 'ReadIndexNotReady', regionId: regionId(7), reason: 'no entry of this term applied' },
  { kind: 'RegionNotInitialized', regionId: regionId(7) },
  { kind: 'MismatchPeerId', requestPeerId: 5, storePeerId: 6 },
  { kind: 'DiskFull', storeIds: [storeId(1), storeId(top)], reason: 'below the reserve' },
  { kind: 'Undetermined', reason: 'leadership was lost' },
  { kind: 'LimitExceeded', limit: 'keyBytesMax', actual: 9_000, max: 8_192 },
  { kind: 'InvalidArgument', reason: 'start is behind end' },
  { kind: 'ClusterIdMismatch', requested: '1', actual: '2' },
  { kind: 'DeadlineExceeded' },
  { kind: 'Unimplemented', what: 'frame kind 99' },
  { kind: 'PermissionDenied', reason: 'AllocId is for store connections' },
]

const operators: readonly Operator[] = [
  { kind: 'addLearner', regionId: regionId(1), epoch: { confVer: 1, version: 2 }, peer: learner },
  { kind: 'promoteLearner', regionId: regionId(1), epoch: { confVer: 1, version: 2 }, peer: learner },
  { kind: 'removePeer', regionId: regionId(1), epoch: { confVer: 1, version: 2 }, peer },
  { kind: 'transferLeader', regionId: regionId(1), epoch: { confVer: 1, version: 2 }, peer },
  { kind: 'splitRegion', regionId: regionId(1), epoch: { confVer: 1, version: 2 }, keys: [utf8('g'), utf8('t')] },
]
const key = utf8('key-1')
const keys = [key, emptyBytes, bytes(300, 1)]
const range = { context, start: utf8('a'), end: emptyBytes }

const stats = {
  storeId: storeId(1), capacityBytes: 2 ** 50, availableBytes: 2 ** 49, usedBytes: 17, regionCount: 3, leaderCount: 2, isBusy: true,
  snapshotsReceiving: 4, snapshotsSending: 2, isDiskFull: true, reserveBytes: 2 ** 28, wallMs: 1_790_000_000_123.5,
  regionHeartbeatMs: 10_000,
}
export const requests: { readonly [N in RpcName]: readonly Requests[N][] } = {
  RawGet: [{ context, key }, { context: noContext, key: emptyBytes }],
  RawPut: [{ context, key, value: bytes(256, 3), ttlSeconds: 0 }, { context, key, value: emptyBytes, ttlSeconds: 60 }],
  RawDelete: [{ context, key }],
  RawBatchGet: [{ context, keys, prefixWelcome: true }, { context, keys: [], prefixWelcome: false }],
  RawBatchPut: [{ context, pairs: [{ key, value: bytes(40, 9), ttlSeconds: 5 }, { key: emptyBytes, value: emptyBytes, ttlSeconds: 0 }] }],
  RawBatchDelete: [{ context, keys }],
  RawScan: [{ ...range, rowsMax: 100, keysOnly: true, reverse: false }, { ...range, rowsMax: 0, keysOnly: false, reverse: true }],
  RawDeleteRange: [range],
  RawCas: [{ context, key, expected: undefined, value: utf8('v'), ttlSeconds: 1 },
    { context, key, expected: emptyBytes, value: undefined, ttlSeconds: 0 }],
  RawGetTtl: [{ context, key }],
  SplitRegion: [{ context, keys }],
  TransferLeader: [{ context, toStoreId: storeId(3) }],
  ListPeers: [{ regionId: regionId(9) }],
  SnapshotBegin: [{ regionId: regionId(7), envelope: envelopes[4]!, snapshotId: '7-90-1', totalBytes: 2 ** 40 }],
  SnapshotChunk: [{ snapshotId: '7-90-1', sequence: 3, rows: bytes(5_000, 5), crc32c: 0xffff_ffff }],
  SnapshotEnd: [{ snapshotId: '7-90-1', chunks: 4, crc32c: 1 }],
  GetMembers: [{}],
  IsBootstrapped: [{}],
  Bootstrap: [{ store, region }, { store: bareStore, region: wholeRegion }],
  AllocId: [{ count: 1_000 }],
  PutStore: [
    { store, force: false, incarnation: 77, previous: [1, 2 ** 52] },
    { store: { ...store, state: 'offline' }, force: true, incarnation: 0, previous: [] },
  ],
  GetStores: [{}],
  StoreHeartbeat: [{ stats, incarnation: 77 }],
  RegionHeartbeat: [{ beats: [
    { region, leader: peer, term: 9, downPeers: [{ peer: learner, downSeconds: 61 }], pendingPeers: [learner, peer],
      approximateBytes: 1, approximateKeys: 2, pendingProgress: 2 ** 40 },
    { region: wholeRegion, leader: peer, term: 9, downPeers: [], pendingPeers: [], approximateBytes: 0, approximateKeys: 0,
      pendingProgress: 0 }] }, { beats: [] }],
  AskSplit: [{ region, count: 2 }],
  ReportSplit: [{ regions: [region, wholeRegion] }],
  GetRegion: [{ key }],
  GetPreviousRegion: [{ key }],
  GetRegionById: [{ regionId: regionId(3) }],
  ScanRegions: [{ start: utf8('a'), end: emptyBytes, limit: 128 }],
  Tso: [{ count: 10 }],
  AddOperator: operators.map(operator => ({ operator })),
  GetHealth: [{}],
  JoinMember: [{ name: 'pd-2', token: 77, clientUrls: ['http://a:1'], peerUrls: [] }],
  ReplaceMember: [{ name: 'pd-2', peerUrls: ['http://a:1', 'http://b:1'] }, { name: 'x', peerUrls: [] }],
  Ping: [{ sentAtMs: 1234.5678 }],
}

const route = { region, leader: peer }
const routes = [route, { region: wholeRegion, leader: undefined }]
export const responses: { readonly [N in RpcName]: readonly Responses[N][] } = {
  RawGet: [{ value: bytes(256, 1) }, { value: emptyBytes }, { value: undefined }],
  RawPut: [{}],
  RawDelete: [{}],
  RawBatchGet: [{ values: [key, undefined, emptyBytes], more: false }, { values: [], more: true }],
  RawBatchPut: [{}],
  RawBatchDelete: [{}],
  RawScan: [{ rows: [{ key, value: bytes(90, 2) }, { key: emptyBytes, value: emptyBytes }], more: true }, { rows: [], more: false }],
  RawDeleteRange: [{}],
  RawCas: [{ swapped: true, previous: undefined }, { swapped: false, previous: emptyBytes }],
  RawGetTtl: [{ ttlSeconds: undefined }, { ttlSeconds: 0 }, { ttlSeconds: 86_400 }],
  SplitRegion: [{ regions: [region] }],
  TransferLeader: [{}],
  ListPeers: [{ peers: [{ region, peerId: peerId(5), role: 'leader', leaderId: peerId(5), term: 8, committed: 20, applied: 19, firstIndex: 6,
    lastIndex: 21, leaseValid: true }] }, { peers: [] }],
  SnapshotBegin: [{}],
  SnapshotChunk: [{}],
  SnapshotEnd: [{}],
  GetMembers: [{ clusterId: 2n ** 64n - 1n, members: [
    { name: 'pd-1', memberId: 1, clientUrls: ['127.0.0.1:2379', 'b'], peerUrls: [], isLeader: true }] }, { clusterId: 0n, members: [] }],
  IsBootstrapped: [{ bootstrapped: true }, { bootstrapped: false }],
  Bootstrap: [{ bootstrapped: true }],
  AllocId: [{ first: top }],
  PutStore: [{}],
  GetStores: [{ stores: [store, bareStore] }],
  StoreHeartbeat: [{ stores: [], fullStoreIds: [storeId(2)], lowStoreIds: [storeId(2), storeId(3)] }],
  RegionHeartbeat: [{ operators }],
  AskSplit: [{ ids: [{ regionId: regionId(9), peerIds: [peerId(10), peerId(top)] }, { regionId: regionId(1), peerIds: [] }] }],
  ReportSplit: [{}],
  GetRegion: [{ route, heardStoreId: storeId(2), heardMsAgo: 1_500 }, { route: undefined, heardStoreId: 0, heardMsAgo: 0 }],
  GetPreviousRegion: [{ route: routes[1], heardStoreId: 0, heardMsAgo: 0 }],
  GetRegionById: [{ route, heardStoreId: storeId(2), heardMsAgo: 0 }],
  ScanRegions: [{ routes, heardStoreIds: [storeId(2), storeId(7)], heardMsAgo: [0, 41_000] },
    { routes: [], heardStoreIds: [], heardMsAgo: [] }],
  Tso: [{ physicalMs: 1_790_000_000_123, logical: 262_143, count: 10 }],
  AddOperator: [{}],
  GetHealth: [{
    regions: 3, withoutLeader: 1, withMissingReplicas: 2, withPendingReplicas: 0, withDownReplicas: 1, withExtraReplicas: 0, learners: 1,
    holes: 0, countedMsAgo: 120, problemCount: 101, problems: [{ kind: 'region-without-leader', subject: 4, text: 'region 4 …' }],
    stores: [{ storeId: storeId(1), liveness: 'down', silentMs: 2e6, isLowSpace: true, clockAheadMs: -1_500.25, stats }],
  }],
  JoinMember: [
    { verdict: 'fresh', reason: '', name: 'pd-1', token: 2 ** 52, memberId: 0, members: [], founders: [] },
    {
      verdict: 'granted', reason: '', name: 'pd-1', token: 0, memberId: 2 ** 40, founders: [1, 2, 3],
      members: [{ name: 'pd', memberId: 7, clientUrls: ['http://a:1'], peerUrls: ['http://a:2'], isLeader: true }],
    },
  ],
  ReplaceMember: [{ memberId: 2 ** 40 }],
  Ping: [{ sentAtMs: 0 }],
}
