import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import { entry, message, noEntries, payloadBytes } from './message.js'
import { EntryType, MessageType } from './types.js'
import type { Entry, RaftSnapshot } from './types.js'
import type { Raft } from './raft.js'
import type { Progress } from './tracker/progress.js'

/**
 * Sends the next append to one follower, unless its stream is paused. Falls back to a snapshot when the log
 * no longer reaches back far enough.
 * @param sendIfEmpty an append without entries still carries the commit index, and probes
 * @returns was anything sent?
 */
export function maybeSendAppend(raft: Raft, to: Progress, sendIfEmpty: boolean): boolean {
  if (to.paused) return false
  const previous = to.next - 1
  const previousTerm = raft.log.term(previous)
  if (typeof previousTerm !== 'number') return maybeSendSnapshot(raft, to)
  // A full window still lets an empty append through: if all in flight was lost, it is what finds out.
  const entries = to.state === 'replicate' && to.inflights.full
    ? noEntries
    : raft.log.entriesFrom(to.next, raft.config.maxSizePerMessage)
  if (entries === 'compacted') return maybeSendSnapshot(raft, to)
  if (entries.length === 0 && !sendIfEmpty) return false
  raft.send({
    type: MessageType.Append, to: to.id, index: previous, logTerm: previousTerm, entries,
    commit: raft.log.committed,
  })
  to.sentEntries(entries.length, payloadBytes(entries))
  to.sentCommit = raft.log.committed
  return true
}

export function sendAppend(raft: Raft, to: Progress): void {
  maybeSendAppend(raft, to, true)
}

/** Only to a node that was heard lately: a snapshot for a dead one is wasted work. */
function maybeSendSnapshot(raft: Raft, to: Progress): boolean {
  if (!to.recentActive) return false
  const snapshot = raft.log.snapshot(to.id)
  if (snapshot === 'temporarilyUnavailable') return false
  assert(snapshot.meta.index > 0, 'storage gave an empty snapshot')
  raft.trace?.({ kind: 'snapshotSent', peer: to.id, index: snapshot.meta.index })
  to.becomeSnapshot(snapshot.meta.index)
  raft.send({ type: MessageType.Snapshot, to: to.id, snapshot })
  return true
}

export function broadcastAppend(raft: Raft): void {
  for (const progress of raft.tracker.members) if (progress.id !== raft.id) sendAppend(raft, progress)
}

/** The context is there only while reads wait to be confirmed. */
export function broadcastHeartbeat(raft: Raft): void {
  const context = raft.readOnly.waiting === 0 ? emptyBytes : raft.readOnly.heartbeatContext()
  for (const progress of raft.tracker.members) {
    if (progress.id === raft.id) continue
    // Never a commit index that the follower is not known to hold: its log may differ there.
    const isBlind = raft.config.plants?.has('P6') === true
    const commit = isBlind ? raft.log.committed : Math.min(progress.match, raft.log.committed)
    raft.send({ type: MessageType.Heartbeat, to: progress.id, commit, context })
    progress.sentCommit = commit
  }
}

/**
 * Appends to our own log as leader; term and index are filled in here. The answer to ourselves, which counts
 * us into the quorum, leaves only when the entries are durable.
 * @returns false when that would exceed the uncommitted limit: nothing was appended
 */
export function appendEntries(raft: Raft, proposed: readonly Entry[]): boolean {
  const bytes = payloadBytes(proposed)
  // One proposal of any size passes when nothing is uncommitted; empty ones always do.
  const held = raft.uncommittedBytes
  if (bytes > 0 && held > 0 && held + bytes > raft.maxUncommittedBytes) return false
  raft.uncommittedBytes = held + bytes
  const first = raft.log.lastIndex() + 1
  const entries: Entry[] = []
  for (let i = 0; i < proposed.length; i++) {
    entries.push(entry({ term: raft.term, index: first + i }, proposed[i]!.type, proposed[i]!.data))
  }
  const last = raft.log.append(entries)
  raft.send({ type: MessageType.AppendResponse, to: raft.id, index: last })
  return true
}

/** @returns did the commit index move? Then everyone should hear of it. */
export function maybeCommit(raft: Raft): boolean {
  const index = raft.tracker.committed()
  const term = raft.config.plants?.has('P4') === true ? raft.log.termOrZero(index) : raft.term
  return raft.log.maybeCommit(index, term)
}

export function appliedSnapshot(raft: Raft, snapshot: RaftSnapshot): void {
  raft.log.unstable.stableSnapshotTo(snapshot.meta.index)
  appliedTo(raft, snapshot.meta.index, 0)
}

/** Entries up to `index` are applied. A joint configuration that leaves by itself is left from here. */
export function appliedTo(raft: Raft, index: number, bytes: number): void {
  raft.log.appliedTo(Math.max(index, raft.log.applied), bytes)
  const { config } = raft.tracker
  if (!config.autoLeave || raft.role !== 'leader' || raft.log.applied < raft.pendingConfIndex) return
  // Dropped while a leader transfer runs; then the next applied entry tries again.
  const leave = entry({ term: 0, index: 0 }, EntryType.ConfChangeV2, emptyBytes)
  raft.step(message({ type: MessageType.Propose, entries: [leave] }))
}
