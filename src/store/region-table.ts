import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import type { RegionId } from '../common/ids.js'
import type { Region } from '../common/region.js'

/** A block that grows beyond is cut in two. */
const blockMax = 256

/** A place between regions: before `blocks[block][at]`; behind all: block = blocks.length. */
interface Place {
  block: number
  at: number
}

/**
 * The ranges that this store holds or is about to receive, sorted by start key. No two overlap, ever: the door for a new
 * range is `overlapping`. Sorted blocks of a few hundred: a look-up is O(log n), a change moves one block, so that a store
 * with a hundred thousand regions recovers in a moment.
 */
export class RegionTable {
  /** None is empty. */
  readonly #blocks: Region[][] = []
  readonly #byId = new Map<RegionId, Region>()

  get size(): number { return this.#byId.size }

  get(regionId: RegionId): Region | undefined { return this.#byId.get(regionId) }

  /** Adds or replaces. @param isPlanted P17 lets ranges overlap */
  set(region: Region, isPlanted = false): void {
    this.delete(region.regionId)
    assert(isPlanted || this.overlapping(region.startKey, region.endKey).length === 0,
      () => `region ${region.regionId} overlaps region ${this.overlapping(region.startKey, region.endKey)[0]?.regionId}`)
    this.#insert(this.#lowerBound(region.startKey), region)
    this.#byId.set(region.regionId, region)
  }

  #insert(place: Place, region: Region): void {
    const blocks = this.#blocks
    if (blocks.length === 0) blocks.push([])
    // Behind all: the last block takes it.
    const index = Math.min(place.block, blocks.length - 1)
    const block = blocks[index]!
    block.splice(place.block === index ? place.at : block.length, 0, region)
    if (block.length > blockMax) blocks.splice(index + 1, 0, block.splice(blockMax / 2))
  }

  delete(regionId: RegionId): void {
    const known = this.#byId.get(regionId)
    if (known === undefined) return
    this.#byId.delete(regionId)
    const place = this.#lowerBound(known.startKey)
    // Only planted bugs let two regions begin at one key.
    while (this.#at(place) !== known) this.#forward(place)
    const block = this.#blocks[place.block]!
    block.splice(place.at, 1)
    if (block.length === 0) this.#blocks.splice(place.block, 1)
  }

  /** The region that holds `key`. */
  at(key: Uint8Array): Region | undefined {
    const found = this.overlapping(key, undefined)
    return found[0]
  }

  /** All regions that share a key with [start, end), ascending; empty end = no bound; undefined end = just the one key. */
  overlapping(start: Uint8Array, end: Uint8Array | undefined): Region[] {
    const found: Region[] = []
    const place = this.#lowerBound(start)
    const before = this.#before(place)
    if (before !== undefined && (before.endKey.length === 0 || compareBytes(before.endKey, start) > 0)) found.push(before)
    for (let region = this.#at(place); region !== undefined; region = this.#forward(place)) {
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
    const place = this.#lowerBound(region.startKey)
    for (let edge = region.startKey; found.length < count;) {
      const left = this.#before(place)
      if (left === undefined || compareBytes(left.endKey, edge) !== 0) break
      found.push(left)
      edge = left.startKey
      this.#backward(place)
    }
    return found
  }

  #at({ block, at }: Place): Region | undefined { return this.#blocks[block]?.[at] }

  #before({ block, at }: Place): Region | undefined { return at > 0 ? this.#blocks[block]![at - 1] : this.#blocks[block - 1]?.at(-1) }

  /** @returns what is there now */
  #forward(place: Place): Region | undefined {
    if (++place.at >= this.#blocks[place.block]!.length) {
      place.block++
      place.at = 0
    }
    return this.#at(place)
  }

  #backward(place: Place): void {
    if (place.at === 0) place.at = this.#blocks[--place.block]!.length
    place.at--
  }

  /** The first region whose start key is >= key. */
  #lowerBound(key: Uint8Array): Place {
    const block = firstNotBelow(this.#blocks.length, at => this.#blocks[at]!.at(-1)!.startKey, key)
    const regions = this.#blocks[block]
    return { block, at: regions === undefined ? 0 : firstNotBelow(regions.length, at => regions[at]!.startKey, key) }
  }
}

function firstNotBelow(length: number, keyAt: (at: number) => Uint8Array, key: Uint8Array): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(keyAt(middle), key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
