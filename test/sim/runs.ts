import type t from 'tap'
import type { Level, Outcome } from '../../src/sim/outcome.js'
import { report } from '../../src/sim/outcome.js'
import { runSeed } from '../../src/sim/run.js'

type Test = (typeof t)

export const run = (level: Level, seed: number, plants: readonly string[] = []): Promise<Outcome> =>
  runSeed(level, { seed, plants: new Set(plants), untilMs: undefined, print: undefined })

/** A clean run, or the whole report of what broke. */
export async function mustPass(t: Pick<Test, 'equal'>, level: Level, seed: number): Promise<Outcome> {
  const outcome = await run(level, seed)
  t.equal(outcome.failure === undefined ? 'passes' : report(outcome, [], 'this'), 'passes', `${level} level, seed ${seed}`)
  return outcome
}

/** @returns the first seed in [1, max] that finds the plant */
export async function findPlant(level: Level, plant: string, max: number): Promise<Outcome | undefined> {
  for (let seed = 1; seed <= max; seed++) {
    const outcome = await run(level, seed, [plant])
    if (outcome.failure !== undefined) return outcome
  }
  return undefined
}
