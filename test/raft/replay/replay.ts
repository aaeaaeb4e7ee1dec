import { difference } from './compare.js'
import { ConfChangeCases } from './confchange-cases.js'
import { casesOf, parseDataFile } from './datadriven.js'
import type { DataCase } from './datadriven.js'
import { Interaction } from './interaction.js'
import { runQuorumCase } from './quorum-cases.js'

export interface Mismatch {
  readonly line: number
  readonly command: string
  readonly text: string
}

export interface ReplayResult {
  readonly cases: number
  readonly outputs: readonly string[]
  readonly mismatches: readonly Mismatch[]
}

/**
 * Files in which we differ on purpose, with the sentence that says why. A file named here may mismatch only
 * at those lines. Empty: there is no difference.
 */
export const exceptions: Readonly<Record<string, { readonly lines: readonly number[]; readonly reason: string }>> = {}

function runnerFor(cases: readonly DataCase[]): (one: DataCase) => string {
  const commands = new Set(cases.map(one => one.command))
  if (commands.has('committed') || commands.has('vote')) return runQuorumCase
  if (commands.has('simple') || commands.has('enter-joint') || commands.has('leave-joint')) {
    const changes = new ConfChangeCases()
    return one => changes.run(one)
  }
  const group = new Interaction()
  return one => group.run(one)
}

/** @param stopAtFirst after a mismatch the rest tells little; rewriting wants all outputs */
export function replay(name: string, text: string, stopAtFirst = true): ReplayResult {
  const cases = casesOf(parseDataFile(text))
  const run = runnerFor(cases)
  const outputs: string[] = []
  const mismatches: Mismatch[] = []
  for (const one of cases) {
    let output: string
    try {
      output = run(one)
    } catch (error) {
      output = `thrown: ${error instanceof Error ? error.stack ?? error.message : String(error)}`
    }
    outputs.push(output)
    const text = difference(one.expected, output)
    if (text === undefined || exceptions[name]?.lines.includes(one.line)) continue
    mismatches.push({ line: one.line, command: one.command, text })
    if (stopAtFirst) break
  }
  return { cases: cases.length, outputs, mismatches }
}
