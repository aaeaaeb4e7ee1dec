import t from 'tap'
import { peerId, storeId } from '../../src/common/ids.js'
import type { PeerRef } from '../../src/common/region.js'
import { defaultPdConfig, checkPdConfig, memberIdOf, parseInitialCluster } from '../../src/pd/config.js'
import { Operators } from '../../src/pd/core/operators.js'
import { RegionRecord } from '../../src/pd/core/region-record.js'
import { checkReplicas } from '../../src/pd/core/replica-checker.js'
import type { StoreView } from '../../src/pd/core/replica-checker.js'
import { StoreLiveness } from '../../src/pd/core/store-liveness.js'
import { noSpaceKnown } from '../../src/pd/core/store-space.js'
import type { Liveness } from '../../src/pd/core/store-liveness.js'
import type { StoreMeta } from '../../src/wire/messages.js'
import { dice } from './kit.js'
import { beat, peer, stats, store } from './samples.js'

const config = defaultPdConfig

function view(id: number, liveness: Liveness = 'up', meta: Partial<StoreMeta> = {},
  regions = 1): [ReturnType<typeof storeId>, StoreView] {
  return [storeId(id), { meta: store(id, meta), liveness, isBusy: false, regions, space: noSpaceKnown }]
}

/** `1 2 3l` = voters on stores 1 and 2, a learner on 3; peer ids are store id + 10. The first leads. */
function step(peers: string, stores: [ReturnType<typeof storeId>, StoreView][],
  more: { pending?: number; down?: [number, number] } = {}): string {
  const refs: PeerRef[] = peers.split(' ').map(word => peer(parseInt(word) + 10, parseInt(word),
    word.endsWith('l') ? 'learner' : 'voter'))
  const by = (id: number): PeerRef => refs.find(ref => ref.storeId === id)!
  const record = RegionRecord.fromBeat(beat({
    peers: refs, leader: refs[0]!, pending: more.pending === undefined ? [] : [by(more.pending)],
    down: more.down === undefined ? [] : [{ peer: by(more.down[0]), downSeconds: more.down[1] }],
  }))
  const found = checkReplicas(record, new Map(stores), config)
  if (found.kind === 'none') return `none: ${found.reason}`
  return `${found.kind} ${found.kind === 'addLearner' ? found.storeId : found.peer.storeId}`
}

t.test('towards three good replicas, one change at a time', async t => {
  const three = [view(1), view(2), view(3)]
  t.equal(step('1', three), 'addLearner 2')
  t.equal(step('1 2l', three, { pending: 2 }), 'none: the learner is catching up')
  t.equal(step('1 2l', three), 'promoteLearner 2')
  t.equal(step('1 2', three), 'addLearner 3')
  t.equal(step('1 2 3', three), 'none: all replicas are in place')
  t.equal(step('1 2 3', [...three, view(4)]), 'none: all replicas are in place')
  t.equal(step('1 2 3 4', [...three, view(4)]), 'removePeer 4')
  t.equal(step('1', [view(1)]), 'none: no healthy store is without a replica')
  t.equal(step('1', [view(1), view(2, 'disconnected'), view(3, 'unheard')]),
    'none: no healthy store is without a replica')
})

t.test('a silent store keeps its replicas for max-store-down-time; then they are rebuilt, then removed', async t => {
  t.equal(step('1 2 3', [view(1), view(2), view(3, 'disconnected'), view(4)]), 'none: all replicas are in place')
  const dead = [view(1), view(2), view(3, 'down'), view(4)]
  t.equal(step('1 2 3', dead), 'addLearner 4')
  t.equal(step('1 2 3 4l', dead), 'promoteLearner 4')
  t.equal(step('1 2 3 4', dead), 'removePeer 3')
  t.equal(step('1 2 3', dead.slice(0, 3)), 'none: no healthy store is without a replica')
  t.equal(step('1 2 3', [view(1), view(2), view(3), view(4)], { down: [3, 1_799] }), 'none: all replicas are in place')
  t.equal(step('1 2 3', [view(1), view(2), view(3), view(4)], { down: [3, 1_801] }), 'addLearner 4')
  t.equal(step('1 2 3 4l', [view(1), view(2), view(3), view(4, 'down')]), 'removePeer 4')
})

t.test('an offline store is emptied; its leader hands over first', async t => {
  const leaving = [view(1, 'up', { state: 'offline' }), view(2), view(3), view(4)]
  t.equal(step('1 2 3', leaving), 'addLearner 4')
  t.equal(step('1 2 3 4', leaving), 'transferLeader 2')
  t.equal(step('2 1 3 4', leaving), 'removePeer 1')
})

t.test('nothing is done that leaves no healthy majority', async t => {
  const bad = [view(1), view(2, 'disconnected'), view(3, 'disconnected'), view(4), view(5)]
  t.equal(step('1 2 3 4l', bad), 'removePeer 4')
  t.equal(step('1 2 3 4', bad), 'removePeer 3')
  const worse = [view(1), view(2, 'down'), view(3, 'down'), view(4)]
  t.equal(step('1 2 3 4l', worse), 'none: a promotion would leave no healthy majority')
})

t.test('replicas prefer stores that differ in their labels', async t => {
  const at = (id: number, zone: string, host: string, regions = 1): [ReturnType<typeof storeId>, StoreView] =>
    view(id, 'up', { labels: { zone, host } }, regions)
  const stores = [at(1, 'a', 'h1'), at(2, 'a', 'h1', 0), at(3, 'a', 'h2', 5), at(4, 'b', 'h3', 9)]
  t.equal(step('1', stores), 'addLearner 4', 'another zone first')
  t.equal(step('1 4', stores), 'addLearner 3', 'then another host, though it is fuller')
  t.equal(step('1 4 3 2', stores), 'removePeer 2')
})

/** Carries operators out on a model and watches that there is a healthy majority all the way. */
t.test('from any start the checker reaches three good replicas and never breaks a majority', async t => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = dice(seed)
    const below = (bound: number): number => Math.floor(random() * bound)
    const count = 4 + below(4)
    const stores = Array.from({ length: count }, (_, i) => view(i + 1))
    const dead = 1 + below(count)
    if (below(2) === 0) stores[dead - 1] = below(2) === 0 ? view(dead, 'down') : view(dead, 'up', { state: 'offline' })
    let voters = Array.from({ length: 1 + below(4) }, (_, i) => peer(i + 11, i + 1))
    let leader = voters.find(one => stores[one.storeId - 1]![1].liveness === 'up')
    if (leader === undefined) continue
    const isHealthy = (one: PeerRef): boolean => stores[one.storeId - 1]![1].liveness === 'up'
    if (voters.filter(isHealthy).length * 2 <= voters.length) continue
    let steps = 0
    for (; steps < 40; steps++) {
      const record: RegionRecord = RegionRecord.fromBeat(beat({ peers: voters, leader }))
      const next = checkReplicas(record, new Map(stores), config)
      if (next.kind === 'none') break
      if (next.kind === 'addLearner') voters = [...voters, peer(next.storeId + 10, next.storeId, 'learner')]
      else if (next.kind === 'removePeer') voters = voters.filter(one => one.peerId !== next.peer.peerId)
      else if (next.kind === 'transferLeader') leader = next.peer
      else voters = voters.map(one => (one.peerId === next.peer.peerId ? { ...one, role: 'voter' } : one))
      const voting = voters.filter(one => one.role === 'voter')
      if (voting.filter(isHealthy).length * 2 <= voting.length) throw new Error(`seed ${seed}: no healthy majority`)
      if (!voting.some(one => one.peerId === leader?.peerId)) throw new Error(`seed ${seed}: the leader is gone`)
    }
    const good = voters.filter(one => isHealthy(one) && stores[one.storeId - 1]![1].meta.state === 'up')
    if (good.length !== 3 || voters.length !== 3) {
      throw new Error(`seed ${seed}: ended with ${voters.length}, ${good.length} good`)
    }
  }
  t.pass('500 starts')
})

t.test('liveness: up, disconnected after 20 s, down after 30 min of this leadership', async t => {
  const liveness = new StoreLiveness(config, 1_000)
  t.equal(liveness.of(storeId(1), 1_000), 'unheard')
  liveness.heard(stats(1), 5_000)
  t.equal(liveness.of(storeId(1), 24_999), 'up')
  t.equal(liveness.of(storeId(1), 25_000), 'disconnected')
  t.equal(liveness.of(storeId(1), 5_000 + 30 * 60_000), 'down')
  t.equal(liveness.of(storeId(2), 1_000 + 30 * 60_000), 'down')
})

t.test('operators end as done, void or late, and manual ones go first', async t => {
  const operators = new Operators({ operatorTimeoutMs: 1_000, replicaScheduleLimit: 1 })
  const record = (confVer: number, peers: PeerRef[]): RegionRecord => RegionRecord.fromBeat(beat({ confVer, peers }))
  const { regionId } = record(1, [peer(1, 1)])
  const add = { kind: 'addLearner' as const, regionId, epoch: { confVer: 1, version: 1 }, peer: peer(9, 2, 'learner') }
  t.ok(operators.add(add, 'checker', 0))
  t.notOk(operators.checkerHasRoom)
  t.equal(operators.observe(record(1, [peer(1, 1)]), 1), undefined)
  t.equal(operators.observe(record(2, [peer(1, 1), peer(9, 2, 'learner')]), 2), 'done')
  t.ok(operators.checkerHasRoom)
  operators.add(add, 'checker', 0)
  t.equal(operators.observe(record(2, [peer(1, 1)]), 2), 'void')
  operators.add(add, 'checker', 0)
  t.equal(operators.observe(record(1, [peer(1, 1)]), 1_000), 'late')
  operators.add(add, 'checker', 0)
  t.ok(operators.add({ ...add, peer: { ...add.peer, peerId: peerId(12) } }, 'manual', 0), 'takes the checker\'s place')
  t.notOk(operators.add(add, 'checker', 1))
  t.ok(operators.add(add, 'manual', 1), 'who lost the answer asks again for a replica on the same store; the id is PD\'s to give')
  t.match(operators.of(regionId), { peer: { peerId: 12 } }, 'and the first wish stands')
  t.notOk(operators.add({ ...add, peer: peer(9, 3, 'learner') }, 'manual', 1), 'another wish has to wait')
  operators.expire(1_000)
  t.equal(operators.size, 0)
})

t.test('configuration: mistakes are named, member ids come from names', async t => {
  t.same(checkPdConfig(defaultPdConfig), [])
  t.match(checkPdConfig({ ...defaultPdConfig, leaseMs: 600 }).join(), /lease/)
  const parsed = parseInitialCluster('a=http://x:1, b=http://y:2,a=http://z:3')
  t.same(parsed.ok && parsed.value.map(member => [member.name, member.memberId, member.peerUrls]),
    [['a', memberIdOf('a'), ['http://x:1', 'http://z:3']], ['b', memberIdOf('b'), ['http://y:2']]])
  t.notOk(parseInitialCluster('a').ok)
})
