import type { Connection } from '../server/connection.js'
import { leaderNode } from './cluster-access.js'
import type { HistoryRecorder } from './history.js'
import { isPaused } from './process-cluster.js'
import type { NodeProcess, ProcessCluster } from './process-cluster.js'
import { sleep, waitFor } from './waiting.js'

export const faultKinds = ['kill', 'kill-leader', 'kill-all', 'kill-pd', 'pause', 'pause-leader'] as const
export type FaultKind = (typeof faultKinds)[number]

export interface FaultReport {
  readonly kind: FaultKind
  readonly nodes: readonly string[]
  /** The system confirms it: the process died of our signal, or stood still. */
  readonly bit: boolean
  /** By performance.now(): when the signals were sent. */
  readonly struckAtMs: number
}

export interface NemesisOptions {
  readonly cluster: ProcessCluster
  readonly connection: Connection
  readonly random: () => number
  readonly recorder?: HistoryRecorder
  /** A key whose region's leader is meant by kill-leader. */
  readonly leaderKey: string
}

const leaderMsMax = 15_000

/** Kills, pauses and restarts the processes of one cluster, one fault at a time, and says whether it bit. */
export class Nemesis {
  readonly #options: NemesisOptions

  constructor(options: NemesisOptions) { this.#options = options }

  /** @param outageMs how long what is hit stays down or still */
  async inflict(kind: FaultKind, outageMs: number): Promise<FaultReport> {
    const nodes = await this.#targets(kind)
    const names = nodes.map(node => `${node.kind}-${node.index}`)
    this.#note(kind, names)
    const struckAtMs = performance.now()
    const bit = kind.startsWith('pause') ? await this.#pause(nodes, outageMs) : await this.#kill(nodes, outageMs)
    this.#note(`${kind}-over`, names)
    return { kind, nodes: names, bit, struckAtMs }
  }

  async #targets(kind: FaultKind): Promise<readonly NodeProcess[]> {
    const { cluster, random } = this.#options
    if (kind === 'kill-pd') return [cluster.pd]
    if (kind === 'kill-all') return cluster.stores
    if (kind === 'kill-leader' || kind === 'pause-leader') return [await this.leader()]
    const node = cluster.stores[Math.floor(random() * cluster.stores.length)]
    return node === undefined ? [] : [node]
  }

  async leader(): Promise<NodeProcess> {
    const { cluster, connection, leaderKey } = this.#options
    return await waitFor('a leader that runs', leaderMsMax, () => leaderNode(cluster, connection, leaderKey))
  }

  async #kill(nodes: readonly NodeProcess[], outageMs: number): Promise<boolean> {
    const { cluster } = this.#options
    const killed = await Promise.all(nodes.map(node => cluster.kill(node)))
    if (outageMs > 0) await sleep(outageMs)
    for (const node of nodes) cluster.launch(node)
    return killed.length > 0 && killed.every(Boolean)
  }

  async #pause(nodes: readonly NodeProcess[], outageMs: number): Promise<boolean> {
    const { cluster } = this.#options
    for (const node of nodes) cluster.pause(node)
    try {
      await sleep(Math.max(outageMs, 20))
      return nodes.length > 0 && nodes.every(isPaused)
    } finally {
      for (const node of nodes) cluster.resume(node)
    }
  }

  #note(f: string, nodes: readonly string[]): void {
    this.#options.recorder?.record({ process: 'nemesis', type: 'info', f, value: nodes })
  }
}
