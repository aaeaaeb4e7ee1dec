import type { RpcName } from '../wire/messages.js'
import { AbortedError, ClosedError, KarstError, PdUnreachableError, TimeoutError } from './errors.js'
import { RegionCall } from './region-call.js'
import type { Build, CallParts, CallSettings, Outcome } from './region-call.js'
import type { Route } from './region-cache.js'
import { Backoff } from './backoff.js'
import type { Place } from './route-finder.js'

/** Sends requests to whoever serves a place in the key space. */
export class Router {
  readonly #parts: CallParts

  constructor(parts: CallParts) { this.#parts = parts }

  get nowMs(): number { return this.#parts.env.clock.monotonicMs() }

  /** The hot way: one object and no promise. `done` runs once. */
  request<N extends RpcName>(
    name: N, place: Place, build: Build<N>, settings: CallSettings, done: (outcome: Outcome<N>) => void,
  ): void {
    new RegionCall(this.#parts, name, place, build, settings, done).start()
  }

  /** The same as a promise, which never rejects. */
  call<N extends RpcName>(name: N, place: Place, build: Build<N>, settings: CallSettings): Promise<Outcome<N>> {
    return new Promise(resolve => this.request(name, place, build, settings, resolve))
  }

  find(place: Place): Route | undefined { return this.#parts.finder.find(place) }

  /** Cache, then PD until the deadline. @throws KarstError */
  async locate(place: Place, settings: CallSettings): Promise<Route> {
    const deadlineMs = this.nowMs + settings.timeoutMs
    const backoff = new Backoff(this.#parts.env.random)
    for (let pdError: unknown; ;) {
      const route = this.find(place) ?? await this.#load(place, deadlineMs, settings.signal).catch((error: unknown) => {
        if (error instanceof KarstError) throw error
        pdError = error
        return undefined
      })
      if (route !== undefined) return route
      if (this.#parts.pool.isClosed) throw new ClosedError()
      const leftMs = deadlineMs - this.nowMs
      if (leftMs <= 1 && pdError !== undefined) throw new PdUnreachableError('PD does not answer', { cause: pdError })
      if (leftMs <= 1) throw new TimeoutError(settings.timeoutMs, 'no region holds the key yet')
      await this.#sleep(Math.min(backoff.nextMs('pd'), leftMs / 2))
    }
  }

  #load(place: Place, deadlineMs: number, signal: AbortSignal | undefined): Promise<Route | undefined> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw new AbortedError({ cause: signal.reason })
      const end = (run: () => void) => (): void => {
        timer.cancel()
        if (signal !== undefined) this.#parts.aborts.remove(signal, onAbort)
        run()
      }
      const onAbort = end(() => reject(new AbortedError({ cause: signal?.reason })))
      const timer = this.#parts.env.setTimer(Math.max(0, deadlineMs - this.nowMs), end(() => resolve(undefined)))
      if (signal !== undefined) this.#parts.aborts.add(signal, onAbort)
      this.#parts.finder.load(place, (route, error) =>
        end(() => error === undefined ? resolve(route) : reject(error))())
    })
  }

  #sleep(ms: number): Promise<void> {
    return new Promise(resolve => this.#parts.env.setTimer(ms, resolve))
  }
}
