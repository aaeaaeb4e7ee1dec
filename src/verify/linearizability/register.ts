import { operationsByKey } from './operations.js'
import type { HistoryOrder, Operation, RegisterLine, RegisterValue } from './operations.js'
import { searchOrder } from './search.js'

export interface RegisterOptions {
  readonly order?: HistoryOrder
  /** Value of every key before the history; default absent. */
  readonly initial?: RegisterValue
  readonly statesMax?: number
}

export interface KeyFinding {
  readonly key: string
  readonly kind: 'violation' | 'unknown'
  readonly text: string
}

/** `unknown`: no violation found, but some key's search gave up at its limit. */
export interface RegisterVerdict {
  readonly verdict: 'linearizable' | 'violation' | 'unknown'
  readonly keys: number
  readonly operations: number
  readonly findings: readonly KeyFinding[]
}

const statesMaxDefault = 2_000_000

/**
 * Checks single-key linearizability of put, get, delete and compare-and-swap. Every key on its own: linearizability is
 * local (Herlihy & Wing). Pure. @throws HistoryError when the history is not one
 */
export function checkRegister(lines: readonly RegisterLine[], options: RegisterOptions = {}): RegisterVerdict {
  const byKey = operationsByKey(lines, options.order ?? 'byTime')
  const findings: KeyFinding[] = []
  let operations = 0
  for (const [key, ofKey] of byKey) {
    operations += ofKey.length
    const result = searchOrder(ofKey, options.initial ?? null, { statesMax: options.statesMax ?? statesMaxDefault })
    if (result.kind === 'unknown') {
      findings.push({ key, kind: 'unknown', text: `key ${key}: gave up after ${result.states} states` })
    } else if (result.kind === 'violation') {
      findings.push({ key, kind: 'violation', text: describe(key, result) })
    }
  }
  const verdict = findings.some(one => one.kind === 'violation') ? 'violation' : findings.length > 0 ? 'unknown' : 'linearizable'
  return { verdict, keys: byKey.size, operations, findings }
}

function describe(key: string, result: { state: RegisterValue; placed: readonly Operation[]; stuck: readonly Operation[] }): string {
  const line = (one: Operation): string =>
    `    ${one.text}  process ${one.process}  [${one.begin}, ${one.end === Infinity ? '…' : one.end}]`
  return [
    `key ${key}: no order of its operations explains what was seen`,
    `  state reached: ${result.state ?? 'absent'}; last operations placed:`,
    ...result.placed.map(line),
    '  none of these can come next:',
    ...result.stuck.map(line),
  ].join('\n')
}
