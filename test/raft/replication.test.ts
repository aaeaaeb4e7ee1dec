// Appends, acknowledgements and the commit index.
import t from 'tap'
import { TestNetwork, TestNode, brief, entriesFrom, type } from './node.js'
import type { NodeOptions } from './node.js'
import { seededRandom } from './random.js'
import type { Message } from '../../src/raft/types.js'

function led(count: number, options: NodeOptions = {}): TestNetwork {
  const network = TestNetwork.of(count, options)
  network.campaign(1)
  return network
}

t.test('proposals reach every log in order, through a change of leaders', async t => {
  const network = led(3)
  network.propose(1, 'a')
  network.campaign(2)
  network.propose(2, 'b')
  for (const node of network.nodes.values()) {
    t.equal(node.describeLog(), '1/1, 2/1 a, 3/2, 4/2 b commit=4')
    t.same(node.apply().map(one => Buffer.from(one.data).toString()), ['', 'a', '', 'b'])
  }
})

t.test('a learner is replicated to but not counted', async t => {
  const all = { voters: [1], learners: [2] }
  const network = new TestNetwork(new TestNode(1, all), new TestNode(2, all))
  network.campaign(1)
  network.heartbeat(1)
  network.propose(1)
  t.equal(network.node(1).committed, 2)
  t.equal(network.node(2).committed, 2)
  t.equal(network.node(1).progress(2).match, 2)
})

t.test('a sole voter commits at once', async t => {
  const network = led(1)
  network.propose(1)
  network.propose(1)
  t.equal(network.node(1).committed, 3)
})

t.test('entries of an earlier term stay uncommitted until one of the new term follows', async t => {
  const network = led(5)
  for (const id of [3, 4, 5]) network.cut(1, id)
  network.propose(1)
  network.propose(1)
  t.equal(network.node(1).committed, 1)
  network.recover()
  // 2 has the entries. Without its own empty entry through, nothing is committed.
  network.ignore(type.Append)
  network.campaign(2)
  t.equal(network.node(2).committed, 1)
  network.recover()
  network.heartbeat(2)
  network.propose(2)
  t.equal(network.node(2).committed, 5)
})

t.test('the empty entry of a new leader commits what earlier terms left', async t => {
  const network = led(5)
  for (const id of [3, 4, 5]) network.cut(1, id)
  network.propose(1)
  network.propose(1)
  network.recover()
  network.campaign(2)
  t.equal(network.node(1).committed, 4)
})

t.test('late messages of a deposed leader do no harm', async t => {
  const network = led(3)
  network.campaign(2)
  network.campaign(1)
  network.send({ type: type.Append, from: 2, to: 1, term: 2, index: 2, logTerm: 2, entries: entriesFrom(3, 2) })
  network.propose(1, 'x')
  for (const node of network.nodes.values()) t.equal(node.describeLog(), '1/1, 2/2, 3/3, 4/3 x commit=4')
})

t.test('proposals need a majority that lives', async t => {
  const cases = [[3, [], 2], [3, [3], 2], [3, [2, 3], 0], [4, [3, 4], 0], [5, [4, 5], 2]] as const
  for (const [size, dead, committed] of cases) {
    const network = TestNetwork.of(size)
    for (const id of dead) network.isolate(id)
    network.campaign(1)
    network.propose(1)
    t.equal(network.node(1).committed, committed, `${size} voters, ${dead.length} dead`)
  }
})

t.test('a follower forwards proposals to its leader, or drops them when told to', async t => {
  const network = led(3)
  network.propose(2, 'by proxy')
  for (const node of network.nodes.values()) t.equal(node.describeLog(), '1/1, 2/1 by proxy commit=2')
  t.equal(new TestNode(1).propose(), 'dropped', 'no leader known')
  const silent = new TestNode(1, { forwardProposals: false })
  silent.step({ type: type.Heartbeat, from: 2, term: 1 })
  silent.take()
  t.equal(silent.propose(), 'dropped')
  t.same(silent.take(), [])
})

t.test('the commit index is what a majority has matched, in the own term only', async t => {
  const cases: [number[], number[], number, number][] = [
    // match of each member, terms of the leader's log, term, commit
    [[1], [1], 1, 1], [[1], [1], 2, 0], [[2], [1, 2], 2, 2], [[1], [2], 2, 1],
    [[2, 1, 1], [1, 2], 1, 1], [[2, 1, 1], [1, 1], 2, 0], [[2, 1, 2], [1, 2], 2, 2], [[2, 1, 2], [1, 1], 2, 0],
    [[2, 1, 1, 1], [1, 2], 1, 1], [[2, 1, 1, 1], [1, 1], 2, 0], [[2, 1, 1, 2], [1, 2], 1, 1],
    [[2, 1, 1, 2], [1, 1], 2, 0], [[2, 1, 2, 2], [1, 2], 2, 2], [[2, 1, 2, 2], [1, 1], 2, 0],
  ]
  for (const [matches, log, term, commit] of cases) {
    const voters = matches.map((_, i) => i + 1)
    const node = new TestNode(1, { voters, log, hard: { term } })
    for (const id of voters) node.progress(id).maybeUpdate(matches[id - 1]!)
    node.raft.log.maybeCommit(node.raft.tracker.committed(), node.term)
    t.equal(node.committed, commit, `match ${matches}, log ${log}, term ${term}`)
  }
})

t.test('an append: refused, taken, overlapping, conflicting, shorter than the log', async t => {
  const cases: [string, [number, number, number, number[]], number, number, boolean][] = [
    // logTerm, index, commit, terms of entries → last index, commit, rejected
    ['wrong term of predecessor', [3, 2, 3, []], 2, 0, true],
    ['predecessor missing', [3, 3, 3, []], 2, 0, true],
    ['matches', [1, 1, 1, []], 2, 1, false],
    ['conflict at the front', [0, 0, 1, [2]], 1, 1, false],
    ['two new entries', [2, 2, 3, [2, 2]], 4, 3, false],
    ['one new entry, commit beyond it', [2, 2, 4, [2]], 3, 3, false],
    ['overlap', [1, 1, 4, [2]], 2, 2, false],
    ['commit is bounded by what the message confirms', [1, 1, 3, []], 2, 1, false],
    ['commit is bounded by the new entry', [1, 1, 3, [2]], 2, 2, false],
    ['commit is bounded by the last entry', [2, 2, 3, []], 2, 2, false],
    ['commit beyond the end', [2, 2, 4, []], 2, 2, false],
  ]
  for (const [name, [logTerm, index, commit, terms], last, committed, reject] of cases) {
    const node = new TestNode(1, { voters: [1], log: [1, 2], hard: { term: 2 } })
    const entries = entriesFrom(index + 1, ...terms)
    node.step({ type: type.Append, from: 2, term: 2, logTerm, index, commit, entries })
    t.same([node.lastIndex, node.committed, node.take()[0]!.reject], [last, committed, reject], name)
  }
})

t.test('a late, shorter append does not truncate what came after it', async t => {
  const node = new TestNode(2)
  node.step({ type: type.Append, from: 1, term: 1, entries: entriesFrom(1, 1, 1, 1, 1) })
  node.step({ type: type.Append, from: 1, term: 1, entries: entriesFrom(1, 1, 1) })
  t.same(node.terms(), [1, 1, 1, 1])
  t.same(node.take().map(one => one.index), [4, 2])
})

t.test('an append below the commit index is answered with the commit index', async t => {
  const node = new TestNode(1, { log: [1, 1, 1], hard: { term: 1, commit: 3 } })
  node.step({ type: type.Append, from: 2, term: 1, index: 1, logTerm: 1, entries: entriesFrom(2, 1) })
  t.equal(node.take()[0]!.index, 3)
})

t.test('a heartbeat moves the commit index forward only', async t => {
  for (const [commit, after] of [[3, 3], [1, 2]] as const) {
    const node = new TestNode(1, { voters: [1, 2], log: [1, 2, 3], hard: { term: 3, commit: 2 } })
    node.step({ type: type.Heartbeat, from: 2, term: 3, commit })
    t.equal(node.committed, after)
    t.match({ ...node.take()[0]! }, { type: type.HeartbeatResponse, to: 2 })
  }
})

t.test('heartbeats carry the commit index as far as the follower is known to hold it', async t => {
  const node = new TestNode(1, { log: [1, 1, 1], hard: { term: 1, commit: 3 } }).makeLeader()
  node.take()
  node.progress(2).match = 2
  node.progress(3).match = 7
  node.step({ type: type.Beat })
  t.same(node.take().map(one => [one.to, one.type, one.commit]), [[2, type.Heartbeat, 2], [3, type.Heartbeat, 3]])
})

t.test('only a leader beats', async t => {
  for (const [role, count] of [['follower', 0], ['candidate', 0], ['leader', 2]] as const) {
    const node = new TestNode(1, { log: [1], hard: { term: 1 } })
    if (role !== 'follower') node.raft.becomeCandidate()
    if (role === 'leader') node.raft.becomeLeader()
    node.take()
    node.step({ type: type.Beat })
    t.equal(node.take().filter(one => one.type === type.Heartbeat).length, count)
  }
})

t.test('a heartbeat response of a follower that lags makes the leader send again', async t => {
  const node = new TestNode(1, { voters: [1, 2], log: [1, 2, 3], hard: { term: 3 } }).makeLeader()
  node.raft.log.commitTo(node.lastIndex)
  node.take()
  for (let i = 0; i < 2; i++) {
    node.step({ type: type.HeartbeatResponse, from: 2, term: node.term })
    t.equal(node.take()[0]!.type, type.Append)
  }
  node.step({ type: type.AppendResponse, from: 2, term: node.term, index: node.lastIndex })
  node.take()
  node.step({ type: type.HeartbeatResponse, from: 2, term: node.term })
  t.same(node.take(), [], 'it has everything')
})

t.test('what an append response does to progress and what is sent then', async t => {
  const cases: [string, [number, boolean, number], [number, number], number, number][] = [
    // index, reject, hint → match, next; messages; commit sent
    ['stale, nothing known', [3, true, 3], [0, 3], 0, 0],
    ['refused: probe one lower', [2, true, 2], [0, 2], 1, 0],
    ['accepted: commit and broadcast', [2, false, 0], [2, 4], 2, 2],
    ['acknowledges what is matched: a probe is over', [0, false, 0], [0, 4], 1, 0],
  ]
  for (const [name, [index, reject, rejectHint], [match, next], count, commit] of cases) {
    const node = new TestNode(1, { log: [0, 1], hard: { term: 0 } })
    node.raft.becomeCandidate()
    node.raft.becomeLeader()
    node.take()
    node.step({ type: type.AppendResponse, from: 2, term: node.term, index, reject, rejectHint })
    t.same([node.progress(2).match, node.progress(2).next], [match, next], name)
    const sent = node.take()
    t.equal(sent.length, count, name)
    for (const one of sent) t.equal(one.commit, commit, name)
  }
})

t.test('while an answer is out, a probing follower gets nothing new', async t => {
  const node = new TestNode(1, { voters: [1, 2, 3] }).makeLeader()
  node.take()
  // 2 is up to date, 3 has not answered yet.
  node.step({ type: type.AppendResponse, from: 2, term: 1, index: 1 })
  t.equal(node.committed, 1)
  t.same(node.take().map(one => one.to), [2, 3])
  node.propose()
  t.same(node.take().map(one => [one.to, one.type, one.entries.length]), [[2, type.Append, 1]])
  // Now 3 answers as well: everything it misses goes out.
  node.step({ type: type.AppendResponse, from: 3, term: 1, index: 1 })
  t.same(node.take().map(one => [one.to, one.type, one.entries.map(each => each.index)]), [[3, type.Append, [2]]])
})

t.test('next runs ahead in replicate, not in probe', async t => {
  for (const [state, next] of [['replicate', 4 + 1 + 1], ['probe', 2]] as const) {
    const node = new TestNode(1, { voters: [1, 2], log: [1, 1, 1], hard: { term: 1 } }).makeLeader()
    const other = node.progress(2)
    if (state === 'replicate') other.becomeReplicate()
    else other.becomeProbe()
    other.next = 2
    node.propose()
    t.equal(other.next, next, state)
  }
})

t.test('the answer of an old term to ourselves does not count in the new one', async t => {
  const network = led(3)
  const node = network.node(1)
  node.propose()
  const own = node.raft.messagesAfterAppend
  node.raft.messagesAfterAppend = []
  network.campaign(2)
  t.equal(node.role, 'follower')
  network.campaign(1)
  t.equal(node.role, 'leader')
  const before = node.committed
  for (const one of own) node.raft.step(one)
  t.equal(node.committed, before)
})

/** Leader's log, follower's log, compacted up to: then the hint, and the next append. */
const rejections: [string, number[], number[], number, [number, number], [number, number]][] = [
  ['the leader skips a term that it does not have',
    [1, 2, 2, 4, 4, 4, 4], [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3], 0, [7, 3], [3, 2]],
  ['the leader stops at a term that both have',
    [1, 2, 2, 3, 4, 4, 4, 5], [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3], 0, [8, 3], [4, 3]],
  ['the follower skips greater terms', [1, 1, 1, 1], [1, 2, 2, 4], 0, [1, 1], [1, 1]],
  ['the same with a longer leader', [1, 1, 1, 1, 1, 1], [1, 2, 2, 4], 0, [1, 1], [1, 1]],
  ['the same with a longer follower', [1, 1, 1, 1], [1, 2, 2, 4, 4, 4], 0, [1, 1], [1, 1]],
  ['no conflict, only missing entries', [1, 1, 1, 4, 5], [1, 1, 1, 4], 0, [4, 4], [4, 4]],
  ['one old term against one new', [2, 5, 5, 5, 5, 5, 5, 5, 5], [2, 4, 4, 4, 4, 4], 0, [6, 4], [1, 2]],
  ['a long tail of a greater term', [2, 2, 2, 2, 2], [2, 4, 4, 4, 4, 4, 4, 4], 0, [1, 2], [1, 2]],
  ['the place is compacted at the follower', [1, 1, 3], [1, 1, 3, 3, 3], 5, [3, 0], [2, 1]],
]
for (const [name, leaderLog, followerLog, compacted, [hint, hintTerm], [next, nextTerm]] of rejections) {
  t.test(`fast rejection: ${name}`, async t => {
    const term = leaderLog.at(-1)!
    const leader = new TestNode(1, { log: leaderLog, hard: { term: term - 1, commit: leaderLog.length } }).makeLeader()
    leader.take()
    const follower = new TestNode(2, { log: followerLog, hard: { term, vote: 1 } })
    if (compacted > 0) follower.storage.compact(compacted as never)
    follower.step({ type: type.Heartbeat, from: 1, term })
    const exchange = (from: TestNode, to: TestNode): Message => {
      const sent = from.take()
      t.equal(sent.length, 1)
      to.raft.step(sent[0]!)
      return sent[0]!
    }
    t.equal(exchange(follower, leader).type, type.HeartbeatResponse)
    t.equal(exchange(leader, follower).type, type.Append)
    const refusal = exchange(follower, leader)
    t.match({ ...refusal }, { reject: true, rejectHint: hint, logTerm: hintTerm })
    t.match({ ...leader.take()[0]! }, { index: next, logTerm: nextTerm })
  })
}

t.test('a follower with a diverged tail is aligned in one round per term, not per entry', async t => {
  const run = (count: number, term: number): number[] => Array<number>(count).fill(term)
  const leader = new TestNode(1, { log: [...run(50, 1), ...run(50, 5)], hard: { term: 5 } })
  const follower = new TestNode(2, { log: [...run(50, 1), ...run(80, 3)], hard: { term: 5 } })
  const network = new TestNetwork(leader, follower)
  let appends = 0
  network.filter = one => {
    if (one.type === type.Append && one.to === 2) appends++
    return true
  }
  network.campaign(1)
  network.send({ type: type.VoteResponse, from: 3, to: 1, term: leader.term })
  t.same(follower.terms(), leader.terms())
  t.ok(appends <= 4, `${appends} appends`)
})

t.test('appends that arrive out of order, with refusals on the way, end in equal logs', async t => {
  const leader = new TestNode(1, { voters: [1, 2] }).makeLeader()
  leader.take()
  leader.step({ type: type.AppendResponse, from: 2, term: 1, index: 1 })
  const follower = new TestNode(2, { voters: [1, 2] })
  follower.step({ type: type.Append, from: 1, term: 1, entries: entriesFrom(1, 1) })
  follower.take()
  leader.take()
  for (const data of ['a', 'b', 'c']) leader.propose(data)
  const late = leader.take()
  t.equal(late.length, 3)
  // c overtakes a and b: refused. The leader starts again after what is matched.
  follower.raft.step(late[2]!)
  const refusal = follower.take()
  t.equal(refusal[0]!.reject, true)
  follower.raft.step(late[0]!)
  follower.raft.step(late[1]!)
  const network = new TestNetwork(leader, follower)
  network.send(...refusal, ...follower.take())
  t.equal(follower.describeLog(), '1/1, 2/1 a, 3/1 b, 4/1 c commit=4')
  t.equal(leader.committed, 4)
})

t.test('a network that loses, repeats and shuffles messages ends in equal logs', async t => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed)
    const nodes = [1, 2, 3].map(id => new TestNode(id, { voters: [1, 2, 3], maxInflightMessages: 4 }))
    const flight: Message[] = []
    const say = (node: TestNode): void => { flight.push(...node.take()) }
    nodes[0]!.campaign()
    for (let step = 0; step < 2_000; step++) {
      const node = nodes[random.below(3)]!
      if (step < 1_000 && random.below(20) === 0) node.propose(`${step}`)
      if (random.below(10) === 0) node.ticks(1)
      say(node)
      if (flight.length === 0) continue
      const [one] = flight.splice(random.below(Math.min(flight.length, 4)), 1)
      if (random.below(100) < 8 && step < 1_500) continue
      if (random.below(100) < 8) flight.push(one!)
      const to = nodes[one!.to - 1]!
      to.raft.step(one!)
      say(to)
    }
    const network = new TestNetwork(...nodes)
    const leader = nodes.find(node => node.role === 'leader') ?? nodes[0]!
    for (let i = 0; i < 3; i++) {
      if (leader.role !== 'leader') network.campaign(leader.id)
      network.heartbeat(leader.id)
      network.propose(leader.id, 'last')
    }
    const final = nodes.find(node => node.role === 'leader')!
    network.heartbeat(final.id)
    for (const node of nodes) t.equal(node.describeLog(), final.describeLog(), `seed ${seed}: node ${node.id}`)
  }
})

t.test('a deposed leader that was cut off loses what it could not commit', async t => {
  const network = led(3)
  network.isolate(1)
  network.propose(1, 'lost')
  network.campaign(2)
  network.propose(2, 'kept')
  network.recover()
  network.heartbeat(2)
  for (const node of network.nodes.values()) t.equal(node.describeLog(), '1/1, 2/2, 3/2 kept commit=3')
})

t.test('a conversation is the same whenever it is repeated', async t => {
  const run = (): string[] => {
    const seen: string[] = []
    const network = TestNetwork.of(3, { preVote: true })
    network.filter = one => seen.push(brief(one)) > 0
    network.campaign(1)
    network.propose(2)
    network.heartbeat(1)
    network.campaign(3)
    return seen
  }
  t.same(run(), run())
})
