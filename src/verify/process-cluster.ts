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
}

/**
 * A cluster of real processes on loopback whose members can be killed, paused and started again on their data.
 * It ends only processes that it started, by pid.
 */
export class ProcessCluster {
  private constructor(readonly folder: string, readonly pd: NodeProcess, readonly stores: readonly NodeProcess[],
    readonly environment: Readonly<Record<string, string>>) {}

  /** @param options.flags extra flags of every store */
  static async start(options: { readonly folder: string; readonly stores: number; readonly flags?: readonly string[]
    readonly environment?: Readonly<Record<string, string>> }): Promise<ProcessCluster> {
    mkdirSync(options.folder, { recursive: true })
    const ports = await freePorts(2 + options.stores * 2)
    const address = (at: number): string => `127.0.0.1:${ports[at]}`
    const pdDir = join(options.folder, 'pd')
    const pd: NodeProcess = {
      kind: 'pd', index: 0, address: address(0), statusAddress: address(1), dataDir: pdDir, child: undefined,
      args: ['pd', '--name', 'pd-0', '--client-urls', `http://${address(0)}`, '--peer-urls', `http://${address(1)}`, '--data-dir', pdDir],
    }
    const stores = Array.from({ length: options.stores }, (_, index): NodeProcess => {
      const dataDir = join(options.folder, `store-${index}`)
      return {
        kind: 'store', index, address: address(2 + index * 2), statusAddress: address(3 + index * 2), dataDir, child: undefined,
        args: ['store', '--addr', address(2 + index * 2), '--status-addr', address(3 + index * 2), '--pd', address(0),
          '--data-dir', dataDir, ...(options.flags ?? [])],
      }
    })
    const cluster = new ProcessCluster(options.folder, pd, stores, options.environment ?? {})
    for (const node of [pd, ...stores]) cluster.launch(node)
    return cluster
  }

  get pids(): readonly number[] {
    return [this.pd, ...this.stores].flatMap(node => node.child?.pid ?? [])
  }

  logPath(node: NodeProcess): string {
    return join(this.folder, `${node.kind}-${node.index}.log`)
  }

  launch(node: NodeProcess, environment: Readonly<Record<string, string>> = {}): void {
    if (isAlive(node)) return
    const log = openSync(this.logPath(node), 'a')
    node.child = spawn(process.execPath, ['--enable-source-maps', program, ...node.args],
      { stdio: ['ignore', log, log], env: { ...process.env, ...this.environment, ...environment } })
    closeSync(log)
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(node: NodeProcess): Promise<void> {
    if (!isAlive(node)) return
    const gone = exitOf(node)
    node.child?.kill('SIGCONT')
    node.child?.kill('SIGKILL')
    await gone
  }

  pause(node: NodeProcess): void {
    node.child?.kill('SIGSTOP')
  }

  resume(node: NodeProcess): void {
    node.child?.kill('SIGCONT')
  }

  /** SIGTERM; @returns false when it had to be killed after the time-out. */
  async stop(node: NodeProcess, timeoutMs = 30_000): Promise<boolean> {
    if (!isAlive(node)) return true
    const gone = exitOf(node)
    node.child?.kill('SIGCONT')
    node.child?.kill('SIGTERM')
    const timer = { late: false }
    const handle = setTimeout(() => {
      timer.late = true
      node.child?.kill('SIGKILL')
    }, timeoutMs)
    await gone
    clearTimeout(handle)
    return !timer.late
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.stores, this.pd].map(node => this.kill(node)))
  }

  /** Last lines of a node's log, for a failing test's report. */
  tail(node: NodeProcess, lines = 20): string {
    return readFileSync(this.logPath(node), 'utf8').split('\n').slice(-lines).join('\n')
  }

  get dead(): readonly NodeProcess[] {
    return [this.pd, ...this.stores].filter(node => !isAlive(node))
  }
}

export function isAlive(node: NodeProcess): boolean {
  return node.child !== undefined && node.child.exitCode === null && node.child.signalCode === null
}

function exitOf(node: NodeProcess): Promise<void> {
  return new Promise(resolve => {
    if (!isAlive(node)) resolve()
    else node.child?.once('exit', () => resolve())
  })
}
