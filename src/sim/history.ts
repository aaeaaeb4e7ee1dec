import type { RegisterLine } from '../verify/linearizability/operations.js'
import { checkRegister } from '../verify/linearizability/register.js'
import { OracleFailure } from './failure.js'

/** What clients saw, in the order it happened; the order of lines is the clock. */
export class SimHistory {
  readonly lines: RegisterLine[] = []
  readonly counts = { ok: 0, fail: 0, info: 0 }
  #process = 0

  /** Process ids are not used again after an unknown outcome: every operation gets its own. */
  invoke(f: string, on: string | readonly string[], value?: unknown): (type: 'ok' | 'fail' | 'info', value?: unknown) => void {
    const process = this.#process++
    const where = typeof on === 'string' ? { key: on } : { keys: on }
    this.lines.push({ process, type: 'invoke', f, ...where, ...(value === undefined ? {} : { value }) })
    let isOpen = true
    return (type, result) => {
      if (!isOpen) return
      isOpen = false
      this.counts[type]++
      this.lines.push({ process, type, f, ...where, ...(result === undefined ? {} : { value: result }) })
    }
  }

  check(regions: readonly number[]): void {
    const verdict = checkRegister(this.lines, { order: 'byIndex' })
    const found = verdict.findings.find(one => one.kind === 'violation')
    if (found === undefined) return
    throw new OracleFailure('clients see one register per key (linearizability)', 'verify/linearizability/register.ts', found.text, regions)
  }
}
