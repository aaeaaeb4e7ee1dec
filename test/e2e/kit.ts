/** Real processes for tests: three stores and a PD of `karst store` and `karst pd`, in a folder of their own. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Connection } from '../../src/server/connection.js'
import { connectTo, waitReplicated, waitServing } from '../../src/verify/cluster-access.js'
import { ProcessCluster } from '../../src/verify/process-cluster.js'
import type { NodeProcess, ProcessClusterOptions } from '../../src/verify/process-cluster.js'
import { Survival } from '../../src/verify/survival.js'
import { waitFor } from '../../src/verify/waiting.js'

export const readyMsMax = 60_000
export const operationMsMax = 10_000
/** More patience than this is no check any more. */
const crowdedMax = 4

interface Ending {
  teardown(run: () => unknown): unknown
}

export interface Running {
  readonly cluster: ProcessCluster
  readonly connection: Connection
  readonly folder: string
}

/** Serves and has all its replicas when it is handed out. At the end: nobody died by itself. */
export async function startProcesses(t: Ending, options: Omit<ProcessClusterOptions, 'folder' | 'stores'> = {}): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'karst-e2e-'))
  const cluster = await ProcessCluster.start({ folder, stores: 3, ...options })
  const connection = connectTo([cluster.pd.address], operationMsMax)
  t.teardown(async () => {
    connection.close()
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
    if (cluster.crashes.length > 0) throw new Error(cluster.crashes.map(crash => crash.text).join('\n'))
  })
  await waitServing(connection, readyMsMax)
  await waitReplicated(connection, 3, readyMsMax)
  return { cluster, connection, folder }
}

export interface Load {
  readonly survival: Survival
  /** So many more writes are acknowledged, in time; throws what broke the load otherwise. */
  goesOn(writes?: number): Promise<void>
  /** Throws what broke the load. Idempotent. */
  stop(): Promise<void>
}

/** Writers of keys that are written once; Survival knows what became of each. Ends with the test. */
export function startLoad(t: Ending, { connection }: Pick<Running, 'connection'>, prefix: string, writers: number): Load {
  const survival = new Survival(prefix)
  const abort = new AbortController()
  const broken: unknown[] = []
  const running = survival.load([connection.client], writers, abort.signal, operationMsMax).catch((error: unknown) => broken.push(error))
  const stop = async (): Promise<void> => {
    abort.abort()
    await running
    if (broken.length > 0) throw broken[0]
  }
  t.teardown(() => { abort.abort() })
  return {
    survival, stop,
    goesOn: async (writes = 50) => {
      const wanted = survival.acknowledged.length + writes
      const isEnough = (): true | undefined => survival.acknowledged.length >= wanted || broken.length > 0 ? true : undefined
      await waitFor('acknowledged writes', readyMsMax, isEnough).catch((error: unknown) => {
        throw new Error(`${String(error)}; ${survival.failures.slice(-3).join('; ')}`)
      })
      if (broken.length > 0) throw broken[0]
    },
  }
}

/** Resident memory of a process, bytes. */
export function residentBytes(node: NodeProcess): number {
  const [, kilobytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${node.child?.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1_024
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/**
 * Is this machine too busy for figures? A process that only starts and ends takes 40 to 80 ms on an idle core. Limits that are
 * promises (1.5 s to fail over) hold for a machine that has time; there they are checked, elsewhere a wider one is.
 */
export async function crowding(): Promise<number> {
  const { spawn } = await import('node:child_process')
  const startMs = performance.now()
  await new Promise((resolve, reject) => spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }).on('exit', resolve).on('error', reject))
  return Math.min(crowdedMax, Math.max(1, (performance.now() - startMs) / 100))
}
