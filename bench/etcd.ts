import type { ChildProcess } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from '../src/verify/free-ports.js'
import { BenchError } from './figures.js'
import { pause, startProcess, stopProcess, temporaryFolder } from './processes.js'

export interface EtcdNode {
  readonly name: string
  readonly url: string
  child: ChildProcess
}

interface EtcdStatus {
  readonly header: { readonly member_id: string; readonly revision: string }
  readonly leader?: string
}

const electionWaitMs = 15_000

/**
 * Three etcd on loopback with their defaults: fsync on a majority before a put is answered. Two limits are raised that no
 * default load meets: operations of a transaction, and the size of the database.
 */
export class EtcdCluster {
  readonly #data: { remove(): void }

  private constructor(readonly folder: string, readonly nodes: readonly EtcdNode[], readonly launch: (at: number) => ChildProcess) {
    this.#data = temporaryFolder(folder)
  }

  static async start(folder: string): Promise<EtcdCluster> {
    const ports = await freePorts(6)
    const peers = [0, 1, 2].map(i => `n${i}=http://127.0.0.1:${ports[i + 3]}`).join(',')
    mkdirSync(folder, { recursive: true })
    const launch = (i: number): ChildProcess => startProcess('etcd', [
      '--name', `n${i}`, '--data-dir', join(folder, `n${i}`), '--log-level', 'error',
      '--listen-client-urls', `http://127.0.0.1:${ports[i]}`, '--advertise-client-urls', `http://127.0.0.1:${ports[i]}`,
      '--listen-peer-urls', `http://127.0.0.1:${ports[i + 3]}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${ports[i + 3]}`,
      '--initial-cluster', peers, '--initial-cluster-state', 'new', '--initial-cluster-token', 'karst-bench',
      '--max-txn-ops', '10240', '--max-request-bytes', String(64 << 20), '--quota-backend-bytes', String(16 * 2 ** 30),
    ], join(folder, `n${i}.log`))
    const nodes = [0, 1, 2].map(i => ({ name: `n${i}`, url: `http://127.0.0.1:${ports[i]}`, child: launch(i) }))
    const cluster = new EtcdCluster(folder, nodes, launch)
    try {
      await cluster.leader()
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  pids(): number[] {
    return this.nodes.flatMap(node => node.child.exitCode === null && node.child.signalCode === null ? node.child.pid ?? [] : [])
  }

  /** The load goes to the leader, which is etcd's best case. */
  async leader(): Promise<EtcdNode> {
    const until = performance.now() + electionWaitMs
    while (performance.now() < until) {
      for (const node of this.nodes) {
        const status = await statusOf(node).catch(() => undefined)
        if (status?.leader !== undefined && status.leader === status.header.member_id) return node
      }
      await pause(100)
    }
    throw new BenchError(`etcd elected no leader within ${electionWaitMs / 1_000} s; its logs are in ${this.folder}`)
  }

  /** Grows by one a put or transaction that writes: it proves that a load really wrote. */
  async revision(): Promise<number> { return Number((await statusOf(await this.leader())).header.revision) }

  async kill(node: EtcdNode): Promise<void> { await stopProcess(node.child, 'SIGKILL') }

  relaunch(node: EtcdNode): void { node.child = this.launch(this.nodes.indexOf(node)) }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(node => stopProcess(node.child)))
    this.#data.remove()
  }
}

/** etcd's JSON gateway; bytes are base64. */
export async function gateway(url: string, path: string, body: unknown, timeoutMs: number): Promise<unknown> {
  const answer = await fetch(`${url}/v3/${path}`, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(timeoutMs) })
  if (!answer.ok) throw new BenchError(`etcd ${path}: ${answer.status} ${await answer.text()}`)
  return await answer.json()
}

async function statusOf(node: EtcdNode): Promise<EtcdStatus> {
  return await gateway(node.url, 'maintenance/status', {}, 2_000) as EtcdStatus
}
