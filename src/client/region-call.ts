import { unreachable } from '../common/assert.js'
import type { Env, Timer } from '../common/env.js'
import { isRegionError } from '../common/errors.js'
import type { RequestError, ServerError } from '../common/errors.js'
import type { PeerRef } from '../common/region.js'
import type { AbortWatch } from '../transport/abort-watch.js'
import type { CallFailure, CallResult, RpcChannel } from '../transport/api.js'
import type { RequestContext, RpcName, Requests, Responses } from '../wire/messages.js'
import { Backoff } from './backoff.js'
import type { BackoffKind } from './backoff.js'
import {
  AbortedError, ClosedError, ClusterMismatchError, InvalidArgumentError, LimitExceededError, PdUnreachableError, TimeoutError,
  PermissionDeniedError, UndeterminedError, UnsupportedError,
} from './errors.js'
import type { KarstError } from './errors.js'
import type { RegionCache, Route } from './region-cache.js'
import { reactTo } from './region-errors.js'
import type { Reaction } from './region-errors.js'
import type { Place, RouteFinder } from './route-finder.js'
import type { StorePool } from './store-pool.js'

/**
 * What a repeat may do: a `read` may always be repeated; a `write` only when it was certainly not carried out; an
 * `idempotentWrite` also when that is not known, which its caller has asked for.
 */
export type CallKind = 'read' | 'write' | 'idempotentWrite'

export interface CallSettings {
  readonly kind: CallKind
  /** For everything: look-ups, pauses, repeats. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** The request for one region, or undefined when this region is not what the caller planned for. */
export type Build<N extends RpcName> = (context: RequestContext, route: Route) => Requests[N] | undefined

export type Outcome<N extends RpcName> =
  | { readonly kind: 'done'; readonly value: Responses[N]; readonly route: Route }
  /** `build` refused the route: plan again. */
  | { readonly kind: 'reroute' }
  | { readonly kind: 'failed'; readonly error: KarstError }

export interface CallParts {
  readonly env: Env
  readonly cache: RegionCache
  readonly finder: RouteFinder
  readonly pool: StorePool
  readonly aborts: AbortWatch
}

/** A read that hears nothing for this long asks another peer: its leader may be paused or cut off. */
const readAttemptMs = 2000
/** With less time than this left nothing is sent any more: a write cut off so short would only end in doubt. */
const attemptMsMin = 10
/** Repeats without a pause in a row; more would spin between stores that point at each other. */
const hopsMax = 4

/**
 * One request to one region, repeated until it is answered or its time is up. A small machine: `#attempt` finds a
 * route and a link and sends; every answer leads to `#finish`, to `#attempt` at once, or to a pause and `#attempt`.
 */
export class RegionCall<N extends RpcName> {
  readonly #parts: CallParts
  readonly #name: N
  readonly #place: Place
  readonly #build: Build<N>
  readonly #settings: CallSettings
  readonly #done: (outcome: Outcome<N>) => void
  readonly #deadlineMs: number
  #backoff: Backoff | undefined
  #hops = 0
  #isFinished = false
  #isSent = false
  /** An earlier attempt of an idempotent write has an open outcome. */
  #mayHaveHappened = false
  #obstacle = 'no answer'
  #pdError: unknown
  #timer: Timer | undefined
  #pause: Timer | undefined
  #onAbort: (() => void) | undefined

  constructor(
    parts: CallParts, name: N, place: Place, build: Build<N>, settings: CallSettings,
    done: (outcome: Outcome<N>) => void,
  ) {
    this.#parts = parts
    this.#name = name
    this.#place = place
    this.#build = build
    this.#settings = settings
    this.#done = done
    this.#deadlineMs = parts.env.clock.monotonicMs() + settings.timeoutMs
  }

  /** `done` runs once, in a later turn unless `build` refuses the first route or the signal is aborted already. */
  start(): void {
    if (this.#settings.signal?.aborted) this.#abort()
    else this.#attempt()
  }

  // hot path: bench client-put
  #attempt(): void {
    const route = this.#parts.finder.find(this.#place)
    if (route === undefined) return this.#load()
    this.#approach(route)
  }

  #approach(route: Route): void {
    const { pool, cache, finder } = this.#parts
    const peer = route.target(storeId => pool.isSuspect(storeId))
    if (peer === undefined) {
      cache.invalidate(route)
      return this.#wait('regionMiss', 'a region without voters')
    }
    const channel = pool.ready(peer.storeId)
    if (channel !== undefined) return this.#send(channel, route, peer)
    this.#arm()
    pool.connect(peer.storeId, connected => {
      if (this.#isFinished) return
      if (connected !== undefined) return this.#send(connected, route, peer)
      if (pool.isClosed) return this.#fail(new ClosedError())
      this.#leave(route, peer)
      // A store that joined the region after we learnt of it is not in our list: PD knows it.
      if (route.missed()) finder.refresh(route)
      this.#hop('storeLost', `store ${peer.storeId} is unreachable`)
    })
  }

  #load(): void {
    this.#arm()
    this.#parts.finder.load(this.#place, (route, error) => {
      if (this.#isFinished) return
      this.#pdError = error
      if (route !== undefined) return this.#approach(route)
      if (this.#parts.pool.isClosed) return this.#fail(new ClosedError())
      if (error === undefined) this.#wait('pd', 'no region holds the key yet')
      else this.#wait('pd', error instanceof Error ? error.message : 'PD does not answer')
    })
  }

  #send(channel: RpcChannel, route: Route, peer: PeerRef): void {
    const { kind, signal } = this.#settings
    let timeoutMs = this.#settings.timeoutMs
    if (this.#timer !== undefined || this.#hops > 0) {
      timeoutMs = Math.ceil(this.#deadlineMs - this.#parts.env.clock.monotonicMs())
      if (timeoutMs < attemptMsMin) return this.#expire()
    }
    if (kind === 'read' && timeoutMs > readAttemptMs) timeoutMs = readAttemptMs
    const request = this.#build(route.context(peer, timeoutMs), route)
    if (request === undefined) return this.#finish({ kind: 'reroute' })
    this.#isSent = true
    channel.send(this.#name, request, signal ? { timeoutMs, signal } : { timeoutMs }, result => {
      this.#isSent = false
      if (!this.#isFinished) this.#take(result, route, peer)
    })
  }

  #take(result: CallResult<N>, route: Route, peer: PeerRef): void {
    if (!result.answered) return this.#onFailure(result.failure, route, peer)
    const answer = result.result
    if (answer.ok) this.#finish({ kind: 'done', value: answer.value, route })
    else this.#onError(answer.error, route, peer)
  }

  #onFailure(failure: CallFailure, route: Route, peer: PeerRef): void {
    const reason = `${failure.kind} at store ${peer.storeId}: ${failure.reason}`
    const isOpen = failure.sent && this.#settings.kind !== 'read'
    if (failure.kind === 'Aborted') {
      if (isOpen) this.#mayHaveHappened = true
      return this.#abort()
    }
    if (failure.kind !== 'QueueFull') this.#leave(route, peer)
    if (failure.kind === 'ConnectionLost' || failure.kind === 'Refused') this.#parts.pool.lost(peer.storeId)
    if (isOpen && !this.#outlives(reason)) return
    if (this.#parts.pool.isClosed) return this.#fail(new ClosedError())
    if (failure.kind === 'QueueFull') return this.#wait('busy', reason)
    this.#hop(isOpen ? 'undetermined' : 'storeLost', reason)
  }

  #onError(error: ServerError, route: Route, peer: PeerRef): void {
    if (isRegionError(error)) return this.#react(reactTo(error, route, peer, this.#parts))
    if (error.kind === 'Undetermined') {
      if (this.#settings.kind === 'read' || this.#outlives(error.reason)) this.#wait('undetermined', error.reason)
      return
    }
    if (error.kind === 'DeadlineExceeded' && this.#settings.kind === 'read') {
      return this.#wait('stale', `store ${peer.storeId} was too late`)
    }
    if (error.kind === 'DeadlineExceeded') this.#obstacle = `store ${peer.storeId} was too late`
    this.#fail(errorOf(error, this.#settings.timeoutMs, this.#obstacle))
  }

  #react(reaction: Reaction): void {
    if (reaction.then === 'fail') this.#fail(reaction.error)
    else if (reaction.then === 'hop') this.#hop(reaction.pause, reaction.reason)
    else this.#wait(reaction.pause, reaction.reason, reaction.leastMs)
  }

  /** An attempt's outcome is open. @returns false when that ends the call */
  #outlives(reason: string): boolean {
    this.#mayHaveHappened = true
    if (this.#settings.kind === 'idempotentWrite') return true
    this.#finish({ kind: 'failed', error: new UndeterminedError(reason) })
    return false
  }

  /** The peer does not lead, or cannot say so. */
  #leave(route: Route, peer: PeerRef): void {
    if (route.leader === peer) route.setLeader(undefined)
  }

  /** Again at once; with a pause when that has not helped a few times. */
  #hop(pause: BackoffKind, reason: string): void {
    this.#hops++
    if (this.#hops % (hopsMax + 1) === 0) return this.#wait(pause, reason)
    this.#obstacle = reason
    if (this.#parts.env.clock.monotonicMs() >= this.#deadlineMs) return this.#expire()
    this.#attempt()
  }

  #wait(kind: BackoffKind, reason: string, leastMs = 0): void {
    this.#obstacle = reason
    this.#backoff ??= new Backoff(this.#parts.env.random)
    const leftMs = this.#deadlineMs - this.#parts.env.clock.monotonicMs()
    if (leftMs <= attemptMsMin) return this.#expire()
    this.#arm()
    // The last pauses get shorter, so that a recovery just before the deadline is not slept through.
    const pauseMs = Math.min(this.#backoff.nextMs(kind, leastMs), leftMs / 2)
    this.#pause = this.#parts.env.setTimer(pauseMs, () => {
      this.#pause = undefined
      if (!this.#isFinished) this.#attempt()
    })
  }

  /** From the first wait on, deadline and signal are ours to watch; while a request is out they are the channel's. */
  #arm(): void {
    if (this.#timer !== undefined) return
    const { env } = this.#parts
    this.#timer = env.setTimer(Math.max(0, this.#deadlineMs - env.clock.monotonicMs()), () => {
      if (!this.#isSent && !this.#isFinished) this.#expire()
    })
    const { signal } = this.#settings
    if (signal === undefined) return
    this.#onAbort = () => { if (!this.#isSent && !this.#isFinished) this.#abort() }
    this.#parts.aborts.add(signal, this.#onAbort)
  }

  #abort(): void { this.#fail(new AbortedError({ cause: this.#settings.signal?.reason })) }

  #expire(): void {
    if (this.#pdError !== undefined) {
      return this.#fail(new PdUnreachableError(this.#obstacle, { cause: this.#pdError }))
    }
    this.#fail(new TimeoutError(this.#settings.timeoutMs, this.#obstacle))
  }

  #fail(error: KarstError): void {
    const isOpen = this.#mayHaveHappened && !error.isUndetermined
    this.#finish({ kind: 'failed', error: isOpen ? new UndeterminedError(error.message, { cause: error }) : error })
  }

  #finish(outcome: Outcome<N>): void {
    this.#isFinished = true
    this.#timer?.cancel()
    this.#pause?.cancel()
    if (this.#onAbort) this.#parts.aborts.remove(this.#settings.signal!, this.#onAbort)
    this.#done(outcome)
  }
}

function errorOf(error: RequestError, timeoutMs: number, obstacle: string): KarstError {
  switch (error.kind) {
    case 'LimitExceeded': return new LimitExceededError(error.limit, error.actual, error.max)
    case 'InvalidArgument': return new InvalidArgumentError(error.reason)
    case 'ClusterIdMismatch': return new ClusterMismatchError(error.requested, error.actual)
    case 'DeadlineExceeded': return new TimeoutError(timeoutMs, obstacle)
    case 'Unimplemented': return new UnsupportedError(error.what)
    case 'PermissionDenied': return new PermissionDeniedError(error.reason)
    default: return unreachable(error, 'request error')
  }
}
