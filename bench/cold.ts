import { readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { spawnSync } from 'node:child_process'
import type { RunContext } from './bench-command.js'
import { BenchError, type LoadFigures } from './figures.js'
import { KarstSystem } from './karst-system.js'
import { metric } from './loop.js'
import { describe, machineFacts } from './machine.js'
import type { BenchOptions } from './options.js'
import { asTable, markdownTable } from './report.js'
import { stampOf } from './templates.js'
import { findWorkload } from './workloads.js'

const valueBytesDefault = 16 << 10
const dataBytesDefault = 5 * 2 ** 30
const secondsDefault = 20
const writesPerSecond = 50_000_000
const writtenRecordsMax = 10_000
const getsInFlight = 64
const counters = [
  'engine_loop_calls_total', 'engine_loop_calls_over_1ms_total', 'engine_loop_calls_over_4ms_total', 'engine_loop_calls_over_33ms_total',
  'store_cold_reads_total', 'raft_elections_total',
] as const

type Counts = Readonly<Record<(typeof counters)[number], number>>

interface Phase {
  readonly name: string
  readonly gets: LoadFigures
  readonly stores: readonly Counts[]
}

/**
 * More data than any cache of ours, the kernel's cache emptied, random gets; then the same under 50 MB/s of writes. What
 * counts is how long calls into the engine kept the event loop: bounds of buckets are powers of two of a microsecond.
 */
export async function runCold(options: BenchOptions, context: RunContext): Promise<void> {
  const folder = resolve(options.dir)
  const facts = describe(machineFacts(folder))
  const valueBytes = context.isGiven('valueBytes') ? options.valueBytes : valueBytesDefault
  const records = context.isGiven('records') ? options.records : Math.ceil(dataBytesDefault / valueBytes)
  const seconds = context.isGiven('seconds') ? options.seconds : secondsDefault
  const { theta, seed, batchKeys, scanRows, keyspace } = options
  const settings = { records, theta, seed, batchKeys, scanRows, valueBytes, seconds, stamp: stampOf(1), signal: context.signal }
  const data = join(folder, `karst-${process.pid}`)
  const system = await KarstSystem.start({ pd: [], folder: data, keyspace })
  try {
    let told = 0
    await system.preload(settings, done => {
      if (done - told < records / 10 && done !== records) return
      told = done
      context.print(`written: ${(done * valueBytes / 2 ** 30).toFixed(1)} GiB`)
    })
    const [writer, reader] = system.drivers
    const [get, put] = [findWorkload('get'), findWorkload('put')]
    if (!writer || !reader || !get || !put) throw new BenchError('no get and put workloads')
    const phases: Phase[] = []
    for (const name of ['cold gets', 'cold gets under 50 MB/s of writes']) {
      if (context.signal.aborted) break
      const dropped = dropPageCache(data)
      context.print(`${name}: ${dropped} files out of the page cache`)
      const before = await countsOf(system)
      const load = reader.run({ work: get, inFlight: getsInFlight, rate: 0 }, settings)
      const writes = phases.length === 0 ? undefined
        : writer.run({ work: put, inFlight: 1024, rate: writesPerSecond / valueBytes }, { ...settings, records: Math.min(records, writtenRecordsMax) })
      const [gets] = await Promise.all([load, writes])
      const after = await countsOf(system)
      phases.push({ name, gets, stores: after.map((counts, at) => difference(counts, before[at] ?? counts)) })
    }
    show(phases, facts, options, context)
  } finally {
    await system.stop()
  }
}

/** The kernel forgets what it has cached of each file; no rights are needed for files of one's own. */
function dropPageCache(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile() && entry.name.endsWith('.sst'))
  for (const file of files) {
    const path = join(file.parentPath, file.name)
    spawnSync('dd', [`of=${path}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' })
  }
  return files.length
}

async function countsOf(system: KarstSystem): Promise<Counts[]> {
  const nodes = system.cluster.processes?.stores ?? []
  return Promise.all(nodes.map(async node => {
    const text = await fetch(`http://${node.statusAddress}/metrics`, { signal: AbortSignal.timeout(20_000) }).then(answer => answer.text(), error => {
      const dead = system.cluster.processes?.dead[0]
      throw new BenchError(dead === undefined ? `store ${node.index} gives no figures: ${String(error)}`
        : `${dead.kind} ${dead.index} ended; the end of its log:\n${system.cluster.processes?.tail(dead) ?? ''}`)
    })
    return Object.fromEntries(counters.map(name => [name, metric(text, `karst_${name}`, '') ?? NaN])) as unknown as Counts
  }))
}

const difference = (after: Counts, before: Counts): Counts =>
  Object.fromEntries(counters.map(name => [name, after[name] - before[name]])) as unknown as Counts

function show(phases: readonly Phase[], facts: string, options: BenchOptions, context: RunContext): void {
  const heads = ['phase', 'gets/s', 'p50 ms', 'p99 ms', 'failed', 'store', 'engine calls', '> 1 ms', '> 4 ms', '> 33 ms', 'cold reads', 'elections']
  const rows = phases.flatMap(({ name, gets, stores }) => stores.map((store, at) => {
    const once = (text: string): string => at === 0 ? text : ''
    return [once(name), once(gets.perSecond.toFixed(0)), once(gets.p50.toFixed(1)), once(gets.p99.toFixed(1)), once(String(gets.failed)),
      String(at + 1), ...counters.map(counter => String(store[counter]))]
  }))
  const left = new Set(['phase'])
  context.print(asTable(heads, rows, left))
  context.print(facts)
  if (options.markdown) context.print(`\n### ${facts}\n\n    ${context.command}\n\n${markdownTable(heads, rows, left)}\n`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ command: context.command, facts, phases }, undefined, 1)}\n`)
}
