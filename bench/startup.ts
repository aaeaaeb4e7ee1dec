import { rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { RunContext } from './bench-command.js'
import { EtcdCluster, gateway } from './etcd.js'
import { BenchError, median } from './figures.js'
import { KarstCluster } from './karst-cluster.js'
import { describe, machineFacts } from './machine.js'
import type { BenchOptions } from './options.js'
import { cpuSeconds, pause, residentBytes } from './processes.js'
import { asTable, markdownTable } from './report.js'
import { missingForEtcd } from './tools.js'
import { keyOf } from './workloads.js'

const settleMs = 10_000
const idleSeconds = 20

interface Startup {
  readonly system: string
  /** ms from the first process to the first acknowledged write; data folders are empty. */
  readonly coldMs: number[]
  /** And until it is on three stores. */
  readonly replicatedMs: number[]
  /** The same with data, after SIGKILL of all. */
  readonly warmMs: number[]
  readonly idle: readonly Idle[]
}

interface Idle {
  readonly process: string
  readonly residentMib: number
  /** Of one core. */
  readonly cpuPercent: number
}

export async function runStartup(options: BenchOptions, context: RunContext): Promise<void> {
  const missing = options.vs === 'etcd' ? missingForEtcd() : []
  if (missing.length > 0) throw new BenchError(`--vs etcd needs ${missing.join(' and ')}`)
  const folder = resolve(options.dir)
  const machine = machineFacts(folder)
  const results = [await karstStartup(join(folder, `karst-${process.pid}`), options, context)]
  if (options.vs === 'etcd') results.push(await etcdStartup(join(folder, `etcd-${process.pid}`), options.rounds, context.signal))
  const heads = ['system', 'regions', 'cold start, ms', 'on 3 stores, ms', 'after kill of all, ms', 'process', 'idle RSS MiB', 'idle CPU %']
  const rows = results.flatMap(one => one.idle.map((idle, at) => [
    ...at > 0 ? ['', '', '', '', ''] : [one.system, one.system === 'karst' ? String(options.regions) : '–',
      ...[one.coldMs, one.replicatedMs, one.warmMs].map(list => median(list).toFixed(0))],
    idle.process, idle.residentMib.toFixed(0), idle.cpuPercent.toFixed(2),
  ]))
  const left = new Set(['system', 'process'])
  context.print(asTable(heads, rows, left))
  context.print(describe(machine))
  if (options.markdown) context.print(`\n### ${describe(machine)}\n\n    ${context.command}\n\n${markdownTable(heads, rows, left)}\n`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ command: context.command, machine, results }, undefined, 1)}\n`)
}

async function karstStartup(folder: string, options: BenchOptions, context: RunContext): Promise<Startup> {
  const coldMs: number[] = []
  const replicatedMs: number[] = []
  const warmMs: number[] = []
  let idle: Idle[] = []
  for (let round = 1; round <= options.rounds && !context.signal.aborted; round++) {
    rmSync(folder, { recursive: true, force: true })
    const started = performance.now()
    const cluster = await KarstCluster.open({ pd: [], folder, keyspace: options.keyspace })
    coldMs.push(performance.now() - started)
    try {
      await cluster.replicated(keyOf(0))
      replicatedMs.push(performance.now() - started)
      await pause(1_000)
      warmMs.push(await cluster.restart())
      if (round < options.rounds) continue
      await cluster.split(Array.from({ length: options.regions - 1 }, (_, at) => keyOf(at + 1)))
      idle = await idleOf(cluster.named(), context.signal)
    } finally {
      await cluster.stop()
    }
  }
  return { system: 'karst', coldMs, replicatedMs, warmMs, idle }
}

async function etcdStartup(folder: string, rounds: number, signal: AbortSignal): Promise<Startup> {
  const coldMs: number[] = []
  const replicatedMs: number[] = []
  const warmMs: number[] = []
  let idle: Idle[] = []
  for (let round = 1; round <= rounds && !signal.aborted; round++) {
    const started = performance.now()
    const cluster = await EtcdCluster.start(folder)
    const put = async (): Promise<void> => {
      await gateway((await cluster.leader()).url, 'kv/put', { key: Buffer.from('ready').toString('base64'), value: '' }, 10_000)
    }
    try {
      await put()
      coldMs.push(performance.now() - started)
      replicatedMs.push(performance.now() - started)
      await pause(1_000)
      await Promise.all(cluster.nodes.map(node => cluster.kill(node)))
      const again = performance.now()
      for (const node of cluster.nodes) cluster.relaunch(node)
      await put()
      warmMs.push(performance.now() - again)
      if (round === rounds) idle = await idleOf(cluster.nodes.map(node => ({ name: node.name, pid: node.child.pid ?? 0 })), signal)
    } finally {
      await cluster.stop()
    }
  }
  return { system: 'etcd', coldMs, replicatedMs, warmMs, idle }
}

async function idleOf(processes: readonly { readonly name: string; readonly pid: number }[], signal: AbortSignal): Promise<Idle[]> {
  const wait = async (ms: number): Promise<void> => { for (let left = ms; left > 0 && !signal.aborted; left -= 250) await pause(250) }
  await wait(settleMs)
  const before = processes.map(({ pid }) => cpuSeconds(pid))
  const started = performance.now()
  await wait(idleSeconds * 1_000)
  const seconds = (performance.now() - started) / 1_000
  return processes.map(({ name, pid }, at) => ({
    process: name, residentMib: residentBytes(pid) / 2 ** 20, cpuPercent: (cpuSeconds(pid) - (before[at] ?? 0)) * 100 / Math.max(0.001, seconds),
  }))
}
