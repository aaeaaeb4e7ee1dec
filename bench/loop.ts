import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { RunContext } from './bench-command.js'
import { BenchError, type LoadFigures } from './figures.js'
import { KarstSystem } from './karst-system.js'
import { describe, machineFacts } from './machine.js'
import type { BenchOptions } from './options.js'
import { pause } from './processes.js'
import { asTable, markdownTable } from './report.js'
import { stampOf } from './templates.js'
import { findWorkload, keyOf } from './workloads.js'

const bytesPerSecond = 50_000_000
const valueBytesDefault = 16 << 10
const secondsDefault = 20
const recordsMax = 10_000
const sampleMs = 500
const inFlightMax = 1_024

/** Worst figures of one store during a phase. */
interface StoreFigures {
  readonly store: string
  loopP99Ms: number
  loopMaxMs: number
  residentMaxMib: number
}

interface Phase {
  readonly name: string
  readonly figures: LoadFigures
  readonly stores: readonly StoreFigures[]
}

/** 50 MB/s of writes in an open loop; then the same with a follower stopped, where memory must stay bounded. */
export async function runLoop(options: BenchOptions, context: RunContext): Promise<void> {
  const folder = resolve(options.dir)
  const machine = machineFacts(folder)
  const system = await KarstSystem.start({ pd: [], folder: join(folder, `karst-${process.pid}`), keyspace: options.keyspace })
  try {
    const load = loadOf(options, context)
    await phase(system, 'warm-up', { ...load, seconds: 3 }, context)
    const phases = [await phase(system, 'three stores', load, context)]
    const { cluster } = system
    const leader = await cluster.route(keyOf(0), keyOf(0))
    const follower = cluster.processes?.stores.find(one => one.address !== leader.address)
    if (follower && !context.signal.aborted) {
      cluster.processes?.pause(follower)
      phases.push(await phase(system, 'a follower stopped', load, context))
      cluster.processes?.resume(follower)
    }
    show(phases, load, { options, context, facts: describe(machine) })
  } finally {
    await system.stop()
  }
}

interface Load { readonly valueBytes: number; readonly rate: number; readonly seconds: number; readonly options: BenchOptions }

function loadOf(options: BenchOptions, context: RunContext): Load {
  const valueBytes = context.isGiven('valueBytes') ? options.valueBytes : valueBytesDefault
  return {
    valueBytes, rate: options.rate > 0 ? options.rate : bytesPerSecond / valueBytes,
    seconds: context.isGiven('seconds') ? options.seconds : secondsDefault, options,
  }
}

async function phase(system: KarstSystem, name: string, load: Load, context: RunContext): Promise<Phase> {
  const work = findWorkload('put')
  const driver = system.drivers.find(one => one.client.includes('TypeScript'))
  if (!work || !driver) throw new BenchError('no put workload')
  const { options: { theta, seed, batchKeys, scanRows }, valueBytes, rate, seconds } = load
  const sampler = new Sampler(system)
  const figures = await driver.run({ work, inFlight: inFlightMax, rate }, {
    records: Math.min(load.options.records, recordsMax), theta, seed, batchKeys, scanRows, valueBytes, seconds, stamp: stampOf(1), signal: context.signal,
  })
  return { name, figures, stores: await sampler.stop() }
}

/** Reads /metrics of every store while the load runs. */
class Sampler {
  readonly #stores: StoreFigures[]
  readonly #loop: Promise<void>
  #isStopped = false

  constructor(system: KarstSystem) {
    const nodes = system.cluster.processes?.stores ?? []
    this.#stores = nodes.map(node => ({ store: `store ${node.index}`, loopP99Ms: NaN, loopMaxMs: NaN, residentMaxMib: NaN }))
    this.#loop = this.#run(nodes.map(node => node.statusAddress))
  }

  async stop(): Promise<readonly StoreFigures[]> {
    this.#isStopped = true
    await this.#loop
    return this.#stores
  }

  async #run(addresses: readonly string[]): Promise<void> {
    while (!this.#isStopped) {
      await pause(sampleMs)
      await Promise.all(addresses.map(async (address, at) => {
        // A stopped process does not answer: it has no figures then.
        const text = await fetch(`http://${address}/metrics`, { signal: AbortSignal.timeout(2_000) }).then(answer => answer.text(), () => undefined)
        const store = this.#stores[at]
        if (text !== undefined && store) take(store, text)
      }))
    }
  }
}

function take(store: StoreFigures, text: string): void {
  const worst = (before: number, now: number | undefined, factor: number): number =>
    now === undefined ? before : Number.isNaN(before) ? now * factor : Math.max(before, now * factor)
  store.loopP99Ms = worst(store.loopP99Ms, metric(text, 'karst_event_loop_delay_seconds', 'quantile="0.99"'), 1e3)
  store.loopMaxMs = worst(store.loopMaxMs, metric(text, 'karst_event_loop_delay_seconds', 'quantile="1"'), 1e3)
  store.residentMaxMib = worst(store.residentMaxMib, metric(text, 'karst_process_resident_memory_bytes', ''), 1 / 2 ** 20)
}

/** One figure of a Prometheus page. */
export function metric(text: string, name: string, label: string): number | undefined {
  const line = text.split('\n').find(one => one.startsWith(name) && /[{ ]/.test(one.charAt(name.length)) && one.includes(label))
  return line === undefined ? undefined : Number(line.substring(line.lastIndexOf(' ') + 1))
}

function show(phases: readonly Phase[], load: Load, to: { readonly options: BenchOptions; readonly context: RunContext; readonly facts: string }): void {
  const heads = ['phase', 'MB/s', 'put p50 ms', 'put p99 ms', 'failed', 'store', 'loop p99 ms', 'loop max ms', 'RSS max MiB']
  const rows = phases.flatMap(({ name, figures, stores }) => stores.map((store, at) => {
    const once = (text: string): string => at === 0 ? text : ''
    return [once(name), once((figures.perSecond * load.valueBytes / 1e6).toFixed(1)), once(figures.p50.toFixed(1)), once(figures.p99.toFixed(1)),
      once(String(figures.failed)), store.store, store.loopP99Ms.toFixed(1), store.loopMaxMs.toFixed(1), store.residentMaxMib.toFixed(0)]
  }))
  const { options, context, facts } = to
  const left = new Set(['phase', 'store'])
  context.print(asTable(heads, rows, left))
  for (const { name, figures } of phases) if (figures.failed > 0) context.print(`- ${name}: the first failure was: ${figures.firstError ?? 'no text'}`)
  context.print(`values of ${load.valueBytes} bytes; ${facts}`)
  if (options.markdown) context.print(`\n### ${facts}\n\n    ${context.command}\n\n${markdownTable(heads, rows, left)}\n`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ command: context.command, facts, load, phases }, undefined, 1)}\n`)
}
