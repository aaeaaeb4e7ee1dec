import t from 'tap'
import fc from 'fast-check'
import { equalBytes, utf8 } from '../../src/common/bytes.js'
import { storeId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import { ClusterState } from '../../src/pd/core/cluster-state.js'
import { decodeProposal, encodeProposal } from '../../src/pd/core/commands.js'
import type { PdCommand } from '../../src/pd/core/commands.js'
import { IdAllocator } from '../../src/pd/core/id-allocator.js'
import { keyBytes, keyText } from '../../src/pd/core/key-text.js'
import { RegionTree } from '../../src/pd/core/region-tree.js'
import { Group, World, ask, dice } from './kit.js'
import { beat, peer, region, store } from './samples.js'

const anyStore = fc.record({
  id: fc.integer({ min: 0, max: 12 }), address: fc.constantFrom('a', 'b', 'c', 'd', ''),
  labels: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }), state: fc.constantFrom('up', 'offline', 'tombstone'),
}).map(({ id, ...more }) => store(id, more))
const anyCommand: fc.Arbitrary<PdCommand> = fc.oneof(
  fc.record({ kind: fc.constant('initCluster' as const), clusterId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  fc.record({ kind: fc.constant('allocIds' as const), count: fc.integer({ min: 0, max: 4 }) }),
  fc.record({ kind: fc.constant('putStore' as const), store: anyStore }),
  fc.record({
    kind: fc.constant('setStoreState' as const), storeId: fc.integer({ min: 0, max: 12 }).map(storeId),
    state: fc.constantFrom('up' as const, 'offline' as const, 'tombstone' as const),
  }),
  fc.record({ kind: fc.constant('tsoWindow' as const), boundMs: fc.maxSafeNat() }),
  fc.record({ kind: fc.constant('bootstrap' as const), store: anyStore, region: fc.integer({ min: 1, max: 6 })
    .map(id => region({ id, peers: [peer(id + 1, id + 2)] })) }),
  fc.record({ kind: fc.constant('putMember' as const), member: fc.record({ name: fc.string(),
    memberId: fc.integer({ min: 1, max: 5 }), clientUrls: fc.array(fc.string()), peerUrls: fc.array(fc.string()) }) }),
)

t.test('a command comes back as it was; a state from a snapshot goes on like one that was replayed', async t => {
  fc.assert(fc.property(fc.array(anyCommand, { maxLength: 40 }), fc.nat(40), (commands, cut) => {
    const replayed = new ClusterState()
    let restored = new ClusterState()
    for (const [i, command] of commands.entries()) {
      const bytes = encodeProposal({ incarnation: 7, sequence: i }, command)
      const decoded = decodeProposal(bytes)
      if (!equalBytes(encodeProposal(decoded.id, decoded.command), bytes)) throw new Error('not the same command')
      if (i === cut) restored = ClusterState.decode(restored.encode())
      const [left, right] = [replayed.apply(command), restored.apply(decoded.command)]
      if (JSON.stringify(left) !== JSON.stringify(right)) throw new Error('different results')
    }
    if (!equalBytes(replayed.encode(), restored.encode())) throw new Error('different states')
    const up = [...replayed.stores.values()].filter(one => one.state === 'up').map(one => one.address)
    if (new Set(up).size !== up.length) throw new Error('two stores at one address')
  }), { numRuns: 500 })
  t.pass('500 histories')
})

t.test('bytes that no encoder wrote are corruption, never a state', async t => {
  const good = new ClusterState()
  for (const command of [{ kind: 'allocIds', count: 9 },
    { kind: 'putStore', store: store(3) }] as const) good.apply(command)
  const bytes = good.encode()
  for (let length = 0; length < bytes.length; length++) {
    t.throws(() => ClusterState.decode(bytes.subarray(0, length)), { code: 'corruption' })
  }
  t.throws(() => ClusterState.decode(Uint8Array.of(9, ...bytes.subarray(1))), { code: 'corruption' })
})

t.test('keys as text keep every byte and the order of bytes', async t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 40 }), (left, right) => {
    if (!equalBytes(keyBytes(keyText(left)), left)) throw new Error('bytes lost')
    const order = Buffer.compare(left, right)
    const [a, b] = [keyText(left), keyText(right)]
    if (order !== (a < b ? -1 : a > b ? 1 : 0)) throw new Error('order lost')
  }))
  const long = new Uint8Array(20_000).fill(255)
  t.ok(equalBytes(keyBytes(keyText(long)), long))
})

/** A list that is searched from end to end. */
class NaiveTree {
  regions: { region: Region; term: number }[] = []
  put(of: Region, term: number): boolean {
    const overlapping = this.regions.filter(({ region: other }) => {
      const below = of.endKey.length === 0 || Buffer.compare(other.startKey, of.endKey) < 0
      return below && (other.endKey.length === 0 || Buffer.compare(of.startKey, other.endKey) < 0)
    })
    const known = this.regions.find(other => other.region.regionId === of.regionId)
    if (known !== undefined) {
      const { epoch } = known.region
      if (of.epoch.version < epoch.version || of.epoch.confVer < epoch.confVer) return false
      const same = of.epoch.version === epoch.version && of.epoch.confVer === epoch.confVer
      if (same && term < known.term) return false
    }
    const isSameRange = known !== undefined && equalBytes(known.region.startKey, of.startKey)
      && equalBytes(known.region.endKey, of.endKey)
    if (!isSameRange && overlapping.some(other => other.region.regionId !== of.regionId
      && other.region.epoch.version > of.epoch.version)) return false
    this.regions = this.regions.filter(other => other.region.regionId !== of.regionId && !overlapping.includes(other))
    this.regions.push({ region: of, term })
    this.regions.sort((left, right) => Buffer.compare(left.region.startKey, right.region.startKey))
    return true
  }
  byKey(key: Uint8Array): Region | undefined {
    return this.regions.find(({ region: of }) => Buffer.compare(of.startKey, key) <= 0
      && (of.endKey.length === 0 || Buffer.compare(key, of.endKey) < 0))?.region
  }
}

t.test('the region tree agrees with a list: puts, overlaps, stale heartbeats, lookups, scans, counts', async t => {
  let accepted = 0
  let stale = 0
  for (let seed = 1; seed <= 30; seed++) {
    const random = dice(seed)
    const below = (bound: number): number => Math.floor(random() * bound)
    const tree = new RegionTree()
    const naive = new NaiveTree()
    const keys = seed % 2 === 0 ? 40 : 2_000
    const name = (at: number): string => (at === 0 ? '' : `k${String(at).padStart(5, '0')}`)
    for (let step = 0; step < (seed % 2 === 0 ? 300 : 1_500); step++) {
      const from = below(keys)
      const wide = 1 + below(seed % 2 === 0 ? 10 : 4)
      const to = from + wide >= keys ? '' : name(from + wide)
      const shape = {
        id: 1 + below(keys), start: name(from), end: to, confVer: 1 + below(3),
          version: 1 + below(1 + Math.floor(step / 50)),
        peers: [peer(1, 1 + below(4)), peer(2, 5 + below(3))], term: 1 + below(4),
      }
      const wanted = naive.put(region(shape), shape.term)
      const got = tree.putBeat(beat(shape)) === 'accepted'
      if (wanted !== got) throw new Error(`seed ${seed} step ${step}: ${got}`)
      if (got) accepted++
      else stale++
      const key = utf8(`k${String(below(keys)).padStart(5, '0')}`)
      const found = naive.byKey(key)
      if (tree.byKey(key)?.regionId !== found?.regionId) throw new Error(`seed ${seed} step ${step}: byKey`)
      const before = naive.regions.filter(({ region: of }) => Buffer.compare(of.startKey, key) < 0).at(-1)?.region
      const reaches = before !== undefined && (before.endKey.length === 0 || Buffer.compare(before.endKey, key) >= 0)
      if (tree.previous(key)?.regionId !== (reaches ? before.regionId
        : undefined)) throw new Error(`seed ${seed}: previous`)
    }
    t.same(tree.scan(utf8(''), utf8(''), 1e9).map(one => one.region()), naive.regions.map(one => one.region))
    t.equal(tree.size, naive.regions.length)
    const [low, high] = [utf8(name(10)), utf8(name(30))]
    t.same(tree.scan(low, high, 7).map(one => one.regionId), naive.regions.map(one => one.region)
      .filter(of => Buffer.compare(of.startKey, high) < 0
        && (of.endKey.length === 0 || Buffer.compare(of.endKey, low) > 0))
      .slice(0, 7).map(of => of.regionId))
    for (let id = 1; id < 8; id++) {
      t.equal(tree.countsOf(storeId(id)).regions,
        naive.regions.filter(one => one.region.peers.some(of => of.storeId === id)).length)
      t.equal(tree.countsOf(storeId(id)).leaders,
        naive.regions.filter(one => one.region.peers[0]!.storeId === id).length)
    }
    const isWhole = naive.regions.every((one, i) => equalBytes(one.region.startKey,
      naive.regions[i - 1]?.region.endKey ?? utf8(''))
      && (i === 0 || one.region.startKey.length > 0)) && naive.regions.at(-1)?.region.endKey.length === 0
    t.equal(tree.coversAllKeys(), isWhole)
  }
  t.ok(accepted > 2_000 && stale > 2_000, `${accepted} accepted, ${stale} stale`)
})

t.test('ids are never given twice, over two proposers and lost windows', async t => {
  const random = dice(3)
  const state = new ClusterState()
  let allocators = [new IdAllocator(10), new IdAllocator(10)]
  const seen = new Set<number>()
  for (let step = 0; step < 20_000; step++) {
    const who = Math.floor(random() * 2)
    const allocator = allocators[who]!
    const wanted = 1 + Math.floor(random() * (random() < 0.1 ? 40 : 3))
    const count = allocator.windowToAsk(wanted)
    if (count !== undefined) {
      const result = state.apply({ kind: 'allocIds', count })
      if (random() < 0.2) allocator.failed()
      else if (result.ok) allocator.granted(result.value, count)
    }
    const first = allocator.take(wanted)
    for (let id = first ?? 0; first !== undefined && id < first + wanted; id++) {
      if (id === 0 || seen.has(id)) throw new Error(`id ${id} twice`)
      seen.add(id)
    }
    if (random() < 0.01) allocators = allocators.map((one, i) => (i === who ? new IdAllocator(10) : one))
  }
  t.ok(seen.size > 20_000, `${seen.size} ids`)
})

t.test('ids stay unique over restarts and leader changes of three members', async t => {
  let total = 0
  for (let seed = 1; seed <= 10; seed++) {
    const world = new World(seed)
    const group = new Group(world, 3, { idWindowIds: 20, compactEntries: 25, compactKeepEntries: 3 })
    group.startAll()
    const seen = new Set<number>()
    for (let round = 0; round < 60; round++) {
      const member = group.members[world.below(3)]!
      if (world.below(8) === 0 && member.node && group.members.filter(one => one.node).length > 2) group.kill(member)
      else if (member.node === undefined && world.below(2) === 0) group.start(member)
      for (const one of group.members) {
        if (one.node === undefined) continue
        const count = 1 + world.below(30)
        const asked = ask(one.node.server.handlers, 'AllocId', { count })
        world.runFor(world.below(100))
        if (asked.result?.ok !== true) continue
        for (let id = asked.result.value.first; id < asked.result.value.first + count; id++) {
          if (seen.has(id)) throw new Error(`seed ${seed}: id ${id} twice`)
          seen.add(id)
        }
      }
    }
    total += seen.size
    t.same(world.errors, [])
  }
  t.ok(total > 2_000, `${total} ids`)
})
