import { MessageType } from './types.js'
import type { Message } from './types.js'
import type { Raft, StepResult } from './raft.js'
import { broadcastHeartbeat } from './raft-replication.js'
import { noNode } from './message.js'
import { asIndex } from './numbers.js'

/**
 * Reads that may wait on one leader; beyond it a request is dropped. Callers batch, so this is never near.
 */
const readsWaitingMax = 1 << 16

/**
 * Has an entry of our own term been committed? Before that our commit index may lag behind what was
 * acknowledged.
 */
function hasCommittedInTerm(raft: Raft): boolean {
  return raft.log.termOrZero(raft.log.committed) === raft.term
}

/** Leader: a read index is asked for by ourselves (from = 0 or own id) or by a follower. */
export function onReadIndex(raft: Raft, asked: Message): StepResult {
  if (raft.pendingReads.length + raft.readOnly.waiting >= readsWaitingMax) {
    raft.trace?.({ kind: 'proposalDropped', reason: 'readLimit' })
    return 'dropped'
  }
  if (hasCommittedInTerm(raft) || raft.config.plants?.has('P11') === true) answerRead(raft, asked)
  else raft.pendingReads.push(asked)
  return 'ok'
}

export function answerRead(raft: Raft, asked: Message): void {
  if (raft.config.readOnly === 'leaseBased' || raft.tracker.isSingleton()) {
    respond(raft, asked, raft.log.committed)
    return
  }
  raft.readOnly.add(asked, raft.log.committed)
  raft.readOnly.acknowledgeOwn(raft.id)
  broadcastHeartbeat(raft)
}

export function answerConfirmedReads(raft: Raft, answer: Message): void {
  if (raft.config.readOnly !== 'safe') return
  raft.readOnly.acknowledge(answer.from, answer.context)
  for (const read of raft.readOnly.takeConfirmed(raft.tracker.config)) respond(raft, read.asked, read.index)
}

function respond(raft: Raft, asked: Message, index: number): void {
  if (asked.from === noNode || asked.from === raft.id) {
    raft.readStates.push({ index: asIndex(index), context: asked.context })
  } else {
    raft.send({ type: MessageType.ReadIndexResponse, to: asked.from, index, context: asked.context })
  }
}
