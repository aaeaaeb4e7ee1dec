// Who leads, and who must not: votes, pre-votes, quorum checks, mixed versions.
import t from 'tap'
import { campaignTransferContext } from '../../src/raft/message.js'
import { TestNetwork, TestNode, entriesFrom, type } from './node.js'
import type { NodeOptions } from './node.js'
import { EntryType } from '../../src/raft/types.js'
import type { Message } from '../../src/raft/types.js'
import { encodeConfChange, encodeConfChangeV2 } from '../../src/raft/confchange/conf-change.js'
import { entry } from '../../src/raft/message.js'
import { asNode } from '../../src/raft/numbers.js'
import { emptyBytes } from '../../src/common/bytes.js'
import type { RaftTrace } from '../../src/raft/trace.js'

const modes: [string, NodeOptions][] = [['plain', {}], ['pre-vote', { preVote: true }]]

for (const [mode, options] of modes) {
  const candidate = options.preVote ? 'preCandidate' : 'candidate'
  // A pre-candidate that cannot win has not raised its term.
  const lostTerm = options.preVote ? 0 : 1

  t.test(`${mode}: a candidate wins with a majority of live voters and else stays candidate`, async t => {
    const cases: [number, number[], string, number][] = [
      // voters, those who answer besides 1, outcome, term
      [3, [2, 3], 'leader', 1], [3, [2], 'leader', 1], [3, [], candidate, lostTerm],
      [4, [2], candidate, lostTerm], [5, [2, 3], 'leader', 1],
    ]
    for (const [size, alive, role, term] of cases) {
      const voters = Array.from({ length: size }, (_, i) => i + 1)
      const network = new TestNetwork(...[1, ...alive].map(id => new TestNode(id, { voters, ...options })))
      network.campaign(1)
      t.equal(network.node(1).role, role, `${size} voters, ${alive.length} others alive`)
      t.equal(network.node(1).term, term)
    }
  })

  t.test(`${mode}: a candidate with an older log is refused by those with a newer one`, async t => {
    const voters = [1, 2, 3, 4, 5]
    const network = new TestNetwork(
      new TestNode(1, { voters, ...options }), new TestNode(2, { voters, log: [1], hard: { term: 1 }, ...options }),
      new TestNode(3, { voters, log: [1], hard: { term: 1 }, ...options }),
      new TestNode(4, { voters, log: [1, 1], hard: { term: 1 }, ...options }), new TestNode(5, { voters, ...options }))
    for (let tries = 0; tries < 2; tries++) network.campaign(1)
    t.equal(network.node(1).role, 'follower')
    t.equal(network.node(1).term, options.preVote ? 1 : 2)
  })

  t.test(`${mode}: any voter can be elected after any other`, async t => {
    const network = TestNetwork.of(3, options)
    for (const id of [1, 2, 3, 1]) {
      network.campaign(id)
      for (const node of network.nodes.values()) t.equal(node.role, node.id === id ? 'leader' : 'follower')
    }
  })

  t.test(`${mode}: a new leader overwrites entries of a later term that were never committed`, async t => {
    // 1 led term 1 and wrote to 1 only; 2 too; 3 led term 2 and wrote to itself; 4 and 5 voted in term 2.
    const voters = [1, 2, 3, 4, 5]
    const member = (id: number, log: number[], vote: number): TestNode =>
      new TestNode(id, { voters, log, hard: { term: vote === 3 ? 2 : 1, vote }, ...options })
    const network = new TestNetwork(
      member(1, [1], 0), member(2, [1], 0), member(3, [2], 3), member(4, [], 3), member(5, [], 3))
    network.campaign(1)
    // The first try meets term 2, or is refused by the pre-vote; the second one is at a newer term.
    t.equal(network.node(1).role, 'follower')
    t.equal(network.node(1).term, 2)
    network.campaign(1)
    t.equal(network.node(1).role, 'leader')
    t.equal(network.node(1).term, 3)
    for (const node of network.nodes.values()) t.same(node.terms(), [1, 3], `log of ${node.id}`)
  })

  t.test(`${mode}: a vote is granted from any role when the term is newer and the log is not older`, async t => {
    for (const role of ['follower', 'preCandidate', 'candidate', 'leader']) {
      const node = new TestNode(1, { hard: { term: 1 } })
      if (role === 'preCandidate') node.raft.becomePreCandidate()
      if (role === 'candidate' || role === 'leader') node.raft.becomeCandidate()
      if (role === 'leader') node.raft.becomeLeader()
      node.take()
      const before = { role: node.role, term: node.term, vote: node.raft.vote }
      const asked = options.preVote ? type.PreVote : type.Vote
      node.step({ type: asked, from: 2, term: before.term + 1, logTerm: before.term + 1, index: 42 })
      const [answer] = node.take()
      t.equal(answer!.type, options.preVote ? type.PreVoteResponse : type.VoteResponse)
      t.equal(answer!.reject, false)
      const after = { role: node.role, term: node.term, vote: node.raft.vote }
      if (options.preVote) t.same(after, before, 'a pre-vote changes nothing')
      else t.same(after, { role: 'follower', term: before.term + 1, vote: 2 })
    }
  })

  t.test(`${mode}: of two candidates cut off from each other the one that reaches the third wins`, async t => {
    const network = TestNetwork.of(3, options)
    network.cut(1, 3)
    network.campaign(1)
    network.campaign(3)
    t.equal(network.node(1).role, 'leader')
    t.equal(network.node(3).role, options.preVote ? 'follower' : 'candidate')
    network.recover()
    // 3 has an older log: it wins nothing; without pre-vote its higher term deposes the leader.
    network.campaign(3)
    t.equal(network.node(3).role, 'follower')
    t.equal(network.roles(), options.preVote
      ? '1:leader@1 2:follower@1 3:follower@1' : '1:follower@2 2:follower@2 3:follower@2')
  })

  t.test(`${mode}: a sole voter elects itself`, async t => {
    const network = TestNetwork.of(1, options)
    network.campaign(1)
    t.equal(network.node(1).role, 'leader')
    t.equal(network.node(1).committed, 1)
  })

  t.test(`${mode}: a leader that is asked to campaign goes on leading`, async t => {
    const network = TestNetwork.of(1, options)
    network.campaign(1)
    const { term } = network.node(1)
    network.campaign(1)
    t.same([network.node(1).role, network.node(1).term], ['leader', term])
  })

  t.test(`${mode}: a candidate's vote for itself that arrives after it lost does not count again`, async t => {
    const node = new TestNode(1, options)
    node.campaign()
    const own = node.raft.messagesAfterAppend
    node.raft.messagesAfterAppend = []
    node.step({ type: type.Heartbeat, from: 2, term: node.term })
    t.equal(node.role, 'follower')
    for (const one of own) node.raft.step(one)
    t.equal(node.role, 'follower')
    t.equal(node.raft.tracker.votes.size, 0)
  })
}

t.test('a candidate whose own pre-vote comes late still needs a majority of real votes', async t => {
  const node = new TestNode(1, { preVote: true })
  node.campaign()
  const ownPreVote = node.raft.messagesAfterAppend
  node.raft.messagesAfterAppend = []
  for (const from of [2, 3]) node.step({ type: type.PreVoteResponse, from, term: node.term + 1 })
  t.equal(node.role, 'candidate')
  for (const one of ownPreVote) node.raft.step(one)
  t.equal(node.role, 'candidate')
  const ownVote = node.raft.messagesAfterAppend
  t.equal(node.raft.tracker.votes.size, 0)
  node.step({ type: type.VoteResponse, from: 2, term: node.term })
  t.equal(node.role, 'candidate')
  for (const one of ownVote) node.raft.step(one)
  t.equal(node.role, 'leader')
})

t.test('dueling pre-candidates do not raise terms', async t => {
  const network = TestNetwork.of(3, { preVote: true })
  network.cut(1, 3)
  network.campaign(1)
  network.campaign(3)
  network.recover()
  network.campaign(3)
  t.equal(network.node(3).term, 1)
  t.equal(network.node(1).term, 1)
})

t.test('a split pre-vote is solved by the next round', async t => {
  const network = TestNetwork.of(3, { preVote: true })
  network.campaign(1)
  network.isolate(1)
  // Both become candidates of the same term before they hear of each other.
  network.send({ type: type.Hup, to: 2 }, { type: type.Hup, to: 3 })
  t.equal(network.node(2).term, 2)
  t.equal(network.node(3).term, 2)
  t.same([network.node(2).role, network.node(3).role], ['candidate', 'candidate'])
  network.campaign(2)
  t.same([network.node(2).role, network.node(3).role], ['leader', 'follower'])
  t.equal(network.node(2).term, 3)
})

t.test('a candidate that hears the leader concedes and takes its log', async t => {
  const network = TestNetwork.of(3)
  network.isolate(1)
  network.campaign(1)
  network.campaign(3)
  t.equal(network.node(1).role, 'candidate')
  network.recover()
  network.heartbeat(3)
  network.propose(3, 'force')
  network.heartbeat(3)
  t.same([network.node(1).role, network.node(1).term], ['follower', 1])
  for (const id of [1, 2, 3]) t.equal(network.node(id).describeLog(), '1/1, 2/1 force commit=2')
})

t.test('a learner does not campaign, neither by time nor when asked', async t => {
  const network = new TestNetwork(
    new TestNode(1, { voters: [1], learners: [2] }), new TestNode(2, { voters: [1], learners: [2] }))
  const learner = network.node(2)
  learner.ticks(40)
  t.equal(learner.role, 'follower')
  learner.campaign()
  t.equal(learner.role, 'follower')
  network.campaign(1)
  t.equal(network.node(1).role, 'leader')
  // TimeoutNow must not make it a candidate either.
  learner.step({ type: type.TimeoutNow, from: 1, term: learner.term })
  t.equal(learner.role, 'follower')
})

t.test('a learner votes when asked: it may be a voter without knowing', async t => {
  const learner = new TestNode(2, { voters: [1], learners: [2] })
  learner.step({ type: type.Vote, from: 1, term: 2, logTerm: 11, index: 11 })
  const [answer] = learner.take()
  t.equal(answer!.type, type.VoteResponse)
  t.equal(answer!.reject, false)
})

t.test('a promoted learner can be elected', async t => {
  const network = new TestNetwork(
    new TestNode(1, { voters: [1], learners: [2] }), new TestNode(2, { voters: [1], learners: [2] }))
  network.campaign(1)
  network.heartbeat(1)
  for (const id of [1, 2]) network.node(id).change(['addNode', 2])
  t.equal(network.node(2).raft.isLearner, false)
  network.campaign(2)
  t.same([network.node(1).role, network.node(2).role], ['follower', 'leader'])
})

t.test('messages of an old term are not stepped', async t => {
  const node = new TestNode(1, { hard: { term: 2 } })
  t.equal(node.step({ type: type.AppendResponse, from: 2, term: 1 }), 'ok')
  node.step({ type: type.Append, from: 2, term: 1 })
  t.equal(node.lead, 0)
})

t.test('a candidate that hears a heartbeat or an append of its term follows its sender', async t => {
  for (const kind of [type.Heartbeat, type.Append]) {
    const network = TestNetwork.of(3)
    network.isolate(3)
    network.campaign(1)
    network.campaign(2)
    const stray = network.node(3)
    stray.raft.randomizedElectionTicks = 10
    stray.ticks(10)
    t.equal(stray.role, 'candidate')
    network.recover()
    network.send({ type: kind, from: 2, to: 3, term: 2, index: 0 })
    t.equal(stray.role, 'follower')
    t.equal(stray.term, 2)
  }
})

t.test('everybody steps down for a newer term, and only appends, heartbeats and snapshots name the leader', async t => {
  for (const role of ['follower', 'preCandidate', 'candidate', 'leader']) {
    const kinds = [[type.Vote, 0], [type.Append, 2], [type.Heartbeat, 2], [type.VoteResponse, 0]] as const
    for (const [kind, lead] of kinds) {
      const node = new TestNode(1)
      if (role === 'preCandidate') node.raft.becomePreCandidate()
      if (role === 'candidate' || role === 'leader') node.raft.becomeCandidate()
      if (role === 'leader') node.raft.becomeLeader()
      node.step({ type: kind, from: 2, term: 3, logTerm: 3, index: kind === type.Append ? 0 : 5 })
      t.same([node.role, node.term, node.lead], ['follower', 3, lead], `${role}, message ${kind}`)
    }
  }
})

t.test('checkQuorum: a leader that hears a majority goes on', async t => {
  const node = new TestNode(1, { checkQuorum: true }).makeLeader()
  for (let i = 0; i < 11; i++) {
    node.step({ type: type.HeartbeatResponse, from: 2, term: node.term })
    node.ticks(1)
  }
  t.equal(node.role, 'leader')
})

t.test('checkQuorum: a leader that hears no majority for a timeout steps down and drops its reads', async t => {
  const node = new TestNode(1, { checkQuorum: true }).makeLeader()
  node.step({ type: type.ReadIndex, context: Buffer.from('r') })
  t.equal(node.raft.pendingReads.length, 1)
  node.ticks(11)
  t.equal(node.role, 'follower')
  t.equal(node.raft.pendingReads.length + node.raft.readOnly.waiting, 0)
})

t.test('checkQuorum: a follower that hears its leader ignores candidates; after the timeout it votes', async t => {
  const network = TestNetwork.of(3, { checkQuorum: true })
  const [a, b, c] = [1, 2, 3].map(id => network.node(id)) as [TestNode, TestNode, TestNode]
  b.raft.randomizedElectionTicks = 11
  b.ticks(10)
  network.campaign(1)
  t.equal(a.role, 'leader')
  network.campaign(3)
  t.equal(c.role, 'candidate')
  t.equal(b.term, 1)
  // b's last word of the leader is now too old.
  b.ticks(10)
  network.campaign(3)
  t.equal(c.role, 'leader')
})

t.test('checkQuorum: an election without an earlier leader needs no patience', async t => {
  const network = TestNetwork.of(3, { checkQuorum: true })
  network.campaign(1)
  t.equal(network.node(1).role, 'leader')
  network.node(1).ticks(10)
  network.node(2).ticks(10)
  network.campaign(3)
  t.equal(network.node(1).role, 'follower')
  t.equal(network.node(3).role, 'leader')
})

t.test('checkQuorum: a candidate with a higher term is freed by the answer that it sends to the leader', async t => {
  const network = TestNetwork.of(3, { checkQuorum: true })
  const [a, b, c] = [1, 2, 3].map(id => network.node(id)) as [TestNode, TestNode, TestNode]
  network.campaign(1)
  network.isolate(1)
  network.campaign(3)
  network.campaign(3)
  t.same([b.role, c.role, c.term], ['follower', 'candidate', b.term + 2])
  network.recover()
  network.send({ type: type.Heartbeat, from: 1, to: 3, term: a.term })
  t.same([a.role, a.term], ['follower', c.term])
  network.campaign(3)
  t.equal(c.role, 'leader')
})

t.test('checkQuorum: a node that is no voter by its own configuration follows', async t => {
  const network = new TestNetwork(
    new TestNode(1, { voters: [1, 2], checkQuorum: true }), new TestNode(2, { voters: [1], checkQuorum: true }))
  t.equal(network.node(2).raft.promotable(), false)
  network.campaign(1)
  t.equal(network.node(1).role, 'leader')
  t.same([network.node(2).role, network.node(2).lead], ['follower', 1])
})

t.test('a follower that times out while the heartbeat is late deposes the leader, unless pre-votes are on', async t => {
  for (const preVote of [false, true]) {
    const network = TestNetwork.of(3, { checkQuorum: true, preVote })
    const [a, b, c] = [1, 2, 3].map(id => network.node(id)) as [TestNode, TestNode, TestNode]
    network.campaign(1)
    c.raft.randomizedElectionTicks = 12
    c.ticks(12)
    t.equal(c.role, preVote ? 'preCandidate' : 'candidate')
    network.send({ type: type.Heartbeat, from: 1, to: 3, term: a.term })
    t.same([a.role, b.role], [preVote ? 'leader' : 'follower', 'follower'])
    t.same([a.term, c.term], preVote ? [1, 1] : [2, 2])
  }
})

t.test('pre-vote with checkQuorum: the live leader\'s followers refuse, a dead leader\'s elect', async t => {
  const network = TestNetwork.of(3, { preVote: true, checkQuorum: true })
  network.campaign(1)
  network.isolate(1)
  network.campaign(2)
  t.same([network.node(2).role, network.node(3).role], ['preCandidate', 'follower'])
  // Once 3 also misses the leader, two pre-candidates agree.
  network.campaign(3)
  network.campaign(2)
  t.ok([network.node(2).role, network.node(3).role].includes('leader'))
})

t.test('a node with a smaller term can take part after a partition', async t => {
  const network = TestNetwork.of(3, { preVote: true })
  network.isolate(3)
  network.campaign(1)
  network.campaign(3)
  t.equal(network.node(3).role, 'preCandidate')
  network.campaign(2)
  t.equal(network.roles(), '1:follower@2 2:leader@2 3:preCandidate@0')
  network.recover()
  network.isolate(2)
  network.campaign(3)
  network.campaign(1)
  t.ok([network.node(1).role, network.node(3).role].includes('leader'))
})

function mixedVersions(): TestNetwork {
  // 3 ran without pre-votes, was cut off, raised its term to 4 and is now restarted with them.
  const network = TestNetwork.of(3, { preVote: true })
  const old = network.node(3)
  old.options.preVote = false
  for (const node of network.nodes.values()) node.raft.becomeFollower(1, 0 as never)
  network.campaign(1)
  network.isolate(3)
  network.propose(1)
  network.campaign(3)
  network.campaign(3)
  old.options.preVote = true
  network.recover()
  return network
}

t.test('mixed versions: an election completes though one node has a high term and an old log', async t => {
  const network = mixedVersions()
  t.equal(network.roles(), '1:leader@2 2:follower@2 3:candidate@4')
  network.isolate(1)
  network.campaign(3)
  network.campaign(2)
  t.equal(network.node(3).role, 'preCandidate')
  network.campaign(3)
  network.campaign(2)
  t.ok(network.node(2).role === 'leader' || network.node(3).role === 'follower')
})

t.test('mixed versions: a stuck pre-candidate is freed by the leader\'s heartbeat', async t => {
  const network = mixedVersions()
  network.campaign(3)
  network.campaign(3)
  t.equal(network.roles(), '1:leader@2 2:follower@2 3:preCandidate@4')
  network.send({ type: type.Heartbeat, from: 1, to: 3, term: 2 })
  t.same([network.node(1).role, network.node(1).term], ['follower', 4])
})

for (const version of ['ConfChange', 'ConfChangeV2'] as const) {
  t.test(`no campaign while a committed ${version} is not applied, by time or by TimeoutNow`, async t => {
    const network = TestNetwork.of(3)
    network.campaign(1)
    const removal = { type: 'removeNode', nodeId: asNode(2) } as const
    const data = version === 'ConfChange'
      ? encodeConfChange({ ...removal, context: emptyBytes })
      : encodeConfChangeV2({ changes: [removal], transition: 'auto', context: emptyBytes })
    const change = entry({ term: 0, index: 0 }, EntryType[version], data)
    network.send({ type: type.Propose, from: 1, to: 1, entries: [change] })
    network.heartbeat(1)
    const node = network.node(2)
    t.equal(node.committed, 2)
    node.ticks(20)
    t.equal(node.role, 'follower')
    network.send({ type: type.TransferLeader, from: 2, to: 1 })
    t.equal(network.node(1).role, 'leader')
    network.node(1).raft.leadTransferee = asNode(0)
    node.apply()
    network.send({ type: type.TransferLeader, from: 2, to: 1 })
    t.equal(node.role, 'leader')
  })
}

t.test('promotable: a voter of its own configuration, and nobody else', async t => {
  const cases: [number[], number[], boolean][] =
    [[[1], [], true], [[1, 2, 3], [], true], [[], [], false], [[2, 3], [], false], [[2], [1], false]]
  for (const [voters, learners, promotable] of cases) {
    t.equal(new TestNode(1, { voters, learners }).raft.promotable(), promotable, `voters ${voters}`)
  }
})

t.test('strict guard: votes are refused for leaseTicks after the leader spoke, not for the whole timeout', async t => {
  const seen: RaftTrace[] = []
  const node = new TestNode(1, { electionTicks: 15, leaseTicks: 7, trace: event => seen.push(event) })
  node.step({ type: type.Heartbeat, from: 2, term: 1 })
  node.take()
  for (const kind of [type.PreVote, type.Vote]) {
    node.step({ type: kind, from: 3, term: 2, logTerm: 1, index: 1 })
    t.same(node.take(), [], 'silence')
  }
  t.equal(seen.filter(event => event.kind === 'voteGuarded').length, 2)
  node.ticks(6)
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.same(node.take(), [])
  node.ticks(1)
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.equal(node.take()[0]!.reject, false)
})

t.test('strict guard: neither forgetting the leader nor an own campaign ends it', async t => {
  const node = new TestNode(1, { electionTicks: 15, leaseTicks: 7 })
  node.step({ type: type.Heartbeat, from: 2, term: 1 })
  node.take()
  node.step({ type: type.ForgetLeader })
  node.campaign()
  t.equal(node.role, 'follower', 'its own vote would break the lease as well')
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.same(node.take(), [])
  node.ticks(7)
  node.campaign()
  t.equal(node.role, 'candidate')
})

t.test('strict guard: a transfer passes it, as candidate and as voter', async t => {
  const network = TestNetwork.of(3, { checkQuorum: true, preVote: true, electionTicks: 15, leaseTicks: 7 })
  network.campaign(1)
  network.heartbeat(1)
  network.send({ type: type.TransferLeader, from: 2, to: 1 })
  t.equal(network.roles(), '1:follower@2 2:leader@2 3:follower@2')
  const voter = new TestNode(1, { electionTicks: 15, leaseTicks: 7 })
  voter.step({ type: type.Heartbeat, from: 2, term: 1 })
  voter.take()
  voter.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1, context: campaignTransferContext })
  t.equal(voter.take()[0]!.reject, false)
})

t.test('strict guard: a restarted node honours the lease that it may have granted before', async t => {
  const node = new TestNode(1, { electionTicks: 15, leaseTicks: 7, guardVotesAtStart: true, hard: { term: 1 } })
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  node.campaign()
  t.same([node.take(), node.role], [[], 'follower'])
  node.ticks(7)
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.equal(node.take()[0]!.reject, false)
  const single = new TestNode(1, { voters: [1], electionTicks: 15, leaseTicks: 7, guardVotesAtStart: true })
  single.campaign()
  single.take()
  t.equal(single.role, 'leader', 'a sole voter has granted nothing')
})

t.test('strict guard: a leader under checkQuorum ignores candidates all the time', async t => {
  const node = new TestNode(1, { checkQuorum: true, electionTicks: 15, leaseTicks: 7 }).makeLeader()
  node.take()
  node.ticks(9)
  node.take()
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 9, index: 9 })
  t.same([node.take(), node.role, node.term], [[], 'leader', 1])
})

t.test('votes of the same term are not guarded, they are simply taken', async t => {
  const node = new TestNode(1, { log: [1], hard: { term: 1, vote: 3 } })
  node.step({ type: type.Append, from: 3, term: 1, index: 1, logTerm: 1, entries: entriesFrom(2, 1) })
  node.take()
  node.step({ type: type.Vote, from: 2, term: 1, logTerm: 1, index: 5 })
  t.equal(node.take()[0]!.reject, true)
})

t.test('a follower that knows the leader of its term votes for nobody else, though it has not voted', async t => {
  const node = new TestNode(1)
  node.step({ type: type.Heartbeat, from: 2, term: 1 })
  node.take()
  node.step({ type: type.Vote, from: 3, term: 1, logTerm: 1, index: 5 })
  t.equal(node.take()[0]!.reject, true)
  t.equal(node.raft.vote, 0)
})

t.test('strict guard: a vote of a term that is ours already is guarded as well', async t => {
  // 1 leads term 1 and reads by the answers of 2 and 3; 4 asked for votes of term 2 before, and his voices come late.
  const voters = [1, 2, 3, 4, 5]
  const node = new TestNode(2, { voters, checkQuorum: true, preVote: true, electionTicks: 15, leaseTicks: 7 })
  node.step({ type: type.Heartbeat, from: 1, term: 1 })
  t.equal(node.take()[0]!.type, type.HeartbeatResponse)
  // Somebody of term 2 refuses an old pre-vote of ours: we are of term 2 now, have voted for nobody, and know no leader.
  node.step({ type: type.PreVoteResponse, from: 5, term: 2, reject: true })
  t.same([node.term, node.lead, node.raft.vote, node.raft.guardTicksLeft], [2, 0, 0, 7])
  for (const kind of [type.PreVote, type.Vote]) {
    node.step({ type: kind, from: 4, term: 2, logTerm: 1, index: 1 })
    t.same(node.take(), [], 'silence')
  }
  t.equal(node.raft.vote, 0)
  node.step({ type: type.Vote, from: 4, term: 2, logTerm: 1, index: 1, context: campaignTransferContext })
  t.same(node.take().map(one => [one.type, one.reject]), [[type.VoteResponse, false]], 'the leader itself chose this one')
})

t.test('strict guard: five voters, a lease and an election that began before it', async t => {
  const network = TestNetwork.of(5, { checkQuorum: true, preVote: false, electionTicks: 15, leaseTicks: 7 })
  network.campaign(1)
  const late: Message[] = []
  network.filter = one => {
    if (one.type !== type.Vote) return true
    late.push(one)
    return false
  }
  // 4 has heard nobody for long and asks; what it says is under way for a while.
  network.node(4).campaign()
  while (network.node(4).role !== 'candidate') network.node(4).ticks(1)
  network.flush(4)
  t.same([network.node(4).term, late.map(one => one.to)], [2, [1, 2, 3, 5]])
  network.recover()
  network.cut(1, 5)
  network.heartbeat(1)
  network.filter = one => one.type !== type.HeartbeatResponse && one.type !== type.AppendResponse
  // Another message of term 2 gets through first.
  for (const id of [2, 3]) network.send({ type: type.VoteResponse, from: 4, to: id, term: 2, reject: true })
  t.same([2, 3].map(id => [network.node(id).term, network.node(id).raft.guardTicksLeft > 0]), [[2, true], [2, true]])
  network.send(...late.filter(one => one.to !== 1))
  t.not(network.node(4).role, 'leader', 'two of its five voters may be what somebody reads by')
  for (const id of [2, 3]) network.node(id).ticks(7)
  network.send(...late.filter(one => one.to !== 1))
  t.equal(network.node(4).role, 'leader')
})

t.test('strict guard: who has voted says so again, to the same candidate only', async t => {
  const voter = new TestNode(1, { electionTicks: 15, leaseTicks: 7, guardVotesAtStart: true, hard: { term: 2, vote: 3 } })
  voter.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.same(voter.take().map(one => [one.type, one.to, one.reject]), [[type.VoteResponse, 3, false]], 'it is a promise of before')
  voter.step({ type: type.PreVote, from: 3, term: 2, logTerm: 1, index: 1 })
  voter.step({ type: type.Vote, from: 2, term: 2, logTerm: 1, index: 1 })
  t.same(voter.take(), [])
})

t.test('strict guard: a learner keeps quiet too, and goes on doing so as a voter', async t => {
  const node = new TestNode(1, { voters: [2, 3], learners: [1], electionTicks: 15, leaseTicks: 7 })
  node.step({ type: type.Heartbeat, from: 2, term: 1 })
  node.take()
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.same(node.take(), [])
  node.change(['addNode', 1])
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.same(node.take(), [])
  node.campaign()
  t.equal(node.role, 'follower')
  node.ticks(7)
  node.step({ type: type.Vote, from: 3, term: 2, logTerm: 1, index: 1 })
  t.equal(node.take()[0]!.reject, false)
})
