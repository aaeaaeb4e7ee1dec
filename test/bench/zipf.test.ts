import t from 'tap'
import { keyOf, workloads, findWorkload, type Operation, type WorkloadSettings } from '../../bench/workloads.js'
import { Dice, ScrambledZipf } from '../../bench/zipf.js'

const settings: WorkloadSettings = { records: 1_000, theta: 0.99, seed: 7, batchKeys: 100, scanRows: 100 }

t.test('ranks follow the law: rank r comes 1/(r+1)^theta as often as rank 0', async t => {
  const zipf = new ScrambledZipf(1_000, 0.99, new Dice(3))
  const counts = new Array<number>(1_000).fill(0)
  const draws = 400_000
  for (let i = 0; i < draws; i++) counts[zipf.nextRank()]! += 1
  let zeta = 0
  for (let rank = 1; rank <= 1_000; rank++) zeta += 1 / rank ** 0.99
  t.ok(Math.abs(counts[0]! / draws - 1 / zeta) < 0.005, `rank 0: ${counts[0]! / draws}, by the law ${1 / zeta}`)
  t.ok(Math.abs(counts[1]! / draws - 1 / 2 ** 0.99 / zeta) < 0.005, 'rank 1')
  const top = counts.slice(0, 100).reduce((sum, one) => sum + one, 0) / draws
  let expected = 0
  for (let rank = 1; rank <= 100; rank++) expected += 1 / rank ** 0.99 / zeta
  t.ok(Math.abs(top - expected) < 0.02, `the first hundred: ${top}, by the law ${expected}`)
})

t.test('hot keys are scattered, all in range, and the same seed draws the same', async t => {
  const draw = (seed: number): number[] => {
    const zipf = new ScrambledZipf(10_000, 0.99, new Dice(seed))
    return Array.from({ length: 2_000 }, () => zipf.next())
  }
  const numbers = draw(5)
  t.ok(numbers.every(number => Number.isInteger(number) && number >= 0 && number < 10_000))
  t.same(draw(5), numbers)
  t.notSame(draw(6), numbers)
  const counts = new Map<number, number>()
  for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1)
  const hottest = [...counts].sort((left, right) => right[1] - left[1]).slice(0, 5).map(([number]) => number)
  t.ok(Math.max(...hottest) - Math.min(...hottest) > 500, `the five hottest are ${hottest.join(' ')}`)
})

function take(name: string, count: number): Operation[] {
  const next = findWorkload(name)!.make(settings)
  return Array.from({ length: count }, next)
}

t.test('mixes have the shares they promise', async t => {
  const share = (operations: Operation[], kind: Operation['kind']): number => operations.filter(one => one.kind === kind).length / operations.length
  const near = (actual: number, wanted: number): boolean => Math.abs(actual - wanted) < 0.02
  t.ok(near(share(take('ycsb-a', 20_000), 'put'), 0.5))
  t.ok(near(share(take('ycsb-b', 20_000), 'put'), 0.05))
  t.equal(share(take('ycsb-c', 1_000), 'get'), 1)
  t.ok(near(share(take('ycsb-d', 20_000), 'insert'), 0.05))
  t.ok(near(share(take('ycsb-e', 20_000), 'scan'), 0.95))
  t.ok(near(share(take('ycsb-f', 20_000), 'readModifyWrite'), 0.5))
  for (const { mix } of workloads) if (mix) t.ok(Math.abs(mix.parts.reduce((sum, part) => sum + part.share, 0) - 1) < 1e-9)
})

t.test('ycsb-d reads what was inserted last', async t => {
  const operations = take('ycsb-d', 20_000)
  const inserted = new Set(operations.flatMap(one => one.kind === 'insert' ? [one.key] : []))
  const reads = operations.slice(10_000).flatMap(one => one.kind === 'get' ? [one.key] : [])
  t.ok(reads.filter(key => inserted.has(key)).length / reads.length > 0.5)
  t.equal(inserted.size, operations.filter(one => one.kind === 'insert').length, 'no key is inserted twice')
})

t.test('a batch has no key twice and only keys that exist', async t => {
  for (const operation of take('batch-put', 200)) {
    if (operation.kind !== 'batchPut') throw new Error(operation.kind)
    t.equal(new Set(operation.keys).size, 100)
    t.ok(operation.keys.every(key => key >= keyOf(0) && key < keyOf(1_000)))
  }
})
