import type { FaultReport } from './nemesis.js'
import type { RegisterTotals } from './register-workload.js'

/** `void`: the run shows nothing, because too little happened. */
export type Verdict = 'passed' | 'failed' | 'void'

export interface Judgement {
  readonly verdict: Verdict
  readonly reasons: readonly string[]
}

/** Exit codes: 3 is neither good nor bad. */
export const exitCodeOf: Readonly<Record<Verdict, number>> = { passed: 0, failed: 1, void: 3 }

export interface Evidence {
  /** Anything here fails the run. */
  readonly violations: readonly string[]
  /** The checker gave up on some key. */
  readonly undecided: readonly string[]
  readonly operations: RegisterTotals
  readonly okMin: number
  readonly faultsWanted: readonly string[]
  readonly faults: readonly FaultReport[]
}

/** Pure. A violation counts even in a run that would be void: what was seen was seen. */
export function judge(evidence: Evidence): Judgement {
  const { violations, undecided, operations, okMin, faultsWanted, faults } = evidence
  if (violations.length > 0) return { verdict: 'failed', reasons: violations }
  const reasons: string[] = [...undecided]
  if (operations.ok < okMin) reasons.push(`only ${operations.ok} operations succeeded, ${okMin} are the least that shows anything`)
  for (const kind of faultsWanted) {
    const ofKind = faults.filter(fault => fault.kind === kind)
    if (ofKind.length === 0) reasons.push(`the fault ${kind} never happened`)
    else if (!ofKind.some(fault => fault.bit)) reasons.push(`the fault ${kind} happened ${ofKind.length} times and never bit`)
  }
  return reasons.length > 0 ? { verdict: 'void', reasons } : { verdict: 'passed', reasons: [] }
}
