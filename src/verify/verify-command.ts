import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InvalidArgumentError } from 'commander'
import type { Command } from 'commander'
import { KillRoundsRun } from './kill-rounds.js'
import { HistoryError, parseRegisterHistory } from './linearizability/operations.js'
import { checkRegister } from './linearizability/register.js'
import { faultKinds } from './nemesis.js'
import type { FaultKind, FaultReport } from './nemesis.js'
import { ProcessCluster } from './process-cluster.js'
import { runRegisterCheck } from './register-run.js'
import { exitCodeOf } from './verdict.js'
import type { Judgement } from './verdict.js'

interface CommonFlags {
  readonly seed?: number
  readonly folder?: string
  readonly keep?: boolean
  readonly history?: string
  readonly json?: boolean
}

interface RegisterFlags extends CommonFlags {
  readonly pd?: readonly string[]
  readonly seconds: number
  readonly rounds?: number
  readonly clients: number
  readonly keys: number
  readonly faults?: readonly FaultKind[]
}

interface KillFlags extends CommonFlags {
  readonly rounds: number
  readonly targets: readonly FaultKind[]
  readonly writers: number
}

const help = `
Examples:
  karst verify register                                     own processes on loopback, 20 s, kills and pauses
  karst verify register --seconds 60 --faults kill-leader,pause-leader
  karst verify register --pd 127.0.0.1:2379                 a cluster that runs already: no faults of ours
  karst verify register --history run.jsonl --json          for another checker, and for machines
  karst verify kills --rounds 1000                          SIGKILL under load; no acknowledged write may be lost
  karst verify check --history run.jsonl                    judge a history again

Exit codes: 0 passed, 1 a violation, 2 wrong usage, 3 void: too little happened, or the checker gave up.`

const defaultFaults: readonly FaultKind[] = ['kill', 'kill-leader', 'pause', 'pause-leader', 'kill-all']
const defaultTargets: readonly FaultKind[] = ['kill', 'kill-leader', 'kill-all']
/** Far below what any machine does; less means that hardly anybody was there to be lied to. */
const okPerSecondMin = 20

/** `karst verify` */
export function register(program: Command): void {
  const verify = program.command('verify').description('consistency of a cluster while its processes are killed and paused')
    .addHelpText('after', help)
  common(verify.command('register')
    .description('reads, writes, deletes and swaps of few keys; is there one order that explains what was seen?'))
    .option('--pd <addresses>', 'an existing cluster instead of own processes', addresses)
    .option('--seconds <n>', 'how long', wholeNumber(1, 86_400), 20)
    .option('--rounds <n>', 'end after so many faults', wholeNumber(1, 1_000_000))
    .option('--clients <n>', 'clients, each with one operation at a time', wholeNumber(1, 1_000), 8)
    .option('--keys <n>', 'keys', wholeNumber(1, 10_000), 8)
    .option('--faults <kinds>', `of ${faultKinds.join(', ')}, or none (default: ${defaultFaults.join(',')})`, faultList)
    .action(async (flags: RegisterFlags) => { process.exitCode = await registerCommand(flags) })
  common(verify.command('kills')
    .description('SIGKILL under load, again and again: acknowledged writes survive, registers stay linearizable'))
    .option('--rounds <n>', 'kills', wholeNumber(1, 1_000_000), 100)
    .option('--targets <kinds>', 'in turn', faultList, defaultTargets)
    .option('--writers <n>', 'writes in flight', wholeNumber(1, 1_000), 8)
    .action(async (flags: KillFlags) => { process.exitCode = await killsCommand(flags) })
  verify.command('check').description('judge a history of registers (JSON lines)')
    .requiredOption('--history <file>', 'as register --history wrote it, or any recorder')
    .option('--order <how>', 'time: equal stamps are concurrent; index: the order of the lines', order, 'byTime')
    .option('--json', 'one JSON object on stdout')
    .action((flags: { history: string; order: 'byTime' | 'byIndex'; json?: boolean }) => { process.exitCode = checkCommand(flags) })
}

function common(command: Command): Command {
  return command
    .option('--history <file>', 'write what happened as JSON lines')
    .option('--seed <n>', 'draws operations and faults', wholeNumber(0, 2 ** 32 - 1))
    .option('--folder <path>', 'of data and logs (default: a temporary one)')
    .option('--keep', 'leave data and logs behind')
    .option('--json', 'one JSON object on stdout')
}

async function registerCommand(flags: RegisterFlags): Promise<number> {
  if (flags.pd !== undefined && (flags.faults?.length ?? 0) > 0) {
    return refuse('--faults needs own processes: leave --pd away, or the faults', flags)
  }
  const seed = flags.seed ?? freshSeed()
  const run = await withCluster(flags, flags.pd === undefined, cluster => runRegisterCheck({
    pdAddresses: flags.pd ?? [cluster?.pd.address ?? ''], cluster, seconds: flags.seconds, rounds: flags.rounds,
    clients: flags.clients, keys: flags.keys, faults: flags.faults ?? (cluster === undefined ? [] : defaultFaults), seed,
    historyPath: flags.history, okPerSecondMin, ...progress(flags),
  }))
  const { ok, fail, info } = run.operations
  const { check, ...rest } = run
  return conclude('register', run, flags, seed, { ...rest, keys: check.keys, checked: check.operations }, [
    `operations  ${ok} ok, ${fail} refused, ${info} unknown; longest time without success ${run.longestGapMs} ms`,
    `faults      ${countOf(run.faults)}`,
    `checker     ${check.operations} operations on ${check.keys} keys: ${check.verdict}`,
  ])
}

async function killsCommand(flags: KillFlags): Promise<number> {
  const seed = flags.seed ?? freshSeed()
  const say = progress(flags).onProgress
  const run = await withCluster(flags, true, async cluster => await new KillRoundsRun({
    cluster: cluster as ProcessCluster, rounds: flags.rounds, targets: flags.targets, writers: flags.writers, seed,
    historyPath: flags.history,
    onProgress: (done, text) => { if (done % 10 === 0 || done === flags.rounds) say?.(`${done}/${flags.rounds} ${text}`) },
  }).run())
  const { median, p99, max } = run.recoveryMs
  const { faults, ...rest } = run
  return conclude('kills', run, flags, seed, { ...rest, kills: countOf(faults) }, [
    `rounds      ${run.rounds} of ${flags.rounds} in ${run.seconds.toFixed(0)} s: ${countOf(faults)}`,
    `writes      ${run.acknowledged} acknowledged, ${run.unknown} unknown, ${run.refused} refused; all looked at on every replica`,
    `registers   ${run.registerOperations} operations`,
    `serving     again after median ${median} ms, p99 ${p99} ms, max ${max} ms`,
  ])
}

function checkCommand(flags: { history: string; order: 'byTime' | 'byIndex'; json?: boolean }): number {
  try {
    const check = checkRegister(parseRegisterHistory(readFileSync(flags.history, 'utf8')), { order: flags.order })
    if (flags.json === true) printJson({ ...check, history: flags.history })
    else print([`${check.verdict === 'linearizable' ? '✓' : '✗'} ${check.verdict}: ${check.operations} operations on ${check.keys} keys`,
      ...check.findings.map(one => one.text)])
    return check.verdict === 'linearizable' ? 0 : check.verdict === 'violation' ? 1 : 3
  } catch (error) {
    if (!(error instanceof HistoryError) && (error as NodeJS.ErrnoException).code === undefined) throw error
    return refuse(`${flags.history}: ${(error as Error).message}`, flags)
  }
}

async function withCluster<T>(flags: CommonFlags, isOwn: boolean, run: (cluster: ProcessCluster | undefined) => Promise<T>): Promise<T> {
  if (!isOwn) return await run(undefined)
  const folder = flags.folder ?? mkdtempSync(join(tmpdir(), 'karst-verify-'))
  const cluster = await ProcessCluster.start({ folder, stores: 3 })
  const isKept = flags.keep === true || flags.folder !== undefined
  let isGood = false
  try {
    const result = await run(cluster)
    isGood = (result as Judgement).verdict !== 'failed'
    return result
  } finally {
    await cluster.close()
    if (isGood && !isKept) rmSync(folder, { recursive: true, force: true })
    else process.stderr.write(`data and logs: ${folder}\n`)
  }
}

function conclude(what: string, run: Judgement, flags: CommonFlags, seed: number, facts: object, lines: readonly string[]): number {
  const replay = `karst verify ${what} ${replayFlags(seed)}`
  const { verdict, reasons } = run
  if (flags.json === true) printJson({ ...facts, verdict, reasons, seed, replay, ...(flags.history && { history: flags.history }) })
  else {
    const mark = verdict === 'passed' ? '✓' : '✗'
    print([`${mark} verify ${what}  ${verdict}  seed=${seed}`, ...lines.map(line => `  ${line}`), ...reasons])
    if (verdict !== 'passed') {
      print([`  again       ${replay}   (the same draws; when a fault strikes is up to the machine)`,
        ...(flags.history ? [`  the history karst verify check --history ${flags.history}`] : [])])
    }
  }
  return exitCodeOf[verdict]
}

/** The command line as it was, with the seed that was drawn. */
function replayFlags(seed: number): string {
  const given = process.argv.slice(4).filter((arg, at, all) => !arg.startsWith('--seed') && all[at - 1] !== '--seed')
  return [...given, '--seed', String(seed)].join(' ')
}

function countOf(faults: readonly FaultReport[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of faults) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts.size === 0 ? 'none' : [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
}

const print = (lines: readonly string[]): void => { process.stdout.write(`${lines.join('\n')}\n`) }
const printJson = (value: unknown): void => { print([JSON.stringify(value)]) }

function refuse(message: string, flags: { readonly json?: boolean }): number {
  if (flags.json === true) printJson({ error: { code: 'Usage', message } })
  else process.stderr.write(`karst: ${message}\n`)
  return 2
}

const progress = (flags: CommonFlags): { onProgress?: (text: string) => void } =>
  flags.json === true ? {} : { onProgress: text => { process.stderr.write(`  ${text}\n`) } }

const freshSeed = (): number => Math.floor(Math.random() * 2 ** 32)

const wholeNumber = (min: number, max: number) => (text: string): number => {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw new InvalidArgumentError(`a whole number from ${min} to ${max} is expected.`)
  return value
}

function addresses(text: string): readonly string[] {
  const list = text.split(',').map(part => part.trim().replace(/^http:\/\//, '')).filter(part => part !== '')
  if (list.length === 0 || !list.every(part => /^\S+:\d{1,5}$/.test(part))) throw new InvalidArgumentError('host:port is expected.')
  return list
}

function faultList(text: string): readonly FaultKind[] {
  if (text === 'none') return []
  return text.split(',').map(word => {
    const kind = faultKinds.find(one => one === word.trim())
    if (kind === undefined) throw new InvalidArgumentError(`no fault "${word}"; there are ${faultKinds.join(', ')}.`)
    return kind
  })
}

function order(text: string): 'byTime' | 'byIndex' {
  if (text !== 'time' && text !== 'index') throw new InvalidArgumentError('time or index is expected.')
  return text === 'time' ? 'byTime' : 'byIndex'
}
