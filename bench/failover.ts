import { join, resolve } from 'node:path'
import { writeFileSync } from 'node:fs'
import type { RunContext } from './bench-command.js'
import { EtcdCluster, gateway } from './etcd.js'
import { BenchError, median } from './figures.js'
import { KarstCluster } from './karst-cluster.js'
import { describe, machineFacts } from './machine.js'
import type { BenchOptions } from './options.js'
import { pause } from './processes.js'
import { asTable, markdownTable } from './report.js'
import { missingForEtcd } from './tools.js'
import { keyOf } from './workloads.js'

/** One kill: ms from SIGKILL to the first acknowledged write, and to a write in every region that the dead store led. */
export interface Outage {
  readonly firstMs: number
  readonly allMs: number
  readonly regions: number
}

const attemptEveryMs = 20
const outageMsMax = 60_000
/** Between two kills: the killed node is back and has caught up. */
const settleMs = 3_000

/**
 * Starts an attempt every 20 ms, whether or not earlier ones are done, until one succeeds: neither system is measured by
 * the patience of a client. @returns ms to the first success
 */
export async function firstSuccess(attempt: (at: number) => Promise<void>, everyMs = attemptEveryMs, limitMs = outageMsMax): Promise<number> {
  const started = performance.now()
  const state = { doneMs: NaN, lastError: '' }
  for (let at = 0; Number.isNaN(state.doneMs) && performance.now() - started < limitMs; at++) {
    attempt(at).then(() => {
      if (Number.isNaN(state.doneMs)) state.doneMs = performance.now() - started
    }, (error: unknown) => { state.lastError = String(error) })
    await pause(everyMs)
  }
  if (Number.isNaN(state.doneMs)) throw new BenchError(`no write for ${limitMs / 1_000} s: ${state.lastError}`)
  return state.doneMs
}

export async function runFailover(options: BenchOptions, context: RunContext): Promise<void> {
  const missing = options.vs === 'etcd' ? missingForEtcd() : []
  if (missing.length > 0) throw new BenchError(`--vs etcd needs ${missing.join(' and ')}`)
  const folder = resolve(options.dir)
  const machine = machineFacts(folder)
  const kills = context.isGiven('rounds') ? options.rounds : 5
  const results = new Map<string, Outage[]>()
  results.set('karst', await karstOutages(join(folder, `karst-${process.pid}`), options, kills, context))
  if (options.vs === 'etcd') results.set('etcd', await etcdOutages(join(folder, `etcd-${process.pid}`), kills, context))
  const heads = ['system', 'regions', 'kills', 'first write, median ms', 'min–max', 'all regions, median ms']
  const rows = [...results].map(([system, outages]) => {
    const first = outages.map(one => one.firstMs)
    return [system, String(median(outages.map(one => one.regions))), String(outages.length), median(first).toFixed(0),
      `${Math.min(...first).toFixed(0)}–${Math.max(...first).toFixed(0)}`, median(outages.map(one => one.allMs)).toFixed(0)]
  })
  context.print(asTable(heads, rows))
  context.print(describe(machine))
  if (options.markdown) context.print(`\n### ${describe(machine)}\n\n    ${context.command}\n\n${markdownTable(heads, rows)}\n`)
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ command: context.command, machine, outages: Object.fromEntries(results) }, undefined, 1)}\n`)
  }
}

async function karstOutages(folder: string, options: BenchOptions, kills: number, context: RunContext): Promise<Outage[]> {
  const cluster = await KarstCluster.open({ pd: [], folder, keyspace: options.keyspace })
  const outages: Outage[] = []
  try {
    await cluster.replicated(keyOf(0))
    await cluster.split(Array.from({ length: options.regions - 1 }, (_, at) => keyOf(at + 1)))
    for (let kill = 1; kill <= kills && !context.signal.aborted; kill++) {
      const outage = await karstOutage(cluster, Math.max(1, options.regions))
      outages.push(outage)
      context.print(`karst  kill ${kill}: first write after ${outage.firstMs.toFixed(0)} ms, ` +
        `all ${outage.regions} regions of the store after ${outage.allMs.toFixed(0)} ms`)
      await pause(settleMs)
    }
  } finally {
    await cluster.stop()
  }
  return outages
}

async function karstOutage(cluster: KarstCluster, regions: number): Promise<Outage> {
  const { raw } = cluster.connection.client
  const keys = Array.from({ length: regions }, (_, at) => keyOf(at))
  // Warm: the client has used every region before.
  await Promise.all(keys.map(key => raw.put(key, 'before', { timeoutMs: 30_000, retryUndetermined: true })))
  const routes = await Promise.all(keys.map(async key => ({ key, route: await cluster.route(key, key) })))
  const address = routes[0]?.route.address ?? ''
  const hit = routes.filter(one => one.route.address === address).map(one => one.key)
  const node = cluster.processAt(address)
  node.child?.kill('SIGKILL')
  const started = performance.now()
  const write = (key: string): Promise<void> => raw.put(key, 'after', { timeoutMs: outageMsMax, retryUndetermined: true })
  const all = Promise.all(hit.map(write)).then(() => performance.now() - started)
  const [firstMs, allMs] = await Promise.all([firstSuccess(() => write(hit[0] ?? '')), all])
  await cluster.relaunch(node)
  return { firstMs, allMs, regions: hit.length }
}

async function etcdOutages(folder: string, kills: number, context: RunContext): Promise<Outage[]> {
  const cluster = await EtcdCluster.start(folder)
  const outages: Outage[] = []
  try {
    for (let kill = 1; kill <= kills && !context.signal.aborted; kill++) {
      const leader = await cluster.leader()
      const rest = cluster.nodes.filter(node => node !== leader)
      const body = { key: Buffer.from(keyOf(0)).toString('base64'), value: Buffer.from('after').toString('base64') }
      const put = async (at: number): Promise<void> => { await gateway(rest[at % rest.length]?.url ?? '', 'kv/put', body, outageMsMax) }
      await Promise.all([put(0), put(1)])
      const killed = cluster.kill(leader)
      const firstMs = await firstSuccess(put)
      await killed
      outages.push({ firstMs, allMs: firstMs, regions: 1 })
      context.print(`etcd   kill ${kill}: first write after ${firstMs.toFixed(0)} ms`)
      cluster.relaunch(leader)
      await cluster.leader()
      await pause(settleMs)
    }
  } finally {
    await cluster.stop()
  }
  return outages
}
