import { assert } from '../../common/assert.js'

export interface TsoConfig {
  /** `tso-save-interval`: how far the durable bound runs ahead of the clock. */
  readonly saveIntervalMs: number
  /** Jumps of the wall clock forward up to this are followed at once; larger ones at twice the speed of time. */
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
 * Within a leadership (physical, logical) only grows: the wall clock moves physical forward, never back. When the
 * 18 bits of logical are used up, physical moves one ahead of the clock, which the durable bound allows.
 */
export class TsoOracle {
  #isLeading = false
  #physicalMs = 0
  #logical = 0
  #boundMs = 0
  #savingMs = 0
  /** The highest believable wall time, and when that was. */
  #hintHighMs = 0
  #hintAtMs = 0
  #forwardJumpMs = 0

  /** @param plants P42: a wall clock that steps back resets logical (a bug, for proving the checkers) */
  constructor(readonly config: TsoConfig, readonly plants: ReadonlySet<string> = new Set()) {
    assert(config.saveIntervalMs >= 2, 'tso-save-interval is too short')
  }

  get boundMs(): number { return this.#boundMs }
  get physicalMs(): number { return this.#physicalMs }
  /** How far the wall clock is ahead of what we believe; an operator should look when it is not 0. */
  get forwardJumpMs(): number { return this.#forwardJumpMs }

  /** We lead, and everything committed before is applied: `durableBoundMs` is final. Issues nothing before saved(). */
  begin(durableBoundMs: number, now: TsoNow): void {
    this.#isLeading = true
    this.#physicalMs = Math.max(durableBoundMs, Math.floor(now.wallMs))
    this.#logical = 0
    this.#boundMs = 0
    this.#savingMs = 0
    this.#hintHighMs = now.wallMs
    this.#hintAtMs = now.monotonicMs
    this.#forwardJumpMs = 0
  }

  end(): void { this.#isLeading = false }

  /** @returns the bound to make durable now; undefined when there is room enough, or one is under way */
  windowToSave(now: TsoNow): number | undefined {
    if (!this.#isLeading || this.#savingMs !== 0) return undefined
    const ahead = Math.max(this.#physicalMs, this.#hint(now))
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
    const hint = Math.min(this.#hint(now), this.#boundMs - 1)
    let physicalMs = this.#physicalMs
    let logical = this.#logical
    if (hint > physicalMs) {
      physicalMs = hint
      logical = 0
    } else if (hint < physicalMs && this.plants.has('P42')) {
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

  /**
   * What to believe of the wall clock. Backwards: believed, it only means that physical waits. Forwards by more than
   * time has passed: an hour's jump must not put all timestamps an hour ahead before somebody sets the clock right.
   */
  #hint(now: TsoNow): number {
    const passedMs = Math.max(0, now.monotonicMs - this.#hintAtMs)
    const expectedMs = this.#hintHighMs + passedMs
    const believed = now.wallMs <= expectedMs + this.config.forwardJumpMsMax ? now.wallMs : expectedMs + passedMs
    this.#forwardJumpMs = now.wallMs - believed
    this.#hintHighMs = Math.max(expectedMs, believed)
    this.#hintAtMs = Math.max(this.#hintAtMs, now.monotonicMs)
    return Math.floor(believed)
  }
}
