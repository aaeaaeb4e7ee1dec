import { join } from 'node:path'
import { ignore } from '../common/assert.js'
import type { KarstClient } from '../client/client.js'
import { pdSchema, pdSettings } from './config/pd-schema.js'
import { drawClusterSecret, openClusterSecret } from './cluster-secret.js'
import { mustLoadConfig } from './config/load.js'
import { storeSchema, storeSettings } from './config/store-schema.js'
import { openConnection } from './connection.js'
import type { Connection } from './connection.js'
import { noLog } from './logging.js'
import type { LogSink } from './logging.js'
import { loopbackPorts } from './loopback-ports.js'
import { PdProcess } from './pd-member.js'
import type { ClusterSecret } from '../transport/handshake.js'
import { untilSettled } from './settled.js'
import { StartupError } from './startup-error.js'
import { MemoryLogDisk, MemoryStoreDisk, openLogOnDisk, openStoreOnDisk } from './storage.js'
import { StoreNode } from './store-node.js'

export interface ClusterOptions {
  /** Default 3. 0: PD alone. */
  readonly stores?: number
  /** Members of PD; default 1. */
  readonly pd?: number
  /** Where the nodes have their folders. Absent: everything is in memory and gone with the cluster. */
  readonly dataDir?: string
  /** Log lines of all nodes. Default: none. */
  readonly log?: LogSink
  /** Settings of every store by their outside name, such as `{ 'raftstore.raft-base-tick-interval': '20ms' }`. */
  readonly storeConfig?: Readonly<Record<string, unknown>>
  readonly pdConfig?: Readonly<Record<string, unknown>>
  /** Ports that are taken if they are free; else any. */
  readonly ports?: { readonly pd?: readonly number[]; readonly stores?: readonly number[]; readonly status?: readonly number[] }
  /** How long the start may take. Default 30 s. */
  readonly timeoutMs?: number
  /** A node stopped by itself: a broken disk or a bug. Default: an error that nobody catches. */
  readonly onFatal?: (node: string, error: Error) => void
}

export interface ClusterStore {
  /** 0 until it has joined. */
  readonly storeId: number
  readonly address: string
  readonly statusAddress: string
  readonly isUp: boolean
}

export interface ClientSettings {
  readonly keyspace?: number
  readonly timeoutMs?: number
}

/** A whole cluster in this process. */
export interface Cluster {
  readonly pdAddresses: readonly string[]
  /** HTTP of each PD member; the dashboard is at `/`. */
  readonly pdStatusAddresses: readonly string[]
  readonly stores: readonly ClusterStore[]
  /** A client of its own; closed with the cluster. */
  client(settings?: ClientSettings): KarstClient
  /** Client, PD and channels to single stores; closed with the cluster. */
  connection(settings?: ClientSettings): Connection
  /** As SIGTERM: leaderships go elsewhere, then it ends. */
  stopStore(index: number): Promise<void>
  /** As SIGKILL: it is gone without a word. In memory, what was not durable is lost with it. */
  killStore(index: number): Promise<void>
  /** On its data, at the same address. */
  startStore(index: number): Promise<void>
  stopPd(index: number): Promise<void>
  startPd(index: number): Promise<void>
  /** Resolves when every region has a leader and all its replicas. */
  settled(timeoutMs?: number): Promise<void>
  /** Stops everything. Idempotent. */
  close(): Promise<void>
}

const startMsMax = 30_000
const portAttemptsMax = 5

const wish = (wishes: readonly number[] | undefined, count: number): number[] =>
  Array.from({ length: count }, (_, at) => wishes?.[at] ?? 0)

/** Starts PD and stores on loopback from the same code as `karst pd` and `karst store`; resolves when the cluster serves. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = new LocalCluster(options)
  try {
    await cluster.start()
    return cluster
  } catch (error) {
    // What went wrong first is what the caller hears, however the rest ends.
    await cluster.close().catch((after: unknown) => { ignore(after, 'the start failed before') })
    throw error
  }
}

class LocalCluster implements Cluster {
  readonly #options: ClusterOptions
  readonly #log: LogSink
  readonly #connections = new Set<Connection>()
  readonly #secret = drawClusterSecret()
  #pd: readonly PdSlot[] = []
  readonly #stores: StoreSlot[] = []
  #closing: Promise<void> | undefined

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#log = options.log ?? noLog
  }

  get pdAddresses(): readonly string[] { return this.#pd.map(slot => slot.clientAddress) }
  get pdStatusAddresses(): readonly string[] { return this.#pd.map(slot => slot.node?.statusAddress ?? '') }
  get stores(): readonly ClusterStore[] { return this.#stores }

  async start(): Promise<void> {
    const { stores = 3, timeoutMs = startMsMax, ports = {} } = this.#options
    await this.#startMembers()
    const storePorts = ports.stores === undefined ? [] : await loopbackPorts(wish(ports.stores, stores))
    for (let at = 0; at < stores; at++) {
      this.#stores.push(new StoreSlot(`store-${at + 1}`, {
        'server.addr': `127.0.0.1:${storePorts[at] ?? 0}`, 'server.status-addr': '127.0.0.1:0', 'pd.endpoints': this.pdAddresses,
        'pd.register-after': String(at),
        ...this.#options.storeConfig,
      }, this.#folder(`store-${at + 1}`), this.#secret))
    }
    await Promise.all(this.#stores.map(slot => slot.start(this.#log, this.#onFatal)))
    if (stores > 0) await this.settled(timeoutMs)
  }

  /** Members must know each other's ports before they listen; meanwhile somebody else may have taken one. */
  async #startMembers(): Promise<void> {
    const { pd = 1, ports = {} } = this.#options
    for (let attempt = 1; ; attempt++) {
      const found = await loopbackPorts([...wish(ports.pd, pd), ...wish(undefined, pd), ...wish(ports.status, pd)])
      const [clients, peers, pages] = [found.slice(0, pd), found.slice(pd, 2 * pd), found.slice(2 * pd)]
      const initialCluster = peers.map((port, at) => `pd-${at + 1}=http://127.0.0.1:${port}`).join(',')
      this.#pd = clients.map((port, at) => new PdSlot(`pd-${at + 1}`, {
        'client-urls': [`http://127.0.0.1:${port}`], 'peer-urls': [`http://127.0.0.1:${peers[at]}`],
        'status-addr': `127.0.0.1:${pages[at]}`, 'initial-cluster': initialCluster, ...this.#options.pdConfig,
      }, this.#folder(`pd-${at + 1}`), this.#secret))
      try {
        await Promise.all(this.#pd.map(slot => slot.start(this.#log, this.#onFatal)))
        return
      } catch (error) {
        await Promise.all(this.#pd.map(slot => slot.stop(0).catch((after: unknown) => { ignore(after, 'the start failed before') })))
        if (!(error instanceof StartupError && error.code === 'addressInUse') || attempt === portAttemptsMax) throw error
      }
    }
  }

  #folder(name: string): string | undefined {
    const { dataDir } = this.#options
    return dataDir === undefined ? undefined : join(dataDir, name)
  }

  readonly #onFatal = (name: string, error: Error): void => {
    this.#log(name, 'error', 'node.fatal', { reason: error.message })
    if (this.#options.onFatal === undefined) setImmediate(() => { throw error })
    else this.#options.onFatal(name, error)
  }

  connection(settings: ClientSettings = {}): Connection {
    const connection = openConnection({ name: 'client', log: this.#log, pdAddresses: this.pdAddresses, ...settings })
    this.#connections.add(connection)
    return connection
  }

  client(settings: ClientSettings = {}): KarstClient { return this.connection(settings).client }

  #store(index: number): StoreSlot {
    const slot = this.#stores[index]
    if (slot === undefined) throw new RangeError(`there are stores 0 to ${this.#stores.length - 1}, no ${index}`)
    return slot
  }

  #member(index: number): PdSlot {
    const slot = this.#pd[index]
    if (slot === undefined) throw new RangeError(`there are PD members 0 to ${this.#pd.length - 1}, no ${index}`)
    return slot
  }

  async stopStore(index: number): Promise<void> { await this.#store(index).stop() }
  async killStore(index: number): Promise<void> { await this.#store(index).kill() }
  async startStore(index: number): Promise<void> { await this.#store(index).start(this.#log, this.#onFatal) }
  async stopPd(index: number): Promise<void> { await this.#member(index).stop() }
  async startPd(index: number): Promise<void> { await this.#member(index).start(this.#log, this.#onFatal) }

  async settled(timeoutMs = startMsMax): Promise<void> {
    const connection = this.connection({ timeoutMs })
    const replicas = Math.min(this.#stores.filter(slot => slot.isUp).length, this.#pd[0]?.maxReplicas ?? 1)
    try {
      await untilSettled(connection.pd, replicas, timeoutMs)
    } finally {
      connection.close()
      this.#connections.delete(connection)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const connection of this.#connections) connection.close()
    // Nobody is left to take leaderships over.
    await Promise.all(this.#stores.map(slot => slot.stop(0)))
    await Promise.all(this.#pd.map(slot => slot.stop(0)))
  }
}

const secretOf = ({ clusterSecretFile: file }: { readonly clusterSecretFile: string }, shared: ClusterSecret): ClusterSecret =>
  file === '' ? shared : openClusterSecret(file)

type OnFatal = (name: string, error: Error) => void

/** A store of the cluster, up or down, with what it keeps while it is down. */
class StoreSlot implements ClusterStore {
  #node: StoreNode | undefined
  #last = { storeId: 0, address: '', statusAddress: '' }
  readonly #disk = new MemoryStoreDisk()

  /** @param secret  unless the keys name a file */
  constructor(
    readonly name: string, readonly keys: Readonly<Record<string, unknown>>, readonly folder: string | undefined,
    readonly secret: ClusterSecret,
  ) {}

  get isUp(): boolean { return this.#node !== undefined }
  get storeId(): number { return this.#node?.storeId ?? this.#last.storeId }
  get address(): string { return this.#node?.address ?? this.#last.address }
  get statusAddress(): string { return this.#node?.statusAddress ?? this.#last.statusAddress }

  async start(log: LogSink, onFatal: OnFatal): Promise<void> {
    if (this.#node !== undefined) return
    const { address } = this.#last
    const values = mustLoadConfig(storeSchema, {
      flags: {}, keys: {
        ...this.keys, ...(this.folder !== undefined && { 'storage.data-dir': this.folder }),
        ...(address !== '' && { 'server.addr': address }),
      },
    })
    const settings = storeSettings(values)
    const node: StoreNode = new StoreNode({
      name: this.name, settings, log, secret: secretOf(settings, this.secret), config: () => values.all(),
      openStorage: async (env, onDiskError) => this.folder === undefined ? this.#disk.open(env)
        : await openStoreOnDisk(settings.dataDir, settings, onDiskError),
      onFatal: error => { if (this.#node === node) onFatal(this.name, error) },
    })
    this.#node = node
    try {
      await node.start()
    } catch (error) {
      if (this.#node === node) this.#node = undefined
      throw error
    }
  }

  async stop(handOverMs?: number): Promise<void> {
    const node = this.#leave()
    await node?.stop(handOverMs)
  }

  async kill(): Promise<void> {
    const node = this.#leave()
    if (node === undefined) return
    const gone = node.abandon()
    this.#disk.crash()
    await gone
  }

  #leave(): StoreNode | undefined {
    const node = this.#node
    if (node !== undefined) this.#last = { storeId: node.storeId, address: node.address, statusAddress: node.statusAddress }
    this.#node = undefined
    return node
  }
}

class PdSlot {
  node: PdProcess | undefined
  readonly #disk = new MemoryLogDisk()
  maxReplicas = 1

  constructor(
    readonly name: string, readonly keys: Readonly<Record<string, unknown>>, readonly folder: string | undefined,
    readonly secret: ClusterSecret,
  ) {}

  get clientAddress(): string { return String((this.keys['client-urls'] as readonly string[])[0]).replace('http://', '') }

  async start(log: LogSink, onFatal: OnFatal): Promise<void> {
    if (this.node !== undefined) return
    const values = mustLoadConfig(pdSchema, {
      flags: {}, keys: { ...this.keys, name: this.name, ...(this.folder !== undefined && { 'data-dir': this.folder }) },
    })
    const settings = pdSettings(values)
    this.maxReplicas = settings.config.maxReplicas ?? 1
    const node: PdProcess = new PdProcess({
      settings, log, secret: secretOf(settings, this.secret), config: () => values.all(),
      openStorage: async env => this.folder === undefined ? this.#disk.open(env) : await openLogOnDisk('pd', settings.dataDir, {}),
      onFatal: error => { if (this.node === node) onFatal(this.name, error) },
    })
    this.node = node
    try {
      await node.start()
    } catch (error) {
      if (this.node === node) this.node = undefined
      throw error
    }
  }

  async stop(handOverMs?: number): Promise<void> {
    const { node } = this
    this.node = undefined
    await node?.stop(handOverMs)
  }
}
