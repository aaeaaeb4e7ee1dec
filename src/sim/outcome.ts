import type { OracleFailure } from './failure.js'
import { formatEvent, type Trace } from './trace.js'

export type Level = 'raft' | 'cluster'

/** What one seed came to. */
export interface Outcome {
  readonly seed: number
  readonly level: Level
  readonly failure: OracleFailure | undefined
  readonly hash: string
  readonly phase: 'safety' | 'liveness' | 'verdict' | 'done'
  readonly simulatedMs: number
  readonly wallMs: number
  readonly events: number
  /** Client operations by outcome. */
  readonly operations: { readonly ok: number; readonly fail: number; readonly info: number }
  readonly faults: Readonly<Record<string, number>>
  readonly plan: string
  /** Last events, ready to print; only after a failure. */
  readonly lastEvents: readonly string[]
}

export function lastEventsOf(trace: Trace, regions: readonly number[], count: number): readonly string[] {
  const events = [...new Set([0, ...regions])].flatMap(region => trace.last(region, count))
  return events.sort((left, right) => left.time - right.time).map(formatEvent)
}

/** STYLE §15: what broke, where it is written down, the last events, and one line that replays it. */
export function report(outcome: Outcome, plants: readonly string[], commit: string): string {
  const { failure } = outcome
  if (failure === undefined) return `✓ sim  seed=${outcome.seed}  level=${outcome.level}  hash=${outcome.hash}`
  const until = Math.ceil(outcome.simulatedMs) + 1
  const plant = plants.length > 0 ? ` --plant ${plants.join(',')}` : ''
  return [
    `✗ sim  seed=${outcome.seed}  level=${outcome.level}  commit=${commit}  at=${outcome.simulatedMs.toFixed(1)}ms  phase=${outcome.phase}`,
    `  drawn    ${outcome.plan}`,
    `  broken   ${failure.rule}    ${failure.oracle}`,
    ...failure.facts.split('\n').map(line => `  ${line}`),
    `        ms  node       region  event          (last ${outcome.lastEvents.length}, --log full for all)`,
    ...outcome.lastEvents,
    `  replay   npm run sim -- --seed ${outcome.seed} --level ${outcome.level} --until ${until}ms${plant} --log full`,
  ].join('\n')
}
