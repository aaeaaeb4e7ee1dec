import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import { logIndex, peerId, regionId, storeId, term } from '../common/ids.js'
import type { LogIndex, PeerId, RegionId, Term } from '../common/ids.js'
import type { PeerRef, PeerRole, Region } from '../common/region.js'
import { ByteReader, ByteWriter } from './bytes-codec.js'

/**
 * What a store remembers of a region.
 *
 *   engine, CF raft   applyKey  → ApplyState       in the same batch as the data it speaks of
 *                     regionKey → Region           in the batch of the entry that changed it
 *   raft log          LogStateKind.Region → LogRecord    life and death of the peer
 */
export interface ApplyState {
  readonly index: LogIndex
  readonly term: Term
}

/**
 * `created`: there is a peer with this id (perhaps without data). `initial`: as `created`, and the region it began with
 * (bootstrap), in case the engine forgets it. `applying`: a raft snapshot is being written; what the engine has of the
 * region is not to be trusted unless it is at `index`. `tombstone`: this peer id, and all before it, are gone for ever.
 */
export type LogRecord =
  | { readonly state: 'created'; readonly peerId: PeerId }
  | { readonly state: 'initial'; readonly peerId: PeerId; readonly region: Region }
  | { readonly state: 'applying'; readonly peerId: PeerId; readonly index: LogIndex; readonly term: Term
      readonly region: Region }
  | { readonly state: 'tombstone'; readonly peerId: PeerId }

/** What `RaftSnapshot.data` says: the region at the snapshot's index and the stream that brings the rows. */
export interface SnapshotData {
  readonly snapshotId: string
  readonly region: Region
}

const recordVersion = 1
const roles: readonly PeerRole[] = ['voter', 'learner', 'incomingVoter', 'demotingVoter']
const states = ['created', 'initial', 'applying', 'tombstone'] as const

const applyKind = 1
const regionKind = 2
const keyPrefix = 1

function raftKey(id: RegionId, kind: number): Uint8Array {
  const key = new Uint8Array(10)
  const view = new DataView(key.buffer)
  key[0] = keyPrefix
  view.setUint32(1, Math.floor(id / 2 ** 32))
  view.setUint32(5, id % 2 ** 32)
  key[9] = kind
  return key
}

export const applyKey = (id: RegionId): Uint8Array => raftKey(id, applyKind)
export const regionKey = (id: RegionId): Uint8Array => raftKey(id, regionKind)
/** All keys of CF raft that belong to regions. */
export const raftKeysStart: Uint8Array = Uint8Array.of(keyPrefix)
export const raftKeysEnd: Uint8Array = Uint8Array.of(keyPrefix + 1)

/** @throws StorageError('corruption') */
export function decodeRaftKey(key: Uint8Array): { readonly regionId: RegionId; readonly isApply: boolean } {
  if (key.length !== 10 || key[0] !== keyPrefix) throw new StorageError('corruption', 'foreign key in CF raft')
  const view = new DataView(key.buffer, key.byteOffset, key.length)
  return { regionId: regionId(view.getUint32(1) * 2 ** 32 + view.getUint32(5)), isApply: key[9] === applyKind }
}

export function encodeApplyState(state: ApplyState): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setFloat64(0, state.index, true)
  view.setFloat64(8, state.term, true)
  return bytes
}

/** @throws StorageError('corruption') */
export function decodeApplyState(bytes: Uint8Array): ApplyState {
  if (bytes.length !== 16) throw new StorageError('corruption', 'apply state of a wrong length')
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return { index: logIndex(view.getFloat64(0, true)), term: term(view.getFloat64(8, true)) }
}

export function writeRegion(writer: ByteWriter, region: Region): ByteWriter {
  writer.uint(region.regionId).bytes(region.startKey).bytes(region.endKey)
    .uint(region.epoch.confVer).uint(region.epoch.version).uint(region.peers.length)
  for (const peer of region.peers) writePeer(writer, peer)
  return writer
}

export function writePeer(writer: ByteWriter, peer: PeerRef): ByteWriter {
  return writer.uint(peer.peerId).uint(peer.storeId).u8(roles.indexOf(peer.role))
}

export function readPeer(reader: ByteReader): PeerRef {
  const id = peerId(reader.uint())
  const store = storeId(reader.uint())
  const role = roles[reader.u8()]
  if (role === undefined) throw new StorageError('corruption', 'peer of an unknown role')
  return { peerId: id, storeId: store, role }
}

export function readRegion(reader: ByteReader): Region {
  const id = regionId(reader.uint())
  const startKey = reader.bytes()
  const endKey = reader.bytes()
  const epoch = { confVer: reader.uint(), version: reader.uint() }
  const peers = Array.from({ length: reader.uint() }, () => readPeer(reader))
  return { regionId: id, startKey, endKey, epoch, peers }
}

export function encodeRegion(region: Region): Uint8Array {
  return writeRegion(new ByteWriter().u8(recordVersion), region).finish()
}

/** @throws StorageError('corruption') */
export function decodeRegion(bytes: Uint8Array): Region {
  const reader = new ByteReader(bytes, 'region record')
  reader.version(recordVersion)
  const region = readRegion(reader)
  reader.end()
  return region
}

export function encodeLogRecord(record: LogRecord): Uint8Array {
  const writer = new ByteWriter().u8(recordVersion).u8(states.indexOf(record.state)).uint(record.peerId)
  if (record.state === 'applying') writer.uint(record.index).uint(record.term)
  if (record.state === 'initial' || record.state === 'applying') writeRegion(writer, record.region)
  return writer.finish()
}

/** @returns undefined when there is no record @throws StorageError('corruption') */
export function decodeLogRecord(bytes: Uint8Array | undefined): LogRecord | undefined {
  if (bytes === undefined || bytes.length === 0) return undefined
  const reader = new ByteReader(bytes, 'peer record of the raft log')
  reader.version(recordVersion)
  const state = states[reader.u8()]
  const id = peerId(reader.uint())
  const record = readRest(reader, state, id)
  reader.end()
  return record
}

function readRest(reader: ByteReader, state: (typeof states)[number] | undefined, id: PeerId): LogRecord {
  switch (state) {
    case 'created':
    case 'tombstone': return { state, peerId: id }
    case 'initial': return { state, peerId: id, region: readRegion(reader) }
    case 'applying':
      return { state, peerId: id, index: logIndex(reader.uint()), term: term(reader.uint()), region: readRegion(reader) }
    default: throw new StorageError('corruption', 'peer record of an unknown state')
  }
}

export function encodeSnapshotData(data: SnapshotData): Uint8Array {
  return writeRegion(new ByteWriter().u8(recordVersion).text(data.snapshotId), data.region).finish()
}

/** @returns undefined when the bytes, which another store sent, are malformed */
export function decodeSnapshotData(bytes: Uint8Array): SnapshotData | undefined {
  try {
    const reader = new ByteReader(bytes, 'snapshot data')
    reader.version(recordVersion)
    const snapshotId = reader.text()
    const region = readRegion(reader)
    reader.end()
    return { snapshotId, region }
  } catch (error) {
    assert(error instanceof StorageError, 'decoding fails in one way only')
    return undefined
  }
}
