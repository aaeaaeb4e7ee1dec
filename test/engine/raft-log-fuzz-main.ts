/** npm run fuzz:log -- [--count 1e6] [--seed N] */
import { parseArgs } from 'node:util'
import { fuzzLog } from './raft-log-fuzz.js'

const { values } = parseArgs({ options: { count: { type: 'string', default: '1e6' }, seed: { type: 'string' } } })
const count = Number(values.count)
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed)) {
  console.error('--count and --seed are whole numbers, such as --count 1e6 --seed 42')
  process.exit(2)
}
console.log(`${count} hostile log tails, seed ${seed}`)
const startedAt = performance.now()
try {
  const outcome = await fuzzLog({ seed, count, onProgress: done => {
    if (process.stdout.isTTY) process.stdout.write(`\r${done} `)
  } })
  const seconds = (performance.now() - startedAt) / 1000
  console.log(`${outcome.tails} logs opened with ${outcome.headers} hostile groups behind their end: none refused, nothing lost or ` +
    `believed; slowest ${outcome.slowestMs.toFixed(1)} ms, ${seconds.toFixed(1)} s`)
} catch (error) {
  console.error(`✗ ${(error as Error).message}`)
  process.exit(1)
}
