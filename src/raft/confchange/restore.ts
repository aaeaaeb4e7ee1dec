import { ok } from '../../common/result.js'
import type { ProgressLimits } from '../tracker/progress.js'
import { emptyTrackerConfig } from '../tracker/tracker.js'
import type { ConfState, NodeId } from '../types.js'
import { Changer } from './changer.js'
import type { ChangeResult, Membership } from './changer.js'
import type { ConfChangeSingle, ConfChangeType } from './conf-change.js'

/**
 * Builds the membership that a ConfState describes by replaying changes on an empty one, so that every
 * invariant is checked on the way. A joint state: first its outgoing half one by one, then one joint change
 * that removes all of those and adds the incoming half and the learners.
 *
 *   voters=(1 2 3) learners=(5) outgoing=(1 2 4 6) learnersNext=(4)
 *   v1 v2 v4 v6   then   joint: r1 r2 r4 r6 v1 v2 v3 l5 l4
 */
export function restoreMembership(state: ConfState, lastIndex: number, limits: ProgressLimits): ChangeResult {
  const outgoing = all('addNode', state.votersOutgoing)
  const incoming = [
    ...all('removeNode', state.votersOutgoing), ...all('addNode', state.voters),
    ...all('addLearner', state.learners), ...all('addLearner', state.learnersNext),
  ]
  let membership: Membership = { config: emptyTrackerConfig, members: [] }
  for (const change of outgoing.length > 0 ? outgoing : incoming) {
    const result = new Changer(membership, lastIndex, limits).simple([change])
    if (!result.ok) return result
    membership = result.value
  }
  if (outgoing.length === 0) return ok(membership)
  return new Changer(membership, lastIndex, limits).enterJoint(state.autoLeave, incoming)
}

function all(type: ConfChangeType, ids: readonly NodeId[]): ConfChangeSingle[] {
  return ids.map(nodeId => ({ type, nodeId }))
}

const sameIds = (left: readonly number[], right: readonly number[]): boolean => {
  const sorted = [...right].sort((a, b) => a - b)
  return left.length === right.length && [...left].sort((a, b) => a - b).every((id, i) => id === sorted[i])
}

/** Equal up to the order of ids. */
export function sameConfState(left: ConfState, right: ConfState): boolean {
  return left.autoLeave === right.autoLeave
    && sameIds(left.voters, right.voters) && sameIds(left.learners, right.learners)
    && sameIds(left.votersOutgoing, right.votersOutgoing) && sameIds(left.learnersNext, right.learnersNext)
}
