import type { StoreId } from '../../common/ids.js'
import type { StoreStats } from '../../wire/messages.js'

/** `unheard`: this leader has not heard it yet; nothing bad is concluded before maxStoreDownMs. */
export type Liveness = 'up' | 'unheard' | 'disconnected' | 'down'

export interface LivenessConfig {
  /** Silence after which a store is `disconnected`: no target for anything. */
  readonly storeDisconnectMs: number
  /** `max-store-down-time`: silence after which its replicas are rebuilt elsewhere. */
  readonly maxStoreDownMs: number
}

/** When each store was last heard, on the monotonic clock of the leader. Starts empty with each leadership. */
export class StoreLiveness {
  readonly #heard = new Map<StoreId, { atMs: number; stats: StoreStats }>()

  constructor(readonly config: LivenessConfig, readonly sinceMs: number) {}

  heard(stats: StoreStats, nowMs: number): void { this.#heard.set(stats.storeId, { atMs: nowMs, stats }) }

  forget(storeId: StoreId): void { this.#heard.delete(storeId) }

  statsOf(storeId: StoreId): StoreStats | undefined { return this.#heard.get(storeId)?.stats }

  silentMs(storeId: StoreId, nowMs: number): number { return nowMs - (this.#heard.get(storeId)?.atMs ?? this.sinceMs) }

  of(storeId: StoreId, nowMs: number): Liveness {
    const silentMs = this.silentMs(storeId, nowMs)
    if (silentMs >= this.config.maxStoreDownMs) return 'down'
    if (!this.#heard.has(storeId)) return 'unheard'
    return silentMs >= this.config.storeDisconnectMs ? 'disconnected' : 'up'
  }
}
