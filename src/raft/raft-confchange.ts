import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import { Changer } from './confchange/changer.js'
import type { ChangeResult, ConfChangeError, Membership } from './confchange/changer.js'
import { decodeConfChange, entersJoint, leavesJoint } from './confchange/conf-change.js'
import type { ConfChangeV2 } from './confchange/conf-change.js'
import { entry, noNode } from './message.js'
import { EntryType } from './types.js'
import type { ConfState, Entry, NodeId } from './types.js'
import type { Raft } from './raft.js'
import { broadcastAppend, maybeCommit, maybeSendAppend } from './raft-replication.js'
import { describeTrackerConfig, isJoint } from './tracker/tracker.js'

function tryChange(raft: Raft, change: ConfChangeV2): ChangeResult {
  const { config, members, limits } = raft.tracker
  return new Changer({ config, members }, raft.log.lastIndex(), limits).change(change)
}

/** `changePending`: one may be in the log that is not applied yet. */
export type ConfChangeRefusal = ConfChangeError | 'malformed' | 'changePending'

interface CheckedProposal {
  readonly entries: readonly Entry[]
  readonly refused: boolean
}

/** Why the change may not enter the log now; undefined when it may. */
export function confChangeRefusal(
  raft: Raft, change: ConfChangeV2 | undefined,
): ConfChangeRefusal | undefined {
  if (change === undefined) return 'malformed'
  const mayPile = raft.config.plants?.has('P8') === true && !entersJoint(change)
  if (raft.pendingConfIndex > raft.log.applied && !mayPile) return 'changePending'
  if (isJoint(raft.tracker.config) !== leavesJoint(change)) {
    return isJoint(raft.tracker.config) ? 'alreadyJoint' : 'notJoint'
  }
  // With no change pending, today's configuration is the one it will be applied to.
  const result = tryChange(raft, change)
  return result.ok ? undefined : result.error
}

/**
 * Replaces configuration changes that may not be proposed by empty entries; notes the index of those that
 * may.
 */
export function withCheckedConfChanges(raft: Raft, proposed: readonly Entry[]): CheckedProposal {
  let entries = proposed
  let refused = false
  for (let i = 0; i < proposed.length; i++) {
    const one = proposed[i]!
    if (one.type === EntryType.Normal) continue
    const refusal = raft.config.disableConfChangeValidation
      ? undefined
      : confChangeRefusal(raft, decodeConfChange(one.type, one.data))
    if (refusal === undefined) {
      raft.pendingConfIndex = raft.log.lastIndex() + i + 1
      continue
    }
    raft.trace?.({ kind: 'confChangeRefused', reason: refusal })
    refused = true
    const replaced = [...entries]
    replaced[i] = entry({ term: 0, index: 0 }, EntryType.Normal, emptyBytes)
    entries = replaced
  }
  return { entries, refused }
}

export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const result = tryChange(raft, change)
  assert(result.ok, () => `a committed change cannot be applied: ${result.ok ? '' : result.error}`)
  return switchTo(raft, result.value)
}

/** Makes a membership the active one, with what follows for the leader. */
export function switchTo(raft: Raft, membership: Membership): ConfState {
  const { tracker } = raft
  tracker.use(membership.config, membership.members)
  raft.readOnly.retain(id => tracker.get(id as NodeId) !== undefined)
  raft.trace?.({ kind: 'configuration', configuration: describeTrackerConfig(membership.config) })
  const state = tracker.confState()
  const own = tracker.get(raft.id)
  raft.isLearner = own?.isLearner === true
  if (raft.role !== 'leader') return state
  if (own === undefined || own.isLearner) {
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, noNode)
    return state
  }
  if (state.voters.length === 0) return state
  if (maybeCommit(raft)) {
    // A smaller quorum may have committed more.
    broadcastAppend(raft)
  } else {
    for (const progress of tracker.members) {
      if (progress.id !== raft.id) maybeSendAppend(raft, progress, false)
    }
  }
  if (raft.leadTransferee !== noNode && !tracker.isVoter(raft.leadTransferee)) raft.leadTransferee = noNode
  return state
}
