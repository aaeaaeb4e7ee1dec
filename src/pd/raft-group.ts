import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import type { Env, Timer } from '../common/env.js'
import { logIndex, peerId, storeId, term } from '../common/ids.js'
import type { LogIndex, PeerId, Term } from '../common/ids.js'
import type { PeerRef } from '../common/region.js'
import { LogStateKind } from '../engine/api.js'
import type { RaftLog } from '../engine/api.js'
import { decodeConfChange } from '../raft/confchange/conf-change.js'
import type { ConfChangeSingle } from '../raft/confchange/conf-change.js'
import { localAppendThread, localApplyThread } from '../raft/message.js'
import { RawNode } from '../raft/raw-node.js'
import type { ReadState } from '../raft/raw-node.js'
import { EntryType, MessageType } from '../raft/types.js'
import type { Entry, Message, RaftSnapshot, Role } from '../raft/types.js'
import type { RaftLinks } from '../transport/api.js'
import type { RaftEnvelope } from '../wire/messages.js'
import type { PdConfig } from './config.js'
import { encodeStateRecord, pdRegionId, PdRaftStorage, writeStateAndCut } from './raft-storage.js'
import type { StateRecord } from './raft-storage.js'

/** What the group replicates. All calls come from within the group's turn. */
export interface Machine {
  apply(data: Uint8Array): void
  encode(): Uint8Array
  restore(data: Uint8Array): void
}

export interface RaftGroupDependencies {
  readonly env: Env
  readonly memberId: number
  /** Whom the group began with; who came later is in the log. */
  readonly founderIds: readonly number[]
  readonly raftLog: RaftLog
  readonly links: RaftLinks
  readonly config: PdConfig
  readonly machine: Machine
  /** Leader, term or readiness changed; the machine is up to date with it. */
  readonly onChange: () => void
  readonly onTick: () => void
  /** The lease was confirmed or proposals may have been dropped: who waits may try again. */
  readonly onLease: () => void
  readonly onFatal: (error: Error) => void
}

export interface RaftGroupStatus {
  readonly role: Role
  readonly term: Term
  readonly leader: PeerId
  readonly committed: LogIndex
  readonly applied: LogIndex
  readonly first: LogIndex
  readonly last: LogIndex
  readonly voters: readonly number[]
  readonly isJoint: boolean
}

const noEpoch = { confVer: 0, version: 0 }
const mebibyte = 1 << 20
const snapshotTicksMax = 10

export const memberRef = (id: number): PeerRef => ({ peerId: peerId(id), storeId: storeId(id), role: 'voter' })

/**
 * PD's own raft group: RawNode in async-storage mode over a RaftLog, ticks, messages to the other members,
 * log cuts, and the leader's lease. Each turn: what arrived was stepped, one batch goes to the log, the rest
 * leaves at once.
 *
 * The lease is measured from the moment before a round of ReadIndex leaves until a quorum has answered it.
 * Followers that answered refuse votes for leaseTicks - 1 full ticks at least, which is longer. While leadership
 * is handed over, TimeoutNow goes round that guard: so the lease is void from then on, until a new term.
 */
export class RaftGroup {
  readonly #deps: RaftGroupDependencies
  readonly #env: Env
  readonly #storage: PdRaftStorage
  readonly #node: RawNode
  #applied: LogIndex = logIndex(0)
  #appliedTerm: Term = term(0)
  #savedIndex: LogIndex = logIndex(0)
  #timer: Timer | undefined
  #isScheduled = false
  #isStopped = false
  #lease = { term: term(0), untilMs: Number.NEGATIVE_INFINITY }
  /** A raft snapshot is being written: the state in memory is older than the log. */
  #isRestoring = false
  /** The lease is void in this term. */
  #handedOverIn: Term | undefined
  #rounds = new Map<number, { readonly term: Term; readonly sentAtMs: number }>()
  #roundSequence = 0
  /** Links lose messages without a word: ticks until a snapshot counts as lost, by member. */
  readonly #snapshotTicks = new Map<PeerId, number>()
  #seen = { leader: peerId(0), term: term(0), isReady: false }
  /** When a leader was heard last, or this member held the lease. */
  #heardAtMs: number | undefined
  /** Ticks since the next campaign was put forward; undefined: the usual dice hold. */
  #hurriedTicks: number | undefined

  constructor(deps: RaftGroupDependencies) {
    this.#deps = deps
    this.#env = deps.env
    const { config, memberId } = deps
    this.#storage = new PdRaftStorage(deps.raftLog, deps.founderIds.map(peerId), () => this.#record())
    const record = this.#storage.loadRecord()
    if (record !== undefined) {
      deps.machine.restore(record.data)
      this.#applied = this.#savedIndex = record.index
      this.#appliedTerm = record.term
    }
    this.#node = new RawNode({
      id: peerId(memberId), electionTicks: config.electionTicks, heartbeatTicks: config.heartbeatTicks,
      storage: this.#storage, applied: this.#applied, preVote: true, checkQuorum: true, readOnly: 'safe',
      maxSizePerMessage: mebibyte, maxCommittedSizePerReady: mebibyte, maxUncommittedEntriesSize: 16 * mebibyte,
      maxInflightMessages: 256, maxInflightBytes: 0, asyncStorageWrites: true, disableConfChangeValidation: false,
      stepDownOnRemoval: true, random: this.#env.random, forwardProposals: true, leaseTicks: config.leaseTicks,
      guardVotesAtStart: true,
    })
  }

  get leaderId(): PeerId { return this.#node.lead }
  get term(): Term { return this.#node.term }
  get applied(): LogIndex { return this.#applied }
  get isLeader(): boolean { return this.#node.role === 'leader' }
  /** Leader, and everything that was ever acknowledged is applied here. */
  get isReadyLeader(): boolean { return this.isLeader && this.#appliedTerm === this.#node.term }
  /** Nobody else can lead before the lease ends. */
  get hasLease(): boolean {
    return this.isReadyLeader && this.#handedOverIn !== this.#node.term
      && (this.#isSole || (this.#lease.term === this.#node.term && this.#env.clock.monotonicMs() < this.#lease.untilMs))
  }
  /** undefined: no leader was heard since this member started. */
  get sinceHeardMs(): number | undefined {
    return this.#heardAtMs === undefined ? undefined : this.#env.clock.monotonicMs() - this.#heardAtMs
  }
  get #isSole(): boolean {
    const { voters, votersOutgoing } = this.#node.confState
    return votersOutgoing.length === 0 && voters.length === 1 && voters[0] === this.#node.id
  }

  /** Members of all kinds, also those on their way out or in. */
  get memberIds(): readonly number[] {
    const { voters, learners, votersOutgoing, learnersNext } = this.#node.confState
    return [...new Set([...voters, ...learners, ...votersOutgoing, ...learnersNext])]
  }

  /** As the leader sees it. */
  isHeard(memberId: number): boolean {
    return this.#node.status().progress.get(peerId(memberId))?.recentActive === true
  }

  /**
   * The leader takes the next step towards a group without `retired` and with all of `awaited`: out and in as learners in
   * one joint step, which leaves itself; a learner becomes a voter once it has what we have. So an empty newcomer
   * never counts, and the retired one never counts beside it.
   */
  reconcile(retired: ReadonlySet<number>, awaited: ReadonlyMap<number, number>): void {
    if (!this.isReadyLeader || this.#node.pendingConfIndex > this.#applied) return
    const { voters, learners, votersOutgoing } = this.#node.confState
    if (votersOutgoing.length > 0) return
    const present = new Set<number>([...voters, ...learners])
    const changes: ConfChangeSingle[] = []
    for (const id of present) if (retired.has(id)) changes.push({ type: 'removeNode', nodeId: peerId(id) })
    for (const id of awaited.keys()) if (!present.has(id)) changes.push({ type: 'addLearner', nodeId: peerId(id) })
    if (changes.length === 0) {
      const ready = learners.find(id => this.#hasCaughtUp(id))
      if (ready !== undefined) changes.push({ type: 'addNode', nodeId: ready })
    }
    if (changes.length === 0) return
    this.#node.proposeConfChange({ changes, transition: changes.length > 1 ? 'implicit' : 'auto', context: emptyBytes })
    this.#schedule()
  }

  #hasCaughtUp(id: PeerId): boolean {
    const progress = this.#node.status().progress.get(id)
    return progress !== undefined && progress.recentActive && progress.match >= this.#node.committed
  }

  describe(): RaftGroupStatus {
    const node = this.#node
    return {
      role: node.role, term: node.term, leader: node.lead, committed: node.committed, applied: this.#applied,
      first: node.firstIndex, last: node.lastIndex, voters: node.confState.voters, isJoint: node.confState.votersOutgoing.length > 0,
    }
  }

  start(): void {
    if (this.#isSole) this.#node.campaign()
    else this.#campaignSoon(5)
    this.#armTick()
    this.#schedule()
  }

  #armTick(): void {
    this.#timer = this.#env.setTimer(this.#deps.config.tickMs, () => {
      // The next tick is a full interval away, however late this one is: ticks are never nearer than that.
      this.#armTick()
      this.#guarded(() => {
        this.#calmDown()
        this.#node.tick()
        this.#retryPreVote()
        this.#forgetLostSnapshots()
        if (this.isLeader) this.#confirmLease()
        this.#deps.onTick()
      })
    })
  }

  /** Campaigns when the vote guard has run out, plus dice, unless a leader is heard before. */
  #campaignSoon(dice: number): void {
    const node = this.#node
    const ticks = node.electionElapsed + node.guardTicksLeft + 1 + this.#env.random.below(dice)
    node.setRandomizedElectionTicks(ticks)
    this.#hurriedTicks = 0
  }

  /**
   * A leader speaks each tick. Who hears it after having put its campaign forward has a leader, and waits as long as anybody
   * from then on: dice stay as they are until role or term changes. What was on its way when a link broke arrives
   * within the first tick and is no sign of life.
   */
  #calmDown(): void {
    if (this.#hurriedTicks === undefined) return
    const node = this.#node
    const isHeard = node.lead !== 0 && node.electionElapsed === 0
    if (node.role === 'follower' && !(isHeard && this.#hurriedTicks >= 1)) {
      this.#hurriedTicks++
      return
    }
    this.#hurriedTicks = undefined
    const { electionTicks } = this.#deps.config
    if (node.role === 'follower') node.setRandomizedElectionTicks(electionTicks + this.#env.random.below(electionTicks))
  }

  /** A pre-vote may come a tick too early for the others' guards. It costs nothing to ask again soon. */
  #retryPreVote(): void {
    if (this.#node.role !== 'preCandidate' || this.#node.electionElapsed > 0) return
    this.#node.setRandomizedElectionTicks(3 + this.#env.random.below(4))
  }

  /** A follower that got its snapshot has answered by now and this says nothing new; otherwise we send another. */
  #forgetLostSnapshots(): void {
    for (const [id, ticks] of this.#snapshotTicks) {
      if (ticks > 1) {
        this.#snapshotTicks.set(id, ticks - 1)
        continue
      }
      this.#snapshotTicks.delete(id)
      this.#node.reportSnapshot(id, false)
    }
  }

  #confirmLease(): void {
    if (this.#isSole) return
    const sequence = ++this.#roundSequence
    this.#rounds.set(sequence, { term: this.#node.term, sentAtMs: this.#env.clock.monotonicMs() })
    const context = new Uint8Array(8)
    new DataView(context.buffer).setFloat64(0, sequence, true)
    this.#node.readIndex(context)
    for (const old of this.#rounds.keys()) {
      if (this.#rounds.size <= 64) break
      this.#rounds.delete(old)
    }
  }

  #confirmed(read: ReadState): void {
    const sequence = new DataView(read.context.buffer, read.context.byteOffset).getFloat64(0, true)
    const round = this.#rounds.get(sequence)
    if (round === undefined) return
    for (const older of this.#rounds.keys()) {
      if (older > sequence) break
      this.#rounds.delete(older)
    }
    if (round.term !== this.#node.term || !this.isLeader) return
    const untilMs = round.sentAtMs + this.#deps.config.leaseMs
    this.#heardAtMs = this.#env.clock.monotonicMs()
    if (this.#lease.term !== round.term || untilMs > this.#lease.untilMs) this.#lease = { term: round.term, untilMs }
  }

  /** @returns false when it certainly goes nowhere now */
  propose(data: Uint8Array): boolean {
    if (this.#isStopped) return false
    const result = this.#node.propose(data)
    this.#schedule()
    return result === 'ok'
  }

  onMessage(envelope: RaftEnvelope): void {
    if (this.#isStopped || envelope.regionId !== pdRegionId || envelope.to.peerId !== this.#node.id) return
    if (envelope.message.from !== envelope.from.peerId) return
    this.#guarded(() => {
      this.#node.step(envelope.message)
      if (envelope.message.from === this.#node.lead) this.#heardAtMs = this.#env.clock.monotonicMs()
    })
  }

  onLinkDown(memberId: number): void {
    if (this.#isStopped) return
    this.#guarded(() => {
      this.#node.reportUnreachable(peerId(memberId))
      if (memberId === this.#node.lead) this.#campaignSoon(3)
    })
  }

  /** Hands leadership to the most advanced other member. Our lease is void from now on in this term. */
  handOver(): boolean {
    if (!this.isLeader || this.#isSole) return false
    this.#handedOverIn = this.#node.term
    const others = [...this.#node.status().progress.values()]
      .filter(one => one.id !== this.#node.id && !one.isLearner && one.recentActive)
    const heir = others.sort((left, right) => right.match - left.match || left.id - right.id)[0]
    if (heir === undefined) return false
    this.#guarded(() => { this.#node.transferLeader(heir.id) })
    return true
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isStopped) return
    this.#isScheduled = true
    this.#env.defer(() => {
      this.#isScheduled = false
      this.#guarded(() => { this.#turn() })
    })
  }

  /** A broken invariant or disk stops this node; it never goes on half-way. */
  #guarded(run: () => void): void {
    if (this.#isStopped) return
    try {
      run()
      if (this.#node.hasReady()) this.#schedule()
    } catch (error) {
      this.stop()
      this.#deps.onFatal(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #turn(): void {
    let isConfirmed = false
    while (this.#node.hasReady() && !this.#isStopped) {
      const ready = this.#node.ready()
      for (const message of ready.messages) this.#carryOut(message, ready.mustSync)
      for (const read of ready.readStates) this.#confirmed(read)
      isConfirmed ||= ready.readStates.length > 0
    }
    this.#deps.links.flush()
    this.#cutLog()
    this.#reportChange()
    if (isConfirmed) this.#deps.onLease()
  }

  #reportChange(): void {
    const now = { leader: this.#node.lead, term: this.#node.term, isReady: this.isReadyLeader }
    const { leader, term: seenTerm, isReady } = this.#seen
    if (leader === now.leader && seenTerm === now.term && isReady === now.isReady) return
    this.#seen = now
    if (this.isLeader) this.#confirmLease()
    this.#deps.onChange()
  }

  #carryOut(message: Message, mustSync: boolean): void {
    if (message.to === localAppendThread) this.#append(message, mustSync)
    else if (message.to === localApplyThread) this.#apply(message)
    else this.#send(message)
  }

  #send(message: Message): void {
    if (message.type === MessageType.Snapshot) this.#snapshotTicks.set(message.to, snapshotTicksMax)
    this.#deps.links.send(storeId(message.to), {
      regionId: pdRegionId, epoch: noEpoch, from: memberRef(this.#deps.memberId), to: memberRef(message.to), message,
      startKey: emptyBytes, endKey: emptyBytes, isTombstone: false,
    })
  }

  #append(work: Message, mustSync: boolean): void {
    const { raftLog } = this.#deps
    const batch = raftLog.batch()
    const { snapshot } = work
    if (snapshot !== undefined) {
      this.#isRestoring = true
      const { index, term: at, confState } = snapshot.meta
      batch.state(pdRegionId, LogStateKind.Region,
        encodeStateRecord({ index, term: at, confState, data: snapshot.data }))
      batch.reset(pdRegionId, index, at)
    }
    if (work.entries.length > 0) batch.entries(pdRegionId, work.entries)
    if (work.term !== 0) batch.hardState(pdRegionId, { term: work.term, vote: work.vote, commit: work.commit })
    const sync = mustSync || snapshot !== undefined || work.responses.length > 0
    raftLog.append(batch, sync, () => {
      this.#guarded(() => {
        if (snapshot !== undefined) this.#restore(snapshot)
        this.#deliver(work.responses)
      })
    })
  }

  #deliver(responses: readonly Message[]): void {
    let sent = false
    for (const response of responses) {
      if (response.to === this.#node.id) this.#node.step(response)
      else {
        this.#send(response)
        sent = true
      }
    }
    if (sent) this.#deps.links.flush()
  }

  #restore(snapshot: RaftSnapshot): void {
    this.#isRestoring = false
    if (snapshot.meta.index <= this.#applied) return
    this.#deps.machine.restore(snapshot.data)
    this.#applied = this.#savedIndex = snapshot.meta.index
    this.#appliedTerm = snapshot.meta.term
  }

  #apply(work: Message): void {
    for (const entry of work.entries) {
      assert(entry.index === this.#applied + 1, () => `applies ${entry.index} after ${this.#applied}`)
      this.#applied = entry.index
      this.#appliedTerm = entry.term
      this.#applyEntry(entry)
    }
    this.#deliver(work.responses)
  }

  #applyEntry(entry: Entry): void {
    if (entry.type === EntryType.Normal) {
      if (entry.data.length > 0) this.#deps.machine.apply(entry.data)
      return
    }
    const change = decodeConfChange(entry.type, entry.data)
    assert(change !== undefined, 'a committed configuration change cannot be read')
    this.#node.applyConfChange(change)
  }

  #record(): StateRecord {
    return {
      index: this.#applied, term: this.#appliedTerm, confState: this.#node.confState, data: this.#deps.machine.encode(),
    }
  }

  /** The HardState whose commit covers #applied was appended before, so the record can never be ahead of it. */
  #cutLog(): void {
    const { raftLog, config } = this.#deps
    if (this.#isRestoring || this.#applied - this.#savedIndex < config.compactEntries) return
    const batch = raftLog.batch()
    writeStateAndCut(batch, this.#record(), this.#storage, config.compactKeepEntries)
    this.#savedIndex = this.#applied
    raftLog.append(batch, false, () => {})
  }
}

