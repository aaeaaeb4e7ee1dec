// The judges are judged: each rule, broken by hand, is noticed; what is allowed is let pass.
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { logIndex, peerId, regionId, storeId, term } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import { Cf } from '../../src/engine/api.js'
import type { LogBatch } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import type { OpBatch } from '../../src/engine/log-batch.js'
import { MemEngine } from '../../src/engine/mem-engine.js'
import { MemRaftLog } from '../../src/engine/mem-raft-log.js'
import { campaignTransferContext, entry, message } from '../../src/raft/message.js'
import { EntryType, MessageType } from '../../src/raft/types.js'
import type { ConfState, Entry } from '../../src/raft/types.js'
import { Times } from '../../src/sim/cluster/client-host.js'
import { RegionAudit, tilingMistake } from '../../src/sim/cluster/region-audit.js'
import { OracleFailure } from '../../src/sim/failure.js'
import { SimHistory } from '../../src/sim/history.js'
import { LeaseWatch } from '../../src/sim/oracles/leases.js'
import { checkPromise } from '../../src/sim/oracles/durability.js'
import { checkCommitQuorum, checkElectionQuorum, checkHeartbeat } from '../../src/sim/oracles/quorum.js'
import { RaftSafety } from '../../src/sim/oracles/raft-safety.js'
import { applyKey, encodeApplyState, encodeRegion, regionKey } from '../../src/store/state-records.js'

type Test = typeof t

const region = regionId(1)
const conf = (voters: number[], votersOutgoing: number[] = []): ConfState =>
  ({ voters: voters.map(peerId), learners: [], votersOutgoing: votersOutgoing.map(peerId), learnersNext: [], autoLeave: false })
const hard = (inTerm: number, vote: number, commit: number): { term: ReturnType<typeof term>; vote: ReturnType<typeof peerId>
  commit: ReturnType<typeof logIndex> } => ({ term: term(inTerm), vote: peerId(vote), commit: logIndex(commit) })
const entries = (from: number, terms: number[], data = '', type: EntryType = EntryType.Normal): Entry[] =>
  terms.map((one, at) => entry({ term: one, index: from + at }, type, utf8(data)))

/** A node's log whose writes are durable at once and shown to the judge, as SimDisk does. */
class Node {
  readonly log = new MemRaftLog({ schedule: run => { run() } })
  constructor(readonly safety: RaftSafety, readonly name: string) {}

  write(build: (batch: LogBatch) => void): void {
    const batch = this.log.batch()
    build(batch)
    const ops = [...(batch as OpBatch).ops]
    this.safety.beforeLog(this.name, ops, this.log)
    this.log.append(batch, true, () => {})
    this.safety.onLog(this.name, ops, this.log)
  }

  entries(from: number, terms: number[], data?: string, type?: EntryType): void {
    this.write(batch => { batch.entries(region, entries(from, terms, data, type)) })
  }

  hard(inTerm: number, vote: number, commit: number): void { this.write(batch => { batch.hardState(region, hard(inTerm, vote, commit)) }) }
}

function nodes(): [Node, Node] {
  const safety = new RaftSafety()
  return [new Node(safety, 'a'), new Node(safety, 'b')]
}

function breaks(t: Pick<Test, 'equal' | 'fail'>, rule: string, run: () => void): void {
  try {
    run()
  } catch (error) {
    t.equal(error instanceof OracleFailure ? error.rule : String(error), rule)
    return
  }
  t.fail(`"${rule}" was broken and nobody noticed`)
}

t.test('logs', async t => {
  await t.test('one entry per index and term, with one past', async t => {
    const [a, b] = nodes()
    a.entries(1, [1, 1, 2], 'x')
    b.entries(1, [1, 1], 'x')
    breaks(t, 'log matching: same index and term, same entry and same past', () => { b.entries(3, [2], 'y') })
    const [c, d] = nodes()
    c.entries(1, [1, 2], 'x')
    d.entries(1, [2], 'x')
    breaks(t, 'log matching: same index and term, same entry and same past', () => { d.entries(2, [2], 'x') })
  })
  await t.test('entries are dropped only where they conflict', async t => {
    const [a] = nodes()
    a.hard(1, 1, 0)
    a.entries(1, [1, 1, 1], 'x')
    breaks(t, 'entries are dropped only where they conflict', () => { a.entries(2, [1], 'x') })
    const [b] = nodes()
    b.hard(1, 1, 0)
    b.entries(1, [1, 1, 1], 'x')
    b.hard(2, 2, 0)
    b.entries(2, [2], 'y')
    t.equal(b.log.region(region)?.lastIndex, 2, 'a conflict may')
    b.entries(2, [2, 2], 'y')
    t.pass('the same again and more may')
  })
  await t.test('no holes; nothing committed is replaced', async t => {
    const [a] = nodes()
    a.entries(1, [1, 1], 'x')
    breaks(t, 'a log has no holes', () => { a.entries(4, [1], 'x') })
    a.hard(1, 1, 2)
    breaks(t, 'committed entries are never replaced', () => { a.entries(2, [2], 'y') })
  })
  await t.test('a second change waits for the first to be committed', async t => {
    const [a] = nodes()
    a.hard(1, 1, 0)
    a.entries(1, [1], 'c', EntryType.ConfChange)
    breaks(t, 'one configuration change at a time', () => { a.entries(2, [1], 'd', EntryType.ConfChange) })
    const [b] = nodes()
    b.entries(1, [1], 'c', EntryType.ConfChange)
    b.hard(1, 1, 1)
    b.entries(2, [1], 'd', EntryType.ConfChangeV2)
    t.pass('after its commit it may')
  })
})

t.test('commits', async t => {
  const [a, b] = nodes()
  a.entries(1, [1, 1], 'x')
  a.hard(1, 1, 2)
  b.entries(1, [1, 2], 'x')
  breaks(t, 'committed entries are the same everywhere', () => { b.hard(2, 2, 2) })
  breaks(t, 'committed <= last', () => { a.hard(1, 1, 3) })
  breaks(t, 'committed entries are the same everywhere', () => { b.write(batch => { batch.reset(region, logIndex(2), term(2)) }) })
})

t.test('votes and leaders', async t => {
  const grant = (from: number, to: number, inTerm: number): ReturnType<typeof message> =>
    message({ type: MessageType.VoteResponse, from, to, term: inTerm })
  const beat = (from: number, inTerm: number): ReturnType<typeof message> =>
    message({ type: MessageType.Heartbeat, from, to: 9, term: inTerm })
  const [a, b] = nodes()
  const { safety } = a
  safety.onSent('a', region, grant(1, 2, 5), a.log)
  safety.onSent('a', region, grant(1, 2, 5), a.log)
  safety.onSent('a', region, grant(1, 3, 6), a.log)
  breaks(t, 'a vote never changes within a term, crashes included', () => { safety.onSent('a', region, grant(1, 3, 5), a.log) })
  t.equal(safety.onSent('b', region, beat(2, 5), b.log), 5)
  t.equal(safety.onSent('b', region, beat(2, 5), b.log), undefined, 'known')
  breaks(t, 'at most one leader per term', () => { safety.onSent('a', region, beat(3, 5), a.log) })
  await t.test('nobody votes for an older log', async t => {
    const [voter] = nodes()
    voter.entries(1, [1, 2, 2], 'x')
    const ask = (index: number, logTerm: number, inTerm: number): void => {
      const fields = { type: MessageType.Vote, from: 2, to: 1, term: inTerm, index, logTerm }
      voter.safety.onSent('b', region, message(fields), voter.log)
      voter.safety.onSent('a', region, grant(1, 2, inTerm), voter.log)
    }
    ask(3, 2, 5)
    ask(1, 3, 6)
    breaks(t, 'nobody votes for a log that is older than its own', () => { ask(9, 1, 7) })
    breaks(t, 'nobody votes for a log that is older than its own', () => { ask(2, 2, 8) })
  })
  await t.test('a leader holds everything committed before', async t => {
    const [old, fresh] = nodes()
    old.entries(1, [1, 1], 'x')
    old.hard(1, 1, 2)
    fresh.entries(1, [1], 'x')
    breaks(t, 'a leader holds everything committed before', () => {
      fresh.safety.checkLeaderCompleteness('b', region, term(2), fresh.log)
    })
    old.safety.checkLeaderCompleteness('a', region, term(2), old.log)
  })
})

t.test('promises', async t => {
  const [a] = nodes()
  a.entries(1, [1], 'x')
  a.hard(3, 2, 0)
  const say = (fields: Parameters<typeof message>[0]): void => { checkPromise('a', region, message({ from: 1, ...fields }), a.log) }
  say({ type: MessageType.VoteResponse, to: 2, term: 3 })
  say({ type: MessageType.AppendResponse, to: 2, term: 3, index: 1 })
  say({ type: MessageType.VoteResponse, to: 3, term: 3, reject: true })
  for (const fields of [
    { type: MessageType.VoteResponse, to: 3, term: 3 }, { type: MessageType.VoteResponse, to: 2, term: 4 },
    { type: MessageType.AppendResponse, to: 2, term: 3, index: 2 }, { type: MessageType.AppendResponse, to: 2, term: 4, index: 1 },
  ]) breaks(t, 'persisted before promised', () => { say(fields) })
})

t.test('leases', async t => {
  const watch = (): LeaseWatch => new LeaseWatch(500)
  const answer = message({ type: MessageType.HeartbeatResponse, from: 2, to: 1, term: 4 })
  const vote = (inTerm: number): Parameters<LeaseWatch['onSent']>[2] =>
    message({ type: MessageType.VoteResponse, from: 2, to: 3, term: inTerm })
  const rule = 'nobody votes while a leader may read by its answer'
  await t.test('who has answered a leader votes for nobody for a while', async t => {
    const leases = watch()
    leases.onSent('b', region, answer, 1_000)
    breaks(t, rule, () => { leases.onSent('b', region, vote(5), 1_499) })
    breaks(t, rule, () => { leases.onSent('b', region, message({ type: MessageType.Vote, from: 2, to: 3, term: 5 }), 1_499) })
    leases.onSent('b', region, vote(5), 1_500)
    leases.onSent('b', region, vote(4), 1_100)
    leases.onSent('b', region, { ...vote(5), reject: true }, 1_100)
    leases.onSent('b', regionId(2), vote(5), 1_100)
    t.pass('later, for a term of before, with a no, or elsewhere it may')
  })
  await t.test('whom the leader chose is voted for', async t => {
    const leases = watch()
    leases.onSent('b', region, answer, 1_000)
    const asked = message({ type: MessageType.Vote, from: 3, to: 2, term: 5, context: campaignTransferContext })
    leases.onSent('c', region, asked, 1_100)
    leases.onSent('b', region, vote(5), 1_101)
    breaks(t, rule, () => { leases.onSent('b', region, vote(6), 1_102) })
  })
  await t.test('nobody may read in an older term', async t => {
    const claims = [{ node: 'a', term: 4, mayRead: true }, { node: 'c', term: 5, mayRead: false }]
    watch().checkClaims(region, 4, claims)
    breaks(t, 'nobody is elected while another may still read by lease', () => { watch().checkClaims(region, 5, claims) })
  })
})

t.test('quorums', async t => {
  const [a, b] = nodes()
  a.entries(1, [1, 2], 'x')
  a.hard(2, 1, 0)
  b.entries(1, [1], 'x')
  b.hard(2, 1, 0)
  const view = (of: ConfState): Parameters<typeof checkCommitQuorum>[0] => ({
    node: 'a', regionId: region, conf: of, durableOf: id => id === 1 ? a.log : id === 2 ? b.log : id === 3 ? new MemRaftLog({ schedule: () => {} }) : undefined,
  })
  const rule = 'committed is what a majority has on disk'
  checkCommitQuorum(view(conf([1])), 2, 2, 2)
  checkCommitQuorum(view(conf([1, 4, 2])), 2, 2, 2)
  breaks(t, rule, () => { checkCommitQuorum(view(conf([1, 2, 3])), 2, 2, 2) })
  breaks(t, rule, () => { checkCommitQuorum(view(conf([1], [2, 3])), 2, 2, 2) })
  breaks(t, 'a leader counts replicas only of entries of its own term', () => { checkCommitQuorum(view(conf([1, 2])), 1, 1, 2) })
  checkElectionQuorum(view(conf([1, 2, 3])), 1, 2)
  breaks(t, 'a leader has the durable votes of a majority', () => { checkElectionQuorum(view(conf([1, 2, 3])), 2, 2) })
  breaks(t, 'a leader has the durable votes of a majority', () => { checkElectionQuorum(view(conf([1, 2], [3])), 1, 2) })
  const beat = (commit: number): ReturnType<typeof message> => message({ type: MessageType.Heartbeat, from: 1, to: 2, term: 2, commit })
  checkHeartbeat(view(conf([])), beat(1), a.log)
  breaks(t, 'a heartbeat commits only what the follower holds', () => { checkHeartbeat(view(conf([])), beat(2), a.log) })
})

const key = (text: string): Uint8Array => utf8(text)
function regionOf(id: number, range: readonly [string, string], version: number, peers: readonly (readonly [number, number])[]): Region {
  return {
    regionId: regionId(id), startKey: key(range[0]), endKey: key(range[1]), epoch: { confVer: 1, version },
    peers: peers.map(([peer, store]) => ({ peerId: peerId(peer), storeId: storeId(store), role: 'voter' })),
  }
}

/** An engine with these regions and rows. */
function engineWith(regions: readonly (readonly [Region, number])[], rows: Readonly<Record<string, string>> = {}): MemEngine {
  const engine = new MemEngine({ defer: () => {} })
  const writer = new BatchWriter()
  for (const [one, index] of regions) {
    writer.put(Cf.Raft, regionKey(one.regionId), encodeRegion(one))
    writer.put(Cf.Raft, applyKey(one.regionId), encodeApplyState({ index: logIndex(index), term: term(1) }))
  }
  for (const [name, value] of Object.entries(rows)) writer.put(Cf.Default, key(name), utf8(value))
  engine.write(writer.finish())
  return engine
}

t.test('regions', async t => {
  const peers = [[11, 1], [12, 2]] as const
  const whole = regionOf(1, ['', ''], 1, peers)
  await t.test('replicas are equal at every index', async t => {
    const audit = new RegionAudit()
    audit.look('a', engineWith([[whole, 7]], { x: '1' }))
    audit.look('b', engineWith([[whole, 8]], { x: '2' }))
    audit.look('b', engineWith([[whole, 7]], { x: '1' }))
    for (const rows of [{ x: '2' }, {}, { x: '1', y: '1' }] as Record<string, string>[]) {
      breaks(t, 'replicas are equal at every applied index', () => { audit.look('c', engineWith([[whole, 7]], rows)) })
    }
  })
  await t.test('one shape an epoch; peer ids are used once', async t => {
    const audit = new RegionAudit()
    audit.look('a', engineWith([[whole, 7]]))
    const rule = 'a region has one shape and one membership per epoch'
    breaks(t, rule, () => { audit.look('b', engineWith([[regionOf(1, ['', 'm'], 1, peers), 7]])) })
    breaks(t, rule, () => { audit.look('b', engineWith([[regionOf(1, ['', ''], 1, [[11, 1]]), 7]])) })
    breaks(t, 'a peer id is used once', () => { audit.look('b', engineWith([[regionOf(2, ['', 'a'], 9, [[11, 2]]), 7]])) })
  })
  await t.test('ranges do not overlap', async t => {
    const audit = new RegionAudit()
    const left = regionOf(2, ['', 'm'], 2, [[21, 1]])
    audit.look('a', engineWith([[left, 6], [regionOf(1, ['m', ''], 2, peers), 9]]))
    audit.look('b', engineWith([[whole, 7]]))
    breaks(t, 'regions of one version do not overlap', () => { audit.look('c', engineWith([[regionOf(3, ['l', 'n'], 2, [[31, 3]]), 6]])) })
    breaks(t, 'ranges on one store do not overlap', () => { audit.look('c', engineWith([[whole, 7], [left, 6]])) })
  })
  t.equal(tilingMistake([regionOf(1, ['m', ''], 1, []), regionOf(2, ['', 'm'], 1, [])]), undefined)
  for (const wrong of [
    [regionOf(1, ['m', ''], 1, [])], [regionOf(1, ['', 'm'], 1, [])], [],
    [regionOf(1, ['', 'm'], 1, []), regionOf(2, ['n', ''], 1, [])], [regionOf(1, ['', ''], 1, []), regionOf(2, ['m', ''], 1, [])],
  ]) t.type(tilingMistake(wrong), 'string')
})

t.test('clients', async t => {
  const rule = 'timestamps grow, and none is given out twice'
  const times = new Times()
  times.granted(100n, 10, 0n)
  times.granted(120n, 1, 109n)
  times.granted(110n, 5, 105n)
  breaks(t, rule, () => { times.granted(119n, 1, 120n) })
  breaks(t, rule, () => { times.granted(112n, 1, 50n) })
  const history = new SimHistory()
  history.invoke('write', 'k', 'v1')('ok')
  history.invoke('batch_read', ['k', 'l'])('ok', ['v1', null])
  history.check([])
  history.invoke('read', 'k')('ok', null)
  breaks(t, 'clients see one register per key (linearizability)', () => { history.check([]) })
})
