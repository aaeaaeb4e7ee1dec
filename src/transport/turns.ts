import type { Env } from '../common/env.js'

/** What takes part: a connection with requests that have arrived. */
export interface TurnTaker {
  /** Peers do not wait: raft and heartbeats are what everybody else's requests depend on. */
  readonly isPeer: boolean
  /** Serves what has arrived until it is all, or `limit` is spent. @returns what it cost, in units */
  serve(limit: number): number
  readonly hasMore: boolean
  /** Begins one of the large reads that wait. */
  beginLarge(): 'begun' | 'noRoom' | 'none'
  /** Carried from turn to turn while there is a backlog. */
  deficit: number
}

/** Units are microseconds of our time; bytes and frames are priced so that no clock is needed to bound a turn. */
export const frameUnits = 2
export const unitsOfBytes = (bytes: number): number => bytes >> 10

/** Requests of one turn. Then sockets, timers and raft have their go. */
export const turnUnits = 2_000
/** One connection's share of it while others wait. */
const quantumUnits = 500
/** Large reads begin at least in every so many turns, whatever else there is to do. */
const largeTurnsMax = 4

/**
 * Who is served when. Requests that arrive at a server with nothing else to do are served at once, in the turn that brought
 * them. Beyond a turn's budget they wait in their connection's inbox, and connections take turns by deficit round robin
 * (Shreedhar and Varghese 1995); one that had nothing waiting comes first (as in fq_codel), so that a ping or a put never
 * stands behind a stranger's flood. Large reads wait apart until their answers have room, and begin one at a time.
 */
// hot path: bench/micro/transport.ts
export class Turns {
  readonly #env: Env
  readonly #onBlocked: () => void
  readonly #fresh = new Set<TurnTaker>()
  readonly #rest = new Set<TurnTaker>()
  /** Have large reads waiting, in the order in which they are asked to begin one; those that were not asked yet go first. */
  readonly #freshLarge = new Set<TurnTaker>()
  readonly #large = new Set<TurnTaker>()
  #spent = 0
  #isDue = false
  #turnsWithoutLarge = 0
  /** What large reads have cost beyond their turns. */
  #debt = 0
  #isLargeBlocked = false

  /** @param onBlocked large reads wait for room that somebody else holds */
  constructor(env: Env, onBlocked: () => void) {
    this.#env = env
    this.#onBlocked = onBlocked
  }

  get waiting(): number { return this.#fresh.size + this.#rest.size }
  get isLargeBlocked(): boolean { return this.#isLargeBlocked }
  /** May a large read begin in the middle of a turn? */
  get mayBeginLarge(): boolean { return this.#large.size + this.#freshLarge.size === 0 && this.#spent < turnUnits && this.#debt <= 0 }

  /** Something came for this connection. */
  arrived(taker: TurnTaker): void {
    if (taker.isPeer) {
      taker.serve(Infinity)
      return
    }
    if (this.#fresh.has(taker) || this.#rest.has(taker)) return
    const left = turnUnits - this.#spent
    if (left <= 0) {
      this.#fresh.add(taker)
      this.#schedule()
      return
    }
    const isAlone = this.#fresh.size === 0 && this.#rest.size === 0
    this.#spent += taker.serve(isAlone ? left : Math.min(left, quantumUnits))
    if (taker.hasMore) this.#rest.add(taker)
    // Somebody has to begin the next turn, also when nothing is left.
    if (taker.hasMore || this.#spent >= turnUnits) this.#schedule()
  }

  /** A large read waits for its turn. */
  addLarge(taker: TurnTaker): void {
    if (this.#large.has(taker)) return
    this.#freshLarge.add(taker)
    this.#schedule()
  }

  /** Answers were read, or given up: what waits for room may try again. */
  roomFreed(): void {
    if (!this.#isLargeBlocked) return
    this.#isLargeBlocked = false
    this.#schedule()
  }

  forget(taker: TurnTaker): void {
    this.#fresh.delete(taker)
    this.#rest.delete(taker)
    this.#freshLarge.delete(taker)
    this.#large.delete(taker)
  }

  /** A turn ends: what was spent in it is forgotten. */
  ended(): void { if (!this.#isDue) this.#spent = 0 }

  #schedule(): void {
    if (this.#isDue) return
    this.#isDue = true
    this.#env.defer(this.#run)
  }

  readonly #run = (): void => {
    this.#isDue = false
    this.#spent = 0
    this.#debt = Math.max(0, this.#debt - turnUnits)
    this.#serveSmall()
    this.#beginLarge()
    const isLargeDue = this.#freshLarge.size > 0 || (this.#large.size > 0 && !this.#isLargeBlocked)
    const isMore = isLargeDue || this.#fresh.size > 0 || this.#rest.size > 0
    if (isMore || this.#spent >= turnUnits) this.#schedule()
  }

  #serveSmall(): void {
    while (this.#spent < turnUnits) {
      const taker = first(this.#fresh) ?? first(this.#rest)
      if (taker === undefined) return
      this.#fresh.delete(taker)
      this.#rest.delete(taker)
      taker.deficit += quantumUnits
      if (taker.deficit > 0) {
        const cost = taker.serve(Math.min(taker.deficit, turnUnits - this.#spent))
        this.#spent += cost
        taker.deficit -= cost
      }
      if (taker.hasMore) this.#rest.add(taker)
      else taker.deficit = 0
    }
  }

  #beginLarge(): void {
    if (this.#freshLarge.size === 0 && (this.#large.size === 0 || this.#isLargeBlocked)) return
    const isOverdue = ++this.#turnsWithoutLarge >= largeTurnsMax
    if (!isOverdue && (this.#spent >= turnUnits || this.#debt > 0)) return
    const startMs = this.#env.clock.monotonicMs()
    if (this.#beginOneOf(this.#freshLarge) || (!this.#isLargeBlocked && this.#beginOneOf(this.#large))) {
      this.#turnsWithoutLarge = 0
      this.#debt += (this.#env.clock.monotonicMs() - startMs) * 1_000
      return
    }
    this.#isLargeBlocked = this.#large.size > 0
    if (this.#isLargeBlocked) this.#onBlocked()
  }

  #beginOneOf(takers: Set<TurnTaker>): boolean {
    for (let left = takers.size; left > 0; left--) {
      const taker = first(takers)!
      takers.delete(taker)
      const outcome = taker.beginLarge()
      if (outcome !== 'none') this.#large.add(taker)
      if (outcome === 'begun') return true
    }
    return false
  }
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const one of set) return one
  return undefined
}
