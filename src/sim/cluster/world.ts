import type { RegionId, StoreId } from '../../common/ids.js'
import type { Network } from '../../common/env.js'
import { sameEpoch } from '../../common/region.js'
import { StorageError } from '../../common/errors.js'
import { createPdClient } from '../../client/pd-client.js'
import { defaultPdConfig } from '../../pd/config.js'
import type { PdMember } from '../../pd/config.js'
import type { PdClient } from '../../pd/api.js'
import type { StoreApi } from '../../store/api.js'
import type { RpcChannel } from '../../transport/api.js'
import { openChannel } from '../../transport/rpc-channel.js'
import { clusterSecretOf } from '../../server/cluster-secret.js'
import { protocolVersion } from '../../wire/messages.js'
import type { Hello, Operator, PeerInfo } from '../../wire/messages.js'
import { NodeKilled, OracleFailure } from '../failure.js'
import type { FaultTargets } from '../faults.js'
import { Nemesis } from '../faults.js'
import { SimHistory } from '../history.js'
import { Links } from '../links.js'
import type { SimRandom } from '../random.js'
import { Scheduler } from '../scheduler.js'
import { SimDisk } from '../sim-disk.js'
import { SimNode } from '../sim-env.js'
import type { SimEnv, SimWorld } from '../sim-env.js'
import { SimNetwork } from '../sim-network.js'
import type { Trace } from '../trace.js'
import { ClusterAdmin } from './admin.js'
import { ClientHost, Times } from './client-host.js'
import { ClusterOracles } from './oracles.js'
import { PdHost, pdClientPort, pdMembers } from './pd-host.js'
import type { ClusterPlan } from './plan.js'
import { Prober } from './prober.js'
import { tilingMistake } from './region-audit.js'
import { StoreHost } from './store-host.js'

const file = 'sim/cluster/world.ts'
const lookMs = 120
/** A bound on what may be under way; a cluster of this size has a tenth of it. */
const pendingEventsMax = 200_000
const openStreamsMax = 2_000

/** PD, stores and clients on simulated machines, with the wire between them. */
export class ClusterWorld implements SimWorld, FaultTargets {
  readonly scheduler: Scheduler
  readonly links: Links
  readonly network: SimNetwork
  readonly history = new SimHistory()
  readonly times = new Times()
  readonly oracles: ClusterOracles
  readonly nemesis: Nemesis
  readonly admin: ClusterAdmin
  readonly members: readonly PdMember[]
  readonly keys: readonly string[]
  readonly pdHosts: readonly PdHost[]
  readonly storeHosts: readonly StoreHost[]
  readonly clients: readonly ClientHost[]
  readonly nodes: readonly SimNode[]
  readonly #disks: readonly SimDisk[]
  readonly prober: Prober
  readonly #operatorPd: PdClient
  readonly secret = clusterSecretOf('the secret of the simulated cluster')
  isHealed = true
  #failure: unknown
  #value = 0

  constructor(readonly plan: ClusterPlan, readonly random: SimRandom, readonly trace: Trace, readonly plants: ReadonlySet<string>) {
    this.scheduler = new Scheduler(random.fork('scheduler'))
    this.links = new Links(random.fork('links'))
    this.network = new SimNetwork(this.links, random.fork('network'))
    this.oracles = new ClusterOracles({
      leaseMs: plan.store.leaseMs, pdLeaseMs: defaultPdConfig.leaseMs, nowMs: () => this.scheduler.now,
      infosOf: id => this.infos(id),
      hostOf: id => this.storeHosts.find(host => host.identity?.storeId === id), onLeader: host => { this.nemesis.onLeader(host.node) },
    })
    this.members = pdMembers(plan.pds)
    this.keys = Array.from({ length: plan.keys }, (_, at) => `k${at}`)
    this.pdHosts = this.members.map(member => new PdHost(this, this.#machine(member.name), this.#disk(member.name, true), member.memberId))
    this.storeHosts = Array.from({ length: plan.stores }, (_, at) =>
      new StoreHost(this, this.#machine(`store-${at + 1}`), this.#disk(`store-${at + 1}`, false)))
    this.nodes = [...this.storeHosts, ...this.pdHosts].map(host => host.node)
    this.#disks = [...this.storeHosts, ...this.pdHosts].map(host => host.disk)
    this.clients = Array.from({ length: plan.clients }, (_, at) => new ClientHost(this, this.#machine(`client-${at + 1}`)))
    this.#operatorPd = this.#openOperator()
    this.nemesis = new Nemesis(plan.faults, this, this.scheduler, random.fork('nemesis'), (kind, detail) => {
      this.trace.event({ time: this.scheduler.now, node: 'nemesis', region: 0, kind, detail })
    })
    this.admin = new ClusterAdmin(this)
    this.prober = new Prober(this, this.#machine('prober').boot(), plan.probeMs)
  }

  get pdAddresses(): readonly string[] { return this.members.map(member => `${member.name}:${pdClientPort}`) }
  get bystanders(): readonly string[] { return this.clients.map(client => client.node.name) }
  nextValue(): number { return ++this.#value }

  #machine(name: string): SimNode {
    const node = new SimNode(this, name)
    this.network.know(node)
    return node
  }

  #disk(name: string, isPd: boolean): SimDisk {
    const { plants } = this
    const disk = new SimDisk(name, this.random.fork(`disk-${name}`), plants.has('P43') || plants.has('forgetful'))
    disk.previewer = (which, ops) => { this.guarded(() => { this.oracles.beforeLog(which, ops, isPd) }) }
    disk.observer = (which, ops) => { this.guarded(() => { this.oracles.onLog(which, ops, isPd) }) }
    disk.retriesFailedSync = plants.has('P43')
    disk.syncLies = plants.has('forgetful')
    disk.quality = { ...disk.quality, inlineBytesMax: this.plan.disk.inlineBytesMax }
    return disk
  }

  #openOperator(): PdClient {
    const env = this.#machine('operator').boot()
    const hello = (): Hello => ({ protocolVersion, clusterId: 0n, role: 'client', nodeId: 0 })
    const channelFor = (address: string): RpcChannel => openChannel({ env, address, hello })
    return createPdClient({ env, addresses: this.pdAddresses, deadlineMs: 2_000, channelFor })
  }

  /** Machines on, nothing wrong yet. */
  boot(): void {
    for (const host of [...this.pdHosts, ...this.storeHosts]) host.boot()
    this.#lookLater()
  }

  /** From here on anything may fail. */
  startFaults(): void {
    this.isHealed = false
    const { stallChance, stallMeanMs } = this.plan.disk
    for (const disk of this.#disks) disk.quality = { ...disk.quality, stallChance, stallMeanMs }
    this.nemesis.start()
    this.admin.start()
    this.prober.start()
    for (const client of this.clients) client.start()
  }

  heal(): void {
    this.isHealed = true
    this.admin.stop()
    this.prober.stop()
    for (const client of this.clients) client.stop()
    this.nemesis.heal()
  }

  #lookLater(): void {
    this.scheduler.after(lookMs, () => {
      this.look()
      this.#lookLater()
    })
  }

  look(): void {
    for (const host of this.storeHosts) if (host.node.isAlive) this.oracles.look(host)
    const { pending } = this.scheduler
    const { openStreams } = this.network
    if (pending <= pendingEventsMax && openStreams <= openStreamsMax) return
    throw new OracleFailure('what is under way has a bound', file, `${pending} events, ${openStreams} streams`)
  }

  // What the cluster is like

  /** The newest leader of each region, as the stores see it. */
  leaders(): readonly PeerInfo[] {
    const best = new Map<number, PeerInfo>()
    for (const { info } of this.infos()) {
      if (info.role !== 'leader') continue
      const known = best.get(info.region.regionId)
      if (known === undefined || known.term < info.term) best.set(info.region.regionId, info)
    }
    return [...best.values()]
  }

  infos(regionId: RegionId | 0 = 0): { readonly host: StoreHost; readonly info: PeerInfo }[] {
    return this.storeHosts.flatMap(host => !host.node.isAlive || host.store === undefined ? []
      : host.store.peers(regionId).map(info => ({ host, info })))
  }

  infoOf(peerId: number): PeerInfo | undefined { return this.infos().find(({ info }) => info.peerId === peerId)?.info }
  storeIds(): readonly StoreId[] { return this.storeHosts.flatMap(host => host.identity === undefined ? [] : [host.identity.storeId]) }

  onLeaderOf(regionId: RegionId, run: (store: StoreApi, info: PeerInfo, node: SimNode) => void): void {
    const found = this.infos().filter(({ info }) => info.region.regionId === regionId && info.role === 'leader')
      .sort((left, right) => right.info.term - left.info.term)[0]
    if (found === undefined) return
    const { host, info } = found
    host.node.env?.post(this.random.exponential(1), () => { if (host.store !== undefined) run(host.store, info, host.node) })
  }

  askPd(operator: Operator): void {
    this.#operatorPd.addOperator(operator).catch((error: unknown) => {
      this.trace.event({ time: this.scheduler.now, node: 'operator', region: operator.regionId, kind: 'refused', detail: String(error) })
    })
  }

  // Ends of processes

  /** A promise of a node's process. */
  watch(node: SimNode, env: SimEnv, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (env.isDead && !(error instanceof OracleFailure)) return
      this.fatal(node, env, error)
    })
  }

  /** The process ends itself. Its disk keeps what a kill would have left; it comes back later. */
  fatal(node: SimNode, env: SimEnv, error: unknown): void {
    if (env.isDead) return
    const isExpected = error instanceof NodeKilled || (error instanceof StorageError && error.code === 'io')
    if (!isExpected) {
      this.guarded(() => { this.onCrash(node, error) })
      return
    }
    node.kill(error.message)
    this.scheduler.after(0, () => { this.onEnded(node) })
  }

  onCrash(node: SimNode, error: unknown): void {
    if (error instanceof OracleFailure) throw error
    const text = error instanceof Error ? error.stack ?? error.message : String(error)
    throw new OracleFailure('no node ends by an exception', file, `${node.name}: ${text}`)
  }

  onEnded(node: SimNode): void {
    const host = this.#storeHost(node)
    if (host !== undefined) host.store = undefined
    this.nemesis.ended(node)
  }

  onFailpoint(_node: SimNode, _name: string): void {
    if (this.isHealed || this.plan.faults.failpointKill === 0) return
    if (this.random.chance(this.plan.faults.failpointKill)) throw new NodeKilled(`fail-point ${_name}`)
  }

  networkOf(env: SimEnv): Network {
    env.onEnd(() => { this.network.ended(env, !env.node.isMachineUp) })
    return this.network.of(env)
  }

  // FaultTargets

  #storeHost(node: SimNode): StoreHost | undefined { return this.storeHosts.find(host => host.node === node) }
  diskOf(node: SimNode): SimDisk | undefined { return [...this.storeHosts, ...this.pdHosts].find(host => host.node === node)?.disk }
  restart(node: SimNode): void {
    const host = this.#storeHost(node) ?? this.pdHosts.find(one => one.node === node)
    host?.boot()
  }
  resetConnections(node: SimNode): void { this.network.reset(node) }
  leading(): SimNode | undefined {
    const leaders = this.infos().filter(({ info }) => info.role === 'leader')
    return this.random.pick(leaders)?.host.node
  }

  /** A disk may be lost when every region has three voters on machines that are there and agree on who they are. */
  mayWipe(node: SimNode): boolean {
    if (this.#storeHost(node) === undefined || this.storeHosts.some(host => !host.node.isAlive || host.store === undefined)) return false
    const infos = this.infos().map(({ info }) => info)
    const leaders = this.leaders()
    // A region without a leader says nothing of who is missing.
    if (tilingMistake(leaders.map(({ region }) => region)) !== undefined) return false
    return leaders.every(({ region }) => region.peers.length >= 3 && region.peers.every(peer => {
      const info = infos.find(one => one.peerId === peer.peerId)
      return peer.role === 'voter' && info !== undefined && sameEpoch(info.region.epoch, region.epoch) && info.lastIndex === info.applied
    }))
  }

  wipe(node: SimNode): void { this.#storeHost(node)?.wipe(this.plants.has('P47')) }

  // Verdicts

  afterEvent(): void {
    if (this.#failure === undefined) {
      this.oracles.afterEvent(this.scheduler.now, this.#disks)
      return
    }
    throw this.#failure as Error
  }

  /** An oracle's finding must not be caught by the code it watches. */
  guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#failure ??= error
    }
  }
}
