import t from 'tap'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { StoreCluster } from './kit.js'

t.test('three stores elect a leader and replicate what is written to it', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  t.equal(cluster.mustGet('a'), '1')
  t.ok(cluster.world.until(() => cluster.machines.every(machine => cluster.row(machine, 'a') === '1'), 1_000), 'on every store')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a follower refuses with NotLeader that names the leader', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  const leader = cluster.elect()
  cluster.mustPut('a', '1')
  cluster.world.runFor(300)
  const follower = cluster.machines.find(machine => machine !== leader)!
  const { error } = cluster.get(follower, 'a')
  t.equal(error?.kind, 'NotLeader')
  t.equal(error?.kind === 'NotLeader' && error.leader?.storeId, leader.id)
  t.end()
})

t.test('a killed leader is replaced, and what it acknowledged is there', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  for (let i = 0; i < 20; i++) cluster.mustPut(`k${i}`, `v${i}`)
  const old = cluster.elect()
  cluster.kill(old)
  const before = cluster.world.nowMs
  cluster.mustPut('after', 'x')
  t.ok(cluster.world.nowMs - before < 1_500, `writes again after ${cluster.world.nowMs - before} ms`)
  for (let i = 0; i < 20; i++) t.equal(cluster.mustGet(`k${i}`), `v${i}`)
  cluster.start(old)
  t.ok(cluster.world.until(() => cluster.row(old, 'after') === 'x', 5_000), 'the old leader catches up')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('all stores lose their power and nothing that was acknowledged', t => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = new StoreCluster(3, seed)
    cluster.bootstrap(3)
    for (let i = 0; i < 10; i++) cluster.mustPut(`k${i}`, `v${i}`)
    cluster.mustSplit('k5')
    for (let i = 10; i < 20; i++) cluster.mustPut(`k${i % 10}`, `v${i}`)
    for (const machine of cluster.machines) cluster.kill(machine)
    for (const machine of cluster.machines) cluster.start(machine)
    for (let i = 10; i < 20; i++) t.equal(cluster.mustGet(`k${i % 10}`), `v${i}`)
    t.same(cluster.fatal, [])
  }
  t.end()
})

t.test('a split cuts a region in two that go their own ways', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  cluster.mustPut('z', '2')
  const old = cluster.region()
  const [left, right] = cluster.mustSplit('m')
  t.equal(right?.regionId, 1, 'the old region keeps the right part')
  t.equal(left?.epoch.version, old.epoch.version + 1)
  const { error } = cluster.get(cluster.elect(), 'z', old)
  t.equal(error?.kind, 'EpochNotMatch')
  t.equal(error?.kind === 'EpochNotMatch' && error.currentRegions.length, 2, 'both regions are told')
  cluster.mustPut('a', '3')
  t.equal(cluster.mustGet('a'), '3')
  t.equal(cluster.mustGet('z'), '2')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a new member gets a snapshot, becomes a voter, and an old one goes without a trace', t => {
  const cluster = new StoreCluster(4)
  cluster.bootstrap(3)
  for (let i = 0; i < 50; i++) cluster.mustPut(`k${i}`, 'x'.repeat(100))
  const peer = { peerId: peerId(99), storeId: storeId(4), role: 'learner' as const }
  cluster.mustOperate({ kind: 'addLearner', regionId: regionId(1), epoch: cluster.region().epoch, peer }, region => region.peers.length === 4)
  t.ok(cluster.world.until(() => cluster.row(cluster.machines[3]!, 'k49') !== undefined, 10_000), 'rows arrive')
  t.ok(cluster.snapshots > 0, 'by a snapshot')
  const voter = { ...peer, role: 'voter' as const }
  cluster.mustOperate({ kind: 'promoteLearner', regionId: regionId(1), epoch: cluster.region().epoch, peer: voter },
    region => region.peers.find(one => one.peerId === 99)?.role === 'voter')
  const leader = cluster.elect()
  const out = cluster.region().peers.find(one => one.storeId !== leader.id && one.storeId !== 4)!
  cluster.mustOperate({ kind: 'removePeer', regionId: regionId(1), epoch: cluster.region().epoch, peer: out },
    region => region.peers.length === 3)
  const machine = cluster.machines[out.storeId - 1]!
  t.ok(cluster.world.until(() => machine.store!.peers(0).length === 0 && cluster.row(machine, 'k1') === undefined, 20_000),
    'the removed peer and its rows are gone')
  cluster.kill(machine, 1)
  cluster.start(machine)
  t.same(machine.store!.peers(0), [], 'also after a restart')
  cluster.mustPut('after', '1')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a follower behind the end of the log gets a snapshot, across kills at any point', t => {
  for (let seed = 1; seed <= 15; seed++) {
    const cluster = new StoreCluster(3, seed, { logGcCountLimit: 5, idleFlushMs: 300, snapshotChunkBytes: 512 })
    cluster.bootstrap(3)
    cluster.mustPut('first', '1')
    const leader = cluster.elect()
    const slow = cluster.machines.find(machine => machine !== leader)!
    cluster.kill(slow)
    for (let i = 0; i < 300; i++) cluster.mustPut(`k${i % 40}`, `${i}-${'x'.repeat(50)}`)
    if (seed % 2 === 0) cluster.mustSplit('k20')
    cluster.world.runFor(2_000)
    cluster.start(slow)
    for (let kills = 0; kills < seed % 4; kills++) {
      cluster.world.runFor(cluster.world.below(400) / 10)
      cluster.kill(slow, cluster.world.random())
      cluster.start(slow)
    }
    const isThere = cluster.world.until(() => cluster.row(slow, 'k39') === cluster.row(leader, 'k39')
      && cluster.row(slow, 'k0') === cluster.row(leader, 'k0') && cluster.row(slow, 'k0') !== undefined, 60_000)
    t.ok(isThere, `seed ${seed} catches up`)
    t.ok(cluster.snapshots > 0, 'by a snapshot')
    t.same(cluster.fatal, [])
  }
  t.end()
})

t.test('leadership moves on request, and a graceful stop hands it over', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  const leader = cluster.elect()
  const to = cluster.machines.find(machine => machine !== leader)!
  const outcome: { error?: unknown; done?: true } = {}
  leader.store!.transferLeader(cluster.context(cluster.region()), to.id, error => {
    outcome.error = error
    outcome.done = true
  })
  t.ok(cluster.world.until(() => outcome.done === true, 2_000))
  t.equal(outcome.error, undefined)
  t.ok(cluster.world.until(() => cluster.leader() === to, 500))
  let stopped = false
  to.store!.stop(5_000, () => { stopped = true })
  t.ok(cluster.world.until(() => stopped, 2_000), 'stops')
  const before = cluster.world.nowMs
  cluster.kill(to)
  cluster.mustPut('b', '2')
  t.ok(cluster.world.nowMs - before < 300, 'without waiting for an election')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('an isolated leader stops reading from its lease before another can write', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', 'old')
  const old = cluster.elect()
  const region = cluster.region()
  cluster.isolate(old.id)
  const reads: { atMs: number; value: string | undefined }[] = []
  let writtenAtMs = Infinity
  for (let i = 0; i < 400 && writtenAtMs === Infinity; i++) {
    cluster.world.runFor(10)
    const atMs = cluster.world.nowMs
    const read = cluster.get(old, 'a', region)
    if (read.done && read.error === undefined) reads.push({ atMs, value: read.value })
    const other = cluster.machines.find(machine => machine !== old && machine.store?.peers(regionId(1))[0]?.role === 'leader')
    if (other === undefined) continue
    const put = cluster.put(other, 'a', 'new', region)
    cluster.world.runFor(20)
    if (put.result?.ok) writtenAtMs = cluster.world.nowMs
  }
  t.ok(writtenAtMs < Infinity, 'the others elect a leader and write')
  t.ok(reads.length > 0, 'the lease served a while')
  t.ok(reads.every(read => read.atMs < writtenAtMs && read.value === 'old'))
  const late = cluster.get(old, 'a', region)
  cluster.world.runFor(100)
  t.not(late.value, 'old', 'never after that')
  t.end()
})

t.test('a split without a key halves the region, if there is something to halve', t => {
  const cluster = new StoreCluster(1)
  cluster.bootstrap(1)
  const leader = cluster.elect()
  const ask = (): { ok: boolean; text: string } => {
    const outcome: { text?: string; ok?: boolean } = {}
    leader.store!.splitRegion(cluster.context(cluster.region()), [], result => {
      outcome.ok = result.ok
      outcome.text = JSON.stringify(result)
    })
    cluster.world.until(() => outcome.text !== undefined, 2_000)
    return { ok: outcome.ok ?? false, text: outcome.text ?? 'no answer' }
  }
  t.match(ask().text, /too little data/)
  for (let i = 0; i < 200; i++) cluster.mustPut(`k${String(i).padStart(3, '0')}`, 'x'.repeat(2_000))
  t.ok(ask().ok, 'two regions')
  t.equal(leader.store!.peers(0).length, 2)
  t.end()
})
