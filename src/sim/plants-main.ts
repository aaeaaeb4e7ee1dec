import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { plants } from './plants.js'
import type { Plant } from './plants.js'
import { runSeed } from './run.js'
import type { Level } from './outcome.js'

// npm run sim:plants [-- P4 P9] [--seeds 2000] [--jobs 2]: hunts every planted bug, at each level where it can be seen, and
// shows how soon it is found. The seed that finds it must pass without it. A plant counts as found when one level finds it.

interface Hunt {
  readonly plant: string
  readonly level: Level
  readonly seedsMax: number
}

interface Found extends Hunt {
  readonly seed: number | undefined
  readonly rule: string
  readonly wallMs: number
  readonly cleanPasses: boolean
}

/** At its other levels a plant is looked for this long only. */
const otherSeedsMax = 300

async function hunt({ plant, level, seedsMax }: Hunt): Promise<Found> {
  let wallMs = 0
  for (let seed = 1; seed <= seedsMax; seed++) {
    const outcome = await runSeed(level, { seed, plants: new Set([plant]), untilMs: undefined, print: undefined })
    wallMs += outcome.wallMs
    if (outcome.failure === undefined) continue
    const clean = await runSeed(level, { seed, plants: new Set(), untilMs: undefined, print: undefined })
    return { plant, level, seedsMax, seed, rule: outcome.failure.rule, wallMs, cleanPasses: clean.failure === undefined }
  }
  return { plant, level, seedsMax, seed: undefined, rule: `not found in ${seedsMax} seeds`, wallMs, cleanPasses: true }
}

function row(cells: readonly string[]): string {
  const widths = [10, 8, 6, 8, 66]
  return cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ').trimEnd()
}

function print(found: Found): void {
  const bug = plants.find(plant => plant.name === found.plant)?.bug ?? ''
  const rule = found.cleanPasses ? found.rule : `${found.rule} — but the seed fails without the plant too`
  console.log(row([found.plant, found.level, String(found.seed ?? '-'), (found.wallMs / 1_000).toFixed(1), rule, bug]))
}

/** One hunt after the other in a process of its own, until there is none. */
function work(queue: Hunt[], done: (found: Found) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker: ChildProcess = fork(fileURLToPath(import.meta.url), ['--worker'])
    const next = (): void => {
      const one = queue.shift()
      if (one === undefined) worker.disconnect()
      else worker.send(one)
    }
    worker.on('message', message => {
      done(message as Found)
      next()
    })
    worker.on('error', reject)
    worker.on('exit', code => { if (code === 0) resolve(); else reject(new Error(`a worker ended with ${code}`)) })
    next()
  })
}

async function main(words: readonly string[]): Promise<void> {
  const numberAfter = (flag: string, otherwise: number): number => {
    const at = words.indexOf(flag)
    return at >= 0 ? Number(words[at + 1]) : otherwise
  }
  const seedsMax = numberAfter('--seeds', 2_000)
  const names = words.filter((word, at) => !word.startsWith('--') && !(words[at - 1] ?? '').startsWith('--'))
  const chosen: readonly Plant[] = names.length > 0 ? plants.filter(plant => names.includes(plant.name)) : plants
  const queue = [0, 1].flatMap(nth => chosen.flatMap(plant => {
    const level = plant.levels[nth]
    return level === undefined ? [] : [{ plant: plant.name, level, seedsMax: nth === 0 ? seedsMax : Math.min(seedsMax, otherSeedsMax) }]
  }))
  const all: Found[] = []
  console.log(row(['plant', 'level', 'seed', 'wall s', 'found by', 'the bug']))
  await Promise.all(Array.from({ length: numberAfter('--jobs', 2) }, () => work(queue, found => {
    all.push(found)
    print(found)
  })))
  const missed = chosen.filter(({ name }) => !all.some(one => one.plant === name && one.seed !== undefined && one.cleanPasses))
  const doubtful = all.filter(one => !one.cleanPasses)
  console.log(missed.length === 0 ? `all ${chosen.length} found` : `not found: ${missed.map(({ name }) => name).join(' ')}`)
  process.exitCode = missed.length === 0 && doubtful.length === 0 ? 0 : 1
}

if (process.argv[2] === '--worker') {
  process.on('message', message => { void hunt(message as Hunt).then(found => { process.send?.(found) }) })
} else {
  await main(process.argv.slice(2))
}
