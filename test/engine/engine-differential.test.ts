// MemEngine is what the simulator believes RocksDB to be. A million seeded operations on both, compared all the way:
// batches, gets, multi-gets, scans, snapshots, ranges, and what a crash leaves.
import t from 'tap'
import type { Test } from 'tap'
import { compareBytes, emptyBytes, toHex } from '../../src/common/bytes.js'
import { Cf } from '../../src/engine/api.js'
import type { Engine, EngineReader, EngineSnapshot, ScanOptions } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { MemEngine } from '../../src/engine/mem-engine.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { crashRocks, dice, flushed, submitted, temporaryFolder } from './helpers.js'

const operationsMin = 1_000_000
const families = [Cf.Default, Cf.Lock, Cf.Write, Cf.Raft] as const
type Dice = ReturnType<typeof dice>

/** Small alphabets, so that keys meet: prefixes of each other, 0x00 and 0xff, and 8-byte tails as in the write CF. */
function randomKey(random: Dice): Uint8Array {
  if (random.below(3) > 0) {
    const number = random.below(4000)
    return Uint8Array.of(107, number >> 8, number & 0xff)
  }
  const bytes = new Uint8Array(random.below(12))
  for (let i = 0; i < bytes.length; i++) bytes[i] = [0, 1, 97, 107, 255][random.below(5)]!
  return bytes
}

function randomEnd(random: Dice, start: Uint8Array): Uint8Array {
  const pick = random.below(40)
  if (pick === 0) return emptyBytes
  if (pick < 20 && start.length === 3) {
    const number = (start[1]! << 8 | start[2]!) + random.below(40)
    return Uint8Array.of(107, number >> 8 & 0xff, number & 0xff)
  }
  return randomKey(random)
}

class Pair {
  operations = 0
  readonly #folder = temporaryFolder()
  rocks: RocksEngine
  readonly memory = new MemEngine({ defer: run => setImmediate(run) })
  snapshots: [EngineSnapshot, EngineSnapshot][] = []

  constructor(readonly random: Dice) {
    this.rocks = openRocksEngine({ path: this.#folder.path, memtableBytes: 64 << 20 })
  }

  batch(count: number): Uint8Array {
    const { random } = this
    const batch = new BatchWriter()
    for (let i = 0; i < count; i++) {
      const cf = families[random.below(4)]!
      const pick = random.below(1000)
      const key = randomKey(random)
      if (pick < 700) batch.put(cf, key, new Uint8Array(random.below(60)).fill(random.below(256)))
      else if (pick < 996) batch.del(cf, key)
      else batch.deleteRange(cf, key, randomEnd(random, key))
    }
    this.operations += count
    return batch.finish()
  }

  async write(): Promise<void> {
    const { random } = this
    if (random.below(20) === 0) {
      // A burst: some on the apply thread, some inline.
      const done: Promise<void>[] = []
      for (let i = 0; i < 4; i++) {
        const batch = this.batch(random.below(3) === 0 ? 600 : 40)
        done.push(submitted(this.rocks, batch), submitted(this.memory, batch))
      }
      await Promise.all(done)
    } else {
      const batch = this.batch(1 + random.below(250))
      this.rocks.write(batch)
      this.memory.write(batch)
    }
  }

  /** @returns what differs, or undefined */
  read(rocks: EngineReader, memory: EngineReader): string | undefined {
    const { random } = this
    const cf = families[random.below(4)]!
    for (let i = 0; i < 10; i++) {
      const key = randomKey(random)
      const [left, right] = [rocks.get(cf, key), memory.get(cf, key)]
      if (!same(left, right)) return `get ${cf} ${toHex(key)}: ${hex(left)} against ${hex(right)}`
    }
    const keys = Array.from({ length: random.below(40) }, () => randomKey(random))
    const [lefts, rights] = [rocks.multiGet(cf, keys, 1e9).values, memory.multiGet(cf, keys, 1e9).values]
    const wrong = keys.findIndex((_, i) => !same(lefts[i], rights[i]))
    if (wrong >= 0) return `multiGet ${cf} ${toHex(keys[wrong]!)}`
    this.operations += 11 + keys.length
    const start = random.below(20) === 0 ? emptyBytes : randomKey(random)
    const options: ScanOptions = {
      cf, start, end: randomEnd(random, start), rowsMax: 1 + random.below(50), bytesMax: random.below(3000),
      reverse: random.below(2) === 0, ...(random.below(3) === 0 && { valueTailBytes: random.below(20) }),
    }
    this.operations++
    return differs(rocks, memory, options)
  }

  snapshot(): void {
    if (this.snapshots.length > 3) this.releaseOne()
    this.snapshots.push([this.rocks.snapshot(), this.memory.snapshot()])
  }

  releaseOne(): void {
    const pair = this.snapshots.splice(this.random.below(this.snapshots.length), 1)[0] ?? []
    for (const snapshot of pair) snapshot.release()
  }

  crash(): void {
    while (this.snapshots.length > 0) this.releaseOne()
    crashRocks(this.rocks)
    this.rocks = openRocksEngine({ path: this.#folder.path, memtableBytes: 64 << 20 })
    this.memory.crash()
  }

  async end(): Promise<void> {
    while (this.snapshots.length > 0) this.releaseOne()
    await this.rocks.close()
    this.#folder.remove()
  }
}

const hex = (bytes: Uint8Array | undefined): string => bytes === undefined ? 'none' : toHex(bytes)
const same = (left: Uint8Array | undefined, right: Uint8Array | undefined): boolean =>
  left === undefined || right === undefined ? left === right : compareBytes(left, right) === 0

function differs(rocks: EngineReader, memory: EngineReader, options: ScanOptions): string | undefined {
  const [left, right] = [rocks.scan(options), memory.scan(options)]
  const equal = left.more === right.more && left.rows.length === right.rows.length &&
    left.rows.every((row, i) => same(row.key, right.rows[i]!.key) && same(row.value, right.rows[i]!.value))
  const asked = JSON.stringify({ ...options, start: toHex(options.start), end: toHex(options.end) })
  return equal ? undefined : `scan ${asked}: ` +
    `${left.rows.length} more=${left.more} against ${right.rows.length} more=${right.more}`
}

/** Everything, in all families, both ways. */
function differsAnywhere(rocks: EngineReader, memory: EngineReader): string | undefined {
  for (const cf of families) {
    for (const reverse of [false, true]) {
      const options = { cf, start: emptyBytes, end: emptyBytes, rowsMax: 1e6, bytesMax: 1e9, reverse }
      const found = differs(rocks, memory, options)
      if (found !== undefined) return found
    }
  }
  return undefined
}

async function run(t: Test, seed: number): Promise<number> {
  const random = dice(seed)
  const pair = new Pair(random)
  const report = (step: number, found: string | undefined): void => {
    if (found !== undefined) t.fail(`seed ${seed} step ${step}: ${found}`)
  }
  for (let step = 0; pair.operations < operationsMin / 4 && t.passing(); step++) {
    await pair.write()
    for (let i = 0; i < 4; i++) report(step, pair.read(pair.rocks, pair.memory))
    for (const [rocks, memory] of pair.snapshots) report(step, pair.read(rocks, memory))
    if (random.below(20) === 0) pair.snapshot()
    if (random.below(60) === 0) await Promise.all([flushed(pair.rocks), flushed(pair.memory)])
    if (random.below(300) === 0) {
      for (const [rocks, memory] of pair.snapshots) report(step, differsAnywhere(rocks, memory))
      report(step, differsAnywhere(pair.rocks, pair.memory))
      const key = randomKey(random)
      const [left, right] = [persisted(pair.rocks, key), persisted(pair.memory, key)]
      if (left !== right) report(step, `persisted ${toHex(key)}: ${left} against ${right}`)
    }
    if (random.below(150) === 0) {
      pair.crash()
      report(step, differsAnywhere(pair.rocks, pair.memory))
    }
  }
  report(-1, differsAnywhere(pair.rocks, pair.memory))
  await pair.end()
  return pair.operations
}

const persisted = (engine: Engine, key: Uint8Array): string =>
  families.map(cf => hex(engine.getPersisted(cf, key))).join()

void t.test('a million operations leave no difference', { timeout: 300_000 }, async t => {
  let operations = 0
  for (const seed of [1, 2, 3, 0xbeef]) operations += await run(t, seed)
  t.ok(operations >= operationsMin, `${operations} operations`)
})
