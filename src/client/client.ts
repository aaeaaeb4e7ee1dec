import type { Env } from '../common/env.js'
import type { PdClient } from '../pd/api.js'
import { keyspaceMax } from '../rawkv/codec.js'
import { AbortWatch } from '../transport/abort-watch.js'
import type { RpcChannel } from '../transport/api.js'
import { toTimeoutMs } from './arguments.js'
import { InvalidArgumentError } from './errors.js'
import { RawClient } from './raw-client.js'
import { RegionCache } from './region-cache.js'
import { RouteFinder } from './route-finder.js'
import { Router } from './router.js'
import { StorePool } from './store-pool.js'

export interface ClientOptions {
  /** Default 0. Keyspaces share a cluster and see nothing of each other. */
  readonly keyspace?: number
  /** Of every operation that brings no time-out of its own. Default 10 s. */
  readonly timeoutMs?: number
}

/** What a client is made of; the simulator and tests bring their own. */
export interface ClientParts {
  readonly env: Env
  /** Closed with the client. */
  readonly pd: PdClient
  readonly openChannel: (address: string) => RpcChannel
  /** The one that its channels have too; default: one of its own. */
  readonly aborts?: AbortWatch
  /** Last step of `close`, once: for what was opened for this client alone. */
  readonly onClose?: () => void
}

export const defaultTimeoutMs = 10_000

/** A connection to a cluster: regions learnt, links to stores. Many requests at once; one per process is enough. */
export class KarstClient {
  readonly raw: RawClient
  readonly pd: PdClient
  readonly #pool: StorePool
  #onClose: (() => void) | undefined

  constructor(parts: ClientParts, options: ClientOptions = {}) {
    const { env, pd, openChannel } = parts
    const { keyspace = 0, timeoutMs = defaultTimeoutMs } = options
    if (!Number.isInteger(keyspace) || keyspace < 0 || keyspace > keyspaceMax) {
      throw new InvalidArgumentError(`keyspace is a whole number from 0 to ${keyspaceMax}`)
    }
    const wholeMs = toTimeoutMs(timeoutMs)
    const cache = new RegionCache()
    this.pd = pd
    this.#onClose = parts.onClose
    this.#pool = new StorePool({ env, pd, openChannel, onLost: storeId => cache.storeLost(storeId) })
    const aborts = parts.aborts ?? new AbortWatch()
    const router = new Router({ env, cache, finder: new RouteFinder(pd, cache), pool: this.#pool, aborts })
    this.raw = new RawClient(router, keyspace, wholeMs)
  }

  /** Learns the stores, so that the first request need not. Rejects with what PdClient rejects with. */
  warmUp(): Promise<void> { return this.#pool.refresh() }

  /** Requests under way end in ClosedError, or UndeterminedError for writes that were sent. Idempotent. */
  close(): void {
    this.#pool.close()
    this.pd.close()
    const onClose = this.#onClose
    this.#onClose = undefined
    onClose?.()
  }
}
