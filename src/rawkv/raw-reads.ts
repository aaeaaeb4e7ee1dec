import { StorageError } from '../common/errors.js'
import type { ServerError } from '../common/errors.js'
import { limits } from '../common/limits.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import { Cf, wholeValue } from '../engine/api.js'
import type { Hot, PendingRead, ReadDone, ValuesPage } from '../engine/api.js'
import type { RegionView } from '../store/api.js'
import type { RpcResult } from '../wire/messages.js'
import { liveValue, storedTailBytes, ttlLeft } from './codec.js'
import { answerTooLarge, turnKeysMax } from './limits.js'

/*
 * Reads of a view, from caches at once. What is in none is read on another thread, at the state that the engine had when
 * the view was given out: the lease was valid then, and every write acknowledged before is in that state. So the answer is
 * that of a read at that moment, which lies between request and answer, whatever has become of region, leadership and rows
 * meanwhile; nothing is checked again.
 */
type Stored = Uint8Array | undefined
type Respond<T> = (result: Result<T, ServerError>) => void

const crowded: Result<never, ServerError> =
  err({ kind: 'ServerIsBusy', reason: 'too many reads wait for the disk', backoffMs: 20 })

// hot path: bench raw-service
export function readValue(view: RegionView, key: Uint8Array, respond: (result: RpcResult<'RawGet'>) => void): void {
  const stored = tryStored(view, key, wholeValue, respond)
  if (stored === 'failed') return
  if (stored !== 'cold') return respond(ok({ value: stored && liveValue(stored, view.nowMs) }))
  readLater<Stored>(view, done => view.reader.getLater(Cf.Default, key, wholeValue, done), found => {
    respond(ok({ value: found && liveValue(found, view.nowMs) }))
  }, respond)
}

/** A value of several MiB is not copied to learn when it expires. */
export function readTtl(view: RegionView, key: Uint8Array, respond: (result: RpcResult<'RawGetTtl'>) => void): void {
  const take = (stored: Stored): void => {
    const isLive = stored !== undefined && liveValue(stored, view.nowMs) !== undefined
    respond(ok({ ttlSeconds: isLive ? ttlLeft(stored, view.nowMs) : undefined }))
  }
  const stored = tryStored(view, key, storedTailBytes, respond)
  if (stored === 'failed') return
  if (stored !== 'cold') return take(stored)
  readLater<Stored>(view, done => view.reader.getLater(Cf.Default, key, storedTailBytes, done), take, respond)
}

/** @param isPrefixWelcome  the caller asks on behind a prefix; else it gets all values or none */
export function readBatch(view: RegionView, keys: readonly Uint8Array[], isPrefixWelcome: boolean,
  respond: (result: RpcResult<'RawBatchGet'>) => void): void {
  // A stored value is a byte longer than what is answered, or more: then the prefix is a little shorter than it might be.
  const bytesMax = limits.responseBytesMax + keys.length
  const take = ({ values, more }: ValuesPage): void => {
    if (more && !isPrefixWelcome) return respond(err(answerTooLarge(limits.responseBytesMax + 1)))
    respond(ok({ values: values.map(stored => stored && liveValue(stored, view.nowMs)), more }))
  }
  let page: Hot<ValuesPage> = 'cold'
  try {
    if (keys.length <= turnKeysMax) page = view.reader.tryMultiGet(Cf.Default, keys, bytesMax)
  } catch (error) {
    return respond(err(readFailure(view, error)))
  }
  if (page !== 'cold') return take(page)
  readLater<ValuesPage>(view, done => view.reader.multiGetLater(Cf.Default, keys, bytesMax, done), take, respond)
}

/** On another thread. @param start  undefined: too many wait there already */
export function readLater<T>(view: RegionView, start: (done: ReadDone<T>) => PendingRead | undefined,
  take: (value: T) => void, respond: Respond<never>): void {
  const pending = start(result => {
    if (result.ok) take(result.value)
    else respond(err(readFailure(view, result.error)))
  })
  if (pending === undefined) respond(crowded)
}

/** A damaged or unreadable block costs the region's replica, not the process. */
export function readFailure(view: RegionView, thrown: unknown): ServerError {
  if (!(thrown instanceof StorageError)) throw thrown
  return view.failed(view.region.regionId, thrown)
}

function tryStored(view: RegionView, key: Uint8Array, tailBytes: number, respond: Respond<never>): Hot<Stored> | 'failed' {
  try {
    return view.reader.tryGet(Cf.Default, key, tailBytes)
  } catch (error) {
    respond(err(readFailure(view, error)))
    return 'failed'
  }
}
