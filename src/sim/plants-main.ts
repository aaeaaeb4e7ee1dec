import { plants } from './plants.js'
import type { Plant } from './plants.js'
import { runSeed } from './run.js'
import type { Level } from './outcome.js'

// npm run sim:plants [-- P4 P9] [--seeds 2000]: hunts every planted bug and shows how soon it is found. The seed that finds
// it must pass without it.

interface Found {
  readonly plant: Plant
  readonly level: Level | undefined
  readonly seeds: number
  readonly rule: string
  readonly oracle: string
  readonly wallMs: number
  readonly cleanPasses: boolean
}

async function hunt(plant: Plant, seedsMax: number): Promise<Found> {
  let wallMs = 0
  for (const level of plant.levels) {
    for (let seed = 1; seed <= seedsMax; seed++) {
      const outcome = await runSeed(level, { seed, plants: new Set([plant.name]), untilMs: undefined, print: undefined })
      wallMs += outcome.wallMs
      if (outcome.failure === undefined) continue
      const clean = await runSeed(level, { seed, plants: new Set(), untilMs: undefined, print: undefined })
      const { rule, oracle } = outcome.failure
      return { plant, level, seeds: seed, rule, oracle, wallMs, cleanPasses: clean.failure === undefined }
    }
  }
  return { plant, level: undefined, seeds: seedsMax, rule: 'NOT FOUND', oracle: '', wallMs, cleanPasses: true }
}

function row(cells: readonly string[]): string {
  const widths = [10, 8, 6, 8, 62]
  return cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')
}

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  const seedsAt = words.indexOf('--seeds')
  const seedsMax = seedsAt >= 0 ? Number(words[seedsAt + 1]) : 2_000
  const names = words.filter((word, at) => !word.startsWith('--') && at !== (seedsAt >= 0 ? seedsAt + 1 : -1))
  const chosen = names.length > 0 ? plants.filter(plant => names.includes(plant.name)) : plants
  console.log(row(['plant', 'level', 'seeds', 'wall s', 'found by', 'the bug']))
  let missed = 0
  for (const plant of chosen) {
    const found = await hunt(plant, seedsMax)
    if (found.level === undefined || !found.cleanPasses) missed++
    const rule = found.cleanPasses ? found.rule : `${found.rule} — but the seed fails without the plant too`
    console.log(row([plant.name, found.level ?? '-', String(found.seeds), (found.wallMs / 1_000).toFixed(1), rule, plant.bug]))
  }
  console.log(missed === 0 ? `all ${chosen.length} found` : `${missed} of ${chosen.length} not found`)
  process.exitCode = missed === 0 ? 0 : 1
}

await main()
