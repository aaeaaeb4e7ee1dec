import t from 'tap'
import fc from 'fast-check'
import { compareBytes, emptyBytes } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { epochIsStale, regionContains, regionsOverlap, sameEpoch } from '../../src/common/region.js'
import type { Region } from '../../src/common/region.js'
import { RegionCache, Route } from '../../src/client/region-cache.js'
import { makeRegion } from './kit.js'

/** The rules in their plainest words, over a list. */
class NaiveCache {
  regions: Region[] = []

  insert(region: Region): boolean {
    const known = this.regions.find(one => one.regionId === region.regionId)
    if (known && epochIsStale(region.epoch, known.epoch)) return false
    if (known && sameEpoch(known.epoch, region.epoch)) return true
    const overlapping = this.regions.filter(one => regionsOverlap(one, region))
    if (overlapping.some(one => one !== known && one.epoch.version > region.epoch.version)) return false
    this.regions = this.regions.filter(one => one !== known && !overlapping.includes(one))
    this.regions.push(region)
    return true
  }
  find(key: Uint8Array): Region | undefined { return this.regions.find(one => regionContains(one, key)) }
  findBefore(key: Uint8Array): Region | undefined {
    return this.regions.find(one => key.length === 0
      ? one.endKey.length === 0
      : compareBytes(one.startKey, key) < 0 && (one.endKey.length === 0 || compareBytes(key, one.endKey) <= 0))
  }
}

const point = (value: number): Uint8Array => value === 0 ? emptyBytes : Uint8Array.of(value)
const regionOf = (id: number, start: number, end: number, version: number): Region => ({
  regionId: regionId(id), startKey: point(start), endKey: point(end), epoch: { confVer: 1, version },
  peers: [{ peerId: peerId(id), storeId: storeId(1), role: 'voter' }],
})

const command = fc.oneof(
  fc.record({
    kind: fc.constant('insert' as const), id: fc.integer({ min: 1, max: 6 }), start: fc.integer({ min: 0, max: 8 }),
    length: fc.integer({ min: 1, max: 6 }), version: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('invalidate' as const), key: fc.integer({ min: 1, max: 12 }) }))

t.test('the cache agrees with the naive list, whatever arrives', async t => {
  fc.assert(fc.property(fc.array(command, { maxLength: 40 }), commands => {
    const clever = new RegionCache()
    const naive = new NaiveCache()
    for (const step of commands) {
      if (step.kind === 'insert') {
        const end = step.start + step.length > 12 ? 0 : step.start + step.length
        const region = regionOf(step.id, step.start, end, step.version)
        if ((clever.insert(region, undefined) !== undefined) !== naive.insert(region)) return false
      } else {
        const route = clever.find(point(step.key))
        if (route) clever.invalidate(route)
        naive.regions = naive.regions.filter(one => !regionContains(one, point(step.key)))
      }
      if (clever.size !== naive.regions.length) return false
      if (!clever.all().every(route => route.isCurrent && clever.get(route.region.regionId) === route)) return false
      for (let key = 0; key <= 13; key++) {
        if (clever.find(point(key))?.region !== naive.find(point(key))) return false
        if (clever.findBefore(point(key))?.region !== naive.findBefore(point(key))) return false
      }
    }
    return true
  }), { numRuns: 2000 })
  t.pass('find, findBefore, insert, invalidate')
})

t.test('leaders', async t => {
  const cache = new RegionCache()
  const region = makeRegion(1, '', '')
  const route = cache.insert(region, region.peers[0])!
  t.equal(route.target(() => false), region.peers[0])
  t.ok(cache.switchLeader(route, region.peers[1]!))
  t.equal(route.target(() => true), region.peers[1], 'a leader is asked even if it is suspect')
  t.notOk(cache.switchLeader(route, { peerId: peerId(99), storeId: storeId(9), role: 'voter' }))
  t.notOk(cache.switchLeader(route, { peerId: peerId(99), storeId: storeId(1), role: 'voter' }), 'another peer id')
  cache.storeLost(storeId(1))
  t.equal(route.leader, region.peers[1], 'another store\'s loss changes nothing')
  cache.storeLost(storeId(2))
  t.equal(route.leader, undefined)
  const asked = [1, 2, 3, 4].map(() => route.target(store => store === 2)?.storeId)
  t.same(asked, [3, 1, 3, 1], 'in turn, suspects passed over')
  t.ok(route.target(() => true), 'all suspect: somebody is asked all the same')
  t.equal(cache.insert(region, region.peers[2]), route, 'the same epoch again brings its leader')
  t.equal(route.leader, region.peers[2])
})

t.test('a learner is never asked while no leader is known', async t => {
  const plain = makeRegion(1, '', '')
  const peers = plain.peers.map((peer, at) => at === 0 ? { ...peer, role: 'learner' as const } : peer)
  const route = new Route({ ...plain, peers }, undefined)
  t.same([1, 2, 3].map(() => route.target(() => false)?.storeId), [2, 3, 2])
})

t.test('contexts are kept while nothing changes', async t => {
  const region = makeRegion(1, '', '')
  const route = new Route(region, region.peers[0])
  const first = route.context(region.peers[0]!, 100)
  t.equal(route.context(region.peers[0]!, 100), first)
  t.match(route.context(region.peers[0]!, 99), { timeoutMs: 99, peerId: 11 })
  route.setLeader(region.peers[1])
  t.match(route.context(region.peers[1]!, 100), { peerId: 12 })
})

t.test('a full cache forgets rather than grows', async t => {
  const cache = new RegionCache(3)
  for (const [at, start] of ['', 'b', 'c', 'd'].entries()) {
    cache.insert(makeRegion(at + 1, start, ['b', 'c', 'd', ''][at]!), undefined)
  }
  t.equal(cache.size, 1)
  t.equal(cache.get(regionId(1)), undefined)
})
