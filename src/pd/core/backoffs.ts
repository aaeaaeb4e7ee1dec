interface Failure {
  count: number
  untilMs: number
  why: string
}

/** Who failed waits, longer each time; who does well again, or has not been heard of for long, starts anew. */
export class Backoffs<Key> {
  readonly #failures = new Map<Key, Failure>()

  constructor(readonly msMin: number, readonly msMax: number) {}

  get size(): number { return this.#failures.size }

  failed(key: Key, why: string, nowMs: number): void {
    const count = (this.#failures.get(key)?.count ?? 0) + 1
    const waitMs = Math.min(this.msMax, this.msMin * 2 ** Math.min(count - 1, 30))
    this.#failures.set(key, { count, untilMs: nowMs + waitMs, why })
  }

  succeeded(key: Key): void { this.#failures.delete(key) }

  /** In words for people; undefined: no need to wait. */
  reason(key: Key, nowMs: number): string | undefined {
    const failure = this.#failures.get(key)
    if (failure === undefined || failure.untilMs <= nowMs) return undefined
    const times = failure.count === 1 ? '' : ` (${failure.count} times)`
    return `${failure.why}${times}; tried again in ${Math.ceil((failure.untilMs - nowMs) / 1_000)} s`
  }

  /** Memory of what is long over goes. */
  expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.#failures) if (nowMs - untilMs >= this.msMax) this.#failures.delete(key)
  }
}
