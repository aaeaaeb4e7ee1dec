import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import { limits } from '../common/limits.js'
import { ceilWireKey, engineKeyOf, userKeyOf, wirePrefixBytes } from '../rawkv/codec.js'
import { boundBytesMax } from '../rawkv/limits.js'
import type { Row } from '../engine/api.js'
import { nextKey } from './arguments.js'
import { InvalidArgumentError } from './errors.js'
import type { KarstError } from './errors.js'
import type { CallSettings } from './region-call.js'
import type { Route } from './region-cache.js'
import type { Router } from './router.js'

export interface ScanShape {
  /** Wire keys, both set. */
  readonly start: Uint8Array
  readonly end: Uint8Array
  readonly rowsMax: number
  readonly keysOnly: boolean
  readonly isReverse: boolean
  readonly pageRows: number
}

interface Page {
  readonly rows: readonly Row[]
  readonly more: boolean
  readonly route: Route
}

/**
 * Rows of a range in key order (or against it), read page by page as they are asked for. Each page is linearizable by
 * itself and has the whole time-out; rows that change between two pages are seen or not, as with every raw scan.
 */
export class RawScan implements AsyncIterable<Row> {
  readonly #router: Router
  readonly #shape: ScanShape
  readonly #settings: CallSettings

  constructor(router: Router, shape: ScanShape, settings: CallSettings) {
    const { pageRows, rowsMax } = shape
    if (!Number.isInteger(pageRows) || pageRows < 1 || pageRows > limits.scanRowsMax) {
      throw new InvalidArgumentError(`pageRows is a whole number from 1 to ${limits.scanRowsMax}`)
    }
    if (rowsMax !== Infinity && (!Number.isInteger(rowsMax) || rowsMax < 0)) {
      throw new InvalidArgumentError('limit is a whole number of rows')
    }
    this.#router = router
    this.#shape = shape
    this.#settings = settings
  }

  /** All rows at once; give a limit unless the range is known to be small. */
  async toArray(): Promise<Row[]> {
    const all: Row[] = []
    for await (const rows of this.pages()) for (const row of rows) all.push(row)
    return all
  }

  async* [Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const rows of this.pages()) yield* rows
  }

  /** Rows as they come from the servers; no page is empty. */
  async* pages(): AsyncGenerator<readonly Row[], void, undefined> {
    const { isReverse, rowsMax } = this.#shape
    let { start, end } = this.#shape
    let behind = engineKeyOf(end)
    for (let left = rowsMax; left > 0 && compareBytes(start, end) < 0;) {
      const page = isReverse ? await this.#down({ start, end, behind }, left) : await this.#up(start, end, left)
      if (page === undefined) return
      const last = page.rows.at(-1)
      assert(last !== undefined || !page.more, 'a page of a scan is empty only at the end of its range')
      const { region } = page.route
      if (!isReverse) start = page.more ? nextKey(last!.key) : upper(start, end, region.endKey)
      else if (page.more) {
        end = last!.key
        behind = engineKeyOf(end)
      } else if (compareBytes(region.startKey, engineKeyOf(start)) > 0) behind = region.startKey
      else end = start
      left -= page.rows.length
      if (page.rows.length > 0) yield page.rows.map(row => ({ key: userKeyOf(row.key), value: row.value }))
    }
  }

  #up(start: Uint8Array, end: Uint8Array, left: number): Promise<Page> {
    return this.#page({ key: engineKeyOf(start), isBefore: false }, () => start, end, left)
  }

  /**
   * The region that holds the greatest keys below `behind`, a key or a boundary. Regions in which no key of ours can be are
   * passed over: nothing could be asked of them. @returns undefined when that was the last one
   */
  async #down({ start, end, behind }: { start: Uint8Array; end: Uint8Array; behind: Uint8Array }, left: number): Promise<Page | undefined> {
    for (let key = behind; ;) {
      const { region } = await this.#router.locate({ key, isBefore: true }, this.#settings)
      if (compareBytes(engineKeyOf(lower(start, end, region.startKey)), key) < 0) {
        return await this.#page({ key, isBefore: true }, route => lower(start, end, route.region.startKey), end, left)
      }
      if (compareBytes(region.startKey, engineKeyOf(start)) <= 0) return undefined
      key = region.startKey
    }
  }

  async #page(
    place: { readonly key: Uint8Array; readonly isBefore: boolean }, startIn: (route: Route) => Uint8Array,
    end: Uint8Array, left: number,
  ): Promise<Page> {
    const { keysOnly, isReverse, pageRows } = this.#shape
    const rowsMax = Math.min(left, pageRows)
    const outcome = await this.#router.call('RawScan', place, (context, route) =>
      ({ context, start: startIn(route), end, rowsMax, keysOnly, reverse: isReverse }), this.#settings)
    if (outcome.kind === 'done') return { ...outcome.value, route: outcome.route }
    throw outcomeError(outcome)
  }
}

export function outcomeError(outcome: { kind: 'failed'; error: KarstError } | { kind: 'reroute' }): KarstError {
  assert(outcome.kind === 'failed', 'only batches refuse routes')
  return outcome.error
}

/** The region's start where it lies above `start`: wire keys in and out, the boundary is an engine key. */
function lower(start: Uint8Array, end: Uint8Array, boundary: Uint8Array): Uint8Array {
  return compareBytes(boundary, engineKeyOf(start)) > 0 ? firstKey(start, end, boundary) : start
}

/** The region's end where it lies below `end`. */
export function upper(start: Uint8Array, end: Uint8Array, boundary: Uint8Array): Uint8Array {
  return boundary.length > 0 && compareBytes(boundary, engineKeyOf(end)) < 0 ? firstKey(start, end, boundary) : end
}

/** The first key in (start, end) that is not before the boundary, and that a server takes as a bound; `end`: there is none. */
function firstKey(start: Uint8Array, end: Uint8Array, boundary: Uint8Array): Uint8Array {
  let key = ceilWireKey(boundary)
  if (key.length > wirePrefixBytes + boundBytesMax) {
    // Longer than any key: what comes next is the first one above all that begin so.
    let length = wirePrefixBytes + boundBytesMax
    while (length > wirePrefixBytes && key[length - 1] === 0xff) length--
    if (length === wirePrefixBytes) return end
    key = key.slice(0, length)
    key[length - 1]!++
  }
  const isOurs = key.length >= wirePrefixBytes && compareBytes(key.subarray(0, wirePrefixBytes), start.subarray(0, wirePrefixBytes)) === 0
  return isOurs && compareBytes(key, end) < 0 ? key : end
}
