// What operators ask of a store: which boundaries regions may have, and what an answer promises.
import t from 'tap'
import { boundaryMistake } from '../../src/common/boundary.js'
import { utf8 } from '../../src/common/bytes.js'
import type { ServerError } from '../../src/common/errors.js'
import { peerId, regionId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import type { Result } from '../../src/common/result.js'
import { engineKeyOf, wireKeyOfText } from '../../src/rawkv/codec.js'
import { StoreCluster } from './kit.js'
import type { Machine } from './kit.js'

type Answer = Result<readonly Region[], ServerError>

function split(cluster: StoreCluster, leader: Machine, key: Uint8Array): { result?: Answer } {
  const outcome: { result?: Answer } = {}
  leader.store!.splitRegion(cluster.context(cluster.region()), [key], result => { outcome.result = result })
  return outcome
}

const kindOf = (outcome: { result?: Answer }): string | undefined =>
  outcome.result === undefined ? undefined : outcome.result.ok ? 'ok' : outcome.result.error.kind

t.test('regions meet where a key can be, whoever asks', t => {
  const cluster = new StoreCluster(3)
  cluster.boundaryMistake = boundaryMistake
  cluster.bootstrap(3)
  const leader = cluster.elect()
  for (const bad of [utf8('m'), engineKeyOf(utf8('m')), engineKeyOf(utf8('s')), engineKeyOf(utf8('rr')), engineKeyOf(new Uint8Array(9_000).fill(0x72))]) {
    const outcome = split(cluster, leader, bad)
    cluster.world.runFor(200)
    t.equal(kindOf(outcome), 'InvalidArgument')
    cluster.operators.push({ kind: 'splitRegion', regionId: regionId(1), epoch: cluster.region().epoch, keys: [bad] })
  }
  cluster.world.runFor(5_000)
  t.equal(cluster.region().epoch.version, 1, 'nor when PD asks')
  cluster.operators.length = 0
  const outcome = split(cluster, leader, engineKeyOf(wireKeyOfText(0, 'm')))
  t.ok(cluster.world.until(() => kindOf(outcome) === 'ok', 1_000))
  t.end()
})

t.test('a split whose end nobody knows is undetermined, and may be carried out later', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  const leader = cluster.elect()
  // The proposal reaches a follower, and nothing comes back.
  for (const machine of cluster.machines) if (machine !== leader) cluster.cut.add(`${machine.id}>${leader.id}`)
  const outcome = split(cluster, leader, utf8('m'))
  cluster.world.runFor(500)
  const answered: string[] = []
  leader.store!.stop(50, () => { answered.push(kindOf(outcome) ?? 'nothing') })
  cluster.world.runFor(500)
  t.same(answered, ['Undetermined'])
  cluster.kill(leader)
  t.ok(cluster.world.until(() => (cluster.leader()?.store?.peers(0).length ?? 0) > 1, 10_000), 'as here, by the next leader')
  t.end()
})

t.test('a split that lost to another entry is certainly not done', t => {
  for (const seed of [1, 2, 3]) {
    const cluster = new StoreCluster(3, seed)
    cluster.bootstrap(3)
    cluster.mustPut('a', '1')
    const leader = cluster.elect()
    cluster.isolate(leader.id)
    const outcome = split(cluster, leader, utf8('m'))
    cluster.world.runFor(100)
    t.ok(cluster.world.until(() => cluster.leader() !== leader, 5_000))
    cluster.mustPut('b', '2')
    cluster.cut.clear()
    t.ok(cluster.world.until(() => outcome.result !== undefined, 10_000))
    t.equal(kindOf(outcome), 'StaleCommand')
    t.equal(cluster.region().epoch.version, 1)
  }
  t.end()
})

t.test('PD hears of many regions some at a time, and of each of them', t => {
  const cluster = new StoreCluster(1)
  const machine = cluster.machines[0]!
  const store = cluster.start(machine)
  const count = 700
  const key = (at: number): Uint8Array => at === 0 || at === count ? new Uint8Array(0) : Uint8Array.of(at >>> 8, at)
  for (let at = 0; at < count; at++) {
    store.bootstrapRegion({ regionId: regionId(at + 1), startKey: key(at), endKey: key(at + 1), epoch: { confVer: 1, version: 1 },
      peers: [{ peerId: peerId(10_000 + at), storeId: machine.id, role: 'voter' }] })
  }
  cluster.kill(machine, 1)
  const asked: { atMs: number }[] = []
  const { approximateBytes } = machine.engine!
  machine.engine!.approximateBytes = (...args: Parameters<typeof approximateBytes>): number => {
    asked.push({ atMs: cluster.world.nowMs })
    return approximateBytes.apply(machine.engine, args)
  }
  cluster.start(machine)
  cluster.world.runFor(5_000)
  t.equal(cluster.shapes.size, count)
  const perMoment = new Map<number, number>()
  for (const { atMs } of asked) perMoment.set(atMs, (perMoment.get(atMs) ?? 0) + 1)
  t.ok(Math.max(...perMoment.values()) <= 256, `${Math.max(...perMoment.values())} at once`)
  t.same(cluster.fatal, [])
  t.end()
})

t.test('the key that is told not to lie in a region is one of those asked for', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  const leader = cluster.elect()
  const boundary = engineKeyOf(wireKeyOfText(0, 'm'))
  const parts = split(cluster, leader, boundary)
  t.ok(cluster.world.until(() => kindOf(parts) === 'ok', 1_000))
  const [left] = parts.result?.ok === true ? parts.result.value : []
  t.ok(cluster.world.until(() => leader.store!.peers(0).filter(one => one.role === 'leader').length === 2, 5_000))
  const keys = ['a', 'z'].map(key => engineKeyOf(wireKeyOfText(0, key)))
  const last = keys[1]!
  const end = new Uint8Array(last.length + 1)
  end.set(last)
  const told: unknown[] = []
  leader.store!.read(cluster.context(left!), { start: keys[0]!, end, single: false, last }, result => {
    told.push(result.ok ? 'ok' : result.error)
  })
  cluster.world.runFor(100)
  t.match(told, [{ kind: 'KeyNotInRegion', key: last, endKey: boundary }])
  t.end()
})
