import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from './free-ports.js'

const program = fileURLToPath(new URL('../../../bin/karst.mjs', import.meta.url))

export interface NodeProcess {
  readonly kind: 'pd' | 'store'
  readonly index: number
  readonly address: string
  readonly statusAddress: string
  readonly dataDir: string
  readonly args: readonly string[]
  child: ChildProcess | undefined
  /** We ended the child, or are about to: its exit is no surprise. */
  isEnding: boolean
}

export interface ProcessClusterOptions {
  /** Data and logs. */
  readonly folder: string
  readonly stores: number
  /** Extra flags of every store. */
  readonly flags?: readonly string[]
  /** Of every process; `launch` may add more for one. */
  readonly environment?: Readonly<Record<string, string>>
  /** `bin/karst.mjs` of another checkout, which runs instead of this one. */
  readonly program?: string | undefined
}

/** For one process and one start. */
export interface LaunchOptions {
  readonly flags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** A process that ended although nobody asked it to. */
export interface Crash {
  readonly node: NodeProcess
  readonly text: string
}

/**
 * A cluster of real processes on loopback whose members can be killed, paused and started again on their data.
 * It ends only processes that it started, by pid; they end with it.
 */
export class ProcessCluster {
  readonly crashes: Crash[] = []
  readonly #endAll = (): void => {
    for (const node of this.nodes) if (isAlive(node)) node.child?.kill('SIGKILL')
  }

  private constructor(
    readonly folder: string, readonly pd: NodeProcess, readonly stores: readonly NodeProcess[],
    readonly environment: Readonly<Record<string, string>>, readonly program: string,
  ) {
    process.on('exit', this.#endAll)
  }

  static async start(options: ProcessClusterOptions): Promise<ProcessCluster> {
    const cluster = await ProcessCluster.prepare(options)
    for (const node of cluster.nodes) cluster.launch(node)
    return cluster
  }

  /** Ports and folders; nothing runs yet. */
  static async prepare(options: ProcessClusterOptions): Promise<ProcessCluster> {
    mkdirSync(options.folder, { recursive: true })
    const ports = await freePorts(2 + options.stores * 2)
    const address = (at: number): string => `127.0.0.1:${ports[at]}`
    const node = (kind: 'pd' | 'store', index: number, at: number, args: readonly string[]): NodeProcess => {
      const dataDir = join(options.folder, `${kind}-${index}`)
      return {
        kind, index, address: address(at), statusAddress: address(at + 1), dataDir, child: undefined, isEnding: false,
        args: [kind, ...args, '--data-dir', dataDir],
      }
    }
    const pd = node('pd', 0, 0, ['--name', 'pd-0', '--client-urls', `http://${address(0)}`, '--peer-urls', `http://${address(1)}`])
    const stores = Array.from({ length: options.stores }, (_, index) => {
      const at = 2 + index * 2
      return node('store', index, at, ['--addr', address(at), '--status-addr', address(at + 1), '--pd', address(0),
        ...(options.flags ?? [])])
    })
    return new ProcessCluster(options.folder, pd, stores, options.environment ?? {}, options.program ?? program)
  }

  get nodes(): readonly NodeProcess[] { return [this.pd, ...this.stores] }
  get dead(): readonly NodeProcess[] { return this.nodes.filter(node => !isAlive(node)) }
  get pids(): readonly number[] { return this.nodes.flatMap(node => node.child?.pid ?? []) }

  logPath(node: NodeProcess): string { return join(this.folder, `${node.kind}-${node.index}.log`) }

  /** Starts a process on its data, unless it runs. */
  launch(node: NodeProcess, more: LaunchOptions = {}): void {
    if (isAlive(node)) return
    const log = openSync(this.logPath(node), 'a')
    // The cluster secret is made there by the first of them: this cluster has its own, and leaves nothing behind.
    // Standard input is a leash: it ends with us, however we end, and they end with it.
    const args = ['--enable-source-maps', this.program, ...node.args, '--stop-with-stdin', ...(more.flags ?? [])]
    const child = spawn(process.execPath, args,
      { stdio: ['pipe', log, log], env: { ...process.env, HOME: this.folder, ...this.environment, ...more.environment } })
    closeSync(log)
    node.child = child
    node.isEnding = false
    child.once('exit', (code, signal) => {
      if (node.child !== child || node.isEnding) return
      this.crashes.push({ node, text: `${node.kind}-${node.index} ended by itself: ${signal ?? `exit code ${code}`}\n${this.tail(node)}` })
    })
  }

  /** SIGKILL; resolves when the process is gone. @returns false when it did not run */
  async kill(node: NodeProcess): Promise<boolean> {
    if (!isAlive(node)) return false
    const gone = exitOf(node)
    node.isEnding = true
    node.child?.kill('SIGKILL')
    await gone
    return node.child?.signalCode === 'SIGKILL'
  }

  pause(node: NodeProcess): void { node.child?.kill('SIGSTOP') }
  resume(node: NodeProcess): void { node.child?.kill('SIGCONT') }

  /** SIGTERM. @returns the exit code, or undefined when it had to be killed after the time-out */
  async stop(node: NodeProcess, timeoutMs = 30_000): Promise<number | undefined> {
    if (!isAlive(node)) return node.child?.exitCode ?? undefined
    const gone = exitOf(node)
    node.isEnding = true
    node.child?.kill('SIGCONT')
    node.child?.kill('SIGTERM')
    const timer = setTimeout(() => node.child?.kill('SIGKILL'), timeoutMs)
    await gone
    clearTimeout(timer)
    return node.child?.exitCode ?? undefined
  }

  /** Kills everything; what is launched afterwards finds its data. */
  async stopAll(): Promise<void> { await Promise.all(this.nodes.map(node => this.kill(node))) }

  /** Kills everything, for good. Idempotent. */
  async close(): Promise<void> {
    await this.stopAll()
    process.off('exit', this.#endAll)
  }

  /** Last lines of a node's log, for a report. */
  tail(node: NodeProcess, lines = 20): string {
    return readFileSync(this.logPath(node), 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }
}

export function isAlive(node: NodeProcess): boolean {
  return node.child !== undefined && node.child.exitCode === null && node.child.signalCode === null
}

/** Has SIGSTOP arrived? `T` in /proc; where there is no /proc, the signal is taken at its word. */
export function isPaused(node: NodeProcess): boolean {
  try {
    const stat = readFileSync(`/proc/${node.child?.pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}

export function exitOf(node: NodeProcess): Promise<void> {
  return new Promise(resolve => {
    if (isAlive(node)) node.child?.once('exit', () => resolve())
    else resolve()
  })
}
