import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import { limits } from '../common/limits.js'
import { engineKeyOf, userKeyOf, wireKeyOf } from '../rawkv/codec.js'
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
    for (let left = rowsMax; left > 0 && compareBytes(start, end) < 0;) {
      const page = isReverse ? await this.#down(start, end, left) : await this.#up(start, end, left)
      const last = page.rows.at(-1)
      assert(last !== undefined || !page.more, 'a page of a scan is empty only at the end of its range')
      const { region } = page.route
      if (isReverse) end = page.more ? last!.key : lower(start, region.startKey)
      else start = page.more ? nextKey(last!.key) : upper(end, region.endKey)
      left -= page.rows.length
      if (page.rows.length > 0) yield page.rows.map(row => ({ key: userKeyOf(row.key), value: row.value }))
    }
  }

  #up(start: Uint8Array, end: Uint8Array, left: number): Promise<Page> {
    return this.#page({ key: engineKeyOf(start), isBefore: false }, () => start, end, left)
  }

  #down(start: Uint8Array, end: Uint8Array, left: number): Promise<Page> {
    return this.#page({ key: engineKeyOf(end), isBefore: true }, route => lower(start, route.region.startKey), end, left)
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
function lower(start: Uint8Array, boundary: Uint8Array): Uint8Array {
  return compareBytes(boundary, engineKeyOf(start)) > 0 ? wireKeyOf(boundary) : start
}

/** The region's end where it lies below `end`. */
export function upper(end: Uint8Array, boundary: Uint8Array): Uint8Array {
  return boundary.length > 0 && compareBytes(boundary, engineKeyOf(end)) < 0 ? wireKeyOf(boundary) : end
}
