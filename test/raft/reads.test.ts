// Linearizable reads (Ongaro §6.4): by a round of heartbeats, or by the lease of checkQuorum.
import t from 'tap'
import { fromUtf8, utf8 } from '../../src/common/bytes.js'
import { TestNetwork, TestNode, type } from './node.js'
import type { NodeOptions } from './node.js'

function group(options: NodeOptions = {}): TestNetwork {
  const network = TestNetwork.of(3, options)
  network.campaign(1)
  return network
}

const read = (network: TestNetwork, id: number, context: string): void =>
  network.send({ type: type.ReadIndex, to: id, context: utf8(context) })

/** Takes what a node may serve now. */
function served(node: TestNode): string[] {
  const states = node.raft.readStates
  node.raft.readStates = []
  return states.map(state => `${state.index}:${fromUtf8(state.context)}`)
}

t.test('safe: the leader and followers get the commit index of the moment they asked', async t => {
  const network = group()
  for (const [id, index, context] of
    [[1, 11, 'a'], [2, 21, 'b'], [3, 31, 'c'], [1, 41, 'd'], [2, 51, 'e'], [3, 61, 'f']] as const) {
    for (let i = 0; i < 10; i++) network.propose(1)
    read(network, id, context)
    t.same(served(network.node(id)), [`${index}:${context}`])
  }
})

t.test('safe: without a majority nothing is served, and a new leader elsewhere does not matter', async t => {
  const network = group()
  network.isolate(1)
  read(network, 1, 'stale?')
  network.campaign(2)
  network.propose(2)
  t.same(served(network.node(1)), [])
  network.recover()
  network.heartbeat(2)
  t.same(served(network.node(1)), [])
  t.equal(network.node(1).raft.readOnly.waiting, 0, 'given up with the leadership')
})

t.test('safe: many reads share rounds; a later answer confirms the earlier ones, in order', async t => {
  const network = group()
  const leader = network.node(1)
  for (const context of ['a', 'b', 'c']) leader.step({ type: type.ReadIndex, context: utf8(context) })
  const beats = leader.take().filter(one => one.type === type.Heartbeat && one.to === 2)
  t.equal(beats.length, 3)
  const follower = network.node(2)
  follower.raft.step(beats[2]!)
  leader.raft.step(follower.take()[0]!)
  t.same(served(leader), ['2:a', '2:b', '2:c'].map(text => text.replace('2:', '1:')))
  // The answers to the older heartbeats say nothing new.
  follower.raft.step(beats[0]!)
  leader.raft.step(follower.take()[0]!)
  t.same(served(leader), [])
})

t.test('safe: an answer to an earlier heartbeat does not confirm a later read', async t => {
  const network = group()
  const leader = network.node(1)
  leader.step({ type: type.ReadIndex, context: utf8('a') })
  const beat = leader.take().find(one => one.to === 2)!
  network.node(2).raft.step(beat)
  const answer = network.node(2).take()[0]!
  leader.step({ type: type.ReadIndex, context: utf8('b') })
  leader.take()
  leader.raft.step(answer)
  t.same(served(leader), ['1:a'])
})

t.test('safe: heartbeats carry a context only while reads wait', async t => {
  const network = group()
  const leader = network.node(1)
  leader.step({ type: type.Beat })
  t.ok(leader.take().every(one => one.context.length === 0))
  leader.step({ type: type.ReadIndex, context: utf8('a') })
  t.ok(leader.take().every(one => one.context.length === 8))
  leader.step({ type: type.Beat })
  const again = leader.take()
  t.ok(again.every(one => one.context.length === 8), 'a lost round is repeated by the next heartbeat')
  network.send(...again)
  t.same(served(leader), ['1:a'])
  leader.step({ type: type.Beat })
  t.ok(leader.take().every(one => one.context.length === 0))
})

t.test('safe: memory is freed with the answer', async t => {
  const network = group()
  for (let i = 0; i < 10; i++) read(network, 1, `${i}`)
  t.equal(network.node(1).raft.readOnly.waiting, 0)
  t.equal(served(network.node(1)).length, 10)
})

t.test('safe: two reads with equal contexts are two reads', async t => {
  const network = group()
  network.isolate(1)
  read(network, 1, 'same')
  read(network, 1, 'same')
  t.equal(network.node(1).raft.readOnly.waiting, 2)
  network.recover()
  network.heartbeat(1)
  t.same(served(network.node(1)), ['1:same', '1:same'])
})

t.test('safe: a learner can ask, and its answers to heartbeats do not count', async t => {
  const all = { voters: [1], learners: [2] }
  const network = new TestNetwork(new TestNode(1, all), new TestNode(2, all))
  network.campaign(1)
  network.heartbeat(1)
  network.propose(1)
  for (const id of [1, 2]) {
    read(network, id, 'x')
    t.same(served(network.node(id)), ['2:x'])
  }
  // Three voters, two of them silent, one learner that answers: no majority.
  const wide = { voters: [1, 3, 4], learners: [2] }
  const node = new TestNode(1, wide).makeLeader()
  node.take()
  for (const from of [3, 4]) node.step({ type: type.AppendResponse, from, term: 1, index: 1 })
  node.take()
  node.step({ type: type.ReadIndex, context: utf8('x') })
  const toLearner = node.take().find(one => one.to === 2)!
  node.step({ type: type.HeartbeatResponse, from: 2, term: 1, context: toLearner.context })
  t.same(served(node), [])
  node.step({ type: type.HeartbeatResponse, from: 3, term: 1, context: toLearner.context })
  t.same(served(node), ['1:x'])
})

t.test('lease: served at once from the commit index, by leader and followers', async t => {
  const network = group({ readOnly: 'leaseBased', checkQuorum: true })
  for (const [id, index] of [[1, 6], [2, 11], [3, 16]] as const) {
    for (let i = 0; i < 5; i++) network.propose(1)
    network.ignore(type.Heartbeat)
    read(network, id, 'x')
    network.recover()
    t.same(served(network.node(id)), [`${index}:x`])
  }
})

t.test('lease: it needs checkQuorum', async t => {
  t.throws(() => new TestNode(1, { readOnly: 'leaseBased' }), /checkQuorum/)
})

t.test('a new leader serves nothing before an entry of its term is committed, then all that waited', async t => {
  for (const readOnly of ['safe', 'leaseBased'] as const) {
    // The first entry is committed by an earlier leader; 1 does not know that of the second one.
    const network = new TestNetwork(
      new TestNode(1, { log: [1, 1], hard: { term: 1, commit: 1 }, readOnly, checkQuorum: true }),
      new TestNode(2, { log: [1, 1], hard: { term: 1, commit: 2 }, readOnly, checkQuorum: true }),
      new TestNode(3, { log: [1, 1], hard: { term: 1, commit: 2 }, readOnly, checkQuorum: true }))
    network.ignore(type.Append)
    network.campaign(1)
    t.equal(network.node(1).role, 'leader')
    read(network, 1, 'x')
    read(network, 2, 'y')
    network.heartbeat(1)
    t.same(served(network.node(1)), [], readOnly)
    t.equal(network.node(1).raft.pendingReads.length, 1, 'the follower does not know a leader yet')
    network.recover()
    network.heartbeat(1)
    t.same(served(network.node(1)), ['3:x'], readOnly)
    read(network, 2, 'z')
    t.same(served(network.node(2)), ['3:z'])
  }
})

t.test('without a leader a read is dropped', async t => {
  const node = new TestNode(1)
  t.equal(node.step({ type: type.ReadIndex, context: utf8('x') }), 'dropped')
  node.raft.becomeCandidate()
  t.equal(node.step({ type: type.ReadIndex, context: utf8('x') }), 'dropped')
})

t.test('reads that waited for the first commit are dropped with the leadership', async t => {
  const network = TestNetwork.of(3)
  network.ignore(type.Append)
  network.campaign(1)
  read(network, 1, 'x')
  t.equal(network.node(1).raft.pendingReads.length, 1)
  network.recover()
  network.campaign(2)
  network.campaign(1)
  t.equal(network.node(1).role, 'leader')
  t.same(served(network.node(1)), [])
})

t.test('a sole voter serves its own read at once', async t => {
  const network = TestNetwork.of(1)
  network.campaign(1)
  read(network, 1, 'x')
  t.same(served(network.node(1)), ['1:x'])
})

t.test('a sole voter that has just been elected serves nothing before an entry of its term is committed', async t => {
  for (const readOnly of ['safe', 'leaseBased'] as const) {
    // Both entries were committed and acknowledged; the crash has lost the newest commit index, which is not synced.
    const node = new TestNode(1, { voters: [1], log: [1, 1], hard: { term: 1, commit: 1 }, readOnly, checkQuorum: true }).makeLeader()
    node.step({ type: type.ReadIndex, context: utf8('x') })
    t.same(served(node), [], readOnly)
    node.take()
    t.same(served(node), ['3:x'], readOnly)
  }
})

t.test('in a joint configuration both halves must confirm', async t => {
  const node = new TestNode(1, { voters: [1, 2, 3] }).makeLeader()
  node.take()
  for (const from of [2, 3]) node.step({ type: type.AppendResponse, from, term: 1, index: 1 })
  node.change(['addNode', 4], ['addNode', 5], ['removeNode', 2], ['removeNode', 3])
  node.take()
  node.step({ type: type.ReadIndex, context: utf8('x') })
  const { context } = node.take().find(one => one.to === 2)!
  node.step({ type: type.HeartbeatResponse, from: 2, term: 1, context })
  t.same(served(node), [], 'outgoing half only')
  node.step({ type: type.HeartbeatResponse, from: 4, term: 1, context })
  t.same(served(node), ['1:x'])
})

t.test('a malformed heartbeat context confirms nothing', async t => {
  const network = group()
  const leader = network.node(1)
  leader.step({ type: type.ReadIndex, context: utf8('x') })
  leader.take()
  for (const context of [utf8('x'), new Uint8Array(8).fill(255), new Uint8Array(9)]) {
    leader.step({ type: type.HeartbeatResponse, from: 2, term: 1, context })
  }
  t.same(served(leader), [])
})

t.test('safe: answers that arrive late do not take back what newer ones confirmed', async t => {
  const node = new TestNode(1, { voters: [1, 2, 3, 4, 5] }).makeLeader()
  node.take()
  for (const from of [2, 3]) node.step({ type: type.AppendResponse, from, term: 1, index: 1 })
  node.take()
  const contexts = ['a', 'b'].map(context => {
    node.step({ type: type.ReadIndex, context: utf8(context) })
    return node.take().find(one => one.type === type.Heartbeat)!.context
  })
  const answer = (from: number, context: Uint8Array): void => {
    node.step({ type: type.HeartbeatResponse, from, term: 1, context })
  }
  answer(2, contexts[1]!)
  answer(2, contexts[0]!)
  t.same(served(node), [])
  answer(3, contexts[1]!)
  t.same(served(node), ['1:a', '1:b'])
})
