import { assert } from '../common/assert.js'
import type { LogIndex, Term } from '../common/ids.js'
import type { RaftConfig } from './config.js'
import { encodeConfChange, encodeConfChangeV2, toConfChangeV2 } from './confchange/conf-change.js'
import type { ConfChange, ConfChangeV2 } from './confchange/conf-change.js'
import {
  entriesBytes, entry, isLocalMessage, isLocalTarget, isResponse, message, noEntries,
} from './message.js'
import { asIndex, asTerm } from './numbers.js'
import { implausibility } from './outside.js'
import { applyConfChange, confChangeRefusal } from './raft-confchange.js'
import type { ConfChangeRefusal } from './raft-confchange.js'
import { Raft } from './raft.js'
import type { ReadState, StepResult } from './raft.js'
import {
  needsStorageAppend, storageAppend, storageAppendResponse, storageApply, storageApplyResponse,
} from './storage-messages.js'
import type { StorageWrite } from './storage-messages.js'
import { statusOf } from './status.js'
import type { Status } from './status.js'
import { EntryType, MessageType } from './types.js'
import type { ConfState, Entry, HardState, Message, NodeId, RaftSnapshot, Role } from './types.js'

export type { RaftConfig, ReadOnlyOption } from './config.js'
export type {
  ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
} from './confchange/conf-change.js'
export type { ConfChangeRefusal } from './raft-confchange.js'
export type { ReadState, StepResult } from './raft.js'
export type { ProgressStatus, Status } from './status.js'
export type { RaftTrace } from './trace.js'

/**
 * `dropped`: not in the log; no leader, a leader transfer, or the uncommitted limit. `refused`: a
 * configuration change that is not acceptable now; an empty entry is in the log instead.
 */
export type ProposeResult = 'ok' | 'dropped' | 'refused'

export interface SoftState {
  readonly lead: NodeId
  readonly role: Role
}

/**
 * Work to do, in this order: make `entries`, `hardState` and `snapshot` durable, then send `messages`, apply
 * `snapshot` and `committedEntries`, then advance(). With asyncStorageWrites: send `messages` at once;
 * StorageAppend and StorageApply among them repeat the rest of the fields, and carry what to deliver when
 * they are done. StorageAppends are done in order; so are StorageApplys.
 */
export interface Ready {
  /** When leader or role changed. Not to be stored. */
  readonly softState: SoftState | undefined
  /** When it changed. */
  readonly hardState: HardState | undefined
  /** Reads that may be served once `index` is applied. */
  readonly readStates: readonly ReadState[]
  readonly entries: readonly Entry[]
  readonly snapshot: RaftSnapshot | undefined
  readonly committedEntries: readonly Entry[]
  readonly messages: readonly Message[]
  /** A mere move of the commit index need not be synced. */
  readonly mustSync: boolean
}

const noReadStates: readonly ReadState[] = []
const noMessages: readonly Message[] = []

/**
 * The door of raft/: one node of one group. Not re-entrant; nothing in it waits, throws on bad input or reads
 * a clock.
 */
export class RawNode {
  readonly #raft: Raft
  readonly #asyncWrites: boolean
  #previousLead: NodeId
  #previousRole: Role
  #previousHard: HardState
  /** Sync mode: what advance() tells the node. */
  #stepsOnAdvance: Message[] = []

  constructor(config: RaftConfig) {
    this.#raft = new Raft(config)
    this.#asyncWrites = config.asyncStorageWrites
    this.#previousLead = this.#raft.lead
    this.#previousRole = this.#raft.role
    this.#previousHard = this.#hardState()
  }

  get id(): NodeId { return this.#raft.id }
  get role(): Role { return this.#raft.role }
  get term(): Term { return asTerm(this.#raft.term) }
  get vote(): NodeId { return this.#raft.vote }
  get lead(): NodeId { return this.#raft.lead }
  get committed(): LogIndex { return asIndex(this.#raft.log.committed) }
  get applied(): LogIndex { return asIndex(this.#raft.log.applied) }
  get firstIndex(): LogIndex { return asIndex(this.#raft.log.firstIndex()) }
  get lastIndex(): LogIndex { return asIndex(this.#raft.log.lastIndex()) }
  get leadTransferee(): NodeId { return this.#raft.leadTransferee }
  /**
   * Somebody was told to campaign in this term. It may do so much later, and the vote guard lets it pass: no lease is
   * safe for the rest of the term. With leaseTicks the leader goes on to the next one when the transfer has failed.
   */
  get timeoutNowSent(): boolean { return this.#raft.timeoutNowSent }
  get electionElapsed(): number { return this.#raft.electionElapsed }
  /** Changes are refused until everything up to here is applied. */
  get pendingConfIndex(): LogIndex { return asIndex(this.#raft.pendingConfIndex) }
  get uncommittedBytes(): number { return this.#raft.uncommittedBytes }
  /**
   * Ticks for which this node neither votes nor campaigns; always 0 without leaseTicks or guardVotesAtStart.
   */
  get guardTicksLeft(): number { return this.#raft.guardTicksLeft }
  /** Index of a snapshot that was accepted and is not durable yet; 0: there is none. */
  get pendingSnapshotIndex(): LogIndex { return asIndex(this.#raft.log.unstable.snapshot?.meta.index ?? 0) }
  /** While it is held, no committed entries are handed out: whoever applies has enough to do. */
  holdApply(isHeld: boolean): void { this.#raft.log.isApplyHeld = isHeld }
  get promotable(): boolean { return this.#raft.promotable() }
  get confState(): ConfState { return this.#raft.tracker.confState() }

  /** Term of the entry at `index`, as far as the log reaches. */
  termAt(index: LogIndex): Term | undefined {
    const term = this.#raft.log.term(index)
    return typeof term === 'number' ? asTerm(term) : undefined
  }

  tick(): void { this.#raft.tick() }

  /** Starts an election now, unless leader, not promotable, behind on a configuration change, or guarded. */
  campaign(): void {
    this.#raft.step(message({ type: MessageType.Hup }))
  }

  /** @param data kept, not copied */
  propose(data: Uint8Array): ProposeResult {
    return this.#propose(EntryType.Normal, data)
  }

  proposeConfChange(change: ConfChange | ConfChangeV2): ProposeResult {
    return 'changes' in change
      ? this.#propose(EntryType.ConfChangeV2, encodeConfChangeV2(change))
      : this.#propose(EntryType.ConfChange, encodeConfChange(change))
  }

  #propose(type: EntryType, data: Uint8Array): ProposeResult {
    const entries = [entry({ term: 0, index: 0 }, type, data)]
    const result = this.#raft.step(message({ type: MessageType.Propose, from: this.#raft.id, entries }))
    return result === 'notFound' || result === 'localMessage' ? 'dropped' : result
  }

  /** Why proposeConfChange would be refused now on a leader; undefined when it would not. */
  confChangeRefusal(change: ConfChange | ConfChangeV2): ConfChangeRefusal | undefined {
    return confChangeRefusal(this.#raft, toConfChangeV2(change))
  }

  /** To be called for each ConfChange entry that is applied, unless the application voids it. */
  applyConfChange(change: ConfChange | ConfChangeV2): ConfState {
    return applyConfChange(this.#raft, toConfChangeV2(change))
  }

  /**
   * Takes a message that came from another process, which may say anything.
   * @returns why it cannot be from a node that keeps the rules: then it was not stepped
   */
  receive(asked: Message): string | undefined {
    const mistake = implausibility(this.#raft, asked)
    if (mistake === undefined) this.step(asked)
    return mistake
  }

  /** Takes a message from local storage, or from a node that is trusted not to break the rules. */
  step(asked: Message): StepResult {
    if (!isLocalTarget(asked.from)) {
      if (isLocalMessage(asked.type)) return 'localMessage'
      if (isResponse(asked.type) && this.#raft.tracker.get(asked.from) === undefined) return 'notFound'
    }
    return this.#raft.step(asked)
  }

  /** The answer comes as a ReadState with this context. `dropped`: no leader known, or too many wait. */
  readIndex(context: Uint8Array): StepResult {
    return this.#raft.step(message({ type: MessageType.ReadIndex, context }))
  }

  /** Ends when the other leads, or after electionTicks. Proposals are dropped meanwhile. */
  transferLeader(to: NodeId): StepResult {
    return this.#raft.step(message({ type: MessageType.TransferLeader, from: to }))
  }

  /** A follower stays in its term but no longer thinks that it has a leader. */
  forgetLeader(): void {
    this.#raft.step(message({ type: MessageType.ForgetLeader }))
  }

  /** Messages to `id` may have been lost. */
  reportUnreachable(id: NodeId): void {
    this.#raft.step(message({ type: MessageType.Unreachable, from: id }))
  }

  /** The snapshot that was sent to `id` has arrived (ok) or has failed. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    this.#raft.step(message({ type: MessageType.SnapshotStatus, from: id, reject: !ok }))
  }

  /**
   * For tests, and for who wants this node to campaign sooner: total ticks, valid until the role or term
   * changes.
   */
  setRandomizedElectionTicks(ticks: number): void {
    this.#raft.randomizedElectionTicks = ticks
  }

  /** For who knows that this leader has nothing to say. Below electionTicks, and below leaseTicks to keep voters guarded. */
  setHeartbeatTicks(ticks: number): void {
    this.#raft.heartbeatTicks = ticks
  }

  status(): Status { return statusOf(this.#raft) }

  /** Cheap; allocates nothing. */
  hasReady(): boolean {
    const raft = this.#raft
    return raft.messages.length > 0 || raft.messagesAfterAppend.length > 0
      || raft.log.unstable.hasNext || raft.log.hasNextCommitted(!this.#asyncWrites)
      || raft.role !== this.#previousRole || raft.lead !== this.#previousLead || this.#hardStateChanged()
      || raft.log.unstable.nextSnapshot() !== undefined || raft.readStates.length > 0
  }

  #hardState(): HardState {
    const raft = this.#raft
    return { term: asTerm(raft.term), vote: raft.vote, commit: asIndex(raft.log.committed) }
  }

  #hardStateChanged(): boolean {
    const previous = this.#previousHard
    return this.#raft.term !== previous.term || this.#raft.vote !== previous.vote
      || this.#raft.log.committed !== previous.commit
  }

  /** Takes everything there is to do. In sync mode advance() must follow before the next one. */
  ready(): Ready {
    const raft = this.#raft
    assert(this.#stepsOnAdvance.length === 0, 'ready() twice without advance()')
    const entries = raft.log.unstable.hasNext ? raft.log.unstable.nextEntries() : noEntries
    const snapshot = raft.log.unstable.nextSnapshot()
    const committedEntries = raft.log.nextCommitted(!this.#asyncWrites)
    const hardState = this.#hardStateChanged() ? this.#hardState() : undefined
    const softChanged = raft.role !== this.#previousRole || raft.lead !== this.#previousLead
    const mustSync = entries.length > 0 || raft.term !== this.#previousHard.term
      || raft.vote !== this.#previousHard.vote
    const write = { entries, snapshot, hardState }
    const ready: Ready = {
      softState: softChanged ? { lead: raft.lead, role: raft.role } : undefined,
      hardState,
      readStates: raft.readStates.length > 0 ? raft.readStates : noReadStates,
      entries,
      snapshot,
      committedEntries,
      messages: this.#asyncWrites
        ? this.#messagesWithStorageWork(write, committedEntries)
        : this.#messagesForOthers(),
      mustSync,
    }
    if (!this.#asyncWrites) this.#planAdvance(write, committedEntries)
    this.#accept(ready)
    return ready
  }

  #messagesWithStorageWork(write: StorageWrite, committedEntries: readonly Entry[]): readonly Message[] {
    const { messages } = this.#raft
    if (needsStorageAppend(this.#raft, write)) messages.push(storageAppend(this.#raft, write))
    if (committedEntries.length > 0) messages.push(storageApply(this.#raft, committedEntries))
    return messages.length > 0 ? messages : noMessages
  }

  #messagesForOthers(): readonly Message[] {
    const { messages, messagesAfterAppend, id } = this.#raft
    for (const after of messagesAfterAppend) if (after.to !== id) messages.push(after)
    return messages.length > 0 ? messages : noMessages
  }

  #planAdvance(write: StorageWrite, committedEntries: readonly Entry[]): void {
    const raft = this.#raft
    const steps = this.#stepsOnAdvance
    for (const after of raft.messagesAfterAppend) if (after.to === raft.id) steps.push(after)
    const response = storageAppendResponse(raft, write.snapshot)
    if (response !== undefined) steps.push(response)
    if (committedEntries.length > 0) steps.push(storageApplyResponse(raft, committedEntries))
  }

  #accept(ready: Ready): void {
    const raft = this.#raft
    this.#previousLead = raft.lead
    this.#previousRole = raft.role
    if (ready.hardState !== undefined) this.#previousHard = ready.hardState
    if (ready.readStates.length > 0) raft.readStates = []
    if (raft.messages.length > 0) raft.messages = []
    if (raft.messagesAfterAppend.length > 0) raft.messagesAfterAppend = []
    raft.log.unstable.acceptInProgress()
    const { committedEntries } = ready
    if (committedEntries.length > 0) {
      const last = committedEntries[committedEntries.length - 1]!.index
      raft.log.acceptApplying(last, entriesBytes(committedEntries), !this.#asyncWrites)
    }
  }

  /** Sync mode: everything in the last Ready is done. */
  advance(): void {
    assert(!this.#asyncWrites, 'advance() has no place with asyncStorageWrites')
    const steps = this.#stepsOnAdvance
    this.#stepsOnAdvance = []
    for (const done of steps) this.#raft.step(done)
  }
}
