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

/** A store with less than this many of its reserves free may be full before its next report. */
const nearReserves = 8

/** When each store was last heard, on the monotonic clock of the leader. Starts empty with each leadership. */
export class StoreLiveness {
  readonly #heard = new Map<StoreId, { atMs: number; stats: StoreStats; clockAheadMs: number }>()

  constructor(readonly config: LivenessConfig, readonly sinceMs: number) {}

  /** @param wallMs  our wall clock, to compare the store's with */
  heard(stats: StoreStats, nowMs: number, wallMs = 0): void {
    const clockAheadMs = stats.wallMs === 0 || wallMs === 0 ? 0 : stats.wallMs - wallMs
    this.#heard.set(stats.storeId, { atMs: nowMs, stats, clockAheadMs })
  }

  forget(storeId: StoreId): void { this.#heard.delete(storeId) }

  statsOf(storeId: StoreId): StoreStats | undefined { return this.#heard.get(storeId)?.stats }

  clockAheadMs(storeId: StoreId): number { return this.#heard.get(storeId)?.clockAheadMs ?? 0 }

  /** Stores whose disks are full by what they said last, and those that soon may be. */
  shortOfSpace(): { readonly full: readonly StoreId[]; readonly low: readonly StoreId[] } {
    const full: StoreId[] = []
    const low: StoreId[] = []
    for (const [id, { stats }] of this.#heard) {
      if (stats.isDiskFull) full.push(id)
      if (stats.isDiskFull || (stats.capacityBytes > 0 && stats.availableBytes < nearReserves * stats.reserveBytes)) low.push(id)
    }
    return { full, low }
  }

  silentMs(storeId: StoreId, nowMs: number): number { return nowMs - (this.#heard.get(storeId)?.atMs ?? this.sinceMs) }

  of(storeId: StoreId, nowMs: number): Liveness {
    const silentMs = this.silentMs(storeId, nowMs)
    if (silentMs >= this.config.maxStoreDownMs) return 'down'
    if (!this.#heard.has(storeId)) return 'unheard'
    return silentMs >= this.config.storeDisconnectMs ? 'disconnected' : 'up'
  }
}
