import { restoreMembership, sameConfState } from './confchange/restore.js'
import { isLocalTarget } from './message.js'
import type { Raft } from './raft.js'
import { MessageType } from './types.js'
import type { Entry, Message, RaftSnapshot } from './types.js'

/** Terms and indexes leave room to count on. */
const numberMax = 2 ** 52
/** Terms rise by one an election. Nobody takes us so far at once that there is no room left. */
const termJumpMax = 2 ** 32

const travelling: ReadonlySet<MessageType> = new Set<MessageType>([
  MessageType.Append, MessageType.AppendResponse, MessageType.Vote, MessageType.VoteResponse, MessageType.Snapshot,
  MessageType.Heartbeat, MessageType.HeartbeatResponse, MessageType.TimeoutNow, MessageType.PreVote, MessageType.PreVoteResponse,
])
/** Requests that a follower passes on, and what comes back. */
const forwarded: ReadonlySet<MessageType> = new Set<MessageType>([
  MessageType.Propose, MessageType.ReadIndex, MessageType.ReadIndexResponse, MessageType.TransferLeader,
])

/**
 * Raft believes its own messages, and asserts what they cannot but be. What comes from another process may be anything: this
 * says, with what the node knows, why a message cannot be from a node that keeps the rules. Such a one is not stepped.
 */
export function implausibility(raft: Raft, asked: Message): string | undefined {
  const { type, from, to } = asked
  const isForwarded = forwarded.has(type) && raft.config.forwardProposals !== false
  if (!travelling.has(type) && !isForwarded) return 'of a type that stays inside of a node'
  if (to !== raft.id || from === raft.id || from <= 0 || isLocalTarget(from)) return 'not from another node to this one'
  if (!areNumbers(asked)) return 'with numbers that no node counts to'
  const isTermless = type === MessageType.Propose || type === MessageType.ReadIndex
  if ((asked.term === 0) !== isTermless) return 'with a term where there is none, or none where there is one'
  if (asked.term > raft.term + termJumpMax) return 'of a term that is out of reach'
  return mistakeOf(raft, asked)
}

function areNumbers({ from, term, logTerm, index, commit, vote, rejectHint }: Message): boolean {
  return isCount(from) && isCount(term) && isCount(logTerm) && isCount(index) && isCount(commit)
    && isCount(vote) && isCount(rejectHint)
}

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= numberMax

function mistakeOf(raft: Raft, asked: Message): string | undefined {
  const isNow = asked.term === raft.term
  switch (asked.type) {
    case MessageType.Append:
      return leaderMistake(raft, asked) ?? entriesMistake(asked)
    case MessageType.Heartbeat:
      // Not an old one: that is answered by our term, whatever it says.
      if (asked.term >= raft.term && asked.commit > raft.log.lastIndex()) return 'that commits what is not in our log: was it lost?'
      return leaderMistake(raft, asked)
    case MessageType.Snapshot:
      return leaderMistake(raft, asked) ?? snapshotMistake(asked.snapshot, asked.term)
    case MessageType.TimeoutNow:
      return raft.lead !== 0 && isNow && raft.lead !== asked.from ? 'from somebody who does not lead' : undefined
    case MessageType.AppendResponse:
      if (!isNow || raft.role !== 'leader' || asked.reject || asked.index <= raft.log.lastIndex()) return undefined
      return 'that acknowledges what was never sent'
    default:
      return undefined
  }
}

/** There is one leader a term. */
function leaderMistake(raft: Raft, { term, from }: Message): string | undefined {
  return term === raft.term && raft.lead !== 0 && raft.lead !== from ? 'from a second leader of one term' : undefined
}

function entriesMistake({ term, logTerm, index, entries }: Message): string | undefined {
  let before: number = logTerm
  for (let i = 0; i < entries.length; i++) {
    const entry: Entry = entries[i]!
    if (entry.index !== index + 1 + i || entry.index > numberMax) return 'with a hole between its entries'
    if (!Number.isInteger(entry.term) || entry.term < Math.max(before, 1) || entry.term > term) return 'with terms out of order'
    if (entry.type < 0 || entry.type > 2) return 'with an entry of an unknown type'
    before = entry.term
  }
  return logTerm > term ? 'with a term behind its own' : undefined
}

function snapshotMistake(snapshot: RaftSnapshot | undefined, term: number): string | undefined {
  if (snapshot === undefined) return 'without the snapshot'
  const { index, term: snapshotTerm, confState } = snapshot.meta
  if (!isCount(index) || !isCount(snapshotTerm) || index === 0 || snapshotTerm === 0 || snapshotTerm > term) return 'of an impossible place'
  const restored = restoreMembership(confState, index, { maxInflightMessages: 1, maxInflightBytes: 0 })
  if (!restored.ok || confState.voters.length === 0) return 'with members that cannot be'
  const { incoming, outgoing, learners, learnersNext, autoLeave } = restored.value.config
  const state = {
    voters: incoming.ids, learners: learners.ids, votersOutgoing: outgoing.ids, learnersNext: learnersNext.ids, autoLeave,
  }
  return sameConfState(state, confState) ? undefined : 'with members that cannot be'
}
