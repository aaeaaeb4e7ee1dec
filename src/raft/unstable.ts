import { assert } from '../common/assert.js'
import { countWithin } from './message.js'
import type { Entry, RaftSnapshot } from './types.js'

/**
 * The tail of the log, and perhaps a snapshot, that is not yet known to be durable.
 *
 *   storage …… offset-1 | offset …… offsetInProgress-1 | offsetInProgress …… last
 *      durable          |  being written               |  not yet handed out
 *
 * `offset` may lie below storage's last index: then the next write truncates storage first.
 */
export class Unstable {
  snapshot: RaftSnapshot | undefined
  snapshotInProgress = false
  offset: number
  offsetInProgress: number
  /** entries[i] has index offset + i. Never aliased outside: callers get copies of ranges. */
  #entries: Entry[] = []

  constructor(offset: number) {
    this.offset = offset
    this.offsetInProgress = offset
  }

  get length(): number { return this.#entries.length }
  get hasNext(): boolean { return this.offset + this.#entries.length > this.offsetInProgress }

  /** undefined: storage knows. */
  firstIndex(): number | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.meta.index + 1
  }

  lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.offset + this.#entries.length - 1
    return this.snapshot?.meta.index
  }

  term(index: number): number | undefined {
    if (index < this.offset) return this.snapshot?.meta.index === index ? this.snapshot.meta.term : undefined
    return this.#entries[index - this.offset]?.term
  }

  /** What nobody has begun to write. */
  nextEntries(): Entry[] {
    return this.#entries.slice(this.offsetInProgress - this.offset)
  }

  nextSnapshot(): RaftSnapshot | undefined {
    return this.snapshotInProgress ? undefined : this.snapshot
  }

  /** Somebody is writing all of it now. */
  acceptInProgress(): void {
    this.offsetInProgress = this.offset + this.#entries.length
    if (this.snapshot !== undefined) this.snapshotInProgress = true
  }

  /**
   * Entries up to `index` are durable, provided the entry there still has that term: otherwise it was
   * replaced since the write began, and this says nothing about the replacement.
   */
  stableTo(index: number, term: number): void {
    if (index < this.offset || this.term(index) !== term) return
    this.#entries = this.#entries.slice(index + 1 - this.offset)
    this.offset = index + 1
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset)
  }

  stableSnapshotTo(index: number): void {
    if (this.snapshot?.meta.index !== index) return
    this.snapshot = undefined
    this.snapshotInProgress = false
  }

  /** The snapshot takes the place of everything. */
  restore(snapshot: RaftSnapshot): void {
    this.offset = snapshot.meta.index + 1
    this.offsetInProgress = this.offset
    this.#entries = []
    this.snapshot = snapshot
    this.snapshotInProgress = false
  }

  /** Appends entries, dropping whatever was at their first index and beyond. */
  truncateAndAppend(entries: readonly Entry[], start = 0): void {
    const from = entries[start]!.index
    assert(from <= this.offset + this.#entries.length, 'hole in the unstable log')
    if (from <= this.offset) {
      this.#entries = []
      this.offset = from
      this.offsetInProgress = from
    } else {
      this.#entries.length = from - this.offset
      this.offsetInProgress = Math.min(this.offsetInProgress, from)
    }
    for (let i = start; i < entries.length; i++) this.#entries.push(entries[i]!)
  }

  /** [low, high) as far as it fits into bytesMax, at least one. All must be here. */
  slice(low: number, high: number, bytesMax: number): Entry[] {
    const from = low - this.offset
    const to = high - this.offset
    assert(from >= 0 && from <= to && to <= this.#entries.length, 'range outside of the unstable log')
    return this.#entries.slice(from, from + countWithin(this.#entries, from, to, bytesMax))
  }
}
