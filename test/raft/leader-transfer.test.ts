// Handing leadership over (Ongaro §3.10).
import t from 'tap'
import { TestNetwork, TestNode, confState, snapshotAt, type } from './node.js'
import type { NodeOptions } from './node.js'
import { emptyBytes } from '../../src/common/bytes.js'
import { encodeConfChange } from '../../src/raft/confchange/conf-change.js'
import { campaignTransferContext, entry, noNode } from '../../src/raft/message.js'
import { asNode } from '../../src/raft/numbers.js'
import { EntryType } from '../../src/raft/types.js'
import type { Message } from '../../src/raft/types.js'

function led(options: NodeOptions = {}): TestNetwork {
  const network = TestNetwork.of(3, options)
  network.campaign(1)
  return network
}

/** Asks `at` to make `to` the leader. */
const transfer = (network: TestNetwork, to: number, at = 1): void =>
  network.send({ type: type.TransferLeader, from: to, to: at })

/** Everyone's role, and whom node 1 is handing over to. */
function state(network: TestNetwork): string {
  const roles = [...network.nodes.values()].map(node => node.role[0]).join('')
  return `${roles} ${network.node(1).raft.leadTransferee}`
}

const leads = (leader: number): string => `${[1, 2, 3].map(id => id === leader ? 'l' : 'f').join('')} 0`

t.test('to a node that is up to date: at once, and back', async t => {
  const network = led()
  transfer(network, 2)
  t.equal(state(network), leads(2))
  network.propose(2)
  transfer(network, 1, 2)
  t.equal(state(network), leads(1))
})

t.test('asked at a follower, which passes it on', async t => {
  const network = led()
  transfer(network, 2, 2)
  t.equal(state(network), leads(2))
  network.propose(2)
  transfer(network, 1, 1)
  t.equal(state(network), leads(1))
})

t.test('with checkQuorum: the others vote although they hear their leader', async t => {
  const network = led({ checkQuorum: true })
  for (const node of network.nodes.values()) node.raft.randomizedElectionTicks = 10 + node.id
  network.node(2).ticks(10)
  transfer(network, 2)
  t.equal(state(network), leads(2))
  network.propose(2)
  transfer(network, 1, 2)
  t.equal(state(network), leads(1))
})

t.test('with pre-vote: the one that was chosen asks for real votes', async t => {
  const network = led({ preVote: true })
  transfer(network, 3)
  t.equal(state(network), leads(3))
  t.equal(network.node(3).term, 2)
})

t.test('to a slow follower: it is brought up to date first', async t => {
  const network = led()
  network.isolate(3)
  network.propose(1)
  network.recover()
  t.equal(network.node(1).progress(3).match, 1)
  transfer(network, 3)
  t.equal(state(network), leads(3))
})

t.test('to a follower that needs a snapshot first', async t => {
  const network = led()
  network.isolate(3)
  network.propose(1)
  const leader = network.node(1)
  leader.apply()
  leader.storage.createSnapshot(leader.raft.log.applied as never, confState([1, 2, 3]), new Uint8Array(0))
  leader.storage.compact(leader.raft.log.applied as never)
  network.recover()
  t.equal(leader.progress(3).match, 1)
  // The answer that the snapshot is applied is held back.
  network.filter = one => !(one.type === type.AppendResponse && one.from === 3 && !one.reject)
  transfer(network, 3)
  t.equal(leader.raft.leadTransferee, 3)
  network.filter = () => true
  network.node(3).persist()
  network.send({ type: type.AppendResponse, from: 3, to: 1, term: 1, index: 2 })
  t.equal(state(network), leads(3))
})

t.test('to itself, to a stranger: nothing happens', async t => {
  for (const to of [1, 4]) {
    const network = led()
    transfer(network, to)
    t.equal(state(network), leads(1))
  }
})

t.test('to a learner: nothing happens', async t => {
  const all = { voters: [1], learners: [2] }
  const network = new TestNetwork(new TestNode(1, all), new TestNode(2, all))
  network.campaign(1)
  network.heartbeat(1)
  transfer(network, 2)
  t.equal(network.node(1).role, 'leader')
  t.equal(network.node(1).raft.leadTransferee, 0)
})

t.test('it ends after an election timeout', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  t.equal(network.node(1).raft.leadTransferee, 3)
  network.node(1).ticks(1)
  t.equal(network.node(1).raft.leadTransferee, 3)
  network.node(1).ticks(9)
  t.equal(state(network), leads(1))
})

/** A leader (1) whose TimeoutNow to 3 is still under way. */
function lateTransfer(): { network: TestNetwork; late: Message[] } {
  const network = led({ checkQuorum: true, electionTicks: 15, leaseTicks: 7 })
  const late: Message[] = []
  network.filter = one => one.type !== type.TimeoutNow || late.push(one) === 0
  transfer(network, 3)
  network.heartbeat(1)
  return { network, late }
}

t.test('that TimeoutNow was sent is remembered: it may arrive late, and win within a lease', async t => {
  const { network, late } = lateTransfer()
  network.node(1).ticks(14)
  network.flush(1)
  t.same([network.node(1).term, network.node(1).raft.timeoutNowSent], [1, true])
  network.filter = () => true
  network.send(...late)
  t.equal(state(network), leads(3))
  t.equal(network.node(3).raft.timeoutNowSent, false)
})

t.test('a transfer that failed ends with a new term of the old leader: what was under way is void', async t => {
  const { network, late } = lateTransfer()
  network.node(1).ticks(15)
  network.flush(1)
  t.equal(state(network), leads(1))
  t.same([1, 2, 3].map(id => network.node(id).term), [2, 2, 2])
  t.equal(network.node(1).raft.timeoutNowSent, false, 'leases are safe again')
  network.heartbeat(1)
  network.filter = () => true
  network.send(...late)
  t.equal(state(network), leads(1))
  // Also the votes that somebody asked for in the term that is ours now.
  network.send(...[1, 2].map(to => ({ type: type.Vote, from: 3, to, term: 2, index: 9, logTerm: 2, context: campaignTransferContext })))
  t.equal(state(network), leads(1))
  network.propose(1)
  t.equal(network.node(3).lastIndex, network.node(1).lastIndex)
})

t.test('the term is not renewed without a quorum, without leases, nor with a change of members that is not applied', async t => {
  const alone = lateTransfer().network
  for (const id of [2, 3]) alone.node(1).progress(id).recentActive = false
  alone.node(1).ticks(15)
  t.same([alone.node(1).role, alone.node(1).term], ['follower', 1])
  const plain = led({ checkQuorum: true })
  plain.ignore(type.TimeoutNow)
  transfer(plain, 3)
  plain.heartbeat(1)
  plain.node(1).ticks(10)
  t.same([plain.node(1).role, plain.node(1).term], ['leader', 1])
  const changing = lateTransfer().network
  const node = changing.node(1)
  node.raft.leadTransferee = noNode
  node.step({ type: type.Propose, from: 1, entries: [entry({ term: 0, index: 0 }, EntryType.ConfChange,
    encodeConfChange({ type: 'addLearner', nodeId: asNode(4), context: emptyBytes }))] })
  changing.flush(1)
  t.ok(node.committed > node.raft.log.applied)
  node.ticks(15)
  t.same([node.role, node.term, node.raft.timeoutNowSent], ['leader', 1, true])
})

t.test('proposals are dropped meanwhile', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  const before = network.node(1).lastIndex
  t.equal(network.node(1).propose(), 'dropped')
  t.equal(network.node(1).lastIndex, before)
  t.equal(network.node(1).progress(1).match, before)
})

t.test('a vote of a higher term ends it', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  network.send({ type: type.Hup, to: 2 })
  t.equal(state(network), leads(2))
})

t.test('removing the one that was chosen ends it', async t => {
  const network = led()
  network.ignore(type.TimeoutNow)
  transfer(network, 3)
  t.equal(network.node(1).raft.leadTransferee, 3)
  network.node(1).change(['removeNode', 3])
  t.equal(state(network), leads(1))
})

t.test('demoting the one that was chosen ends it when the joint state is left', async t => {
  const network = led()
  network.ignore(type.TimeoutNow)
  transfer(network, 3)
  network.node(1).change(['removeNode', 3], ['addLearner', 3])
  t.equal(network.node(1).raft.leadTransferee, 3, 'still a voter of the outgoing half')
  network.node(1).change()
  t.equal(state(network), leads(1))
})

t.test('a transfer back to oneself ends it', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  transfer(network, 1)
  t.equal(state(network), leads(1))
})

t.test('a second one to another node takes its place', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  transfer(network, 2)
  t.equal(state(network), leads(2))
})

t.test('a second one to the same node does not prolong it', async t => {
  const network = led()
  network.isolate(3)
  transfer(network, 3)
  network.node(1).ticks(5)
  transfer(network, 3)
  t.equal(network.node(1).raft.leadTransferee, 3)
  network.node(1).ticks(5)
  t.equal(state(network), leads(1))
})

t.test('a node outside of the configuration ignores TimeoutNow', async t => {
  const node = new TestNode(1, { voters: [2, 3, 4] })
  node.step({ type: type.TimeoutNow, from: 2, term: 1 })
  for (const from of [2, 3]) node.step({ type: type.VoteResponse, from, term: 1 })
  t.equal(node.role, 'follower')
})

t.test('TimeoutNow means nothing to a candidate', async t => {
  const node = new TestNode(1)
  node.campaign()
  node.take()
  const { term } = node
  node.step({ type: type.TimeoutNow, from: 2, term })
  t.same([node.role, node.term, node.take()], ['candidate', term, []])
})

t.test('a snapshot on its way to a stranger is not made up', async t => {
  const snapshot = snapshotAt(5, 1, confState([1, 2]))
  const node = new TestNode(1, { snapshot, voters: [1, 2], applied: 5, hard: { term: 1, commit: 5 } })
  node.makeLeader()
  node.take()
  t.equal(node.step({ type: type.TransferLeader, from: 9 }), 'ok')
  t.same(node.take(), [])
})
