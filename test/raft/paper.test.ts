// The rules of the Raft paper ("In search of an understandable consensus algorithm", extended version), one
// by one.
import t from 'tap'
import { TestNetwork, TestNode, entriesFrom, type } from './node.js'
import type { Message } from '../../src/raft/types.js'

const roles = ['follower', 'candidate', 'leader'] as const

function inRole(role: (typeof roles)[number], id = 1, voters = [1, 2, 3]): TestNode {
  const node = new TestNode(id, { voters })
  if (role === 'follower') node.raft.becomeFollower(1, 2 as never)
  if (role !== 'follower') node.raft.becomeCandidate()
  if (role === 'leader') node.raft.becomeLeader()
  node.take()
  return node
}

/** A leader whose empty entry is committed. */
function settledLeader(voters = [1, 2, 3]): TestNode {
  const node = new TestNode(1, { voters }).makeLeader()
  node.take()
  for (const from of voters.slice(1)) node.step({ type: type.AppendResponse, from, term: node.term, index: 1 })
  node.take()
  node.apply()
  return node
}

const kinds = (messages: readonly Message[]): string => messages.map(one => `${one.to}:${one.type}`).sort().join(' ')

for (const role of roles) {
  t.test(`§5.1 a ${role} that sees a greater term takes it and becomes follower`, async t => {
    const node = inRole(role)
    node.step({ type: type.Append, from: 2, term: 2 })
    t.equal(node.term, 2)
    t.equal(node.role, 'follower')
  })
}

t.test('§5.1 a message of an old term changes nothing', async t => {
  const node = new TestNode(1, { hard: { term: 2 }, log: [1] })
  node.step({ type: type.Append, from: 2, term: 1, index: 1, logTerm: 1, entries: entriesFrom(2, 1), commit: 2 })
  t.equal(node.lastIndex, 1)
  t.equal(node.lead, 0)
  t.same(node.take(), [])
})

t.test('§5.2 a server starts as follower', async t => {
  t.equal(new TestNode(1).role, 'follower')
})

t.test('§5.2 a leader sends heartbeats to everyone, with no entries', async t => {
  const node = settledLeader()
  node.propose()
  node.take()
  node.ticks(1)
  const beats = node.take()
  t.equal(kinds(beats), `2:${type.Heartbeat} 3:${type.Heartbeat}`)
  t.ok(beats.every(one => one.entries.length === 0 && one.term === 1))
})

for (const role of ['follower', 'candidate'] as const) {
  t.test(`§5.2 a ${role} whose timeout ends raises the term, votes for itself and asks all others`, async t => {
    const node = inRole(role)
    const before = node.term
    node.ticks(2 * 10)
    t.equal(node.term, before + 1)
    t.equal(node.role, 'candidate')
    t.equal(node.raft.vote, 1)
    t.equal(kinds(node.take()), `2:${type.Vote} 3:${type.Vote}`)
    t.equal(node.raft.tracker.votes.get(1), true)
  })
}

t.test('§5.2 an election is won by a majority, lost by a majority of refusals, else pending', async t => {
  const cases: [number, Record<number, boolean>, string][] = [
    [1, {}, 'leader'],
    [3, { 2: true, 3: true }, 'leader'], [3, { 2: true }, 'leader'],
    [5, { 2: true, 3: true, 4: true, 5: true }, 'leader'], [5, { 2: true, 3: true, 4: true }, 'leader'],
    [5, { 2: true, 3: true }, 'leader'],
    [3, { 2: false, 3: false }, 'follower'], [5, { 2: false, 3: false, 4: false, 5: false }, 'follower'],
    [5, { 2: true, 3: false, 4: false, 5: false }, 'follower'],
    [3, {}, 'candidate'], [5, { 2: true }, 'candidate'], [5, { 2: false, 3: false }, 'candidate'], [5, {}, 'candidate'],
  ]
  for (const [size, votes, role] of cases) {
    const node = new TestNode(1, { voters: Array.from({ length: size }, (_, i) => i + 1) })
    node.campaign()
    node.take()
    for (const [id, granted] of Object.entries(votes)) {
      node.step({ type: type.VoteResponse, from: Number(id), term: 1, reject: !granted })
    }
    t.equal(node.role, role, `${size} voters, ${JSON.stringify(votes)}`)
    t.equal(node.term, 1)
  }
})

t.test('§5.2 a follower votes for at most one candidate in a term, first come first served', async t => {
  const cases: [number, number, boolean][] =
    [[0, 2, true], [0, 3, true], [2, 2, true], [3, 3, true], [2, 3, false], [3, 2, false]]
  for (const [voted, candidate, granted] of cases) {
    const node = new TestNode(1, { hard: { term: 1, vote: voted } })
    node.step({ type: type.Vote, from: candidate, term: 1 })
    const [answer] = node.take()
    t.equal(answer!.type, type.VoteResponse)
    t.equal(answer!.to, candidate)
    t.equal(answer!.reject, !granted, `voted ${voted}, asked by ${candidate}`)
  }
})

t.test('§5.2 a candidate that hears a leader of its term or a later one becomes its follower', async t => {
  for (const term of [1, 2]) {
    const node = inRole('candidate')
    node.step({ type: type.Append, from: 2, term })
    t.equal(node.role, 'follower')
    t.equal(node.lead, 2)
    t.equal(node.term, term)
  }
})

for (const role of ['follower', 'candidate'] as const) {
  t.test(`§5.2 the election timeout of a ${role} is spread over [electionTicks, 2 · electionTicks)`, async t => {
    const seen = new Set<number>()
    const node = inRole(role)
    for (let round = 0; round < 400; round++) {
      if (role === 'follower') node.raft.becomeFollower(node.term + 1, 2 as never)
      else node.raft.becomeCandidate()
      let ticks = 0
      for (let term = node.term; node.term === term; ticks++) node.ticks(1)
      seen.add(ticks)
      node.take()
    }
    t.same([...seen].sort((a, b) => a - b), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  t.test(`§5.2 five ${role}s rarely time out in the same tick`, async t => {
    const nodes = [1, 2, 3, 4, 5].map(id => inRole(role, id, [1, 2, 3, 4, 5]))
    let conflicts = 0
    for (let round = 0; round < 500; round++) {
      for (const node of nodes) {
        if (role === 'follower') node.raft.becomeFollower(node.term + 1, 0 as never)
        else node.raft.becomeCandidate()
        node.take()
      }
      const starts = nodes.map(node => node.raft.randomizedElectionTicks)
      const soonest = Math.min(...starts)
      if (starts.filter(ticks => ticks === soonest).length > 1) conflicts++
    }
    t.ok(conflicts / 500 < 0.4, `${conflicts} of 500 rounds`)
  })
}

t.test('§5.3 a leader appends a proposal and sends it to all in parallel', async t => {
  const node = settledLeader()
  node.propose('some data')
  t.equal(node.lastIndex, 2)
  t.equal(node.committed, 1)
  const appends = node.take()
  t.equal(kinds(appends), `2:${type.Append} 3:${type.Append}`)
  for (const one of appends) {
    t.match({ ...one }, { index: 1, logTerm: 1, commit: 1, term: 1 })
    t.equal(one.entries[0]!.index, 2)
    t.equal(Buffer.from(one.entries[0]!.data).toString(), 'some data')
  }
})

t.test('§5.3 an entry is committed when a majority has it, and the leader tells its followers', async t => {
  const node = settledLeader()
  node.propose()
  for (const one of node.take()) node.step({ type: type.AppendResponse, from: one.to, term: 1, index: 2 })
  t.equal(node.committed, 2)
  t.same(node.apply().map(one => `${one.index}/${one.term}`), ['2/1'])
  t.ok(node.take().some(one => one.type === type.Append && one.commit === 2))
})

t.test('§5.3 commit needs a majority of acknowledgements, oneself included', async t => {
  const cases: [number, number[], boolean][] = [
    [1, [], true], [3, [], false], [3, [2], true], [3, [2, 3], true],
    [5, [], false], [5, [2], false], [5, [2, 3], true], [5, [2, 3, 4], true], [5, [2, 3, 4, 5], true],
  ]
  for (const [size, acks, committed] of cases) {
    const node = settledLeader(Array.from({ length: size }, (_, i) => i + 1))
    node.propose()
    node.take()
    for (const from of acks) node.step({ type: type.AppendResponse, from, term: 1, index: 2 })
    t.equal(node.committed === 2, committed, `${size} voters, ${acks.length} acknowledgements`)
  }
})

t.test('§5.3 a commit carries all preceding entries along, those of earlier leaders too', async t => {
  for (const log of [[], [2], [1, 2], [1]]) {
    const node = new TestNode(1, { log, hard: { term: 2 } }).makeLeader()
    node.propose()
    node.take()
    node.step({ type: type.AppendResponse, from: 2, term: 3, index: log.length + 2 })
    t.same(node.apply().map(one => one.term), [...log, 3, 3])
  }
})

t.test('§5.3 a follower applies what the leader calls committed, in log order', async t => {
  for (const commit of [1, 2, 3, 4]) {
    const node = new TestNode(1)
    node.step({ type: type.Append, from: 2, term: 1, entries: entriesFrom(1, 1, 1, 1, 1), commit })
    t.equal(node.committed, commit)
    t.same(node.apply().map(one => one.index), [1, 2, 3, 4].slice(0, commit))
  }
})

t.test('§5.3 a follower refuses entries whose predecessor it does not have, and hints where it may agree', async t => {
  const cases: [number, number, number, boolean, number, number][] = [
    // term, index of the predecessor → answered index, reject, hint, hint's term
    [0, 0, 1, false, 0, 0], [1, 1, 1, false, 0, 0], [2, 2, 2, false, 0, 0],
    [1, 2, 2, true, 1, 1], [3, 3, 3, true, 2, 2],
  ]
  for (const [logTerm, index, answered, reject, hint, hintTerm] of cases) {
    const node = new TestNode(1, { log: [1, 2], hard: { term: 1, commit: 1 } })
    node.step({ type: type.Append, from: 2, term: 2, logTerm, index })
    const [answer] = node.take()
    t.match({ ...answer! }, { type: type.AppendResponse, index: answered, reject, rejectHint: hint, logTerm: hintTerm })
  }
})

t.test('§5.3 conflicting entries are replaced by the leader\'s, matching ones are kept', async t => {
  const cases: [number, number, number[], number[], number[]][] = [
    // predecessor's index and term, entries → log, newly unstable
    [2, 2, [3], [1, 2, 3], [3]],
    [1, 1, [3, 4], [1, 3, 4], [3, 4]],
    [0, 0, [1], [1, 2], []],
    [0, 0, [3], [3], [3]],
  ]
  for (const [index, logTerm, terms, log, written] of cases) {
    const node = new TestNode(1, { log: [1, 2] })
    node.step({ type: type.Append, from: 2, term: 4, index, logTerm, entries: entriesFrom(index + 1, ...terms) })
    t.same(node.terms(), log)
    t.same(node.raft.log.unstable.nextEntries().map(one => one.term), written)
  }
})

/** Figure 7: what followers may look like when this leader comes to power for term 8. */
const figure7: Readonly<Record<string, readonly number[]>> = {
  a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
  b: [1, 1, 1, 4],
  c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
  d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
  e: [1, 1, 1, 4, 4, 4, 4],
  f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}
for (const [name, log] of Object.entries(figure7)) {
  t.test(`§5.3 figure 7 (${name}): the leader makes this log equal to its own`, async t => {
    const leader = new TestNode(1, { log: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], hard: { term: 7, commit: 10 } })
    const follower = new TestNode(2, { log, hard: { term: 7 } })
    const network = new TestNetwork(leader, follower)
    network.campaign(1)
    // The third voter is mute; it would vote yes.
    network.send({ type: type.VoteResponse, from: 3, to: 1, term: 8 })
    network.propose(1)
    t.equal(leader.role, 'leader')
    t.same(follower.terms(), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8, 8])
    t.equal(follower.describeLog(), leader.describeLog())
  })
}

t.test('§5.4.1 a vote request carries index and term of the candidate\'s last entry, to everyone else', async t => {
  for (const [terms, term] of [[[1], 2], [[1, 2], 3]] as const) {
    const node = new TestNode(1)
    node.step({ type: type.Append, from: 2, term: term - 1, entries: entriesFrom(1, ...terms) })
    node.take()
    node.ticks(20)
    const asked = node.take().filter(one => one.type === type.Vote)
    t.same(asked.map(one => one.to), [2, 3])
    for (const one of asked) t.match({ ...one }, { term, index: terms.length, logTerm: terms.at(-1) })
  }
})

t.test('§5.4.1 a voter refuses a candidate whose log is older than its own', async t => {
  const cases: [number[], number, number, boolean][] = [
    // own log; candidate's last term and index; granted?
    [[1], 1, 1, true], [[1], 1, 2, true], [[1, 1], 1, 1, false],
    [[1], 2, 1, true], [[1], 2, 2, true], [[1, 1], 2, 1, true],
    [[2], 1, 1, false], [[2], 1, 2, false], [[2, 1], 1, 1, false],
  ]
  for (const [log, logTerm, index, granted] of cases) {
    const node = new TestNode(1, { voters: [1, 2], log })
    node.step({ type: type.Vote, from: 2, term: 3, logTerm, index })
    t.equal(node.take()[0]!.reject, !granted, `log ${log}, candidate ${logTerm}/${index}`)
  }
})

t.test('§5.4.2 only entries of the leader\'s own term are committed by counting (figure 8)', async t => {
  for (const [index, committed] of [[1, 0], [2, 0], [3, 3]] as const) {
    const node = new TestNode(1, { voters: [1, 2], log: [1, 2], hard: { term: 2 } }).makeLeader()
    node.take()
    node.propose()
    node.step({ type: type.AppendResponse, from: 2, term: node.term, index })
    t.equal(node.committed, committed)
  }
})
