import type { LogIndex, PeerId, RegionId, StoreId, Term } from '../common/ids.js'
import type { ConfState, Entry, Message, RaftSnapshot } from '../raft/types.js'
import { checkEnd, peerRole, readCount } from './blocks.js'
import { BodyDamage } from './body-reader.js'
import type { BodyReader } from './body-reader.js'
import { ListTooLong } from './frame-writer.js'
import type { FrameWriter } from './frame-writer.js'
import { peerRoleNumbers } from './generated/layouts.js'
import type { RaftEnvelope } from './messages.js'
import { checkEnvelope, checkMessageType } from './raft-rules.js'

/**
 * Raft envelopes: one fixed record per message with its entries behind it, no table and no vtable per entry.
 * Layout: docs/PROTOCOL.md "Blocks". `responses` of a message never travel; decoded messages have none.
 */
// hot path: bench/micro/wire.ts

export const envelopeHeaderBytes = 160
export const entryHeaderBytes = 24
const snapshotHeaderBytes = 40
const flagReject = 1
const flagTombstone = 2
const flagSnapshot = 4
/** Highest number of raft/types EntryType. */
const entryTypeMax = 2
const noEntries: readonly Entry[] = []
const noResponses: readonly Message[] = []
/** Envelopes in one frame. */
const envelopesMax = 1 << 16
const entriesMax = 1 << 20

/** Bytes an envelope takes: for splitting frames and counting queues. */
export function envelopeBytes(envelope: RaftEnvelope): number {
  const { message } = envelope
  let bytes = envelopeHeaderBytes + envelope.startKey.length + envelope.endKey.length + message.context.length
  for (let i = 0; i < message.entries.length; i++) bytes += entryHeaderBytes + message.entries[i]!.data.length
  if (message.snapshot !== undefined) bytes += snapshotBytes(message.snapshot)
  return bytes
}

export function writeEnvelopes(w: FrameWriter, slot: number, envelopes: readonly RaftEnvelope[]): void {
  if (envelopes.length > envelopesMax) throw new ListTooLong('envelopes.items', envelopes.length, envelopesMax)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), envelopes.length)
  for (let i = 0; i < envelopes.length; i++) appendEnvelope(w, envelopes[i]!)
  w.endBytes(block)
}

export function readEnvelopes(r: BodyReader, vector: number): RaftEnvelope[] {
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const envelopes: RaftEnvelope[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, envelopeHeaderBytes, 'envelopes'); i < count; i++) {
    const next = envelopeEnd(r, at, end)
    envelopes.push(envelopeAt(r, at, next))
    at = next
  }
  checkEnd(at, end, 'envelopes')
  return envelopes
}

export function writeEnvelope(w: FrameWriter, slot: number, envelope: RaftEnvelope): void {
  const block = w.beginBytes(slot)
  appendEnvelope(w, envelope)
  w.endBytes(block)
}

export function readEnvelope(r: BodyReader, vector: number): RaftEnvelope {
  const end = vector + 4 + r.u32(vector)
  const next = envelopeEnd(r, vector + 4, end)
  checkEnd(next, end, 'envelope')
  return envelopeAt(r, vector + 4, next)
}

function appendEnvelope(w: FrameWriter, envelope: RaftEnvelope): void {
  const { message, from, to, epoch } = envelope
  const at = w.reserve(envelopeHeaderBytes)
  const { snapshot } = message
  w.setU8(at + 4, message.type)
  w.setU8(at + 5, (message.reject ? flagReject : 0) | (envelope.isTombstone ? flagTombstone : 0) |
    (snapshot === undefined ? 0 : flagSnapshot))
  w.setU8(at + 6, peerRoleNumbers[from.role])
  w.setU8(at + 7, peerRoleNumbers[to.role])
  w.setU32(at + 8, message.entries.length)
  w.setU32(at + 12, envelope.startKey.length)
  w.setU32(at + 16, envelope.endKey.length)
  w.setU32(at + 20, message.context.length)
  w.setU64(at + 24, envelope.regionId)
  w.setU64(at + 32, epoch.confVer)
  w.setU64(at + 40, epoch.version)
  w.setU64(at + 48, from.peerId)
  w.setU64(at + 56, from.storeId)
  w.setU64(at + 64, to.peerId)
  w.setU64(at + 72, to.storeId)
  w.setU64(at + 80, message.from)
  w.setU64(at + 88, message.to)
  w.setU64(at + 96, message.term)
  w.setU64(at + 104, message.logTerm)
  w.setU64(at + 112, message.index)
  w.setU64(at + 120, message.commit)
  w.setU64(at + 128, message.vote)
  w.setU64(at + 136, message.rejectHint)
  w.setU64(at + 144, 0)
  w.setU64(at + 152, 0)
  w.append(envelope.startKey)
  w.append(envelope.endKey)
  w.append(message.context)
  appendEntries(w, message.entries)
  if (snapshot !== undefined) appendSnapshot(w, snapshot)
  w.setU32(at, w.length - at)
}

function appendEntries(w: FrameWriter, entries: readonly Entry[]): void {
  if (entries.length > entriesMax) throw new ListTooLong('entries.items', entries.length, entriesMax)
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    const at = w.reserve(entryHeaderBytes)
    w.setU64(at, entry.term)
    w.setU64(at + 8, entry.index)
    w.setU32(at + 16, entry.data.length)
    w.setU32(at + 20, entry.type)
    w.append(entry.data)
  }
}

function envelopeEnd(r: BodyReader, at: number, end: number): number {
  if (at + envelopeHeaderBytes > end) throw new BodyDamage('envelope')
  const bytes = r.u32(at)
  if (bytes < envelopeHeaderBytes || bytes > end - at) throw new BodyDamage('envelope.bytes')
  return at + bytes
}

function envelopeAt(r: BodyReader, at: number, end: number): RaftEnvelope {
  const startBytes = r.u32(at + 12)
  const endBytes = r.u32(at + 16)
  const start = at + envelopeHeaderBytes
  if (start + startBytes + endBytes + r.u32(at + 20) > end) throw new BodyDamage('envelope.keys')
  const envelope = {
    regionId: r.u64(at + 24) as RegionId,
    epoch: { confVer: r.u64(at + 32), version: r.u64(at + 40) },
    from: { peerId: r.u64(at + 48) as PeerId, storeId: r.u64(at + 56) as StoreId, role: peerRole(r.u8(at + 6), 'envelope.from') },
    to: { peerId: r.u64(at + 64) as PeerId, storeId: r.u64(at + 72) as StoreId, role: peerRole(r.u8(at + 7), 'envelope.to') },
    message: messageAt(r, at, start + startBytes + endBytes, end),
    startKey: r.slice(start, startBytes),
    endKey: r.slice(start + startBytes, endBytes),
    isTombstone: (r.u8(at + 5) & flagTombstone) !== 0,
  }
  checkEnvelope(envelope)
  return envelope
}

/** @param place behind the keys: context, entries, snapshot */
function messageAt(r: BodyReader, at: number, place: number, end: number): Message {
  const type = r.u8(at + 4)
  const flags = r.u8(at + 5)
  checkMessageType(type)
  if (flags > (flagReject | flagTombstone | flagSnapshot)) throw new BodyDamage('envelope.flags')
  const contextBytes = r.u32(at + 20)
  const count = r.u32(at + 8)
  let next = place + contextBytes
  if (count * entryHeaderBytes > end - next) throw new BodyDamage('envelope.entries')
  const entries = count === 0 ? noEntries : new Array<Entry>(count)
  for (let i = 0; i < count; i++) next = entryAt(r, next, end, i, entries as Entry[])
  const snapshot = (flags & flagSnapshot) === 0 ? undefined : snapshotAt(r, next, end)
  checkEnd(snapshot === undefined ? next : next + snapshotBytes(snapshot), end, 'envelope')
  return {
    type: type as Message['type'],
    to: r.u64(at + 88) as PeerId,
    from: r.u64(at + 80) as PeerId,
    term: r.u64(at + 96) as Term,
    logTerm: r.u64(at + 104) as Term,
    index: r.u64(at + 112) as LogIndex,
    entries,
    commit: r.u64(at + 120) as LogIndex,
    vote: r.u64(at + 128) as PeerId,
    reject: (flags & flagReject) !== 0,
    rejectHint: r.u64(at + 136) as LogIndex,
    context: r.slice(place, contextBytes),
    snapshot,
    responses: noResponses,
  }
}

function entryAt(r: BodyReader, at: number, end: number, i: number, entries: Entry[]): number {
  if (at + entryHeaderBytes > end) throw new BodyDamage(`entries[${i}]`)
  const dataBytes = r.u32(at + 16)
  const type = r.u32(at + 20)
  const data = at + entryHeaderBytes
  if (dataBytes > end - data) throw new BodyDamage(`entries[${i}].data`)
  if (type > entryTypeMax) throw new BodyDamage(`entries[${i}].type`)
  entries[i] = {
    term: r.u64(at) as Term, index: r.u64(at + 8) as LogIndex, type: type as Entry['type'], data: r.slice(data, dataBytes),
  }
  return data + dataBytes
}

// ---- raft snapshot: meta of a MsgSnapshot

function snapshotBytes(snapshot: RaftSnapshot): number {
  const { voters, learners, votersOutgoing, learnersNext } = snapshot.meta.confState
  return snapshotHeaderBytes + snapshot.data.length +
    8 * (voters.length + learners.length + votersOutgoing.length + learnersNext.length)
}

function appendSnapshot(w: FrameWriter, snapshot: RaftSnapshot): void {
  const { meta, data } = snapshot
  const { confState } = meta
  const at = w.reserve(snapshotHeaderBytes)
  w.setU64(at, meta.index)
  w.setU64(at + 8, meta.term)
  const lists = [confState.voters, confState.learners, confState.votersOutgoing, confState.learnersNext]
  lists.forEach((list, i) => w.setU32(at + 16 + i * 4, list.length))
  w.setU32(at + 32, data.length)
  w.setU32(at + 36, confState.autoLeave ? 1 : 0)
  for (const list of lists) for (const id of list) w.setU64(w.reserve(8), id)
  w.append(data)
}

function snapshotAt(r: BodyReader, at: number, end: number): RaftSnapshot {
  if (at + snapshotHeaderBytes > end) throw new BodyDamage('snapshot')
  const counts = [r.u32(at + 16), r.u32(at + 20), r.u32(at + 24), r.u32(at + 28)] as const
  const dataBytes = r.u32(at + 32)
  const ids = counts[0] + counts[1] + counts[2] + counts[3]
  if (snapshotHeaderBytes + ids * 8 + dataBytes > end - at) throw new BodyDamage('snapshot')
  if (r.u32(at + 36) > 1) throw new BodyDamage('snapshot.autoLeave')
  let place = at + snapshotHeaderBytes
  const list = (count: number): PeerId[] => {
    const peers: PeerId[] = []
    for (let i = 0; i < count; i++, place += 8) peers.push(r.u64(place) as PeerId)
    return peers
  }
  const confState: ConfState = {
    voters: list(counts[0]), learners: list(counts[1]), votersOutgoing: list(counts[2]), learnersNext: list(counts[3]),
    autoLeave: r.u32(at + 36) === 1,
  }
  return {
    meta: { index: r.u64(at) as LogIndex, term: r.u64(at + 8) as Term, confState },
    data: r.slice(place, dataBytes),
  }
}
