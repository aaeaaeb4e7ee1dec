import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import { regionContains } from '../common/region.js'
import { engineKeyOf } from '../rawkv/codec.js'
import type { RequestContext, RpcName, Requests, Responses } from '../wire/messages.js'
import { KarstError, LimitExceededError, PartialWriteError, TimeoutError, UndeterminedError } from './errors.js'
import type { CallSettings } from './region-call.js'
import type { Route } from './region-cache.js'
import type { Router } from './router.js'

/** One key of a batch; `index` is its place in the caller's list. */
export interface BatchItem {
  readonly key: Uint8Array
  readonly engineKey: Uint8Array
  readonly bytes: number
  readonly index: number
}

export interface BatchShape<N extends RpcName> {
  readonly name: N
  readonly request: (context: RequestContext, items: readonly BatchItem[]) => Requests[N]
  /** @returns how many items the answer is about, from the first on: the others are asked for again */
  readonly take: (items: readonly BatchItem[], value: Responses[N]) => number
}

/** One request of a batch: large enough to be cheap, small enough not to hold up what shares the connection. */
const requestKeysMax = 1024
const requestBytesMax = 512 << 10

export function batchItems(keys: readonly Uint8Array[], bytesOf: (index: number) => number): BatchItem[] {
  return keys.map((key, index) => ({ key, engineKey: engineKeyOf(key), bytes: key.length + bytesOf(index), index }))
}

/**
 * Splits keys by region, asks all regions at once, and splits again what a region no longer holds: one region's trouble
 * never repeats another's part. Order between keys is not kept, so a key must not come twice in a write.
 */
export class Batch<N extends RpcName> {
  readonly #router: Router
  readonly #shape: BatchShape<N>
  readonly #settings: CallSettings
  readonly #deadlineMs: number
  readonly #failures: KarstError[] = []
  #succeeded = 0
  #failed = 0

  constructor(router: Router, shape: BatchShape<N>, settings: CallSettings) {
    this.#router = router
    this.#shape = shape
    this.#settings = settings
    this.#deadlineMs = router.nowMs + settings.timeoutMs
  }

  /** @throws KarstError; of writes PartialWriteError or UndeterminedError when some parts succeeded */
  async run(items: readonly BatchItem[]): Promise<void> {
    await this.#split([...items].sort((left, right) => compareBytes(left.key, right.key)))
    const [first] = this.#failures
    if (first === undefined) return
    const open = this.#failures.find(error => error.isUndetermined)
    if (open !== undefined && this.#succeeded > 0) {
      throw new UndeterminedError(`part of a batch of ${items.length} keys: ${open.message}`, { cause: open })
    }
    if (open !== undefined) throw open
    if (this.#settings.kind === 'read' || this.#succeeded === 0) throw first
    throw new PartialWriteError(this.#succeeded, this.#failed, 'keys', { cause: first })
  }

  /** @param items sorted */
  async #split(items: readonly BatchItem[]): Promise<void> {
    let groups: BatchItem[][]
    try {
      groups = await this.#plan(items)
    } catch (error) {
      this.#fail(items, error)
      return
    }
    await Promise.all(groups.map(group => this.#send(group)))
  }

  async #plan(items: readonly BatchItem[]): Promise<BatchItem[][]> {
    const groups: BatchItem[][] = []
    let group: BatchItem[] = []
    let bytes = 0
    let route: Route | undefined
    for (const item of items) {
      const isHere = route !== undefined && regionContains(route.region, item.engineKey)
      if (!isHere) {
        const place = { key: item.engineKey, isBefore: false }
        route = this.#router.find(place) ?? await this.#router.locate(place, this.#left())
      }
      if (!isHere || group.length === requestKeysMax || bytes + item.bytes > requestBytesMax) {
        group = []
        bytes = 0
        groups.push(group)
      }
      group.push(item)
      bytes += item.bytes
    }
    return groups
  }

  async #send(group: readonly BatchItem[]): Promise<void> {
    const first = group[0]!.engineKey
    const last = group[group.length - 1]!.engineKey
    let settings: CallSettings
    try {
      settings = this.#left()
    } catch (error) {
      return this.#fail(group, error)
    }
    const outcome = await this.#router.call(this.#shape.name, { key: first, isBefore: false },
      (context, route) => regionContains(route.region, last) ? this.#shape.request(context, group) : undefined, settings)
    if (outcome.kind === 'done') {
      const taken = this.#shape.take(group, outcome.value)
      assert(taken > 0 && taken <= group.length, 'an answer to a batch is about its first items')
      this.#succeeded += taken
      return taken === group.length ? undefined : this.#send(group.slice(taken))
    }
    if (outcome.kind === 'reroute') return this.#split(group)
    if (isTooLarge(outcome.error) && group.length > 1) {
      const middle = group.length >>> 1
      await Promise.all([this.#send(group.slice(0, middle)), this.#send(group.slice(middle))])
      return
    }
    this.#fail(group, outcome.error)
  }

  #left(): CallSettings {
    const timeoutMs = Math.ceil(this.#deadlineMs - this.#router.nowMs)
    if (timeoutMs <= 0) throw new TimeoutError(this.#settings.timeoutMs, 'regions of a batch kept moving')
    return timeoutMs === this.#settings.timeoutMs ? this.#settings : { ...this.#settings, timeoutMs }
  }

  #fail(items: readonly BatchItem[], error: unknown): void {
    if (!(error instanceof KarstError)) throw error
    this.#failed += items.length
    this.#failures.push(error)
  }
}

/** Values too large to come back together come back apart. */
const isTooLarge = (error: KarstError): boolean =>
  error instanceof LimitExceededError && error.limit === 'responseBytesMax'
