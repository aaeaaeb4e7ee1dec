// kill -9 at random during writes, 200 times: what was called durable is there, and what is there is a prefix.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { logIndex, regionId } from '../../src/common/ids.js'
import { Cf } from '../../src/engine/api.js'
import type { RaftLog } from '../../src/engine/api.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import { dice, temporaryFolder, text } from './helpers.js'
import { dataOf, entriesOf, lastOf, regionCount } from './log-child.js'

const rounds = 200
const lanes = 2
const child = fileURLToPath(new URL('./log-child.js', import.meta.url))

/** Runs the child until `ms` after it is open, kills it. @returns the highest n it called durable and flushed */
function killOne(dir: string, ms: number):
Promise<{ durable: number; flushed: number; opened: boolean; errors: string }> {
  return new Promise(resolve => {
    const running = spawn(process.execPath, [child, dir], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    let timer: NodeJS.Timeout | undefined
    running.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString() })
    running.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      timer ??= setTimeout(() => running.kill('SIGKILL'), ms)
    })
    running.on('close', () => {
      const last = (word: string): number =>
        Math.max(0, ...[...output.matchAll(new RegExp(`^${word} (\\d+)$`, 'gm'))].map(match => Number(match[1])))
      resolve({ durable: last('durable'), flushed: last('flushed'), opened: output.startsWith('open'), errors })
    })
  })
}

/** @returns what is wrong with the log, or undefined: every region's tail must be the one that batches 1..n make. */
function wrongLog(log: RaftLog): string | undefined {
  const n = lastOf(log)
  for (let r = 0; r < regionCount; r++) {
    const known = log.region(regionId(1 + r))
    if (known === undefined) continue
    const expected: string[] = []
    for (let m = n; m > 0 && expected.length < known.lastIndex - known.truncatedIndex; m--) {
      if (m % regionCount !== r) continue
      for (let i = entriesOf(m) - 1; i >= 0; i--) expected.push(dataOf(m, i).toString())
    }
    const low = known.truncatedIndex + 1
    if (low > known.lastIndex) continue
    const found = log.entries(known.regionId, logIndex(low), logIndex(known.lastIndex + 1), Infinity)
    const wrong = found.findIndex((entry, i) => text(entry.data) !== expected[found.length - 1 - i])
    if (wrong < 0) continue
    return `region ${known.regionId} index ${low + wrong} at n=${n}: ${text(found[wrong]!.data)?.slice(0, 20)}`
  }
  return undefined
}

async function lane(t: Test, seed: number): Promise<void> {
  const random = dice(seed)
  const folder = temporaryFolder()
  let durable = 0
  let flushed = 0
  for (let round = 0; round < rounds / lanes && t.passing(); round++) {
    const told = await killOne(folder.path, random.below(40))
    const name = `seed ${seed} round ${round}`
    if (!told.opened || told.errors !== '') t.fail(`${name}: ${told.errors}`)
    durable = Math.max(durable, told.durable)
    flushed = Math.max(flushed, told.flushed)
    const log = openNativeRaftLog({ dir: join(folder.path, 'log'), segmentBytes: 32 << 10, cacheBytesMax: 0 })
    if (lastOf(log) < durable) t.fail(`${name}: log ends at ${lastOf(log)}, ${durable} was durable`)
    const wrong = wrongLog(log)
    if (wrong !== undefined) t.fail(`${name}: ${wrong}`)
    await log.close()
    const engine = openRocksEngine({ path: join(folder.path, 'db') })
    const counts = [Cf.Default, Cf.Lock, Cf.Write, Cf.Raft]
      .map(cf => Number(text(engine.get(cf, Buffer.from('n'))) ?? 0))
    if (new Set(counts).size !== 1) t.fail(`${name}: families disagree: ${counts.join()}`)
    if (counts[0]! < flushed) t.fail(`${name}: engine ends at ${counts[0]}, ${flushed} was flushed`)
    const newest = text(engine.get(Cf.Default, Buffer.from(`k${counts[0]! % 100}`))) ?? '0'
    if (Number.parseInt(newest, 10) !== counts[0]) t.fail(`${name}: half a batch at ${counts[0]}: ${newest}`)
    for (let k = 0; k < 100; k++) {
      const value = Number.parseInt(text(engine.get(Cf.Default, Buffer.from(`k${k}`))) ?? '0', 10)
      // The child goes on from the larger of both counts, so numbers the engine lost may be skipped for good.
      if (value > counts[0]! || value % 100 !== k && value !== 0) t.fail(`${name}: k${k} is ${value} at ${counts[0]}`)
    }
    await engine.close()
  }
  t.ok(durable > rounds / lanes, `seed ${seed}: ${durable} batches were durable, ${flushed} flushed`)
  folder.remove()
}

void t.test(`${rounds} kills lose nothing that was durable`, { timeout: 500_000 }, async t => {
  await Promise.all(Array.from({ length: lanes }, (_, i) => lane(t, 100 + i)))
})
