import { jointCommittedIndex } from './quorum/joint.js'
import type { JointVoters } from './quorum/joint.js'
import type { AckedIndexes } from './quorum/majority.js'
import type { Message } from './types.js'
import { emptyBytes } from '../common/bytes.js'

export interface ReadIndexRequest {
  readonly asked: Message
  readonly index: number
}

/**
 * Reads that wait for a quorum to confirm that we still lead (ReadIndex, Ongaro §6.4). They are numbered 1,
 * 2, 3, … within a term. A heartbeat carries the number of the newest; its answer confirms all up to that
 * number, so that many reads share a round.
 */
export class ReadOnly implements AckedIndexes {
  #waiting: ReadIndexRequest[] = []
  #confirmed = 0
  readonly #acked = new Map<number, number>()

  get waiting(): number { return this.#waiting.length }

  add(asked: Message, commit: number): void {
    this.#waiting.push({ asked, index: commit })
  }

  /** For a heartbeat: number of the newest waiting read; empty when none waits. */
  heartbeatContext(): Uint8Array {
    if (this.#waiting.length === 0) return emptyBytes
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, this.#confirmed + this.#waiting.length, true)
    return bytes
  }

  /** Malformed contexts, and numbers that were never asked for, confirm nothing. */
  acknowledge(from: number, context: Uint8Array): void {
    if (context.length !== 8) return
    const number = new DataView(context.buffer, context.byteOffset, 8).getFloat64(0, true)
    if (!Number.isSafeInteger(number) || number > this.#confirmed + this.#waiting.length) return
    if (number > (this.#acked.get(from) ?? 0)) this.#acked.set(from, number)
  }

  acknowledgeOwn(self: number): void {
    this.#acked.set(self, this.#confirmed + this.#waiting.length)
  }

  ackedIndex(id: number): number | undefined { return this.#acked.get(id) }

  /** Takes out what a quorum has confirmed, in order. */
  takeConfirmed(voters: JointVoters): readonly ReadIndexRequest[] {
    const confirmed = Math.min(jointCommittedIndex(voters, this), this.#confirmed + this.#waiting.length)
    if (confirmed <= this.#confirmed) return []
    const taken = this.#waiting.splice(0, confirmed - this.#confirmed)
    this.#confirmed = confirmed
    return taken
  }

  /** Whoever left the group confirms nothing more. */
  retain(isMember: (id: number) => boolean): void {
    for (const id of this.#acked.keys()) if (!isMember(id)) this.#acked.delete(id)
  }

  reset(): void {
    this.#waiting = []
    this.#confirmed = 0
    this.#acked.clear()
  }
}
