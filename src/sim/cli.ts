import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import type { Level, Outcome } from './outcome.js'
import { report } from './outcome.js'
import { plantNames } from './plants.js'
import { runSeed, runTwice } from './run.js'

interface Flags {
  readonly seed?: number
  readonly seeds?: number
  readonly from: number
  readonly until?: number
  readonly plant?: readonly string[]
  readonly log?: 'full'
  readonly level: Level | 'both'
  readonly twice?: boolean
  readonly json?: boolean
}

/** `karst sim` */
export function register(program: Command): void {
  program.command('sim')
    .description('simulate whole clusters under faults, one per seed; any failure prints the line that replays it')
    .option('--seed <n>', 'one seed', wholeNumber)
    .option('--seeds <k>', 'this many seeds', wholeNumber)
    .option('--from <n>', 'first seed of --seeds', wholeNumber, 1)
    .option('--until <time>', 'end each run at this simulated time (60s, 1500ms)', duration)
    .option('--plant <names>', 'bugs on purpose, comma-separated: P2, P47 (npm run sim:plants runs them all)', plantList)
    .option('--level <level>', 'raft: one group, no store; cluster: PD, stores, clients; both', level, 'both')
    .option('--log <how>', '"full": print every event as it happens', logMode)
    .option('--twice', 'run each seed twice and compare the hashes of all events')
    .option('--json', 'one JSON object per run, for machines')
    .addHelpText('after', `
examples
  karst sim --seeds 100                    a hundred clusters, verdict and replay lines
  karst sim --seed 42 --log full           one of them, event by event
  karst sim --seeds 5 --twice              same seed, same hash
  karst sim --seeds 2000 --plant P4        would it find Raft's Figure 8?`)
    .action(async (flags: Flags) => { process.exitCode = await main(flags) })
}

async function main(flags: Flags): Promise<number> {
  const first = flags.seed ?? flags.from
  const count = flags.seed !== undefined ? 1 : flags.seeds ?? 1
  const levels: readonly Level[] = flags.level === 'both' ? ['raft', 'cluster'] : [flags.level]
  const totals = { runs: 0, failed: 0, simulatedMs: 0, wallMs: 0, operations: 0, faults: 0, checked: 0 }
  for (let seed = first; seed < first + count; seed++) {
    for (const at of levels) {
      const isGood = await one(at, seed, flags, totals)
      if (!isGood && count > 1 && flags.plant !== undefined) return summary(flags, totals)
    }
  }
  return summary(flags, totals)
}

type Totals = { runs: number; failed: number; simulatedMs: number; wallMs: number; operations: number; faults: number }

async function one(at: Level, seed: number, flags: Flags, totals: Totals): Promise<boolean> {
  const print = flags.log === 'full' && flags.json !== true ? (text: string): void => { process.stdout.write(`${text}\n`) } : undefined
  const options = { seed, plants: new Set(flags.plant ?? []), untilMs: flags.until, print }
  const { outcome, otherHash } = flags.twice === true
    ? await runTwice(at, options)
    : { outcome: await runSeed(at, options), otherHash: undefined }
  totals.runs++
  totals.simulatedMs += outcome.simulatedMs
  totals.wallMs += outcome.wallMs
  totals.operations += outcome.operations.ok
  totals.faults += Object.values(outcome.faults).reduce((sum, value) => sum + value, 0)
  const isGood = outcome.failure === undefined && otherHash === undefined
  if (!isGood) totals.failed++
  print?.('')
  if (flags.json === true) process.stdout.write(`${JSON.stringify(asJson(outcome, otherHash))}\n`)
  else say(outcome, otherHash, flags)
  return isGood
}

function say(outcome: Outcome, otherHash: string | undefined, flags: Flags): void {
  if (outcome.failure !== undefined) {
    process.stdout.write(`${report(outcome, flags.plant ?? [], commitId())}\n`)
  } else if (flags.seed !== undefined || flags.twice === true) {
    const { ok, fail, info } = outcome.operations
    process.stdout.write(`✓ sim  seed=${outcome.seed}  level=${outcome.level}  hash=${outcome.hash}  ` +
      `${(outcome.simulatedMs / 1_000).toFixed(1)}s simulated in ${outcome.wallMs.toFixed(0)} ms  ${outcome.events} events  ` +
      `ops ${ok} ok ${fail} refused ${info} unknown\n  drawn    ${outcome.plan}\n`)
  }
  if (otherHash !== undefined) {
    process.stdout.write(`✗ sim  seed=${outcome.seed}  level=${outcome.level}  not deterministic: ${outcome.hash}, then ${otherHash}\n`)
  }
}

function summary(flags: Flags, totals: Totals): number {
  if (flags.json !== true) {
    const hours = totals.simulatedMs / 3_600_000
    process.stdout.write(`${totals.failed === 0 ? '✓' : '✗'} sim  ${totals.runs} runs, ${totals.failed} failed, ` +
      `${hours.toFixed(2)} simulated hours at ${(totals.simulatedMs / Math.max(1, totals.wallMs)).toFixed(0)}x real time, ` +
      `${totals.operations} operations checked, ${totals.faults} faults\n`)
  }
  return totals.failed === 0 ? 0 : 1
}

function asJson(outcome: Outcome, otherHash: string | undefined): Record<string, unknown> {
  const { failure, lastEvents, ...rest } = outcome
  return {
    ...rest, ok: failure === undefined && otherHash === undefined, deterministic: otherHash === undefined, commit: commitId(),
    ...(failure === undefined ? {} : { failure: { rule: failure.rule, oracle: failure.oracle, facts: failure.facts }, lastEvents }),
  }
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('a whole number from 0 on')
  return value
}

function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  if (match === null) throw new InvalidArgumentError('a duration such as 60s or 1500ms')
  return Number(match[1]) * ({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] ?? 'ms'] ?? 1)
}

function plantList(text: string): readonly string[] {
  const names = text.split(',').filter(name => name !== '')
  const unknown = names.find(name => !plantNames.has(name))
  if (unknown !== undefined) throw new InvalidArgumentError(`no plant ${unknown}; there are ${[...plantNames].join(' ')}`)
  return names
}

function level(text: string): Level | 'both' {
  if (text === 'raft' || text === 'cluster' || text === 'both') return text
  throw new InvalidArgumentError('raft, cluster or both')
}

function logMode(text: string): 'full' {
  if (text === 'full') return text
  throw new InvalidArgumentError('only "full" is known')
}

/** Of the checkout this runs from; reports name it. */
function commitId(): string {
  const git = fileURLToPath(new URL('../../../.git', import.meta.url))
  const head = join(git, 'HEAD')
  if (!existsSync(head)) return 'unknown'
  const text = readFileSync(head, 'utf8').trim()
  const ref = text.startsWith('ref: ') ? join(git, text.substring(5)) : undefined
  if (ref === undefined) return text.substring(0, 7)
  return existsSync(ref) ? readFileSync(ref, 'utf8').substring(0, 7) : 'unknown'
}
