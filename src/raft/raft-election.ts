import { campaignTransferContext, isTransferCampaign, noNode } from './message.js'
import { emptyBytes } from '../common/bytes.js'
import { assert } from '../common/assert.js'
import { EntryType, MessageType } from './types.js'
import type { Message } from './types.js'
import type { HandlerTable, Raft, StepResult } from './raft.js'
import type { CampaignKind, CampaignRefusal } from './trace.js'
import { followLeader, handleAppend, handleHeartbeat, handleSnapshot } from './raft-append.js'
import { broadcastAppend } from './raft-replication.js'

/**
 * Does a leader's lease forbid us to vote? etcd's rule: checkQuorum is on and we heard our leader within
 * electionTicks. Strict rule: a countdown that started when we last heard any leader (or when we started),
 * and that neither our own campaign nor forgetting the leader ends.
 */
export function guardsVotes(raft: Raft): boolean {
  if (raft.role === 'leader' || !raft.strictGuard) {
    return raft.config.checkQuorum && raft.lead !== noNode && raft.electionElapsed < raft.config.electionTicks
  }
  return raft.guardTicksLeft > 0
}

/**
 * Is this (pre-)vote to be met with silence? Also one of a term that is ours already: a message of the new term may have
 * overtaken the candidate's, and the leader of the old one counts on us all the same. Two may pass: whom the leader itself
 * has chosen, for then it has given its lease up; and whom we have voted for before, for that says nothing new.
 */
export function isGuardedAgainst(raft: Raft, asked: Message): boolean {
  if (isTransferCampaign(asked)) return false
  if (asked.term > raft.term) return guardsVotes(raft)
  return raft.guardTicksLeft > 0 && !(asked.type === MessageType.Vote && raft.vote === asked.from)
}

/** The election timeout is over. */
export function campaignByTimeout(raft: Raft): void {
  if (!raft.promotable()) return
  raft.electionElapsed = 0
  hup(raft, raft.config.preVote ? 'preElection' : 'election')
}

/** Starts an election where that is allowed. */
export function hup(raft: Raft, kind: CampaignKind): void {
  const refusal = campaignRefusal(raft, kind)
  if (refusal !== undefined) {
    raft.trace?.({ kind: 'campaignRefused', reason: refusal })
    return
  }
  campaign(raft, kind)
}

function campaignRefusal(raft: Raft, kind: CampaignKind): CampaignRefusal | undefined {
  if (raft.role === 'leader') return 'alreadyLeader'
  if (!raft.promotable()) return 'notPromotable'
  if (hasUnappliedConfChange(raft)) return 'unappliedConfChange'
  // Our vote for ourselves would break a lease like any other vote. A sole voter has granted none.
  if (raft.guardTicksLeft > 0 && kind !== 'transfer' && !raft.tracker.isSingleton()) return 'guarded'
  return undefined
}

/**
 * A leader that has told another one to campaign, and was not followed, cannot know when that happens: the message may be
 * late by hours, and what follows from it passes every vote guard. In the next term it is void, so the leader takes that for
 * itself. The guards let it pass: it asks its own voters.
 */
export function renewTerm(raft: Raft): void {
  assert(raft.role === 'leader', 'only a leader has a term to renew')
  if (!raft.promotable() || hasUnappliedConfChange(raft)) return
  raft.becomeFollower(raft.term, noNode)
  campaign(raft, 'transfer')
}

/** A node that lags behind a committed change could win with a majority that is none any more. */
function hasUnappliedConfChange(raft: Raft): boolean {
  const pageBytes = Math.max(1 << 20, raft.config.maxSizePerMessage)
  for (let low = raft.log.applied + 1; low <= raft.log.committed;) {
    const page = raft.log.slice(low, raft.log.committed + 1, pageBytes)
    assert(page !== 'compacted' && page.length > 0, 'unapplied entries are gone')
    for (const one of page) if (one.type !== EntryType.Normal) return true
    low += page.length
  }
  return false
}

function campaign(raft: Raft, kind: CampaignKind): void {
  const pre = kind === 'preElection'
  if (pre) raft.becomePreCandidate()
  else raft.becomeCandidate()
  raft.trace?.({ kind: 'campaign', campaign: kind, term: raft.term })
  // A pre-vote asks for the term we would have.
  const term = pre ? raft.term + 1 : raft.term
  const context = kind === 'transfer' ? campaignTransferContext : emptyBytes
  const index = raft.log.lastIndex()
  const logTerm = raft.log.lastTerm()
  for (const id of raft.tracker.voterIds()) {
    if (id === raft.id) {
      // Our own vote counts when it is durable, so it travels like an answer.
      raft.send({ type: pre ? MessageType.PreVoteResponse : MessageType.VoteResponse, to: id, term })
    } else {
      raft.send({ type: pre ? MessageType.PreVote : MessageType.Vote, to: id, term, index, logTerm, context })
    }
  }
}

/**
 * Any role. Learners vote too: this node may be a voter by a configuration that it has not seen yet, and
 * without its vote the group could be stuck for ever.
 */
export function handleVoteRequest(raft: Raft, asked: Message): StepResult {
  const pre = asked.type === MessageType.PreVote
  const type = pre ? MessageType.PreVoteResponse : MessageType.VoteResponse
  const free = raft.vote === asked.from
    || (raft.vote === noNode && raft.lead === noNode)
    || (pre && asked.term > raft.term)
  const isUpToDate = raft.log.isUpToDate(asked.index, asked.logTerm) || raft.config.plants?.has('P3') === true
  const granted = free && isUpToDate
  raft.trace?.({ kind: 'vote', pre, to: asked.from, term: asked.term, granted })
  if (!granted) {
    raft.send({ type, to: asked.from, term: raft.term, reject: true })
    return 'ok'
  }
  // A grant names the term that was asked for: a pre-candidate with an old term would ignore ours.
  raft.send({ type, to: asked.from, term: asked.term })
  if (!pre) {
    raft.electionElapsed = 0
    raft.vote = asked.from
  }
  return 'ok'
}

function onVoteResponse(raft: Raft, answer: Message): StepResult {
  // A candidate may still receive answers to its pre-vote, and the other way round.
  const mine = raft.role === 'preCandidate' ? MessageType.PreVoteResponse : MessageType.VoteResponse
  if (answer.type !== mine) return 'ok'
  raft.tracker.recordVote(answer.from, !answer.reject)
  const result = raft.tracker.voteResult()
  if (result === 'lost') {
    // Not the answer's term: a pre-vote's is one ahead.
    raft.becomeFollower(raft.term, noNode)
  } else if (result === 'won' && raft.role === 'preCandidate') {
    campaign(raft, 'election')
  } else if (result === 'won') {
    raft.becomeLeader()
    broadcastAppend(raft)
  }
  return 'ok'
}

/** Somebody else has won this term. */
function concede(raft: Raft, asked: Message): void {
  raft.becomeFollower(asked.term, asked.from)
  followLeader(raft, asked)
}

/**
 * Candidate and pre-candidate. TimeoutNow, TransferLeader, ReadIndex and ForgetLeader mean nothing to them.
 */
export const candidateHandlers: HandlerTable = {
  [MessageType.Hup]: raft => {
    hup(raft, raft.config.preVote ? 'preElection' : 'election')
    return 'ok'
  },
  [MessageType.Propose]: raft => {
    raft.trace?.({ kind: 'proposalDropped', reason: 'noLeader' })
    return 'dropped'
  },
  [MessageType.ReadIndex]: () => 'dropped',
  [MessageType.Append]: (raft, asked) => {
    concede(raft, asked)
    return handleAppend(raft, asked)
  },
  [MessageType.Heartbeat]: (raft, asked) => {
    concede(raft, asked)
    return handleHeartbeat(raft, asked)
  },
  [MessageType.Snapshot]: (raft, asked) => {
    concede(raft, asked)
    return handleSnapshot(raft, asked)
  },
  [MessageType.VoteResponse]: onVoteResponse,
  [MessageType.PreVoteResponse]: onVoteResponse,
}
