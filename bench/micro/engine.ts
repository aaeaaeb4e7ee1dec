// What one call into the storage costs.
import { join } from 'node:path'
import { logIndex, regionId, term } from '../../src/common/ids.js'
import { Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { EntryType } from '../../src/raft/types.js'
import type { MicroCase, MicroFigure, MicroSuite } from './micro-case.js'

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

function engineCases(engine: RocksEngine): MicroCase[] {
  let next = 0
  const random = (): Buffer => keyOf(next = (next * 1_103_515_245 + 12_345) % rows)
  const put = (count: number) => (): void => {
    const batch = new BatchWriter()
    for (let i = 0; i < count; i++) batch.put(Cf.Default, random(), value)
    engine.write(batch.finish())
  }
  const many = (count: number) => (): void => { engine.multiGet(Cf.Default, Array.from({ length: count }, random), 1e9) }
  const scan = (count: number, reverse: boolean) => (): void => {
    engine.scan({ cf: Cf.Default, start: reverse ? Buffer.alloc(0) : random(), end: reverse ? random() : Buffer.alloc(0),
      rowsMax: count, bytesMax: 1e9, reverse })
  }
  const hot = keyOf(1)
  return [
    { name: 'get, random', operations: 1, run: () => { engine.get(Cf.Default, random()) } },
    { name: 'get, random, caches only', operations: 1, run: () => { engine.tryGet(Cf.Default, random()) } },
    { name: 'get, one hot key, caches only', operations: 1, run: () => { engine.tryGet(Cf.Default, hot) } },
    { name: 'get, one hot key', operations: 1, run: () => { engine.get(Cf.Default, hot) } },
    { name: 'multiGet 16, per key', operations: 16, run: many(16) },
    { name: 'multiGet 64, per key', operations: 64, run: many(64) },
    { name: 'scan 100, per row', operations: 100, run: scan(100, false) },
    { name: 'scan 1000, per row', operations: 1000, run: scan(1000, false) },
    { name: 'scan 1000 reverse, per row', operations: 1000, run: scan(1000, true) },
    { name: 'batch of 1 put', operations: 1, run: put(1) },
    { name: 'batch of 16 puts, per put', operations: 16, run: put(16) },
    { name: 'batch of 64 puts, per put', operations: 64, run: put(64) },
  ]
}

export const engine: MicroSuite = {
  name: 'engine', about: 'RocksDB through the addon, 200,000 rows of 256 bytes',
  cases: async folder => {
    const opened = openRocksEngine({ path: join(folder, 'db') })
    await fill(opened)
    return { cases: engineCases(opened), close: () => opened.close() }
  },
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

/** Appends wait for the disk, so they are timed by hand: one figure for the rate, one for the latency of one. */
export async function logFigures(folder: string): Promise<MicroFigure[]> {
  const log = openNativeRaftLog({ dir: join(folder, 'log') })
  const figures: MicroFigure[] = []
  await appends(log, 64, 5_000)
  for (const [inFlight, total] of [[1, 1_000], [64, 30_000], [256, 60_000]] as const) {
    const began = performance.now()
    const latencies = await appends(log, inFlight, total)
    const us = (performance.now() - began) * 1_000 / total
    figures.push({ suite: 'raft-log', name: `durable append, ${inFlight} in flight`, us, errorPercent: NaN })
    figures.push({ suite: 'raft-log', name: `  its latency, p50`, us: latencies[total >> 1] ?? NaN, errorPercent: NaN })
    figures.push({ suite: 'raft-log', name: `  its latency, p99`, us: latencies[Math.floor(total * 0.99)] ?? NaN, errorPercent: NaN })
  }
  await log.close()
  return figures
}
