import { concatBytes } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { peerId, regionId } from '../common/ids.js'
import type { Epoch, PeerRef } from '../common/region.js'
import { BatchOp } from '../engine/api.js'
import type { SplitIds } from '../wire/messages.js'
import { ByteReader, ByteWriter } from './bytes-codec.js'
import { readPeer, writePeer } from './state-records.js'

/**
 * Payload of a normal raft entry, little-endian:
 *   u8 kind, u8 flags, u16 requests, u32 confVer, u32 version, f64 wall ms of the proposer, then by kind:
 *   1 data: packed batch records (engine/api.ts). With `conditional` each request is opened by a Section record.
 *   2 split: new regions from left to right, each with the key that ends it; the old region keeps the rightmost part
 * Empty data is raft's own.
 */
export const EntryKind = { Data: 1, Split: 2 } as const
export const EntryFlag = { Conditional: 1 } as const
export const entryHeaderBytes = 20

export interface EntryHeader {
  readonly kind: number
  readonly flags: number
  readonly requests: number
  readonly epoch: Epoch
  readonly wallMs: number
}

/** Writes the header over the first bytes of `target`. */
export function writeEntryHeader(target: Uint8Array, header: EntryHeader): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length)
  view.setUint8(0, header.kind)
  view.setUint8(1, header.flags)
  view.setUint16(2, header.requests, true)
  view.setUint32(4, header.epoch.confVer, true)
  view.setUint32(8, header.epoch.version, true)
  view.setFloat64(12, header.wallMs, true)
}

/** @throws StorageError('corruption') */
export function readEntryHeader(data: Uint8Array): EntryHeader {
  if (data.length < entryHeaderBytes) throw new StorageError('corruption', 'raft entry shorter than its header')
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  return {
    kind: view.getUint8(0), flags: view.getUint8(1), requests: view.getUint16(2, true),
    epoch: { confVer: view.getUint32(4, true), version: view.getUint32(8, true) }, wallMs: view.getFloat64(12, true),
  }
}

/**
 * What the operations of one request ask of the entry they are in. Conditional ones are resolved by the state machine, which
 * would have to remember each range that was deleted before them: the two never share an entry.
 */
export type RequestKind = 'plain' | 'ranges' | 'conditional'

/** Walks the records without making objects. */
export function requestKind(records: Uint8Array): RequestKind {
  let at = 0
  let kind: RequestKind = 'plain'
  const view = new DataView(records.buffer, records.byteOffset, records.length)
  while (at < records.length) {
    if (records[at]! > BatchOp.DeleteRange) return 'conditional'
    if (records[at] === BatchOp.DeleteRange) kind = 'ranges'
    at += 12 + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)
  }
  return kind
}

export interface SplitPart {
  readonly ids: SplitIds
  /** Exclusive end of the new region. */
  readonly endKey: Uint8Array
}

export function encodeSplit(parts: readonly SplitPart[], epoch: Epoch, wallMs: number): Uint8Array {
  const writer = new ByteWriter().uint(parts.length)
  for (const part of parts) {
    writer.uint(part.ids.regionId).bytes(part.endKey).uint(part.ids.peerIds.length)
    for (const id of part.ids.peerIds) writer.uint(id)
  }
  const data = concatBytes(new Uint8Array(entryHeaderBytes), writer.finish())
  writeEntryHeader(data, { kind: EntryKind.Split, flags: 0, requests: 1, epoch, wallMs })
  return data
}

/** @throws StorageError('corruption') */
export function decodeSplit(data: Uint8Array): readonly SplitPart[] {
  const reader = new ByteReader(data.subarray(entryHeaderBytes), 'split entry')
  const parts = Array.from({ length: reader.uint() }, (): SplitPart => {
    const id = regionId(reader.uint())
    const endKey = reader.bytes()
    return { endKey, ids: { regionId: id, peerIds: Array.from({ length: reader.uint() }, () => peerId(reader.uint())) } }
  })
  reader.end()
  return parts
}

/** Context of a ConfChange entry: the peer it is about and the conf version it was proposed at. */
export function encodePeerContext(peer: PeerRef, confVer: number): Uint8Array {
  return writePeer(new ByteWriter(), peer).uint(confVer).finish()
}

/** @throws StorageError('corruption') */
export function decodePeerContext(context: Uint8Array): { readonly peer: PeerRef; readonly confVer: number } {
  const reader = new ByteReader(context, 'context of a configuration change')
  const result = { peer: readPeer(reader), confVer: reader.uint() }
  reader.end()
  return result
}
