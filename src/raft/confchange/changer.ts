import { err, ok } from '../../common/result.js'
import type { Result } from '../../common/result.js'
import { IdSet } from '../quorum/id-set.js'
import { Progress } from '../tracker/progress.js'
import type { ProgressLimits } from '../tracker/progress.js'
import { isJoint } from '../tracker/tracker.js'
import type { TrackerConfig } from '../tracker/tracker.js'
import type { NodeId } from '../types.js'
import { entersJoint, leavesJoint } from './conf-change.js'
import type { ConfChangeSingle, ConfChangeV2 } from './conf-change.js'

export type ConfChangeError =
  | 'alreadyJoint' | 'notJoint' | 'zeroVotersJoint' | 'simpleWhileJoint' | 'removedAllVoters'
  | 'manyVotersChanged' | 'brokenInvariant'

export interface Membership {
  readonly config: TrackerConfig
  readonly members: readonly Progress[]
}

export type ChangeResult = Result<Membership, ConfChangeError>

interface Draft {
  incoming: IdSet
  outgoing: IdSet
  learners: IdSet
  learnersNext: IdSet
  autoLeave: boolean
  readonly members: Map<number, Progress>
}

/**
 * Computes the membership that follows from a change, and refuses what would be unsafe: a simple change that
 * touches two voters, a configuration without voters, joint on top of joint. Never touches what it was given.
 */
export class Changer {
  readonly #from: Membership
  readonly #lastIndex: number
  readonly #limits: ProgressLimits

  constructor(from: Membership, lastIndex: number, limits: ProgressLimits) {
    this.#from = from
    this.#lastIndex = lastIndex
    this.#limits = limits
  }

  /** Chooses the protocol as the change demands it. */
  change(change: ConfChangeV2): ChangeResult {
    if (leavesJoint(change)) return this.leaveJoint()
    if (entersJoint(change)) return this.enterJoint(change.transition !== 'explicit', change.changes)
    return this.simple(change.changes)
  }

  /** (1 2 3) → (changed)&&(1 2 3) */
  enterJoint(autoLeave: boolean, changes: readonly ConfChangeSingle[]): ChangeResult {
    const draft = this.#draft()
    if (isJoint(draft)) return err('alreadyJoint')
    if (draft.incoming.size === 0) return err('zeroVotersJoint')
    draft.outgoing = draft.incoming
    this.#applyAll(draft, changes)
    if (draft.incoming.size === 0) return err('removedAllVoters')
    draft.autoLeave = autoLeave
    return finish(draft)
  }

  /** (a)&&(b) → (a); whoever was only in b goes, whoever waited in learnersNext becomes a learner. */
  leaveJoint(): ChangeResult {
    const draft = this.#draft()
    if (!isJoint(draft)) return err('notJoint')
    for (const id of draft.learnersNext.ids) {
      draft.learners = draft.learners.with(id)
      draft.members.get(id)!.isLearner = true
    }
    draft.learnersNext = IdSet.empty
    for (const id of draft.outgoing.ids) {
      if (!draft.incoming.has(id) && !draft.learners.has(id)) draft.members.delete(id)
    }
    draft.outgoing = IdSet.empty
    draft.autoLeave = false
    return finish(draft)
  }

  /** Any number of changes that together add or remove at most one voter. */
  simple(changes: readonly ConfChangeSingle[]): ChangeResult {
    const draft = this.#draft()
    if (isJoint(draft)) return err('simpleWhileJoint')
    this.#applyAll(draft, changes)
    if (draft.incoming.size === 0) return err('removedAllVoters')
    if (this.#from.config.incoming.differenceSize(draft.incoming) > 1) return err('manyVotersChanged')
    return finish(draft)
  }

  #draft(): Draft {
    const { incoming, outgoing, learners, learnersNext } = this.#from.config
    const members = new Map<number, Progress>()
    for (const progress of this.#from.members) members.set(progress.id, progress.copy(this.#limits))
    return { incoming, outgoing, learners, learnersNext, autoLeave: this.#from.config.autoLeave, members }
  }

  /** Voters are changed in the incoming half only. Node 0 stands for a change that the application voided. */
  #applyAll(draft: Draft, changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      if (nodeId === 0 || type === 'updateNode') continue
      if (type === 'addNode') this.#makeVoter(draft, nodeId)
      else if (type === 'addLearner') this.#makeLearner(draft, nodeId)
      else remove(draft, nodeId)
    }
  }

  #makeVoter(draft: Draft, id: NodeId): void {
    const progress = draft.members.get(id) ?? this.#addProgress(draft, id)
    progress.isLearner = false
    draft.learners = draft.learners.without(id)
    draft.learnersNext = draft.learnersNext.without(id)
    draft.incoming = draft.incoming.with(id)
  }

  /**
   * A voter of the outgoing half waits in learnersNext: it cannot be both while the configuration is joint.
   */
  #makeLearner(draft: Draft, id: NodeId): void {
    const known = draft.members.get(id)
    if (known?.isLearner === true) return
    const progress = known ?? this.#addProgress(draft, id)
    remove(draft, id)
    draft.members.set(id, progress)
    if (draft.outgoing.has(id)) {
      draft.learnersNext = draft.learnersNext.with(id)
    } else {
      progress.isLearner = true
      draft.learners = draft.learners.with(id)
    }
  }

  /** A newcomer counts as active: the next quorum check must not depose the leader before it could speak. */
  #addProgress(draft: Draft, id: NodeId): Progress {
    const progress = new Progress(id, Math.max(this.#lastIndex, 1), this.#limits)
    progress.recentActive = true
    draft.members.set(id, progress)
    return progress
  }
}

/** The progress stays while the outgoing half still counts the node. */
function remove(draft: Draft, id: NodeId): void {
  if (!draft.members.has(id)) return
  draft.incoming = draft.incoming.without(id)
  draft.learners = draft.learners.without(id)
  draft.learnersNext = draft.learnersNext.without(id)
  if (!draft.outgoing.has(id)) draft.members.delete(id)
}

function finish(draft: Draft): ChangeResult {
  const { incoming, outgoing, learners, learnersNext, autoLeave, members } = draft
  const config: TrackerConfig = { incoming, outgoing, learners, learnersNext, autoLeave }
  const membership = { config, members: [...members.values()] }
  return membershipHolds(membership) ? ok(membership) : err('brokenInvariant')
}

/**
 * Every member has a progress, nobody is voter and learner, and only joint configurations have joint parts.
 */
export function membershipHolds({ config, members }: Membership): boolean {
  const learnerById = new Map(members.map(progress => [progress.id, progress.isLearner]))
  const { incoming, outgoing, learners, learnersNext } = config
  for (const set of [incoming, outgoing, learners, learnersNext]) {
    if (!set.ids.every(id => learnerById.has(id))) return false
  }
  if (!learnersNext.ids.every(id => outgoing.has(id) && learnerById.get(id) === false)) return false
  const isOnlyLearner = (id: NodeId): boolean =>
    !outgoing.has(id) && !incoming.has(id) && learnerById.get(id) === true
  if (!learners.ids.every(isOnlyLearner)) return false
  return isJoint(config) || (learnersNext.size === 0 && !config.autoLeave)
}
