// A log that lives for ever: appends and compactions keep step, so nothing that lives long may grow.
import t from 'tap'
import { logIndex, term } from '../../src/common/ids.js'
import { MemLogSpace } from '../../src/engine/mem-log-space.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import { OpBatch } from '../../src/engine/log-batch.js'
import { RegionIndex } from '../../src/engine/region-index.js'
import { entries, entry, hard, region, temporaryFolder } from './helpers.js'

const regions = 8
const keep = 40
/** These only count. */
const counters = ['groupBytes', 'zeroBytes', 'syncs', 'rewrittenBytes']

/** One round: every region gets a few entries, loses as many, now and then has its tail replaced or starts anew. */
function round(i: number, last: number[], build: (regionIndex: number) => OpBatch): OpBatch[] {
  const batches: OpBatch[] = []
  for (let r = 1; r <= regions; r++) {
    const batch = build(r)
    const back = (i + r) % 7 === 0 && i % 100 > 50 ? 3 : 0
    const from = last[r]! + 1 - back
    const count = 1 + (i + r) % 4 + back
    batch.entries(region(r), entries(from, from + count - 1, 1 + Math.floor(i / 50), 100))
    last[r] = from + count - 1
    if (i % 3 === 0) batch.hardState(region(r), hard(1 + Math.floor(i / 50), r, from))
    if (i % 10 === 0) batch.state(region(r), 1, new Uint8Array(30))
    if (count > back && last[r]! > keep) batch.compact(region(r), logIndex(last[r]! - keep), term(1))
    if (i % 100 === 0) {
      last[r]! += 100
      batch.reset(region(r), logIndex(last[r]!), term(9))
    }
    batches.push(batch)
  }
  return batches
}

/** A figure may rise and fall; its highest of the second half is not above the first half's by more than a little. */
function isFlat(values: readonly number[]): boolean {
  const half = Math.floor(values.length / 2)
  return Math.max(...values.slice(half)) <= Math.max(...values.slice(0, half)) * 1.1 + 64
}

void t.test('nothing that the log holds grows while appends and compactions keep step', { timeout: 300_000 }, async t => {
  const folder = temporaryFolder()
  const log = openNativeRaftLog({ dir: folder.path, segmentBytes: 64 << 10, cacheBytesMax: 4 << 20, idleMarkMs: 0 })
  const last = new Array<number>(regions + 1).fill(0)
  const series = new Map<string, number[]>()
  for (let i = 0; i < 4000; i++) {
    for (const batch of round(i, last, () => log.batch() as OpBatch)) log.append(batch, false, () => {})
    if (i % 20 !== 19) continue
    await new Promise<void>(resolve => {
      const batch = log.batch()
      batch.hardState(region(1), hard(100, 1, 1))
      log.append(batch, true, resolve)
    })
    // Files are given back by a thread of their own, at the pace of the disk.
    while (log.stats().files > log.stats().segments + 2) await new Promise(resolve => setTimeout(resolve, 1))
    for (const [name, value] of Object.entries(log.stats())) {
      if (counters.includes(name)) continue
      series.set(name, [...series.get(name) ?? [], value as number])
    }
  }
  t.ok(log.space.appendedBytes > 10 << 20, `${log.space.appendedBytes} bytes went through`)
  // Buffers of the writer are as large as the disk is slow, up to a limit.
  t.ok(Math.max(...series.get('bufferBytes')!) < 10 << 20)
  series.delete('bufferBytes')
  for (const [name, values] of series) t.ok(isFlat(values), `${name}: ${values.filter((_, i) => i % 20 === 0).join(' ')}`)
  t.ok(Math.max(...series.get('evictionSlots')!) < 5000)
  t.ok(log.stats().diskBytes < 1 << 20, `${log.stats().diskBytes} bytes of disk`)
  await log.close()
  folder.remove()
})

void t.test('the cache forgets what it need not evict', t => {
  // Far below its limit, by compaction, replacement and removal.
  const index = new RegionIndex(1 << 30)
  const apply = (build: (batch: OpBatch) => void): void => {
    const batch = new OpBatch()
    build(batch)
    index.apply(batch.take())
  }
  for (let i = 1; i <= 20_000; i++) {
    apply(batch => {
      batch.entries(region(1), [entry(i, 1)])
      if (i > 10) batch.compact(region(1), logIndex(i - 10), term(1))
      batch.entries(region(2), [entry(1, i)])
      batch.entries(region(3), [entry(1, i)])
      batch.remove(region(3))
    })
  }
  const { evictionSlots, cacheSlots, termRuns, regions: count, cachedEntries } = index.sizes()
  t.equal(cachedEntries, 11)
  t.ok(evictionSlots < 3000, `${evictionSlots} appends remembered`)
  t.ok(cacheSlots < 200 && termRuns < 5 && count === 2, `${cacheSlots} slots, ${termRuns} runs, ${count} regions`)
  t.end()
})

void t.test('entries are evicted in order, also after appends were forgotten', t => {
  const limit = 300 * (96 + 8)
  const index = new RegionIndex(limit)
  for (let i = 1; i <= 10_000; i++) {
    const batch = new OpBatch()
    batch.entries(region(1), [entry(i, 1, 'x'.repeat(8))])
    if (i % 2 === 0) batch.entries(region(2), [entry(i / 2, 1, 'x'.repeat(8))])
    if (i % 50 === 0) batch.compact(region(2), logIndex(i / 2), term(1))
    index.apply(batch.take())
    if (index.cachedBytes > limit) t.fail(`${index.cachedBytes} bytes cached at ${i}`)
  }
  t.ok(index.firstCached(region(1)) > 9_600 && index.firstCached(region(1)) < 9_801, `first cached ${index.firstCached(region(1))}`)
  t.end()
})

void t.test('the room of the log in memory is given back', t => {
  const space = new MemLogSpace(64 << 10)
  const last = new Array<number>(regions + 1).fill(0)
  const live: number[] = []
  const disk: number[] = []
  for (let i = 0; i < 3000; i++) {
    for (const batch of round(i, last, () => new OpBatch())) space.append(batch.take(), batch.bytes)
    live.push(space.figures.liveBytes)
    disk.push(space.figures.diskBytes)
  }
  t.ok(isFlat(live) && isFlat(disk), `live ${live.at(-1)}, disk ${disk.at(-1)}`)
  t.end()
})
