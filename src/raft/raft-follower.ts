import { noNode } from './message.js'
import { followLeader, handleAppend, handleHeartbeat, handleSnapshot } from './raft-append.js'
import { hup } from './raft-election.js'
import type { HandlerTable, Raft, StepResult } from './raft.js'
import { MessageType } from './types.js'
import type { Message } from './types.js'

/** Passes a local request on to the leader. */
function forward(raft: Raft, asked: Message): StepResult {
  if (raft.lead === noNode) return 'dropped'
  const { type, from, entries, context } = asked
  raft.send({ type, to: raft.lead, from, entries, context })
  return 'ok'
}

function onPropose(raft: Raft, asked: Message): StepResult {
  if (raft.lead !== noNode && raft.config.forwardProposals !== false) return forward(raft, asked)
  raft.trace?.({ kind: 'proposalDropped', reason: raft.lead === noNode ? 'noLeader' : 'notForwarding' })
  return 'dropped'
}

function onForgetLeader(raft: Raft): StepResult {
  // With lease-based reads forgetting would let us vote while the old leader still answers from its lease.
  if (raft.config.readOnly === 'leaseBased') return 'dropped'
  raft.lead = noNode
  return 'ok'
}

function onReadIndexResponse(raft: Raft, answer: Message): StepResult {
  raft.readStates.push({ index: answer.index, context: answer.context })
  return 'ok'
}

export const followerHandlers: HandlerTable = {
  [MessageType.Hup]: raft => {
    hup(raft, raft.config.preVote ? 'preElection' : 'election')
    return 'ok'
  },
  [MessageType.Propose]: onPropose,
  [MessageType.Append]: (raft, asked) => {
    followLeader(raft, asked)
    return handleAppend(raft, asked)
  },
  [MessageType.Heartbeat]: (raft, asked) => {
    followLeader(raft, asked)
    return handleHeartbeat(raft, asked)
  },
  [MessageType.Snapshot]: (raft, asked) => {
    followLeader(raft, asked)
    return handleSnapshot(raft, asked)
  },
  [MessageType.TransferLeader]: forward,
  [MessageType.ForgetLeader]: onForgetLeader,
  // The leader chose us and waits: no pre-vote, and the vote guard of the others lets us pass.
  [MessageType.TimeoutNow]: raft => {
    hup(raft, 'transfer')
    return 'ok'
  },
  [MessageType.ReadIndex]: forward,
  [MessageType.ReadIndexResponse]: onReadIndexResponse,
}
