import type { Operation, RegisterValue } from './operations.js'

export interface SearchLimits {
  /** Distinct (set of placed operations, state) pairs looked at before the search gives up. */
  readonly statesMax: number
}

export type SearchResult =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'unknown'; readonly states: number }
  | { readonly kind: 'violation'; readonly state: RegisterValue; readonly placed: readonly Operation[]
      readonly stuck: readonly Operation[] }

/** An operation in the list of those that are not placed yet. Values are numbers: 0 is absent, -1 is "none given". */
interface Item {
  readonly operation: Operation
  readonly begin: number
  readonly end: number
  readonly expect: number
  readonly not: number
  readonly put: number
  /** Nobody ever saw the value it writes. */
  readonly isDead: boolean
  readonly hashHigh: number
  readonly hashLow: number
  previous: Item | undefined
  next: Item | undefined
}

const none = -1

/**
 * Is there an order of a single key's operations that a register could have shown? Wing & Gong's search with Lowe's memo of
 * (placed, state). Three shortcuts keep it near linear: a read that fits is placed at once; an operation of unknown
 * outcome is tried only while somebody is left who saw its value; a write that nobody saw goes right before the next write.
 *
 * Acceptance rests on a witness. Rejection rests on a memo of 53-bit hashes, so it is confirmed with other hashes.
 */
export function searchOrder(operations: readonly Operation[], initial: RegisterValue, limits: SearchLimits): SearchResult {
  const first = new Search(operations, initial, limits, 0x9e3779b9).run()
  return first.kind === 'violation' ? new Search(operations, initial, limits, 0x2545f491).run() : first
}

interface Frame {
  readonly state: number
  readonly high: number
  readonly low: number
  /** Placed on the way into this frame; taken out again when it is left. */
  readonly placed: readonly Item[]
  readonly candidates: readonly Item[]
  tried: number
}

class Search {
  readonly #head: Item
  readonly #values: RegisterValue[] = [null]
  readonly #numbers = new Map<string, number>()
  /** How many operations that are not placed need a value to be there. */
  readonly #seers: number[] = []
  readonly #seen = new Set<number>()
  readonly #limits: SearchLimits
  /** Somebody was told "not that value" without being told which: any write may have been what they met. */
  #hasBlindRefusal = false
  #left = 0
  #state: number
  #high = 0
  #low = 0
  #deepest = -1
  #placedCount = 0
  #witness: { state: number; placed: readonly Operation[]; stuck: readonly Operation[] } | undefined
  readonly #stack: Frame[] = []

  constructor(operations: readonly Operation[], initial: RegisterValue, limits: SearchLimits, salt: number) {
    this.#limits = limits
    this.#state = this.#number(initial)
    this.#head = sentinel()
    this.#build(operations, salt)
  }

  #number(value: RegisterValue): number {
    if (value === null) return 0
    const known = this.#numbers.get(value)
    if (known !== undefined) return known
    this.#values.push(value)
    this.#numbers.set(value, this.#values.length - 1)
    return this.#values.length - 1
  }

  #build(operations: readonly Operation[], salt: number): void {
    const numbered = (value: RegisterValue | undefined): number => value === undefined ? none : this.#number(value)
    const sorted = [...operations].sort((a, b) => a.begin - b.begin || a.id - b.id)
    const seen = new Set<number>()
    for (const one of sorted) {
      if (one.expect !== undefined) seen.add(this.#number(one.expect))
      else if (one.not !== undefined) this.#hasBlindRefusal = true
    }
    let random = salt | 0
    const nextHash = (): number => {
      random = (Math.imul(random ^ (random >>> 15), 0x85ebca6b) + 0x6d2b79f5) | 0
      return (Math.imul(random ^ (random >>> 13), 0xc2b2ae35) ^ random) >>> 0
    }
    let tail = this.#head
    for (const operation of sorted) {
      const put = numbered(operation.put)
      const isDead = put !== none && !this.#hasBlindRefusal && !seen.has(put)
      const item: Item = {
        operation, begin: operation.begin, end: operation.end, expect: numbered(operation.expect), not: numbered(operation.not),
        put, isDead, hashHigh: nextHash(), hashLow: nextHash() & 0x1fffff, previous: tail, next: undefined,
      }
      // It may be left out altogether: whatever it wrote, nobody saw it.
      if (item.end === Infinity && isDead) continue
      tail.next = item
      tail = item
      if (item.end !== Infinity) this.#left++
      if (item.expect !== none) this.#seers[item.expect] = (this.#seers[item.expect] ?? 0) + 1
    }
  }

  run(): SearchResult {
    this.#enter([])
    while (this.#left > 0) {
      const frame = this.#stack[this.#stack.length - 1]
      if (frame === undefined) return this.#violation()
      const candidate = frame.candidates[frame.tried++]
      if (candidate === undefined) {
        this.#leave(frame)
        continue
      }
      const placed = this.#place(candidate)
      if (this.#left === 0) break
      if (this.#isNew()) {
        if (this.#seen.size > this.#limits.statesMax) return { kind: 'unknown', states: this.#seen.size }
        this.#enter(placed)
      } else {
        this.#undo(placed, frame)
      }
    }
    return { kind: 'linearizable' }
  }

  #isNew(): boolean {
    const mixed = (this.#low ^ (Math.imul(this.#state, 0x9e3779b1) >>> 11)) & 0x1fffff
    const key = mixed * 0x100000000 + (this.#high ^ Math.imul(this.#state, 0x85ebca77) >>> 0) % 0x100000000
    if (this.#seen.has(key)) return false
    this.#seen.add(key)
    return true
  }

  #fits(item: Item): boolean {
    return (item.expect === none || item.expect === this.#state) && (item.not === none || item.not !== this.#state)
  }

  /** Fitting reads first, then what may come next. */
  #enter(placed: readonly Item[]): void {
    const all = [...placed]
    const candidates = this.#candidates(all)
    this.#stack.push({ state: this.#state, high: this.#high, low: this.#low, placed: all, candidates, tried: 0 })
    if (this.#placedCount > this.#deepest) {
      this.#deepest = this.#placedCount
      this.#witness = {
        state: this.#state, placed: this.#stack.flatMap(frame => frame.placed).slice(-12).map(item => item.operation),
        stuck: this.#minimal().filter(item => item.end !== Infinity).map(item => item.operation),
      }
    }
  }

  /** Operations that began before any unplaced one ended. */
  #minimal(): Item[] {
    const found: Item[] = []
    let earliestEnd = Infinity
    for (let item = this.#head.next; item !== undefined && item.begin <= earliestEnd; item = item.next) {
      found.push(item)
      if (item.end < earliestEnd) earliestEnd = item.end
    }
    return found
  }

  #candidates(placed: Item[]): Item[] {
    for (;;) {
      const minimal = this.#minimal()
      const read = minimal.find(item => item.put === none && this.#fits(item))
      if (read === undefined) return this.#ordered(minimal)
      this.#remove(read)
      placed.push(read)
    }
  }

  /** Known outcomes first; unknown ones only while somebody who saw their value is left; unseen writes last. */
  #ordered(minimal: readonly Item[]): Item[] {
    const known: Item[] = []
    const unknown: Item[] = []
    const dead: Item[] = []
    for (const item of minimal) {
      if (item.put === none || !this.#fits(item)) continue
      if (item.end === Infinity) {
        if (this.#mayBeSeen(item)) unknown.push(item)
      } else if (item.isDead) {
        dead.push(item)
      } else {
        known.push(item)
      }
    }
    return [...known, ...unknown, ...dead]
  }

  #mayBeSeen(item: Item): boolean {
    return this.#hasBlindRefusal || (this.#seers[item.put] ?? 0) > (item.expect === item.put ? 1 : 0)
  }

  #place(item: Item): Item[] {
    const placed: Item[] = []
    if (item.expect === none) {
      // It overwrites whatever is there, so unseen writes that may come now do no harm.
      for (const other of this.#minimal()) {
        if (other !== item && other.isDead && other.expect === none && other.end !== Infinity) {
          this.#remove(other)
          placed.push(other)
        }
      }
    }
    this.#remove(item)
    placed.push(item)
    this.#state = item.put
    return placed
  }

  #remove(item: Item): void {
    if (item.previous !== undefined) item.previous.next = item.next
    if (item.next !== undefined) item.next.previous = item.previous
    if (item.end !== Infinity) this.#left--
    if (item.expect !== none) this.#seers[item.expect]!--
    this.#high = (this.#high ^ item.hashHigh) >>> 0
    this.#low ^= item.hashLow
    this.#placedCount++
  }

  /** In the reverse order of placing, so that the neighbours are right again. */
  #putBack(placed: readonly Item[]): void {
    for (let at = placed.length - 1; at >= 0; at--) {
      const item = placed[at]!
      if (item.previous !== undefined) item.previous.next = item
      if (item.next !== undefined) item.next.previous = item
      if (item.end !== Infinity) this.#left++
      if (item.expect !== none) this.#seers[item.expect]!++
      this.#placedCount--
    }
  }

  #undo(placed: readonly Item[], frame: Frame): void {
    this.#putBack(placed)
    this.#state = frame.state
    this.#high = frame.high
    this.#low = frame.low
  }

  #leave(frame: Frame): void {
    this.#stack.pop()
    this.#putBack(frame.placed)
    const parent = this.#stack[this.#stack.length - 1]
    if (parent === undefined) return
    this.#state = parent.state
    this.#high = parent.high
    this.#low = parent.low
  }

  #violation(): SearchResult {
    const { state, placed, stuck } = this.#witness ?? { state: 0, placed: [], stuck: [] }
    return { kind: 'violation', state: this.#values[state] ?? null, placed, stuck }
  }
}

function sentinel(): Item {
  const operation: Operation = {
    id: -1, process: '', text: '', begin: -Infinity, end: Infinity, expect: undefined, not: undefined, put: undefined,
  }
  return {
    operation, begin: -Infinity, end: Infinity, expect: none, not: none, put: none, isDead: false, hashHigh: 0, hashLow: 0,
    previous: undefined, next: undefined,
  }
}
