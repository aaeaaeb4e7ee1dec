import { assert } from '../common/assert.js'
import { restoreMembership, sameConfState } from './confchange/restore.js'
import { switchTo } from './raft-confchange.js'
import type { Raft, StepResult } from './raft.js'
import { MessageType } from './types.js'
import type { ConfState, Message, NodeId, RaftSnapshot } from './types.js'

// What a leader of our term sends, and what we answer. Shared by followers and by candidates that concede.

/** A leader of our term has spoken: every timeout starts anew. */
export function followLeader(raft: Raft, asked: Message): void {
  raft.electionElapsed = 0
  raft.lead = asked.from
  if (raft.strictGuard) raft.guardTicksLeft = raft.leaseTicks
}

export function handleAppend(raft: Raft, asked: Message): StepResult {
  const { log } = raft
  if (asked.index < log.committed) {
    // Late or repeated: everything up to the commit index is known to agree.
    raft.send({ type: MessageType.AppendResponse, to: asked.from, index: log.committed })
    return 'ok'
  }
  if (raft.config.plants?.has('P5') === true && log.matchTerm(asked.index, asked.logTerm) && asked.entries.length > 0) {
    log.unstable.truncateAndAppend(asked.entries)
  }
  const last = log.maybeAppend(asked.index, asked.logTerm, asked.entries, asked.commit)
  if (last !== undefined) {
    raft.send({ type: MessageType.AppendResponse, to: asked.from, index: last })
    return 'ok'
  }
  // Tell the leader where our logs may still agree: the last place with a term not above the one it expected.
  const hint = log.findConflictByTerm(Math.min(asked.index, log.lastIndex()), asked.logTerm)
  raft.trace?.({ kind: 'rejected', from: asked.from, index: asked.index, hint })
  raft.send({
    type: MessageType.AppendResponse, to: asked.from, index: asked.index, reject: true, rejectHint: hint,
    logTerm: log.termOrZero(hint),
  })
  return 'ok'
}

export function handleHeartbeat(raft: Raft, asked: Message): StepResult {
  const isBlind = raft.config.plants?.has('P6') === true
  raft.log.commitTo(isBlind ? Math.min(asked.commit, raft.log.lastIndex()) : asked.commit)
  raft.send({ type: MessageType.HeartbeatResponse, to: asked.from, context: asked.context })
  return 'ok'
}

/**
 * The answer is an append response either way: at the snapshot's index, or at what we have committed already.
 */
export function handleSnapshot(raft: Raft, asked: Message): StepResult {
  const { snapshot } = asked
  const restored = snapshot !== undefined && restore(raft, snapshot)
  raft.trace?.({
    kind: restored ? 'snapshotRestored' : 'snapshotIgnored',
    peer: asked.from, index: snapshot?.meta.index ?? 0,
  })
  const index = restored ? raft.log.lastIndex() : raft.log.committed
  raft.send({ type: MessageType.AppendResponse, to: asked.from, index })
  return 'ok'
}

/** @returns false when the snapshot is of no use: we have its state, or we are not in its configuration */
function restore(raft: Raft, snapshot: RaftSnapshot): boolean {
  const { index, term, confState } = snapshot.meta
  if (index <= raft.log.committed) return false
  assert(raft.role === 'follower', 'only a follower takes a snapshot')
  if (!isMember(confState, raft.id)) return false
  if (raft.log.matchTerm(index, term)) {
    // We have the entry itself, and now know that it is committed.
    raft.log.commitTo(index)
    return false
  }
  raft.log.restore(snapshot)
  const restored = restoreMembership(confState, raft.log.lastIndex(), raft.tracker.limits)
  assert(restored.ok, 'the configuration of a snapshot is not a valid one')
  const state = switchTo(raft, restored.value)
  assert(sameConfState(state, confState), 'the configuration of a snapshot was not restored as it is')
  return true
}

function isMember(state: ConfState, id: NodeId): boolean {
  return state.voters.includes(id) || state.learners.includes(id) || state.votersOutgoing.includes(id)
}
