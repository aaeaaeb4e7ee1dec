import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import { memberIdOf, parseInitialCluster } from '../pd/config.js'
import type { PdMember } from '../pd/config.js'
import { createPdNode } from '../pd/pd-node.js'
import type { PdNode } from '../pd/pd-node.js'
import { createRaftLinks } from '../transport/raft-links.js'
import { listenRpc } from '../transport/rpc-server.js'
import type { RpcServer } from '../transport/rpc-server.js'
import { protocolVersion } from '../wire/messages.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import { hostOf } from './advertise.js'
import { Closers } from './closers.js'
import { withoutScheme } from './config/fields.js'
import type { PdSettings } from './config/pd-schema.js'
import type { LogSink } from './logging.js'
import { NodeMetrics } from './metrics.js'
import { openNodeEnv } from './node-env.js'
import { claimPdIdentity } from './pd-identity.js'
import { pdPages } from './pd-pages.js'
import { pdRequests, RpcDoor } from './rpc-door.js'
import { StartupError } from './startup-error.js'
import { StatusServer } from './status-http.js'
import type { LogStorage } from './storage.js'
import type { NodeState } from './store-node.js'

export interface PdMemberOptions {
  readonly settings: PdSettings
  readonly log: LogSink
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
  readonly config: () => unknown
}

const handOverMsMax = 5_000

/** One member of PD, put together: its folder and log, its sockets, its pages. */
export class PdProcess implements PdFace {
  readonly #options: PdMemberOptions
  readonly #closers = new Closers()
  readonly #closeEnv: () => void
  readonly env: Env
  readonly memberId: number
  readonly startedAtWallMs: number
  #state: NodeState = 'starting'
  #node: PdNode | undefined
  #servers: RpcServer[] = []
  #status: StatusServer | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: PdMemberOptions) {
    this.#options = options
    const { env, close } = openNodeEnv({ ...options, name: options.settings.name })
    this.env = env
    this.#closeEnv = close
    this.#closers.add(close)
    this.memberId = memberIdOf(options.settings.name)
    this.startedAtWallMs = env.clock.wallMs()
  }

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
      await this.#closers.run()
      throw error
    })
    return this.#starting
  }

  /** What was opened while somebody asked us to stop is closed by `start`. */
  #goOn(): void {
    if (this.#state === 'stopping') throw new StartupError('stopped', `${this.name} was stopped while it started`)
  }

  readonly #hello = (): Hello => ({ protocolVersion, clusterId: this.clusterId, role: 'pd', nodeId: this.memberId })

  async #assemble(): Promise<void> {
    const { env } = this
    const { settings, onFatal } = this.#options
    const configured = membersOf(settings)
    const storage = await this.#options.openStorage(env)
    this.#closers.add(() => storage.close())
    this.#goOn()
    await claimPdIdentity(storage, { name: this.name, memberId: this.memberId, members: configured.map(member => member.name) })
    const door = new RpcDoor(pdRequests)
    for (const url of settings.clientUrls) await this.#listen(url, { handlers: door.handlers })
    if (configured.length > 1) {
      const onRaft = (envelope: RaftEnvelope): void => { this.#node?.onRaft(envelope) }
      for (const url of settings.peerUrls) await this.#listen(url, { handlers: {}, onRaft })
    }
    this.#goOn()
    const members = configured.map(member => member.memberId !== this.memberId ? member
      : { ...member, clientUrls: this.clientAddresses.map(address => `http://${address}`) })
    const links = createRaftLinks({
      env, hello: this.#hello, addressOf: (to: StoreId) => peerAddress(members, to),
      onDown: to => { this.#node?.onLinkDown(to) },
    })
    this.#closers.add(() => { links.close() })
    const node = createPdNode({
      env, name: this.name, memberId: this.memberId, raftLog: storage.raftLog, members, peerLinks: links, config: settings.config, onFatal,
    })
    this.#node = node
    await this.#openStatus(configured.length, () => links.metrics())
    this.#goOn()
    node.start()
    door.open(node.server.handlers)
    this.#state = 'serving'
    env.log('info', 'pd.ready', {
      member: this.name, clients: this.clientAddresses.join(','), status: this.statusAddress, members: configured.length,
    })
  }

  async #listen(url: string, what: Pick<Parameters<typeof listenRpc>[0], 'handlers' | 'onRaft'>): Promise<void> {
    const { env } = this
    const address = withoutScheme(url)
    const server = await listenRpc({ env, address, hello: this.#hello, ...what }).catch((error: unknown) => {
      throw new StartupError('addressInUse', `${(error as Error).message}. If another PD runs here, give this one its own --client-urls `
        + 'and --peer-urls.', { cause: error })
    })
    this.#closers.add(() => { server.close() })
    if (what.onRaft === undefined) this.#servers.push(server)
  }

  async #openStatus(members: number, linkFigures: () => Record<string, number>): Promise<void> {
    const { settings } = this.#options
    const [peerUrl] = settings.peerUrls
    const peer = peerUrl === undefined ? undefined : withoutScheme(peerUrl)
    const alone = members === 1 ? peer : peer === undefined ? undefined : `${hostOf(peer)}:0`
    const address = settings.statusAddress === '' ? alone : settings.statusAddress
    if (address === undefined) return
    const metrics = new NodeMetrics({ node: this.name })
    this.#closers.add(() => { metrics.close() })
    for (const server of this.#servers) metrics.add(() => server.metrics())
    metrics.add(linkFigures)
    const status = await StatusServer.listen(address, pdPages(this, metrics))
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

function peerAddress(members: readonly PdMember[], to: StoreId): string | undefined {
  const url = members.find(member => member.memberId === to)?.peerUrls[0]
  return url === undefined ? undefined : withoutScheme(url)
}
