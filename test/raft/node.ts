import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import type { ConfChangeSingle } from '../../src/raft/confchange/conf-change.js'
import { MemoryStorage } from '../../src/raft/memory-storage.js'
import { entry, entriesBytes, message } from '../../src/raft/message.js'
import type { MessageFields } from '../../src/raft/message.js'
import { asIndex, asNode, asTerm } from '../../src/raft/numbers.js'
import { applyConfChange } from '../../src/raft/raft-confchange.js'
import { Raft } from '../../src/raft/raft.js'
import type { StepResult } from '../../src/raft/raft.js'
import { appliedSnapshot, appliedTo } from '../../src/raft/raft-replication.js'
import type { RaftConfig } from '../../src/raft/config.js'
import type { Progress } from '../../src/raft/tracker/progress.js'
import { EntryType, MessageType } from '../../src/raft/types.js'
import type { ConfState, Entry, HardState, Message, RaftSnapshot } from '../../src/raft/types.js'
import { seededRandom } from './random.js'

export const type = MessageType

type Mutable<T> = { -readonly [key in keyof T]: T[key] }

export interface NodeOptions extends Partial<Omit<RaftConfig, 'id' | 'storage' | 'applied'>> {
  readonly voters?: readonly number[]
  readonly learners?: readonly number[]
  /** Terms of the entries 1, 2, 3, … that are in storage. */
  readonly log?: readonly number[]
  readonly hard?: { term: number; vote?: number; commit?: number }
  readonly snapshot?: RaftSnapshot
  readonly applied?: number
}

export function confState(voters: readonly number[], learners: readonly number[] = []): ConfState {
  return {
    voters: voters.map(asNode), learners: learners.map(asNode), votersOutgoing: [], learnersNext: [],
    autoLeave: false,
  }
}

export function snapshotAt(index: number, term: number, state: ConfState): RaftSnapshot {
  return { meta: { index: asIndex(index), term: asTerm(term), confState: state }, data: emptyBytes }
}

export const hardState = (term: number, vote: number, commit: number): HardState =>
  ({ term: asTerm(term), vote: asNode(vote), commit: asIndex(commit) })

/** Entries from, from + 1, … with these terms and no data. */
export const entriesFrom = (from: number, ...terms: number[]): Entry[] =>
  terms.map((term, i) => entry({ term, index: from + i }, EntryType.Normal, emptyBytes))

export const proposal = (data: string): Entry => entry({ term: 0, index: 0 }, EntryType.Normal, utf8(data))

/** MemoryStorage whose first configuration is not that of a snapshot. */
class BootedStorage extends MemoryStorage {
  #conf: ConfState | undefined
  constructor(conf: ConfState) {
    super()
    this.#conf = conf
  }

  override initialState(): { hardState: HardState; confState: ConfState } {
    const state = super.initialState()
    return this.#conf === undefined ? state : { hardState: state.hardState, confState: this.#conf }
  }

  override applySnapshot(snapshot: RaftSnapshot): boolean {
    this.#conf = undefined
    return super.applySnapshot(snapshot)
  }
}

/** A Raft with its storage, driven by hand. */
export class TestNode {
  readonly raft: Raft
  readonly storage: MemoryStorage
  /** Read by the node while it runs: switches may be flipped. */
  readonly options: Mutable<RaftConfig>

  constructor(readonly id: number, options: NodeOptions = {}) {
    const { voters = [1, 2, 3], learners = [], log = [], hard, snapshot, applied = 0, ...config } = options
    this.storage = new BootedStorage(confState(voters, learners))
    if (snapshot !== undefined) this.storage.applySnapshot(snapshot)
    this.storage.append(entriesFrom(this.storage.firstIndex(), ...log))
    if (hard !== undefined) this.storage.setHardState(hardState(hard.term, hard.vote ?? 0, hard.commit ?? 0))
    this.options = {
      electionTicks: 10, heartbeatTicks: 1, preVote: false, checkQuorum: false, readOnly: 'safe',
      maxSizePerMessage: Infinity, maxCommittedSizePerReady: Infinity, maxUncommittedEntriesSize: 0,
      maxInflightMessages: 256, maxInflightBytes: 0, asyncStorageWrites: false, disableConfChangeValidation: false,
      stepDownOnRemoval: false, random: seededRandom(id), ...config,
      id: asNode(id), storage: this.storage, applied: asIndex(applied),
    }
    this.raft = new Raft(this.options)
  }

  get role(): string { return this.raft.role }
  get term(): number { return this.raft.term }
  get lead(): number { return this.raft.lead }
  get committed(): number { return this.raft.log.committed }
  get lastIndex(): number { return this.raft.log.lastIndex() }

  /** `to` is this node; a message without a term is local. */
  step(fields: MessageFields): StepResult {
    return this.raft.step(message({ ...fields, to: this.id }))
  }

  campaign(): void { this.step({ type: type.Hup }) }
  propose(data = 'data'): StepResult {
    return this.step({ type: type.Propose, from: this.id, entries: [proposal(data)] })
  }

  ticks(count: number): void {
    for (let i = 0; i < count; i++) this.raft.tick()
  }

  progress(id: number): Progress { return this.raft.tracker.get(id)! }

  /** All writes count as durable; own answers are stepped. @returns what goes to others, in order */
  take(): Message[] {
    const taken: Message[] = []
    while (this.raft.messages.length > 0 || this.raft.messagesAfterAppend.length > 0) {
      taken.push(...this.raft.messages)
      const after = this.raft.messagesAfterAppend
      this.raft.messages = []
      this.raft.messagesAfterAppend = []
      for (const one of after) {
        if (one.to === this.id) this.raft.step(one)
        else taken.push(one)
      }
    }
    return taken
  }

  /** Follower → candidate → leader, without asking anyone. */
  makeLeader(): this {
    this.raft.becomeCandidate()
    this.raft.becomeLeader()
    return this
  }

  /** Writes what is unstable to storage. */
  persist(): void {
    const { unstable } = this.raft.log
    const snapshot = unstable.snapshot
    if (snapshot !== undefined) {
      this.storage.applySnapshot(snapshot)
      appliedSnapshot(this.raft, snapshot)
    }
    if (unstable.length > 0) {
      const last = this.lastIndex
      const term = this.raft.log.lastTerm()
      this.storage.append(this.raft.log.slice(unstable.offset, last + 1, Infinity) as Entry[])
      unstable.acceptInProgress()
      unstable.stableTo(last, term)
    }
  }

  /** Persists, then applies what is committed. @returns the entries */
  apply(): readonly Entry[] {
    this.persist()
    const entries = this.raft.log.nextCommitted(true)
    if (entries.length > 0) {
      this.raft.log.acceptApplying(entries.at(-1)!.index, entriesBytes(entries), true)
      appliedTo(this.raft, entries.at(-1)!.index, entriesBytes(entries))
    }
    return entries
  }

  change(...changes: [ConfChangeSingle['type'], number][]): ConfState {
    const singles = changes.map(([kind, id]) => ({ type: kind, nodeId: asNode(id) }))
    return applyConfChange(this.raft, { changes: singles, transition: 'auto', context: emptyBytes })
  }

  /** Terms of all entries of the log. */
  terms(): number[] {
    const terms: number[] = []
    for (let at = this.raft.log.firstIndex(); at <= this.lastIndex; at++) terms.push(this.raft.log.termOrZero(at))
    return terms
  }

  /** `5/2` for each entry: index and term; and the data of it. */
  describeLog(): string {
    const entries = this.raft.log.slice(this.raft.log.firstIndex(), this.lastIndex + 1, Infinity) as Entry[]
    return `${entries.map(one => `${one.index}/${one.term} ${Buffer.from(one.data).toString()}`.trim()).join(', ')}`
      + ` commit=${this.committed}`
  }
}

/** Delivers until nothing moves. Absent ids swallow what they get. Links can be cut, types ignored. */
export class TestNetwork {
  readonly nodes = new Map<number, TestNode>()
  readonly #cut = new Set<string>()
  readonly #ignored = new Set<MessageType>()
  /** Sees every message that is about to be delivered; false drops it. */
  filter: (one: Message) => boolean = () => true

  constructor(...nodes: TestNode[]) {
    for (const node of nodes) this.nodes.set(node.id, node)
  }

  static of(count: number, options: NodeOptions = {}): TestNetwork {
    const voters = Array.from({ length: count }, (_, i) => i + 1)
    return new TestNetwork(...voters.map(id => new TestNode(id, { voters, ...options })))
  }

  node(id: number): TestNode { return this.nodes.get(id)! }

  cut(left: number, right: number): void { this.#cut.add(`${left}>${right}`).add(`${right}>${left}`) }
  isolate(id: number): void { for (const other of this.nodes.keys()) if (other !== id) this.cut(id, other) }
  ignore(kind: MessageType): void { this.#ignored.add(kind) }
  recover(): void {
    this.#cut.clear()
    this.#ignored.clear()
    this.filter = () => true
  }

  /** Steps these (each `to` a node), and all that follows. */
  send(...first: MessageFields[]): void {
    let queue: Message[] = first.map(message)
    for (let rounds = 0; queue.length > 0; rounds++) {
      if (rounds > 10_000) throw new Error('the network does not come to rest')
      const one = queue.shift()!
      const node = this.nodes.get(one.to)
      if (node === undefined) continue
      node.raft.step(one)
      queue = queue.concat(this.#passing(node.take()))
    }
  }

  #passing(sent: readonly Message[]): Message[] {
    return sent.filter(one =>
      !this.#cut.has(`${one.from}>${one.to}`) && !this.#ignored.has(one.type) && this.filter(one))
  }

  /** What the node has to say now. */
  flush(id: number): void { this.send(...this.#passing(this.node(id).take())) }

  campaign(id: number): void { this.send({ type: type.Hup, to: id }) }
  propose(id: number, data = 'data'): void {
    this.send({ type: type.Propose, from: id, to: id, entries: [proposal(data)] })
  }
  heartbeat(id: number): void { this.send({ type: type.Beat, to: id }) }
  roles(): string { return [...this.nodes.values()].map(node => `${node.id}:${node.role}@${node.term}`).join(' ') }
}

/** `MsgApp 1->2 …` without contexts, for comparing whole conversations. */
export const brief = (one: Message): string =>
  `${one.from}->${one.to} ${one.type} t${one.term} ${one.logTerm}/${one.index} c${one.commit}`
  + ` e${one.entries.length}${one.reject ? ' reject' : ''}`
