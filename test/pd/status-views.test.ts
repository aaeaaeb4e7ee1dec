import t from 'tap'
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { regionId, storeId } from '../../src/common/ids.js'
import {
  viewCluster, viewExplain, viewHealth, viewMembers, viewOperators, viewRegion, viewRegions, viewStatus, viewStore,
  viewStores,
} from '../../src/pd/status-views.js'
import { Group, World, mustOk } from './kit.js'
import { beat, peer, region, stats, store } from './samples.js'

t.test('the views speak PD\'s names and survive JSON', async t => {
  const world = new World(1)
  const group = new Group(world, 3)
  group.startAll()
  const { first } = mustOk(group, 'AllocId', { count: 3 })
  const shape = { id: first + 1, peers: [peer(first + 2, first)] }
  mustOk(group, 'Bootstrap', { store: store(first, { labels: { zone: 'a' } }), region: region(shape) })
  const { first: second } = mustOk(group, 'AllocId', { count: 1 })
  mustOk(group, 'PutStore', { store: store(second), force: false, incarnation: 0, previous: [] })
  mustOk(group, 'StoreHeartbeat', { stats: stats(first), incarnation: 0 })
  mustOk(group, 'StoreHeartbeat', { stats: stats(second), incarnation: 0 })
  mustOk(group, 'RegionHeartbeat', { beats: [beat(shape)] })
  world.runFor(3_000)
  const node = group.awaitLeader().node!
  const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
  t.match(json(viewStores(node)), { count: 2, stores: [{
    store: { id: first, state_name: 'Up', labels: [{ key: 'zone', value: 'a' }] },
    status: { region_count: 1, leader_count: 1 },
  }] })
  t.match(json(viewStore(node, storeId(second))), { store: { id: second }, status: { region_count: 0 } })
  t.equal(viewStore(node, storeId(999)), null)
  t.match(json(viewRegions(node, emptyBytes)), { count: 1, regions: [{ id: first + 1, leader: { store_id: first } }] })
  t.match(json(viewRegion(node, { key: utf8('k') })),
    { id: first + 1, start_key: '', epoch: { conf_ver: 1, version: 1 } })
  t.equal(viewRegion(node, { id: regionId(999) }), null)
  t.match(json(viewExplain(node, regionId(first + 1))), { replicas: '1 of 3 replicas are good',
    operator: { kind: 'addLearner' } })
  t.match(json(viewOperators(node)), [{ source: 'checker', operator: { peer: { store_id: second } } }])
  t.match(json(viewMembers(node)), { members: [{ name: 'pd-1' }, {}, {}], leader: { name: node.env.name } })
  t.match(json(viewHealth(node)), [{ health: true }, { health: true }, { health: true }])
  t.match(json(viewCluster(node)), { id: node.clusterId.toString(), is_bootstrapped: true, store_count: 2 })
  t.match(json(viewStatus(node)), { is_leader: true, has_lease: true, raft: { role: 'leader' } })
  const follower = group.members.find(member => member.node !== node)!.node!
  t.equal(viewStores(follower), undefined, 'only the leader knows')
  t.match(json(viewMembers(follower)), { leader: { name: node.env.name } })
  world.runFor(25_000)
  t.match(json(viewStores(node)), { stores: [{ store: { state_name: 'Disconnected' } }] })
})
