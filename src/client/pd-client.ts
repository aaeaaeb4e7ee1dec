import { unreachable } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { ServerError } from '../common/errors.js'
import { composeTs } from '../common/ids.js'
import type { RegionId, StoreId, Ts } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { PdRefusedError, PdUnavailableError } from '../pd/api.js'
import type { PdClient, StoreBearer } from '../pd/api.js'
import type { RpcChannel } from '../transport/api.js'
import type { ClusterHealth, Member, Operator, RegionBeat, RegionRoute, Requests, Responses, RouteAnswer, RpcName, StoreMeta,
  StoreStats } from '../wire/messages.js'

export interface PdClientOptions {
  readonly env: Env
  /** Any members' client addresses, `host:port` or URLs; the rest is learnt from them. */
  readonly addresses: readonly string[]
  /** One channel per address; the client closes those that it asked for. */
  readonly channelFor: (address: string) => RpcChannel
  /** How long a call tries before it rejects. Default 15 s. */
  readonly deadlineMs?: number
  /** How long one attempt waits for its answer. Default 3 s. */
  readonly attemptMs?: number
  /**
   * A leader was found, for the first time or after one was lost, also when it is the same as before: it may have
   * restarted and know nothing of regions and of who lives. Stores then send all heartbeats.
   */
  readonly onLeaderFound?: (address: string) => void
}

const defaultDeadlineMs = 15_000
const defaultAttemptMs = 3_000
const backoffMsMin = 20
/** What goes on happening is said again after so long. */
const warnAgainMs = 30_000
const backoffMsMax = 250
/** As TiKV's clients: more per request gains nothing. */
const tsoBatchMax = 10_000

/** `http://host:port/` → `host:port` */
export const addressOf = (url: string): string => url.replace(/^[a-z]+:\/\//, '').replace(/\/.*$/, '')

type Attempt<N extends RpcName> =
  | { readonly kind: 'answer'; readonly value: Responses[N] }
  | { readonly kind: 'refused'; readonly error: ServerError }
  | { readonly kind: 'retry'; readonly reason: string; readonly lostLeader: boolean }

interface TsoWaiter {
  readonly count: number
  readonly resolve: (first: Ts) => void
  readonly reject: (error: Error) => void
}

export function createPdClient(options: PdClientOptions): PdClient { return new RemotePdClient(options) }

/**
 * PD over RPC. Every request of PdClient may be repeated safely, so whatever fails is tried again, at the leader
 * that the
 * members name, with jittered back-off, until the deadline.
 */
class RemotePdClient implements PdClient {
  readonly #env: Env
  readonly #options: PdClientOptions
  readonly #deadlineMs: number
  readonly #attemptMs: number
  readonly #channels = new Map<string, RpcChannel>()
  #addresses: string[]
  #leader: string | undefined
  /** Believed last when several are named: a member that is cut off from the others still thinks that it leads. */
  #failedLeader: string | undefined
  #clusterId = 0n
  #warnedOtherAtMs = Number.NEGATIVE_INFINITY
  #search: Promise<boolean> | undefined
  /** Members that answered the last search, whatever they said. */
  #answering = new Set<string>()
  #isClosed = false
  #onClose = new Set<() => void>()
  #tsoWaiting: TsoWaiter[] = []
  #isTsoDeferred = false
  #lastTs = 0n as Ts

  constructor(options: PdClientOptions) {
    this.#options = options
    this.#env = options.env
    this.#deadlineMs = options.deadlineMs ?? defaultDeadlineMs
    this.#attemptMs = options.attemptMs ?? defaultAttemptMs
    this.#addresses = [...new Set(options.addresses.map(addressOf))]
    if (this.#addresses.length === 0) throw new Error('no PD address was given')
  }

  get clusterId(): bigint { return this.#clusterId }

  #channel(address: string): RpcChannel {
    let channel = this.#channels.get(address)
    if (channel === undefined) this.#channels.set(address, channel = this.#options.channelFor(address))
    return channel
  }

  get #nowMs(): number { return this.#env.clock.monotonicMs() }

  // —— one request

  async #call<N extends RpcName>(name: N, request: Requests[N]): Promise<Responses[N]> {
    const deadlineMs = this.#nowMs + this.#deadlineMs
    let reason: string | undefined
    for (let failures = 0; !this.#isClosed;) {
      const leader = this.#leader
      const attempt: Attempt<N> = leader === undefined
        ? { kind: 'retry', reason: '', lostLeader: false }
        : await this.#attempt(leader, name, request, deadlineMs)
      if (attempt.kind === 'answer') return attempt.value
      if (attempt.kind === 'refused') throw new PdRefusedError(name, attempt.error)
      if (leader !== undefined) reason = attempt.reason
      if (attempt.lostLeader) this.#forget(leader)
      if (this.#nowMs >= deadlineMs) break
      if (this.#leader === undefined && await this.#findLeader() && failures === 0) {
        failures++
        continue
      }
      await this.#sleep(Math.min(this.#backoffMs(failures++), deadlineMs - this.#nowMs))
    }
    throw new PdUnavailableError(this.#isClosed ? `${name}: the PD client is closed` : `${name}: ${reason ?? this.#whyNoLeader}`)
  }

  get #whyNoLeader(): string {
    return this.#answering.size === 0 ? 'no PD member answers' : `${[...this.#answering].join(', ')} answers, but no member of PD leads`
  }

  async #attempt<N extends RpcName>(
    address: string, name: N, request: Requests[N], deadlineMs: number,
  ): Promise<Attempt<N>> {
    const timeoutMs = Math.max(1, Math.min(this.#attemptMs, deadlineMs - this.#nowMs))
    const answer = await this.#channel(address).call(name, request, { timeoutMs })
    if (!answer.answered) {
      return { kind: 'retry', reason: `${address}: ${answer.failure.kind} ${answer.failure.reason}`, lostLeader: true }
    }
    const { result } = answer
    if (result.ok) return { kind: 'answer', value: result.value as Responses[N] }
    return classify(address, result.error)
  }

  #backoffMs(failures: number): number {
    const most = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(failures, 10))
    return most * (0.5 + 0.5 * this.#env.random.float())
  }

  /** Ends early when the client is closed. */
  #sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        timer.cancel()
        this.#onClose.delete(wake)
        resolve()
      }
      const timer = this.#env.setTimer(Math.max(1, delayMs), wake)
      this.#onClose.add(wake)
    })
  }

  // —— the leader

  /** Only if it is still the one that failed: somebody may have found a new one meanwhile. */
  #forget(leader: string | undefined): void {
    if (this.#leader !== leader) return
    this.#leader = undefined
    this.#failedLeader = leader
  }

  /** One search at a time, for whoever needs it. @returns was one found? */
  #findLeader(): Promise<boolean> {
    this.#search ??= this.#searchLeader().finally(() => { this.#search = undefined })
    return this.#search
  }

  /** Asks all known members at once; the first answer that names a leader counts, but for the one that just failed. */
  async #searchLeader(): Promise<boolean> {
    const asked = [...this.#addresses]
    const timeoutMs = Math.min(this.#attemptMs, 1_000)
    const answering = this.#answering = new Set()
    return await new Promise<boolean>(resolve => {
      let left = asked.length
      let second: string | undefined
      for (const address of asked) {
        this.#channel(address).send('GetMembers', {}, { timeoutMs }, answer => {
          const named = !this.#isClosed && answer.answered && answer.result.ok
            ? this.#learn(address, answer.result.value)
            : undefined
          left--
          if (answer.answered) answering.add(address)
          if (named !== undefined && named !== this.#failedLeader) this.#follow(named)
          else second ??= named
          if (left === 0 && second !== undefined) this.#follow(second)
          if (this.#leader !== undefined) resolve(true)
          else if (left === 0) resolve(false)
        })
      }
    })
  }

  #follow(address: string): void {
    if (this.#leader !== undefined) return
    this.#leader = address
    this.#options.onLeaderFound?.(address)
  }

  /** @returns the leader's address, if the answer names one */
  #learn(from: string, answer: Responses['GetMembers']): string | undefined {
    // A group without an id has not had a leader yet.
    if (answer.clusterId === 0n) return undefined
    if (this.#clusterId !== 0n && this.#clusterId !== answer.clusterId) {
      this.#warnOther(from, answer.clusterId)
      return undefined
    }
    this.#clusterId = answer.clusterId
    for (const member of answer.members) {
      for (const url of member.clientUrls) {
        if (!this.#addresses.includes(addressOf(url))) this.#addresses.push(addressOf(url))
      }
    }
    const leader = answer.members.find(member => member.isLeader)
    if (leader === undefined) return undefined
    const urls = leader.clientUrls.map(addressOf)
    // A sole member that does not know its own address is where we asked.
    return urls.includes(from) ? from : urls[0] ?? (answer.members.length === 1 ? from : undefined)
  }

  /** Members are asked several times a second while there is no leader. */
  #warnOther(address: string, theirs: bigint): void {
    const isDue = this.#nowMs - this.#warnedOtherAtMs >= warnAgainMs
    if (isDue) this.#warnedOtherAtMs = this.#nowMs
    this.#env.log(isDue ? 'warn' : 'debug', 'pd-client.other-cluster', { address, ours: this.#clusterId, theirs })
  }

  // —— timestamps

  tso(count: number): Promise<Ts> {
    if (!Number.isSafeInteger(count) || count < 1 || count > tsoBatchMax) {
      const reason = `count of timestamps must be in [1, ${tsoBatchMax}], not ${count}`
      return Promise.reject(new PdRefusedError('Tso', { kind: 'InvalidArgument', reason }))
    }
    return new Promise((resolve, reject) => {
      this.#tsoWaiting.push({ count, resolve, reject })
      if (this.#isTsoDeferred) return
      this.#isTsoDeferred = true
      this.#env.defer(() => {
        this.#isTsoDeferred = false
        this.#sendTso()
      })
    })
  }

  /** All that waits, in as few requests as fit; earlier requests may still be under way. */
  #sendTso(): void {
    const waiting = this.#tsoWaiting
    this.#tsoWaiting = []
    for (let at = 0; at < waiting.length;) {
      const batch: TsoWaiter[] = []
      let count = 0
      while (at < waiting.length && count + waiting[at]!.count <= tsoBatchMax) {
        count += waiting[at]!.count
        batch.push(waiting[at++]!)
      }
      this.#tsoBatch(batch, count).catch((error: unknown) => {
        for (const waiter of batch) waiter.reject(error instanceof Error ? error : new Error(String(error)))
      })
    }
  }

  async #tsoBatch(batch: readonly TsoWaiter[], count: number): Promise<void> {
    const above = this.#lastTs
    const answer = await this.#call('Tso', { count })
    if (answer.count !== count) throw new PdUnavailableError(`Tso: asked for ${count} timestamps, got ${answer.count}`)
    let next = composeTs(answer.physicalMs, answer.logical - count + 1)
    if (next <= above) {
      // Whoever got one of these would read the past. Nothing above us could know.
      this.#env.log('error', 'pd-client.tso-went-back', { before: above, now: next })
      throw new PdUnavailableError(`Tso: went back from ${above} to ${next}`)
    }
    for (const waiter of batch) {
      waiter.resolve(next)
      next = (next + BigInt(waiter.count)) as Ts
    }
    if (next - 1n > this.#lastTs) this.#lastTs = (next - 1n) as Ts
  }

  // —— the rest of PdClient

  async getMembers(): Promise<readonly Member[]> {
    return (await this.#call('GetMembers', {})).members
  }

  async isBootstrapped(): Promise<boolean> { return (await this.#call('IsBootstrapped', {})).bootstrapped }

  async bootstrap(store: StoreMeta, region: Region): Promise<boolean> {
    return (await this.#call('Bootstrap', { store, region })).bootstrapped
  }

  async allocIds(count: number): Promise<number> { return (await this.#call('AllocId', { count })).first }

  async putStore(store: StoreMeta, force = false, bearer?: StoreBearer): Promise<void> {
    await this.#call('PutStore', { store, force, incarnation: bearer?.incarnation ?? 0, previous: bearer?.previous ?? [] })
  }

  async getStores(): Promise<readonly StoreMeta[]> { return (await this.#call('GetStores', {})).stores }

  async storeHeartbeat(stats: StoreStats, incarnation = 0): Promise<Responses['StoreHeartbeat']> {
    return await this.#call('StoreHeartbeat', { stats, incarnation })
  }

  async regionHeartbeat(beats: readonly RegionBeat[]): Promise<readonly Operator[]> {
    return (await this.#call('RegionHeartbeat', { beats })).operators
  }

  async askSplit(region: Region, count: number): Promise<Responses['AskSplit']['ids']> {
    return (await this.#call('AskSplit', { region, count })).ids
  }

  async reportSplit(regions: readonly Region[]): Promise<void> { await this.#call('ReportSplit', { regions }) }

  async getRegion(key: Uint8Array): Promise<Responses['GetRegion']['route']> {
    return routeOf(await this.#call('GetRegion', { key }))
  }

  async getPreviousRegion(key: Uint8Array): Promise<Responses['GetPreviousRegion']['route']> {
    return routeOf(await this.#call('GetPreviousRegion', { key }))
  }

  async getRegionById(regionId: RegionId): Promise<Responses['GetRegionById']['route']> {
    return routeOf(await this.#call('GetRegionById', { regionId }))
  }

  async scanRegions(start: Uint8Array, end: Uint8Array, limit: number): Promise<Responses['ScanRegions']['routes']> {
    const { routes, heardStoreIds, heardMsAgo } = await this.#call('ScanRegions', { start, end, limit })
    return routes.map((route, at) => withHeard(route, heardStoreIds[at] ?? 0, heardMsAgo[at] ?? 0))
  }

  async replaceMember(name: string, peerUrls: readonly string[]): Promise<number> {
    return (await this.#call('ReplaceMember', { name, peerUrls })).memberId
  }

  async addOperator(operator: Operator): Promise<void> { await this.#call('AddOperator', { operator }) }

  async getHealth(): Promise<ClusterHealth> { return await this.#call('GetHealth', {}) }

  /** Calls under way reject. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const wake of [...this.#onClose]) wake()
    for (const channel of this.#channels.values()) channel.close()
  }
}

const routeOf = ({ route, heardStoreId, heardMsAgo }: RouteAnswer): RegionRoute | undefined =>
  route && withHeard(route, heardStoreId, heardMsAgo)

function withHeard(route: RegionRoute, storeId: StoreId | 0, msAgo: number): RegionRoute {
  return storeId === 0 ? route : { ...route, heard: { storeId, msAgo } }
}

function classify(address: string, error: ServerError): { kind: 'refused'; error: ServerError }
  | { kind: 'retry'; reason: string; lostLeader: boolean } {
  switch (error.kind) {
    case 'NotLeader': return { kind: 'retry', reason: `${address} does not lead PD`, lostLeader: true }
    case 'ServerIsBusy': return { kind: 'retry', reason: `${address} is busy: ${error.reason}`, lostLeader: false }
    case 'DeadlineExceeded':
    case 'Undetermined':
      return { kind: 'retry', reason: `${address}: ${error.kind}`, lostLeader: false }
    case 'RegionNotFound': case 'KeyNotInRegion': case 'EpochNotMatch': case 'StaleCommand': case 'StoreNotMatch':
    case 'RaftEntryTooLarge': case 'ReadIndexNotReady': case 'RegionNotInitialized': case 'MismatchPeerId':
    case 'DiskFull': case 'LimitExceeded': case 'InvalidArgument': case 'ClusterIdMismatch': case 'Unimplemented':
    case 'PermissionDenied':
      return { kind: 'refused', error }
    default: return unreachable(error, 'PD error')
  }
}
