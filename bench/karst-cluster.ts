import { engineKeyOf, wireKeyOfText } from '../src/rawkv/codec.js'
import { emptyBytes, equalBytes } from '../src/common/bytes.js'
import { regionCovers } from '../src/common/region.js'
import { ProcessCluster, type NodeProcess } from '../src/verify/process-cluster.js'
import type { RequestContext } from '../src/wire/messages.js'
import { openConnection, type Connection } from '../src/server/connection.js'
import { noLog } from '../src/server/logging.js'
import { BenchError } from './figures.js'
import { pause, temporaryFolder } from './processes.js'

export interface LeaderRoute {
  readonly address: string
  readonly storeId: number
  readonly context: RequestContext
  /** Does the region hold all keys asked for? */
  readonly coversAll: boolean
  readonly voters: number
}

const readyMsMax = 30_000
const probeTimeoutMs = 5_000
const stopMsMax = 5_000
const splitMsMax = 30_000
const replicatedMsMax = 60_000
const ownStores = 3

export interface KarstOptions {
  /** Addresses of a cluster that runs already; empty: three stores and PD of our own in `folder`. */
  readonly pd: readonly string[]
  readonly folder: string
  readonly keyspace: number
  readonly environment?: Readonly<Record<string, string>>
  /** `bin/karst.mjs` of another checkout: a version to compare with. */
  readonly program?: string | undefined
}

/** The karst cluster under measurement: one of ours, or one that others run. */
export class KarstCluster {
  #data: { remove(): void } | undefined

  private constructor(readonly pd: readonly string[], readonly keyspace: number, readonly processes: ProcessCluster | undefined,
    readonly connection: Connection) {
    if (processes) this.#data = temporaryFolder(processes.folder)
  }

  /** Ready for writes when it resolves; rejects with BenchError when it does not get there. */
  static async open(options: KarstOptions): Promise<KarstCluster> {
    const { folder, keyspace, environment = {}, program } = options
    const isOwn = options.pd.length === 0
    const processes = isOwn ? await ProcessCluster.start({ folder, stores: ownStores, environment, program }) : undefined
    const pd = processes ? [processes.pd.address] : options.pd
    const connection = openConnection({ name: 'bench', log: noLog, pdAddresses: pd, keyspace })
    const cluster = new KarstCluster(pd, keyspace, processes, connection)
    try {
      await cluster.ready()
    } catch (error) {
      await cluster.stop({ isUnused: true })
      throw error
    }
    return cluster
  }

  get pids(): readonly number[] { return this.processes?.pids ?? [] }

  /** Waits for the first write. @returns milliseconds it took from now on */
  async ready(withinMs = readyMsMax): Promise<number> {
    const started = performance.now()
    let reason = ''
    while (performance.now() - started < withinMs) {
      try {
        await this.connection.client.raw.put('bench/ready', 'yes', { timeoutMs: probeTimeoutMs, retryUndetermined: true })
        return performance.now() - started
      } catch (error) {
        reason = String(error)
        const dead = this.processes?.dead[0]
        if (dead) throw new BenchError(`${dead.kind} ${dead.index} ended; the end of its log:\n${this.processes?.tail(dead) ?? ''}`)
      }
      await pause(50)
    }
    throw new BenchError(`karst took no write within ${withinMs / 1_000} s: ${reason}`)
  }

  /**
   * Waits until the region of a key is on all three stores of ours: before that a put is on fewer disks than etcd's.
   * @returns milliseconds it took from now on
   */
  async replicated(key: string): Promise<number> {
    const started = performance.now()
    for (;;) {
      const { voters } = await this.route(key, key)
      if (voters >= ownStores || this.processes === undefined) return performance.now() - started
      if (performance.now() - started > replicatedMsMax) throw new BenchError(`the region still has ${voters} of ${ownStores} replicas`)
      await pause(100)
    }
  }

  /** Where the region of `first` is led, asked anew: leaders move. */
  async route(first: string, last: string): Promise<LeaderRoute> {
    const { pd } = this.connection
    const found = await pd.getRegion(this.#engineKey(first))
    const leader = found?.leader
    if (!found || !leader) throw new BenchError('PD knows no leader for the keys')
    const store = (await pd.getStores()).find(one => one.storeId === leader.storeId)
    if (!store) throw new BenchError(`PD does not know store ${leader.storeId}`)
    const { region } = found
    return {
      address: store.address, storeId: leader.storeId,
      context: { regionId: region.regionId, epoch: region.epoch, peerId: leader.peerId, timeoutMs: 10_000 },
      voters: region.peers.filter(peer => peer.role === 'voter').length,
      coversAll: regionCovers(region, this.#engineKey(first), this.#engineKey(last)),
    }
  }

  /** Cuts the region of the keys. They are user keys; a child is led where its parent is. */
  async split(keys: readonly string[]): Promise<void> {
    const batch = 100
    for (let at = 0; at < keys.length; at += batch) {
      const some = keys.slice(at, at + batch)
      const { address, context } = await this.route(some[0] ?? '', some[0] ?? '')
      const request = { context, keys: some.map(key => this.#engineKey(key)) }
      const answer = await this.connection.channel(address).call('SplitRegion', request, { timeoutMs: splitMsMax })
      if (!answer.answered) throw new BenchError(`split: ${answer.failure.kind} ${answer.failure.reason}`)
      if (!answer.result.ok) throw new BenchError(`split: ${answer.result.error.kind}`)
      await this.#known(some)
    }
  }

  /** PD hears of new regions with their first heartbeats. */
  async #known(keys: readonly string[]): Promise<void> {
    const until = performance.now() + splitMsMax
    for (const key of keys) {
      while (!equalBytes((await this.connection.pd.getRegion(this.#engineKey(key)))?.region.startKey ?? emptyBytes, this.#engineKey(key))) {
        if (performance.now() > until) throw new BenchError(`PD has not heard of the region of ${key}`)
        await pause(50)
      }
    }
  }

  #engineKey(key: string): Uint8Array { return engineKeyOf(wireKeyOfText(this.keyspace, key)) }

  /** SIGKILL of all, start of all. @returns ms from the first start to the first write */
  async restart(): Promise<number> {
    const { processes } = this
    if (!processes) throw new BenchError('only a cluster of ours is restarted')
    await processes.stopAll()
    const started = performance.now()
    for (const node of [processes.pd, ...processes.stores]) processes.launch(node)
    await this.ready()
    return performance.now() - started
  }

  async relaunch(node: NodeProcess): Promise<void> {
    await this.processes?.kill(node)
    this.processes?.launch(node)
    const until = performance.now() + readyMsMax
    while (performance.now() < until) {
      const isReady = await fetch(`http://${node.statusAddress}/ready`, { signal: AbortSignal.timeout(1_000) }).then(answer => answer.ok, () => false)
      if (isReady) return
      await pause(100)
    }
    throw new BenchError(`${node.kind} ${node.index} is not ready ${readyMsMax / 1_000} s after its restart`)
  }

  named(): { readonly name: string; readonly pid: number }[] {
    const { processes } = this
    return processes ? [processes.pd, ...processes.stores].map(node => ({ name: `${node.kind} ${node.index}`, pid: node.child?.pid ?? 0 })) : []
  }

  /** The process of a store of ours. */
  processAt(address: string): NodeProcess {
    const node = this.processes?.stores.find(one => one.address === address)
    if (!node) throw new BenchError(`no store of ours listens at ${address}`)
    return node
  }

  /** Ends processes that are ours and removes their data; of a cluster of others only our keys go. */
  async stop({ isUnused = false } = {}): Promise<void> {
    const { processes } = this
    if (processes === undefined && !isUnused) await this.connection.client.raw.deleteRange({ prefix: '' })
    this.connection.close()
    if (processes === undefined) return
    await Promise.all([...processes.stores, processes.pd].map(node => processes.stop(node, stopMsMax)))
    this.#data?.remove()
  }
}
