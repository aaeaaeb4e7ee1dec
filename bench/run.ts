import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import type { RunContext } from './bench-command.js'
import { Comparison, secondsOf, type Plan } from './comparison.js'
import { EtcdSystem } from './etcd-system.js'
import { BenchError } from './figures.js'
import { KarstSystem } from './karst-system.js'
import { describe, machineFacts, type Machine } from './machine.js'
import { programOf, type BenchOptions } from './options.js'
import { pairedMarkdown, pairedTable, pairRounds } from './paired.js'
import { Progress } from './progress.js'
import { remarks, summarize, summaryMarkdown, summaryTable } from './report.js'
import type { Cell, RunSettings, System } from './subject.js'
import { stampOf } from './templates.js'
import { missingForEtcd } from './tools.js'
import type { Workload } from './workloads.js'

/** In flight at most in an open loop. */
const openLoopInFlight = 1_024
/** What another version of karst is called in tables. */
const before = 'before'

export async function runWorkloads(works: readonly Workload[], options: BenchOptions, context: RunContext): Promise<void> {
  const missing = options.vs === 'etcd' ? missingForEtcd() : []
  if (missing.length > 0) throw new BenchError(`--vs etcd needs ${missing.join(' and ')}`)
  const folder = resolve(options.dir)
  const machine = machineFacts(folder)
  const systems: System[] = []
  try {
    systems.push(await KarstSystem.start({ pd: options.pd ?? [], folder: join(folder, `karst-${process.pid}`), keyspace: options.keyspace }))
    if (options.vs === 'etcd') systems.push(await EtcdSystem.start(join(folder, `etcd-${process.pid}`)))
    else if (options.vs !== undefined) systems.push(await startOther(options.vs, folder, options))
    const comparison = await measure(works, systems, options, context)
    report(comparison, { machine, options, context })
  } finally {
    await Promise.all(systems.map(system => system.stop()))
  }
}

/** Started in the same way, on the same disk, asked by the same clients. */
async function startOther(checkout: string, folder: string, { keyspace }: BenchOptions): Promise<System> {
  return await KarstSystem.start({ pd: [], folder: join(folder, `before-${process.pid}`), keyspace, program: programOf(checkout) }, before)
}

async function measure(works: readonly Workload[], systems: readonly System[], options: BenchOptions, { signal }: RunContext): Promise<Comparison> {
  const { records, theta, seed, batchKeys, scanRows, valueBytes, rate, rounds, seconds, warmUp } = options
  const inFlights = rate > 0 ? [openLoopInFlight] : options.inFlight
  const cells: Cell[] = works.flatMap(work => inFlights.map(inFlight => ({ work, inFlight, rate })))
  const plan: Plan = { cells, systems, rounds, seconds, warmUpSeconds: warmUp, clients: options.client }
  const settings: Omit<RunSettings, 'seconds' | 'stamp'> = { records, theta, seed, batchKeys, scanRows, valueBytes, signal }
  await preload(systems, { ...settings, seconds: 0, stamp: stampOf(0) })
  const progress = new Progress(secondsOf(plan))
  const comparison = new Comparison(plan, settings, progress)
  try {
    await comparison.run()
  } finally {
    progress.close()
  }
  return comparison
}

async function preload(systems: readonly System[], settings: RunSettings): Promise<void> {
  for (const system of systems) {
    const bar = new Progress(settings.records)
    bar.begin(`${system.name}: writing ${settings.records.toLocaleString('en')} records`, Infinity)
    let before = 0
    await system.preload(settings, done => {
      bar.end(done - before)
      before = done
    })
    bar.close()
  }
}

function report(comparison: Comparison, { machine, options, context }: {
  readonly machine: Machine; readonly options: BenchOptions; readonly context: RunContext
}): void {
  const { measurements } = comparison
  const peer = options.vs === undefined || options.vs === 'etcd' ? options.vs : before
  const summary = summarize(measurements, peer)
  const pairs = peer === before ? pairRounds(measurements, 'karst', before) : []
  const notes = [...comparison.notes, ...remarks(summary, availableParallelism())]
  if (summary.length > 0) context.print(summaryTable(summary))
  if (pairs.length > 0) context.print(`\n${pairedTable(pairs)}`)
  for (const note of notes) context.print(`- ${note}`)
  context.print(describe(machine))
  if (options.markdown) {
    const tables = [summaryMarkdown(summary), ...pairs.length > 0 ? [pairedMarkdown(pairs)] : [], notes.map(note => `- ${note}`).join('\n')]
    context.print(`\n### ${describe(machine)}\n\n    ${context.command}\n\n${tables.join('\n\n')}\n`)
  }
  if (options.json !== undefined) {
    mkdirSync(resolve(options.json, '..'), { recursive: true })
    writeFileSync(options.json, `${JSON.stringify({ command: context.command, machine, options, summary, pairs, notes, measurements }, undefined, 1)}\n`)
  }
}
