import { runClusterLevel } from './cluster/run.js'
import type { Level, Outcome } from './outcome.js'
import { runRaftLevel } from './raft-level/run.js'

export interface SeedOptions {
  readonly seed: number
  readonly plants: ReadonlySet<string>
  /** Simulated ms after which the run ends without healing and without the verdict of liveness. */
  readonly untilMs: number | undefined
  readonly print: ((text: string) => void) | undefined
}

/** One seed at one level, in this thread. Deterministic but for `wallMs` of the outcome. */
export function runSeed(level: Level, options: SeedOptions): Promise<Outcome> {
  const clock = performance
  const wallMs = (): number => clock.now()
  return level === 'raft' ? runRaftLevel({ ...options, wallMs }) : runClusterLevel({ ...options, wallMs })
}

/** The same seed again must be the same story to the last byte. @returns the two hashes when they differ */
export async function runTwice(level: Level, options: SeedOptions): Promise<{ outcome: Outcome; otherHash: string | undefined }> {
  const outcome = await runSeed(level, options)
  const again = await runSeed(level, { ...options, print: undefined })
  return { outcome, otherHash: again.hash === outcome.hash && again.events === outcome.events ? undefined : again.hash }
}
