// The door: Ready and advance, storage messages, results.
import t from 'tap'
import { emptyBytes, fromUtf8, utf8 } from '../../src/common/bytes.js'
import {
  decodeConfChange, encodeConfChange, encodeConfChangeV2, leaveJoint,
} from '../../src/raft/confchange/conf-change.js'
import { describeConfState } from '../../src/raft/describe.js'
import type { MemoryStorage } from '../../src/raft/memory-storage.js'
import { localAppendThread, localApplyThread, message } from '../../src/raft/message.js'
import { asNode } from '../../src/raft/numbers.js'
import { RawNode } from '../../src/raft/raw-node.js'
import type {
  ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeV2, Ready,
} from '../../src/raft/raw-node.js'
import { EntryType } from '../../src/raft/types.js'
import type { ConfState, Entry, Message } from '../../src/raft/types.js'
import { TestNode, confState, entriesFrom, snapshotAt, type } from './node.js'
import type { NodeOptions } from './node.js'

interface Driven {
  readonly node: RawNode
  readonly storage: MemoryStorage
  readonly applied: Entry[]
  readonly sent: Message[]
  readonly states: ConfState[]
  readonly readies: Ready[]
  /** Handles every Ready there is. */
  drain(): void
}

function drive(options: NodeOptions = {}): Driven {
  const { storage, options: config } = new TestNode(1, { voters: [1], ...options })
  const node = new RawNode(config)
  const driven: Driven = {
    node, storage, applied: [], sent: [], states: [], readies: [],
    drain() {
      while (node.hasReady()) {
        const ready = node.ready()
        driven.readies.push(ready)
        if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
        if (ready.snapshot !== undefined) storage.applySnapshot(ready.snapshot)
        storage.append(ready.entries)
        driven.sent.push(...ready.messages)
        for (const one of ready.committedEntries) {
          driven.applied.push(one)
          const change = decodeConfChange(one.type, one.data)
          if (change !== undefined) driven.states.push(node.applyConfChange(change))
        }
        node.advance()
      }
    },
  }
  return driven
}

function lead(options: NodeOptions = {}): Driven {
  const driven = drive(options)
  driven.node.campaign()
  driven.drain()
  return driven
}

t.test('messages that are only ours are refused from others, answers of strangers too', async t => {
  const { node } = drive({ voters: [1, 2] })
  for (const [name, number] of Object.entries(type)) {
    const local = ['Hup', 'Beat', 'Unreachable', 'SnapshotStatus', 'CheckQuorum', 'StorageAppend',
      'StorageAppendResponse', 'StorageApply', 'StorageApplyResponse'].includes(name)
    const one = message({ type: number, from: 2, to: 1, index: 0 })
    if (local) t.equal(node.step(one), 'localMessage', name)
  }
  for (const kind of [type.AppendResponse, type.VoteResponse, type.HeartbeatResponse, type.ReadIndexResponse,
    type.PreVoteResponse]) {
    t.equal(node.step(message({ type: kind, from: 9, to: 1, term: 1 })), 'notFound')
  }
  t.equal(node.step(message({ type: type.StorageAppendResponse, from: localAppendThread, to: 1 })), 'ok')
})

t.test('proposals and configuration changes are committed, applied and told', async t => {
  const joint = (transition: ConfChangeTransition, ...changes: ConfChangeSingle[]): ConfChangeV2 =>
    ({ changes, transition, context: emptyBytes })
  const voter: ConfChangeSingle = { type: 'addNode', nodeId: asNode(2) }
  const learner: ConfChangeSingle = { type: 'addLearner', nodeId: asNode(2) }
  const cases: [ConfChange | ConfChangeV2, string][] = [
    [{ ...voter, context: emptyBytes }, 'Voters:[1 2] VotersOutgoing:[] Learners:[]'],
    [joint('auto', voter), 'Voters:[1 2] VotersOutgoing:[]'],
    [joint('auto', learner), 'Voters:[1] VotersOutgoing:[] Learners:[2]'],
    [joint('explicit', learner), 'Voters:[1] VotersOutgoing:[1] Learners:[2] LearnersNext:[] AutoLeave:false'],
    [joint('implicit', learner), 'Voters:[1] VotersOutgoing:[1] Learners:[2] LearnersNext:[] AutoLeave:true'],
    [joint('auto', voter, { ...learner, nodeId: asNode(3) }),
      'Voters:[1 2] VotersOutgoing:[1] Learners:[3] LearnersNext:[] AutoLeave:true'],
  ]
  for (const [change, expected] of cases) {
    const driven = lead()
    t.equal(driven.node.propose(utf8('before')), 'ok')
    t.equal(driven.node.proposeConfChange(change), 'ok')
    driven.drain()
    t.equal(fromUtf8(driven.applied[1]!.data), 'before')
    t.equal(driven.applied[2]!.type, 'changes' in change ? EntryType.ConfChangeV2 : EntryType.ConfChange)
    t.match(describeConfState(driven.states[0]!), expected)
    t.equal(driven.node.pendingConfIndex >= driven.applied[2]!.index, true)
  }
})

t.test('an implicit joint change is left by the leader itself, once it is applied', async t => {
  const driven = lead()
  const changes = [{ type: 'addLearner', nodeId: asNode(2) }] as const
  driven.node.proposeConfChange({ changes, transition: 'implicit', context: emptyBytes })
  driven.drain()
  t.equal(driven.states.length, 2)
  t.same(driven.states[1], confState([1], [2]))
  const last = driven.applied.at(-1)!
  t.same([last.type, last.data.length], [EntryType.ConfChangeV2, 0])
})

t.test('an explicit joint change stays until it is told to leave', async t => {
  const driven = lead()
  const changes = [{ type: 'addLearner', nodeId: asNode(2) }] as const
  driven.node.proposeConfChange({ changes, transition: 'explicit', context: emptyBytes })
  driven.drain()
  t.equal(driven.states.length, 1)
  t.equal(driven.node.proposeConfChange({ type: 'addNode', nodeId: asNode(2), context: emptyBytes }), 'refused')
  t.equal(driven.node.proposeConfChange(leaveJoint), 'ok')
  driven.drain()
  t.same(driven.states.at(-1), confState([1], [2]))
})

t.test('a change is refused while another may be unapplied, or when it would break the group', async t => {
  const driven = lead()
  const add: ConfChange = { type: 'addNode', nodeId: asNode(2), context: emptyBytes }
  t.equal(driven.node.proposeConfChange(leaveJoint), 'refused')
  t.equal(driven.node.proposeConfChange({ ...add, type: 'removeNode', nodeId: asNode(1) }), 'refused')
  t.equal(driven.node.confChangeRefusal({ ...add, type: 'removeNode', nodeId: asNode(1) }), 'removedAllVoters')
  t.equal(driven.node.confChangeRefusal(add), undefined)
  driven.drain()
  t.equal(driven.node.proposeConfChange(add), 'ok')
  t.equal(driven.node.proposeConfChange({ ...add, nodeId: asNode(3) }), 'refused')
  const before = driven.node.lastIndex
  driven.drain()
  t.same(driven.applied.filter(one => one.type !== EntryType.Normal).length, 1)
  t.equal(driven.node.lastIndex, before, 'a refused one leaves an empty entry, which is in the log already')
})

t.test('adding the same node twice is applied twice and changes nothing the second time', async t => {
  const driven = lead()
  const add: ConfChange = { type: 'addNode', nodeId: asNode(1), context: emptyBytes }
  for (let i = 0; i < 2; i++) {
    t.equal(driven.node.proposeConfChange(add), 'ok')
    driven.drain()
  }
  driven.node.proposeConfChange({ ...add, nodeId: asNode(2) })
  driven.drain()
  t.same(driven.states, [confState([1]), confState([1]), confState([1, 2])])
})

t.test('a new leader allows no change before it has applied everything it found', async t => {
  const node = new TestNode(1, { voters: [1, 2], log: [1, 1], hard: { term: 1, commit: 1 } }).makeLeader()
  t.equal(node.raft.pendingConfIndex, 2)
  const data = encodeConfChange({ type: 'addNode', nodeId: asNode(3), context: emptyBytes })
  const change = { type: EntryType.ConfChange, data }
  const entries = [{ ...entriesFrom(1, 1)[0]!, ...change }]
  t.equal(node.step({ type: type.Propose, entries }), 'refused')
})

t.test('membership: add, remove, learners; a removed voter may commit what waits', async t => {
  const node = new TestNode(1, { voters: [1, 2] }).makeLeader()
  node.change(['addNode', 3])
  t.same(node.raft.tracker.voterIds(), [1, 2, 3])
  t.equal(node.progress(3).recentActive, true, 'no quorum check before it could speak')
  node.change(['addLearner', 4])
  t.equal(node.progress(4).isLearner, true)
  node.change(['removeNode', 3])
  node.change(['removeNode', 4])
  t.same(node.raft.tracker.voterIds(), [1, 2])
  t.throws(() => node.change(['removeNode', 1], ['removeNode', 2]), /cannot be applied/)
  node.take()
  node.propose('waits for 2')
  node.take()
  t.equal(node.committed, 0)
  node.change(['removeNode', 2])
  t.equal(node.committed, 2)
})

t.test('a leader that was removed keeps leading without proposals, or steps down if so configured', async t => {
  for (const stepDownOnRemoval of [false, true]) {
    const node = new TestNode(1, { stepDownOnRemoval }).makeLeader()
    node.take()
    node.change(['removeNode', 1])
    t.equal(node.role, stepDownOnRemoval ? 'follower' : 'leader')
    t.equal(node.propose(), 'dropped')
  }
})

t.test('reads: states come in the Ready, once', async t => {
  const driven = lead()
  driven.node.propose(utf8('x'))
  driven.drain()
  t.equal(driven.node.readIndex(utf8('r')), 'ok')
  t.ok(driven.node.hasReady())
  driven.drain()
  t.same(driven.readies.at(-1)!.readStates.map(state => [state.index, fromUtf8(state.context)]), [[2, 'r']])
  t.notOk(driven.node.hasReady())
})

t.test('restart: nothing to do but what was committed and not applied', async t => {
  const driven = drive({ log: [1, 1], hard: { term: 1, vote: 1, commit: 1 } })
  const ready = driven.node.ready()
  t.same([ready.hardState, ready.softState, ready.entries, ready.mustSync], [undefined, undefined, [], false])
  t.same(ready.committedEntries.map(one => one.index), [1])
  driven.node.advance()
  t.notOk(driven.node.hasReady())
})

t.test('restart from a snapshot: the entries after it', async t => {
  const snapshot = snapshotAt(2, 1, confState([1, 2]))
  const driven = drive({ snapshot, log: [1], hard: { term: 1, commit: 3 }, applied: 2 })
  t.same(driven.node.ready().committedEntries.map(one => one.index), [3])
})

t.test('ready must be followed by advance, and mustSync tells commit moves from the rest', async t => {
  const driven = drive()
  driven.node.campaign()
  const ready = driven.node.ready()
  t.equal(ready.mustSync, true)
  t.throws(() => driven.node.ready(), /twice/)
  driven.node.advance()
  driven.drain()
  const commitOnly = driven.readies.find(each => each.entries.length === 0 && each.hardState !== undefined)!
  t.equal(commitOnly.mustSync, false)
})

t.test('an idle node has no Ready, and a tick of it makes none', async t => {
  const driven = drive({ voters: [1, 2, 3] })
  for (let i = 0; i < 9; i++) {
    driven.node.tick()
    t.notOk(driven.node.hasReady())
  }
})

t.test('status: the progress of all on the leader only', async t => {
  const driven = drive()
  t.equal(driven.node.status().progress.size, 0)
  driven.node.campaign()
  driven.drain()
  const status = driven.node.status()
  t.match({ ...status }, { id: 1, role: 'leader', term: 1, vote: 1, lead: 1, commit: 1, applied: 1, leadTransferee: 0 })
  t.match({ ...status.progress.get(asNode(1))! }, { match: 1, next: 2, state: 'replicate', recentActive: true })
  t.match(driven.node, { id: 1, role: 'leader', term: 1, lead: 1, committed: 1, lastIndex: 1, leadTransferee: 0 })
  t.equal(driven.node.termAt(driven.node.lastIndex), 1)
  t.equal(driven.node.termAt(99 as never), undefined)
})

t.test('async: nothing is acknowledged or applied before it is durable', async t => {
  const { node, storage } = drive({ asyncStorageWrites: true, voters: [1, 2] })
  t.throws(() => node.advance(), /no place/)
  node.step(message({ type: type.Append, from: 2, to: 1, term: 1, entries: entriesFrom(1, 1), commit: 1 }))
  const ready = node.ready()
  const append = ready.messages.find(one => one.to === localAppendThread)!
  t.equal(ready.messages.length, 1, 'no apply yet, though it is committed')
  t.match({ ...append }, { type: type.StorageAppend, term: 1, commit: 1 })
  t.same(append.responses.map(one => [one.to, one.type, one.index]),
    [[2, type.AppendResponse, 1], [1, type.StorageAppendResponse, 1]])
  t.notOk(node.hasReady())
  storage.append(append.entries)
  node.step(append.responses[1]!)
  const apply = node.ready().messages
  t.same(apply.map(one => [one.to, one.type]), [[localApplyThread, type.StorageApply]])
  t.equal(node.applied, 0)
  node.step(apply[0]!.responses[0]!)
  t.equal(node.applied, 1)
})

t.test('async: a write that was overtaken by a new term proves nothing (A, B, A at one index)', async t => {
  const { node, storage } = drive({ asyncStorageWrites: true, voters: [1, 2, 3] })
  const append = (from: number, term: number, entryTerm: number): Message => {
    node.step(message({ type: type.Append, from, to: 1, term, entries: entriesFrom(1, entryTerm) }))
    return node.ready().messages.find(one => one.type === type.StorageAppend)!
  }
  const writes = [append(2, 2, 2), append(3, 3, 3), append(2, 4, 2)]
  // The writes complete one after the other. Only the last one proves that entry 1 is durable, and can be
  // applied.
  const applied = writes.map(write => {
    storage.append(write.entries)
    for (const done of write.responses) if (done.to === 1) node.step(done)
    node.step(message({ type: type.Heartbeat, from: 2, to: 1, term: 4, commit: 1 }))
    return node.ready().messages.filter(one => one.type === type.StorageApply).length
  })
  t.same(applied, [0, 0, 1])
})

t.test('configuration changes survive their encoding; garbage does not decode', async t => {
  const single: ConfChange = { type: 'addLearner', nodeId: asNode(2 ** 52 + 3), context: utf8('store 7') }
  t.same(decodeConfChange(EntryType.ConfChange, encodeConfChange(single)),
    { changes: [{ type: 'addLearner', nodeId: 2 ** 52 + 3 }], transition: 'auto', context: utf8('store 7') })
  t.same(decodeConfChange(EntryType.ConfChangeV2, encodeConfChangeV2(leaveJoint)), leaveJoint)
  t.equal(encodeConfChangeV2(leaveJoint).length, 0)
  t.equal(decodeConfChange(EntryType.Normal, emptyBytes), undefined)
  for (const bytes of [[9], [0, 1], [3, 0], [0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0]]) {
    t.equal(decodeConfChange(EntryType.ConfChangeV2, Uint8Array.from(bytes)), undefined)
    t.equal(decodeConfChange(EntryType.ConfChange, Uint8Array.from([8, ...bytes])), undefined)
  }
})

t.test('a malformed change that reaches the leader is refused', async t => {
  const node = new TestNode(1, { voters: [1] }).makeLeader()
  node.take()
  node.apply()
  const entries = [{ ...entriesFrom(1, 1)[0]!, type: EntryType.ConfChangeV2, data: Uint8Array.of(9, 9, 9) }]
  t.equal(node.step({ type: type.Propose, entries }), 'refused')
})

t.test('a wrong configuration is told at the start', async t => {
  for (const wrong of [{ electionTicks: 1 }, { heartbeatTicks: 0 }, { maxInflightMessages: 0 },
    { maxInflightBytes: 1, maxSizePerMessage: 2 }, { leaseTicks: 11 }, { leaseTicks: 0 }]) {
    t.throws(() => new TestNode(1, wrong), { name: 'AssertionError' }, JSON.stringify(wrong))
  }
  t.throws(() => new TestNode(localAppendThread), /reserved/)
  t.throws(() => new TestNode(0), /nobody/)
})

t.test('async: a write that attested an entry that was replaced in the same term proves nothing', async t => {
  const { node, storage } = drive({ asyncStorageWrites: true, voters: [1, 2, 3] })
  const write = (): Message => {
    const [one] = node.ready().messages.filter(each => each.type === type.StorageAppend)
    return one!
  }
  node.step(message({ type: type.Append, from: 3, to: 1, term: 3, entries: entriesFrom(1, 3) }))
  const first = write()
  // Term 4 begins with a heartbeat: its HardState is written, and attests entry 1 of term 3. Then that is replaced.
  node.step(message({ type: type.Heartbeat, from: 2, to: 1, term: 4 }))
  const second = write()
  node.step(message({ type: type.Append, from: 2, to: 1, term: 4, entries: entriesFrom(1, 2), commit: 1 }))
  const third = write()
  const applied = [first, second, third].map(each => {
    storage.append(each.entries)
    for (const done of each.responses) if (done.to === 1) node.step(done)
    return node.ready().messages.filter(one => one.type === type.StorageApply).length
  })
  t.same(applied, [0, 0, 1])
})
