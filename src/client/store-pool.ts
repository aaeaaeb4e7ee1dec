import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import type { PdClient } from '../pd/api.js'
import type { RpcChannel } from '../transport/api.js'
import type { StoreMeta } from '../wire/messages.js'

export interface StorePoolOptions {
  readonly env: Env
  readonly pd: PdClient
  /** Opens a channel to an address; the pool closes what it opened. */
  readonly openChannel: (address: string) => RpcChannel
  /** A store was found unreachable; its leaderships are about to move. */
  readonly onLost: (storeId: StoreId) => void
}

/** How long a dial may take before the store counts as unreachable. */
const dialMsMax = 1000
/** For how long an unreachable store is asked only after all others. */
const suspectMs = 500
/** Addresses change rarely; nobody asks PD for them more often than this. */
const refreshMsMin = 200

interface Link {
  readonly channel: RpcChannel
  suspectUntilMs: number
  /** Who waits for the dial under way; undefined while there is none. */
  waiting: ((isUp: boolean) => void)[] | undefined
}

/** One channel per store. Addresses come from PD, once at the start and again when a store is unknown or not itself. */
export class StorePool {
  readonly #options: StorePoolOptions
  readonly #links = new Map<StoreId, Link>()
  #refresh: Promise<void> | undefined
  #refreshedAtMs = -Infinity
  #isClosed = false

  constructor(options: StorePoolOptions) { this.#options = options }

  get isClosed(): boolean { return this.#isClosed }

  /** The channel of a store that is connected and not known to fail; the way of nearly every request. */
  ready(storeId: StoreId): RpcChannel | undefined {
    const link = this.#links.get(storeId)
    return link !== undefined && link.channel.isConnected ? link.channel : undefined
  }

  isSuspect(storeId: StoreId): boolean {
    const link = this.#links.get(storeId)
    return link !== undefined && link.suspectUntilMs > this.#options.env.clock.monotonicMs()
  }

  /**
   * Dials unless connected. `done` runs later, with undefined when the store cannot be reached: nothing was sent to it
   * then. A write goes only over a link that stands, so that a dead address never leaves its outcome open.
   */
  connect(storeId: StoreId, done: (channel: RpcChannel | undefined) => void): void {
    const link = this.#links.get(storeId)
    if (link === undefined) {
      this.refresh().then(
        () => this.#links.has(storeId) ? this.connect(storeId, done) : done(undefined),
        () => done(undefined))
      return
    }
    const finish = (isUp: boolean): void => done(isUp && !this.#isClosed ? link.channel : undefined)
    if (link.waiting !== undefined) {
      link.waiting.push(finish)
      return
    }
    link.waiting = [finish]
    const { clock } = this.#options.env
    link.channel.send('Ping', { sentAtMs: clock.monotonicMs() }, { timeoutMs: dialMsMax }, result => {
      const waiting = link.waiting ?? []
      link.waiting = undefined
      if (result.answered) link.suspectUntilMs = 0
      else this.lost(storeId)
      for (const next of waiting) next(result.answered)
    })
  }

  /** The link broke, or the store does not answer. */
  lost(storeId: StoreId): void {
    const link = this.#links.get(storeId)
    if (link === undefined || this.#isClosed) return
    const nowMs = this.#options.env.clock.monotonicMs()
    const isNews = link.suspectUntilMs < nowMs + suspectMs / 2
    link.suspectUntilMs = nowMs + suspectMs
    // A broken link fails all its requests at once; the first says it for all.
    if (!isNews) return
    this.#options.onLost(storeId)
    this.refresh().catch(error => ignore(error, 'the store may have moved or not; the next loss asks again'))
  }

  /** Asks PD where the stores are. Rejects with what PdClient rejects with. */
  refresh(): Promise<void> {
    if (this.#refresh !== undefined) return this.#refresh
    const { env, pd } = this.#options
    if (env.clock.monotonicMs() - this.#refreshedAtMs < refreshMsMin) return Promise.resolve()
    this.#refreshedAtMs = env.clock.monotonicMs()
    this.#refresh = pd.getStores().then(stores => this.#take(stores)).finally(() => { this.#refresh = undefined })
    return this.#refresh
  }

  close(): void {
    this.#isClosed = true
    for (const link of this.#links.values()) link.channel.close()
    this.#links.clear()
  }

  #take(stores: readonly StoreMeta[]): void {
    if (this.#isClosed) return
    for (const store of stores) {
      const known = this.#links.get(store.storeId)
      if (store.state === 'tombstone') {
        known?.channel.close()
        this.#links.delete(store.storeId)
      } else if (known?.channel.address !== store.address) {
        const channel = this.#options.openChannel(store.address)
        this.#links.set(store.storeId, { channel, suspectUntilMs: 0, waiting: undefined })
        known?.channel.close()
      }
    }
  }
}
