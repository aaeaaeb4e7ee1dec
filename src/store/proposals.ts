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
import type { QueuedWrite, WriteLedger } from './write-ledger.js'
import { EntryFlag, entryHeaderBytes, EntryKind, requestKind, writeEntryHeader } from './entry.js'
import type { RequestKind } from './entry.js'

assert(recordsHeadroomBytes === entryHeaderBytes, 'the room in front of records is for the header of an entry')

/** What became of an admin entry: applied, certainly not (StaleCommand), or nobody can tell (Undetermined). */
export type AdminDone = (outcome: Result<Applied, ServerError>) => void

/** An entry that this leader put into its log: who wants to know what becomes of it. */
interface Pending {
  readonly index: LogIndex
  readonly term: Term
  readonly proposedAtMs: number
  readonly writes: readonly QueuedWrite[]
  readonly admin: AdminDone | undefined
  /** It was said to be undetermined: what comes now only settles it. */
  isAnswered?: boolean
}

const none: readonly Uint8Array[] = []
const stale: Result<never, ServerError> = err({ kind: 'StaleCommand' })
const noResults: Result<readonly Uint8Array[], ServerError> = ok(none)

/** Packs the writes of one turn into one entry. */
export function encodeData({ writes, isConditional }: TakenEntry, epoch: Epoch, wallMs: number): Uint8Array {
  const header = { kind: EntryKind.Data, flags: isConditional ? EntryFlag.Conditional : 0, requests: writes.length, epoch, wallMs }
  const data = isConditional ? withSections(writes) : plain(writes)
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

export interface TakenEntry {
  readonly writes: QueuedWrite[]
  readonly isConditional: boolean
}

/** The first writes of a queue that go into one entry together. */
export function takeEntry(queue: QueuedWrite[]): TakenEntry {
  let bytes = 0
  let count = 0
  let has: RequestKind = 'plain'
  let countMax: number = storeLimits.entrySectionsMax
  while (count < queue.length && count < countMax) {
    const { records } = queue[count]!
    const { length } = records
    bytes += length
    // A large write is an entry of its own: it need not be copied.
    if (count > 0 && (bytes > storeLimits.entryBytesAim || length >= storeLimits.loneWriteBytesMin)) break
    const kind = requestKind(records)
    if (kind !== 'plain') {
      if (has !== 'plain' && kind !== has) break
      if (kind === 'conditional' && count >= storeLimits.conditionalSectionsMax) break
      if (kind === 'conditional') countMax = storeLimits.conditionalSectionsMax
      has = kind
    }
    count++
    if (length >= storeLimits.loneWriteBytesMin) break
  }
  return { writes: queue.splice(0, count), isConditional: has === 'conditional' }
}

/**
 * Entries proposed here, until they are applied. The index says which entry, the term says whether it is ours: another
 * term at our index means that ours will never be applied, which is an answer, too.
 */
export class PendingProposals {
  #list: Pending[] = []
  readonly #ledger: WriteLedger

  constructor(ledger: WriteLedger) { this.#ledger = ledger }

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
   * @param refusal  what to say when the entry changed nothing because the region had been split
   * @returns what to call once the engine has the entry; undefined: nobody waits for it
   */
  applied(index: LogIndex, term: Term, applied: Applied, refusal: ServerError): (() => void) | undefined {
    let due = 0
    while (due < this.#list.length && this.#list[due]!.index <= index) due++
    if (due === 0) return undefined
    const done = this.#list.splice(0, due)
    return () => {
      for (const pending of done) {
        this.#answer(pending, pending.index === index && pending.term === term ? applied : undefined, refusal)
      }
    }
  }

  #answer(pending: Pending, applied: Applied | undefined, refusal: ServerError): void {
    if (pending.isAnswered === true) return this.#settle(pending)
    pending.admin?.(applied === undefined ? stale : ok(applied))
    const { writes } = pending
    if (applied?.kind === 'data') {
      const { results } = applied
      for (let at = 0; at < writes.length; at++) {
        this.#ledger.end(writes[at]!, results === undefined ? noResults : ok(results[at] ?? none))
      }
      return
    }
    const result = applied?.kind === 'stale' ? err(refusal) : stale
    for (const write of writes) this.#ledger.end(write, result)
  }

  #settle({ writes }: Pending): void { for (const write of writes) this.#ledger.settle(write) }

  /** Nobody will ever tell: a raft snapshot, removal, stop. */
  giveUp(reason: string, answers: (() => void)[]): void {
    const error: ServerError = { kind: 'Undetermined', reason }
    for (const pending of this.#list.splice(0)) {
      answers.push(() => {
        if (pending.isAnswered !== true) tellUndetermined(pending, error)
        this.#settle(pending)
      })
    }
  }

  /** Callers wait no longer; what they asked for may still be applied, and is not settled before we know. */
  timeOut(reason: string, answers: (() => void)[], proposedBeforeMs: number): void {
    const error: ServerError = { kind: 'Undetermined', reason }
    for (const pending of this.#list) {
      if (pending.isAnswered === true || pending.proposedAtMs >= proposedBeforeMs) continue
      pending.isAnswered = true
      answers.push(() => { tellUndetermined(pending, error) })
    }
  }

  /** Whoever leads now decides on what we proposed before, and what was answered is none of ours. */
  forget(leadingTerm: Term | undefined): void {
    const isOver = (pending: Pending): boolean => pending.isAnswered === true && pending.term !== leadingTerm
    const over = this.#list.filter(isOver)
    if (over.length === 0) return
    this.#list = this.#list.filter(pending => !isOver(pending))
    for (const pending of over) this.#settle(pending)
  }
}

function tellUndetermined({ writes, admin }: Pending, error: ServerError): void {
  for (const write of writes) write.done(err(error))
  admin?.(err(error))
}
