import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import { parseInitialCluster } from '../pd/config.js'
import type { PdMember } from '../pd/config.js'
import { createPdNode } from '../pd/pd-node.js'
import type { PdNode } from '../pd/pd-node.js'
import type { RpcHandler } from '../transport/api.js'
import type { ClusterSecret } from '../transport/handshake.js'
import { openChannel } from '../transport/rpc-channel.js'
import { createRaftLinks } from '../transport/raft-links.js'
import { listenRpc } from '../transport/rpc-server.js'
import type { RpcServer } from '../transport/rpc-server.js'
import { ownFeatures, spoken } from '../wire/features.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import { hostOf, portOf } from './advertise.js'
import { Closers } from './closers.js'
import { withoutScheme } from './config/fields.js'
import type { PdSettings } from './config/pd-schema.js'
import type { LogSink } from './logging.js'
import { NodeMetrics } from './metrics.js'
import { openNodeEnv } from './node-env.js'
import { checkOpenFiles, connectionLimits, openFilesMax } from './open-files.js'
import { MemberBirth } from './pd-birth.js'
import { PdIdentityKeeper } from './pd-identity.js'
import type { PdIdentity } from './pd-identity.js'
import { pdPages } from './pd-pages.js'
import { pdRequests, RpcDoor } from './rpc-door.js'
import { StartupError } from './startup-error.js'
import { StatusServer } from './status-http.js'
import type { LogStorage } from './storage.js'
import type { NodeState } from './store-node.js'

export interface PdMemberOptions {
  readonly settings: PdSettings
  readonly log: LogSink
  readonly secret: ClusterSecret
  readonly openStorage: (env: Env) => Promise<LogStorage>
  /** The member must end: a broken invariant or a broken disk. Nothing was closed. */
  readonly onFatal: (error: Error) => void
  readonly failpoints?: readonly string[]
  /** Everything in force, for /config. */
  readonly config?: () => unknown
}

/** What the status pages of a member show. */
export interface PdFace {
  readonly name: string
  readonly env: Env
  readonly state: NodeState
  readonly node: PdNode
  readonly clientAddresses: readonly string[]
  readonly startedAtWallMs: number
  /** On the monotonic clock: the wall may step back. */
  readonly startedAtMs: number
  readonly config: () => unknown
}

const handOverMsMax = 5_000
/** Between a member's peer port and its status port, unless --status-addr says otherwise. */
const statusPortStep = 1_000

/** One member of PD, put together: its folder and log, its sockets, its pages. */
export class PdProcess implements PdFace {
  readonly #options: PdMemberOptions
  readonly #closers = new Closers()
  readonly #closeEnv: () => void
  readonly #socketFigures: () => Record<string, number>
  readonly env: Env
  #memberId = 0
  readonly startedAtWallMs: number
  /** On the monotonic clock: the wall may step back. */
  readonly startedAtMs: number
  #state: NodeState = 'starting'
  #node: PdNode | undefined
  #servers: RpcServer[] = []
  #status: StatusServer | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: PdMemberOptions) {
    this.#options = options
    const { env, metrics, close } = openNodeEnv({
      ...options, name: options.settings.name, connections: connectionLimits(options.settings.connections, openFilesMax()),
    })
    this.#socketFigures = metrics
    this.env = env
    this.#closeEnv = close
    this.#closers.add(close)
    this.startedAtWallMs = env.clock.wallMs()
    this.startedAtMs = env.clock.monotonicMs()
  }

  /** 0 until it knows. */
  get memberId(): number { return this.#memberId }
  get name(): string { return this.#options.settings.name }
  get state(): NodeState { return this.#state }
  get node(): PdNode { return this.#node! }
  get clusterId(): bigint { return this.#node?.clusterId ?? 0n }
  /** Where clients reach it. */
  get clientAddresses(): readonly string[] {
    const { advertiseClientUrls } = this.#options.settings
    return advertiseClientUrls.length > 0 ? advertiseClientUrls.map(withoutScheme) : this.#servers.map(server => server.address)
  }
  get statusAddress(): string { return this.#status?.address ?? '' }
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
    if (this.#state === 'stopping') throw new StartupError('stopped', `${this.name} was stopped while it started`)
  }

  readonly #hello = (): Hello => ({ ...spoken, features: ownFeatures, clusterId: this.clusterId, role: 'pd', nodeId: this.memberId })

  async #assemble(): Promise<void> {
    const { env } = this
    const { settings, onFatal } = this.#options
    checkOpenFiles(env, settings.connections, openFilesMax())
    const isJoining = settings.join.length > 0
    const configured = isJoining ? [] : membersOf(settings)
    const storage = await this.#options.openStorage(env)
    this.#closers.add(() => storage.close())
    this.#goOn()
    const keeper = new PdIdentityKeeper(storage)
    const known = keeper.load({ name: this.name, members: isJoining ? undefined : configured.map(member => member.name) })
    const door = new RpcDoor(pdRequests)
    const birth = new MemberBirth({
      env, name: this.name, keeper, isJoining, members: configured.map(member => member.name), peerUrls: settings.peerUrls,
      others: isJoining ? settings.join.map(withoutScheme)
        : configured.filter(member => member.name !== this.name).map(member => withoutScheme(member.peerUrls[0] ?? '')),
      clientUrls: () => this.#ownClientUrls(), isStopped: () => this.#state === 'stopping',
      openChannel: address => openChannel({ env, address, hello: this.#hello, secret: this.#options.secret }),
    })
    const join: RpcHandler<'JoinMember'> = (request, respond, context) => {
      const handler = this.#node?.server.handlers.JoinMember ?? birth.answer
      handler(request, respond, context)
    }
    for (const url of settings.clientUrls) await this.#listen(url, { handlers: { ...door.handlers, JoinMember: join } })
    const isGroup = isJoining || configured.length > 1
    if (isGroup) {
      const onRaft = (envelope: RaftEnvelope): void => { this.#node?.onRaft(envelope) }
      for (const url of settings.peerUrls) await this.#listen(url, { handlers: { JoinMember: join }, onRaft })
    }
    this.#goOn()
    const identity = known === undefined || known.memberId === 0 ? await birth.run(known) : known
    this.#memberId = identity.memberId
    this.#goOn()
    const members = this.#membersFor(identity, configured)
    const links = createRaftLinks({
      env, hello: this.#hello, secret: this.#options.secret, addressOf: (to: StoreId) => this.#peerAddress(to),
      onDown: to => { this.#node?.onLinkDown(to) },
    })
    this.#closers.add(() => { links.close() })
    const node = createPdNode({
      env, name: this.name, memberId: this.memberId, raftLog: storage.raftLog, members, peerLinks: links, config: settings.config, onFatal,
      ...(identity.founderIds !== undefined && { founderIds: identity.founderIds }),
      origin: { name: this.name, token: identity.token ?? 0, tokens: new Map(Object.entries(identity.tokens ?? {})) },
    })
    this.#node = node
    await this.#openStatus(isGroup, () => links.metrics())
    this.#goOn()
    node.start()
    door.open(node.server.handlers)
    this.#state = 'serving'
    env.log('info', 'pd.ready', {
      member: this.name, clients: this.clientAddresses.join(','), status: this.statusAddress, members: node.members().length,
    })
  }

  #ownClientUrls(): readonly string[] { return this.clientAddresses.map(address => `http://${address}`) }

  /** How members are reached, as far as this folder and the configuration know; PD's state knows the rest. */
  #membersFor(identity: PdIdentity, configured: readonly PdMember[]): readonly PdMember[] {
    const { peerUrls } = this.#options.settings
    const own: PdMember = { name: this.name, memberId: identity.memberId, clientUrls: this.#ownClientUrls(), peerUrls }
    // Who came later knows the ids from the group; where a member lives the configuration may know better.
    const others = identity.peers?.map(peer => ({
      ...peer, clientUrls: [], peerUrls: configured.find(member => member.name === peer.name)?.peerUrls ?? peer.peerUrls,
    })) ?? configured
    const configuredOwn = configured.find(member => member.memberId === identity.memberId)
    return [
      ...others.filter(member => member.memberId !== identity.memberId),
      configuredOwn === undefined ? own : { ...configuredOwn, clientUrls: own.clientUrls },
    ]
  }

  #peerAddress(to: StoreId): string | undefined {
    const url = this.#node?.peerUrlsOf(to)[0]
    return url === undefined ? undefined : withoutScheme(url)
  }

  async #listen(url: string, what: Pick<Parameters<typeof listenRpc>[0], 'handlers' | 'onRaft'>): Promise<void> {
    const { env } = this
    const address = withoutScheme(url)
    const server = await listenRpc({ env, address, hello: this.#hello, secret: this.#options.secret, ...what }).catch((error: unknown) => {
      throw new StartupError('addressInUse', `${(error as Error).message}. If another PD runs here, give this one its own --client-urls `
        + 'and --peer-urls.', { cause: error })
    })
    this.#closers.add(() => { server.close() })
    if (what.onRaft === undefined) this.#servers.push(server)
  }

  async #openStatus(isGroup: boolean, linkFigures: () => Record<string, number>): Promise<void> {
    const { settings } = this.#options
    const address = settings.statusAddress === '' ? defaultStatusAddress(settings, isGroup) : settings.statusAddress
    if (address === undefined) return
    const metrics = new NodeMetrics({ node: this.name })
    this.#closers.add(() => { metrics.close() })
    for (const server of this.#servers) metrics.add(() => server.metrics())
    metrics.add(linkFigures)
    metrics.add(this.#socketFigures)
    const status = await StatusServer.listen(address, pdPages(this, metrics)).catch((error: unknown) => {
      throw new StartupError('addressInUse',
        `${(error as Error).message}. This is for HTTP: give it another --status-addr.`, { cause: error })
    })
    this.#status = status
    this.#closers.add(() => { status.close() })
  }

  /** Hands leadership over if somebody can take it, then closes everything. Idempotent. */
  stop(handOverMs = handOverMsMax): Promise<void> {
    this.#stopping ??= this.#stop(handOverMs)
    return this.#stopping
  }

  async #stop(handOverMs: number): Promise<void> {
    const isUp = this.#state === 'serving'
    this.#state = 'stopping'
    if (!isUp) await this.#starting?.catch((error: unknown) => { ignore(error, 'start() tells its caller') })
    const node = this.#node
    this.env.log('info', 'pd.stopping', { member: this.name })
    if (isUp && node !== undefined) await new Promise<void>(resolve => { node.stop(handOverMs, resolve) })
    this.env.log('info', 'pd.stopped', { member: this.name })
    await this.#closers.run()
  }

  /** Ends without a word, as SIGKILL would: for clusters inside one process. */
  abandon(): Promise<void> {
    this.#state = 'stopping'
    this.#closeEnv()
    this.#stopping ??= this.#closers.run()
    return this.#stopping
  }
}

/** @throws StartupError('config') */
function membersOf(settings: PdSettings): readonly PdMember[] {
  const { name, peerUrls, initialCluster } = settings
  const parsed = parseInitialCluster(initialCluster === '' ? `${name}=${peerUrls[0] ?? 'http://127.0.0.1:2380'}` : initialCluster)
  if (!parsed.ok) throw new StartupError('config', parsed.error)
  if (parsed.value.some(member => member.name === name)) return parsed.value
  const names = parsed.value.map(member => member.name).join(', ')
  throw new StartupError('config', `initial-cluster names ${names}, but this member is called ${name}: --name must be one of them`)
}

/** Alone, a member does not use its peer URL for anything else. In a group the port stands a fixed step beside it. */
function defaultStatusAddress({ clientUrls, peerUrls }: PdSettings, isGroup: boolean): string | undefined {
  const [client, peer] = [clientUrls[0], peerUrls[0]].map(url => (url === undefined ? undefined : withoutScheme(url)))
  if (!isGroup || peer === undefined || client === undefined) return peer
  const port = portOf(peer)
  return `${hostOf(client)}:${port === 0 ? 0 : port + (port + statusPortStep <= 65_535 ? statusPortStep : -statusPortStep)}`
}
