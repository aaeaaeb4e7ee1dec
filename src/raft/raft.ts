import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import type { LogIndex } from '../common/ids.js'
import { checkConfig } from './config.js'
import type { RaftConfig } from './config.js'
import { restoreMembership, sameConfState } from './confchange/restore.js'
import {
  entriesBytes, entry, noNode, payloadBytes, promisesDurability, stamped,
} from './message.js'
import type { MessageFields } from './message.js'
import { switchTo } from './raft-confchange.js'
import { candidateHandlers, campaignByTimeout, handleVoteRequest, isGuardedAgainst } from './raft-election.js'
import { followerHandlers } from './raft-follower.js'
import { leaderHandlers, tickLeader } from './raft-leader.js'
import { RaftLog } from './raft-log.js'
import { appendEntries, appliedSnapshot, appliedTo } from './raft-replication.js'
import { ReadOnly } from './read-only.js'
import type { RaftTrace } from './trace.js'
import { ProgressTracker } from './tracker/tracker.js'
import { EntryType, MessageType } from './types.js'
import type { HardState, Message, NodeId, Role } from './types.js'

/** `dropped`: no effect, and the caller may try again later or elsewhere. */
export type StepResult =
  | 'ok'
  | 'dropped'
  /** A configuration change was not acceptable now; an empty entry took its place. */
  | 'refused'
  /** A response from a node that is not in the configuration. */
  | 'notFound'
  /** A message that only this node may send to itself came from another one. */
  | 'localMessage'

export type Handler = (raft: Raft, asked: Message) => StepResult
/** Role × message type. A missing cell means: the role ignores that message. */
export type HandlerTable = Readonly<Partial<Record<MessageType, Handler>>>

/** A read that was confirmed: serve it once `index` is applied. */
export interface ReadState {
  readonly index: LogIndex
  readonly context: Uint8Array
}

const handlers: Readonly<Record<Role, HandlerTable>> = {
  follower: followerHandlers,
  preCandidate: candidateHandlers,
  candidate: candidateHandlers,
  leader: leaderHandlers,
}

/**
 * One node of one raft group: the state that the role files (raft-election, raft-follower, raft-leader,
 * raft-replication, raft-confchange) work on. Not for use outside of raft/: RawNode is the door. Fields are
 * written by those files only.
 */
export class Raft {
  readonly id: NodeId
  readonly config: RaftConfig
  readonly log: RaftLog
  readonly tracker: ProgressTracker
  readonly readOnly = new ReadOnly()
  readonly trace: ((event: RaftTrace) => void) | undefined
  /** Refuse votes by the counted guard instead of etcd's rule. */
  readonly strictGuard: boolean
  readonly leaseTicks: number
  readonly maxUncommittedBytes: number

  term = 0
  vote: NodeId = noNode
  lead: NodeId = noNode
  role: Role = 'follower'
  isLearner = false

  /** May leave at once. */
  messages: Message[] = []
  /** May leave (or, to ourselves, be stepped) when everything handed out before is durable. */
  messagesAfterAppend: Message[] = []
  readStates: ReadState[] = []
  /** Reads that came before the first commit of our term. */
  pendingReads: Message[] = []

  leadTransferee: NodeId = noNode
  /** In this term; it may still be under way long after the transfer was given up. Then the term is renewed. */
  timeoutNowSent = false
  /** No configuration change may be proposed before everything up to here is applied. */
  pendingConfIndex = 0
  uncommittedBytes = 0

  electionElapsed = 0
  heartbeatElapsed = 0
  /** As configured, unless the owner of a quiet leader asks for fewer. */
  heartbeatTicks: number
  randomizedElectionTicks = 0
  /** Strict guard only: ticks for which (pre-)votes are still refused. */
  guardTicksLeft = 0

  constructor(config: RaftConfig) {
    checkConfig(config)
    this.id = config.id
    this.config = config
    this.trace = config.trace
    this.heartbeatTicks = config.heartbeatTicks
    this.leaseTicks = config.leaseTicks ?? config.electionTicks
    this.strictGuard = config.leaseTicks !== undefined || config.guardVotesAtStart === true
    this.maxUncommittedBytes = config.maxUncommittedEntriesSize || Infinity
    this.log = new RaftLog(config.storage, config.maxCommittedSizePerReady || config.maxSizePerMessage || 1)
    this.tracker = new ProgressTracker(config, config.plants)

    const { hardState, confState } = config.storage.initialState()
    const restored = restoreMembership(confState, this.log.lastIndex(), this.tracker.limits)
    assert(restored.ok, 'the stored configuration is not a valid one')
    const state = switchTo(this, restored.value)
    assert(sameConfState(state, confState), 'the stored configuration was not restored as it is')
    this.#load(hardState)
    if (config.applied > 0) this.log.appliedTo(config.applied, 0)
    this.becomeFollower(this.term, noNode)
    if (config.guardVotesAtStart === true) this.guardTicksLeft = this.leaseTicks
  }

  #load(hardState: HardState): void {
    if (hardState.term === 0 && hardState.vote === 0 && hardState.commit === 0) return
    assert(hardState.commit >= this.log.committed && hardState.commit <= this.log.lastIndex(),
      () => `stored commit ${hardState.commit} is not in [${this.log.committed}, ${this.log.lastIndex()}]`)
    this.log.committed = hardState.commit
    this.term = hardState.term
    this.vote = hardState.vote
  }

  /**
   * Sends with our id, and our term unless the message brings its own (votes) or has none (forwarded
   * requests).
   */
  send(fields: MessageFields): void {
    const { type } = fields
    let term = fields.term ?? 0
    const isVote = type === MessageType.Vote || type === MessageType.VoteResponse
      || type === MessageType.PreVote || type === MessageType.PreVoteResponse
    assert(isVote || term === 0, 'only votes bring their own term')
    if (!isVote && type !== MessageType.Propose && type !== MessageType.ReadIndex) term = this.term
    const sent = stamped(fields, fields.from || this.id, term)
    if (promisesDurability(type) && !this.#speaksTooEarly(sent)) {
      this.messagesAfterAppend.push(sent)
    } else {
      assert(sent.to !== this.id, 'a node does not send this to itself')
      this.messages.push(sent)
    }
  }

  #speaksTooEarly({ type, to }: Message): boolean {
    const { plants } = this.config
    if (plants === undefined || to === this.id) return false
    return (type === MessageType.VoteResponse && plants.has('P1')) || (type === MessageType.AppendResponse && plants.has('P2'))
  }

  tick(): void {
    if (this.guardTicksLeft > 0) this.guardTicksLeft--
    if (this.role === 'leader') {
      tickLeader(this)
      return
    }
    this.electionElapsed++
    if (this.electionElapsed >= this.randomizedElectionTicks) campaignByTimeout(this)
  }

  /** Takes any message. Its term first: an old one is ignored, a new one makes us a follower. */
  step(asked: Message): StepResult {
    if (asked.term !== 0 && asked.term < this.term) return this.#stepOldTerm(asked)
    const isVote = asked.type === MessageType.Vote || asked.type === MessageType.PreVote
    if (isVote && isGuardedAgainst(this, asked)) {
      const { from, term } = asked
      this.trace?.({ kind: 'voteGuarded', from, term, ticksLeft: this.guardTicksLeft })
      return 'ok'
    }
    if (asked.term > this.term) this.#acceptNewTerm(asked)
    switch (asked.type) {
      case MessageType.Vote:
      case MessageType.PreVote:
        return handleVoteRequest(this, asked)
      case MessageType.StorageAppendResponse:
        if (asked.index !== 0) this.log.unstable.stableTo(asked.index, asked.logTerm)
        if (asked.snapshot !== undefined) appliedSnapshot(this, asked.snapshot)
        return 'ok'
      case MessageType.StorageApplyResponse:
        this.#applied(asked)
        return 'ok'
      default: {
        const handler = handlers[this.role][asked.type]
        return handler === undefined ? 'ok' : handler(this, asked)
      }
    }
  }

  #acceptNewTerm(asked: Message): void {
    const { type } = asked
    // A pre-vote changes no term; a granted one carries the term we asked for, which is not ours yet.
    if (type === MessageType.PreVote || (type === MessageType.PreVoteResponse && !asked.reject)) return
    const fromLeader = type === MessageType.Append || type === MessageType.Heartbeat
      || type === MessageType.Snapshot
    this.becomeFollower(asked.term, fromLeader ? asked.from : noNode)
  }

  #stepOldTerm(asked: Message): StepResult {
    const { type } = asked
    if (type === MessageType.Append || type === MessageType.Heartbeat) {
      // A leader of an old term, while votes alone may not raise terms: our answer carries the newer term,
      // makes it step down, and so frees a node that came back from a partition with a higher term.
      const { checkQuorum, preVote } = this.config
      if (checkQuorum || preVote) this.send({ type: MessageType.AppendResponse, to: asked.from })
    } else if (type === MessageType.PreVote) {
      // Silence could dead-lock a group in which only some nodes know pre-votes: say no, with our term.
      this.send({ type: MessageType.PreVoteResponse, to: asked.from, term: this.term, reject: true })
    } else if (type === MessageType.StorageAppendResponse) {
      // The entries may have been replaced since, by a write that is still under way: not stable. But a
      // snapshot is committed state, whatever the term.
      if (asked.snapshot !== undefined) appliedSnapshot(this, asked.snapshot)
    } else {
      this.trace?.({ kind: 'ignored', type, from: asked.from, term: asked.term })
    }
    return 'ok'
  }

  #applied(done: Message): void {
    const { entries } = done
    if (entries.length === 0) return
    appliedTo(this, entries[entries.length - 1]!.index, entriesBytes(entries))
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - payloadBytes(entries))
  }

  becomeFollower(term: number, lead: NodeId): void {
    this.#reset(term)
    this.lead = lead
    this.#become('follower')
  }

  becomeCandidate(): void {
    assert(this.role !== 'leader', 'a leader does not become candidate')
    this.#reset(this.term + 1)
    this.vote = this.id
    this.#become('candidate')
  }

  /** Neither term nor vote change. */
  becomePreCandidate(): void {
    assert(this.role !== 'leader', 'a leader does not become pre-candidate')
    this.tracker.resetVotes()
    this.lead = noNode
    this.#become('preCandidate')
  }

  becomeLeader(): void {
    assert(this.role !== 'follower', 'a follower does not become leader')
    this.#reset(this.term)
    this.lead = this.id
    this.#become('leader')
    const own = this.tracker.get(this.id)
    assert(own !== undefined, 'a leader is a member')
    own.becomeReplicate()
    own.recentActive = true
    // There may be an unapplied change anywhere in the tail; waiting for all of it is cheaper than looking.
    this.pendingConfIndex = this.log.lastIndex()
    // Entries of earlier terms are committed only through one of ours (Ongaro §3.6.2).
    const accepted = appendEntries(this, [entry({ term: 0, index: 0 }, EntryType.Normal, emptyBytes)])
    assert(accepted, 'the empty entry of a new leader is never refused')
  }

  #become(role: Role): void {
    this.role = role
    this.trace?.({ kind: 'role', role, term: this.term, lead: this.lead })
  }

  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term
      this.vote = noNode
    }
    this.lead = noNode
    this.electionElapsed = 0
    this.heartbeatElapsed = 0
    const { electionTicks, random } = this.config
    this.randomizedElectionTicks = electionTicks + random.below(electionTicks)
    this.leadTransferee = noNode
    this.timeoutNowSent = false
    this.pendingConfIndex = 0
    this.uncommittedBytes = 0
    this.readOnly.reset()
    if (this.pendingReads.length > 0) this.pendingReads = []
    this.tracker.resetVotes()
    const last = this.log.lastIndex()
    for (const progress of this.tracker.members) progress.reset(progress.id === this.id ? last : 0, last + 1)
  }

  /** Member, voter, and not in the middle of taking a snapshot. */
  promotable(): boolean {
    const own = this.tracker.get(this.id)
    return own !== undefined && !own.isLearner && !this.log.hasPendingSnapshot
  }
}
