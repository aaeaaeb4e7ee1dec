import { assert } from '../common/assert.js'
import type { SimRandom } from './random.js'

export interface Scheduled {
  readonly time: number
  readonly tie: number
  run: (() => void) | undefined
}

/**
 * Simulated time in ms and what will happen in it. Events of equal time run in a *drawn* order, not in the order of
 * scheduling, so that every order comes up over many seeds. A binary heap; cancelled events stay in it, empty.
 */
export class Scheduler {
  readonly #heap: Scheduled[] = []
  readonly #random: SimRandom
  #now = 0
  #events = 0

  constructor(random: SimRandom) {
    this.#random = random
  }

  get now(): number { return this.#now }
  get events(): number { return this.#events }
  get pending(): number { return this.#heap.length }

  after(delayMs: number, run: () => void): Scheduled {
    return this.at(this.#now + delayMs, run)
  }

  at(time: number, run: () => void): Scheduled {
    assert(time >= this.#now, () => `an event in the past: ${time} < ${this.#now}`)
    const event: Scheduled = { time, tie: this.#random.float(), run }
    this.#push(event)
    return event
  }

  /** Runs the next event that is due by `until`. @returns false when there is none. */
  step(until: number): boolean {
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.time > until) {
        if (this.#now < until && until !== Infinity) this.#now = until
        return false
      }
      this.#pop()
      if (next.run === undefined) continue
      this.#now = next.time
      this.#events++
      const { run } = next
      next.run = undefined
      run()
      return true
    }
  }

  #push(event: Scheduled): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]!
      if (above.time < event.time || (above.time === event.time && above.tie <= event.tie)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    const length = heap.length
    if (length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      const right = child + 1
      if (right < length && isBefore(heap[right]!, heap[child]!)) child = right
      const below = heap[child]!
      if (!isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
  }
}

function isBefore(left: Scheduled, right: Scheduled): boolean {
  return left.time < right.time || (left.time === right.time && left.tie < right.tie)
}
