import { compareBytes, emptyBytes } from '../common/bytes.js'
import type { Env } from '../common/env.js'
import type { RequestError, ServerError } from '../common/errors.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import { allocateRecords } from '../store/api.js'
import type { KeyRange, RegionStore } from '../store/api.js'
import type { RpcHandlerContext, RpcHandlers } from '../transport/api.js'
import type { RawPair, RequestContext, RpcName, RpcResult, Requests } from '../wire/messages.js'
import { afterEngineKey, engineKeyOf } from './codec.js'
import { decodeCasResult } from './evaluator.js'
import { checkBatch, checkEntry, checkKey, checkRange, checkRows, checkTtl } from './limits.js'
import { readBatch, readTtl, readValue } from './raw-reads.js'
import {
  casBytes, deleteBytes, deleteRangeRecord, putBytes, recordKey, writeCas, writeDelete, writePut,
} from './records.js'
import { clipEnd, rangeEnd } from './ranges.js'
import { RawScanJob } from './scan-job.js'

type Respond<N extends RpcName> = (result: RpcResult<N>) => void

const done = ok({})
const late: Result<never, ServerError> = err({ kind: 'DeadlineExceeded' })
const busy: Result<never, ServerError> =
  err({ kind: 'ServerIsBusy', reason: 'too many proposals under way', backoffMs: 20 })

const single = (start: Uint8Array): KeyRange => ({ start, end: emptyBytes, single: true })

/**
 * The raw API of one store. Every request is checked here before raft sees it; keys become engine keys here.
 * Ranges: the start key must lie in the region of the context, the end is clipped to the region (and to the keyspace).
 */
export function createRawHandlers(store: RegionStore, env: Env): RpcHandlers {
  const service = new RawService(store, env)
  return {
    RawGet: (request, respond, context) => service.get(request, respond, context),
    RawPut: (request, respond, context) => service.put(request, respond, context),
    RawDelete: (request, respond, context) => service.delete(request, respond, context),
    RawBatchGet: (request, respond, context) => service.batchGet(request, respond, context),
    RawBatchPut: (request, respond, context) => service.batchPut(request, respond, context),
    RawBatchDelete: (request, respond, context) => service.batchDelete(request, respond, context),
    RawScan: (request, respond, context) => service.scan(request, respond, context),
    RawDeleteRange: (request, respond, context) => service.deleteRange(request, respond, context),
    RawCas: (request, respond, context) => service.compareAndSwap(request, respond, context),
    RawGetTtl: (request, respond, context) => service.getTtl(request, respond, context),
  }
}

class RawService {
  readonly #store: RegionStore
  readonly #env: Env

  constructor(store: RegionStore, env: Env) {
    this.#store = store
    this.#env = env
  }

  // hot path: bench raw-service
  get(request: Requests['RawGet'], respond: Respond<'RawGet'>, rpc: RpcHandlerContext): void {
    const refusal = checkKey(request.key)
    if (refusal) return respond(err(refusal))
    if (this.#isLate(request.context, rpc)) return respond(late)
    const key = engineKeyOf(request.key)
    this.#store.read(request.context, single(key), result => {
      if (result.ok) readValue(result.value, key, respond)
      else respond(result)
    })
  }

  // hot path: bench raw-service
  put(request: Requests['RawPut'], respond: Respond<'RawPut'>, rpc: RpcHandlerContext): void {
    const { key, value, ttlSeconds } = request
    const bytes = putBytes(key, value, ttlSeconds)
    const refusal = checkKey(key) ?? checkTtl(ttlSeconds) ?? checkEntry(bytes)
    if (refusal) return respond(err(refusal))
    if (this.#isLate(request.context, rpc)) return respond(late)
    if (this.#store.isBusy) return respond(busy)
    const records = allocateRecords(bytes)
    writePut(records, 0, key, value, ttlSeconds)
    this.#store.write(request.context, single(recordKey(records, 0, key)), records, result =>
      respond(result.ok ? done : result))
  }

  delete(request: Requests['RawDelete'], respond: Respond<'RawDelete'>, rpc: RpcHandlerContext): void {
    const refusal = checkKey(request.key)
    if (!this.#mayWrite(refusal, request.context, respond, rpc)) return
    const records = new Uint8Array(deleteBytes(request.key))
    writeDelete(records, 0, request.key)
    this.#store.write(request.context, single(recordKey(records, 0, request.key)), records, result =>
      respond(result.ok ? done : result))
  }

  compareAndSwap(request: Requests['RawCas'], respond: Respond<'RawCas'>, rpc: RpcHandlerContext): void {
    const bytes = casBytes(request.key, request)
    const refusal = checkKey(request.key) ?? checkTtl(request.ttlSeconds) ?? checkEntry(bytes)
    if (!this.#mayWrite(refusal, request.context, respond, rpc)) return
    const records = new Uint8Array(bytes)
    writeCas(records, 0, request.key, request)
    this.#store.write(request.context, single(recordKey(records, 0, request.key)), records, result =>
      respond(result.ok ? ok(decodeCasResult(result.value[0] ?? emptyBytes)) : result))
  }

  getTtl(request: Requests['RawGetTtl'], respond: Respond<'RawGetTtl'>, rpc: RpcHandlerContext): void {
    const refusal = checkKey(request.key)
    if (refusal) return respond(err(refusal))
    if (this.#isLate(request.context, rpc)) return respond(late)
    const key = engineKeyOf(request.key)
    this.#store.read(request.context, single(key), result => {
      if (result.ok) readTtl(result.value, key, respond)
      else respond(result)
    })
  }

  batchGet(request: Requests['RawBatchGet'], respond: Respond<'RawBatchGet'>, rpc: RpcHandlerContext): void {
    const refusal = checkBatch(request.keys.length) ?? firstRefusal(request.keys)
    if (refusal) return respond(err(refusal))
    if (this.#isLate(request.context, rpc)) return respond(late)
    const keys = request.keys.map(engineKeyOf)
    this.#store.read(request.context, rangeOf(keys), result => {
      if (result.ok) readBatch(result.value, keys, request.prefixWelcome, respond)
      else respond(result)
    })
  }

  batchPut(request: Requests['RawBatchPut'], respond: Respond<'RawBatchPut'>, rpc: RpcHandlerContext): void {
    const { pairs } = request
    let bytes = 0
    for (const pair of pairs) bytes += putBytes(pair.key, pair.value, pair.ttlSeconds)
    const refusal = checkBatch(pairs.length) ?? firstPairRefusal(pairs) ?? checkEntry(bytes)
    if (!this.#mayWrite(refusal, request.context, respond, rpc)) return
    const records = allocateRecords(bytes)
    const keys: Uint8Array[] = []
    let at = 0
    for (const pair of pairs) {
      keys.push(recordKey(records, at, pair.key))
      at = writePut(records, at, pair.key, pair.value, pair.ttlSeconds)
    }
    this.#store.write(request.context, rangeOf(keys), records, result => respond(result.ok ? done : result))
  }

  batchDelete(request: Requests['RawBatchDelete'], respond: Respond<'RawBatchDelete'>, rpc: RpcHandlerContext): void {
    let bytes = 0
    for (const key of request.keys) bytes += deleteBytes(key)
    const refusal = checkBatch(request.keys.length) ?? firstRefusal(request.keys) ?? checkEntry(bytes)
    if (!this.#mayWrite(refusal, request.context, respond, rpc)) return
    const records = new Uint8Array(bytes)
    const keys: Uint8Array[] = []
    let at = 0
    for (const key of request.keys) {
      keys.push(recordKey(records, at, key))
      at = writeDelete(records, at, key)
    }
    this.#store.write(request.context, rangeOf(keys), records, result => respond(result.ok ? done : result))
  }

  scan(request: Requests['RawScan'], respond: Respond<'RawScan'>, rpc: RpcHandlerContext): void {
    const refusal = checkRange(request.start, request.end) ?? checkRows(request.rowsMax)
    if (refusal) return respond(err(refusal))
    new RawScanJob(this.#store, this.#env, request, respond, () => this.#isLate(request.context, rpc)).run()
  }

  /** The region is read first, for its end; the write then holds only if the epoch has not moved. */
  deleteRange(request: Requests['RawDeleteRange'], respond: Respond<'RawDeleteRange'>, rpc: RpcHandlerContext): void {
    const refusal = checkRange(request.start, request.end)
    if (!this.#mayWrite(refusal, request.context, respond, rpc)) return
    const start = engineKeyOf(request.start)
    const end = rangeEnd(request.start, request.end)
    this.#store.read(request.context, single(start), result => {
      if (!result.ok) return respond(result)
      const clipped = clipEnd(end, result.value.region)
      if (compareBytes(start, clipped) >= 0) return respond(done)
      const range: KeyRange = { start, end: clipped, single: false }
      this.#store.write(request.context, range, deleteRangeRecord(start, clipped), written =>
        respond(written.ok ? done : written))
    })
  }

  /** Answers what keeps a write from starting. @returns false when it has answered */
  #mayWrite(
    refusal: RequestError | undefined, context: RequestContext,
    respond: (result: Result<never, ServerError>) => void, rpc: RpcHandlerContext,
  ): boolean {
    if (refusal) respond(err(refusal))
    else if (this.#isLate(context, rpc)) respond(late)
    else if (this.#store.isBusy) respond(busy)
    else return true
    return false
  }

  #isLate(context: RequestContext, rpc: RpcHandlerContext): boolean {
    return context.timeoutMs > 0 && this.#env.clock.monotonicMs() - rpc.arrivedAtMs >= context.timeoutMs
  }
}

/** From the smallest to just after the largest of some engine keys. */
function rangeOf(keys: readonly Uint8Array[]): KeyRange {
  let smallest = keys[0] ?? emptyBytes
  let largest = smallest
  for (const key of keys) {
    if (compareBytes(key, smallest) < 0) smallest = key
    else if (compareBytes(key, largest) > 0) largest = key
  }
  return smallest === largest ? single(smallest) : { start: smallest, end: afterEngineKey(largest), single: false, last: largest }
}

function firstRefusal(keys: readonly Uint8Array[]): RequestError | undefined {
  for (const key of keys) {
    const refusal = checkKey(key)
    if (refusal) return refusal
  }
  return undefined
}

function firstPairRefusal(pairs: readonly RawPair[]): RequestError | undefined {
  for (const pair of pairs) {
    const refusal = checkKey(pair.key) ?? checkTtl(pair.ttlSeconds)
    if (refusal) return refusal
  }
  return undefined
}
