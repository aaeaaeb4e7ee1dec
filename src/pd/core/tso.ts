import { assert } from '../../common/assert.js'

export interface TsoConfig {
  /** `tso-save-interval`: how far the durable bound runs ahead of the clock. */
  readonly saveIntervalMs: number
  /**
   * Jumps of the wall clock forward up to this are followed at once; larger ones at twice the speed of time. A new leader
   * follows no larger one.
   */
  readonly forwardJumpMsMax: number
}

/** Timestamps (physicalMs, logical - count + 1 .. logical). */
export interface TsoBatch {
  readonly physicalMs: number
  readonly logical: number
}

/** Two readings of one moment. Only `monotonicMs` measures time; `wallMs` is a hint. */
export interface TsoNow {
  readonly wallMs: number
  readonly monotonicMs: number
}

/** A lead over the wall clock of up to so many windows is worked off; a larger one is a clock that somebody set back. */
const smallLeadWindows = 5

/** 18 bits. */
export const logicalMax = (1 << 18) - 1

/**
 * The timestamp oracle of one leadership.
 *
 *   … issued …  physical ──── durable bound            issued.physical < bound, always
 *                  │  at most saveIntervalMs  │
 *
 * The bound is raised through the replicated state *before* anything at or above the old one is issued. Whoever leads
 * next starts at the bound, so its timestamps are above all of ours. That it does not start while we still issue is
 * the caller's part: it asks only while it holds the raft lease.
 *
 * Physical follows a clock of the oracle's own, which never goes back. Behind the wall clock it is set to it; ahead of it,
 * it runs on by the monotonic clock, so that time to live goes on ending while somebody sets the wall clock back by an
 * hour. A lead of a few seconds, as every new leadership has that starts at the bound, is worked off at half the speed
 * of time: leaderships that follow one another do not add theirs up. Forwards the wall clock is believed in steps of
 * `forwardJumpMsMax`. What a new leader believes at most is `durableBound`, and the time since it heard the old one, and
 * one such step: beyond that its clock is wrong, or the old leader's was, and nobody here can tell.
 *
 * When the 18 bits of logical are used up, physical moves one ahead of the clock, which the durable bound allows.
 */
export class TsoOracle {
  #isLeading = false
  #physicalMs = 0
  #logical = 0
  #boundMs = 0
  #savingMs = 0
  /** The oracle's own clock, and when (monotonic) it was that. */
  #clockMs = 0
  #clockAtMs = 0
  /** The wall clock was beyond what a new leader believes, and has not come back since: it counts for nothing. */
  #isWallRefused = false
  #forwardJumpMs = 0

  /** @param plants P42: a wall clock that steps back is followed (a bug, for proving the checkers) */
  constructor(readonly config: TsoConfig, readonly plants: ReadonlySet<string> = new Set()) {
    assert(config.saveIntervalMs >= 2, 'tso-save-interval is too short')
  }

  get boundMs(): number { return this.#boundMs }
  get physicalMs(): number { return this.#physicalMs }
  /** How far the wall clock is ahead of what we believe; an operator should look when it is not 0. */
  get forwardJumpMs(): number { return this.#forwardJumpMs }

  /** True while the wall clock is so far ahead that this leadership does not follow it at all. */
  get isWallRefused(): boolean { return this.#isWallRefused }

  /**
   * We lead, and everything committed before is applied: `durableBoundMs` is final. Issues nothing before saved().
   * @param sinceHeardMs monotonic time since this member heard a leader, or was it; undefined: not since it started, so
   * that it cannot tell how long nobody led
   */
  begin(durableBoundMs: number, now: TsoNow, sinceHeardMs?: number): void {
    const isFirst = durableBoundMs === 0
    const believableMs = isFirst || sinceHeardMs === undefined ? Number.POSITIVE_INFINITY
      : durableBoundMs + sinceHeardMs + this.config.forwardJumpMsMax
    this.#isLeading = true
    this.#isWallRefused = now.wallMs > believableMs
    this.#clockMs = Math.max(durableBoundMs, Math.min(now.wallMs, believableMs))
    this.#clockAtMs = now.monotonicMs
    this.#physicalMs = Math.floor(this.#clockMs)
    this.#logical = 0
    this.#boundMs = 0
    this.#savingMs = 0
    this.#forwardJumpMs = Math.max(0, now.wallMs - Math.max(durableBoundMs, believableMs))
  }

  end(): void { this.#isLeading = false }

  /** @returns the bound to make durable now; undefined when there is room enough, or one is under way */
  windowToSave(now: TsoNow): number | undefined {
    if (!this.#isLeading || this.#savingMs !== 0) return undefined
    const ahead = Math.max(this.#physicalMs, this.#advance(now))
    if (this.#boundMs - ahead > this.config.saveIntervalMs / 2) return undefined
    this.#savingMs = ahead + this.config.saveIntervalMs
    return this.#savingMs
  }

  saved(boundMs: number): void {
    if (!this.#isLeading || boundMs !== this.#savingMs) return
    this.#savingMs = 0
    this.#boundMs = Math.max(this.#boundMs, boundMs)
  }

  saveFailed(): void { this.#savingMs = 0 }

  /** @returns undefined when the durable bound must rise first */
  issue(count: number, now: TsoNow): TsoBatch | undefined {
    assert(count >= 1 && count <= logicalMax, () => `count of timestamps: ${count}`)
    if (!this.#isLeading || this.#physicalMs >= this.#boundMs) return undefined
    const hint = Math.min(this.#advance(now), this.#boundMs - 1)
    let physicalMs = this.#physicalMs
    let logical = this.#logical
    if (now.wallMs < physicalMs && this.plants.has('P42')) {
      physicalMs = Math.floor(now.wallMs)
      logical = 0
    } else if (hint > physicalMs) {
      physicalMs = hint
      logical = 0
    }
    if (logical + count > logicalMax) {
      if (physicalMs + 1 >= this.#boundMs) return undefined
      physicalMs++
      logical = 0
    }
    this.#physicalMs = physicalMs
    this.#logical = logical + count
    return { physicalMs, logical: this.#logical }
  }

  /** @returns the oracle's own clock at this moment */
  #advance({ wallMs, monotonicMs }: TsoNow): number {
    const passedMs = Math.max(0, monotonicMs - this.#clockAtMs)
    this.#clockAtMs = Math.max(this.#clockAtMs, monotonicMs)
    const runningMs = this.#clockMs + passedMs
    this.#clockMs = this.#believed(wallMs, runningMs, passedMs)
    return Math.floor(this.#clockMs)
  }

  #believed(wallMs: number, runningMs: number, passedMs: number): number {
    this.#forwardJumpMs = 0
    if (wallMs <= runningMs + this.config.forwardJumpMsMax) {
      this.#isWallRefused = false
      if (wallMs >= runningMs) return wallMs
      const isSmallLead = runningMs - wallMs <= smallLeadWindows * this.config.saveIntervalMs
      return isSmallLead ? Math.max(wallMs, runningMs - passedMs / 2) : runningMs
    }
    const believedMs = this.#isWallRefused ? runningMs : runningMs + passedMs
    this.#forwardJumpMs = wallMs - believedMs
    return believedMs
  }
}
