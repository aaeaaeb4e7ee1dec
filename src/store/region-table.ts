import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import type { RegionId } from '../common/ids.js'
import type { Region } from '../common/region.js'

/**
 * The ranges that this store holds or is about to receive, sorted by start key. No two overlap, ever: the door for a new
 * range is `overlapping`. Lookups are O(log n); changes shift an array, which thousands of regions do not notice.
 */
export class RegionTable {
  #sorted: Region[] = []
  readonly #byId = new Map<RegionId, Region>()

  get size(): number { return this.#sorted.length }
  /** Ascending by start key; not to be kept across changes. */
  get regions(): readonly Region[] { return this.#sorted }

  get(regionId: RegionId): Region | undefined { return this.#byId.get(regionId) }

  /** Adds or replaces. @param isPlanted P17 lets ranges overlap */
  set(region: Region, isPlanted = false): void {
    this.delete(region.regionId)
    assert(isPlanted || this.overlapping(region.startKey, region.endKey).length === 0,
      () => `region ${region.regionId} overlaps region ${this.overlapping(region.startKey, region.endKey)[0]?.regionId}`)
    this.#sorted.splice(this.#lowerBound(region.startKey), 0, region)
    this.#byId.set(region.regionId, region)
  }

  delete(regionId: RegionId): void {
    const known = this.#byId.get(regionId)
    if (known === undefined) return
    this.#byId.delete(regionId)
    this.#sorted.splice(this.#sorted.indexOf(known, Math.max(0, this.#lowerBound(known.startKey))), 1)
  }

  /** The region that holds `key`. */
  at(key: Uint8Array): Region | undefined {
    const found = this.overlapping(key, undefined)
    return found[0]
  }

  /** All regions that share a key with [start, end), ascending; empty end = no bound; undefined end = just the one key. */
  overlapping(start: Uint8Array, end: Uint8Array | undefined): Region[] {
    const found: Region[] = []
    let at = this.#lowerBound(start)
    const before = this.#sorted[at - 1]
    if (before !== undefined && (before.endKey.length === 0 || compareBytes(before.endKey, start) > 0)) at--
    for (; at < this.#sorted.length; at++) {
      const region = this.#sorted[at]!
      const beyond = end === undefined
        ? compareBytes(region.startKey, start) > 0
        : end.length > 0 && compareBytes(region.startKey, end) >= 0
      if (beyond) break
      found.push(region)
    }
    return found
  }

  /** Up to `count` regions directly left of this one, nearest first, as long as they touch: a split leaves them there. */
  leftNeighbours(region: Region, count: number): Region[] {
    const found: Region[] = []
    let edge = region.startKey
    for (let at = this.#lowerBound(region.startKey) - 1; at >= 0 && found.length < count; at--) {
      const left = this.#sorted[at]!
      if (compareBytes(left.endKey, edge) !== 0) break
      found.push(left)
      edge = left.startKey
    }
    return found
  }

  /** First position whose start key is >= key. */
  #lowerBound(key: Uint8Array): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.#sorted[middle]!.startKey, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
