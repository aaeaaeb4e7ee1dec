import type { ConfState, Entry, Message, MessageType, RaftSnapshot } from '../raft/types.js'
import { BodyDamage } from './body-reader.js'
import type { RaftEnvelope } from './messages.js'

/**
 * What a raft message from outside may be. Raft believes its own messages and ends the process over nonsense, so whatever
 * it could not have written itself is a damaged frame, before anybody steps it.
 */

/** As raft/types numbers them; the checks below are the only reader. */
const types = {
  Propose: 2, Append: 3, AppendResponse: 4, Vote: 5, VoteResponse: 6, Snapshot: 7, Heartbeat: 8, HeartbeatResponse: 9,
  TimeoutNow: 14, PreVote: 17, PreVoteResponse: 18,
} as const satisfies Partial<Record<keyof typeof MessageType, number>>
type WireType = (typeof types)[keyof typeof types]

const between: readonly WireType[] = [
  types.Append, types.AppendResponse, types.Vote, types.VoteResponse, types.Heartbeat, types.HeartbeatResponse, types.TimeoutNow,
  types.PreVote, types.PreVoteResponse,
]
/**
 * By whom a Raft frame is received. Stores get raft snapshots behind their rows (SnapshotBegin), never in a Raft frame, and
 * do not forward proposals; members of PD do both.
 */
export const raftTypesOf: Readonly<Record<'store' | 'pd', ReadonlySet<number>>> = {
  store: new Set<number>(between), pd: new Set<number>([...between, types.Propose, types.Snapshot]),
}
const travelling: ReadonlySet<number> = new Set<number>(Object.values(types))

/** Terms and indexes leave room to count on: the next ones are below 2^53 as well. */
const numberMax = 2 ** 52
/** Peer ids; the two highest numbers are names inside a node (raft/message.ts). */
const peerIdMax = Number.MAX_SAFE_INTEGER - 2
const contextBytesMax = 1_024
/** Engine keys of the longest key, generously. */
const boundaryBytesMax = 16 << 10
const membersMax = 1_024

function must(isGood: boolean, path: string): void { if (!isGood) throw new BodyDamage(path) }

/** Before the record is taken apart. */
export function checkMessageType(type: number): void { must(travelling.has(type), 'envelope.type') }

/** @throws BodyDamage */
export function checkEnvelope({ from, to, message, startKey, endKey, isTombstone }: RaftEnvelope): void {
  must(startKey.length <= boundaryBytesMax && endKey.length <= boundaryBytesMax, 'envelope.keys')
  must(from.peerId <= peerIdMax && to.peerId <= peerIdMax, 'envelope.peer')
  // A tombstone carries the message that it answers.
  if (!isTombstone) must(message.from === from.peerId && message.to === to.peerId, 'envelope.from')
  checkMessage(message)
}

function checkMessage(message: Message): void {
  const { type, term, logTerm, index, commit, rejectHint, entries, snapshot, context } = message
  must(message.from > 0 && message.from <= peerIdMax && message.to > 0 && message.to <= peerIdMax, 'message.from')
  must(term <= numberMax && logTerm <= numberMax && message.vote <= peerIdMax, 'message.term')
  must(index <= numberMax && commit <= numberMax && rejectHint <= numberMax, 'message.index')
  must(context.length <= contextBytesMax, 'message.context')
  must((snapshot !== undefined) === (type === types.Snapshot), 'message.snapshot')
  // Only a proposal on its way to the leader has no term.
  must((term === 0) === (type === types.Propose), 'message.term')
  if (entries.length > 0) checkEntries(message, entries)
  if (snapshot !== undefined) checkSnapshot(snapshot, term)
}

function checkEntries({ type, term, logTerm, index }: Message, entries: readonly Entry[]): void {
  if (type === types.Propose) return
  must(type === types.Append, 'message.entries')
  let before: number = logTerm
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    if (entry.index !== index + 1 + i || entry.index > numberMax) throw new BodyDamage(`entries[${i}].index`)
    if (entry.term < before || entry.term > term || entry.term === 0) throw new BodyDamage(`entries[${i}].term`)
    before = entry.term
  }
}

function checkSnapshot({ meta }: RaftSnapshot, term: number): void {
  must(meta.index > 0 && meta.index <= numberMax && meta.term > 0 && meta.term <= term, 'snapshot.meta')
  checkConfState(meta.confState)
}

/** Voters, and learners beside them; who will learn is among those who leave. (etcd confchange, checkInvariants) */
function checkConfState({ voters, learners, votersOutgoing, learnersNext, autoLeave }: ConfState): void {
  const all = voters.length + learners.length + votersOutgoing.length + learnersNext.length
  must(voters.length > 0 && all <= membersMax, 'snapshot.voters')
  const voting = new Set([...voters, ...votersOutgoing])
  const outgoing = new Set(votersOutgoing)
  for (const id of [...voters, ...learners, ...votersOutgoing]) must(id > 0 && id <= peerIdMax, 'snapshot.voters')
  must(new Set(voters).size === voters.length && outgoing.size === votersOutgoing.length, 'snapshot.voters')
  must(new Set(learners).size === learners.length && learners.every(id => !voting.has(id)), 'snapshot.learners')
  must(learnersNext.every(id => outgoing.has(id) && !voters.includes(id)), 'snapshot.learnersNext')
  must(!autoLeave || votersOutgoing.length > 0, 'snapshot.autoLeave')
}
