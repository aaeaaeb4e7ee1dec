// Generated from schemas/*.fbs by scripts/generate-schemas.mjs. Do not edit.

import { FieldKind } from '../layout.js'
import type { Layout, NameList, StructLayout } from '../layout.js'

export type PeerRoleName = 'voter' | 'learner' | 'incomingVoter' | 'demotingVoter'
export const peerRoleNames: NameList<PeerRoleName> = ['voter', 'learner', 'incomingVoter', 'demotingVoter']
export const peerRoleNumbers: Readonly<Record<PeerRoleName, number>> = {
  voter: 0,
  learner: 1,
  incomingVoter: 2,
  demotingVoter: 3,
}

export type NodeRoleName = 'client' | 'store' | 'pd'
export const nodeRoleNames: NameList<NodeRoleName> = ['client', 'store', 'pd']
export const nodeRoleNumbers: Readonly<Record<NodeRoleName, number>> = {
  client: 0,
  store: 1,
  pd: 2,
}

export type ErrorKindName = 'NotLeader' | 'RegionNotFound' | 'KeyNotInRegion' | 'EpochNotMatch' | 'ServerIsBusy' | 'StaleCommand' | 'StoreNotMatch' | 'RaftEntryTooLarge' | 'ReadIndexNotReady' | 'RegionNotInitialized' | 'MismatchPeerId' | 'DiskFull' | 'Undetermined' | 'LimitExceeded' | 'InvalidArgument' | 'ClusterIdMismatch' | 'DeadlineExceeded' | 'Unimplemented' | 'PermissionDenied'
export const errorKindNames: NameList<ErrorKindName> = [undefined, 'NotLeader', 'RegionNotFound', 'KeyNotInRegion', 'EpochNotMatch', 'ServerIsBusy', 'StaleCommand', 'StoreNotMatch', 'RaftEntryTooLarge', 'ReadIndexNotReady', 'RegionNotInitialized', 'MismatchPeerId', 'DiskFull', undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, 'Undetermined', undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, undefined, 'LimitExceeded', 'InvalidArgument', 'ClusterIdMismatch', 'DeadlineExceeded', 'Unimplemented', 'PermissionDenied']
export const errorKindNumbers: Readonly<Record<ErrorKindName, number>> = {
  NotLeader: 1,
  RegionNotFound: 2,
  KeyNotInRegion: 3,
  EpochNotMatch: 4,
  ServerIsBusy: 5,
  StaleCommand: 6,
  StoreNotMatch: 7,
  RaftEntryTooLarge: 8,
  ReadIndexNotReady: 9,
  RegionNotInitialized: 10,
  MismatchPeerId: 11,
  DiskFull: 12,
  Undetermined: 64,
  LimitExceeded: 96,
  InvalidArgument: 97,
  ClusterIdMismatch: 98,
  DeadlineExceeded: 99,
  Unimplemented: 100,
  PermissionDenied: 101,
}

export type StoreStateName = 'up' | 'offline' | 'tombstone'
export const storeStateNames: NameList<StoreStateName> = ['up', 'offline', 'tombstone']
export const storeStateNumbers: Readonly<Record<StoreStateName, number>> = {
  up: 0,
  offline: 1,
  tombstone: 2,
}

export type OperatorKindName = 'addLearner' | 'promoteLearner' | 'removePeer' | 'transferLeader' | 'splitRegion'
export const operatorKindNames: NameList<OperatorKindName> = [undefined, 'addLearner', 'promoteLearner', 'removePeer', 'transferLeader', 'splitRegion']
export const operatorKindNumbers: Readonly<Record<OperatorKindName, number>> = {
  addLearner: 1,
  promoteLearner: 2,
  removePeer: 3,
  transferLeader: 4,
  splitRegion: 5,
}

export const epochStruct: StructLayout = {
  bytes: 16,
  fields: [
    { path: 'confVer', offset: 0, kind: FieldKind.U64, names: undefined },
    { path: 'version', offset: 8, kind: FieldKind.U64, names: undefined },
  ],
}

export const peerRefStruct: StructLayout = {
  bytes: 24,
  fields: [
    { path: 'peerId', offset: 0, kind: FieldKind.U64, names: undefined },
    { path: 'storeId', offset: 8, kind: FieldKind.U64, names: undefined },
    { path: 'role', offset: 16, kind: FieldKind.Name, names: peerRoleNames },
  ],
}

export const requestContextLayout: Layout = {
  name: 'RequestContext', isResponse: false, tableBytes: 40, vtable: [12, 40, 4, 12, 28, 36],
  fields: [
    { path: 'regionId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'epoch', slot: 6, bytes: 16, kind: FieldKind.Struct, required: true, names: undefined, struct: epochStruct, table: undefined },
    { path: 'peerId', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'timeoutMs', slot: 10, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const serverErrorLayout: Layout = {
  name: 'ServerError', isResponse: false, tableBytes: 152, vtable: [48, 152, 148, 4, 12, 108, 112, 116, 120, 124, 36, 44, 52, 60, 68, 76, 84, 128, 132, 136, 92, 140, 144, 100],
  fields: [
    { path: 'kind', slot: 4, bytes: 1, kind: FieldKind.Name, required: false, names: errorKindNames, struct: undefined, table: undefined },
    { path: 'regionId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'leader', slot: 8, bytes: 24, kind: FieldKind.Struct, required: false, names: undefined, struct: peerRefStruct, table: undefined },
    { path: 'key', slot: 10, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'startKey', slot: 12, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'endKey', slot: 14, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'currentRegions', slot: 16, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'reason', slot: 18, bytes: 4, kind: FieldKind.String, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'backoffMs', slot: 20, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'requestStoreId', slot: 22, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'actualStoreId', slot: 24, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'entryBytes', slot: 26, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'limitBytes', slot: 28, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'requestPeerId', slot: 30, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'storePeerId', slot: 32, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'storeIds', slot: 34, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'limit', slot: 36, bytes: 4, kind: FieldKind.String, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'actual', slot: 38, bytes: 4, kind: FieldKind.String, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'max', slot: 40, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'requested', slot: 42, bytes: 4, kind: FieldKind.String, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'what', slot: 44, bytes: 4, kind: FieldKind.String, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'actualValue', slot: 46, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const emptyLayout: Layout = {
  name: 'Empty', isResponse: false, tableBytes: 4, vtable: [4, 4],
  fields: [
  ],
}

export const emptyResponseLayout: Layout = {
  name: 'EmptyResponse', isResponse: true, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
  ],
}

export const helloLayout: Layout = {
  name: 'Hello', isResponse: false, tableBytes: 48, vtable: [20, 48, 28, 4, 44, 12, 32, 20, 36, 40],
  fields: [
    { path: 'protocolVersion', slot: 4, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'clusterId', slot: 6, bytes: 8, kind: FieldKind.U64Big, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'role', slot: 8, bytes: 1, kind: FieldKind.Name, required: false, names: nodeRoleNames, struct: undefined, table: undefined },
    { path: 'nodeId', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'protocolVersionMax', slot: 12, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'features', slot: 14, bytes: 8, kind: FieldKind.U64Big, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'nonce', slot: 16, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'proof', slot: 18, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const proofLayout: Layout = {
  name: 'Proof', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'proof', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const protocolErrorLayout: Layout = {
  name: 'ProtocolError', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'reason', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const cancelLayout: Layout = {
  name: 'Cancel', isResponse: false, tableBytes: 4, vtable: [4, 4],
  fields: [
  ],
}

export const pingRequestLayout: Layout = {
  name: 'PingRequest', isResponse: false, tableBytes: 12, vtable: [6, 12, 4],
  fields: [
    { path: 'sentAtMs', slot: 4, bytes: 8, kind: FieldKind.F64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const pingResponseLayout: Layout = {
  name: 'PingResponse', isResponse: true, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'sentAtMs', slot: 6, bytes: 8, kind: FieldKind.F64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawGetRequestLayout: Layout = {
  name: 'RawGetRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'key', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawGetResponseLayout: Layout = {
  name: 'RawGetResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'value', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawPutRequestLayout: Layout = {
  name: 'RawPutRequest', isResponse: false, tableBytes: 24, vtable: [12, 24, 12, 16, 20, 4],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'key', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'value', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'ttlSeconds', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawDeleteRequestLayout: Layout = {
  name: 'RawDeleteRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'key', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawBatchGetRequestLayout: Layout = {
  name: 'RawBatchGetRequest', isResponse: false, tableBytes: 16, vtable: [10, 16, 4, 8, 12],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'keys', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'prefixWelcome', slot: 8, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawBatchGetResponseLayout: Layout = {
  name: 'RawBatchGetResponse', isResponse: true, tableBytes: 16, vtable: [10, 16, 4, 8, 12],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'values', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'more', slot: 8, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawBatchPutRequestLayout: Layout = {
  name: 'RawBatchPutRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'pairs', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawBatchDeleteRequestLayout: Layout = {
  name: 'RawBatchDeleteRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'keys', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawScanRequestLayout: Layout = {
  name: 'RawScanRequest', isResponse: false, tableBytes: 24, vtable: [16, 24, 4, 8, 12, 16, 20, 21],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'start', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'end', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'rowsMax', slot: 10, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'keysOnly', slot: 12, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'reverse', slot: 14, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawScanResponseLayout: Layout = {
  name: 'RawScanResponse', isResponse: true, tableBytes: 16, vtable: [10, 16, 4, 8, 12],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'rows', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'more', slot: 8, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawDeleteRangeRequestLayout: Layout = {
  name: 'RawDeleteRangeRequest', isResponse: false, tableBytes: 16, vtable: [10, 16, 4, 8, 12],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'start', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'end', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawCasRequestLayout: Layout = {
  name: 'RawCasRequest', isResponse: false, tableBytes: 28, vtable: [14, 28, 12, 16, 20, 24, 4],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'key', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'expected', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'value', slot: 10, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'ttlSeconds', slot: 12, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawCasResponseLayout: Layout = {
  name: 'RawCasResponse', isResponse: true, tableBytes: 16, vtable: [10, 16, 4, 12, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'swapped', slot: 6, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'previous', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawGetTtlRequestLayout: Layout = {
  name: 'RawGetTtlRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'key', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const rawGetTtlResponseLayout: Layout = {
  name: 'RawGetTtlResponse', isResponse: true, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'ttlSeconds', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const splitRegionRequestLayout: Layout = {
  name: 'SplitRegionRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'keys', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const splitRegionResponseLayout: Layout = {
  name: 'SplitRegionResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'regions', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const transferLeaderRequestLayout: Layout = {
  name: 'TransferLeaderRequest', isResponse: false, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'context', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => requestContextLayout },
    { path: 'toStoreId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const listPeersRequestLayout: Layout = {
  name: 'ListPeersRequest', isResponse: false, tableBytes: 12, vtable: [6, 12, 4],
  fields: [
    { path: 'regionId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const peerInfoLayout: Layout = {
  name: 'PeerInfo', isResponse: false, tableBytes: 72, vtable: [24, 72, 60, 4, 64, 12, 20, 28, 36, 44, 52, 68],
  fields: [
    { path: 'region', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'peerId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'role', slot: 8, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'leaderId', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'term', slot: 12, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'committed', slot: 14, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'applied', slot: 16, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'firstIndex', slot: 18, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'lastIndex', slot: 20, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'leaseValid', slot: 22, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const listPeersResponseLayout: Layout = {
  name: 'ListPeersResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'peers', slot: 6, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => peerInfoLayout },
  ],
}

export const labelLayout: Layout = {
  name: 'Label', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'name', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'value', slot: 6, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const storeMetaLayout: Layout = {
  name: 'StoreMeta', isResponse: false, tableBytes: 40, vtable: [18, 40, 4, 20, 24, 28, 32, 36, 12],
  fields: [
    { path: 'storeId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'address', slot: 6, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'statusAddress', slot: 8, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'labels', slot: 10, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => labelLayout },
    { path: 'version', slot: 12, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'state', slot: 14, bytes: 1, kind: FieldKind.Name, required: false, names: storeStateNames, struct: undefined, table: undefined },
    { path: 'startedAtWallMs', slot: 16, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const storeStatsLayout: Layout = {
  name: 'StoreStats', isResponse: false, tableBytes: 88, vtable: [30, 88, 4, 12, 20, 28, 36, 44, 84, 76, 80, 85, 52, 60, 68],
  fields: [
    { path: 'storeId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'capacityBytes', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'availableBytes', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'usedBytes', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'regionCount', slot: 12, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'leaderCount', slot: 14, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'isBusy', slot: 16, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'snapshotsReceiving', slot: 18, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'snapshotsSending', slot: 20, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'isDiskFull', slot: 22, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'reserveBytes', slot: 24, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'wallMs', slot: 26, bytes: 8, kind: FieldKind.F64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'regionHeartbeatMs', slot: 28, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const downPeerLayout: Layout = {
  name: 'DownPeer', isResponse: false, tableBytes: 36, vtable: [8, 36, 4, 28],
  fields: [
    { path: 'peer', slot: 4, bytes: 24, kind: FieldKind.Struct, required: true, names: undefined, struct: peerRefStruct, table: undefined },
    { path: 'downSeconds', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const regionBeatLayout: Layout = {
  name: 'RegionBeat', isResponse: false, tableBytes: 72, vtable: [20, 72, 60, 4, 28, 64, 68, 36, 44, 52],
  fields: [
    { path: 'region', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'leader', slot: 6, bytes: 24, kind: FieldKind.Struct, required: true, names: undefined, struct: peerRefStruct, table: undefined },
    { path: 'term', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'downPeers', slot: 10, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => downPeerLayout },
    { path: 'pendingPeers', slot: 12, bytes: 4, kind: FieldKind.Structs, required: false, names: undefined, struct: peerRefStruct, table: undefined },
    { path: 'approximateBytes', slot: 14, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'approximateKeys', slot: 16, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'pendingProgress', slot: 18, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const operatorLayout: Layout = {
  name: 'Operator', isResponse: false, tableBytes: 60, vtable: [16, 60, 56, 4, 12, 28, 52, 57],
  fields: [
    { path: 'kind', slot: 4, bytes: 1, kind: FieldKind.Name, required: false, names: operatorKindNames, struct: undefined, table: undefined },
    { path: 'regionId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'epoch', slot: 8, bytes: 16, kind: FieldKind.Struct, required: false, names: undefined, struct: epochStruct, table: undefined },
    { path: 'peer', slot: 10, bytes: 24, kind: FieldKind.Struct, required: false, names: undefined, struct: peerRefStruct, table: undefined },
    { path: 'keys', slot: 12, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'isForced', slot: 14, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const memberLayout: Layout = {
  name: 'Member', isResponse: false, tableBytes: 28, vtable: [14, 28, 12, 4, 16, 20, 24],
  fields: [
    { path: 'name', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'memberId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'clientUrls', slot: 8, bytes: 4, kind: FieldKind.Strings, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'peerUrls', slot: 10, bytes: 4, kind: FieldKind.Strings, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'isLeader', slot: 12, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const splitIdsLayout: Layout = {
  name: 'SplitIds', isResponse: false, tableBytes: 16, vtable: [8, 16, 4, 12],
  fields: [
    { path: 'regionId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'peerIds', slot: 6, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const getMembersResponseLayout: Layout = {
  name: 'GetMembersResponse', isResponse: true, tableBytes: 20, vtable: [10, 20, 12, 4, 16],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'clusterId', slot: 6, bytes: 8, kind: FieldKind.U64Big, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'members', slot: 8, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => memberLayout },
  ],
}

export const bootstrappedResponseLayout: Layout = {
  name: 'BootstrappedResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'bootstrapped', slot: 6, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const bootstrapRequestLayout: Layout = {
  name: 'BootstrapRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'store', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => storeMetaLayout },
    { path: 'region', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const allocIdRequestLayout: Layout = {
  name: 'AllocIdRequest', isResponse: false, tableBytes: 12, vtable: [6, 12, 4],
  fields: [
    { path: 'count', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const allocIdResponseLayout: Layout = {
  name: 'AllocIdResponse', isResponse: true, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'first', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const putStoreRequestLayout: Layout = {
  name: 'PutStoreRequest', isResponse: false, tableBytes: 24, vtable: [12, 24, 12, 20, 4, 16],
  fields: [
    { path: 'store', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => storeMetaLayout },
    { path: 'force', slot: 6, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'incarnation', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'previous', slot: 10, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const storesResponseLayout: Layout = {
  name: 'StoresResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'stores', slot: 6, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => storeMetaLayout },
  ],
}

export const storeHeartbeatResponseLayout: Layout = {
  name: 'StoreHeartbeatResponse', isResponse: true, tableBytes: 20, vtable: [12, 20, 4, 8, 12, 16],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'stores', slot: 6, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => storeMetaLayout },
    { path: 'fullStoreIds', slot: 8, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'lowStoreIds', slot: 10, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const storeHeartbeatRequestLayout: Layout = {
  name: 'StoreHeartbeatRequest', isResponse: false, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'stats', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => storeStatsLayout },
    { path: 'incarnation', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const regionHeartbeatRequestLayout: Layout = {
  name: 'RegionHeartbeatRequest', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'beats', slot: 4, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => regionBeatLayout },
  ],
}

export const regionHeartbeatResponseLayout: Layout = {
  name: 'RegionHeartbeatResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'operators', slot: 6, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => operatorLayout },
  ],
}

export const askSplitRequestLayout: Layout = {
  name: 'AskSplitRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'region', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'count', slot: 6, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const askSplitResponseLayout: Layout = {
  name: 'AskSplitResponse', isResponse: true, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'ids', slot: 6, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => splitIdsLayout },
  ],
}

export const reportSplitRequestLayout: Layout = {
  name: 'ReportSplitRequest', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'regions', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const keyRequestLayout: Layout = {
  name: 'KeyRequest', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'key', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const regionIdRequestLayout: Layout = {
  name: 'RegionIdRequest', isResponse: false, tableBytes: 12, vtable: [6, 12, 4],
  fields: [
    { path: 'regionId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const routeResponseLayout: Layout = {
  name: 'RouteResponse', isResponse: true, tableBytes: 28, vtable: [12, 28, 20, 24, 4, 12],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'route', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'heardStoreId', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'heardMsAgo', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const scanRegionsRequestLayout: Layout = {
  name: 'ScanRegionsRequest', isResponse: false, tableBytes: 16, vtable: [10, 16, 4, 8, 12],
  fields: [
    { path: 'start', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'end', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'limit', slot: 8, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const scanRegionsResponseLayout: Layout = {
  name: 'ScanRegionsResponse', isResponse: true, tableBytes: 20, vtable: [12, 20, 4, 8, 12, 16],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'routes', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'heardStoreIds', slot: 8, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'heardMsAgo', slot: 10, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const tsoRequestLayout: Layout = {
  name: 'TsoRequest', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'count', slot: 4, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const tsoResponseLayout: Layout = {
  name: 'TsoResponse', isResponse: true, tableBytes: 24, vtable: [12, 24, 12, 4, 16, 20],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'physicalMs', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'logical', slot: 8, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'count', slot: 10, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const addOperatorRequestLayout: Layout = {
  name: 'AddOperatorRequest', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'operator', slot: 4, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => operatorLayout },
  ],
}

export const storeHealthLayout: Layout = {
  name: 'StoreHealth', isResponse: false, tableBytes: 40, vtable: [16, 40, 4, 28, 12, 36, 20, 32],
  fields: [
    { path: 'storeId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'liveness', slot: 6, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'silentMs', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'isLowSpace', slot: 10, bytes: 1, kind: FieldKind.Bool, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'clockAheadMs', slot: 12, bytes: 8, kind: FieldKind.F64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'stats', slot: 14, bytes: 4, kind: FieldKind.Table, required: true, names: undefined, struct: undefined, table: () => storeStatsLayout },
  ],
}

export const healthProblemLayout: Layout = {
  name: 'HealthProblem', isResponse: false, tableBytes: 20, vtable: [10, 20, 12, 4, 16],
  fields: [
    { path: 'kind', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'subject', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'text', slot: 8, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const healthResponseLayout: Layout = {
  name: 'HealthResponse', isResponse: true, tableBytes: 96, vtable: [30, 96, 84, 4, 12, 20, 28, 36, 44, 52, 60, 68, 88, 92, 76],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'regions', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'withoutLeader', slot: 8, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'withMissingReplicas', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'withPendingReplicas', slot: 12, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'withDownReplicas', slot: 14, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'withExtraReplicas', slot: 16, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'learners', slot: 18, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'holes', slot: 20, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'countedMsAgo', slot: 22, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'stores', slot: 24, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => storeHealthLayout },
    { path: 'problems', slot: 26, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => healthProblemLayout },
    { path: 'problemCount', slot: 28, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const joinMemberRequestLayout: Layout = {
  name: 'JoinMemberRequest', isResponse: false, tableBytes: 24, vtable: [12, 24, 12, 4, 16, 20],
  fields: [
    { path: 'name', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'token', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'clientUrls', slot: 8, bytes: 4, kind: FieldKind.Strings, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'peerUrls', slot: 10, bytes: 4, kind: FieldKind.Strings, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const joinMemberResponseLayout: Layout = {
  name: 'JoinMemberResponse', isResponse: true, tableBytes: 44, vtable: [20, 44, 20, 24, 28, 32, 4, 12, 36, 40],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'verdict', slot: 6, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'reason', slot: 8, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'name', slot: 10, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'token', slot: 12, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'memberId', slot: 14, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'members', slot: 16, bytes: 4, kind: FieldKind.Tables, required: false, names: undefined, struct: undefined, table: () => memberLayout },
    { path: 'founders', slot: 18, bytes: 4, kind: FieldKind.U64s, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const replaceMemberRequestLayout: Layout = {
  name: 'ReplaceMemberRequest', isResponse: false, tableBytes: 12, vtable: [8, 12, 4, 8],
  fields: [
    { path: 'name', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'peerUrls', slot: 6, bytes: 4, kind: FieldKind.Strings, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const replaceMemberResponseLayout: Layout = {
  name: 'ReplaceMemberResponse', isResponse: true, tableBytes: 16, vtable: [8, 16, 12, 4],
  fields: [
    { path: 'error', slot: 4, bytes: 4, kind: FieldKind.Table, required: false, names: undefined, struct: undefined, table: () => serverErrorLayout },
    { path: 'memberId', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const raftBatchLayout: Layout = {
  name: 'RaftBatch', isResponse: false, tableBytes: 8, vtable: [6, 8, 4],
  fields: [
    { path: 'envelopes', slot: 4, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
  ],
}

export const snapshotBeginRequestLayout: Layout = {
  name: 'SnapshotBeginRequest', isResponse: false, tableBytes: 28, vtable: [12, 28, 4, 20, 24, 12],
  fields: [
    { path: 'regionId', slot: 4, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'envelope', slot: 6, bytes: 4, kind: FieldKind.Bytes, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'snapshotId', slot: 8, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'totalBytes', slot: 10, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const snapshotChunkRequestLayout: Layout = {
  name: 'SnapshotChunkRequest', isResponse: false, tableBytes: 24, vtable: [12, 24, 12, 4, 16, 20],
  fields: [
    { path: 'snapshotId', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'sequence', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'rows', slot: 8, bytes: 4, kind: FieldKind.Bytes, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'crc32c', slot: 10, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}

export const snapshotEndRequestLayout: Layout = {
  name: 'SnapshotEndRequest', isResponse: false, tableBytes: 20, vtable: [10, 20, 12, 4, 16],
  fields: [
    { path: 'snapshotId', slot: 4, bytes: 4, kind: FieldKind.String, required: true, names: undefined, struct: undefined, table: undefined },
    { path: 'chunks', slot: 6, bytes: 8, kind: FieldKind.U64, required: false, names: undefined, struct: undefined, table: undefined },
    { path: 'crc32c', slot: 8, bytes: 4, kind: FieldKind.U32, required: false, names: undefined, struct: undefined, table: undefined },
  ],
}
