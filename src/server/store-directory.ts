import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import type { PdClient } from '../pd/api.js'
import type { RpcChannel } from '../transport/api.js'
import type { StoreMeta } from '../wire/messages.js'

/** PD is asked about an unknown store no more often than this. */
const askMsMin = 100

export interface DirectoryOptions {
  readonly env: Env
  readonly pd: PdClient
  readonly openChannel: (address: string) => RpcChannel
}

/**
 * Where the other stores are. PD says so with every store heartbeat; who asks for a store that is not known, such as the
 * first replica on a store that joined a moment ago, makes the directory ask PD at once.
 */
export class StoreDirectory {
  readonly #options: DirectoryOptions
  readonly #addresses = new Map<StoreId, string>()
  readonly #bulk = new Map<StoreId, RpcChannel>()
  #askedAtMs = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(options: DirectoryOptions) { this.#options = options }

  /** All stores that PD lists; those that it does not list any more are forgotten. */
  learn(stores: readonly StoreMeta[]): void {
    const listed = new Set<StoreId>()
    for (const { storeId, address, state } of stores) {
      if (state === 'tombstone') continue
      listed.add(storeId)
      this.#addresses.set(storeId, address)
    }
    for (const storeId of this.#addresses.keys()) if (!listed.has(storeId)) this.#addresses.delete(storeId)
    for (const [storeId, channel] of this.#bulk) {
      if (this.#addresses.get(storeId) === channel.address) continue
      channel.close()
      this.#bulk.delete(storeId)
    }
  }

  addressOf(storeId: StoreId): string | undefined {
    const address = this.#addresses.get(storeId)
    if (address === undefined) this.#ask()
    return address
  }

  /** A connection of its own for bulk: raft messages do not wait behind a snapshot. */
  bulkChannel(storeId: StoreId): RpcChannel | undefined {
    const known = this.#bulk.get(storeId)
    if (known !== undefined) return known
    const address = this.addressOf(storeId)
    if (address === undefined || this.#isClosed) return undefined
    const channel = this.#options.openChannel(address)
    this.#bulk.set(storeId, channel)
    return channel
  }

  get size(): number { return this.#addresses.size }

  close(): void {
    this.#isClosed = true
    for (const channel of this.#bulk.values()) channel.close()
    this.#bulk.clear()
  }

  #ask(): void {
    const nowMs = this.#options.env.clock.monotonicMs()
    if (this.#isClosed || nowMs - this.#askedAtMs < askMsMin) return
    this.#askedAtMs = nowMs
    this.#options.pd.getStores().then(
      stores => { if (!this.#isClosed) this.learn(stores) },
      (error: unknown) => { ignore(error, 'the next message to that store asks again') })
  }
}
