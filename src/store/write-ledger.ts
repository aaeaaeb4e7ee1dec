import type { ServerError } from '../common/errors.js'
import type { Result } from '../common/result.js'

export type WriteDone = (result: Result<readonly Uint8Array[], ServerError>) => void

/** One client write on its way into an entry, and through it. */
export interface QueuedWrite {
  /** Let go once they are in an entry. */
  records: Uint8Array
  readonly bytes: number
  readonly version: number
  readonly done: WriteDone
  readonly onSettled: (() => void) | undefined
}

/**
 * Client writes of all regions of a store that may still be applied here: queued, proposed, committed and not visible. A write
 * that was answered `Undetermined` stays until it is *settled*, for nothing that belongs to it is free before.
 */
export class WriteLedger {
  #count = 0
  #bytes = 0

  get count(): number { return this.#count }
  get bytes(): number { return this.#bytes }

  begin(write: QueuedWrite): void {
    this.#count++
    this.#bytes += write.bytes
  }

  /** The answer, behind which nothing comes. */
  end(write: QueuedWrite, result: Result<readonly Uint8Array[], ServerError>): void {
    this.settle(write)
    write.done(result)
  }

  /** Nothing here can apply it any more. */
  settle(write: QueuedWrite): void {
    this.#count--
    this.#bytes -= write.bytes
    write.onSettled?.()
  }
}
