import { limits } from '../common/limits.js'
import { err } from '../common/result.js'
import type { Requests, RpcName, RpcResult } from '../wire/messages.js'

/** A page of rows or values: what the answer to a large read may hold, and what is kept free for it. */
const pageBytes = limits.responseBytesMax
const routeBytes = 512
const routesMax = 4_096
/** What a server that has no room asks for. */
export const busyBackoffMs = 100

/**
 * What a small request may bring down on us: reads whose answers are pages. They begin only when their answer has room.
 * @returns the largest answer, or 0 for a request whose answer is about as small as itself, or one value
 */
export function reservedBytes(name: RpcName, request: Requests[RpcName]): number {
  switch (name) {
    case 'RawScan': return pageBytes
    case 'RawBatchGet': return pageBytes
    case 'ScanRegions': {
      const { limit } = request as Requests['ScanRegions']
      return (limit === 0 ? routesMax : Math.min(limit, routesMax)) * routeBytes
    }
    case 'ListPeers': return (request as Requests['ListPeers']).regionId === 0 ? routesMax * routeBytes : 0
    default: return 0
  }
}

/**
 * Values came for many gets at once, later than they were asked for, and the first of them have filled the connection's
 * share: the others are asked to come again. A swap has happened, so it cannot be.
 */
export function withoutValues(name: RpcName, result: RpcResult<RpcName>): RpcResult<RpcName> {
  if (!result.ok) return result
  const reason = 'answers are not read'
  if (name === 'RawGet') return err({ kind: 'ServerIsBusy', reason, backoffMs: busyBackoffMs })
  return name === 'RawCas' ? err({ kind: 'Undetermined', reason: `${reason}: there is no room for what it found` }) : result
}

export interface RoomLimits {
  /** Of all connections together. */
  readonly bytesMax: number
  /** Of one connection. */
  readonly shareBytesMax: number
}

/**
 * Memory for answers, of all connections: those that are not made yet (reserved) and those that are not read yet (unread).
 * Who holds something gets more only while it holds less than half of what is free (dynamic thresholds, Choudhury and
 * Hahne 1998): so however many do not read, some room is left for whoever comes next.
 */
export class AnswerRoom {
  readonly #limits: RoomLimits
  #heldBytes = 0

  constructor(limits: RoomLimits) { this.#limits = limits }

  get heldBytes(): number { return this.#heldBytes }
  get shareBytesMax(): number { return this.#limits.shareBytesMax }
  get isFull(): boolean { return this.#heldBytes >= this.#limits.bytesMax }

  /** @param own what the asking connection holds. @returns false: not now */
  tryTake(own: number, bytes: number): boolean {
    const free = this.#limits.bytesMax - this.#heldBytes
    const max = own === 0 ? free : Math.min(this.#limits.shareBytesMax, free / 2)
    if (own + bytes > max) return false
    this.#heldBytes += bytes
    return true
  }

  /** What is held came to be more, or less. */
  change(bytes: number): void { this.#heldBytes += bytes }
}
