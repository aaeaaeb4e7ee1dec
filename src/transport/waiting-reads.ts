import type { RpcName } from '../wire/messages.js'
import { transportLimits } from './limits.js'

/** A large read that has arrived and not begun. Its frame is a copy of its own: the message it came in is not kept for it. */
export interface WaitingRead {
  readonly name: RpcName
  readonly id: number
  readonly frame: Uint8Array
  readonly reserveBytes: number
  readonly arrivedAtMs: number
}

/** The large reads of one connection, first come first begun. */
export class WaitingReads {
  #reads = new Map<number, WaitingRead>()
  #bytes = 0

  get size(): number { return this.#reads.size }

  /** @returns false: too many wait, or this id does already */
  push(read: WaitingRead): boolean {
    const { largeWaitingMax, largeWaitingBytesMax } = transportLimits
    if (this.#reads.size >= largeWaitingMax || this.#bytes + read.frame.length > largeWaitingBytesMax) return false
    if (this.#reads.has(read.id)) return false
    this.#reads.set(read.id, read)
    this.#bytes += read.frame.length
    return true
  }

  first(): WaitingRead | undefined {
    for (const read of this.#reads.values()) return read
    return undefined
  }

  /** @returns whether it was there: then it has not begun and never will */
  delete(id: number): boolean {
    const read = this.#reads.get(id)
    if (read === undefined) return false
    this.#bytes -= read.frame.length
    return this.#reads.delete(id)
  }

  clear(): void {
    this.#reads = new Map()
    this.#bytes = 0
  }
}
