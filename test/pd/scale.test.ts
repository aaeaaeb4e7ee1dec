import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { RegionTree } from '../../src/pd/core/region-tree.js'
import { Group, World } from './kit.js'
import { beat, peer } from './samples.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Set to 1000000 by hand for the big figure. */
const regions = Number(process.env.PD_REGIONS ?? 100_000)
const key = (at: number): string => (at === 0 ? '' : `r\0\0\0user${String(at * 7_919).padStart(12, '0')}`)

t.test('many regions: memory per region, heartbeats and lookups', async t => {
  collect()
  const before = process.memoryUsage()
  const tree = new RegionTree()
  const order = Array.from({ length: regions }, (_, i) => i)
  let state = 12_345
  for (let i = regions - 1; i > 0; i--) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    const other = state % (i + 1)
    const kept = order[i]!
    order[i] = order[other]!
    order[other] = kept
  }
  const shape = (i: number, version: number, term: number) => beat({
    id: i + 1, start: key(i), end: i + 1 === regions ? '' : key(i + 1), confVer: 3, version, term,
    peers: [peer(3 * i + 1, 1 + (i % 100)), peer(3 * i + 2, 101 + (i % 100)), peer(3 * i + 3, 201 + (i % 100))],
  })
  const at = performance.now()
  for (const i of order) tree.putBeat(shape(i, 1, 5))
  const first = performance.now() - at
  const again = performance.now()
  for (const i of order) tree.putBeat(shape(i, 1, 6))
  const second = performance.now() - again
  collect()
  const after = process.memoryUsage()
  t.equal(tree.size, regions)
  t.ok(tree.coversAllKeys())
  const lookups = performance.now()
  for (let i = 0; i < 100_000; i++) {
    const wanted = order[i % regions]!
    if (tree.byKey(utf8(`${key(wanted)}!`))?.regionId !== wanted + 1) throw new Error('wrong region')
  }
  const looked = performance.now() - lookups
  const total = (usage: NodeJS.MemoryUsage): number => usage.heapUsed + usage.external + usage.arrayBuffers
  const bytes = (total(after) - total(before)) / regions
  t.comment(`${regions} regions: ${Math.round(bytes)} B each, ` +
    `first beats ${Math.round(regions / first)} k/s, again ${Math.round(regions / second)} k/s, ` +
    `lookups ${Math.round(100_000 / looked)} k/s, rss ${Math.round(after.rss / 2 ** 20)} MiB`)
  t.ok(bytes < 700, `${Math.round(bytes)} B per region`)
})

t.test('timestamps: requests and timestamps a second in one process', async t => {
  const world = new World(1)
  const group = new Group(world, 1)
  group.startAll()
  const { node } = group.awaitLeader()
  const handler = node!.server.handlers.Tso!
  const context = { remote: 't', role: 'client' as const, nodeId: 0, arrivedAtMs: 0 }
  let answered = 0
  const requests = 300_000
  const at = performance.now()
  for (let i = 0; i < requests; i++) {
    handler({ count: 64 }, result => { if (result.ok) answered += result.value.count }, context)
    if (i % 1_000 === 0) world.runFor(1)
  }
  const ms = performance.now() - at
  world.runFor(100)
  t.ok(answered >= requests * 63, `${answered} timestamps`)
  t.comment(`${Math.round(requests / ms)} k requests/s, ` +
    `${Math.round(answered / ms / 1_000)} M timestamps/s at 64 a request`)
})
