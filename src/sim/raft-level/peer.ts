import { emptyBytes } from '../../common/bytes.js'
import type { LogIndex, RegionId, Term } from '../../common/ids.js'
import type { RaftLog } from '../../engine/api.js'
import { decodeConfChange } from '../../raft/confchange/conf-change.js'
import { localAppendThread, localApplyThread } from '../../raft/message.js'
import { RawNode } from '../../raft/raw-node.js'
import type { ConfChangeV2, ProposeResult } from '../../raft/raw-node.js'
import { EntryType, MessageType } from '../../raft/types.js'
import type { ConfState, Entry, HardState, Message, NodeId, RaftSnapshot, RaftStorage } from '../../raft/types.js'
import { Lease } from '../../store/reads.js'
import type { SimDisk } from '../sim-disk.js'
import type { SimEnv } from '../sim-env.js'
import { encodeCommand, Machine } from './machine.js'
import type { Command, CommandResult } from './machine.js'

/** The one region of a raft-level run. */
export const theRegion = 1 as RegionId

/** A peer's memory that outlives its process: the machine as it was last flushed. The raft log is the SimDisk's. */
export interface PeerDisk {
  readonly disk: SimDisk
  flushed: Machine
}

export interface PeerLimits {
  readonly tickMs: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly leaseTicks: number
  readonly leaseMs: number
  readonly messageBytesMax: number
  readonly inflightMax: number
  readonly committedBytesMax: number
  readonly logKeep: number
  readonly flushMs: number
  readonly applyMs: number
}

/** What a peer tells the run around it. */
export interface PeerEvents {
  send(peer: RaftPeer, message: Message): void
  /** After each applied entry. */
  applied(peer: RaftPeer, entry: Entry): void
  completed(id: number, result: CommandResult): void
  readReady(id: number, peer: RaftPeer): void
  removed(peer: RaftPeer): void
  fatal(peer: RaftPeer, error: Error): void
}

/**
 * One process with one raft group on it: RawNode in async-storage mode over a simulated log, and a machine that is flushed
 * now and then. The smallest thing that owes all of raft's promises.
 */
export class RaftPeer implements RaftStorage {
  readonly node: RawNode
  readonly log: RaftLog
  machine: Machine
  readonly #env: SimEnv
  readonly #stored: PeerDisk
  readonly #limits: PeerLimits
  readonly #events: PeerEvents
  #isStarting = true
  #turnIsDue = false
  readonly #applies: Message[] = []
  #reads: { readonly index: number; readonly id: number }[] = []
  /** When which read was asked: the answer of a quorum is a lease from then on. */
  readonly #askedAt = new Map<number, number>()
  readonly #lease = new Lease()

  constructor(readonly peerId: NodeId, env: SimEnv, stored: PeerDisk, limits: PeerLimits, events: PeerEvents,
    plants: ReadonlySet<string>) {
    this.#env = env
    this.#stored = stored
    this.#limits = limits
    this.#events = events
    this.machine = stored.flushed.copy()
    this.log = stored.disk.openLog(env, error => { events.fatal(this, error) })
    this.#redoSnapshot()
    this.node = new RawNode({
      id: peerId, electionTicks: limits.electionTicks, heartbeatTicks: limits.heartbeatTicks, storage: this,
      applied: this.machine.index as LogIndex, preVote: true, checkQuorum: true, readOnly: 'safe',
      maxSizePerMessage: limits.messageBytesMax, maxCommittedSizePerReady: limits.committedBytesMax,
      maxUncommittedEntriesSize: 1 << 20, maxInflightMessages: limits.inflightMax, maxInflightBytes: 0,
      asyncStorageWrites: true, disableConfChangeValidation: false, stepDownOnRemoval: true, random: env.random,
      forwardProposals: false, leaseTicks: limits.leaseTicks, guardVotesAtStart: true, plants,
    })
    this.#replay()
    this.#isStarting = false
    this.#scheduleTick()
    this.#scheduleFlush()
  }

  get name(): string { return this.#env.name }
  get disk(): SimDisk { return this.#stored.disk }

  /** A crash between "snapshot flushed" and "log reset". */
  #redoSnapshot(): void {
    const shape = this.log.region(theRegion)
    const { index, term } = this.machine
    if (index === 0 || (shape !== undefined && shape.lastIndex >= index)) return
    const batch = this.log.batch()
    batch.reset(theRegion, index as LogIndex, term as Term)
    const hard = shape?.hardState
    batch.hardState(theRegion, { term: Math.max(hard?.term ?? 0, term) as Term,
      vote: (hard !== undefined && hard.term >= term ? hard.vote : 0) as NodeId, commit: index as LogIndex })
    this.log.append(batch, true, () => {})
  }

  /** Applies what is known to be committed before anything else: an old configuration must not vote. */
  #replay(): void {
    while (this.node.hasReady()) this.#turn()
  }

  // RaftStorage
  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    const hardState = this.log.region(theRegion)?.hardState ?? { term: 0 as Term, vote: 0 as NodeId, commit: 0 as LogIndex }
    return { hardState: { ...hardState, commit: Math.max(hardState.commit, this.machine.index) as LogIndex }, confState: this.machine.conf }
  }
  firstIndex(): LogIndex { return ((this.log.region(theRegion)?.truncatedIndex ?? 0) + 1) as LogIndex }
  lastIndex(): LogIndex { return this.log.region(theRegion)?.lastIndex ?? 0 as LogIndex }
  term(index: LogIndex): Term | 'compacted' | 'unavailable' {
    const shape = this.log.region(theRegion)
    if (shape === undefined) return index === 0 ? 0 as Term : 'unavailable'
    if (index < shape.truncatedIndex) return 'compacted'
    return this.log.term(theRegion, index) ?? 'unavailable'
  }
  entries(low: LogIndex, high: LogIndex, bytesMax: number): readonly Entry[] | 'compacted' | 'unavailable' {
    const shape = this.log.region(theRegion)
    if (shape === undefined || high > shape.lastIndex + 1) return 'unavailable'
    if (low <= shape.truncatedIndex) return 'compacted'
    return this.log.entries(theRegion, low, high, bytesMax)
  }
  snapshot(): RaftSnapshot | 'temporarilyUnavailable' {
    const { index, term, conf } = this.machine
    if (index === 0 || index < this.firstIndex() - 1) return 'temporarilyUnavailable'
    return { meta: { index: index as LogIndex, term: term as Term, confState: conf }, data: this.machine.encode() }
  }

  #scheduleTick(): void {
    this.#env.setTimer(this.#limits.tickMs, () => {
      this.node.tick()
      this.markDirty()
      this.#scheduleTick()
    })
  }

  step(message: Message): void {
    this.node.step(message)
    this.markDirty()
  }

  propose(command: Command): ProposeResult {
    const result = this.node.propose(encodeCommand(command))
    this.markDirty()
    return result
  }

  proposeConfChange(change: ConfChangeV2): ProposeResult {
    const result = this.node.proposeConfChange(change)
    this.markDirty()
    return result
  }

  transferLeader(to: NodeId): void {
    this.node.transferLeader(to)
    this.markDirty()
  }

  /** @returns false when it cannot be asked now */
  read(id: number): boolean {
    if (this.node.role !== 'leader') return false
    const context = new Uint8Array(8)
    new DataView(context.buffer).setFloat64(0, id)
    const result = this.node.readIndex(context)
    if (result === 'ok') this.#askedAt.set(id, this.#env.clock.monotonicMs())
    this.markDirty()
    return result === 'ok'
  }

  #renewLease(id: number): void {
    const askedAt = this.#askedAt.get(id)
    this.#askedAt.delete(id)
    if (askedAt !== undefined) this.#lease.renew(this.node.term, askedAt)
  }

  /** Would a store read here without asking anybody? Nobody does at this level: the oracle wants to know. */
  get mayRead(): boolean {
    const { node, machine } = this
    if (node.role !== 'leader' || machine.term !== node.term || node.leadTransferee !== 0 || node.timeoutNowSent) return false
    return this.#lease.isValid(node.term, this.#env.clock.monotonicMs(), this.#limits.leaseMs)
  }

  markDirty(): void {
    if (this.#turnIsDue || this.#isStarting) return
    this.#turnIsDue = true
    this.#env.defer(() => {
      this.#turnIsDue = false
      if (this.node.hasReady()) this.#turn()
    })
  }

  #turn(): void {
    const ready = this.node.ready()
    for (const { index, context } of ready.readStates) {
      const id = new DataView(context.buffer, context.byteOffset, 8).getFloat64(0)
      this.#reads.push({ index, id })
      this.#renewLease(id)
    }
    const others: Message[] = []
    for (const message of ready.messages) {
      if (message.to === localAppendThread) this.#store(message)
      else if (message.to === localApplyThread) this.#applyLater(message)
      else others.push(message)
    }
    for (const message of others) this.#send(message)
    this.#serveReads()
  }

  /** Nobody can say whether a snapshot arrived, so after a while it is given up; a needless repetition does no harm. */
  #send(message: Message): void {
    this.#events.send(this, message)
    if (message.type !== MessageType.Snapshot) return
    this.#env.setTimer(1_000, () => {
      this.node.reportSnapshot(message.to, false)
      this.markDirty()
    })
  }

  #store(asked: Message): void {
    const batch = this.log.batch()
    if (asked.snapshot !== undefined) {
      this.machine = Machine.decode(asked.snapshot.data)
      this.#stored.flushed = this.machine.copy()
      batch.reset(theRegion, asked.snapshot.meta.index, asked.snapshot.meta.term)
    }
    const hasHard = asked.term !== 0 || asked.vote !== 0 || asked.commit !== 0
    if (asked.entries.length > 0) batch.entries(theRegion, asked.entries)
    if (hasHard) batch.hardState(theRegion, { term: asked.term, vote: asked.vote, commit: asked.commit })
    const done = (): void => {
      for (const response of asked.responses) this.#deliver(response)
      if (!this.#isStarting) this.markDirty()
    }
    const mustWait = asked.responses.length > 0
    this.log.append(batch, mustWait, done)
  }

  #deliver(response: Message): void {
    if (response.to === this.peerId) this.node.step(response)
    else this.#events.send(this, response)
  }

  #applyLater(asked: Message): void {
    if (this.#isStarting) {
      this.#apply(asked)
      return
    }
    this.#applies.push(asked)
    if (this.#applies.length === 1) this.#scheduleApply()
  }

  #scheduleApply(): void {
    this.#env.post(this.#env.random.exponential(this.#limits.applyMs), () => {
      const next = this.#applies.shift()
      if (next !== undefined) this.#apply(next)
      if (this.#applies.length > 0) this.#scheduleApply()
      this.markDirty()
    })
  }

  #apply(asked: Message): void {
    for (const entry of asked.entries) {
      if (entry.index <= this.machine.index) continue
      this.machine.index = entry.index
      this.machine.term = entry.term
      if (entry.type === EntryType.Normal) {
        const done = this.machine.apply(entry.data)
        if (done !== undefined && !this.#isStarting) this.#events.completed(done.id, done.result)
      } else {
        this.machine.apply(emptyBytes)
        const change = decodeConfChange(entry.type, entry.data)
        if (change !== undefined) this.machine.conf = this.node.applyConfChange(change)
      }
      this.#events.applied(this, entry)
    }
    for (const response of asked.responses) this.node.step(response)
    this.#serveReads()
    if (!this.#isStarting && this.machine.conf.voters.length > 0 && !isMember(this.machine.conf, this.peerId)) this.#events.removed(this)
  }

  #serveReads(): void {
    if (this.#reads.length === 0) return
    const ready = this.#reads.filter(read => read.index <= this.machine.index)
    if (ready.length === 0) return
    this.#reads = this.#reads.filter(read => read.index > this.machine.index)
    for (const read of ready) this.#events.readReady(read.id, this)
  }

  #scheduleFlush(): void {
    this.#env.setTimer(this.#limits.flushMs * (0.5 + this.#env.random.float()), () => {
      const image = this.machine.copy()
      this.#env.post(this.#env.random.exponential(5), () => {
        if (image.index > this.#stored.flushed.index) this.#stored.flushed = image
        this.#compact()
      })
      this.#scheduleFlush()
    })
  }

  #compact(): void {
    const shape = this.log.region(theRegion)
    const index = this.#stored.flushed.index - this.#limits.logKeep
    if (shape === undefined || index <= shape.truncatedIndex || index > shape.lastIndex) return
    const term = this.log.term(theRegion, index as LogIndex)
    if (term === undefined) return
    const batch = this.log.batch()
    batch.compact(theRegion, index as LogIndex, term)
    this.log.append(batch, false, () => {})
  }
}

export function isMember(conf: ConfState, id: NodeId): boolean {
  return conf.voters.includes(id) || conf.learners.includes(id) || conf.votersOutgoing.includes(id) || conf.learnersNext.includes(id)
}
