// A follower that the log no longer reaches.
import t from 'tap'
import { TestNetwork, TestNode, confState, entriesFrom, snapshotAt, type } from './node.js'
import type { NodeOptions } from './node.js'
import type { ConfState } from '../../src/raft/types.js'
import { asNode } from '../../src/raft/numbers.js'

const at11 = snapshotAt(11, 11, confState([1, 2]))

/** Leader 1 of two, whose log begins after a snapshot at 11. */
function leaderAt11(options: NodeOptions = {}): TestNode {
  const hard = { term: 11, commit: 11 }
  const node = new TestNode(1, { voters: [1, 2], snapshot: at11, applied: 11, hard, ...options })
  node.makeLeader()
  node.take()
  return node
}

/** Follower 2 refuses what it cannot connect; then a snapshot is due. */
function needsSnapshot(node: TestNode): void {
  node.progress(2).next = node.raft.log.firstIndex()
  node.step({ type: type.AppendResponse, from: 2, term: node.term, index: node.progress(2).next - 1, reject: true })
}

t.test('sending a snapshot notes its index', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  t.same(node.take().map(one => [one.type, one.snapshot?.meta.index]), [[type.Snapshot, 11]])
  t.same([node.progress(2).state, node.progress(2).pendingSnapshot, node.progress(2).next], ['snapshot', 11, 12])
})

t.test('while a snapshot is pending nothing else is sent', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  node.take()
  node.propose()
  t.same(node.take(), [])
  node.step({ type: type.HeartbeatResponse, from: 2, term: node.term })
  t.same(node.take(), [])
})

t.test('a failed snapshot: probing goes on after match, at the next heartbeat', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  node.take()
  node.step({ type: type.SnapshotStatus, from: 2, reject: true })
  const { state, pendingSnapshot, next, flowPaused } = node.progress(2)
  t.same([state, pendingSnapshot, next, flowPaused], ['probe', 0, 1, true])
})

t.test('a delivered snapshot: probing goes on after it', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  node.take()
  node.step({ type: type.SnapshotStatus, from: 2 })
  const { state, pendingSnapshot, next, flowPaused } = node.progress(2)
  t.same([state, pendingSnapshot, next, flowPaused], ['probe', 0, 12, true])
  // A second report changes nothing.
  node.step({ type: type.SnapshotStatus, from: 2, reject: true })
  t.equal(node.progress(2).next, 12)
})

t.test('an append response at the snapshot or beyond aborts the waiting and streams on', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  node.take()
  node.step({ type: type.AppendResponse, from: 2, term: node.term, index: 11 })
  const { state, pendingSnapshot, match, next } = node.progress(2)
  t.same([state, pendingSnapshot, match, next], ['replicate', 0, 11, 13], 'the empty entry of the term is on its way')
  t.equal(node.progress(2).inflights.count, 1)
})

t.test('an append response that does not connect to the log keeps the waiting', async t => {
  const node = leaderAt11()
  needsSnapshot(node)
  node.take()
  node.step({ type: type.AppendResponse, from: 2, term: node.term, index: 5 })
  t.same([node.progress(2).state, node.progress(2).match], ['snapshot', 5])
})

t.test('no snapshot to a node that was not heard lately', async t => {
  const node = leaderAt11()
  node.progress(2).next = node.raft.log.firstIndex() - 1
  node.progress(2).recentActive = false
  node.propose()
  t.same(node.take(), [])
})

t.test('storage that is still making one is asked again later', async t => {
  let ready = false
  const node = leaderAt11()
  node.storage.snapshot = (index, to) => {
    t.same([index, to], [11, 2], 'at least the index before our log, for that follower')
    return ready ? at11 : 'temporarilyUnavailable'
  }
  needsSnapshot(node)
  t.same(node.take(), [])
  t.equal(node.progress(2).state, 'probe')
  ready = true
  node.step({ type: type.HeartbeatResponse, from: 2, term: node.term })
  t.same(node.take().map(one => one.type), [type.Snapshot])
})

t.test('an unreachable report turns the stream into a probe', async t => {
  const node = new TestNode(1, { voters: [1, 2], log: [1, 1, 1], hard: { term: 1 } }).makeLeader()
  node.take()
  node.progress(2).match = 3
  node.progress(2).becomeReplicate()
  node.progress(2).next = 6
  node.step({ type: type.Unreachable, from: 2 })
  t.same([node.progress(2).state, node.progress(2).next], ['probe', 4])
})

function follower(id: number, snapshotConf: ConfState, options: NodeOptions = {}): TestNode {
  const node = new TestNode(id, { voters: [1, 2], ...options })
  node.step({ type: type.Snapshot, from: 9, term: 1, snapshot: snapshotAt(11, 11, snapshotConf) })
  return node
}

t.test('restore: log, term, configuration; not twice; and no campaign before it is applied', async t => {
  const node = follower(1, confState([1, 2, 3]))
  t.same([node.lastIndex, node.raft.log.termOrZero(11), node.committed], [11, 11, 11])
  t.same(node.raft.tracker.voterIds(), [1, 2, 3])
  t.same(node.take().map(one => [one.type, one.index]), [[type.AppendResponse, 11]])
  node.step({ type: type.Snapshot, from: 9, term: 1, snapshot: snapshotAt(11, 11, confState([1, 2, 3])) })
  t.same(node.take().map(one => one.index), [11])
  node.ticks(40)
  t.equal(node.role, 'follower')
  node.persist()
  node.ticks(20)
  t.equal(node.role, 'candidate')
})

t.test('restore with learners: they are learners, and know it', async t => {
  const node = follower(3, confState([1, 2], [3]), { learners: [3] })
  t.equal(node.raft.isLearner, true)
  t.same(node.raft.tracker.config.learners.ids, [3])
  t.equal(follower(3, confState([1, 2], [3]), { learners: [] }).raft.isLearner, true, 'a stranger may become one')
})

t.test('restore in the middle of a joint change', async t => {
  const joint: ConfState = { ...confState([2, 3, 4]), votersOutgoing: [1, 2, 3].map(asNode) }
  const node = follower(1, joint, { voters: [1, 2, 3] })
  t.equal(node.lastIndex, 11)
  t.same(node.raft.tracker.confState(), joint)
  t.same(node.raft.tracker.voterIds(), [1, 2, 3, 4])
})

t.test('restore may demote a voter or promote a learner', async t => {
  const demoted = follower(2, confState([1], [2]))
  t.equal(demoted.raft.isLearner, true)
  t.equal(demoted.lastIndex, 11)
  const promoted = follower(2, confState([1, 2]), { voters: [1], learners: [2] })
  t.equal(promoted.raft.isLearner, false)
})

t.test('restore refuses a snapshot whose configuration does not have us', async t => {
  const node = follower(1, confState([2, 3]))
  t.same([node.lastIndex, node.committed], [0, 0])
  t.same(node.take().map(one => [one.type, one.index]), [[type.AppendResponse, 0]])
})

t.test('a snapshot that the log already holds only moves the commit index', async t => {
  const node = new TestNode(1, { voters: [1, 2], log: [1, 1, 1], hard: { term: 1, commit: 1 } })
  const snapshot = snapshotAt(2, 1, confState([1, 2]))
  node.step({ type: type.Snapshot, from: 2, term: 1, snapshot })
  t.same([node.committed, node.lastIndex, node.raft.log.hasPendingSnapshot], [2, 3, false])
  t.equal(node.take()[0]!.index, 2)
  node.step({ type: type.Snapshot, from: 2, term: 1, snapshot: snapshotAt(1, 1, confState([1, 2])) })
  t.same([node.committed, node.take()[0]!.index], [2, 2], 'an older one does nothing')
})

t.test('a snapshot replaces a conflicting tail, and entries that follow connect', async t => {
  const node = new TestNode(2, { log: [1, 1, 1, 1], hard: { term: 1, commit: 1 } })
  node.step({ type: type.Snapshot, from: 1, term: 3, snapshot: snapshotAt(4, 2, confState([1, 2, 3])) })
  node.step({ type: type.Append, from: 1, term: 3, index: 4, logTerm: 2, entries: entriesFrom(5, 3), commit: 5 })
  t.same(node.take().map(one => [one.index, one.reject]), [[4, false], [5, false]])
  t.same(node.raft.log.nextCommitted(true), [], 'the snapshot comes first')
  node.persist()
  t.same(node.apply().map(one => one.index), [5])
})

t.test('a new learner is brought up by a snapshot', async t => {
  const all = { voters: [1], learners: [2] }
  const snapshot = snapshotAt(11, 11, confState([1], [2]))
  const leader = new TestNode(1, { ...all, snapshot, applied: 11, hard: { term: 11, commit: 11 } })
  const learner = new TestNode(2, all)
  const network = new TestNetwork(leader, learner)
  leader.raft.randomizedElectionTicks = 10
  leader.ticks(10)
  network.flush(1)
  network.heartbeat(1)
  t.equal(learner.committed, leader.committed)
  t.equal(learner.lastIndex, 12)
})

t.test('a slow follower catches up through a snapshot, then by appends', async t => {
  const network = TestNetwork.of(3)
  network.campaign(1)
  network.isolate(3)
  const leader = network.node(1)
  for (let i = 0; i < 100; i++) network.propose(1)
  leader.apply()
  leader.storage.createSnapshot(leader.raft.log.applied as never, confState([1, 2, 3]), new Uint8Array(0))
  leader.storage.compact(leader.raft.log.applied as never)
  network.recover()
  for (let tries = 0; !leader.progress(3).recentActive && tries < 5; tries++) network.heartbeat(1)
  network.propose(1)
  network.node(3).persist()
  network.propose(1)
  network.heartbeat(1)
  t.equal(network.node(3).committed, leader.committed)
  t.equal(leader.progress(3).state, 'replicate')
})

t.test('a snapshot that was written under an old term still counts as applied', async t => {
  const node = follower(1, confState([1, 2]))
  const snapshot = node.raft.log.unstable.snapshot!
  node.step({ type: type.Heartbeat, from: 2, term: 5 })
  node.step({ type: type.StorageAppendResponse, term: 1, snapshot })
  t.equal(node.raft.log.hasPendingSnapshot, false)
  t.equal(node.raft.log.applied, 11)
})
