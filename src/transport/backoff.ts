import type { Env } from '../common/env.js'
import { transportLimits } from './limits.js'

/** When to dial again: at once after a connection that had lasted, then 50 ms, 100 ms … 2 s, minus up to half by dice. */
export class Backoff {
  #failures = 0
  #notBeforeMs = 0
  readonly #env: Env

  constructor(env: Env) { this.#env = env }

  /** Ms to wait before the next dial; 0: now. */
  waitMs(): number { return Math.max(0, this.#notBeforeMs - this.#env.clock.monotonicMs()) }

  /** @param aliveMs how long both sides were connected; 0 when they never were */
  onDown(aliveMs: number): void {
    const { backoffMsMin, backoffMsMax, stableMs } = transportLimits
    if (aliveMs >= stableMs) {
      this.#failures = 0
      this.#notBeforeMs = 0
      return
    }
    const delayMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#failures, 16))
    this.#failures++
    this.#notBeforeMs = this.#env.clock.monotonicMs() + delayMs * (0.5 + this.#env.random.float() / 2)
  }
}
