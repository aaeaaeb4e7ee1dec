import type { IdSet } from './id-set.js'
import { majorityCommittedIndex, majorityVoteResult } from './majority.js'
import type { AckedIndexes, VoteResult, Votes } from './majority.js'

/**
 * Two majorities that must both agree (Ongaro §4.3). `outgoing` is empty outside of a joint configuration.
 */
export interface JointVoters {
  readonly incoming: IdSet
  readonly outgoing: IdSet
}

export function jointCommittedIndex(voters: JointVoters, acked: AckedIndexes): number {
  const incoming = majorityCommittedIndex(voters.incoming, acked)
  if (voters.outgoing.size === 0) return incoming
  return Math.min(incoming, majorityCommittedIndex(voters.outgoing, acked))
}

export function jointVoteResult(voters: JointVoters, votes: Votes): VoteResult {
  const incoming = majorityVoteResult(voters.incoming, votes)
  const outgoing = majorityVoteResult(voters.outgoing, votes)
  if (incoming === outgoing) return incoming
  return incoming === 'lost' || outgoing === 'lost' ? 'lost' : 'pending'
}
