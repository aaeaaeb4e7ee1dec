import type { Env, Timer } from '../../src/common/env.js'
import type { RaftLog } from '../../src/engine/api.js'
import { MemRaftLog } from '../../src/engine/mem-raft-log.js'
import type { RaftLinks, RpcHandlers } from '../../src/transport/api.js'
import type { RaftEnvelope, Requests, RpcName, RpcResult } from '../../src/wire/messages.js'
import type { PdConfig } from '../../src/pd/config.js'
import { createPdNode } from '../../src/pd/pd-node.js'
import type { PdNode } from '../../src/pd/pd-node.js'

/** mulberry32 */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Event { readonly atMs: number; readonly order: number; readonly run: () => void; isCancelled: boolean }

/** Virtual time: events run in order of time, then of registration. */
export class World {
  nowMs = 1_000
  #order = 0
  #events: Event[] = []
  readonly errors: string[] = []
  readonly random: () => number
  constructor(seed: number) { this.random = dice(seed) }

  at(atMs: number, run: () => void): Timer {
    const event: Event = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run, isCancelled: false }
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#events[middle]!
      if (other.atMs < event.atMs || (other.atMs === event.atMs && other.order < event.order)) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
    return { cancel: () => { event.isCancelled = true } }
  }

  runFor(ms: number): void {
    const end = this.nowMs + ms
    while (this.#events.length > 0 && this.#events[0]!.atMs <= end) {
      const event = this.#events.shift()!
      this.nowMs = event.atMs
      if (!event.isCancelled) event.run()
    }
    this.nowMs = end
  }

  /** Runs until `condition`, at most `msMax`. */
  until(condition: () => boolean, msMax = 10_000): boolean {
    for (let waited = 0; waited <= msMax; waited += 1) {
      if (condition()) return true
      this.runFor(1)
    }
    return condition()
  }

  below(bound: number): number { return Math.floor(this.random() * bound) }
}

export interface NodeClock { wallOffsetMs: number; rate: number }

/** An Env that dies: nothing runs after kill(). */
export class TestEnv implements Env {
  isDead = false
  readonly clockState: NodeClock = { wallOffsetMs: 1_700_000_000_000, rate: 1 }
  constructor(readonly world: World, readonly name: string) {}

  readonly clock = {
    monotonicMs: (): number => this.world.nowMs,
    wallMs: (): number => Math.floor(this.world.nowMs * this.clockState.rate + this.clockState.wallOffsetMs),
  }
  readonly random = {
    float: (): number => this.world.random(),
    below: (bound: number): number => this.world.below(bound),
    bytes: (count: number): Uint8Array => Uint8Array.from({ length: count }, () => this.world.below(256)),
  }
  get network(): never { throw new Error('no network in this test') }
  setTimer(delayMs: number, run: () => void): Timer {
    return this.world.at(this.world.nowMs + delayMs, () => { if (!this.isDead) run() })
  }
  defer(run: () => void): void { this.setTimer(0, run) }
  log(level: string, event: string, fields?: object): void {
    if (level === 'error') this.world.errors.push(`${this.name} ${event} ${JSON.stringify(fields)}`)
  }
  failpoint(): void {}
}

/** A disk that survives its process. What is not synced is lost by a crash, from some point on. */
export class TestDisk {
  syncMs = 1
  #log: MemRaftLog | undefined

  open(env: TestEnv): RaftLog {
    const options = {
      schedule: (run: () => void): void => { env.setTimer(this.syncMs * (0.5 + env.world.random()), run) },
    }
    if (this.#log === undefined) this.#log = new MemRaftLog(options)
    else this.#log.reopen(options)
    return this.#log
  }

  /** @param keep the share of what was not durable that turns out to be */
  crash(keep: number): void { this.#log?.crash(Math.floor(keep * (this.#log.pendingCount + 1))) }
}

export interface Member {
  readonly memberId: number
  readonly disk: TestDisk
  env: TestEnv
  node: PdNode | undefined
  wallOffsetMs: number
}

/** Some PD members over links that lose, delay and may be cut. */
export class Group {
  readonly members: Member[]
  readonly cut = new Set<string>()
  delayMs = 2
  loss = 0
  /** Messages of these types are lost. */
  readonly lostTypes = new Set<number>()

  constructor(readonly world: World, count: number, readonly config: Partial<PdConfig> = {},
    readonly plants = new Set<string>()) {
    this.members = Array.from({ length: count }, (_, i) => ({
      memberId: i + 1, disk: new TestDisk(), env: new TestEnv(world, `pd-${i + 1}`), node: undefined,
        wallOffsetMs: 1.7e12,
    }))
  }

  start(member: Member): PdNode {
    const env = new TestEnv(this.world, `pd-${member.memberId}`)
    env.clockState.wallOffsetMs = member.wallOffsetMs
    member.env = env
    const node = createPdNode({
      env, name: env.name, memberId: member.memberId, raftLog: member.disk.open(env),
        peerLinks: this.#links(member),
      members: this.members.map(({ memberId }) => ({
        name: `pd-${memberId}`, memberId, clientUrls: [`http://pd-${memberId}:2379`],
          peerUrls: [`http://pd-${memberId}:2380`],
      })),
      config: this.config, plants: this.plants,
        onFatal: error => { this.world.errors.push(`${env.name} ${error.stack}`) },
    })
    member.node = node
    node.start()
    return node
  }

  startAll(): void { for (const member of this.members) this.start(member) }

  kill(member: Member, keep = this.world.random()): void {
    member.env.isDead = true
    member.node = undefined
    member.disk.crash(keep)
    for (const other of this.members) other.node?.onLinkDown(member.memberId)
  }

  #links(from: Member): RaftLinks {
    return {
      send: (to, envelope) => {
        if (this.lostTypes.has(envelope.message.type)) return true
        if (this.cut.has(`${from.memberId}>${to}`) || this.world.random() < this.loss) return true
        this.#deliver(to, envelope)
        return true
      },
      flush: () => {},
    }
  }

  #deliver(to: number, envelope: RaftEnvelope): void {
    const target = this.members[to - 1]!
    this.world.at(this.world.nowMs + this.delayMs * (0.2 + this.world.random()),
      () => { target.node?.onRaft(envelope) })
  }

  setWall(member: Member, offsetMs: number): void {
    member.wallOffsetMs = offsetMs
    member.env.clockState.wallOffsetMs = offsetMs
  }

  get leader(): Member | undefined {
    const leaders = this.members.filter(member => member.node?.hasLease === true)
    return leaders.length === 1 ? leaders[0] : undefined
  }

  awaitLeader(): Member {
    const serves = (): boolean => this.leader?.node?.leadership !== undefined && this.leader.node.clusterId !== 0n
    if (!this.world.until(serves)) throw new Error('no leader')
    return this.leader!
  }
}

export interface Asked<N extends RpcName> { result: RpcResult<N> | undefined }

export function ask<N extends RpcName>(handlers: RpcHandlers, name: N, request: Requests[N]): Asked<N> {
  const asked: Asked<N> = { result: undefined }
  const handler = handlers[name]
  if (handler === undefined) throw new Error(`no handler for ${name}`)
  handler(request, result => {
    if (asked.result !== undefined) throw new Error(`${name} was answered twice`)
    asked.result = result
  }, { remote: 'test', role: 'client', nodeId: 0, arrivedAtMs: 0 })
  return asked
}

/** Asks the leader and runs the world until it has answered. */
export function must<N extends RpcName>(group: Group, name: N, request: Requests[N]): RpcResult<N> {
  const asked = ask(group.awaitLeader().node!.server.handlers, name, request)
  if (!group.world.until(() => asked.result !== undefined)) throw new Error(`${name} was never answered`)
  return asked.result!
}

export function mustOk<N extends RpcName>(group: Group, name: N, request: Requests[N]): Extract<RpcResult<N>,
  { ok: true }>['value'] {
  const result = must(group, name, request)
  if (!result.ok) throw new Error(`${name}: ${JSON.stringify(result.error)}`)
  return result.value
}
