import { noNode } from './message.js'
import { MessageType } from './types.js'
import type { Message } from './types.js'
import type { Handler, HandlerTable, Raft, StepResult } from './raft.js'
import type { DropReason } from './trace.js'
import type { Progress } from './tracker/progress.js'
import { renewTerm } from './raft-election.js'
import { withCheckedConfChanges } from './raft-confchange.js'
import { answerRead, answerConfirmedReads, onReadIndex } from './raft-reads.js'
import {
  appendEntries, broadcastAppend, broadcastHeartbeat, maybeCommit, maybeSendAppend, sendAppend,
} from './raft-replication.js'

export function tickLeader(raft: Raft): void {
  raft.heartbeatElapsed++
  raft.electionElapsed++
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0
    if (raft.config.checkQuorum) checkQuorum(raft)
    // A transfer has one election timeout; then we lead on, in a term in which no lease is in doubt.
    raft.leadTransferee = noNode
    if (raft.role === 'leader' && raft.timeoutNowSent && raft.strictGuard) renewTerm(raft)
  }
  if (raft.role !== 'leader' || raft.heartbeatElapsed < raft.heartbeatTicks) return
  raft.heartbeatElapsed = 0
  broadcastHeartbeat(raft)
}

function checkQuorum(raft: Raft): StepResult {
  if (!raft.tracker.quorumActive()) {
    raft.trace?.({ kind: 'quorumLost', term: raft.term })
    raft.becomeFollower(raft.term, noNode)
  }
  for (const progress of raft.tracker.members) if (progress.id !== raft.id) progress.recentActive = false
  return 'ok'
}

function dropReason(raft: Raft): DropReason | undefined {
  // Removed while leading: whatever we appended could not be counted with us.
  if (raft.tracker.get(raft.id) === undefined) return 'removed'
  return raft.leadTransferee === noNode ? undefined : 'transferring'
}

function onPropose(raft: Raft, asked: Message): StepResult {
  let reason = dropReason(raft)
  if (reason === undefined) {
    const { entries, refused } = withCheckedConfChanges(raft, asked.entries)
    if (appendEntries(raft, entries)) {
      broadcastAppend(raft)
      return refused ? 'refused' : 'ok'
    }
    reason = 'uncommittedLimit'
  }
  raft.trace?.({ kind: 'proposalDropped', reason })
  return 'dropped'
}

/** Handlers for answers need to know of whom; answers from strangers are ignored. */
function withProgress(handle: (raft: Raft, answer: Message, from: Progress) => void): Handler {
  return (raft, answer) => {
    const from = raft.tracker.get(answer.from)
    if (from !== undefined) handle(raft, answer, from)
    return 'ok'
  }
}

function onAppendResponse(raft: Raft, answer: Message, from: Progress): void {
  from.recentActive = true
  if (answer.reject) {
    onAppendRejected(raft, answer, from)
    return
  }
  // Also a probing follower whose match we know already: the answer shows that it is back.
  const confirmsProbe = from.state === 'probe' && from.match === answer.index
  if (!from.maybeUpdate(answer.index) && !confirmsProbe) return
  if (from.state === 'probe') {
    from.becomeReplicate()
  } else if (from.state === 'replicate') {
    from.inflights.freeUpTo(answer.index)
  } else if (from.match + 1 >= raft.log.firstIndex()) {
    // Wherever the snapshot came from and whatever its index: our log connects, so the stream goes on.
    from.becomeProbe()
    from.becomeReplicate()
  }
  const other = from.id !== raft.id
  if (maybeCommit(raft)) {
    releasePendingReads(raft)
    broadcastAppend(raft)
  } else if (other && from.canBumpCommit(raft.log.committed)) {
    sendAppend(raft, from)
  }
  if (!other) return
  // The answer may have made room for more than one message.
  while (maybeSendAppend(raft, from, false)) continue
  if (from.id === raft.leadTransferee && from.match === raft.log.lastIndex()) sendTimeoutNow(raft, from)
}

/**
 * The follower has no entry (index, term) as we sent. Its hint says: here, at rejectHint, I have logTerm. All
 * our entries above with a greater term cannot be in its log below, so the next probe goes to the last one
 * that may be.
 *
 *   index        1 2 3 4 5 6 7 8 9
 *   ours, terms  1 3 3 3 5 5 5 5 5      refused at 9, hint (6, term 2): 6 … 2 are of terms > 2,
 *   theirs       1 1 1 1 2 2            so the next probe is at 1: a round per term, not per entry
 */
function onAppendRejected(raft: Raft, answer: Message, from: Progress): void {
  const probe = answer.logTerm > 0
    ? raft.log.findConflictByTerm(answer.rejectHint, answer.logTerm)
    : answer.rejectHint
  if (!from.maybeDecrease(answer.index, probe)) return
  if (from.state === 'replicate') from.becomeProbe()
  sendAppend(raft, from)
}

function onHeartbeatResponse(raft: Raft, answer: Message, from: Progress): void {
  from.recentActive = true
  from.flowPaused = false
  // Also finds out about lost appends, and brings a caught-up but probing follower back to replicate.
  if (from.match < raft.log.lastIndex() || from.state === 'probe') sendAppend(raft, from)
  if (answer.context.length > 0) answerConfirmedReads(raft, answer)
}

function onSnapshotStatus(_raft: Raft, answer: Message, from: Progress): void {
  if (from.state !== 'snapshot') return
  // After a failure the snapshot's index is no base for probing.
  if (answer.reject) from.pendingSnapshot = 0
  from.becomeProbe()
  // Success: its append response will come. Failure: try again after a heartbeat.
  from.flowPaused = true
}

function onUnreachable(_raft: Raft, _answer: Message, from: Progress): void {
  // What was streamed ahead is probably lost.
  if (from.state === 'replicate') from.becomeProbe()
}

/** Ongaro §3.10. `from` is the one that shall lead. */
function onTransferLeader(raft: Raft, _asked: Message, to: Progress): void {
  if (to.isLearner || to.id === raft.leadTransferee) return
  raft.leadTransferee = noNode
  if (to.id === raft.id) return
  raft.electionElapsed = 0
  raft.leadTransferee = to.id
  if (to.match === raft.log.lastIndex()) sendTimeoutNow(raft, to)
  else sendAppend(raft, to)
}

function sendTimeoutNow(raft: Raft, to: Progress): void {
  raft.timeoutNowSent = true
  raft.send({ type: MessageType.TimeoutNow, to: to.id })
}

function releasePendingReads(raft: Raft): void {
  if (raft.pendingReads.length === 0) return
  const released = raft.pendingReads
  raft.pendingReads = []
  for (const asked of released) answerRead(raft, asked)
}

/** ForgetLeader and Hup mean nothing to a leader. */
export const leaderHandlers: HandlerTable = {
  [MessageType.Beat]: raft => {
    broadcastHeartbeat(raft)
    return 'ok'
  },
  [MessageType.CheckQuorum]: checkQuorum,
  [MessageType.Propose]: onPropose,
  [MessageType.ReadIndex]: onReadIndex,
  [MessageType.AppendResponse]: withProgress(onAppendResponse),
  [MessageType.HeartbeatResponse]: withProgress(onHeartbeatResponse),
  [MessageType.SnapshotStatus]: withProgress(onSnapshotStatus),
  [MessageType.Unreachable]: withProgress(onUnreachable),
  [MessageType.TransferLeader]: withProgress(onTransferLeader),
}
