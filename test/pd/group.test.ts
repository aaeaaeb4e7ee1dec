import t from 'tap'
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { MessageType } from '../../src/raft/types.js'
import { Group, World, ask, must, mustOk } from './kit.js'
import { beat, peer, region, stats, store } from './samples.js'

function bootstrapped(group: Group): { storeId: number; regionId: number } {
  const { first } = mustOk(group, 'AllocId', { count: 3 })
  const first1 = region({ id: first + 1, peers: [peer(first + 2, first)] })
  t.same(mustOk(group, 'Bootstrap', { store: store(first), region: first1 }), { bootstrapped: true })
  return { storeId: first, regionId: first + 1 }
}

t.test('a single member leads at once, draws a cluster id and serves', async t => {
  const world = new World(1)
  const group = new Group(world, 1)
  group.startAll()
  t.ok(world.until(() => group.leader?.node?.clusterId !== undefined && group.leader.node.clusterId !== 0n,
    50), 'within 50 ms')
  t.same(mustOk(group, 'IsBootstrapped', {}), { bootstrapped: false })
  const ids = bootstrapped(group)
  t.same(mustOk(group, 'IsBootstrapped', {}), { bootstrapped: true })
  t.equal(mustOk(group, 'GetRegion', { key: utf8('k') }).route?.region.regionId, ids.regionId)
  const other = mustOk(group, 'AllocId', { count: 3 }).first
  const late = must(group, 'Bootstrap',
    { store: store(other), region: region({ id: other + 1, peers: [peer(other + 2, other)] }) })
  t.same(late, { ok: true, value: { bootstrapped: false } }, 'somebody was faster')
  const again = mustOk(group, 'Bootstrap',
    { store: store(ids.storeId), region: region({ id: ids.regionId, peers: [peer(ids.regionId + 1, ids.storeId)] }) })
  t.same(again, { bootstrapped: true }, 'the same store asks again and hears the same')
  t.same(world.errors, [])
})

t.test('everything but regions survives a restart; regions come back with heartbeats', async t => {
  const world = new World(2)
  const group = new Group(world, 1, { compactEntries: 20, compactKeepEntries: 5 })
  group.startAll()
  const ids = bootstrapped(group)
  const clusterId = group.leader!.node!.clusterId
  let greatest = 0
  for (let round = 0; round < 30; round++) {
    const { first } = mustOk(group, 'AllocId', { count: 700 })
    t.ok(first > greatest, 'ids grow')
    greatest = first + 699
    mustOk(group, 'PutStore', { store: store(ids.storeId, { labels: { zone: `z${round}` } }), force: false, incarnation: 0, previous: [] })
    world.runFor(500)
    if (round % 7 === 3) {
      group.kill(group.members[0]!)
      group.start(group.members[0]!)
    }
  }
  t.ok(group.leader!.node!.describe().first > 20, 'the log was cut')
  const node = group.awaitLeader().node!
  t.equal(node.clusterId, clusterId)
  t.equal(node.state.stores.size, 1)
  t.equal([...node.state.stores.values()][0]!.labels.zone, 'z29')
  group.kill(group.members[0]!)
  group.start(group.members[0]!)
  t.same(mustOk(group, 'GetRegion', { key: utf8('k') }), { route: undefined, heardStoreId: 0, heardMsAgo: 0 })
  mustOk(group, 'RegionHeartbeat',
    { beats: [beat({ id: ids.regionId, peers: [peer(ids.regionId + 1, ids.storeId)] })] })
  t.equal(mustOk(group, 'GetRegion', { key: utf8('k') }).route?.leader?.peerId, ids.regionId + 1)
  t.same(world.errors, [])
})

t.test('the registry refuses what would confuse two stores', async t => {
  const world = new World(3)
  const group = new Group(world, 1)
  group.startAll()
  const ids = bootstrapped(group)
  const refused = (result: { ok: boolean; error?: { kind: string; reason?: string } }, text: RegExp): void => {
    t.equal(result.ok, false)
    t.equal(result.error?.kind, 'InvalidArgument')
    t.match(result.error?.reason, text)
  }
  refused(must(group, 'PutStore', { store: store(99_999), force: false, incarnation: 0, previous: [] }), /never allocated/)
  refused(must(group, 'StoreHeartbeat', { stats: stats(99_999), incarnation: 0 }), /not known/)
  const { first } = mustOk(group, 'AllocId', { count: 1 })
  const taken = store(first, { address: `s${ids.storeId}:20160` })
  refused(must(group, 'PutStore', { store: taken, force: false, incarnation: 0, previous: [] }), /belongs to store/)
  mustOk(group, 'PutStore', { store: store(first), force: false, incarnation: 0, previous: [] })
  mustOk(group, 'PutStore', { store: store(first, { state: 'offline' }), force: false, incarnation: 0, previous: [] })
  mustOk(group, 'PutStore', { store: store(first), force: false, incarnation: 0, previous: [] })
  t.equal(mustOk(group, 'GetStores', {}).stores.find(one => one.storeId === first)?.state, 'offline',
    'a restart does not undo it')
  const { first: heir } = mustOk(group, 'AllocId', { count: 1 })
  mustOk(group, 'PutStore', { store: store(heir, { address: `s${first}:20160` }), force: false, incarnation: 0, previous: [] })
  mustOk(group, 'PutStore', { store: store(first, { state: 'tombstone' }), force: false, incarnation: 0, previous: [] })
  refused(must(group, 'PutStore', { store: store(first), force: false, incarnation: 0, previous: [] }), /tombstone/)
  refused(must(group, 'StoreHeartbeat', { stats: stats(first), incarnation: 0 }), /tombstone/)
  t.same(mustOk(group, 'StoreHeartbeat', { stats: stats(heir), incarnation: 0 }).stores.map(one => one.storeId), [ids.storeId, heir])
  refused(must(group, 'AllocId', { count: 0 }), /count/)
  t.equal(must(group, 'Tso', { count: 1 << 18 }).ok, false)
})

t.test('splits: fresh ids for the region and each peer; both halves are found at once', async t => {
  const world = new World(4)
  const group = new Group(world, 1)
  group.startAll()
  const ids = bootstrapped(group)
  const peers = [peer(ids.regionId + 1, ids.storeId), peer(500, 50), peer(501, 51)]
  const parent = region({ id: ids.regionId, confVer: 3, peers })
  mustOk(group, 'RegionHeartbeat', { beats: [beat({ id: ids.regionId, confVer: 3, peers })] })
  const { ids: fresh } = mustOk(group, 'AskSplit', { region: parent, count: 2 })
  t.equal(fresh.length, 2)
  t.equal(new Set(fresh.flatMap(one => [one.regionId, ...one.peerIds])).size, 8)
  const left = { ...region({ id: fresh[0]!.regionId, end: 'm', confVer: 3, version: 2 }),
    peers: peers.map((one, i) => ({ ...one, peerId: fresh[0]!.peerIds[i]! })) }
  mustOk(group, 'ReportSplit', { regions: [left,
    { ...parent, startKey: utf8('m'), epoch: { confVer: 3, version: 2 } }] })
  const found = mustOk(group, 'GetRegion', { key: utf8('a') }).route!
  t.equal(found.region.regionId, left.regionId)
  t.equal(found.leader?.storeId, ids.storeId, 'most likely led where the parent was')
  t.equal(mustOk(group, 'GetPreviousRegion', { key: utf8('m') }).route?.region.regionId, left.regionId)
  t.equal(mustOk(group, 'GetPreviousRegion', { key: emptyBytes }).route?.region.regionId, ids.regionId)
  t.equal(mustOk(group, 'ScanRegions', { start: emptyBytes, end: emptyBytes, limit: 0 }).routes.length, 2)
  mustOk(group, 'RegionHeartbeat', { beats: [beat({ id: ids.regionId, confVer: 3, peers, term: 99 })] })
  t.equal(mustOk(group, 'GetRegion', { key: utf8('a') }).route?.region.regionId, left.regionId,
    'the old epoch is stale')
  const stale = must(group, 'AskSplit', { region: parent, count: 1 })
  t.equal(!stale.ok && stale.error.kind, 'EpochNotMatch')
})

t.test('replicas: a learner joins, is promoted, until there are three', async t => {
  const world = new World(5)
  const group = new Group(world, 1)
  group.startAll()
  const ids = bootstrapped(group)
  const stores = [ids.storeId]
  for (let i = 0; i < 3; i++) {
    const { first } = mustOk(group, 'AllocId', { count: 1 })
    stores.push(first)
    mustOk(group, 'PutStore', { store: store(first), force: false, incarnation: 0, previous: [] })
  }
  for (const id of stores) mustOk(group, 'StoreHeartbeat', { stats: stats(id), incarnation: 0 })
  let peers = [peer(ids.regionId + 1, ids.storeId)]
  let confVer = 1
  const kinds: string[] = []
  for (let round = 0; round < 12 && kinds.at(-1) !== 'none'; round++) {
    const shape = { id: ids.regionId, confVer, peers, leader: peers[0]! }
    const [operator] = mustOk(group, 'RegionHeartbeat', { beats: [beat(shape)] }).operators
    kinds.push(operator?.kind ?? 'none')
    if (operator === undefined || operator.kind === 'splitRegion') continue
    t.same(operator.epoch, { confVer, version: 1 })
    t.same(mustOk(group, 'RegionHeartbeat', { beats: [beat(shape)] }).operators, [operator],
      'repeated until it is done')
    if (operator.kind === 'addLearner') peers = [...peers, operator.peer]
    if (operator.kind === 'promoteLearner') peers = peers.map(one => (one.peerId === operator.peer.peerId
      ? { ...one, role: 'voter' } : one))
    confVer++
  }
  t.same(kinds, ['addLearner', 'promoteLearner', 'addLearner', 'promoteLearner', 'none'])
  t.equal(new Set(peers.map(one => one.storeId)).size, 3)
  const manual = { kind: 'transferLeader' as const, regionId: regionId(ids.regionId),
    epoch: { confVer: 0, version: 0 }, peer: peers[1]! }
  mustOk(group, 'AddOperator', { operator: manual })
  t.equal(mustOk(group, 'RegionHeartbeat',
    { beats: [beat({ id: ids.regionId, confVer, peers })] }).operators[0]?.kind, 'transferLeader')
  t.same(mustOk(group, 'RegionHeartbeat',
    { beats: [beat({ id: ids.regionId, confVer, peers, leader: peers[1]!, term: 6 })] }).operators, [])
  const stranger = must(group, 'AddOperator',
    { operator: { ...manual, peer: { ...peers[0]!, peerId: peerId(77_777) } } })
  t.equal(!stranger.ok && stranger.error.kind, 'InvalidArgument')
})

t.test('three members: one leads, the others say who; a killed leader is replaced soon and nothing is lost',
  async t => {
  const world = new World(6)
  const group = new Group(world, 3, { compactEntries: 30, compactKeepEntries: 5 })
  group.startAll()
  const ids = bootstrapped(group)
  world.runFor(3_000)
  const first = group.awaitLeader()
  const follower = group.members.find(member => member !== first)!
  const refused = ask(follower.node!.server.handlers, 'AllocId', { count: 1 }).result!
  t.same(refused, { ok: false, error: { kind: 'NotLeader', regionId: 1,
    leader: peer(first.memberId, first.memberId) } })
  const { members, clusterId } = (() => {
    const answer = ask(follower.node!.server.handlers, 'GetMembers', {}).result!
    if (!answer.ok) throw new Error('GetMembers refused')
    return answer.value
  })()
  t.equal(members.find(member => member.isLeader)?.memberId, first.memberId)
  t.equal(clusterId, first.node!.clusterId)
  let greatest = 0
  const gaps: number[] = []
  for (let round = 0; round < 8; round++) {
    const leader = group.awaitLeader()
    greatest = Math.max(greatest, mustOk(group, 'AllocId', { count: 10 }).first)
    const { first: id } = mustOk(group, 'AllocId', { count: 1 })
    mustOk(group, 'PutStore', { store: store(id), force: false, incarnation: 0, previous: [] })
    for (let i = 0; i < 30; i++) mustOk(group, 'PutStore', { store: store(ids.storeId, { labels: { n: `${i}` } }), force: false, incarnation: 0, previous: [] })
    const killedAtMs = world.nowMs
    group.kill(leader)
    const next = group.awaitLeader()
    t.not(next.memberId, leader.memberId)
    gaps.push(world.nowMs - killedAtMs)
    t.equal(next.node!.state.stores.size, 2 + round)
    t.ok(mustOk(group, 'AllocId', { count: 1 }).first > greatest)
    world.runFor(1_000)
    group.start(leader)
    world.runFor(2_000)
    t.same(leader.node!.state.encode(), next.node!.state.encode(),
      'the lagging member caught up, by entries or snapshot')
  }
  t.ok(Math.max(...gaps) < 3_000, `fail-over ${gaps.map(gap => Math.round(gap)).join(' ')} ms`)
  t.comment(`fail-over ms: ${gaps.map(gap => Math.round(gap)).join(' ')}`)
  t.same(world.errors, [])
})

t.test('a raft snapshot that was lost on its way is sent again', async t => {
  const world = new World(8)
  const group = new Group(world, 3, { compactEntries: 20, compactKeepEntries: 2 })
  group.startAll()
  const ids = bootstrapped(group)
  const leader = group.awaitLeader()
  const follower = group.members.find(member => member !== leader)!
  group.kill(follower)
  for (let i = 0; i < 60; i++) {
    mustOk(group, 'PutStore', { store: store(ids.storeId, { labels: { n: `${i}` } }), force: false, incarnation: 0, previous: [] })
  }
  group.lostTypes.add(MessageType.Snapshot)
  group.start(follower)
  world.runFor(3_000)
  t.not(follower.node!.state.stores.get(storeId(ids.storeId))?.labels.n, '59')
  group.lostTypes.clear()
  world.runFor(3_000)
  t.equal(follower.node!.state.stores.get(storeId(ids.storeId))?.labels.n, '59')
  t.same(world.errors, [])
})

t.test('who hears its leader again waits for it as long as anybody, however often links flap', async t => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new World(seed)
    const group = new Group(world, 3)
    group.startAll()
    const leader = group.awaitLeader()
    world.runFor(2_000)
    // One follower restarts, the other's link flaps: both hear the leader right after.
    const [restarted, flapped] = group.members.filter(member => member !== leader)
    group.kill(restarted!)
    group.start(restarted!)
    flapped!.node!.onLinkDown(leader.memberId)
    world.runFor(3_000)
    const { term } = leader.node!.describe()
    t.equal(group.leader, leader)
    // The leader is a second late: longer than any guard, shorter than any election time-out.
    for (const other of group.members) if (other !== leader) group.cut.add(`${leader.memberId}>${other.memberId}`)
    world.runFor(1_000)
    t.ok(group.members.every(member => member === leader || member.node!.describe().role === 'follower'), `seed ${seed}: nobody campaigned`)
    group.cut.clear()
    world.runFor(3_000)
    t.equal(leader.node!.describe().term, term, `seed ${seed}`)
    t.same(world.errors, [])
  }
})

t.test('a graceful stop hands leadership over without waiting for an election', async t => {
  const world = new World(7)
  const group = new Group(world, 3)
  group.startAll()
  const leader = group.awaitLeader()
  const before = mustOk(group, 'Tso', { count: 1 })
  let stopped = false
  const at = world.nowMs
  leader.node!.stop(3_000, () => { stopped = true })
  t.equal(leader.node!.hasLease, false, 'the lease is void at once')
  const next = group.awaitLeader()
  t.not(next.memberId, leader.memberId)
  t.ok(world.nowMs - at < 500, `${world.nowMs - at} ms`)
  t.ok(world.until(() => stopped, 3_000))
  const after = mustOk(group, 'Tso', { count: 1 })
  t.ok(after.physicalMs > before.physicalMs
    || (after.physicalMs === before.physicalMs && after.logical > before.logical))
})
