/** Is all well? What PD answers is of now: a leader that no store confirms is none. */
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import type { PeerRef } from '../../src/common/region.js'
import type { StoreStats } from '../../src/wire/messages.js'
import { Group, mustOk, World } from './kit.js'
import { beat, peer, region, stats, store } from './samples.js'

class Cluster {
  readonly world = new World(12)
  readonly group = new Group(this.world, 1)
  readonly stores: [number, number, number]
  readonly id: number
  readonly peers: [PeerRef, PeerRef, PeerRef]

  constructor() {
    this.group.startAll()
    const { first } = mustOk(this.group, 'AllocId', { count: 20 })
    this.stores = [first, first + 1, first + 2]
    this.id = first + 3
    this.peers = [peer(first + 4, first), peer(first + 5, first + 1), peer(first + 6, first + 2)]
    mustOk(this.group, 'Bootstrap', { store: store(first), region: region({ id: this.id, peers: [this.peers[0]] }) })
    for (const id of this.stores.slice(1)) mustOk(this.group, 'PutStore', { store: store(id), force: false, incarnation: 0, previous: [] })
    this.hear(this.stores)
    this.beat()
  }

  hear(ids: readonly number[], more: Partial<StoreStats> = {}): void {
    for (const id of ids) mustOk(this.group, 'StoreHeartbeat', { stats: stats(id, more), incarnation: 0 })
  }

  beat(more: Parameters<typeof beat>[0] = {}): void {
    mustOk(this.group, 'RegionHeartbeat', { beats: [beat({ id: this.id, confVer: 3, peers: this.peers, ...more })] })
  }

  runFor(ms: number, heard: readonly number[], beats = true): void {
    for (let at = 0; at < ms; at += 2_500) {
      this.world.runFor(2_500)
      this.hear(heard)
      if (beats) this.beat()
    }
  }

  get health(): ReturnType<typeof this.describe> { return this.describe() }
  describe(): { kinds: string[]; text: string; full: Record<string, unknown> } {
    const health = mustOk(this.group, 'GetHealth', {})
    return {
      kinds: health.problems.map(one => one.kind), text: health.problems.map(one => one.text).join('\n'),
      full: health as unknown as Record<string, unknown>,
    }
  }
}

t.test('all is well, then two of three replicas, then one that lags', async t => {
  const cluster = new Cluster()
  t.same(cluster.health.kinds, [])
  t.match(cluster.health.full, { regions: 1, withoutLeader: 0, withMissingReplicas: 0, holes: 0, problemCount: 0 })
  cluster.beat({ confVer: 4, peers: cluster.peers.slice(0, 2) })
  t.same(cluster.health.kinds, ['region-missing-replicas'])
  t.match(cluster.health.text, /has 2 of 3 replicas/)
  cluster.beat({ confVer: 5, pending: [cluster.peers[1]] })
  t.same(cluster.health.kinds, ['region-pending-replicas'])
  cluster.beat({ confVer: 5, down: [{ peer: cluster.peers[2], downSeconds: 30 }] })
  t.same(cluster.health.kinds, ['region-down-replicas'])
})

t.test('a leader whose store is silent, or that does not report, leads no longer; its age is told', async t => {
  const cluster = new Cluster()
  const [a, b, c] = cluster.stores
  t.match(mustOk(cluster.group, 'GetRegion', { key: utf8('k') }), { route: { leader: cluster.peers[0] }, heardStoreId: a })
  cluster.runFor(25_000, [b, c], false)
  const route = mustOk(cluster.group, 'GetRegion', { key: utf8('k') })
  t.equal(route.route?.leader, undefined)
  t.equal(route.heardStoreId, a)
  t.ok(route.heardMsAgo >= 25_000, `${route.heardMsAgo} ms`)
  t.same(cluster.health.kinds, ['store-disconnected', 'region-without-leader', 'region-down-replicas'])
  t.match(cluster.health.text, new RegExp(`store ${a} was the last, 2\\d s ago`))
  cluster.hear([a])
  cluster.beat({ confVer: 4 })
  t.same(cluster.health.kinds, [])
  cluster.runFor(40_000, [a, b, c], false)
  t.same(cluster.health.kinds, ['region-without-leader'], 'stores live, but none says that it leads')
  t.same(mustOk(cluster.group, 'ScanRegions', { start: utf8(''), end: utf8(''), limit: 9 }).routes[0]?.leader, undefined)
})

t.test('a leader on a buried store is none', async t => {
  const cluster = new Cluster()
  const [a] = cluster.stores
  mustOk(cluster.group, 'PutStore', { store: store(a, { state: 'offline' }), force: false, incarnation: 0, previous: [] })
  t.ok(cluster.health.kinds.includes('store-offline'))
  mustOk(cluster.group, 'PutStore', { store: store(a, { state: 'tombstone' }), force: true, incarnation: 0, previous: [] })
  t.ok(cluster.health.kinds.includes('region-without-leader'), cluster.health.text)
})

t.test('full disks, clocks and versions that differ, holes', async t => {
  const cluster = new Cluster()
  const [a, b, c] = cluster.stores
  const wallMs = cluster.group.leader!.env.clock.wallMs()
  cluster.hear([a], { wallMs: wallMs + 60_000 })
  cluster.hear([b], { availableBytes: 1e6, isDiskFull: true, reserveBytes: 2 ** 28 })
  cluster.hear([c], { availableBytes: 3e8, reserveBytes: 2 ** 28 })
  mustOk(cluster.group, 'PutStore', { store: store(c, { version: '0.2.0' }), force: false, incarnation: 0, previous: [] })
  t.same(cluster.health.kinds, ['store-clock', 'store-disk-full', 'store-low-space', 'versions'])
  t.match(cluster.health.text, /clock that is 60\.0 s ahead of PD's/)
  const { fullStoreIds, lowStoreIds } = mustOk(cluster.group, 'StoreHeartbeat', { stats: stats(a), incarnation: 0 })
  t.same({ fullStoreIds, lowStoreIds }, { fullStoreIds: [b], lowStoreIds: [b, c] })
  cluster.beat({ confVer: 4, version: 2, start: 'm' })
  t.ok(cluster.health.kinds.includes('hole'))
})
