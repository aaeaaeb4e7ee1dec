import type { Network } from '../../common/env.js'
import type { RegionIndex } from '../../engine/region-index.js'
import type { Entry, Message, NodeId } from '../../raft/types.js'
import type { ConfChangeV2 } from '../../raft/raw-node.js'
import { NodeKilled, OracleFailure } from '../failure.js'
import type { FaultPlan, FaultTargets } from '../faults.js'
import { drawFaults, Nemesis } from '../faults.js'
import { SimHistory } from '../history.js'
import { Links } from '../links.js'
import type { SimRandom } from '../random.js'
import { Scheduler } from '../scheduler.js'
import { SimDisk } from '../sim-disk.js'
import { SimNode } from '../sim-env.js'
import type { SimEnv, SimWorld } from '../sim-env.js'
import type { Trace } from '../trace.js'
import { Admin, hasPendingChange } from './admin.js'
import { Clients } from './clients.js'
import { Machine } from './machine.js'
import type { CommandResult } from './machine.js'
import { RaftLevelOracles } from './oracles.js'
import { isMember, RaftPeer, theRegion } from './peer.js'
import { describeMessage } from '../describe-message.js'
import type { PeerDisk, PeerEvents, PeerLimits } from './peer.js'

const namingMsMax = 2_000
/** Below (leaseTicks - 1) ticks by more than two clocks drift apart. */
const leaseMs = 500

/** A machine that may host one peer. */
export interface Slot {
  readonly node: SimNode
  stored: PeerDisk
  peerId: NodeId | undefined
  peer: RaftPeer | undefined
  env: SimEnv | undefined
}

export interface RaftLevelPlan {
  readonly machines: number
  readonly voters: number
  readonly safetyMs: number
  readonly faults: FaultPlan
  readonly limits: PeerLimits
  readonly clients: number
  readonly keys: number
  readonly thinkMs: number
  readonly adminMeanMs: number
  readonly transfers: boolean
  readonly changes: boolean
}

export function drawRaftLevel(random: SimRandom): RaftLevelPlan {
  const voters = random.pick([3, 3, 3, 3, 3, 4, 5, 5, 2, 1])!
  return {
    machines: voters + random.below(3), voters, safetyMs: Math.round(random.between(6_000, 24_000)), faults: drawFaults(random),
    limits: {
      tickMs: 100, heartbeatTicks: 2, electionTicks: 15, leaseTicks: 7, leaseMs,
      messageBytesMax: random.pick([0, 60, 400, 1 << 16])!, inflightMax: random.pick([1, 2, 8, 256])!,
      committedBytesMax: random.pick([0, 200, 1 << 16])!, logKeep: random.pick([0, 3, 20, 1_000])!,
      flushMs: random.pick([100, 500, 3_000])!, applyMs: random.pick([0.1, 0.1, 5])!,
    },
    clients: 2 + random.below(4), keys: 1 + random.below(3), thinkMs: random.pick([20, 60, 150])!,
    adminMeanMs: Math.round(random.between(300, 3_000)), transfers: random.chance(0.5), changes: random.chance(0.6),
  }
}

/** One raft group on simulated machines: logs, links, clocks and clients, no store and no wire. */
export class RaftLevel implements SimWorld, FaultTargets, PeerEvents {
  readonly scheduler: Scheduler
  readonly links: Links
  readonly history = new SimHistory()
  readonly oracles = new RaftLevelOracles({
    leaseMs, durableOf: id => this.#durableOf(id), onLeader: peer => { this.nemesis.onLeader(this.#slotOf.get(peer.peerId)!.node) },
  })
  readonly slots: Slot[] = []
  readonly nodes: readonly SimNode[]
  readonly nemesis: Nemesis
  readonly clients: Clients
  readonly admin: Admin
  readonly clientTimeoutMs = 2_500
  #failure: unknown
  #nextPeerId = 100
  readonly #slotOf = new Map<number, Slot>()
  readonly #gone = new Set<number>()
  /** The change that names a new peer may still be on its way to the leader. */
  readonly #bornAt = new Map<number, number>()

  constructor(readonly plan: RaftLevelPlan, readonly random: SimRandom, readonly trace: Trace,
    readonly plants: ReadonlySet<string>) {
    this.scheduler = new Scheduler(random.fork('scheduler'))
    this.links = new Links(random.fork('links'))
    this.nodes = Array.from({ length: plan.machines }, (_, at) => new SimNode(this, `n${at + 1}`))
    this.nemesis = new Nemesis(plan.faults, this, this.scheduler, random.fork('nemesis'), (kind, detail) => {
      this.trace.event({ time: this.scheduler.now, node: 'nemesis', region: 0, kind, detail })
    })
    this.clients = new Clients(this, plan.clients, Array.from({ length: plan.keys }, (_, at) => `k${at}`), plan.thinkMs)
    this.admin = new Admin(this, plan.adminMeanMs, plan.transfers, plan.changes)
  }

  start(): void {
    const needsHistory = this.plants.has('P43') || this.plants.has('forgetful')
    for (const node of this.nodes) {
      const disk = new SimDisk(node.name, this.random.fork(`disk-${node.name}`), needsHistory)
      disk.previewer = (which, ops) => { this.guarded(() => { this.oracles.beforeLog(which, ops) }) }
      disk.observer = (which, ops) => { this.guarded(() => { this.oracles.onLog(which, ops) }) }
      disk.retriesFailedSync = this.plants.has('P43')
      disk.syncLies = this.plants.has('forgetful')
      this.slots.push({ node, stored: { disk, flushed: new Machine() }, peerId: undefined, peer: undefined, env: undefined })
    }
    const first = this.slots.slice(0, this.plan.voters)
    const voters = first.map((_, at) => (at + 1) as NodeId)
    for (const [at, slot] of first.entries()) this.#bootstrap(slot, voters[at]!, voters)
    for (const slot of first) this.restart(slot.node)
    this.nemesis.start()
    this.clients.start()
    if (this.plan.changes || this.plan.transfers) this.admin.start()
  }

  /** Born with a snapshot at (5, 5), so that newcomers always need one. */
  #bootstrap(slot: Slot, id: NodeId, voters: readonly NodeId[]): void {
    const machine = new Machine()
    machine.index = machine.term = 5
    machine.conf = { ...machine.conf, voters }
    slot.stored.flushed = machine
    this.#assign(slot, id)
  }

  #assign(slot: Slot, id: NodeId): void {
    slot.peerId = id
    this.#slotOf.set(id, slot)
  }

  restart(node: SimNode): void {
    const slot = this.#slot(node)
    if (node.isAlive) return
    const env = node.boot()
    slot.env = env
    if (slot.peerId === undefined) return
    node.enter(env, () => {
      slot.peer = undefined
      slot.peer = new RaftPeer(slot.peerId!, env, slot.stored, this.plan.limits, this, this.plants)
    })
  }

  #slot(node: SimNode): Slot { return this.slots.find(slot => slot.node === node)! }
  peers(): RaftPeer[] {
    return this.slots.flatMap(slot => slot.node.isAlive && slot.peer !== undefined && slot.peerId === slot.peer.peerId ? [slot.peer] : [])
  }

  leader(): RaftPeer | undefined {
    const leaders = this.peers().filter(peer => peer.node.role === 'leader')
    return leaders.sort((left, right) => right.node.term - left.node.term)[0]
  }

  /** A request of a client or operator reaches the peer after a moment, if it is still that life. */
  onPeer(peer: RaftPeer, run: () => void): void {
    const slot = this.#slotOf.get(peer.peerId)
    slot?.env?.post(this.random.exponential(0.5), () => { if (slot.peer === peer) run() })
  }

  proposeChange(leader: RaftPeer, change: ConfChangeV2): void {
    this.onPeer(leader, () => {
      const result = leader.proposeConfChange(change)
      const text = change.changes.map(one => `${one.type} ${one.nodeId}`).join(', ')
      this.#slotOf.get(leader.peerId)?.node.note('change', `${text || 'leave joint'} (${change.transition}): ${result}`, theRegion)
    })
  }

  isGone(id: number): boolean { return this.#gone.has(id) }
  freeSlot(): Slot | undefined {
    return this.random.pick(this.slots.filter(slot => slot.peerId === undefined && slot.node.isAlive && !slot.node.isPaused))
  }

  /** A new peer with a new id and nothing on its disk. */
  createPeer(slot: Slot): NodeId {
    const id = this.#nextPeerId++ as NodeId
    this.#bornAt.set(id, this.scheduler.now)
    slot.stored = { disk: slot.stored.disk, flushed: new Machine() }
    slot.stored.disk.wipe()
    this.#assign(slot, id)
    const env = slot.env!
    env.post(1, () => { slot.peer = new RaftPeer(id, env, slot.stored, this.plan.limits, this, this.plants) })
    return id
  }

  // PeerEvents
  send(peer: RaftPeer, message: Message): void {
    this.guarded(() => { this.oracles.onSent(peer, message, this.scheduler.now) })
    const from = this.#slotOf.get(peer.peerId)!
    const to = this.#slotOf.get(message.to)
    this.trace.mix(message.type * 65_599 + message.term * 31 + message.index)
    if (this.trace.print !== undefined) {
      this.trace.say({ time: this.scheduler.now, node: from.node.name, region: theRegion, kind: 'send', detail: describeMessage(message) })
    }
    if (to === undefined || to === from) return
    const { now } = this.scheduler
    for (const at of this.links.copies(from.node.name, to.node.name, now)) {
      this.scheduler.at(at, () => {
        if (this.links.isCut(from.node.name, to.node.name)) return
        const { env } = to
        if (env === undefined || env.isDead) return
        to.node.enter(env, () => { if (to.peer?.peerId === message.to) to.peer.step(message) })
      })
    }
  }

  applied(peer: RaftPeer, entry: Entry): void {
    this.guarded(() => { this.oracles.onApplied(peer, entry) })
  }
  completed(id: number, result: CommandResult): void { this.clients.completed(id, result) }
  readReady(id: number, peer: RaftPeer): void { this.clients.readReady(id, peer) }

  /**
   * A peer that was removed stays until somebody leads without it: the others may need its vote before they have heard of
   * the removal (a leader that removes itself is the last one who knows).
   */
  removed(peer: RaftPeer): void {
    const slot = this.#slotOf.get(peer.peerId)
    if (slot === undefined || slot.peer !== peer || this.#gone.has(peer.peerId)) return
    this.#gone.add(peer.peerId)
    slot.node.note('removed', `peer ${peer.peerId}`, theRegion)
    const look = (): void => {
      if (slot.peerId !== peer.peerId) return
      const leader = this.leader()
      const isSettled = leader !== undefined && !isMember(leader.machine.conf, peer.peerId) &&
        leader.machine.term === leader.node.term && !hasPendingChange([leader])
      if (isSettled) this.#retire(slot)
      else this.scheduler.after(300, look)
    }
    this.scheduler.after(300, look)
  }

  #retire(slot: Slot): void {
    // A change that names it may still be on its way to the leader.
    if (slot.peerId !== undefined) this.#gone.add(slot.peerId)
    slot.peerId = undefined
    slot.peer = undefined
    if (!slot.node.isAlive) return
    slot.node.kill('peer removed')
    slot.stored.disk.wipe()
    this.restart(slot.node)
  }

  fatal(_peer: RaftPeer, error: Error): void { throw new NodeKilled(error.message) }

  // SimWorld
  networkOf(): Network {
    return {
      listen: () => Promise.reject(new Error('raft-level peers have no network')),
      dial: () => { throw new Error('raft-level peers have no network') },
    }
  }
  onFailpoint(): void {}
  onEnded(node: SimNode): void {
    this.#slot(node).peer = undefined
    this.nemesis.ended(node)
  }
  onCrash(node: SimNode, error: unknown): void {
    if (error instanceof OracleFailure) throw error
    const text = error instanceof Error ? error.stack ?? error.message : String(error)
    throw new OracleFailure('no node ends by an exception', 'sim/raft-level/world.ts', `${node.name}: ${text}`, [theRegion])
  }

  /** An oracle's finding must not be caught by the code it watches. */
  guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#failure ??= error
    }
  }

  #durableOf(id: number): RegionIndex | undefined {
    const slot = this.#slotOf.get(id)
    return slot === undefined || slot.peerId !== id || this.#gone.has(id) ? undefined : slot.stored.disk.durable
  }

  // FaultTargets
  readonly bystanders = []
  leading(): SimNode | undefined {
    const leader = this.leader()
    return leader === undefined ? undefined : this.#slotOf.get(leader.peerId)?.node
  }
  diskOf(node: SimNode): SimDisk | undefined { return this.#slot(node).stored.disk }
  resetConnections(): void {}
  mayWipe(node: SimNode): boolean {
    const slot = this.#slot(node)
    const peers = this.peers()
    const conf = this.leader()?.machine.conf
    if (slot.peerId === undefined || conf === undefined || conf.votersOutgoing.length > 0 || conf.voters.length < 3) return false
    if (conf.voters.some(id => this.#gone.has(id)) || peers.length < conf.voters.length + conf.learners.length) return false
    const text = JSON.stringify(conf)
    return peers.every(peer => JSON.stringify(peer.machine.conf) === text) && !hasPendingChange(peers)
  }
  wipe(node: SimNode): void {
    const slot = this.#slot(node)
    slot.stored.disk.wipe()
    slot.peer = undefined
    const id = slot.peerId
    if (id === undefined) return
    if (this.plants.has('P47')) {
      // Comes back under its old name, with nothing but the list of members.
      const machine = new Machine()
      machine.index = machine.term = 5
      machine.conf = { ...machine.conf, voters: this.leader()?.machine.conf.voters ?? [1 as NodeId, 2 as NodeId, 3 as NodeId] }
      slot.stored = { disk: slot.stored.disk, flushed: machine }
      return
    }
    slot.stored = { disk: slot.stored.disk, flushed: new Machine() }
    slot.peerId = undefined
    this.#gone.add(id)
  }

  afterEvent(): void {
    this.oracles.afterEvent(this.peers(), this.scheduler.now)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** After healing: replaces lost members, leaves joint states, retires whom the configuration no longer names. */
  mend(): void {
    const leader = this.leader()
    if (leader === undefined) return
    const { conf } = leader.machine
    for (const slot of this.slots) {
      const id = slot.peerId
      const isNew = this.scheduler.now - (this.#bornAt.get(id ?? 0) ?? -Infinity) < namingMsMax
      if (id !== undefined && !isNew && !isMember(conf, id) && !hasPendingChange([leader])) this.#retire(slot)
    }
    const lost = conf.voters.concat(conf.learners).find(id => this.#gone.has(id))
    if (conf.votersOutgoing.length > 0) {
      this.proposeChange(leader, { changes: [], transition: 'auto', context: new Uint8Array(0) })
    } else if (lost !== undefined) {
      this.proposeChange(leader, { changes: [{ type: 'removeNode', nodeId: lost }], transition: 'auto', context: new Uint8Array(0) })
    }
  }

  /** Is everyone who belongs to the group at one index with the same history? Says what is missing. */
  unconverged(): string | undefined {
    const leader = this.leader()
    if (leader === undefined) return 'nobody leads'
    const { conf, index, history } = leader.machine
    if (index < leader.node.lastIndex) return `the leader has applied ${index} of ${leader.node.lastIndex}`
    for (const id of conf.voters.concat(conf.learners, conf.votersOutgoing)) {
      const peer = this.peers().find(one => one.peerId === id)
      if (peer === undefined) return `peer ${id} is not there`
      if (peer.machine.index !== index) return `peer ${id} is at ${peer.machine.index}, the leader ${leader.peerId} at ${index}`
      if (peer.machine.history !== history) {
        throw new OracleFailure('replicas are equal after healing', 'sim/raft-level/world.ts',
          `peers ${id}, ${leader.peerId} at ${index}`, [1])
      }
    }
    return undefined
  }
}
