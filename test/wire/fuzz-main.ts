/** npm run fuzz -- [--count 1e7] [--seed N] */
import { parseArgs } from 'node:util'
import { fuzz } from './fuzz.js'

const { values } = parseArgs({ options: { count: { type: 'string', default: '1e7' }, seed: { type: 'string' } } })
const count = Number(values.count)
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed)) {
  console.error('--count and --seed are whole numbers, such as --count 1e7 --seed 42')
  process.exit(2)
}
console.log(`${count} mutated frames, seed ${seed}`)
const startedAt = performance.now()
try {
  const outcome = fuzz({ seed, count, onProgress: done => {
    if (process.stdout.isTTY) process.stdout.write(`\r${done} `)
  } })
  const seconds = (performance.now() - startedAt) / 1000
  console.log(`\r${outcome.frames} frames read: ${outcome.good} good, damaged ${JSON.stringify(outcome.damaged)}`)
  console.log(`no exception, no hang; slowest input ${outcome.slowestMs.toFixed(1)} ms; ${seconds.toFixed(1)} s`)
} catch (error) {
  console.error(`✗ fuzz ${(error as Error).message}`)
  console.error(`  replay   npm run fuzz -- --count ${count} --seed ${seed}`)
  process.exit(1)
}
