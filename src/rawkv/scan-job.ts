import { assert } from '../common/assert.js'
import { compareBytes, emptyBytes } from '../common/bytes.js'
import type { Env } from '../common/env.js'
import { err, ok } from '../common/result.js'
import { Cf } from '../engine/api.js'
import type { Hot, Row, ScanOptions, ScanPage } from '../engine/api.js'
import type { RegionStore, RegionView } from '../store/api.js'
import type { RawScanRequest, RpcResult } from '../wire/messages.js'
import { afterEngineKey, engineKeyOf, liveValue, storedTailBytes, wireKeyLength, writeWireKey } from './codec.js'
import { turnBytesMax, turnRowsMax } from './limits.js'
import { clipEnd, rangeEnd } from './ranges.js'
import { readFailure, readLater } from './raw-reads.js'

/**
 * One scan of one region, in either direction. An answer holds at least one row unless the range is exhausted,
 * because the client resumes behind the last row it got. It ends with a turn's worth of rows and says `more`. Where a
 * whole page has expired or was deleted, the job goes on behind it in a later turn, with a fresh view and while its
 * deadline lasts, so that a field of dead rows never stalls the loop.
 */
export class RawScanJob {
  readonly #store: RegionStore
  readonly #env: Env
  readonly #request: RawScanRequest
  readonly #respond: (result: RpcResult<'RawScan'>) => void
  readonly #isLate: () => boolean
  /** What is still to be read: [start, end) of engine keys. */
  #start: Uint8Array
  #end: Uint8Array
  /** Where the region is checked: stays put while `#start` moves on. */
  readonly #anchor: Uint8Array

  constructor(
    store: RegionStore, env: Env, request: RawScanRequest,
    respond: (result: RpcResult<'RawScan'>) => void, isLate: () => boolean,
  ) {
    this.#store = store
    this.#env = env
    this.#request = request
    this.#respond = respond
    this.#isLate = isLate
    this.#start = engineKeyOf(request.start)
    this.#anchor = this.#start
    this.#end = rangeEnd(request.start, request.end)
  }

  run(): void {
    if (this.#isLate()) return this.#respond(err({ kind: 'DeadlineExceeded' }))
    const range = { start: this.#anchor, end: emptyBytes, single: true }
    this.#store.read(this.#request.context, range, result => {
      if (result.ok) this.#page(result.value)
      else this.#respond(result)
    })
  }

  #page(view: RegionView): void {
    const { rowsMax, reverse, keysOnly } = this.#request
    const end = clipEnd(this.#end, view.region)
    if (compareBytes(this.#start, end) >= 0) return this.#respond(ok({ rows: [], more: false }))
    const options: ScanOptions = {
      cf: Cf.Default, start: this.#start, end, rowsMax: Math.min(rowsMax, turnRowsMax), bytesMax: turnBytesMax, reverse,
      ...(keysOnly && { valueTailBytes: storedTailBytes }),
    }
    let page: Hot<ScanPage>
    try {
      page = view.reader.tryScan(options)
    } catch (error) {
      return this.#respond(err(readFailure(view, error)))
    }
    if (page !== 'cold') return this.#take(page, view.nowMs)
    readLater<ScanPage>(view, done => view.reader.scanLater(options, done), found => { this.#take(found, view.nowMs) }, this.#respond)
  }

  #take(page: ScanPage, nowMs: number): void {
    const { reverse, keysOnly } = this.#request
    const rows = liveRows(page.rows, nowMs, keysOnly)
    const last = page.rows.at(-1)
    if (rows.length > 0 || !page.more) return this.#respond(ok({ rows, more: page.more }))
    const key = page.resume ?? last?.key
    assert(key !== undefined, 'a page with more behind it says where')
    if (reverse) this.#end = key
    else this.#start = page.resume === undefined ? afterEngineKey(key) : key
    this.#env.defer(() => { this.run() })
  }
}

/** Drops the expired, decodes the rest: all keys of a page into one buffer. */
// hot path: bench raw-service
function liveRows(page: readonly Row[], nowMs: number, keysOnly: boolean): Row[] {
  let bytes = 0
  for (const row of page) bytes += row.key.length
  const keys = new Uint8Array(bytes)
  const rows: Row[] = []
  let at = 0
  for (const row of page) {
    const value = liveValue(row.value, nowMs)
    if (value === undefined) continue
    const end = writeWireKey(keys, at, row.key, wireKeyLength(row.key))
    rows.push({ key: keys.subarray(at, end), value: keysOnly ? emptyBytes : value })
    at = end
  }
  return rows
}
