import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import type { Env } from '../common/env.js'
import type { RegionError, ServerError } from '../common/errors.js'
import { logIndex, term } from '../common/ids.js'
import type { LogIndex, PeerId, RegionId, StoreId, Term } from '../common/ids.js'
import type { PeerRef, Region } from '../common/region.js'
import { err } from '../common/result.js'
import type { RaftLog } from '../engine/api.js'
import type { ConfChangeV2, Ready } from '../raft/raw-node.js'
import { RawNode } from '../raft/raw-node.js'
import { MessageType } from '../raft/types.js'
import type { ConfState, HardState, Message, NodeId, RaftSnapshot } from '../raft/types.js'
import type { RaftEnvelope } from '../wire/messages.js'
import type { StoreConfig } from './api.js'
import type { ReplicaState } from './applier.js'
import type { ApplyWork } from './apply-pump.js'
import { storeLimits } from './config.js'
import { PeerStorage } from './peer-storage.js'
import { encodeData, PendingProposals, takeEntry } from './proposals.js'
import type { AdminDone } from './proposals.js'
import { Lease, ReadRounds } from './reads.js'
import type { QueuedWrite, WriteLedger } from './write-ledger.js'

export interface PeerStart {
  readonly regionId: RegionId
  readonly self: PeerRef
  /** undefined: nothing is known of the region yet, a raft snapshot will tell. */
  readonly state: ReplicaState | undefined
  readonly hardState: HardState
  /** A lease may have been granted in an earlier life: no vote, and no campaign, until it is over. */
  readonly guardVotes: boolean
}

export interface PeerContext {
  readonly env: Env
  readonly log: RaftLog
  readonly config: StoreConfig
  readonly plants: ReadonlySet<string>
  readonly ledger: WriteLedger
  readonly makeSnapshot: (peer: Peer, requestIndex: LogIndex, to: NodeId) => RaftSnapshot | 'temporarilyUnavailable'
}

export function confStateOf(region: Region | undefined): ConfState {
  const ids = (...roles: readonly PeerRef['role'][]): PeerId[] =>
    (region?.peers ?? []).filter(peer => roles.includes(peer.role)).map(peer => peer.peerId)
  return { voters: ids('voter'), learners: ids('learner'), votersOutgoing: [], learnersNext: [], autoLeave: false }
}

/** One replica: its raft node, and what waits for it. It decides nothing about disks and sockets: store.ts does. */
export class Peer {
  readonly regionId: RegionId
  readonly peerId: PeerId
  readonly node: RawNode
  readonly pending: PendingProposals
  readonly rounds = new ReadRounds()
  readonly lease = new Lease()
  state: ReplicaState | undefined
  /** Committed entries that raft handed out and the applier has not got yet. */
  readonly applying: ApplyWork[] = []
  /** The term in which this leader was found to know its region: an entry of its own is visible. */
  knownTerm: Term | undefined
  queue: QueuedWrite[] = []
  /** A raft snapshot is being written: log writes that raft asked for since wait in `held`, in order. */
  isInstalling = false
  readonly held: { readonly asked: Message; readonly mustSync: boolean }[] = []
  /** PD was told of replicas that are not caught up; it waits to hear that they are. */
  hasPendingReplicas = false
  isRemoved = false
  /** Ticks until a campaign that does not wait for the election timeout; undefined: no hurry. */
  hurryTicks: number | undefined
  hurryTries = 0
  #hurrySince = 0
  /** The commit index moved and the log does not say so yet. */
  commitUnsaved = false
  /** Appends of this peer whose sync is under way. */
  syncsPending = 0
  /** A split is proposed here up to this index: until it is applied, followers may lead a part of our range without us. */
  splitIndex = logIndex(0)
  lastHeardMs: number
  lastReadMs = -Infinity
  readonly heardFrom = new Map<PeerId, number>()
  /** Who wrote to us, for answers before the region is known. */
  readonly strangers = new Map<PeerId, PeerRef>()
  #seenIndex = logIndex(0)
  #movedAtMs = -Infinity
  readonly #context: PeerContext
  readonly #bornAs: PeerRef

  constructor(context: PeerContext, start: PeerStart) {
    const { config, env } = context
    this.#context = context
    this.pending = new PendingProposals(context.ledger)
    this.regionId = start.regionId
    this.peerId = start.self.peerId
    this.#bornAs = start.self
    this.state = start.state
    this.lastHeardMs = env.clock.monotonicMs()
    const confState = confStateOf(start.state?.region)
    const storage = new PeerStorage(start.regionId, context.log, { hardState: start.hardState, confState },
      (requestIndex, to) => context.makeSnapshot(this, requestIndex, to))
    this.node = new RawNode({
      id: start.self.peerId, electionTicks: config.electionTicksMin, heartbeatTicks: config.heartbeatTicks, storage,
      applied: start.state?.appliedIndex ?? logIndex(0), preVote: true, checkQuorum: true, readOnly: 'safe',
      maxSizePerMessage: config.raftMessageBytesMax, maxCommittedSizePerReady: storeLimits.applyingBytesMax,
      maxUncommittedEntriesSize: config.uncommittedBytesMax, maxInflightMessages: config.raftInflightMessagesMax,
      maxInflightBytes: Math.max(config.raftMessageBytesMax, storeLimits.inflightBytesMax), asyncStorageWrites: true,
      disableConfChangeValidation: false, stepDownOnRemoval: true,
      random: env.random, forwardProposals: false, leaseTicks: config.leaseTicks, guardVotesAtStart: start.guardVotes,
      plants: context.plants,
    })
  }

  get region(): Region | undefined { return this.state?.region }
  /** As the region has it now: a learner may have become a voter. */
  get self(): PeerRef { return this.region?.peers.find(peer => peer.peerId === this.peerId) ?? this.#bornAs }
  get isLeader(): boolean { return this.node.role === 'leader' }
  get isSoleVoter(): boolean {
    const voters = this.region?.peers.filter(peer => peer.role === 'voter')
    return voters?.length === 1 && voters[0]?.peerId === this.peerId
  }
  get hasWork(): boolean {
    if (this.isRemoved) return false
    return this.queue.length > 0 || this.rounds.hasQueued || this.node.hasReady() || (this.held.length > 0 && !this.isInstalling)
  }
  get hardState(): HardState { return { term: this.node.term, vote: this.node.vote, commit: this.node.committed } }

  peerRef(id: PeerId): PeerRef | undefined {
    return this.region?.peers.find(peer => peer.peerId === id) ?? this.strangers.get(id)
  }

  get leaderRef(): PeerRef | undefined { return this.node.lead === 0 ? undefined : this.peerRef(this.node.lead) }

  notLeader(): RegionError {
    const leader = this.isLeader ? undefined : this.leaderRef
    return { kind: 'NotLeader', regionId: this.regionId, leader }
  }

  envelope(message: Message, to: PeerRef): RaftEnvelope {
    const region = this.region
    return {
      regionId: this.regionId, epoch: region?.epoch ?? { confVer: 0, version: 0 }, from: this.self, to, message,
      startKey: region?.startKey ?? emptyBytes, endKey: region?.endKey ?? emptyBytes, isTombstone: false,
    }
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  tick(): void {
    this.node.tick()
    if (!this.isLeader) return this.#hurry()
    const { env, config } = this.#context
    const now = env.clock.monotonicMs()
    const isRead = now - this.lastReadMs < storeLimits.quietMs
    if (this.node.lastIndex !== this.#seenIndex) {
      this.#seenIndex = this.node.lastIndex
      this.#movedAtMs = now
    }
    // A quiet region still keeps its voters from listening to others, with as few words as that takes.
    const isQuiet = !isRead && now - this.#movedAtMs > storeLimits.quietMs && this.node.committed === this.node.lastIndex
    this.node.setHeartbeatTicks(isQuiet ? Math.max(config.heartbeatTicks, config.leaseTicks - 2) : config.heartbeatTicks)
    if (!isRead || !this.rounds.isEmpty || this.node.leadTransferee !== 0) return
    if (!this.lease.isValid(this.node.term, now, config.leaseMs - 2 * config.tickMs)) this.askQuorum()
  }

  /** @param ticks dice for the first try, counted from the end of the vote guard */
  hurry(ticks: number): void {
    if (this.isLeader) return
    this.hurryTicks = ticks
    this.hurryTries = 10
    this.#hurrySince = 0
  }

  /** Has a leader spoken since the tick before? Its word starts the vote guard anew. To be asked right after a tick. */
  get #hasHeardLeader(): boolean { return this.node.lead !== 0 && this.node.guardTicksLeft >= this.#context.config.leaseTicks - 1 }

  #hurry(): void {
    if (this.hurryTicks === undefined) return
    // What a dead leader has sent may still be read for a moment; who speaks after that is alive, and may be late later.
    const settled = ++this.#hurrySince > storeLimits.lastWordsTicks && this.#hasHeardLeader
    if (settled || this.hurryTries === 0 || !this.node.promotable) {
      this.hurryTicks = undefined
      return
    }
    if (this.node.guardTicksLeft > 0) return
    if (this.hurryTicks-- > 0) return
    this.hurryTries--
    this.hurryTicks = 1 + this.#context.env.random.below(3)
    this.node.campaign()
  }

  // --- writes -------------------------------------------------------------------------------------------------------

  proposeQueued(answers: (() => void)[]): void {
    const { ledger } = this.#context
    while (this.queue.length > 0) {
      const region = this.region
      if (!this.isLeader || region === undefined || this.isRemoved) return this.#refuseQueue(answers)
      const { writes: taken, isConditional } = takeEntry(this.queue)
      const writes = taken.filter(write => {
        if (write.version === region.epoch.version) return true
        answers.push(() => ledger.end(write, err({ kind: 'EpochNotMatch', currentRegions: [region] })))
        return false
      })
      if (writes.length === 0) continue
      const data = encodeData({ writes, isConditional }, region.epoch, this.#context.env.clock.wallMs())
      for (const write of writes) write.records = emptyBytes
      if (!this.#propose(() => this.node.propose(data), writes, undefined)) {
        const error = this.dropReason()
        for (const write of writes) answers.push(() => ledger.end(write, err(error)))
      }
    }
  }

  proposeSplit(data: Uint8Array, done: AdminDone): boolean {
    if (!this.#propose(() => this.node.propose(data), [], done)) return false
    this.splitIndex = this.node.lastIndex
    return true
  }

  proposeConfChange(change: ConfChangeV2): boolean {
    if (this.node.confChangeRefusal(change) !== undefined) return false
    const single = change.changes[0]
    assert(single !== undefined && change.changes.length === 1, 'one change at a time')
    return this.#propose(() => this.node.proposeConfChange({ ...single, context: change.context }), [], undefined)
  }

  dropReason(): ServerError {
    if (!this.isLeader) return this.notLeader()
    const reason = this.node.leadTransferee !== 0 ? 'the leader is being transferred' : 'too many bytes are not committed yet'
    return { kind: 'ServerIsBusy', reason, backoffMs: 20 }
  }

  #propose(
    run: () => 'ok' | 'dropped' | 'refused', writes: readonly QueuedWrite[], admin: AdminDone | undefined,
  ): boolean {
    const before = this.node.lastIndex
    if (run() !== 'ok' || this.node.lastIndex !== before + 1) return false
    const proposedAtMs = this.now()
    this.pending.add({ index: this.node.lastIndex, term: this.node.term, proposedAtMs, writes, admin })
    return true
  }

  #refuseQueue(answers: (() => void)[]): void {
    const error = this.notLeader()
    for (const write of this.queue) answers.push(() => this.#context.ledger.end(write, err(error)))
    this.queue = []
  }

  // --- reads --------------------------------------------------------------------------------------------------------

  /** The lease's clock. */
  now(): number {
    const { clock } = this.#context.env
    return this.#context.plants.has('P15') ? clock.wallMs() : clock.monotonicMs()
  }

  /** May this leader read its engine right now? */
  canReadLocally(): boolean {
    const { plants, config } = this.#context
    if (!this.isLeader || this.state === undefined) return false
    if (this.state.visibleTerm !== this.node.term && !plants.has('P11')) return false
    if (this.state.visibleIndex < this.splitIndex) return false
    if ((this.node.leadTransferee !== 0 || this.node.timeoutNowSent) && !plants.has('P13')) return false
    return this.isSoleVoter || this.lease.isValid(this.node.term, this.now(), config.leaseMs)
  }

  askQuorum(): void {
    const context = this.rounds.begin(this.now())
    this.node.readIndex(context)
  }

  onReadStates(ready: Ready): void {
    for (const one of ready.readStates) {
      const sentAt = this.rounds.confirmed(one)
      if (sentAt === undefined) continue
      this.lease.renew(this.node.term, this.#context.plants.has('P12') ? this.now() : sentAt)
    }
  }

  /** A committed entry of our own term: a quorum has answered what was sent when it was proposed. */
  onCommitted(index: LogIndex, entryTerm: Term): void {
    if (!this.isLeader || entryTerm !== this.node.term) return
    const sentAt = this.pending.proposedAt(index, entryTerm)
    if (sentAt !== undefined) this.lease.renew(entryTerm, this.#context.plants.has('P12') ? this.now() : sentAt)
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  /** @returns why the message cannot be from a peer that keeps the rules: then it had no effect */
  step(envelope: RaftEnvelope): string | undefined {
    const now = this.#context.env.clock.monotonicMs()
    const { from, message } = envelope
    const mistake = this.node.receive(this.#isAmnesic(message) ? { ...message, commit: logIndex(0) } : message)
    if (mistake !== undefined) return mistake
    if (this.region?.peers.some(peer => peer.peerId === from.peerId) === true) this.heardFrom.set(from.peerId, now)
    else this.#meet(from)
    if (message.type === MessageType.Append || message.type === MessageType.Heartbeat) this.lastHeardMs = now
    return undefined
  }

  /** Answers to a stranger go where it wrote from. Only the last few are known: whoever still asks, asks again. */
  #meet(from: PeerRef): void {
    this.strangers.delete(from.peerId)
    this.strangers.set(from.peerId, from)
    if (this.strangers.size <= storeLimits.strangersMax) return
    for (const id of this.strangers.keys()) {
      if (id !== this.node.lead) this.strangers.delete(id)
      if (this.strangers.size <= storeLimits.strangersMax) return
    }
  }

  /** The region has other members now: nothing is kept of those who are none. */
  onMembers(): void {
    const isMember = (id: PeerId): boolean => this.region?.peers.some(peer => peer.peerId === id) === true
    for (const id of this.heardFrom.keys()) if (!isMember(id)) this.heardFrom.delete(id)
    for (const id of this.strangers.keys()) if (isMember(id)) this.strangers.delete(id)
  }

  /**
   * A raft snapshot that a crash cut short took the log with it (recovery.ts). Until the leader finds out, its heartbeats
   * speak of entries that we acknowledged before; another snapshot brings what they stood for.
   */
  #isAmnesic(message: Message): boolean {
    return this.state === undefined && message.type === MessageType.Heartbeat && message.commit > this.node.lastIndex
  }

  /** Followers and learners that lag behind, for PD. */
  pendingPeers(): PeerRef[] {
    const status = this.node.status()
    return (this.region?.peers ?? []).filter(peer => {
      const progress = status.progress.get(peer.peerId)
      if (progress === undefined || peer.peerId === this.peerId) return false
      const needsSnapshot = progress.state === 'snapshot' || progress.match + 1 < this.node.firstIndex
      return needsSnapshot || progress.match + storeLimits.pendingLagEntries < status.commit
    })
  }

  downPeers(nowMs: number): { peer: PeerRef; downSeconds: number }[] {
    return (this.region?.peers ?? []).filter(peer => peer.peerId !== this.peerId).flatMap(peer => {
      const heard = this.heardFrom.get(peer.peerId)
      if (heard === undefined) this.heardFrom.set(peer.peerId, nowMs)
      const silentMs = nowMs - (heard ?? nowMs)
      return silentMs > storeLimits.peerDownMs ? [{ peer, downSeconds: Math.floor(silentMs / 1_000) }] : []
    })
  }

  /** Was it heard within silentMsMax? Who leads answers. */
  answers(id: PeerId, nowMs: number, silentMsMax: number): boolean {
    return id === this.peerId || nowMs - (this.heardFrom.get(id) ?? -Infinity) <= silentMsMax
  }

  isOn(storeId: StoreId, id: PeerId): boolean { return this.peerRef(id)?.storeId === storeId }
}

export const freshHardState: HardState = { term: term(0), vote: 0 as PeerId, commit: logIndex(0) }
