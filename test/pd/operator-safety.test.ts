/** Wishes of people: what costs the quorum or the last copy is refused, or asks for force and says what is lost. */
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { regionId, storeId } from '../../src/common/ids.js'
import type { PeerRef } from '../../src/common/region.js'
import type { Operator } from '../../src/wire/messages.js'
import { engineKeyOf, wireKey } from '../../src/rawkv/codec.js'
import { Group, must, mustOk, World } from './kit.js'
import { beat, peer, region, stats, store } from './samples.js'
import type { RegionShape } from './samples.js'

type Beat = Parameters<typeof beat>[0]

/** Stores a, b, c …, and one region with a voter on each of the first three. */
class Cluster {
  readonly world = new World(11)
  readonly group = new Group(this.world, 1)
  readonly stores: number[] = []
  readonly peers: PeerRef[]
  readonly id: number
  confVer = 5

  constructor(count: number) {
    this.group.startAll()
    const { first } = mustOk(this.group, 'AllocId', { count: 2 * count + 2 })
    for (let i = 0; i < count; i++) this.stores.push(first + i)
    this.id = first + count
    this.peers = this.stores.slice(0, 3).map((on, at) => peer(this.id + 1 + at, on))
    const alone = { id: this.id, peers: [this.peers[0]!] }
    mustOk(this.group, 'Bootstrap', { store: store(this.stores[0]!), region: region(alone) })
    for (const id of this.stores.slice(1)) mustOk(this.group, 'PutStore', { store: store(id), force: false, incarnation: 0, previous: [] })
    this.hear(this.stores)
    this.beat({})
  }

  hear(ids: readonly number[]): void { for (const id of ids) mustOk(this.group, 'StoreHeartbeat', { stats: stats(id), incarnation: 0 }) }

  shape(more: RegionShape = {}): RegionShape { return { id: this.id, confVer: this.confVer, peers: this.peers, ...more } }

  beat(more: Beat): readonly Operator[] {
    return mustOk(this.group, 'RegionHeartbeat', { beats: [beat({ ...this.shape(), ...more })] }).operators
  }

  /** Time goes on; only these are heard meanwhile. */
  silence(others: readonly number[]): void {
    for (let i = 0; i < 5; i++) {
      this.world.runFor(5_000)
      this.hear(others)
    }
    this.beat({})
  }

  add(kind: 'addLearner' | 'promoteLearner' | 'removePeer' | 'transferLeader', on: PeerRef, isForced = false): string {
    const operator = { kind, regionId: regionId(this.id), epoch: { confVer: 0, version: 0 }, peer: on, ...(isForced && { isForced }) }
    const result = must(this.group, 'AddOperator', { operator })
    return result.ok ? 'ok' : 'reason' in result.error ? `${result.error.kind}: ${result.error.reason}` : result.error.kind
  }

  bury(id: number, force: boolean): string {
    const result = must(this.group, 'PutStore', { store: store(id, { state: 'tombstone' }), force, incarnation: 0, previous: [] })
    return result.ok ? 'ok' : (result.error as { reason: string }).reason
  }

  offline(id: number): void { mustOk(this.group, 'PutStore', { store: store(id, { state: 'offline' }), force: false, incarnation: 0, previous: [] }) }
}

t.test('a removal that leaves no quorum is refused, and carried out by force', async t => {
  const cluster = new Cluster(3)
  const [a, b, c] = cluster.stores as [number, number, number]
  const [, second, third] = cluster.peers as [PeerRef, PeerRef, PeerRef]
  cluster.silence([a, b])
  t.match(cluster.add('removePeer', second), /InvalidArgument: .*lose its quorum: of the 2 voters left, 1 would answer .*--force/)
  t.equal(cluster.add('removePeer', third), 'ok', 'the dead one may go')
  t.match(cluster.add('removePeer', third), /ok/, 'who lost the answer asks again')
  t.match(cluster.add('removePeer', second, true), /another operator under way/)
  cluster.hear([c])
})

t.test('force carries out what costs the quorum, and the leader hears that it was meant', async t => {
  const cluster = new Cluster(3)
  const [a, b] = cluster.stores as [number, number, number]
  cluster.silence([a, b])
  t.equal(cluster.add('removePeer', cluster.peers[1]!, true), 'ok')
  t.match(cluster.beat({}), [{ kind: 'removePeer', isForced: true }])
})

t.test('replicas that have not caught up do not count, and do not get to vote or lead', async t => {
  const cluster = new Cluster(4)
  const [, second, third] = cluster.peers as [PeerRef, PeerRef, PeerRef]
  cluster.beat({ pending: [third] })
  t.match(cluster.add('removePeer', second), /lose its quorum/)
  t.match(cluster.add('transferLeader', third), /has not caught up/)
  const learner = peer(cluster.id + 4, cluster.stores[3]!, 'learner')
  cluster.peers.push(learner)
  cluster.confVer++
  cluster.beat({ pending: [learner] })
  t.match(cluster.add('promoteLearner', learner), /has not caught up/)
  t.match(cluster.add('promoteLearner', learner, true), /has not caught up/)
  t.match(cluster.add('promoteLearner', second), /no learner/)
  t.match(cluster.add('transferLeader', learner), /cannot lead/)
  cluster.beat({})
  t.equal(cluster.add('promoteLearner', learner), 'ok')
})

t.test('nonsense is refused by name', async t => {
  const cluster = new Cluster(4)
  const [a, b, , d] = cluster.stores as [number, number, number, number]
  t.match(cluster.add('addLearner', peer(0, 77_777)), /there is no store 77777/)
  t.match(cluster.add('addLearner', peer(0, b)), /has a replica of region \d+ already/)
  t.match(cluster.add('addLearner', { ...cluster.peers[1]!, storeId: storeId(d) }), /has a peer \d+ already/)
  t.match(cluster.add('addLearner', peer(2 ** 40, d)), /never allocated/)
  t.match(cluster.add('removePeer', cluster.peers[0]!), /leader cannot be removed/)
  t.match(cluster.add('removePeer', peer(99, d)), /not in region/)
  cluster.offline(d)
  t.match(cluster.add('addLearner', peer(0, d)), /is offline/)
  t.equal(cluster.bury(d, false), 'ok', 'it holds nothing')
  t.match(cluster.add('addLearner', peer(0, d)), /is tombstone/)
  cluster.silence([a, b])
  t.match(cluster.add('transferLeader', cluster.peers[2]!), /does not answer/)
  const split = (...keys: string[]): string => {
    const operator = { kind: 'splitRegion' as const, regionId: regionId(cluster.id), epoch: { confVer: 0, version: 0 },
      keys: keys.map(key => key.startsWith('!') ? utf8(key) : engineKeyOf(wireKey(0, utf8(key)))) }
    const result = must(cluster.group, 'AddOperator', { operator })
    return result.ok ? 'ok' : result.error.kind
  }
  t.equal(split(), 'InvalidArgument')
  t.equal(split('!no memcomparable key'), 'InvalidArgument')
  t.equal(split('b', 'a'), 'InvalidArgument')
  t.equal(split('a', 'a'), 'InvalidArgument')
  t.equal(split('a', 'b'), 'ok')
  t.equal(must(cluster.group, 'AddOperator', { operator: { kind: 'splitRegion', regionId: regionId(9_999),
    epoch: { confVer: 0, version: 0 }, keys: [] } }).ok, false)
})

t.test('a store that dies between two wishes counts as what it is by then', async t => {
  const cluster = new Cluster(4)
  const [a, , c] = cluster.stores as [number, number, number, number]
  t.equal(cluster.add('transferLeader', cluster.peers[2]!), 'ok')
  cluster.beat({ leader: cluster.peers[2]!, term: 6 })
  cluster.silence([a, c])
  cluster.beat({ leader: cluster.peers[2]!, term: 6 })
  t.match(cluster.add('transferLeader', cluster.peers[1]!), /does not answer/)
  t.match(cluster.add('removePeer', cluster.peers[0]!), /lose its quorum/)
})

t.test('a wish that became dangerous before it was carried out is withdrawn', async t => {
  const cluster = new Cluster(3)
  const [a, b] = cluster.stores as [number, number, number]
  t.equal(cluster.add('removePeer', cluster.peers[1]!), 'ok')
  cluster.silence([a, b])
  t.same(cluster.beat({}), [])
})

t.test('a burial that loses replicas says which regions lose what, and asks for force', async t => {
  const cluster = new Cluster(3)
  const [a, b, c] = cluster.stores as [number, number, number]
  t.match(cluster.bury(c, false), /must be offline/)
  cluster.offline(c)
  t.match(cluster.bury(c, false), /holds replicas of 1 regions: they have others that answer, but fewer/)
  cluster.offline(b)
  cluster.silence([a])
  t.match(cluster.bury(b, false), new RegExp(`regions ${cluster.id} would lose their quorum.*--force`))
  cluster.silence([b])
  cluster.offline(a)
  t.match(cluster.bury(a, false), /would lose their quorum/)
  cluster.silence([])
  t.match(cluster.bury(a, false), new RegExp(`regions ${cluster.id} their last copy.*--force`))
  t.equal(cluster.bury(a, true), 'ok')
  t.equal(mustOk(cluster.group, 'GetStores', {}).stores.find(one => one.storeId === a)?.state, 'tombstone')
})

t.test('PD that has not heard of all regions cannot say what a store holds', async t => {
  const cluster = new Cluster(4)
  const d = cluster.stores[3]!
  cluster.offline(d)
  cluster.group.kill(cluster.group.members[0]!, 1)
  cluster.group.start(cluster.group.members[0]!)
  t.match(cluster.bury(d, false), /not heard of all regions/)
  t.equal(cluster.bury(d, true), 'ok')
})
