import type { Env } from '../common/env.js'
import type { RequestError, ServerError } from '../common/errors.js'
import { peerId, regionId } from '../common/ids.js'
import type { StoreId, Term } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import type { Operator, RegionBeat, SplitIds, StoreStats } from '../wire/messages.js'
import type { PdConfig } from './config.js'
import type { ClusterState, CommandResult } from './core/cluster-state.js'
import type { PdCommand } from './core/commands.js'
import { IdAllocator } from './core/id-allocator.js'
import type { Operators } from './core/operators.js'
import { RegionTree } from './core/region-tree.js'
import { StoreLiveness } from './core/store-liveness.js'
import { TsoOracle } from './core/tso.js'
import type { TsoBatch, TsoNow } from './core/tso.js'
import { Health } from './health.js'
import { ReplicaScheduler } from './replica-scheduler.js'
import { WaitQueue } from './wait-queue.js'

/** undefined: this member cannot say; somebody else may lead. */
export type Proposed = CommandResult | undefined

export interface LeadershipPort {
  readonly env: Env
  readonly config: PdConfig
  readonly plants: ReadonlySet<string>
  readonly state: () => ClusterState
  readonly hasLease: () => boolean
  /** Monotonic ms since this member heard a leader, or was it, before this leadership; undefined: not in this life. */
  readonly sinceHeardMs: number | undefined
  readonly notLeader: () => ServerError
  /** `done` runs once, in a later turn. */
  readonly propose: (command: PdCommand, done: (result: Proposed) => void) => void
}

interface Waiting<T> {
  readonly count: number
  readonly deadlineMs: number
  readonly done: (result: Result<T, ServerError>) => void
}

const invalid = (reason: string): RequestError => ({ kind: 'InvalidArgument', reason })

/** All that a leader knows beyond the replicated state. Made when a term's leader is ready, dropped with it. */
export class Leadership {
  readonly tree = new RegionTree()
  readonly liveness: StoreLiveness
  readonly scheduler: ReplicaScheduler
  readonly health: Health
  readonly #port: LeadershipPort
  readonly #config: PdConfig
  readonly #ids: IdAllocator
  readonly #tso: TsoOracle
  readonly #waitingTso: WaitQueue<Waiting<TsoBatch>>
  readonly #waitingIds: WaitQueue<Waiting<number>>
  #patrolAtMs: number
  #isOver = false
  #warnedJump = false

  constructor(port: LeadershipPort, readonly term: Term) {
    this.#port = port
    this.#config = port.config
    const nowMs = this.#nowMs
    this.liveness = new StoreLiveness(port.config, nowMs)
    const { env, config, state } = port
    const { tree, liveness } = this
    this.scheduler = new ReplicaScheduler({
      env, config, tree, liveness, stores: () => state().stores, idBound: () => state().idBound, takeId: () => this.#takeId(),
    })
    this.health = new Health({ config, tree, liveness, state, nowMs: () => this.#nowMs })
    this.#ids = new IdAllocator(port.config.idWindowIds)
    this.#tso = new TsoOracle(port.config, port.plants)
    this.#waitingTso = new WaitQueue('pd.tso', port.config.waitingMax)
    this.#waitingIds = new WaitQueue('pd.ids', port.config.waitingMax)
    this.#patrolAtMs = nowMs + port.config.patrolMs
    this.#tso.begin(port.state().tsoBoundMs, this.#now(), port.sinceHeardMs)
    this.#warnOfJump()
    this.#nameCluster()
    this.#saveTsoWindow()
    this.#askIds(0)
  }

  get #nowMs(): number { return this.#port.env.clock.monotonicMs() }
  #now(): TsoNow {
    const { clock } = this.#port.env
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  }

  get operators(): Operators { return this.scheduler.operators }
  get tso(): TsoOracle { return this.#tso }

  #nameCluster(): void {
    if (this.#port.state().clusterId !== 0n) return
    const bytes = this.#port.env.random.bytes(8)
    const drawn = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
    this.#port.propose({ kind: 'initCluster', clusterId: drawn === 0n ? 1n : drawn }, () => {})
  }

  end(): void {
    this.#isOver = true
    this.#tso.end()
    const failure = err(this.#port.notLeader())
    for (let one = this.#waitingTso.shift(); one; one = this.#waitingTso.shift()) one.done(failure)
    for (let one = this.#waitingIds.shift(); one; one = this.#waitingIds.shift()) one.done(failure)
  }

  onTick(): void {
    this.#saveTsoWindow()
    this.#warnOfJump()
    this.#serveTso()
    const nowMs = this.#nowMs
    this.#expire(this.#waitingIds, nowMs)
    if (this.#waitingIds.length > 0) this.#askIds(0)
    this.health.onTick()
    if (nowMs < this.#patrolAtMs) return
    this.#patrolAtMs = nowMs + this.#config.patrolMs
    this.scheduler.patrol(nowMs)
    this.#forgetStores()
    this.#buryEmptyStores()
  }

  onLease(): void { this.#serveTso() }

  // —— timestamps

  /** Answers at once when the window and the lease allow. */
  tsoBatch(count: number, done: (result: Result<TsoBatch, ServerError>) => void): void {
    if (this.#waitingTso.length === 0) {
      const batch = this.#issue(count)
      if (batch !== undefined) {
        done(ok(batch))
        return
      }
    }
    const deadlineMs = this.#nowMs + this.#config.waitMsMax
    if (!this.#waitingTso.push({ count, deadlineMs, done })) {
      done(err({ kind: 'ServerIsBusy', reason: 'too many requests wait for a timestamp', backoffMs: 50 }))
    }
    this.#saveTsoWindow()
  }

  #issue(count: number): TsoBatch | undefined {
    if (!this.#port.hasLease()) return undefined
    const batch = this.#tso.issue(count, this.#now())
    this.#warnOfJump()
    return batch
  }

  #warnOfJump(): void {
    if (this.#tso.forwardJumpMs > 0 === this.#warnedJump) return
    this.#warnedJump = !this.#warnedJump
    const event = this.#warnedJump ? 'pd.tso.clock-jumped-forward' : 'pd.tso.clock-believed-again'
    const { forwardJumpMs, isWallRefused } = this.#tso
    const follows = isWallRefused ? 'the monotonic clock' : 'at twice the speed of time'
    this.#port.env.log('warn', event, { aheadMs: Math.round(forwardJumpMs), ...(this.#warnedJump && { follows }) })
  }

  #serveTso(): void {
    for (let next = this.#waitingTso.peek(); next !== undefined; next = this.#waitingTso.peek()) {
      const batch = this.#issue(next.count)
      if (batch === undefined) break
      this.#waitingTso.shift()
      next.done(ok(batch))
    }
    this.#expire(this.#waitingTso, this.#nowMs)
  }

  /** Deadlines are in the order of the queue. */
  #expire<T>(queue: WaitQueue<Waiting<T>>, nowMs: number): void {
    for (let next = queue.peek(); next !== undefined && next.deadlineMs <= nowMs; next = queue.peek()) {
      queue.shift()
      next.done(err(this.#port.notLeader()))
    }
  }

  #saveTsoWindow(): void {
    if (this.#isOver) return
    const boundMs = this.#tso.windowToSave(this.#now())
    if (boundMs === undefined) return
    this.#port.propose({ kind: 'tsoWindow', boundMs }, result => {
      if (result?.ok === true) {
        this.#tso.saved(boundMs)
        this.#serveTso()
      } else {
        this.#tso.saveFailed()
      }
    })
  }

  // —— ids

  allocIds(count: number, done: (result: Result<number, ServerError>) => void): void {
    const first = this.#waitingIds.length === 0 ? this.#ids.take(count) : undefined
    if (first !== undefined) {
      done(ok(first))
    } else if (!this.#waitingIds.push({ count, deadlineMs: this.#nowMs + this.#config.waitMsMax, done })) {
      done(err({ kind: 'ServerIsBusy', reason: 'too many requests wait for ids', backoffMs: 50 }))
    }
    this.#askIds(count)
  }

  #askIds(wanted: number): void {
    if (this.#isOver) return
    const count = this.#ids.windowToAsk(Math.max(wanted, this.#waitingIds.peek()?.count ?? 0))
    if (count === undefined) return
    this.#port.propose({ kind: 'allocIds', count }, result => {
      if (result?.ok !== true) {
        this.#ids.failed()
        return
      }
      this.#ids.granted(result.value, count)
      this.#serveIds()
    })
  }

  #serveIds(): void {
    for (let next = this.#waitingIds.peek(); next !== undefined; next = this.#waitingIds.peek()) {
      const first = this.#ids.take(next.count)
      if (first === undefined) {
        this.#askIds(next.count)
        return
      }
      this.#waitingIds.shift()
      next.done(ok(first))
    }
  }

  askSplit(region: Region, count: number, done: (result: Result<readonly SplitIds[], ServerError>) => void): void {
    const known = this.tree.byId(region.regionId)
    if (known !== undefined && known.version > region.epoch.version) {
      done(err({ kind: 'EpochNotMatch', currentRegions: [known.region()] }))
      return
    }
    const each = 1 + region.peers.length
    this.allocIds(count * each, result => {
      if (!result.ok) {
        done(result)
        return
      }
      const first = result.value
      done(ok(Array.from({ length: count }, (_, i) => ({
        regionId: regionId(first + i * each),
        peerIds: region.peers.map((_peer, at) => peerId(first + i * each + 1 + at)),
      }))))
    })
  }

  // —— regions and stores

  /** Nobody has reported yet; the leader is most likely where the old region's was. */
  reportSplit(regions: readonly Region[]): void {
    const nowMs = this.#nowMs
    let leaderStore: StoreId | undefined
    for (const region of regions) leaderStore ??= this.tree.byId(region.regionId)?.leader?.storeId
    for (const region of regions) {
      this.tree.putRegion(region, region.peers.find(peer => peer.storeId === leaderStore)?.peerId ?? peerId(0), nowMs)
    }
  }

  bootstrapped(region: Region): void { this.tree.putRegion(region, region.peers[0]!.peerId, this.#nowMs) }

  storeHeartbeat(stats: StoreStats, incarnation: number): RequestError | undefined {
    const known = this.#port.state().stores.get(stats.storeId)
    if (known === undefined) return invalid(`store ${stats.storeId} is not known; it must register first`)
    if (known.state === 'tombstone') return invalid(`store ${stats.storeId} is a tombstone`)
    const bearer = this.#port.state().incarnations.get(stats.storeId) ?? 0
    if (bearer !== incarnation) {
      return invalid(`store ${stats.storeId} is borne by another process, at ${known.address}, which was started from a copy `
        + 'of this folder')
    }
    const { wallMs, monotonicMs } = this.#now()
    this.liveness.heard(stats, monotonicMs, wallMs)
    return undefined
  }

  regionHeartbeat(beats: readonly RegionBeat[]): readonly Operator[] { return this.scheduler.onBeats(beats) }

  #takeId(): number | undefined {
    const id = this.#ids.take(1)
    this.#askIds(1)
    return id
  }

  /**
   * A wish of people. An epoch of 0:0 means: as it is now. addLearner with peer id 0 gets a fresh one. What would cost the
   * region its quorum asks for isForced.
   */
  addOperator(asked: Operator, done: (result: Result<undefined, ServerError>) => void): void {
    const record = this.tree.byId(asked.regionId)
    if (record === undefined) {
      done(err({ kind: 'RegionNotFound', regionId: asked.regionId }))
      return
    }
    const epoch = { confVer: record.confVer, version: record.version }
    const isCurrent = (asked.epoch.confVer === epoch.confVer && asked.epoch.version === epoch.version)
      || (asked.epoch.confVer === 0 && asked.epoch.version === 0)
    const isForced = asked.kind !== 'splitRegion' && asked.isForced === true
    const refusal = isCurrent ? this.scheduler.refusal(asked, record, isForced) : undefined
    if (!isCurrent) done(err({ kind: 'EpochNotMatch', currentRegions: [record.region()] }))
    else if (refusal !== undefined) done(err(refusal))
    else if (asked.kind === 'addLearner' && asked.peer.peerId === 0) {
      this.allocIds(1, id => {
        if (!id.ok) done(id)
        else {
          const peer = { ...asked.peer, peerId: peerId(id.value), role: 'learner' as const }
          this.#addManual({ ...asked, epoch, peer }, done)
        }
      })
    } else this.#addManual({ ...asked, epoch }, done)
  }

  #addManual(operator: Operator, done: (result: Result<undefined, ServerError>) => void): void {
    const refusal = this.scheduler.addManual(operator)
    done(refusal === undefined ? ok(undefined) : err(refusal))
  }

  /** Why people may not bury a store, but by force. */
  burialRefusal(storeId: StoreId): RequestError | undefined {
    const reason = this.scheduler.burialRefusal(storeId)
    return reason === undefined ? undefined : invalid(reason)
  }

  /** What was heard of stores that are buried is of no use to anybody. */
  #forgetStores(): void {
    for (const store of this.#port.state().stores.values()) if (store.state === 'tombstone') this.liveness.forget(store.storeId)
  }

  /** An offline store without a region has left. Only when we know of all regions. */
  #buryEmptyStores(): void {
    for (const store of this.#port.state().stores.values()) {
      if (store.state !== 'offline' || this.tree.countsOf(store.storeId).regions > 0) continue
      if (!this.tree.coversAllKeys()) return
      this.#port.propose({ kind: 'setStoreState', storeId: store.storeId, state: 'tombstone' }, () => {})
    }
  }
}
