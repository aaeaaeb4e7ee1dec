import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createClusterSecretFile } from '../server/cluster-secret.js'
import { loopbackPorts } from '../server/loopback-ports.js'
import { CommandError } from './output.js'

const program = fileURLToPath(new URL('../../../bin/karst.mjs', import.meta.url))

/** What a child says in its readiness line. */
export interface ReadyLine {
  readonly pid: number
  readonly statusAddress: string
  readonly dataDir: string
  readonly storeId?: number
  readonly address?: string
  readonly name?: string
  readonly addresses?: readonly string[]
}

export interface PlaygroundPlan {
  readonly stores: number
  readonly pd: number
  readonly dataDir: string
  /** Of the first PD member, if it is free; 0: any. */
  readonly pdPort: number
  readonly set: readonly string[]
}

interface ChildPlan {
  readonly kind: 'pd' | 'store'
  readonly name: string
  /** Without what only a parent gives. */
  readonly args: readonly string[]
}

/** One process of the playground. */
export class Child {
  readonly #process: ChildProcess
  readonly #errors: string[] = []
  readonly ready: Promise<ReadyLine>
  readonly gone: Promise<string>
  /** How it ended; undefined while it runs. */
  end: string | undefined
  line: ReadyLine | undefined

  constructor(readonly plan: ChildPlan, logDir: string) {
    const args = [...plan.args, '--json', '--stop-with-stdin', '--log-file', join(logDir, `${plan.name}.log`)]
    // A process group of its own: Ctrl-C reaches us alone, and we end them in order.
    this.#process = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    this.#process.stdin?.on('error', () => { /* it is gone; `gone` says so */ })
    createInterface({ input: this.#process.stderr! }).on('line', line => {
      this.#errors.push(line)
      if (this.#errors.length > 20) this.#errors.shift()
    })
    this.gone = new Promise(resolve => {
      this.#process.once('error', error => { resolve(this.end = error.message) })
      this.#process.once('close', (code, signal) => { resolve(this.end = signal ?? `exit code ${code}`) })
    })
    this.ready = new Promise((resolve, reject) => {
      createInterface({ input: this.#process.stdout! }).on('line', line => {
        const said = parseLine(line)
        if (said.ready === true) resolve(this.line = said as unknown as ReadyLine)
        else if (said.error !== undefined) this.#errors.push(said.error.message)
      })
      void this.gone.then(end => {
        const why = this.#errors.join('\n') || `see ${join(logDir, plan.name)}.log`
        reject(new CommandError('NodeFailed', `${plan.name} did not start (${end}): ${why}`))
      })
    })
    // Whoever starts the playground looks at all of them at once.
    this.ready.catch(() => {})
  }

  get pid(): number | undefined { return this.#process.pid }
  /** Its last words on standard error. */
  get errors(): readonly string[] { return this.#errors }

  stop(): void { this.#process.stdin?.end() }

  kill(): void { if (this.end === undefined) this.#process.kill('SIGKILL') }
}

function parseLine(line: string): { readonly ready?: boolean; readonly error?: { readonly message: string } } {
  try {
    return JSON.parse(line) as { ready?: boolean; error?: { message: string } }
  } catch (error) {
    return { error: { message: `${line} (${(error as Error).message})` } }
  }
}

const firstPorts = { store: 20_160, status: 20_180 }

/** All nodes at once: the stores ask PD until it answers. */
export async function spawnPlayground(plan: PlaygroundPlan): Promise<{ readonly pd: readonly Child[]; readonly stores: readonly Child[] }> {
  const wishes = (count: number, first: number, step: number): number[] =>
    Array.from({ length: count }, (_, at) => plan.pdPort === 0 ? 0 : first + at * step)
  const groups = [
    wishes(plan.pd, plan.pdPort, 10), wishes(plan.pd, plan.pdPort + 1, 10), Array.from({ length: plan.pd }, () => 0),
    wishes(plan.stores, firstPorts.store, 1), wishes(plan.stores, firstPorts.status, 1),
  ]
  const ports = await loopbackPorts(groups.flat())
  const [clients = [], pages = [], peers = [], addresses = [], statuses = []] = groups.map(({ length }) => ports.splice(0, length))
  const local = (port: number | undefined): string => `127.0.0.1:${port}`
  const logDir = join(plan.dataDir, 'logs')
  mkdirSync(logDir, { recursive: true })
  const secret = join(plan.dataDir, 'cluster-secret')
  createClusterSecretFile(secret)
  const cluster = peers.map((port, at) => `pd-${at + 1}=http://${local(port)}`).join(',')
  const pd = clients.map((port, at): ChildPlan => ({
    kind: 'pd', name: `pd-${at + 1}`, args: ['pd', '--name', `pd-${at + 1}`, '--client-urls', `http://${local(port)}`,
      '--peer-urls', `http://${local(peers[at])}`, '--status-addr', local(pages[at]), '--initial-cluster', cluster,
      '--data-dir', join(plan.dataDir, `pd-${at + 1}`), '--cluster-secret-file', secret],
  }))
  const stores = addresses.map((port, at): ChildPlan => ({
    kind: 'store', name: `store-${at + 1}`, args: ['store', '--addr', local(port), '--status-addr', local(statuses[at]),
      '--pd', clients.map(local).join(','), '--data-dir', join(plan.dataDir, `store-${at + 1}`),
      '--cluster-secret-file', secret, '--set', `pd.register-after=${at}`,
      ...plan.set.flatMap(one => ['--set', one])],
  }))
  return { pd: pd.map(one => new Child(one, logDir)), stores: stores.map(one => new Child(one, logDir)) }
}
