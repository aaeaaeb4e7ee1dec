import { assert } from '../common/assert.js'
import { concatBytes, emptyBytes } from '../common/bytes.js'
import type { ServerError } from '../common/errors.js'
import type { LogIndex, Term } from '../common/ids.js'
import type { Epoch } from '../common/region.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import { Cf } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import { ApplyOp, recordsHeadroomBytes } from './api.js'
import type { Applied } from './applier.js'
import { storeLimits } from './config.js'
import { EntryFlag, entryHeaderBytes, EntryKind, hasConditional, writeEntryHeader } from './entry.js'

assert(recordsHeadroomBytes === entryHeaderBytes, 'the room in front of records is for the header of an entry')

/** What became of an admin entry: applied, certainly not (StaleCommand), or nobody can tell (Undetermined). */
export type AdminDone = (outcome: Result<Applied, ServerError>) => void
export type WriteDone = (result: Result<readonly Uint8Array[], ServerError>) => void

/** One client write on its way into an entry. */
export interface QueuedWrite {
  readonly records: Uint8Array
  readonly version: number
  readonly done: WriteDone
}

/** An entry that this leader put into its log: who wants to know what becomes of it. */
interface Pending {
  readonly index: LogIndex
  readonly term: Term
  readonly proposedAtMs: number
  readonly writes: readonly QueuedWrite[]
  readonly admin: AdminDone | undefined
}

const none: readonly Uint8Array[] = []
const stale: Result<never, ServerError> = err({ kind: 'StaleCommand' })
const noResults: Result<readonly Uint8Array[], ServerError> = ok(none)

/** Packs the writes of one turn into one entry. */
export function encodeData(writes: readonly QueuedWrite[], epoch: Epoch, wallMs: number): Uint8Array {
  const conditional = writes.some(write => hasConditional(write.records))
  const header = { kind: EntryKind.Data, flags: conditional ? EntryFlag.Conditional : 0, requests: writes.length, epoch, wallMs }
  const data = conditional ? withSections(writes) : plain(writes)
  writeEntryHeader(data, header)
  return data
}

function plain(writes: readonly QueuedWrite[]): Uint8Array {
  const only = writes.length === 1 ? withHeadroom(writes[0]!.records) : undefined
  if (only !== undefined) return only
  let bytes = entryHeaderBytes
  for (const write of writes) bytes += write.records.length
  const data = new Uint8Array(bytes)
  let at = entryHeaderBytes
  for (const { records } of writes) {
    data.set(records, at)
    at += records.length
  }
  return data
}

/** The whole buffer of records from allocateRecords, recognised by its shape. */
function withHeadroom({ buffer, byteOffset, length }: Uint8Array): Uint8Array | undefined {
  const isOurs = byteOffset === recordsHeadroomBytes && buffer.byteLength === recordsHeadroomBytes + length
  return isOurs ? new Uint8Array(buffer, 0, buffer.byteLength) : undefined
}

function withSections(writes: readonly QueuedWrite[]): Uint8Array {
  const writer = new BatchWriter()
  writes.forEach(({ records }, ordinal) => {
    const value = new Uint8Array(4)
    new DataView(value.buffer).setUint32(0, ordinal, true)
    writer.add(ApplyOp.Section, Cf.Default, emptyBytes, value).append(records, 0)
  })
  return concatBytes(new Uint8Array(entryHeaderBytes), writer.finish())
}

/** The first writes of a queue that go into one entry together. */
export function takeEntry(queue: QueuedWrite[]): QueuedWrite[] {
  let bytes = 0
  let count = 0
  while (count < queue.length && count < storeLimits.entrySectionsMax) {
    const { length } = queue[count]!.records
    bytes += length
    // A large write is an entry of its own: it need not be copied.
    if (count > 0 && (bytes > storeLimits.entryBytesAim || length >= storeLimits.loneWriteBytesMin)) break
    count++
    if (length >= storeLimits.loneWriteBytesMin) break
  }
  return queue.splice(0, count)
}

/**
 * Entries proposed here, until they are applied. The index says which entry, the term says whether it is ours: another
 * term at our index means that ours will never be applied, which is an answer, too.
 */
export class PendingProposals {
  #list: Pending[] = []
  #requests = 0

  get requests(): number { return this.#requests }
  get isEmpty(): boolean { return this.#list.length === 0 }

  /**
   * Sorted by index. A leader that was deposed and elected again may propose below what it proposed before: the older
   * entries may still come back, from whoever has them, until their index is applied.
   */
  add(pending: Pending): void {
    let at = this.#list.length
    while (at > 0 && this.#list[at - 1]!.index > pending.index) at--
    if (at === this.#list.length) this.#list.push(pending)
    else this.#list.splice(at, 0, pending)
    this.#requests += pending.writes.length
  }

  /** When the oldest entry with this index or a lower one was proposed; for the lease. */
  proposedAt(index: LogIndex, term: Term): number | undefined {
    let found: number | undefined
    for (const pending of this.#list) {
      if (pending.index > index) break
      if (pending.term === term) found = pending.proposedAtMs
    }
    return found
  }

  /**
   * @param answers  gets what to call once the engine has the entry
   * @param refusal  what to say when the entry changed nothing because the region had been split
   */
  applied(index: LogIndex, term: Term, applied: Applied, answers: (() => void)[], refusal: ServerError): void {
    while (this.#list.length > 0 && this.#list[0]!.index <= index) {
      const pending = this.#list.shift()!
      this.#requests -= pending.writes.length
      const isOurs = pending.index === index && pending.term === term
      answers.push(() => answer(pending, isOurs ? applied : undefined, refusal))
    }
  }

  /** Nobody will ever tell (raft snapshot, removal, stop), or not in time. */
  giveUp(reason: string, answers: (() => void)[], proposedBeforeMs = Infinity): void {
    const error: ServerError = { kind: 'Undetermined', reason }
    const rest: Pending[] = []
    for (const pending of this.#list) {
      if (pending.proposedAtMs >= proposedBeforeMs) {
        rest.push(pending)
        continue
      }
      this.#requests -= pending.writes.length
      answers.push(() => {
        for (const write of pending.writes) write.done(err(error))
        pending.admin?.(err(error))
      })
    }
    this.#list = rest
  }
}

function answer(pending: Pending, applied: Applied | undefined, refusal: ServerError): void {
  pending.admin?.(applied === undefined ? stale : ok(applied))
  if (applied?.kind === 'data') {
    const { results } = applied
    pending.writes.forEach((write, ordinal) => write.done(results === undefined ? noResults : ok(results[ordinal] ?? none)))
    return
  }
  const result = applied?.kind === 'stale' ? err(refusal) : stale
  for (const write of pending.writes) write.done(result)
}
