// node dist/bench/micro/engine.js [DIR]: what one call into the storage costs. DIR (default ./karst-data/bench) should
// be on the disk that is meant: a memory file system makes every sync free.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Benchmark from 'benchmark'
import { logIndex, regionId, term } from '../../src/common/ids.js'
import { Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { EntryType } from '../../src/raft/types.js'

const rows = 200_000
const valueBytes = 256
const value = Buffer.alloc(valueBytes, 7)
const keyOf = (i: number): Buffer =>
  Buffer.from(`user${String((i * 2_654_435_761) % 4_294_967_296).padStart(12, '0')}`)

function fill(engine: RocksEngine): Promise<void> {
  for (let i = 0; i < rows; i += 1000) {
    const batch = new BatchWriter()
    for (let j = i; j < i + 1000; j++) batch.put(Cf.Default, keyOf(j), value)
    engine.write(batch.finish())
  }
  return new Promise(resolve => engine.flush(resolve))
}

/** @returns a case and the operations one run of it does */
function cases(engine: RocksEngine): readonly [string, number, () => void][] {
  let next = 0
  const random = (): Buffer => keyOf(next = (next * 1_103_515_245 + 12_345) % rows)
  const put = (count: number) => (): void => {
    const batch = new BatchWriter()
    for (let i = 0; i < count; i++) batch.put(Cf.Default, random(), value)
    engine.write(batch.finish())
  }
  const many = (count: number) => (): void => { engine.multiGet(Cf.Default, Array.from({ length: count }, random)) }
  const scan = (count: number, reverse: boolean) => (): void => {
    engine.scan({ cf: Cf.Default, start: reverse ? Buffer.alloc(0) : random(), end: reverse ? random() : Buffer.alloc(0),
      rowsMax: count, bytesMax: 1e9, reverse })
  }
  const hot = keyOf(1)
  return [
    ['get, random', 1, () => { engine.get(Cf.Default, random()) }],
    ['get, one hot key', 1, () => { engine.get(Cf.Default, hot) }],
    ['multiGet 16', 16, many(16)],
    ['multiGet 64', 64, many(64)],
    ['scan 100', 100, scan(100, false)],
    ['scan 1000', 1000, scan(1000, false)],
    ['scan 1000 reverse', 1000, scan(1000, true)],
    ['batch of 1 put', 1, put(1)],
    ['batch of 16 puts', 16, put(16)],
    ['batch of 64 puts', 64, put(64)],
  ]
}

function measure(name: string, operations: number, run: () => void): void {
  const bench = new Benchmark(name, run, { maxTime: 1.5 })
  bench.run()
  const us = bench.stats.mean * 1e6 / operations
  console.log(`${name.padEnd(28)} ${us.toFixed(2).padStart(8)} us per operation   ±${bench.stats.rme.toFixed(0)} %`)
}

/** `inFlight` batches of one entry each, every one of its own region. @returns latencies in microseconds, sorted */
async function appends(log: NativeRaftLog, inFlight: number, total: number): Promise<Float64Array> {
  const latencies = new Float64Array(total)
  let started = 0
  let done = 0
  await new Promise<void>(resolve => {
    const one = (region: number): void => {
      if (started === total) return
      const mine = started++
      const id = regionId(region)
      const batch = log.batch()
      const index = logIndex((log.region(id)?.lastIndex ?? 0) + 1)
      batch.entries(id, [{ term: term(1), index, type: EntryType.Normal, data: value }])
      if (index % 500 === 0) batch.compact(id, logIndex(index - 100), term(1))
      const at = performance.now()
      log.append(batch, true, () => {
        latencies[mine] = (performance.now() - at) * 1000
        if (++done === total) resolve()
        else one(region)
      })
    }
    for (let i = 1; i <= inFlight; i++) one(i)
  })
  return latencies.sort()
}

const dir = process.argv[2] ?? join('karst-data', 'bench')
rmSync(dir, { recursive: true, force: true })
mkdirSync(dir, { recursive: true })
const engine = openRocksEngine({ path: join(dir, 'db') })
await fill(engine)
for (const [name, operations, run] of cases(engine)) measure(name, operations, run)
await engine.close()
const log = openNativeRaftLog({ dir: join(dir, 'log') })
await appends(log, 64, 20_000)
for (const [inFlight, total] of [[1, 5000], [8, 20_000], [64, 100_000], [256, 200_000]] as const) {
  const began = performance.now()
  const latencies = await appends(log, inFlight, total)
  const rate = total / (performance.now() - began)
  const at = (share: number): string => latencies[Math.floor(share * (total - 1))]!.toFixed(0).padStart(6)
  console.log(`log append, ${String(inFlight).padStart(3)} in flight   ${rate.toFixed(1).padStart(7)} k/s   ` +
    `p50 ${at(0.5)} us   p99 ${at(0.99)} us`)
}
await log.close()
rmSync(dir, { recursive: true, force: true })
