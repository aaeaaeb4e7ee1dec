import type { Random } from '../common/env.js'

/**
 * How long to wait before trying again, by what went wrong. Doubles from `baseMs` to `capMs` with each time of the same
 * kind. Kinds and most figures are client-go's; two are lower on purpose: a region without leader and a lost store
 * pause at most 100 ms, since an election here takes less than a second and each late look costs half a pause of fail-over.
 */
export const backoffKinds = {
  noLeader: { baseMs: 2, capMs: 100, jitter: 'equal' },
  storeLost: { baseMs: 50, capMs: 100, jitter: 'equal' },
  regionMiss: { baseMs: 2, capMs: 500, jitter: 'none' },
  epochBehind: { baseMs: 2, capMs: 500, jitter: 'equal' },
  busy: { baseMs: 20, capMs: 2000, jitter: 'equal' },
  stale: { baseMs: 2, capMs: 1000, jitter: 'none' },
  readIndex: { baseMs: 2, capMs: 500, jitter: 'equal' },
  notInitialized: { baseMs: 2, capMs: 1000, jitter: 'none' },
  diskFull: { baseMs: 500, capMs: 5000, jitter: 'equal' },
  pd: { baseMs: 50, capMs: 1000, jitter: 'equal' },
  undetermined: { baseMs: 2, capMs: 500, jitter: 'equal' },
} as const satisfies Record<string, { baseMs: number; capMs: number; jitter: 'none' | 'equal' }>

export type BackoffKind = keyof typeof backoffKinds

/** Counts of one request. It knows no deadline: the caller compares the pause with what is left. */
export class Backoff {
  readonly #random: Random
  readonly #times = new Map<BackoffKind, number>()

  constructor(random: Random) { this.#random = random }

  /** How often this kind has been asked for. */
  times(kind: BackoffKind): number { return this.#times.get(kind) ?? 0 }

  /** @param leastMs what the server asked for; it is a lower bound, not jittered away */
  nextMs(kind: BackoffKind, leastMs = 0): number {
    const { baseMs, capMs, jitter } = backoffKinds[kind]
    const times = this.times(kind)
    this.#times.set(kind, times + 1)
    const fullMs = Math.min(capMs, baseMs * 2 ** Math.min(times, 20))
    const waitMs = jitter === 'none' ? fullMs : fullMs / 2 + this.#random.float() * fullMs / 2
    return Math.max(waitMs, leastMs + (leastMs > 0 ? this.#random.float() * leastMs / 2 : 0))
  }
}
