import { ignore } from '../common/assert.js'
import { boundaryMistake } from '../common/boundary.js'
import type { Env } from '../common/env.js'
import type { RegionId, StoreId } from '../common/ids.js'
import { createPdClient } from '../client/pd-client.js'
import { LogStateKind } from '../engine/api.js'
import type { PdClient } from '../pd/api.js'
import { rawEvaluator } from '../rawkv/evaluator.js'
import type { StoreApi } from '../store/api.js'
import { createStore } from '../store/store.js'
import type { ClusterSecret } from '../transport/handshake.js'
import { createRaftLinks } from '../transport/raft-links.js'
import { openChannel } from '../transport/rpc-channel.js'
import { listenRpc } from '../transport/rpc-server.js'
import type { RpcServer } from '../transport/rpc-server.js'
import { ownFeatures, spoken } from '../wire/features.js'
import type { Hello, StoreMeta } from '../wire/messages.js'
import { advertised } from './advertise.js'
import { Closers } from './closers.js'
import type { StoreSettings } from './config/store-schema.js'
import { IdentityKeeper } from './identity.js'
import type { StoreIdentity } from './identity.js'
import type { LogSink } from './logging.js'
import { NodeMetrics } from './metrics.js'
import { openNodeEnv } from './node-env.js'
import { checkOpenFiles, connectionLimits, openFilesMax } from './open-files.js'
import { RpcDoor, storeRequests } from './rpc-door.js'
import { StartupError } from './startup-error.js'
import { StatusServer } from './status-http.js'
import type { StoreStorage } from './storage.js'
import { StoreDirectory } from './store-directory.js'
import { joinCluster, tombstoneError } from './store-join.js'
import { storePages } from './store-pages.js'
import { StorePdAdapter } from './store-pd.js'
import { storeHandlers } from './store-services.js'
import { karstVersion } from './version.js'

export interface StoreNodeOptions {
  /** In log lines until it has an id; then it is `store-1`. */
  readonly name: string
  readonly settings: StoreSettings
  readonly log: LogSink
  readonly secret: ClusterSecret
  readonly openStorage: (env: Env, onDiskError: (error: Error) => void) => Promise<StoreStorage>
  /** The node must end: a broken invariant, a broken disk, or PD does not want it. Nothing was closed. */
  readonly onFatal: (error: Error) => void
  readonly failpoints?: readonly string[]
  /** Everything in force, for /config. */
  readonly config?: () => unknown
  /** Ends a start that still waits for PD. */
  readonly signal?: AbortSignal
}

export type NodeState = 'starting' | 'serving' | 'stopping'

/** What the status pages of a store show. */
export interface StoreFace {
  readonly name: string
  readonly env: Env
  readonly settings: StoreSettings
  readonly state: NodeState
  readonly clusterId: bigint
  readonly storeId: StoreId | 0
  readonly address: string
  readonly startedAtWallMs: number
  /** On the monotonic clock: the wall may step back. */
  readonly startedAtMs: number
  /** undefined until the store has recovered. */
  readonly store: StoreApi | undefined
  readonly pdHeardAtMs: number
  readonly freeBytes: number | undefined
  readonly config: () => unknown
}

/** A call to PD gives up after this; heartbeats come again by themselves. */
const pdDeadlineMs = 3_000
const diskSpaceMs = 1_000

/** One store, put together: its folder, log and engine, its sockets, its place in the cluster, its pages. */
export class StoreNode implements StoreFace {
  readonly #options: StoreNodeOptions
  readonly #closers = new Closers()
  readonly #door = new RpcDoor(storeRequests)
  readonly #wait = new AbortController()
  readonly #closeEnv: () => void
  readonly #socketFigures: () => Record<string, number>
  readonly env: Env
  readonly startedAtWallMs: number
  /** On the monotonic clock: the wall may step back. */
  readonly startedAtMs: number
  #state: NodeState = 'starting'
  #clusterId = 0n
  #storeId: StoreId | 0 = 0
  #server: RpcServer | undefined
  #status: StatusServer | undefined
  #metrics: NodeMetrics | undefined
  #store: StoreApi | undefined
  #storage: StoreStorage | undefined
  #adapter: StorePdAdapter | undefined
  #pdHeardAtMs = Number.NEGATIVE_INFINITY
  #space: ReturnType<NonNullable<StoreStorage['diskSpace']>> & { readonly atMs: number }
    = { atMs: Number.NEGATIVE_INFINITY, capacityBytes: 0, availableBytes: 0 }
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: StoreNodeOptions) {
    this.#options = options
    const { env, metrics, close } = openNodeEnv({
      ...options, connections: connectionLimits(options.settings.connections, openFilesMax()),
      log: (_node, level, event, fields) => { options.log(this.name, level, event, fields) },
    })
    this.env = env
    this.#closeEnv = close
    this.#socketFigures = metrics
    this.#closers.add(close)
    this.startedAtWallMs = env.clock.wallMs()
    this.startedAtMs = env.clock.monotonicMs()
    options.signal?.addEventListener('abort', () => { this.#wait.abort() }, { once: true })
  }

  /** As the cluster calls it, once it has an id. */
  get name(): string { return this.#storeId === 0 ? this.#options.name : `store-${this.#storeId}` }
  get settings(): StoreSettings { return this.#options.settings }
  get state(): NodeState { return this.#state }
  get clusterId(): bigint { return this.#clusterId }
  get storeId(): StoreId | 0 { return this.#storeId }
  get store(): StoreApi | undefined { return this.#store }
  get pdHeardAtMs(): number { return this.#pdHeardAtMs }
  /** Where others reach it. */
  get address(): string { return advertised(this.settings.advertiseAddress, this.listenAddress) }
  get listenAddress(): string { return this.#server?.address ?? this.settings.address }
  get statusAddress(): string { return advertised(this.settings.advertiseStatusAddress, this.#status?.address ?? '') }
  get freeBytes(): number | undefined {
    return this.#storage?.diskSpace === undefined ? undefined : this.#diskSpace(this.#storage.diskSpace).availableBytes
  }
  readonly config = (): unknown => this.#options.config?.() ?? {}

  /** @throws StartupError; everything is closed again then */
  start(): Promise<void> {
    this.#starting = this.#assemble().catch(async (error: unknown) => {
      await this.#closers.run().catch((after: unknown) => { ignore(after, 'the start failed before') })
      throw error
    })
    return this.#starting
  }

  /** What was opened while somebody asked us to stop is closed by `start`. */
  #goOn(): void {
    if (this.#wait.signal.aborted) throw new StartupError('stopped', `${this.name} was stopped while it started`)
  }

  readonly #hello = (): Hello =>
    ({ ...spoken, features: ownFeatures, clusterId: this.#clusterId, role: 'store', nodeId: this.#storeId })

  async #assemble(): Promise<void> {
    const { env } = this
    checkOpenFiles(env, this.settings.connections, openFilesMax())
    const storage = await this.#options.openStorage(env, this.#options.onFatal)
    this.#closers.add(() => storage.close())
    this.#storage = storage
    this.#goOn()
    const keeper = new IdentityKeeper(storage)
    this.#become(keeper.load())
    storage.spool.sweep()
    await this.#listen()
    this.#goOn()
    // PD is greeted without a cluster id: which one it is of is compared afterwards, in words for the operator.
    const joining = this.#openPd(() => ({ ...this.#hello(), clusterId: 0n }))
    const { identity, firstRegion, incarnation } = await joinCluster({
      env, pd: joining, keeper, pdAddresses: this.settings.pdAddresses, metaOf: storeId => this.#meta(storeId), signal: this.#wait.signal,
      registerAfter: this.settings.registerAfter,
    })
    this.#goOn()
    this.#become(identity)
    // From now on in the name of this store and of its cluster: PD takes heartbeats of nobody else.
    joining.close()
    const pd = this.#openPd(this.#hello)
    const directory = new StoreDirectory({
      env, pd, openChannel: address => openChannel({ env, address, hello: this.#hello, secret: this.#options.secret }),
    })
    this.#closers.add(() => { directory.close() })
    const store = this.#createStore(identity.storeId, incarnation, storage, pd, directory)
    if (firstRegion !== undefined && !isWritten(storage, firstRegion.regionId)) store.bootstrapRegion(firstRegion)
    env.failpoint('join.after-first-region')
    store.start()
    this.#store = store
    this.#door.open(storeHandlers(store, env))
    this.#state = 'serving'
    // Durable behind the region that it speaks of: the log is durable in order.
    if (firstRegion !== undefined) await keeper.save(identity, undefined)
    env.log('info', 'store.ready', {
      store: identity.storeId, cluster: identity.clusterId, addr: this.address, status: this.statusAddress, version: karstVersion(),
    })
  }

  #become(identity: StoreIdentity | undefined): void {
    this.#clusterId = identity?.clusterId ?? 0n
    this.#storeId = identity?.storeId ?? 0
  }

  async #listen(): Promise<void> {
    const { env, settings } = this
    this.#server = await listenRpc({
      env, address: settings.address, hello: this.#hello, secret: this.#options.secret, handlers: this.#door.handlers,
      onRaft: envelope => { this.#store?.onRaft(envelope) },
    }).catch((error: unknown) => {
      throw new StartupError('addressInUse', `${(error as Error).message}. If another store runs here, give this one its own --addr `
        + '(port 0 takes any free one).', { cause: error })
    })
    const server = this.#server
    this.#closers.add(() => { server.close() })
    if (settings.statusAddress === '') return
    const metrics = this.#metrics = new NodeMetrics({ node: settings.address })
    this.#closers.add(() => { metrics.close() })
    metrics.add(() => server.metrics())
    metrics.add(this.#socketFigures)
    metrics.add(() => this.#store?.metrics() ?? {})
    const status = await StatusServer.listen(settings.statusAddress, storePages(this, metrics))
    this.#status = status
    this.#closers.add(() => { status.close() })
  }

  #openPd(hello: () => Hello): PdClient {
    const { env } = this
    const { secret } = this.#options
    const pd = createPdClient({
      env, addresses: this.settings.pdAddresses, deadlineMs: pdDeadlineMs,
      channelFor: address => openChannel({ env, address, hello, secret }),
      onLeaderFound: () => { this.#adapter?.onLeaderFound() },
    })
    this.#closers.add(() => { pd.close() })
    this.#wait.signal.addEventListener('abort', () => { if (this.#state === 'starting') pd.close() }, { once: true })
    return pd
  }

  #createStore(storeId: StoreId, incarnation: number, storage: StoreStorage, pd: PdClient, directory: StoreDirectory): StoreApi {
    const { env, settings } = this
    const { onFatal } = this.#options
    const adapter = new StorePdAdapter({
      env, pd, incarnation, beatMsMax: settings.raft.regionHeartbeatMs * 2,
      onStores: stores => {
        this.#pdHeardAtMs = env.clock.monotonicMs()
        directory.learn(stores)
      },
      onShortOfSpace: (full, low) => { this.#store?.onShortOfSpace(full, low) },
      onRefused: error => {
        if (/tombstone/.test(error.message)) onFatal(tombstoneError(storeId, error))
        else onFatal(new StartupError('storeRefused', `PD does not want store ${storeId} any more: ${error.message}`, { cause: error }))
      },
    })
    this.#adapter = adapter
    const links = createRaftLinks({
      env, hello: this.#hello, secret: this.#options.secret, addressOf: to => directory.addressOf(to),
      onUp: to => { this.#store?.onLinkUp(to) },
      onDown: to => { this.#store?.onLinkDown(to) },
    })
    this.#metrics?.add(() => links.metrics())
    this.#closers.add(() => {
      adapter.close()
      links.close()
    })
    const { diskSpace } = storage
    return createStore({
      env, storeId, engine: storage.engine, raftLog: storage.raftLog, links, pd: adapter, spool: storage.spool,
      bulkChannel: to => directory.bulkChannel(to), evaluator: rawEvaluator, config: settings.raft, onFatal, boundaryMistake,
      ...(diskSpace !== undefined && { diskSpace: () => this.#diskSpace(diskSpace) }),
    })
  }

  /** Asking the file system may take its time. */
  #diskSpace(ask: NonNullable<StoreStorage['diskSpace']>): ReturnType<typeof ask> {
    const nowMs = this.env.clock.monotonicMs()
    if (nowMs - this.#space.atMs >= diskSpaceMs) this.#space = { atMs: nowMs, ...ask() }
    return this.#space
  }

  #meta(storeId: StoreId): StoreMeta {
    const { labels } = this.settings
    return {
      storeId, address: this.address, statusAddress: this.statusAddress, labels, version: karstVersion(), state: 'up',
      startedAtWallMs: this.startedAtWallMs,
    }
  }

  /** Regions this store leads now. */
  get ledRegions(): readonly RegionId[] {
    return (this.#store?.peers(0) ?? []).filter(peer => peer.leaderId === peer.peerId).map(peer => peer.region.regionId)
  }

  /**
   * Hands leaderships over for at most `handOverMs`, then closes everything. A node that still waits for PD gives up at once.
   * Idempotent.
   */
  stop(handOverMs = this.settings.shutdownMsMax): Promise<void> {
    this.#stopping ??= this.#stop(handOverMs)
    return this.#stopping
  }

  async #stop(handOverMs: number): Promise<void> {
    this.#wait.abort()
    const isUp = this.#state === 'serving'
    this.#state = 'stopping'
    if (!isUp) await this.#starting?.catch((error: unknown) => { ignore(error, 'start() tells its caller') })
    const store = this.#store
    if (isUp && store !== undefined) {
      this.env.log('info', 'store.stopping', { leaders: store.stats().leaderCount, handOverMs })
      await new Promise<void>(resolve => { store.stop(handOverMs, resolve) })
    }
    this.env.log('info', 'store.stopped', {})
    await this.#closers.run()
  }

  /** Ends without a word, as SIGKILL would: for clusters inside one process. */
  abandon(): Promise<void> {
    this.#wait.abort()
    this.#state = 'stopping'
    this.#closeEnv()
    this.#stopping ??= this.#closers.run()
    return this.#stopping
  }
}

const isWritten = ({ raftLog }: StoreStorage, id: RegionId): boolean =>
  raftLog.region(id) !== undefined || raftLog.state(id, LogStateKind.Region) !== undefined
