import { assert } from '../../common/assert.js'
import type { RegionRecord } from './region-record.js'

const leafRecordsMax = 512

/**
 * Records ordered by start key: a two-level B+tree, leaves of at most 512 under one sorted root. Search is O(log n);
 * an insert moves at most one leaf, and the root (4,000 leaves for a million regions) once in 256 inserts.
 * Start keys are unique.
 */
export class RegionIndex {
  /** None is empty, except a sole one. */
  #leaves: RegionRecord[][] = [[]]
  #size = 0

  get size(): number { return this.#size }

  /** The leaf that holds, or would hold, `start`. */
  #leafOf(start: string): number {
    let low = 0
    let high = this.#leaves.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (this.#leaves[middle]![0]!.start <= start) low = middle
      else high = middle
    }
    return low
  }

  /** How many records of the leaf start at or before `start`. */
  static #rankIn(leaf: readonly RegionRecord[], start: string): number {
    let low = 0
    let high = leaf.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (leaf[middle]!.start <= start) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The last record that starts at or before `start`. */
  floor(start: string): RegionRecord | undefined {
    const leaf = this.#leaves[this.#leafOf(start)]!
    return leaf[RegionIndex.#rankIn(leaf, start) - 1]
  }

  /** The last record that starts before `start`. */
  lower(start: string): RegionRecord | undefined {
    const at = this.#leafOf(start)
    const leaf = this.#leaves[at]!
    let rank = RegionIndex.#rankIn(leaf, start)
    if (leaf[rank - 1]?.start === start) rank--
    return rank > 0 ? leaf[rank - 1] : this.#leaves[at - 1]?.at(-1)
  }

  last(): RegionRecord | undefined { return this.#leaves[this.#leaves.length - 1]!.at(-1) }

  /** Visits records that start after `start`, upwards, until `visit` says false. */
  walkAfter(start: string, visit: (record: RegionRecord) => boolean): void {
    let at = this.#leafOf(start)
    let rank = RegionIndex.#rankIn(this.#leaves[at]!, start)
    for (; at < this.#leaves.length; at++, rank = 0) {
      const leaf = this.#leaves[at]!
      for (; rank < leaf.length; rank++) if (!visit(leaf[rank]!)) return
    }
  }

  /** Visits all, in order, until `visit` says false. */
  walk(visit: (record: RegionRecord) => boolean): void {
    for (const leaf of this.#leaves) for (const record of leaf) if (!visit(record)) return
  }

  /** Inserts, or replaces the record with the same start key. */
  put(record: RegionRecord): void {
    const at = this.#leafOf(record.start)
    const leaf = this.#leaves[at]!
    const rank = RegionIndex.#rankIn(leaf, record.start)
    if (rank > 0 && leaf[rank - 1]!.start === record.start) {
      leaf[rank - 1] = record
      return
    }
    leaf.splice(rank, 0, record)
    this.#size++
    if (leaf.length <= leafRecordsMax) return
    // Keys often arrive in ascending order: then the full leaf stays full.
    const cut = rank === leaf.length - 1 ? leaf.length - 1 : leaf.length >>> 1
    this.#leaves.splice(at + 1, 0, leaf.splice(cut))
  }

  remove(start: string): void {
    const at = this.#leafOf(start)
    const leaf = this.#leaves[at]!
    const rank = RegionIndex.#rankIn(leaf, start)
    assert(rank > 0 && leaf[rank - 1]!.start === start, 'the region to remove is not in the index')
    leaf.splice(rank - 1, 1)
    this.#size--
    if (this.#leaves.length === 1) return
    const next = this.#leaves[at + 1]
    if (leaf.length === 0) this.#leaves.splice(at, 1)
    else if (next !== undefined && leaf.length + next.length <= leafRecordsMax / 2) {
      for (const record of next) leaf.push(record)
      this.#leaves.splice(at + 1, 1)
    }
  }
}
