import { emptyBytes, fromUtf8, utf8 } from '../../../src/common/bytes.js'
import { logIndex, peerId, term } from '../../../src/common/ids.js'
import { decodeConfChange, parseChanges } from '../../../src/raft/confchange/conf-change.js'
import type { ConfChangeTransition } from '../../../src/raft/confchange/conf-change.js'
import {
  describeEntries, describeMessage, describeProgress, describeReady, describeRole, messageNames,
} from '../../../src/raft/describe.js'
import { MemoryStorage, emptyConfState } from '../../../src/raft/memory-storage.js'
import { isLocalTarget, message } from '../../../src/raft/message.js'
import { RawNode } from '../../../src/raft/raw-node.js'
import type { RaftConfig } from '../../../src/raft/raw-node.js'
import { MessageType } from '../../../src/raft/types.js'
import type { ConfState, Entry, HardState, Message, NodeId, RaftSnapshot } from '../../../src/raft/types.js'
import { seededRandom } from '../random.js'
import type { DataArg, DataCase } from './datadriven.js'

/** Gives the newest state the node has applied, whatever the log was compacted to. */
class HistoryStorage extends MemoryStorage {
  readonly history: RaftSnapshot[] = []
  override snapshot(): RaftSnapshot { return this.history.at(-1)! }
}

interface Member {
  node: RawNode
  readonly config: Omit<RaftConfig, 'applied'>
  readonly storage: HistoryStorage
  readonly appendWork: Message[]
  readonly applyWork: Message[]
}

const stepErrors = {
  dropped: 'proposal dropped', notFound: 'not found', localMessage: 'local message', refused: '', ok: '',
}

/** A small group of RawNodes, the messages between them, and the commands of the data files. */
export class Interaction {
  readonly #members: Member[] = []
  #inFlight: Message[] = []
  #output = ''
  #quiet = false

  /** @returns what the command prints; `ok` for nothing */
  run(one: DataCase): string {
    const command = commands[one.command]
    if (command === undefined) return 'unknown command'
    this.#output = ''
    const error = command(this, one)
    return this.#output + (error ?? '') || 'ok'
  }

  /** Nothing is printed while quiet. Errors are. */
  print(text: string): void {
    if (!this.#quiet) this.#output += text
  }

  /** Everything `run` prints, shifted to the right. */
  indented(run: () => void): void {
    const before = this.#output
    this.#output = ''
    run()
    const lines = this.#output.split('\n')
    if (lines.at(-1) === '') lines.pop()
    this.#output = before + lines.map(line => `  ${line}\n`).join('')
  }

  setQuiet(quiet: boolean): boolean {
    const before = this.#quiet
    this.#quiet = quiet
    return before
  }

  member(id: number): Member {
    const member = this.#members[id - 1]
    if (member === undefined) throw new Error(`no node ${id}`)
    return member
  }

  get ids(): number[] { return this.#members.map((_, i) => i + 1) }

  add(options: Partial<RaftConfig>, snapshot: RaftSnapshot): void {
    const id = peerId(this.#members.length + 1)
    const storage = new HistoryStorage()
    if (snapshot.meta.index > 0) storage.applySnapshot(snapshot)
    storage.history.push(snapshot)
    const config = { ...configStub, ...options, id, storage, random: seededRandom(id) }
    const node = new RawNode({ ...config, applied: snapshot.meta.index })
    this.#members.push({ node, config, storage, appendWork: [], applyWork: [] })
  }

  /** A crash and a start: what was not written is gone, what was applied is known. */
  restart(id: number): void {
    const member = this.member(id)
    member.appendWork.length = 0
    member.applyWork.length = 0
    const { index } = member.storage.history.at(-1)!.meta
    const committed = Math.max(member.storage.initialState().hardState.commit, member.storage.firstIndex() - 1)
    member.node = new RawNode({ ...member.config, applied: logIndex(Math.min(index, committed)) })
  }

  queue(...messages: readonly Message[]): void { this.#inFlight.push(...messages) }

  /** @returns how many messages were handled */
  deliver(to: number, drop: boolean, type: number | undefined): number {
    const taken: Message[] = []
    const rest: Message[] = []
    for (const one of this.#inFlight) {
      const local = one.from === one.to || isLocalTarget(one.from) || isLocalTarget(one.to)
      const wanted = one.to === to && !(drop && local) && (type === undefined || one.type === type)
      if (wanted) taken.push(one)
      else rest.push(one)
    }
    this.#inFlight = rest
    for (const one of taken) {
      this.print(`${drop ? 'dropped: ' : ''}${describeMessage(one)}\n`)
      if (drop) continue
      const error = stepErrors[this.member(to).node.step(one)]
      if (error !== '') this.print(`${error}\n`)
    }
    return taken.length
  }

  hasMessagesFor(to: number): boolean { return this.#inFlight.some(one => one.to === to) }

  processReady(id: number): void {
    const { node, config, storage, appendWork, applyWork } = this.member(id)
    const ready = node.ready()
    this.print(describeReady(ready).replace(/([^\n])$/, '$1\n').replace('<empty Ready>\n', '<empty Ready>'))
    if (!config.asyncStorageWrites) {
      write(storage, ready.hardState, ready.entries, ready.snapshot)
      this.#apply(id, ready.committedEntries)
    }
    for (const one of ready.messages) {
      if (one.type === MessageType.StorageAppend) appendWork.push(one)
      else if (one.type === MessageType.StorageApply) applyWork.push(one)
      else this.queue(one)
    }
    if (!config.asyncStorageWrites) node.advance()
  }

  processAppend(id: number): void {
    const { storage, appendWork } = this.member(id)
    const work = appendWork.shift()
    if (work === undefined) {
      this.print('no append work to perform')
      return
    }
    this.print(`Processing:\n${describeMessage({ ...work, responses: [] })}\n`)
    const hardState = { term: work.term, vote: work.vote, commit: work.commit }
    const changed = work.term !== 0 || work.vote !== 0 || work.commit !== 0
    write(storage, changed ? hardState : undefined, work.entries, work.snapshot)
    this.#respond(work)
  }

  processApply(id: number): void {
    const work = this.member(id).applyWork.shift()
    if (work === undefined) {
      this.print('no apply work to perform')
      return
    }
    this.print(`Processing:\n${describeMessage({ ...work, responses: [] })}\n`)
    this.#apply(id, work.entries)
    this.#respond(work)
  }

  #respond(work: Message): void {
    this.print(`Responses:\n${work.responses.map(one => `${describeMessage(one)}\n`).join('')}`)
    this.queue(...work.responses)
  }

  /** The state machine appends each entry's data to its state. */
  #apply(id: number, entries: readonly Entry[]): void {
    const { node, storage } = this.member(id)
    for (const one of entries) {
      const last = storage.history.at(-1)!
      const change = decodeConfChange(one.type, one.data)
      const confState: ConfState = change === undefined ? last.meta.confState : node.applyConfChange(change)
      const data = utf8(fromUtf8(last.data) + fromUtf8(change === undefined ? one.data : change.context))
      storage.history.push({ meta: { index: one.index, term: one.term, confState }, data })
    }
  }

  stabilize(ids: readonly number[]): void {
    for (let done = false; !done;) {
      done = true
      const each = (header: string, due: (id: number) => boolean, run: (id: number) => void): void => {
        for (const id of ids) {
          if (!due(id)) continue
          done = false
          this.print(`> ${id} ${header}\n`)
          run(id)
        }
      }
      each('handling Ready', id => this.member(id).node.hasReady(), id => this.indented(() => this.processReady(id)))
      each('receiving messages', id => this.hasMessagesFor(id), id => this.indented(() => {
        this.deliver(id, false, undefined)
      }))
      each('processing append thread', id => this.member(id).appendWork.length > 0, id => {
        while (this.member(id).appendWork.length > 0) this.indented(() => this.processAppend(id))
      })
      each('processing apply thread', id => this.member(id).applyWork.length > 0, id => {
        while (this.member(id).applyWork.length > 0) this.indented(() => this.processApply(id))
      })
    }
  }

  printLog(id: number): void {
    const { storage } = this.member(id)
    const first = storage.firstIndex()
    const last = storage.lastIndex()
    if (last < first) {
      this.print(`log is empty: first index=${first}, last index=${last}`)
      return
    }
    const entries = storage.entries(first, logIndex(last + 1), Infinity)
    if (typeof entries === 'string') throw new Error(entries)
    this.print(describeEntries(entries))
  }
}

const configStub: Omit<RaftConfig, 'id' | 'storage' | 'random' | 'applied'> = {
  electionTicks: 3, heartbeatTicks: 1, preVote: false, checkQuorum: false, readOnly: 'safe',
  maxSizePerMessage: Infinity, maxCommittedSizePerReady: 0, maxUncommittedEntriesSize: 0,
  maxInflightMessages: 2 ** 31 - 1, maxInflightBytes: 0, asyncStorageWrites: false,
  disableConfChangeValidation: false, stepDownOnRemoval: false,
}

function write(
  storage: MemoryStorage, hardState: HardState | undefined, entries: readonly Entry[],
  snapshot: RaftSnapshot | undefined,
): void {
  if (hardState !== undefined) storage.setHardState(hardState)
  if (snapshot !== undefined) storage.applySnapshot(snapshot)
  else storage.append(entries)
}

/** Numbers that are arguments by themselves. */
const idsOf = (args: readonly DataArg[]): number[] =>
  args.filter(arg => arg.values.length === 0).map(arg => Number(arg.key))

const first = (one: DataCase): number => Number(one.args[0]!.key)
const value = (one: DataCase, key: string): string | undefined => one.args.find(arg => arg.key === key)?.values[0]
const nodeIds = (one: DataCase, key: string): NodeId[] =>
  (one.args.find(arg => arg.key === key)?.values ?? []).map(text => peerId(Number(text)))

function addNodes(group: Interaction, one: DataCase): string | undefined {
  const flag = (key: string): boolean => value(one, key) === 'true'
  const number = (key: string): number | undefined =>
    value(one, key) === undefined ? undefined : Number(value(one, key))
  const confState: ConfState = { ...emptyConfState, voters: nodeIds(one, 'voters'), learners: nodeIds(one, 'learners') }
  const index = number('index') ?? 0
  const content = value(one, 'content')
  const snapshot: RaftSnapshot = {
    meta: { index: logIndex(index), term: term(index > 0 ? 1 : 0), confState },
    data: content === undefined ? emptyBytes : utf8(content),
  }
  const leaseTicks = number('lease-ticks')
  const options: Partial<RaftConfig> = {
    preVote: flag('prevote'), checkQuorum: flag('checkquorum'), asyncStorageWrites: flag('async-storage-writes'),
    disableConfChangeValidation: flag('disable-conf-change-validation'),
    stepDownOnRemoval: flag('step-down-on-removal'),
    readOnly: value(one, 'read-only') === 'lease-based' ? 'leaseBased' : 'safe',
    maxCommittedSizePerReady: number('max-committed-size-per-ready') ?? 0,
    maxInflightMessages: number('inflight') ?? configStub.maxInflightMessages,
    electionTicks: number('election-ticks') ?? configStub.electionTicks,
    guardVotesAtStart: flag('guard-at-start'),
    ...(leaseTicks === undefined ? {} : { leaseTicks }),
  }
  for (let i = 0; i < first(one); i++) group.add(options, snapshot)
  return undefined
}

function deliverMessages(group: Interaction, one: DataCase): void {
  const name = value(one, 'type')
  const type = name === undefined ? undefined : messageNames.findIndex(each => each === name)
  if (type === -1) throw new Error(`unknown message type ${name}`)
  let handled = 0
  for (const arg of one.args) {
    if (arg.values.length === 0) handled += group.deliver(Number(arg.key), false, type)
    if (arg.key === 'drop') for (const id of arg.values) handled += group.deliver(Number(id), true, type)
  }
  if (handled === 0) group.print('no messages\n')
}

function proposeConfChange(group: Interaction, one: DataCase): string | undefined {
  const changes = parseChanges(one.input)
  if (changes === undefined) return `not a configuration change: ${one.input}`
  const transition = (value(one, 'transition') ?? 'auto') as ConfChangeTransition
  const { node } = group.member(first(one))
  const single = changes[0]
  const result = value(one, 'v1') === 'true' && single !== undefined
    ? node.proposeConfChange({ ...single, context: emptyBytes })
    : node.proposeConfChange({ changes, transition, context: emptyBytes })
  return stepErrors[result] || undefined
}

/** One node: its output as it is. Several: each under a header. */
function forEachNode(group: Interaction, one: DataCase, what: string, run: (id: number) => void): void {
  const ids = idsOf(one.args)
  for (const id of ids) {
    if (ids.length === 1) {
      run(id)
    } else {
      group.print(`> ${id} ${what}\n`)
      group.indented(() => run(id))
    }
  }
}

function ticks(group: Interaction, one: DataCase, count: number): void {
  for (let i = 0; i < count; i++) group.member(first(one)).node.tick()
}

function sendSnapshot(group: Interaction, one: DataCase): void {
  const [from, to] = idsOf(one.args) as [number, number]
  const { node, storage } = group.member(from)
  const sent = message({ type: MessageType.Snapshot, term: node.term, from, to, snapshot: storage.snapshot() })
  group.queue(sent)
  group.print(describeMessage(sent))
}

function printRaftState(group: Interaction): void {
  for (const id of group.ids) {
    const { role, term: current, lead, config } = group.member(id).node.status()
    const voter = config.incoming.has(id) || config.outgoing.has(id)
    group.print(`${id}: ${describeRole(role)} ${voter ? '(Voter)' : '(Non-Voter)'} Term:${current} Lead:${lead}\n`)
  }
}

function stabilize(group: Interaction, one: DataCase): void {
  const level = value(one, 'log-level')
  const before = group.setQuiet(false)
  group.setQuiet(level === undefined ? before : level.toLowerCase() === 'none')
  const ids = idsOf(one.args)
  group.stabilize(ids.length > 0 ? ids : group.ids)
  group.setQuiet(before)
}

type Command = (group: Interaction, one: DataCase) => string | undefined | void

/** The commands of etcd's files, and after the blank line ours. */
const commands: Readonly<Record<string, Command>> = {
  '_breakpoint': () => undefined,
  'add-nodes': addNodes,
  'campaign': (group, one) => group.member(first(one)).node.campaign(),
  'compact': (group, one) => {
    group.member(first(one)).storage.compact(logIndex(Number(one.args[1]!.key)))
    group.printLog(first(one))
  },
  'deliver-msgs': deliverMessages,
  'forget-leader': (group, one) => group.member(first(one)).node.forgetLeader(),
  'log-level': (group, one) => { group.setQuiet(one.args[0]!.key.toLowerCase() === 'none') },
  'process-append-thread': (group, one) =>
    forEachNode(group, one, 'processing append thread', id => group.processAppend(id)),
  'process-apply-thread': (group, one) =>
    forEachNode(group, one, 'processing apply thread', id => group.processApply(id)),
  'process-ready': (group, one) => forEachNode(group, one, 'handling Ready', id => group.processReady(id)),
  'propose': (group, one) =>
    stepErrors[group.member(first(one)).node.propose(utf8(one.args[1]!.key))] || undefined,
  'propose-conf-change': proposeConfChange,
  'raft-log': (group, one) => group.printLog(first(one)),
  'raft-state': printRaftState,
  'report-unreachable': (group, one) =>
    group.member(first(one)).node.reportUnreachable(peerId(Number(one.args[1]!.key))),
  'send-snapshot': sendSnapshot,
  'set-randomized-election-timeout': (group, one) =>
    group.member(first(one)).node.setRandomizedElectionTicks(Number(value(one, 'timeout'))),
  'stabilize': stabilize,
  'status': (group, one) => {
    for (const progress of group.member(first(one)).node.status().progress.values()) {
      group.print(`${progress.id}: ${describeProgress(progress)}\n`)
    }
  },
  'tick-election': (group, one) => ticks(group, one, group.member(first(one)).config.electionTicks),
  'tick-heartbeat': (group, one) => ticks(group, one, group.member(first(one)).config.heartbeatTicks),
  'transfer-leadership': (group, one) => {
    group.member(Number(value(one, 'from'))).node.transferLeader(peerId(Number(value(one, 'to'))))
  },

  'read-index': (group, one) =>
    stepErrors[group.member(first(one)).node.readIndex(utf8(one.args[1]!.key))] || undefined,
  'report-snapshot': (group, one) =>
    group.member(first(one)).node.reportSnapshot(peerId(Number(one.args[1]!.key)), value(one, 'ok') !== 'false'),
  'restart': (group, one) => group.restart(first(one)),
  'tick': (group, one) => ticks(group, one, Number(one.args[1]!.key)),
}
