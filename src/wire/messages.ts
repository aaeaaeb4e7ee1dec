/**
 * What travels between client, stores and PD, in our own types. Codecs to FlatBuffers live beside this file; nobody
 * outside wire/ sees a generated type. Byte fields of a decoded message are views into the received frame and are
 * owned by the receiver (the frame was copied once when it arrived).
 */
import type { ServerError } from '../common/errors.js'
import type { PeerId, RegionId, StoreId } from '../common/ids.js'
import type { Epoch, PeerRef, Region } from '../common/region.js'
import type { Result } from '../common/result.js'
import type { Message } from '../raft/types.js'
import type { Row } from '../engine/api.js'

/** Which region the sender believes it speaks to, and how long the answer is of use. kvproto's Context. */
export interface RequestContext {
  readonly regionId: RegionId
  readonly epoch: Epoch
  /** 0: not known. */
  readonly peerId: PeerId
  /** Budget from arrival on; 0: the server's default. After it the server stops working on the request. */
  readonly timeoutMs: number
}

export interface Empty { readonly kind?: undefined }

/** Keys on the wire are API v2 keys (`r` + keyspace + user key); region boundaries are engine keys. */
export interface RawCasRequest {
  readonly context: RequestContext
  readonly key: Uint8Array
  /** undefined: expected to be absent (put-if-absent). */
  readonly expected: Uint8Array | undefined
  /** undefined: delete when it matches (compare-and-delete). */
  readonly value: Uint8Array | undefined
  readonly ttlSeconds: number
}

export interface RawScanRequest {
  readonly context: RequestContext
  /** [start, end); empty end = to the end of the region. Reverse walks downwards from end (exclusive). */
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly rowsMax: number
  readonly keysOnly: boolean
  readonly reverse: boolean
}

export interface RawPair {
  readonly key: Uint8Array
  readonly value: Uint8Array
  /** Seconds to live; 0: for ever. */
  readonly ttlSeconds: number
}

export interface StoreMeta {
  readonly storeId: StoreId
  /** Where clients and peers reach it. */
  readonly address: string
  readonly statusAddress: string
  readonly labels: Readonly<Record<string, string>>
  readonly version: string
  readonly state: 'up' | 'offline' | 'tombstone'
  readonly startedAtWallMs: number
}

export interface StoreStats {
  readonly storeId: StoreId
  readonly capacityBytes: number
  readonly availableBytes: number
  readonly usedBytes: number
  readonly regionCount: number
  readonly leaderCount: number
  readonly isBusy: boolean
  /** Raft snapshots under way, into this store and out of it. */
  readonly snapshotsReceiving: number
  readonly snapshotsSending: number
  /** Less than its reserve is free. */
  readonly isDiskFull: boolean
  readonly reserveBytes: number
  /** Its wall clock when it sent this; 0: not told. */
  readonly wallMs: number
  /** How often its leaders report, at least; 0: not told. */
  readonly regionHeartbeatMs: number
}

export interface RegionBeat {
  readonly region: Region
  readonly leader: PeerRef
  readonly term: number
  /** Voters and learners the leader has not heard for a while. */
  readonly downPeers: readonly { readonly peer: PeerRef; readonly downSeconds: number }[]
  /** Replicas that are not caught up (learners, snapshot under way). */
  readonly pendingPeers: readonly PeerRef[]
  readonly approximateBytes: number
  readonly approximateKeys: number
  /** Grows while the pending replicas get on: entries they have and snapshot bytes on their way to them. */
  readonly pendingProgress: number
}

/** PD's wish for one region; the leader's store carries it out if the epoch still matches. */
export type Operator =
  | {
    readonly kind: 'addLearner' | 'promoteLearner' | 'removePeer' | 'transferLeader'
    readonly regionId: RegionId
    readonly epoch: Epoch
    readonly peer: PeerRef
    /** By hand, with `--force`: also where it costs the quorum. */
    readonly isForced?: boolean
  }
  | { readonly kind: 'splitRegion'; readonly regionId: RegionId; readonly epoch: Epoch; readonly keys: readonly Uint8Array[] }

export interface RegionRoute {
  readonly region: Region
  /** undefined: nobody is believed to lead it now. */
  readonly leader: PeerRef | undefined
  /** What PD heard last, whether it is still believed or not. Not everybody tells. */
  readonly heard?: { readonly storeId: StoreId; readonly msAgo: number }
}

export interface StoreHealth {
  readonly storeId: StoreId
  /** up, unheard, disconnected or down */
  readonly liveness: string
  readonly silentMs: number
  readonly isLowSpace: boolean
  /** Its wall clock against PD's. */
  readonly clockAheadMs: number
  /** As last heard; zeroes: never. */
  readonly stats: StoreStats
}

/** One sentence about one thing; `kind` is a word for machines, `subject` an id or 0. */
export interface HealthProblem {
  readonly kind: string
  readonly subject: number
  readonly text: string
}

/** What PD's leader knows to be wrong now. */
export interface ClusterHealth {
  readonly regions: number
  readonly withoutLeader: number
  readonly withMissingReplicas: number
  readonly withPendingReplicas: number
  readonly withDownReplicas: number
  readonly withExtraReplicas: number
  readonly learners: number
  /** Stretches of keys that PD knows no region of. */
  readonly holes: number
  /** How old the figures of regions are. */
  readonly countedMsAgo: number
  readonly stores: readonly StoreHealth[]
  /** The first hundred of `problemCount`. */
  readonly problems: readonly HealthProblem[]
  readonly problemCount: number
}

export interface Member {
  readonly name: string
  readonly memberId: number
  readonly clientUrls: readonly string[]
  readonly peerUrls: readonly string[]
  readonly isLeader: boolean
}

export interface SplitIds {
  readonly regionId: RegionId
  /** One per peer of the split region, in the order of its peers. */
  readonly peerIds: readonly PeerId[]
}

/** Diagnostic row of one peer on a store. */
export interface PeerInfo {
  readonly region: Region
  readonly peerId: PeerId
  readonly role: string
  readonly leaderId: PeerId
  readonly term: number
  readonly committed: number
  readonly applied: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly leaseValid: boolean
}

/** Request of each RPC. A response frame has the same request id and answers Result<Responses[N], ServerError>. */
export interface Requests {
  // store: raw keys
  RawGet: { readonly context: RequestContext; readonly key: Uint8Array }
  RawPut: { readonly context: RequestContext; readonly key: Uint8Array; readonly value: Uint8Array; readonly ttlSeconds: number }
  RawDelete: { readonly context: RequestContext; readonly key: Uint8Array }
  RawBatchGet: { readonly context: RequestContext; readonly keys: readonly Uint8Array[]; readonly prefixWelcome: boolean }
  RawBatchPut: { readonly context: RequestContext; readonly pairs: readonly RawPair[] }
  RawBatchDelete: { readonly context: RequestContext; readonly keys: readonly Uint8Array[] }
  RawScan: RawScanRequest
  /** Deletes [start, end) of one region. Empty end = to the end of the region. */
  RawDeleteRange: { readonly context: RequestContext; readonly start: Uint8Array; readonly end: Uint8Array }
  RawCas: RawCasRequest
  RawGetTtl: { readonly context: RequestContext; readonly key: Uint8Array }
  // store: operations
  SplitRegion: { readonly context: RequestContext; readonly keys: readonly Uint8Array[] }
  TransferLeader: { readonly context: RequestContext; readonly toStoreId: StoreId }
  ListPeers: { readonly regionId: RegionId }
  // store to store, own connection
  SnapshotBegin: { readonly regionId: RegionId; readonly envelope: RaftEnvelope; readonly snapshotId: string; readonly totalBytes: number }
  SnapshotChunk: { readonly snapshotId: string; readonly sequence: number; readonly rows: Uint8Array; readonly crc32c: number }
  SnapshotEnd: { readonly snapshotId: string; readonly chunks: number; readonly crc32c: number }
  // PD
  GetMembers: Empty
  IsBootstrapped: Empty
  Bootstrap: { readonly store: StoreMeta; readonly region: Region }
  AllocId: { readonly count: number }
  /** force: a burial that loses replicas is refused without it; with `up`, an operator takes an offline store back. */
  PutStore: {
    readonly store: StoreMeta; readonly force: boolean; readonly incarnation: number; readonly previous: readonly number[]
  }
  GetStores: Empty
  StoreHeartbeat: { readonly stats: StoreStats; readonly incarnation: number }
  RegionHeartbeat: { readonly beats: readonly RegionBeat[] }
  AskSplit: { readonly region: Region; readonly count: number }
  ReportSplit: { readonly regions: readonly Region[] }
  GetRegion: { readonly key: Uint8Array }
  GetPreviousRegion: { readonly key: Uint8Array }
  GetRegionById: { readonly regionId: RegionId }
  ScanRegions: { readonly start: Uint8Array; readonly end: Uint8Array; readonly limit: number }
  Tso: { readonly count: number }
  AddOperator: { readonly operator: Operator }
  GetHealth: Empty
  JoinMember: {
    readonly name: string; readonly token: number; readonly clientUrls: readonly string[]; readonly peerUrls: readonly string[]
  }
  ReplaceMember: { readonly name: string; readonly peerUrls: readonly string[] }
  // anyone
  Ping: { readonly sentAtMs: number }
}

/** Beside the route: who said last that it leads, and how long ago. */
export interface RouteAnswer {
  readonly route: RegionRoute | undefined
  readonly heardStoreId: StoreId | 0
  readonly heardMsAgo: number
}

export interface Responses {
  RawGet: { readonly value: Uint8Array | undefined }
  RawPut: Empty
  RawDelete: Empty
  /** Same order as keys; undefined = absent. */
  /** `more`: the values of the first keys, because all are too much for one answer (and the request welcomes that). */
  RawBatchGet: { readonly values: readonly (Uint8Array | undefined)[]; readonly more: boolean }
  RawBatchPut: Empty
  RawBatchDelete: Empty
  /** Keys are API v2 keys. `more`: stopped at rowsMax or at a byte limit inside the region. */
  RawScan: { readonly rows: readonly Row[]; readonly more: boolean }
  RawDeleteRange: Empty
  RawCas: { readonly swapped: boolean; readonly previous: Uint8Array | undefined }
  /** ttlSeconds 0 = no expiry; undefined = absent. */
  RawGetTtl: { readonly ttlSeconds: number | undefined }
  SplitRegion: { readonly regions: readonly Region[] }
  TransferLeader: Empty
  ListPeers: { readonly peers: readonly PeerInfo[] }
  SnapshotBegin: Empty
  SnapshotChunk: Empty
  SnapshotEnd: Empty
  GetMembers: { readonly clusterId: bigint; readonly members: readonly Member[] }
  IsBootstrapped: { readonly bootstrapped: boolean }
  /** `bootstrapped: false`: somebody was faster; fetch the stores and join. */
  Bootstrap: { readonly bootstrapped: boolean }
  /** The ids first .. first + count - 1 are the caller's. */
  AllocId: { readonly first: number }
  PutStore: Empty
  GetStores: { readonly stores: readonly StoreMeta[] }
  /** full: too little is free to store another write; low: that may come soon. */
  StoreHeartbeat: {
    readonly stores: readonly StoreMeta[]
    readonly fullStoreIds: readonly StoreId[]
    readonly lowStoreIds: readonly StoreId[]
  }
  RegionHeartbeat: { readonly operators: readonly Operator[] }
  AskSplit: { readonly ids: readonly SplitIds[] }
  ReportSplit: Empty
  GetRegion: RouteAnswer
  GetPreviousRegion: RouteAnswer
  GetRegionById: RouteAnswer
  /** heard…: as in RouteAnswer, one for each route. */
  ScanRegions: {
    readonly routes: readonly RegionRoute[]
    readonly heardStoreIds: readonly StoreId[]
    readonly heardMsAgo: readonly number[]
  }
  /** The timestamps are (physical, logical - count + 1 .. logical). */
  Tso: { readonly physicalMs: number; readonly logical: number; readonly count: number }
  AddOperator: Empty
  GetHealth: ClusterHealth
  /** `verdict` is one of JoinVerdict; a reader that does not know it waits. */
  JoinMember: {
    readonly verdict: string; readonly reason: string; readonly name: string; readonly token: number; readonly memberId: number
    readonly members: readonly Member[]; readonly founders: readonly number[]
  }
  ReplaceMember: { readonly memberId: number }
  Ping: { readonly sentAtMs: number }
}

export type RpcName = keyof Requests & keyof Responses
export type RpcResult<N extends RpcName> = Result<Responses[N], ServerError>

/** One raft message with what the receiver must know to route it, or a note that the receiver's peer is long gone. */
export interface RaftEnvelope {
  readonly regionId: RegionId
  readonly epoch: Epoch
  readonly from: PeerRef
  readonly to: PeerRef
  readonly message: Message
  /** The sender's region range: lets a store create an uninitialised peer without overlapping another. */
  readonly startKey: Uint8Array
  readonly endKey: Uint8Array
  /** The receiver's peer was removed (its id is not in the configuration of `epoch`): it may destroy itself. */
  readonly isTombstone: boolean
}

/** First frame in both directions of every connection. */
export interface Hello {
  /** The lowest version that the sender speaks. */
  readonly protocolVersion: number
  /** The highest; undefined: the lowest is the only one. */
  readonly protocolVersionMax?: number | undefined
  /** 0n: not known yet (a client or a store before its first PD contact). Both known and different: connection refused. */
  readonly clusterId: bigint
  readonly role: 'client' | 'store' | 'pd'
  /** Store id of a store, member id of a PD member, 0 of a client. */
  readonly nodeId: number
  /** Bits of wire/features.ts; undefined: none. */
  readonly features?: bigint | undefined
  /** Challenge of a store or member of PD, and of a server that answers one. */
  readonly nonce?: Uint8Array | undefined
  /** The server's answer to a challenge. */
  readonly proof?: Uint8Array | undefined
}

/** kind numbers of frames; a response is the request's kind with the top bit (0x80) set. */
export const FrameKind = {
  Hello: 1, Raft: 2, ProtocolError: 3, Cancel: 4, Proof: 5,
  RawGet: 16, RawPut: 17, RawDelete: 18, RawBatchGet: 19, RawBatchPut: 20, RawBatchDelete: 21, RawScan: 22,
  RawDeleteRange: 23, RawCas: 24, RawGetTtl: 25,
  SplitRegion: 32, TransferLeader: 33, ListPeers: 34, SnapshotBegin: 40, SnapshotChunk: 41, SnapshotEnd: 42,
  GetMembers: 64, IsBootstrapped: 65, Bootstrap: 66, AllocId: 67, PutStore: 68, GetStores: 69, StoreHeartbeat: 70,
  RegionHeartbeat: 71, AskSplit: 72, ReportSplit: 73, GetRegion: 74, GetPreviousRegion: 75, GetRegionById: 76,
  ScanRegions: 77, Tso: 78, AddOperator: 79, GetHealth: 80,
  JoinMember: 81, ReplaceMember: 82,
  Ping: 96,
} as const satisfies Record<RpcName | 'Hello' | 'Raft' | 'ProtocolError' | 'Cancel' | 'Proof', number>
export const responseBit = 0x80
export const protocolVersion = 1
