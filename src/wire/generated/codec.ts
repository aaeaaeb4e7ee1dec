// Generated from schemas/*.fbs by scripts/generate-schemas.mjs. Do not edit.

import type { ServerError } from '../../common/errors.js'
import type { Epoch, PeerRef, Region } from '../../common/region.js'
import type { BodyReader } from '../body-reader.js'
import * as blocks from '../blocks.js'
import * as raftBlock from '../raft-block.js'
import type { Layout } from '../layout.js'
import type { Empty, Hello, Member, Operator, PeerInfo, RaftEnvelope, RegionBeat, RequestContext, Requests, Responses, RpcName, SplitIds, StoreMeta, StoreStats, StoreHealth, HealthProblem } from '../messages.js'
import { flattenOperator, flattenServerError, restoreOperator, restoreServerError } from '../variants.js'
import type { FrameWriter } from '../frame-writer.js'
import * as layouts from './layouts.js'

function writeEpoch(w: FrameWriter, at: number, v: Epoch): void {
  w.setU64(at + 0, v.confVer)
  w.setU64(at + 8, v.version)
}
function readEpoch(r: BodyReader, at: number): Epoch {
  return {
    confVer: r.u64(at + 0) as never,
    version: r.u64(at + 8) as never,
  }
}

function writePeerRef(w: FrameWriter, at: number, v: PeerRef): void {
  w.setU64(at + 0, v.peerId)
  w.setU64(at + 8, v.storeId)
  w.setU8(at + 16, layouts.peerRoleNumbers[v.role])
}
function readPeerRef(r: BodyReader, at: number): PeerRef {
  return {
    peerId: r.u64(at + 0) as never,
    storeId: r.u64(at + 8) as never,
    role: layouts.peerRoleNames[r.u8(at + 16)]!,
  }
}

export function writeRequestContext(w: FrameWriter, v: RequestContext): number {
  const t = w.table(layouts.requestContextLayout)
  w.setU64(t + 4, v.regionId)
  writeEpoch(w, t + 12, v.epoch)
  w.setU64(t + 28, v.peerId)
  w.setU32(t + 36, v.timeoutMs)
  return t
}

export function readRequestContext(r: BodyReader, t: number): RequestContext {
  const vt = r.vtable(t)
  return {
    regionId: r.fieldU64(t, vt, 4) as never,
    epoch: readEpoch(r, r.struct(t, vt, 6)),
    peerId: r.fieldU64(t, vt, 8) as never,
    timeoutMs: r.fieldU32(t, vt, 10),
  }
}

export interface FlatServerError {
  readonly kind: layouts.ErrorKindName
  readonly regionId: number | undefined
  readonly leader: PeerRef | undefined
  readonly key: Uint8Array | undefined
  readonly startKey: Uint8Array | undefined
  readonly endKey: Uint8Array | undefined
  readonly currentRegions: readonly Region[] | undefined
  readonly reason: string | undefined
  readonly backoffMs: number | undefined
  readonly requestStoreId: number | undefined
  readonly actualStoreId: number | undefined
  readonly entryBytes: number | undefined
  readonly limitBytes: number | undefined
  readonly requestPeerId: number | undefined
  readonly storePeerId: number | undefined
  readonly storeIds: readonly number[] | undefined
  readonly limit: string | undefined
  readonly actual: string | undefined
  readonly max: number | undefined
  readonly requested: string | undefined
  readonly what: string | undefined
  readonly actualValue: number | undefined
}

export function writeServerError(w: FrameWriter, union: ServerError): number {
  const v: FlatServerError = flattenServerError(union)
  const t = w.table(layouts.serverErrorLayout)
  w.setU8(t + 148, layouts.errorKindNumbers[v.kind])
  if (v.regionId === undefined) w.absent(t, 6)
  else w.setU64(t + 4, v.regionId)
  if (v.leader === undefined) w.absent(t, 8)
  else writePeerRef(w, t + 12, v.leader)
  if (v.key === undefined) w.absent(t, 10)
  else w.bytes(t + 108, v.key)
  if (v.startKey === undefined) w.absent(t, 12)
  else w.bytes(t + 112, v.startKey)
  if (v.endKey === undefined) w.absent(t, 14)
  else w.bytes(t + 116, v.endKey)
  if (v.currentRegions === undefined) w.absent(t, 16)
  else blocks.writeRegions(w, t + 120, v.currentRegions)
  if (v.reason === undefined) w.absent(t, 18)
  else w.string(t + 124, v.reason)
  if (v.backoffMs === undefined) w.absent(t, 20)
  else w.setU64(t + 36, v.backoffMs)
  if (v.requestStoreId === undefined) w.absent(t, 22)
  else w.setU64(t + 44, v.requestStoreId)
  if (v.actualStoreId === undefined) w.absent(t, 24)
  else w.setU64(t + 52, v.actualStoreId)
  if (v.entryBytes === undefined) w.absent(t, 26)
  else w.setU64(t + 60, v.entryBytes)
  if (v.limitBytes === undefined) w.absent(t, 28)
  else w.setU64(t + 68, v.limitBytes)
  if (v.requestPeerId === undefined) w.absent(t, 30)
  else w.setU64(t + 76, v.requestPeerId)
  if (v.storePeerId === undefined) w.absent(t, 32)
  else w.setU64(t + 84, v.storePeerId)
  if (v.storeIds === undefined) w.absent(t, 34)
  else w.u64s(t + 128, v.storeIds)
  if (v.limit === undefined) w.absent(t, 36)
  else w.string(t + 132, v.limit)
  if (v.actual === undefined) w.absent(t, 38)
  else w.string(t + 136, v.actual)
  if (v.max === undefined) w.absent(t, 40)
  else w.setU64(t + 92, v.max)
  if (v.requested === undefined) w.absent(t, 42)
  else w.string(t + 140, v.requested)
  if (v.what === undefined) w.absent(t, 44)
  else w.string(t + 144, v.what)
  if (v.actualValue === undefined) w.absent(t, 46)
  else w.setU64(t + 100, v.actualValue)
  return t
}

export function readServerError(r: BodyReader, t: number): ServerError {
  const vt = r.vtable(t)
  const flat: FlatServerError = {
    kind: layouts.errorKindNames[r.fieldU8(t, vt, 4)]!,
    regionId: r.fieldU64OrNone(t, vt, 6) as never,
    leader: r.structOrNone(t, vt, 8, readPeerRef),
    key: r.bytesOrNone(t, vt, 10),
    startKey: r.bytesOrNone(t, vt, 12),
    endKey: r.bytesOrNone(t, vt, 14),
    currentRegions: blocks.readRegions(r, r.target(t, vt, 16)),
    reason: r.stringOrNone(t, vt, 18),
    backoffMs: r.fieldU64OrNone(t, vt, 20) as never,
    requestStoreId: r.fieldU64OrNone(t, vt, 22) as never,
    actualStoreId: r.fieldU64OrNone(t, vt, 24) as never,
    entryBytes: r.fieldU64OrNone(t, vt, 26) as never,
    limitBytes: r.fieldU64OrNone(t, vt, 28) as never,
    requestPeerId: r.fieldU64OrNone(t, vt, 30) as never,
    storePeerId: r.fieldU64OrNone(t, vt, 32) as never,
    storeIds: r.u64sOrNone(t, vt, 34) as never,
    limit: r.stringOrNone(t, vt, 36),
    actual: r.stringOrNone(t, vt, 38),
    max: r.fieldU64OrNone(t, vt, 40) as never,
    requested: r.stringOrNone(t, vt, 42),
    what: r.stringOrNone(t, vt, 44),
    actualValue: r.fieldU64OrNone(t, vt, 46) as never,
  }
  return restoreServerError(flat)
}

export function writeEmpty(w: FrameWriter, _v: Empty): number {
  const t = w.table(layouts.emptyLayout)
  return t
}

export function readEmpty(_r: BodyReader, _t: number): Empty {
  return {}
}

export function writeEmptyResponse(w: FrameWriter, _v: Empty): number {
  const t = w.table(layouts.emptyResponseLayout)
  w.absent(t, 4)
  return t
}

export function readEmptyResponse(_r: BodyReader, _t: number): Empty {
  return {}
}

export function writeHello(w: FrameWriter, v: Hello): number {
  const t = w.table(layouts.helloLayout)
  w.setU32(t + 28, v.protocolVersion)
  w.setBig(t + 4, v.clusterId)
  w.setU8(t + 44, layouts.nodeRoleNumbers[v.role])
  w.setU64(t + 12, v.nodeId)
  if (v.protocolVersionMax === undefined) w.absent(t, 12)
  else w.setU32(t + 32, v.protocolVersionMax)
  if (v.features === undefined) w.absent(t, 14)
  else w.setBig(t + 20, v.features)
  if (v.nonce === undefined) w.absent(t, 16)
  else w.bytes(t + 36, v.nonce)
  if (v.proof === undefined) w.absent(t, 18)
  else w.bytes(t + 40, v.proof)
  return t
}

export function readHello(r: BodyReader, t: number): Hello {
  const vt = r.vtable(t)
  return {
    protocolVersion: r.fieldU32(t, vt, 4),
    clusterId: r.fieldBig(t, vt, 6),
    role: layouts.nodeRoleNames[r.fieldU8(t, vt, 8)]!,
    nodeId: r.fieldU64(t, vt, 10) as never,
    protocolVersionMax: r.fieldU32OrNone(t, vt, 12),
    features: r.fieldBigOrNone(t, vt, 14),
    nonce: r.bytesOrNone(t, vt, 16),
    proof: r.bytesOrNone(t, vt, 18),
  }
}

export function writeProof(w: FrameWriter, v: { readonly proof: Uint8Array }): number {
  const t = w.table(layouts.proofLayout)
  w.bytes(t + 4, v.proof)
  return t
}

export function readProof(r: BodyReader, t: number): { readonly proof: Uint8Array } {
  const vt = r.vtable(t)
  return {
    proof: r.bytes(t, vt, 4),
  }
}

export function writeProtocolError(w: FrameWriter, v: { readonly reason: string }): number {
  const t = w.table(layouts.protocolErrorLayout)
  w.string(t + 4, v.reason)
  return t
}

export function readProtocolError(r: BodyReader, t: number): { readonly reason: string } {
  const vt = r.vtable(t)
  return {
    reason: r.string(t, vt, 4),
  }
}

export function writeCancel(w: FrameWriter, _v: Empty): number {
  const t = w.table(layouts.cancelLayout)
  return t
}

export function readCancel(_r: BodyReader, _t: number): Empty {
  return {}
}

export function writePingRequest(w: FrameWriter, v: Requests['Ping']): number {
  const t = w.table(layouts.pingRequestLayout)
  w.setF64(t + 4, v.sentAtMs)
  return t
}

export function readPingRequest(r: BodyReader, t: number): Requests['Ping'] {
  const vt = r.vtable(t)
  return {
    sentAtMs: r.fieldF64(t, vt, 4),
  }
}

export function writePingResponse(w: FrameWriter, v: Responses['Ping']): number {
  const t = w.table(layouts.pingResponseLayout)
  w.absent(t, 4)
  w.setF64(t + 4, v.sentAtMs)
  return t
}

export function readPingResponse(r: BodyReader, t: number): Responses['Ping'] {
  const vt = r.vtable(t)
  return {
    sentAtMs: r.fieldF64(t, vt, 6),
  }
}

export function writeRawGetRequest(w: FrameWriter, v: Requests['RawGet']): number {
  const t = w.table(layouts.rawGetRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  w.bytes(t + 8, v.key)
  return t
}

export function readRawGetRequest(r: BodyReader, t: number): Requests['RawGet'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    key: r.bytes(t, vt, 6),
  }
}

export function writeRawGetResponse(w: FrameWriter, v: Responses['RawGet']): number {
  const t = w.table(layouts.rawGetResponseLayout)
  w.absent(t, 4)
  if (v.value === undefined) w.absent(t, 6)
  else w.bytes(t + 8, v.value)
  return t
}

export function readRawGetResponse(r: BodyReader, t: number): Responses['RawGet'] {
  const vt = r.vtable(t)
  return {
    value: r.bytesOrNone(t, vt, 6),
  }
}

export function writeRawPutRequest(w: FrameWriter, v: Requests['RawPut']): number {
  const t = w.table(layouts.rawPutRequestLayout)
  w.link(t + 12, writeRequestContext(w, v.context))
  w.bytes(t + 16, v.key)
  w.bytes(t + 20, v.value)
  w.setU64(t + 4, v.ttlSeconds)
  return t
}

export function readRawPutRequest(r: BodyReader, t: number): Requests['RawPut'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    key: r.bytes(t, vt, 6),
    value: r.bytes(t, vt, 8),
    ttlSeconds: r.fieldU64(t, vt, 10) as never,
  }
}

export function writeRawDeleteRequest(w: FrameWriter, v: Requests['RawDelete']): number {
  const t = w.table(layouts.rawDeleteRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  w.bytes(t + 8, v.key)
  return t
}

export function readRawDeleteRequest(r: BodyReader, t: number): Requests['RawDelete'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    key: r.bytes(t, vt, 6),
  }
}

export function writeRawBatchGetRequest(w: FrameWriter, v: Requests['RawBatchGet']): number {
  const t = w.table(layouts.rawBatchGetRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  blocks.writeKeys(w, t + 8, v.keys)
  w.setU8(t + 12, v.prefixWelcome ? 1 : 0)
  return t
}

export function readRawBatchGetRequest(r: BodyReader, t: number): Requests['RawBatchGet'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    keys: blocks.readKeys(r, r.target(t, vt, 6))!,
    prefixWelcome: r.fieldU8(t, vt, 8) !== 0,
  }
}

export function writeRawBatchGetResponse(w: FrameWriter, v: Responses['RawBatchGet']): number {
  const t = w.table(layouts.rawBatchGetResponseLayout)
  w.absent(t, 4)
  blocks.writeValues(w, t + 8, v.values)
  w.setU8(t + 12, v.more ? 1 : 0)
  return t
}

export function readRawBatchGetResponse(r: BodyReader, t: number): Responses['RawBatchGet'] {
  const vt = r.vtable(t)
  return {
    values: blocks.readValues(r, r.target(t, vt, 6))!,
    more: r.fieldU8(t, vt, 8) !== 0,
  }
}

export function writeRawBatchPutRequest(w: FrameWriter, v: Requests['RawBatchPut']): number {
  const t = w.table(layouts.rawBatchPutRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  blocks.writePairs(w, t + 8, v.pairs)
  return t
}

export function readRawBatchPutRequest(r: BodyReader, t: number): Requests['RawBatchPut'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    pairs: blocks.readPairs(r, r.target(t, vt, 6))!,
  }
}

export function writeRawBatchDeleteRequest(w: FrameWriter, v: Requests['RawBatchDelete']): number {
  const t = w.table(layouts.rawBatchDeleteRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  blocks.writeKeys(w, t + 8, v.keys)
  return t
}

export function readRawBatchDeleteRequest(r: BodyReader, t: number): Requests['RawBatchDelete'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    keys: blocks.readKeys(r, r.target(t, vt, 6))!,
  }
}

export function writeRawScanRequest(w: FrameWriter, v: Requests['RawScan']): number {
  const t = w.table(layouts.rawScanRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  w.bytes(t + 8, v.start)
  w.bytes(t + 12, v.end)
  w.setU32(t + 16, v.rowsMax)
  w.setU8(t + 20, v.keysOnly ? 1 : 0)
  w.setU8(t + 21, v.reverse ? 1 : 0)
  return t
}

export function readRawScanRequest(r: BodyReader, t: number): Requests['RawScan'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    start: r.bytes(t, vt, 6),
    end: r.bytes(t, vt, 8),
    rowsMax: r.fieldU32(t, vt, 10),
    keysOnly: r.fieldU8(t, vt, 12) !== 0,
    reverse: r.fieldU8(t, vt, 14) !== 0,
  }
}

export function writeRawScanResponse(w: FrameWriter, v: Responses['RawScan']): number {
  const t = w.table(layouts.rawScanResponseLayout)
  w.absent(t, 4)
  blocks.writeRows(w, t + 8, v.rows)
  w.setU8(t + 12, v.more ? 1 : 0)
  return t
}

export function readRawScanResponse(r: BodyReader, t: number): Responses['RawScan'] {
  const vt = r.vtable(t)
  return {
    rows: blocks.readRows(r, r.target(t, vt, 6))!,
    more: r.fieldU8(t, vt, 8) !== 0,
  }
}

export function writeRawDeleteRangeRequest(w: FrameWriter, v: Requests['RawDeleteRange']): number {
  const t = w.table(layouts.rawDeleteRangeRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  w.bytes(t + 8, v.start)
  w.bytes(t + 12, v.end)
  return t
}

export function readRawDeleteRangeRequest(r: BodyReader, t: number): Requests['RawDeleteRange'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    start: r.bytes(t, vt, 6),
    end: r.bytes(t, vt, 8),
  }
}

export function writeRawCasRequest(w: FrameWriter, v: Requests['RawCas']): number {
  const t = w.table(layouts.rawCasRequestLayout)
  w.link(t + 12, writeRequestContext(w, v.context))
  w.bytes(t + 16, v.key)
  if (v.expected === undefined) w.absent(t, 8)
  else w.bytes(t + 20, v.expected)
  if (v.value === undefined) w.absent(t, 10)
  else w.bytes(t + 24, v.value)
  w.setU64(t + 4, v.ttlSeconds)
  return t
}

export function readRawCasRequest(r: BodyReader, t: number): Requests['RawCas'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    key: r.bytes(t, vt, 6),
    expected: r.bytesOrNone(t, vt, 8),
    value: r.bytesOrNone(t, vt, 10),
    ttlSeconds: r.fieldU64(t, vt, 12) as never,
  }
}

export function writeRawCasResponse(w: FrameWriter, v: Responses['RawCas']): number {
  const t = w.table(layouts.rawCasResponseLayout)
  w.absent(t, 4)
  w.setU8(t + 12, v.swapped ? 1 : 0)
  if (v.previous === undefined) w.absent(t, 8)
  else w.bytes(t + 8, v.previous)
  return t
}

export function readRawCasResponse(r: BodyReader, t: number): Responses['RawCas'] {
  const vt = r.vtable(t)
  return {
    swapped: r.fieldU8(t, vt, 6) !== 0,
    previous: r.bytesOrNone(t, vt, 8),
  }
}

export function writeRawGetTtlRequest(w: FrameWriter, v: Requests['RawGetTtl']): number {
  const t = w.table(layouts.rawGetTtlRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  w.bytes(t + 8, v.key)
  return t
}

export function readRawGetTtlRequest(r: BodyReader, t: number): Requests['RawGetTtl'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    key: r.bytes(t, vt, 6),
  }
}

export function writeRawGetTtlResponse(w: FrameWriter, v: Responses['RawGetTtl']): number {
  const t = w.table(layouts.rawGetTtlResponseLayout)
  w.absent(t, 4)
  if (v.ttlSeconds === undefined) w.absent(t, 6)
  else w.setU64(t + 4, v.ttlSeconds)
  return t
}

export function readRawGetTtlResponse(r: BodyReader, t: number): Responses['RawGetTtl'] {
  const vt = r.vtable(t)
  return {
    ttlSeconds: r.fieldU64OrNone(t, vt, 6) as never,
  }
}

export function writeSplitRegionRequest(w: FrameWriter, v: Requests['SplitRegion']): number {
  const t = w.table(layouts.splitRegionRequestLayout)
  w.link(t + 4, writeRequestContext(w, v.context))
  blocks.writeKeys(w, t + 8, v.keys)
  return t
}

export function readSplitRegionRequest(r: BodyReader, t: number): Requests['SplitRegion'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    keys: blocks.readKeys(r, r.target(t, vt, 6))!,
  }
}

export function writeSplitRegionResponse(w: FrameWriter, v: Responses['SplitRegion']): number {
  const t = w.table(layouts.splitRegionResponseLayout)
  w.absent(t, 4)
  blocks.writeRegions(w, t + 8, v.regions)
  return t
}

export function readSplitRegionResponse(r: BodyReader, t: number): Responses['SplitRegion'] {
  const vt = r.vtable(t)
  return {
    regions: blocks.readRegions(r, r.target(t, vt, 6))!,
  }
}

export function writeTransferLeaderRequest(w: FrameWriter, v: Requests['TransferLeader']): number {
  const t = w.table(layouts.transferLeaderRequestLayout)
  w.link(t + 12, writeRequestContext(w, v.context))
  w.setU64(t + 4, v.toStoreId)
  return t
}

export function readTransferLeaderRequest(r: BodyReader, t: number): Requests['TransferLeader'] {
  const vt = r.vtable(t)
  return {
    context: readRequestContext(r, r.target(t, vt, 4)),
    toStoreId: r.fieldU64(t, vt, 6) as never,
  }
}

export function writeListPeersRequest(w: FrameWriter, v: Requests['ListPeers']): number {
  const t = w.table(layouts.listPeersRequestLayout)
  w.setU64(t + 4, v.regionId)
  return t
}

export function readListPeersRequest(r: BodyReader, t: number): Requests['ListPeers'] {
  const vt = r.vtable(t)
  return {
    regionId: r.fieldU64(t, vt, 4) as never,
  }
}

export function writePeerInfo(w: FrameWriter, v: PeerInfo): number {
  const t = w.table(layouts.peerInfoLayout)
  blocks.writeRegion(w, t + 60, v.region)
  w.setU64(t + 4, v.peerId)
  w.string(t + 64, v.role)
  w.setU64(t + 12, v.leaderId)
  w.setU64(t + 20, v.term)
  w.setU64(t + 28, v.committed)
  w.setU64(t + 36, v.applied)
  w.setU64(t + 44, v.firstIndex)
  w.setU64(t + 52, v.lastIndex)
  w.setU8(t + 68, v.leaseValid ? 1 : 0)
  return t
}

export function readPeerInfo(r: BodyReader, t: number): PeerInfo {
  const vt = r.vtable(t)
  return {
    region: blocks.readRegion(r, r.target(t, vt, 4))!,
    peerId: r.fieldU64(t, vt, 6) as never,
    role: r.string(t, vt, 8),
    leaderId: r.fieldU64(t, vt, 10) as never,
    term: r.fieldU64(t, vt, 12) as never,
    committed: r.fieldU64(t, vt, 14) as never,
    applied: r.fieldU64(t, vt, 16) as never,
    firstIndex: r.fieldU64(t, vt, 18) as never,
    lastIndex: r.fieldU64(t, vt, 20) as never,
    leaseValid: r.fieldU8(t, vt, 22) !== 0,
  }
}

export function writeListPeersResponse(w: FrameWriter, v: Responses['ListPeers']): number {
  const t = w.table(layouts.listPeersResponseLayout)
  w.absent(t, 4)
  {
    const list = w.offsetVector(t + 8, v.peers.length)
    for (let i = 0; i < v.peers.length; i++) w.link(list + i * 4, writePeerInfo(w, v.peers[i]!))
  }
  return t
}

export function readListPeersResponse(r: BodyReader, t: number): Responses['ListPeers'] {
  const vt = r.vtable(t)
  return {
    peers: r.tables(t, vt, 6, readPeerInfo),
  }
}

export function writeLabel(w: FrameWriter, v: { readonly name: string; readonly value: string }): number {
  const t = w.table(layouts.labelLayout)
  w.string(t + 4, v.name)
  w.string(t + 8, v.value)
  return t
}

export function readLabel(r: BodyReader, t: number): { readonly name: string; readonly value: string } {
  const vt = r.vtable(t)
  return {
    name: r.string(t, vt, 4),
    value: r.string(t, vt, 6),
  }
}

export function writeStoreMeta(w: FrameWriter, v: StoreMeta): number {
  const t = w.table(layouts.storeMetaLayout)
  w.setU64(t + 4, v.storeId)
  w.string(t + 20, v.address)
  w.string(t + 24, v.statusAddress)
  {
    const names = Object.keys(v.labels)
    const list = w.offsetVector(t + 28, names.length)
    for (let i = 0; i < names.length; i++) w.link(list + i * 4, writeLabel(w, { name: names[i]!, value: v.labels[names[i]!]! }))
  }
  w.string(t + 32, v.version)
  w.setU8(t + 36, layouts.storeStateNumbers[v.state])
  w.setU64(t + 12, v.startedAtWallMs)
  return t
}

export function readStoreMeta(r: BodyReader, t: number): StoreMeta {
  const vt = r.vtable(t)
  return {
    storeId: r.fieldU64(t, vt, 4) as never,
    address: r.string(t, vt, 6),
    statusAddress: r.string(t, vt, 8),
    labels: r.record(t, vt, 10, readLabel),
    version: r.string(t, vt, 12),
    state: layouts.storeStateNames[r.fieldU8(t, vt, 14)]!,
    startedAtWallMs: r.fieldU64(t, vt, 16) as never,
  }
}

export function writeStoreStats(w: FrameWriter, v: StoreStats): number {
  const t = w.table(layouts.storeStatsLayout)
  w.setU64(t + 4, v.storeId)
  w.setU64(t + 12, v.capacityBytes)
  w.setU64(t + 20, v.availableBytes)
  w.setU64(t + 28, v.usedBytes)
  w.setU64(t + 36, v.regionCount)
  w.setU64(t + 44, v.leaderCount)
  w.setU8(t + 84, v.isBusy ? 1 : 0)
  w.setU32(t + 76, v.snapshotsReceiving)
  w.setU32(t + 80, v.snapshotsSending)
  w.setU8(t + 85, v.isDiskFull ? 1 : 0)
  w.setU64(t + 52, v.reserveBytes)
  w.setF64(t + 60, v.wallMs)
  w.setU64(t + 68, v.regionHeartbeatMs)
  return t
}

export function readStoreStats(r: BodyReader, t: number): StoreStats {
  const vt = r.vtable(t)
  return {
    storeId: r.fieldU64(t, vt, 4) as never,
    capacityBytes: r.fieldU64(t, vt, 6) as never,
    availableBytes: r.fieldU64(t, vt, 8) as never,
    usedBytes: r.fieldU64(t, vt, 10) as never,
    regionCount: r.fieldU64(t, vt, 12) as never,
    leaderCount: r.fieldU64(t, vt, 14) as never,
    isBusy: r.fieldU8(t, vt, 16) !== 0,
    snapshotsReceiving: r.fieldU32(t, vt, 18),
    snapshotsSending: r.fieldU32(t, vt, 20),
    isDiskFull: r.fieldU8(t, vt, 22) !== 0,
    reserveBytes: r.fieldU64(t, vt, 24) as never,
    wallMs: r.fieldF64(t, vt, 26),
    regionHeartbeatMs: r.fieldU64(t, vt, 28) as never,
  }
}

export function writeDownPeer(w: FrameWriter, v: RegionBeat['downPeers'][number]): number {
  const t = w.table(layouts.downPeerLayout)
  writePeerRef(w, t + 4, v.peer)
  w.setU64(t + 28, v.downSeconds)
  return t
}

export function readDownPeer(r: BodyReader, t: number): RegionBeat['downPeers'][number] {
  const vt = r.vtable(t)
  return {
    peer: readPeerRef(r, r.struct(t, vt, 4)),
    downSeconds: r.fieldU64(t, vt, 6) as never,
  }
}

export function writeRegionBeat(w: FrameWriter, v: RegionBeat): number {
  const t = w.table(layouts.regionBeatLayout)
  blocks.writeRegion(w, t + 60, v.region)
  writePeerRef(w, t + 4, v.leader)
  w.setU64(t + 28, v.term)
  {
    const list = w.offsetVector(t + 64, v.downPeers.length)
    for (let i = 0; i < v.downPeers.length; i++) w.link(list + i * 4, writeDownPeer(w, v.downPeers[i]!))
  }
  {
    const list = w.inlineVector(t + 68, v.pendingPeers.length, 24)
    for (let i = 0; i < v.pendingPeers.length; i++) writePeerRef(w, list + i * 24, v.pendingPeers[i]!)
  }
  w.setU64(t + 36, v.approximateBytes)
  w.setU64(t + 44, v.approximateKeys)
  w.setU64(t + 52, v.pendingProgress)
  return t
}

export function readRegionBeat(r: BodyReader, t: number): RegionBeat {
  const vt = r.vtable(t)
  return {
    region: blocks.readRegion(r, r.target(t, vt, 4))!,
    leader: readPeerRef(r, r.struct(t, vt, 6)),
    term: r.fieldU64(t, vt, 8) as never,
    downPeers: r.tables(t, vt, 10, readDownPeer),
    pendingPeers: r.structs(t, vt, 12, 24, readPeerRef),
    approximateBytes: r.fieldU64(t, vt, 14) as never,
    approximateKeys: r.fieldU64(t, vt, 16) as never,
    pendingProgress: r.fieldU64(t, vt, 18) as never,
  }
}

export interface FlatOperator {
  readonly kind: layouts.OperatorKindName
  readonly regionId: number | undefined
  readonly epoch: Epoch | undefined
  readonly peer: PeerRef | undefined
  readonly keys: readonly Uint8Array[] | undefined
  readonly isForced: boolean
}

export function writeOperator(w: FrameWriter, union: Operator): number {
  const v: FlatOperator = flattenOperator(union)
  const t = w.table(layouts.operatorLayout)
  w.setU8(t + 56, layouts.operatorKindNumbers[v.kind])
  if (v.regionId === undefined) w.absent(t, 6)
  else w.setU64(t + 4, v.regionId)
  if (v.epoch === undefined) w.absent(t, 8)
  else writeEpoch(w, t + 12, v.epoch)
  if (v.peer === undefined) w.absent(t, 10)
  else writePeerRef(w, t + 28, v.peer)
  if (v.keys === undefined) w.absent(t, 12)
  else blocks.writeKeys(w, t + 52, v.keys)
  w.setU8(t + 57, v.isForced ? 1 : 0)
  return t
}

export function readOperator(r: BodyReader, t: number): Operator {
  const vt = r.vtable(t)
  const flat: FlatOperator = {
    kind: layouts.operatorKindNames[r.fieldU8(t, vt, 4)]!,
    regionId: r.fieldU64OrNone(t, vt, 6) as never,
    epoch: r.structOrNone(t, vt, 8, readEpoch),
    peer: r.structOrNone(t, vt, 10, readPeerRef),
    keys: blocks.readKeys(r, r.target(t, vt, 12)),
    isForced: r.fieldU8(t, vt, 14) !== 0,
  }
  return restoreOperator(flat)
}

export function writeMember(w: FrameWriter, v: Member): number {
  const t = w.table(layouts.memberLayout)
  w.string(t + 12, v.name)
  w.setU64(t + 4, v.memberId)
  w.strings(t + 16, v.clientUrls)
  w.strings(t + 20, v.peerUrls)
  w.setU8(t + 24, v.isLeader ? 1 : 0)
  return t
}

export function readMember(r: BodyReader, t: number): Member {
  const vt = r.vtable(t)
  return {
    name: r.string(t, vt, 4),
    memberId: r.fieldU64(t, vt, 6) as never,
    clientUrls: r.strings(t, vt, 8),
    peerUrls: r.strings(t, vt, 10),
    isLeader: r.fieldU8(t, vt, 12) !== 0,
  }
}

export function writeSplitIds(w: FrameWriter, v: SplitIds): number {
  const t = w.table(layouts.splitIdsLayout)
  w.setU64(t + 4, v.regionId)
  w.u64s(t + 12, v.peerIds)
  return t
}

export function readSplitIds(r: BodyReader, t: number): SplitIds {
  const vt = r.vtable(t)
  return {
    regionId: r.fieldU64(t, vt, 4) as never,
    peerIds: r.u64s(t, vt, 6) as never,
  }
}

export function writeGetMembersResponse(w: FrameWriter, v: Responses['GetMembers']): number {
  const t = w.table(layouts.getMembersResponseLayout)
  w.absent(t, 4)
  w.setBig(t + 4, v.clusterId)
  {
    const list = w.offsetVector(t + 16, v.members.length)
    for (let i = 0; i < v.members.length; i++) w.link(list + i * 4, writeMember(w, v.members[i]!))
  }
  return t
}

export function readGetMembersResponse(r: BodyReader, t: number): Responses['GetMembers'] {
  const vt = r.vtable(t)
  return {
    clusterId: r.fieldBig(t, vt, 6),
    members: r.tables(t, vt, 8, readMember),
  }
}

export function writeBootstrappedResponse(w: FrameWriter, v: Responses['IsBootstrapped']): number {
  const t = w.table(layouts.bootstrappedResponseLayout)
  w.absent(t, 4)
  w.setU8(t + 8, v.bootstrapped ? 1 : 0)
  return t
}

export function readBootstrappedResponse(r: BodyReader, t: number): Responses['IsBootstrapped'] {
  const vt = r.vtable(t)
  return {
    bootstrapped: r.fieldU8(t, vt, 6) !== 0,
  }
}

export function writeBootstrapRequest(w: FrameWriter, v: Requests['Bootstrap']): number {
  const t = w.table(layouts.bootstrapRequestLayout)
  w.link(t + 4, writeStoreMeta(w, v.store))
  blocks.writeRegion(w, t + 8, v.region)
  return t
}

export function readBootstrapRequest(r: BodyReader, t: number): Requests['Bootstrap'] {
  const vt = r.vtable(t)
  return {
    store: readStoreMeta(r, r.target(t, vt, 4)),
    region: blocks.readRegion(r, r.target(t, vt, 6))!,
  }
}

export function writeAllocIdRequest(w: FrameWriter, v: Requests['AllocId']): number {
  const t = w.table(layouts.allocIdRequestLayout)
  w.setU64(t + 4, v.count)
  return t
}

export function readAllocIdRequest(r: BodyReader, t: number): Requests['AllocId'] {
  const vt = r.vtable(t)
  return {
    count: r.fieldU64(t, vt, 4) as never,
  }
}

export function writeAllocIdResponse(w: FrameWriter, v: Responses['AllocId']): number {
  const t = w.table(layouts.allocIdResponseLayout)
  w.absent(t, 4)
  w.setU64(t + 4, v.first)
  return t
}

export function readAllocIdResponse(r: BodyReader, t: number): Responses['AllocId'] {
  const vt = r.vtable(t)
  return {
    first: r.fieldU64(t, vt, 6) as never,
  }
}

export function writePutStoreRequest(w: FrameWriter, v: Requests['PutStore']): number {
  const t = w.table(layouts.putStoreRequestLayout)
  w.link(t + 12, writeStoreMeta(w, v.store))
  w.setU8(t + 20, v.force ? 1 : 0)
  w.setU64(t + 4, v.incarnation)
  w.u64s(t + 16, v.previous)
  return t
}

export function readPutStoreRequest(r: BodyReader, t: number): Requests['PutStore'] {
  const vt = r.vtable(t)
  return {
    store: readStoreMeta(r, r.target(t, vt, 4)),
    force: r.fieldU8(t, vt, 6) !== 0,
    incarnation: r.fieldU64(t, vt, 8) as never,
    previous: r.u64s(t, vt, 10) as never,
  }
}

export function writeStoresResponse(w: FrameWriter, v: Responses['GetStores']): number {
  const t = w.table(layouts.storesResponseLayout)
  w.absent(t, 4)
  {
    const list = w.offsetVector(t + 8, v.stores.length)
    for (let i = 0; i < v.stores.length; i++) w.link(list + i * 4, writeStoreMeta(w, v.stores[i]!))
  }
  return t
}

export function readStoresResponse(r: BodyReader, t: number): Responses['GetStores'] {
  const vt = r.vtable(t)
  return {
    stores: r.tables(t, vt, 6, readStoreMeta),
  }
}

export function writeStoreHeartbeatResponse(w: FrameWriter, v: Responses['StoreHeartbeat']): number {
  const t = w.table(layouts.storeHeartbeatResponseLayout)
  w.absent(t, 4)
  {
    const list = w.offsetVector(t + 8, v.stores.length)
    for (let i = 0; i < v.stores.length; i++) w.link(list + i * 4, writeStoreMeta(w, v.stores[i]!))
  }
  w.u64s(t + 12, v.fullStoreIds)
  w.u64s(t + 16, v.lowStoreIds)
  return t
}

export function readStoreHeartbeatResponse(r: BodyReader, t: number): Responses['StoreHeartbeat'] {
  const vt = r.vtable(t)
  return {
    stores: r.tables(t, vt, 6, readStoreMeta),
    fullStoreIds: r.u64s(t, vt, 8) as never,
    lowStoreIds: r.u64s(t, vt, 10) as never,
  }
}

export function writeStoreHeartbeatRequest(w: FrameWriter, v: Requests['StoreHeartbeat']): number {
  const t = w.table(layouts.storeHeartbeatRequestLayout)
  w.link(t + 12, writeStoreStats(w, v.stats))
  w.setU64(t + 4, v.incarnation)
  return t
}

export function readStoreHeartbeatRequest(r: BodyReader, t: number): Requests['StoreHeartbeat'] {
  const vt = r.vtable(t)
  return {
    stats: readStoreStats(r, r.target(t, vt, 4)),
    incarnation: r.fieldU64(t, vt, 6) as never,
  }
}

export function writeRegionHeartbeatRequest(w: FrameWriter, v: Requests['RegionHeartbeat']): number {
  const t = w.table(layouts.regionHeartbeatRequestLayout)
  {
    const list = w.offsetVector(t + 4, v.beats.length)
    for (let i = 0; i < v.beats.length; i++) w.link(list + i * 4, writeRegionBeat(w, v.beats[i]!))
  }
  return t
}

export function readRegionHeartbeatRequest(r: BodyReader, t: number): Requests['RegionHeartbeat'] {
  const vt = r.vtable(t)
  return {
    beats: r.tables(t, vt, 4, readRegionBeat),
  }
}

export function writeRegionHeartbeatResponse(w: FrameWriter, v: Responses['RegionHeartbeat']): number {
  const t = w.table(layouts.regionHeartbeatResponseLayout)
  w.absent(t, 4)
  {
    const list = w.offsetVector(t + 8, v.operators.length)
    for (let i = 0; i < v.operators.length; i++) w.link(list + i * 4, writeOperator(w, v.operators[i]!))
  }
  return t
}

export function readRegionHeartbeatResponse(r: BodyReader, t: number): Responses['RegionHeartbeat'] {
  const vt = r.vtable(t)
  return {
    operators: r.tables(t, vt, 6, readOperator),
  }
}

export function writeAskSplitRequest(w: FrameWriter, v: Requests['AskSplit']): number {
  const t = w.table(layouts.askSplitRequestLayout)
  blocks.writeRegion(w, t + 4, v.region)
  w.setU32(t + 8, v.count)
  return t
}

export function readAskSplitRequest(r: BodyReader, t: number): Requests['AskSplit'] {
  const vt = r.vtable(t)
  return {
    region: blocks.readRegion(r, r.target(t, vt, 4))!,
    count: r.fieldU32(t, vt, 6),
  }
}

export function writeAskSplitResponse(w: FrameWriter, v: Responses['AskSplit']): number {
  const t = w.table(layouts.askSplitResponseLayout)
  w.absent(t, 4)
  {
    const list = w.offsetVector(t + 8, v.ids.length)
    for (let i = 0; i < v.ids.length; i++) w.link(list + i * 4, writeSplitIds(w, v.ids[i]!))
  }
  return t
}

export function readAskSplitResponse(r: BodyReader, t: number): Responses['AskSplit'] {
  const vt = r.vtable(t)
  return {
    ids: r.tables(t, vt, 6, readSplitIds),
  }
}

export function writeReportSplitRequest(w: FrameWriter, v: Requests['ReportSplit']): number {
  const t = w.table(layouts.reportSplitRequestLayout)
  blocks.writeRegions(w, t + 4, v.regions)
  return t
}

export function readReportSplitRequest(r: BodyReader, t: number): Requests['ReportSplit'] {
  const vt = r.vtable(t)
  return {
    regions: blocks.readRegions(r, r.target(t, vt, 4))!,
  }
}

export function writeKeyRequest(w: FrameWriter, v: Requests['GetRegion']): number {
  const t = w.table(layouts.keyRequestLayout)
  w.bytes(t + 4, v.key)
  return t
}

export function readKeyRequest(r: BodyReader, t: number): Requests['GetRegion'] {
  const vt = r.vtable(t)
  return {
    key: r.bytes(t, vt, 4),
  }
}

export function writeRegionIdRequest(w: FrameWriter, v: Requests['GetRegionById']): number {
  const t = w.table(layouts.regionIdRequestLayout)
  w.setU64(t + 4, v.regionId)
  return t
}

export function readRegionIdRequest(r: BodyReader, t: number): Requests['GetRegionById'] {
  const vt = r.vtable(t)
  return {
    regionId: r.fieldU64(t, vt, 4) as never,
  }
}

export function writeRouteResponse(w: FrameWriter, v: Responses['GetRegion']): number {
  const t = w.table(layouts.routeResponseLayout)
  w.absent(t, 4)
  if (v.route === undefined) w.absent(t, 6)
  else blocks.writeRoute(w, t + 24, v.route)
  w.setU64(t + 4, v.heardStoreId)
  w.setU64(t + 12, v.heardMsAgo)
  return t
}

export function readRouteResponse(r: BodyReader, t: number): Responses['GetRegion'] {
  const vt = r.vtable(t)
  return {
    route: blocks.readRoute(r, r.target(t, vt, 6)),
    heardStoreId: r.fieldU64(t, vt, 8) as never,
    heardMsAgo: r.fieldU64(t, vt, 10) as never,
  }
}

export function writeScanRegionsRequest(w: FrameWriter, v: Requests['ScanRegions']): number {
  const t = w.table(layouts.scanRegionsRequestLayout)
  w.bytes(t + 4, v.start)
  w.bytes(t + 8, v.end)
  w.setU32(t + 12, v.limit)
  return t
}

export function readScanRegionsRequest(r: BodyReader, t: number): Requests['ScanRegions'] {
  const vt = r.vtable(t)
  return {
    start: r.bytes(t, vt, 4),
    end: r.bytes(t, vt, 6),
    limit: r.fieldU32(t, vt, 8),
  }
}

export function writeScanRegionsResponse(w: FrameWriter, v: Responses['ScanRegions']): number {
  const t = w.table(layouts.scanRegionsResponseLayout)
  w.absent(t, 4)
  blocks.writeRoutes(w, t + 8, v.routes)
  w.u64s(t + 12, v.heardStoreIds)
  w.u64s(t + 16, v.heardMsAgo)
  return t
}

export function readScanRegionsResponse(r: BodyReader, t: number): Responses['ScanRegions'] {
  const vt = r.vtable(t)
  return {
    routes: blocks.readRoutes(r, r.target(t, vt, 6))!,
    heardStoreIds: r.u64s(t, vt, 8) as never,
    heardMsAgo: r.u64s(t, vt, 10) as never,
  }
}

export function writeTsoRequest(w: FrameWriter, v: Requests['Tso']): number {
  const t = w.table(layouts.tsoRequestLayout)
  w.setU32(t + 4, v.count)
  return t
}

export function readTsoRequest(r: BodyReader, t: number): Requests['Tso'] {
  const vt = r.vtable(t)
  return {
    count: r.fieldU32(t, vt, 4),
  }
}

export function writeTsoResponse(w: FrameWriter, v: Responses['Tso']): number {
  const t = w.table(layouts.tsoResponseLayout)
  w.absent(t, 4)
  w.setU64(t + 4, v.physicalMs)
  w.setU32(t + 16, v.logical)
  w.setU32(t + 20, v.count)
  return t
}

export function readTsoResponse(r: BodyReader, t: number): Responses['Tso'] {
  const vt = r.vtable(t)
  return {
    physicalMs: r.fieldU64(t, vt, 6) as never,
    logical: r.fieldU32(t, vt, 8),
    count: r.fieldU32(t, vt, 10),
  }
}

export function writeAddOperatorRequest(w: FrameWriter, v: Requests['AddOperator']): number {
  const t = w.table(layouts.addOperatorRequestLayout)
  w.link(t + 4, writeOperator(w, v.operator))
  return t
}

export function readAddOperatorRequest(r: BodyReader, t: number): Requests['AddOperator'] {
  const vt = r.vtable(t)
  return {
    operator: readOperator(r, r.target(t, vt, 4)),
  }
}

export function writeStoreHealth(w: FrameWriter, v: StoreHealth): number {
  const t = w.table(layouts.storeHealthLayout)
  w.setU64(t + 4, v.storeId)
  w.string(t + 28, v.liveness)
  w.setU64(t + 12, v.silentMs)
  w.setU8(t + 36, v.isLowSpace ? 1 : 0)
  w.setF64(t + 20, v.clockAheadMs)
  w.link(t + 32, writeStoreStats(w, v.stats))
  return t
}

export function readStoreHealth(r: BodyReader, t: number): StoreHealth {
  const vt = r.vtable(t)
  return {
    storeId: r.fieldU64(t, vt, 4) as never,
    liveness: r.string(t, vt, 6),
    silentMs: r.fieldU64(t, vt, 8) as never,
    isLowSpace: r.fieldU8(t, vt, 10) !== 0,
    clockAheadMs: r.fieldF64(t, vt, 12),
    stats: readStoreStats(r, r.target(t, vt, 14)),
  }
}

export function writeHealthProblem(w: FrameWriter, v: HealthProblem): number {
  const t = w.table(layouts.healthProblemLayout)
  w.string(t + 12, v.kind)
  w.setU64(t + 4, v.subject)
  w.string(t + 16, v.text)
  return t
}

export function readHealthProblem(r: BodyReader, t: number): HealthProblem {
  const vt = r.vtable(t)
  return {
    kind: r.string(t, vt, 4),
    subject: r.fieldU64(t, vt, 6) as never,
    text: r.string(t, vt, 8),
  }
}

export function writeHealthResponse(w: FrameWriter, v: Responses['GetHealth']): number {
  const t = w.table(layouts.healthResponseLayout)
  w.absent(t, 4)
  w.setU64(t + 4, v.regions)
  w.setU64(t + 12, v.withoutLeader)
  w.setU64(t + 20, v.withMissingReplicas)
  w.setU64(t + 28, v.withPendingReplicas)
  w.setU64(t + 36, v.withDownReplicas)
  w.setU64(t + 44, v.withExtraReplicas)
  w.setU64(t + 52, v.learners)
  w.setU64(t + 60, v.holes)
  w.setU64(t + 68, v.countedMsAgo)
  {
    const list = w.offsetVector(t + 88, v.stores.length)
    for (let i = 0; i < v.stores.length; i++) w.link(list + i * 4, writeStoreHealth(w, v.stores[i]!))
  }
  {
    const list = w.offsetVector(t + 92, v.problems.length)
    for (let i = 0; i < v.problems.length; i++) w.link(list + i * 4, writeHealthProblem(w, v.problems[i]!))
  }
  w.setU64(t + 76, v.problemCount)
  return t
}

export function readHealthResponse(r: BodyReader, t: number): Responses['GetHealth'] {
  const vt = r.vtable(t)
  return {
    regions: r.fieldU64(t, vt, 6) as never,
    withoutLeader: r.fieldU64(t, vt, 8) as never,
    withMissingReplicas: r.fieldU64(t, vt, 10) as never,
    withPendingReplicas: r.fieldU64(t, vt, 12) as never,
    withDownReplicas: r.fieldU64(t, vt, 14) as never,
    withExtraReplicas: r.fieldU64(t, vt, 16) as never,
    learners: r.fieldU64(t, vt, 18) as never,
    holes: r.fieldU64(t, vt, 20) as never,
    countedMsAgo: r.fieldU64(t, vt, 22) as never,
    stores: r.tables(t, vt, 24, readStoreHealth),
    problems: r.tables(t, vt, 26, readHealthProblem),
    problemCount: r.fieldU64(t, vt, 28) as never,
  }
}

export function writeJoinMemberRequest(w: FrameWriter, v: Requests['JoinMember']): number {
  const t = w.table(layouts.joinMemberRequestLayout)
  w.string(t + 12, v.name)
  w.setU64(t + 4, v.token)
  w.strings(t + 16, v.clientUrls)
  w.strings(t + 20, v.peerUrls)
  return t
}

export function readJoinMemberRequest(r: BodyReader, t: number): Requests['JoinMember'] {
  const vt = r.vtable(t)
  return {
    name: r.string(t, vt, 4),
    token: r.fieldU64(t, vt, 6) as never,
    clientUrls: r.strings(t, vt, 8),
    peerUrls: r.strings(t, vt, 10),
  }
}

export function writeJoinMemberResponse(w: FrameWriter, v: Responses['JoinMember']): number {
  const t = w.table(layouts.joinMemberResponseLayout)
  w.absent(t, 4)
  w.string(t + 24, v.verdict)
  w.string(t + 28, v.reason)
  w.string(t + 32, v.name)
  w.setU64(t + 4, v.token)
  w.setU64(t + 12, v.memberId)
  {
    const list = w.offsetVector(t + 36, v.members.length)
    for (let i = 0; i < v.members.length; i++) w.link(list + i * 4, writeMember(w, v.members[i]!))
  }
  w.u64s(t + 40, v.founders)
  return t
}

export function readJoinMemberResponse(r: BodyReader, t: number): Responses['JoinMember'] {
  const vt = r.vtable(t)
  return {
    verdict: r.string(t, vt, 6),
    reason: r.string(t, vt, 8),
    name: r.string(t, vt, 10),
    token: r.fieldU64(t, vt, 12) as never,
    memberId: r.fieldU64(t, vt, 14) as never,
    members: r.tables(t, vt, 16, readMember),
    founders: r.u64s(t, vt, 18) as never,
  }
}

export function writeReplaceMemberRequest(w: FrameWriter, v: Requests['ReplaceMember']): number {
  const t = w.table(layouts.replaceMemberRequestLayout)
  w.string(t + 4, v.name)
  w.strings(t + 8, v.peerUrls)
  return t
}

export function readReplaceMemberRequest(r: BodyReader, t: number): Requests['ReplaceMember'] {
  const vt = r.vtable(t)
  return {
    name: r.string(t, vt, 4),
    peerUrls: r.strings(t, vt, 6),
  }
}

export function writeReplaceMemberResponse(w: FrameWriter, v: Responses['ReplaceMember']): number {
  const t = w.table(layouts.replaceMemberResponseLayout)
  w.absent(t, 4)
  w.setU64(t + 4, v.memberId)
  return t
}

export function readReplaceMemberResponse(r: BodyReader, t: number): Responses['ReplaceMember'] {
  const vt = r.vtable(t)
  return {
    memberId: r.fieldU64(t, vt, 6) as never,
  }
}

export function writeRaftBatch(w: FrameWriter, v: { readonly envelopes: readonly RaftEnvelope[] }): number {
  const t = w.table(layouts.raftBatchLayout)
  raftBlock.writeEnvelopes(w, t + 4, v.envelopes)
  return t
}

export function readRaftBatch(r: BodyReader, t: number): { readonly envelopes: readonly RaftEnvelope[] } {
  const vt = r.vtable(t)
  return {
    envelopes: raftBlock.readEnvelopes(r, r.target(t, vt, 4))!,
  }
}

export function writeSnapshotBeginRequest(w: FrameWriter, v: Requests['SnapshotBegin']): number {
  const t = w.table(layouts.snapshotBeginRequestLayout)
  w.setU64(t + 4, v.regionId)
  raftBlock.writeEnvelope(w, t + 20, v.envelope)
  w.string(t + 24, v.snapshotId)
  w.setU64(t + 12, v.totalBytes)
  return t
}

export function readSnapshotBeginRequest(r: BodyReader, t: number): Requests['SnapshotBegin'] {
  const vt = r.vtable(t)
  return {
    regionId: r.fieldU64(t, vt, 4) as never,
    envelope: raftBlock.readEnvelope(r, r.target(t, vt, 6))!,
    snapshotId: r.string(t, vt, 8),
    totalBytes: r.fieldU64(t, vt, 10) as never,
  }
}

export function writeSnapshotChunkRequest(w: FrameWriter, v: Requests['SnapshotChunk']): number {
  const t = w.table(layouts.snapshotChunkRequestLayout)
  w.string(t + 12, v.snapshotId)
  w.setU64(t + 4, v.sequence)
  w.bytes(t + 16, v.rows)
  w.setU32(t + 20, v.crc32c)
  return t
}

export function readSnapshotChunkRequest(r: BodyReader, t: number): Requests['SnapshotChunk'] {
  const vt = r.vtable(t)
  return {
    snapshotId: r.string(t, vt, 4),
    sequence: r.fieldU64(t, vt, 6) as never,
    rows: r.bytes(t, vt, 8),
    crc32c: r.fieldU32(t, vt, 10),
  }
}

export function writeSnapshotEndRequest(w: FrameWriter, v: Requests['SnapshotEnd']): number {
  const t = w.table(layouts.snapshotEndRequestLayout)
  w.string(t + 12, v.snapshotId)
  w.setU64(t + 4, v.chunks)
  w.setU32(t + 16, v.crc32c)
  return t
}

export function readSnapshotEndRequest(r: BodyReader, t: number): Requests['SnapshotEnd'] {
  const vt = r.vtable(t)
  return {
    snapshotId: r.string(t, vt, 4),
    chunks: r.fieldU64(t, vt, 6) as never,
    crc32c: r.fieldU32(t, vt, 8),
  }
}

/** How one RPC is written, verified and read. */
export interface RpcCodec<N extends RpcName> {
  readonly name: N
  readonly kind: number
  readonly requestLayout: Layout
  readonly responseLayout: Layout
  writeRequest(w: FrameWriter, v: Requests[N]): number
  readRequest(r: BodyReader, t: number): Requests[N]
  writeResponse(w: FrameWriter, v: Responses[N]): number
  readResponse(r: BodyReader, t: number): Responses[N]
}

export const rpcCodecs: { readonly [N in RpcName]: RpcCodec<N> } = {
  RawGet: {
    name: 'RawGet', kind: 16,
    requestLayout: layouts.rawGetRequestLayout, responseLayout: layouts.rawGetResponseLayout,
    writeRequest: writeRawGetRequest, readRequest: readRawGetRequest,
    writeResponse: writeRawGetResponse, readResponse: readRawGetResponse,
  },
  RawPut: {
    name: 'RawPut', kind: 17,
    requestLayout: layouts.rawPutRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeRawPutRequest, readRequest: readRawPutRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  RawDelete: {
    name: 'RawDelete', kind: 18,
    requestLayout: layouts.rawDeleteRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeRawDeleteRequest, readRequest: readRawDeleteRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  RawBatchGet: {
    name: 'RawBatchGet', kind: 19,
    requestLayout: layouts.rawBatchGetRequestLayout, responseLayout: layouts.rawBatchGetResponseLayout,
    writeRequest: writeRawBatchGetRequest, readRequest: readRawBatchGetRequest,
    writeResponse: writeRawBatchGetResponse, readResponse: readRawBatchGetResponse,
  },
  RawBatchPut: {
    name: 'RawBatchPut', kind: 20,
    requestLayout: layouts.rawBatchPutRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeRawBatchPutRequest, readRequest: readRawBatchPutRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  RawBatchDelete: {
    name: 'RawBatchDelete', kind: 21,
    requestLayout: layouts.rawBatchDeleteRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeRawBatchDeleteRequest, readRequest: readRawBatchDeleteRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  RawScan: {
    name: 'RawScan', kind: 22,
    requestLayout: layouts.rawScanRequestLayout, responseLayout: layouts.rawScanResponseLayout,
    writeRequest: writeRawScanRequest, readRequest: readRawScanRequest,
    writeResponse: writeRawScanResponse, readResponse: readRawScanResponse,
  },
  RawDeleteRange: {
    name: 'RawDeleteRange', kind: 23,
    requestLayout: layouts.rawDeleteRangeRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeRawDeleteRangeRequest, readRequest: readRawDeleteRangeRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  RawCas: {
    name: 'RawCas', kind: 24,
    requestLayout: layouts.rawCasRequestLayout, responseLayout: layouts.rawCasResponseLayout,
    writeRequest: writeRawCasRequest, readRequest: readRawCasRequest,
    writeResponse: writeRawCasResponse, readResponse: readRawCasResponse,
  },
  RawGetTtl: {
    name: 'RawGetTtl', kind: 25,
    requestLayout: layouts.rawGetTtlRequestLayout, responseLayout: layouts.rawGetTtlResponseLayout,
    writeRequest: writeRawGetTtlRequest, readRequest: readRawGetTtlRequest,
    writeResponse: writeRawGetTtlResponse, readResponse: readRawGetTtlResponse,
  },
  SplitRegion: {
    name: 'SplitRegion', kind: 32,
    requestLayout: layouts.splitRegionRequestLayout, responseLayout: layouts.splitRegionResponseLayout,
    writeRequest: writeSplitRegionRequest, readRequest: readSplitRegionRequest,
    writeResponse: writeSplitRegionResponse, readResponse: readSplitRegionResponse,
  },
  TransferLeader: {
    name: 'TransferLeader', kind: 33,
    requestLayout: layouts.transferLeaderRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeTransferLeaderRequest, readRequest: readTransferLeaderRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  ListPeers: {
    name: 'ListPeers', kind: 34,
    requestLayout: layouts.listPeersRequestLayout, responseLayout: layouts.listPeersResponseLayout,
    writeRequest: writeListPeersRequest, readRequest: readListPeersRequest,
    writeResponse: writeListPeersResponse, readResponse: readListPeersResponse,
  },
  SnapshotBegin: {
    name: 'SnapshotBegin', kind: 40,
    requestLayout: layouts.snapshotBeginRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeSnapshotBeginRequest, readRequest: readSnapshotBeginRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  SnapshotChunk: {
    name: 'SnapshotChunk', kind: 41,
    requestLayout: layouts.snapshotChunkRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeSnapshotChunkRequest, readRequest: readSnapshotChunkRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  SnapshotEnd: {
    name: 'SnapshotEnd', kind: 42,
    requestLayout: layouts.snapshotEndRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeSnapshotEndRequest, readRequest: readSnapshotEndRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  GetMembers: {
    name: 'GetMembers', kind: 64,
    requestLayout: layouts.emptyLayout, responseLayout: layouts.getMembersResponseLayout,
    writeRequest: writeEmpty, readRequest: readEmpty,
    writeResponse: writeGetMembersResponse, readResponse: readGetMembersResponse,
  },
  IsBootstrapped: {
    name: 'IsBootstrapped', kind: 65,
    requestLayout: layouts.emptyLayout, responseLayout: layouts.bootstrappedResponseLayout,
    writeRequest: writeEmpty, readRequest: readEmpty,
    writeResponse: writeBootstrappedResponse, readResponse: readBootstrappedResponse,
  },
  Bootstrap: {
    name: 'Bootstrap', kind: 66,
    requestLayout: layouts.bootstrapRequestLayout, responseLayout: layouts.bootstrappedResponseLayout,
    writeRequest: writeBootstrapRequest, readRequest: readBootstrapRequest,
    writeResponse: writeBootstrappedResponse, readResponse: readBootstrappedResponse,
  },
  AllocId: {
    name: 'AllocId', kind: 67,
    requestLayout: layouts.allocIdRequestLayout, responseLayout: layouts.allocIdResponseLayout,
    writeRequest: writeAllocIdRequest, readRequest: readAllocIdRequest,
    writeResponse: writeAllocIdResponse, readResponse: readAllocIdResponse,
  },
  PutStore: {
    name: 'PutStore', kind: 68,
    requestLayout: layouts.putStoreRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writePutStoreRequest, readRequest: readPutStoreRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  GetStores: {
    name: 'GetStores', kind: 69,
    requestLayout: layouts.emptyLayout, responseLayout: layouts.storesResponseLayout,
    writeRequest: writeEmpty, readRequest: readEmpty,
    writeResponse: writeStoresResponse, readResponse: readStoresResponse,
  },
  StoreHeartbeat: {
    name: 'StoreHeartbeat', kind: 70,
    requestLayout: layouts.storeHeartbeatRequestLayout, responseLayout: layouts.storeHeartbeatResponseLayout,
    writeRequest: writeStoreHeartbeatRequest, readRequest: readStoreHeartbeatRequest,
    writeResponse: writeStoreHeartbeatResponse, readResponse: readStoreHeartbeatResponse,
  },
  RegionHeartbeat: {
    name: 'RegionHeartbeat', kind: 71,
    requestLayout: layouts.regionHeartbeatRequestLayout, responseLayout: layouts.regionHeartbeatResponseLayout,
    writeRequest: writeRegionHeartbeatRequest, readRequest: readRegionHeartbeatRequest,
    writeResponse: writeRegionHeartbeatResponse, readResponse: readRegionHeartbeatResponse,
  },
  AskSplit: {
    name: 'AskSplit', kind: 72,
    requestLayout: layouts.askSplitRequestLayout, responseLayout: layouts.askSplitResponseLayout,
    writeRequest: writeAskSplitRequest, readRequest: readAskSplitRequest,
    writeResponse: writeAskSplitResponse, readResponse: readAskSplitResponse,
  },
  ReportSplit: {
    name: 'ReportSplit', kind: 73,
    requestLayout: layouts.reportSplitRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeReportSplitRequest, readRequest: readReportSplitRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  GetRegion: {
    name: 'GetRegion', kind: 74,
    requestLayout: layouts.keyRequestLayout, responseLayout: layouts.routeResponseLayout,
    writeRequest: writeKeyRequest, readRequest: readKeyRequest,
    writeResponse: writeRouteResponse, readResponse: readRouteResponse,
  },
  GetPreviousRegion: {
    name: 'GetPreviousRegion', kind: 75,
    requestLayout: layouts.keyRequestLayout, responseLayout: layouts.routeResponseLayout,
    writeRequest: writeKeyRequest, readRequest: readKeyRequest,
    writeResponse: writeRouteResponse, readResponse: readRouteResponse,
  },
  GetRegionById: {
    name: 'GetRegionById', kind: 76,
    requestLayout: layouts.regionIdRequestLayout, responseLayout: layouts.routeResponseLayout,
    writeRequest: writeRegionIdRequest, readRequest: readRegionIdRequest,
    writeResponse: writeRouteResponse, readResponse: readRouteResponse,
  },
  ScanRegions: {
    name: 'ScanRegions', kind: 77,
    requestLayout: layouts.scanRegionsRequestLayout, responseLayout: layouts.scanRegionsResponseLayout,
    writeRequest: writeScanRegionsRequest, readRequest: readScanRegionsRequest,
    writeResponse: writeScanRegionsResponse, readResponse: readScanRegionsResponse,
  },
  Tso: {
    name: 'Tso', kind: 78,
    requestLayout: layouts.tsoRequestLayout, responseLayout: layouts.tsoResponseLayout,
    writeRequest: writeTsoRequest, readRequest: readTsoRequest,
    writeResponse: writeTsoResponse, readResponse: readTsoResponse,
  },
  AddOperator: {
    name: 'AddOperator', kind: 79,
    requestLayout: layouts.addOperatorRequestLayout, responseLayout: layouts.emptyResponseLayout,
    writeRequest: writeAddOperatorRequest, readRequest: readAddOperatorRequest,
    writeResponse: writeEmptyResponse, readResponse: readEmptyResponse,
  },
  GetHealth: {
    name: 'GetHealth', kind: 80,
    requestLayout: layouts.emptyLayout, responseLayout: layouts.healthResponseLayout,
    writeRequest: writeEmpty, readRequest: readEmpty,
    writeResponse: writeHealthResponse, readResponse: readHealthResponse,
  },
  JoinMember: {
    name: 'JoinMember', kind: 81,
    requestLayout: layouts.joinMemberRequestLayout, responseLayout: layouts.joinMemberResponseLayout,
    writeRequest: writeJoinMemberRequest, readRequest: readJoinMemberRequest,
    writeResponse: writeJoinMemberResponse, readResponse: readJoinMemberResponse,
  },
  ReplaceMember: {
    name: 'ReplaceMember', kind: 82,
    requestLayout: layouts.replaceMemberRequestLayout, responseLayout: layouts.replaceMemberResponseLayout,
    writeRequest: writeReplaceMemberRequest, readRequest: readReplaceMemberRequest,
    writeResponse: writeReplaceMemberResponse, readResponse: readReplaceMemberResponse,
  },
  Ping: {
    name: 'Ping', kind: 96,
    requestLayout: layouts.pingRequestLayout, responseLayout: layouts.pingResponseLayout,
    writeRequest: writePingRequest, readRequest: readPingRequest,
    writeResponse: writePingResponse, readResponse: readPingResponse,
  },
}

/** An error answers any RPC. */
export function writeErrorResponse(w: FrameWriter, error: ServerError): number {
  const t = w.table(layouts.emptyResponseLayout)
  w.link(t + 4, writeServerError(w, error))
  return t
}
