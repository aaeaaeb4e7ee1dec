import type { Raft } from './raft.js'
import { asIndex, asTerm } from './numbers.js'
import type { ProgressState } from './tracker/progress.js'
import type { TrackerConfig } from './tracker/tracker.js'
import type { LogIndex, Term } from '../common/ids.js'
import type { NodeId, Role } from './types.js'

/** A copy of what a leader knows of one member. */
export interface ProgressStatus {
  readonly id: NodeId
  readonly match: LogIndex
  readonly next: LogIndex
  readonly state: ProgressState
  readonly paused: boolean
  readonly pendingSnapshot: LogIndex
  readonly recentActive: boolean
  readonly isLearner: boolean
  readonly inflights: number
  readonly inflightsFull: boolean
}

export interface Status {
  readonly id: NodeId
  readonly role: Role
  readonly term: Term
  readonly vote: NodeId
  readonly lead: NodeId
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly leadTransferee: NodeId
  readonly electionElapsed: number
  readonly config: TrackerConfig
  /** Ascending by id; empty on anyone but the leader. */
  readonly progress: ReadonlyMap<NodeId, ProgressStatus>
}

export function statusOf(raft: Raft): Status {
  const progress = new Map<NodeId, ProgressStatus>()
  if (raft.role === 'leader') {
    for (const one of raft.tracker.members) {
      progress.set(one.id, {
        id: one.id, match: asIndex(one.match), next: asIndex(one.next), state: one.state, paused: one.paused,
        pendingSnapshot: asIndex(one.pendingSnapshot), recentActive: one.recentActive,
        isLearner: one.isLearner, inflights: one.inflights.count, inflightsFull: one.inflights.full,
      })
    }
  }
  return {
    id: raft.id, role: raft.role, term: asTerm(raft.term), vote: raft.vote, lead: raft.lead,
    commit: asIndex(raft.log.committed), applied: asIndex(raft.log.applied),
    leadTransferee: raft.leadTransferee, electionElapsed: raft.electionElapsed,
    config: raft.tracker.config, progress,
  }
}
