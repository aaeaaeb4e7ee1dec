import { localAppendThread, localApplyThread, message } from './message.js'
import type { Raft } from './raft.js'
import { MessageType } from './types.js'
import type { Entry, HardState, Message, RaftSnapshot } from './types.js'

/** What one Ready wants written to the log. */
export interface StorageWrite {
  readonly entries: readonly Entry[]
  readonly snapshot: RaftSnapshot | undefined
  readonly hardState: HardState | undefined
}

/**
 * Also when nothing is written but messages depend on writes before: the order of StorageAppends is what they
 * wait for.
 */
export function needsStorageAppend(raft: Raft, write: StorageWrite): boolean {
  return write.entries.length > 0 || write.snapshot !== undefined || write.hardState !== undefined
    || raft.messagesAfterAppend.length > 0
}

/**
 * term, vote and commit are the HardState when it changed, and all zero when not. The responses are delivered
 * when the write is durable, in their order: our own answers to ourselves first, while the entries' terms are
 * still at hand.
 */
export function storageAppend(raft: Raft, write: StorageWrite): Message {
  const responses = [...raft.messagesAfterAppend]
  const done = storageAppendResponse(raft, write.snapshot)
  if (done !== undefined) responses.push(done)
  return message({
    type: MessageType.StorageAppend, to: localAppendThread, from: raft.id, entries: write.entries,
    term: write.hardState?.term ?? 0, vote: write.hardState?.vote ?? 0, commit: write.hardState?.commit ?? 0,
    snapshot: write.snapshot, responses,
  })
}

/**
 * Attests: at this term, the log ends in (index, logTerm), and all writes up to here are done. Ignored when
 * the term has changed by then, because of this race:
 *
 *   1. entries A at index 5 (term 2) are being written
 *   2. a leader of term 3 replaces them by B at index 5; that write is queued
 *   3. the leader of term 2 is back, in term 4, and replaces B by A again; that write is queued as well
 *   4. the first write completes and says: index 5, term 2 is durable. Our log has just that at 5 — but the
 * queued
 *      write of B is still going to overwrite it. Dropping A from memory now would let us read B later.
 *
 * A response may so be lost for good. Therefore each one, also of a write without entries, attests the whole
 * log as it is now: every change of term causes a write, and the last one's response is not ignored.
 */
export function storageAppendResponse(raft: Raft, snapshot: RaftSnapshot | undefined): Message | undefined {
  const hasUnstable = raft.log.unstable.length > 0
  if (!hasUnstable && snapshot === undefined) return undefined
  return message({
    type: MessageType.StorageAppendResponse, to: raft.id, from: localAppendThread, term: raft.term,
    index: hasUnstable ? raft.log.lastIndex() : 0, logTerm: hasUnstable ? raft.log.lastTerm() : 0, snapshot,
  })
}

/** Term 0: what is committed is so in every term. */
export function storageApply(raft: Raft, entries: readonly Entry[]): Message {
  return message({
    type: MessageType.StorageApply, to: localApplyThread, from: raft.id, entries,
    responses: [storageApplyResponse(raft, entries)],
  })
}

export function storageApplyResponse(raft: Raft, entries: readonly Entry[]): Message {
  return message({ type: MessageType.StorageApplyResponse, to: raft.id, from: localApplyThread, entries })
}
