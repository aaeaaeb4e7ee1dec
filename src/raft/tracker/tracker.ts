import { IdSet } from '../quorum/id-set.js'
import { jointCommittedIndex, jointVoteResult } from '../quorum/joint.js'
import type { JointVoters } from '../quorum/joint.js'
import type { AckedIndexes, VoteResult } from '../quorum/majority.js'
import type { ConfState, NodeId } from '../types.js'
import type { Progress, ProgressLimits } from './progress.js'

/**
 * Who takes part. `learnersNext` are voters of the outgoing half that turn into learners when the joint state
 * is left: nobody is voter and learner at once.
 */
export interface TrackerConfig extends JointVoters {
  readonly learners: IdSet
  readonly learnersNext: IdSet
  /** Leave the joint state without being asked, as soon as it is applied. */
  readonly autoLeave: boolean
}

export const emptyTrackerConfig: TrackerConfig = {
  incoming: IdSet.empty, outgoing: IdSet.empty, learners: IdSet.empty, learnersNext: IdSet.empty,
  autoLeave: false,
}

export const isJoint = (config: TrackerConfig): boolean => config.outgoing.size > 0

/** `voters=(1 2 3)&&(1 2) learners=(4) learners_next=(5) autoleave` */
export function describeTrackerConfig(config: TrackerConfig): string {
  let text = `voters=${config.incoming.describe()}`
  if (config.outgoing.size > 0) text += `&&${config.outgoing.describe()}`
  if (config.learners.size > 0) text += ` learners=${config.learners.describe()}`
  if (config.learnersNext.size > 0) text += ` learners_next=${config.learnersNext.describe()}`
  if (config.autoLeave) text += ' autoleave'
  return text
}

/** The active configuration, one Progress for each of its members, and the votes of the running election. */
export class ProgressTracker implements AckedIndexes {
  readonly limits: ProgressLimits
  config: TrackerConfig = emptyTrackerConfig
  /** Ascending by id: loops over it are in a stable order and allocate nothing. */
  members: readonly Progress[] = []
  readonly votes = new Map<number, boolean>()
  readonly #byId = new Map<number, Progress>()
  readonly #plants: ReadonlySet<string> | undefined

  /** @param plants for the simulator only: see RaftConfig */
  constructor(limits: ProgressLimits, plants?: ReadonlySet<string>) {
    this.limits = limits
    this.#plants = plants
  }

  get(id: number): Progress | undefined { return this.#byId.get(id) }

  /** @param members in any order; owned by the tracker afterwards */
  use(config: TrackerConfig, members: readonly Progress[]): void {
    this.config = config
    this.members = [...members].sort((left, right) => left.id - right.id)
    this.#byId.clear()
    for (const progress of this.members) this.#byId.set(progress.id, progress)
  }

  isVoter(id: number): boolean {
    return this.config.incoming.has(id) || this.config.outgoing.has(id)
  }

  /** Both halves of a joint configuration, ascending, without repetition. */
  voterIds(): readonly NodeId[] {
    if (this.config.outgoing.size === 0) return this.config.incoming.ids
    return IdSet.of([...this.config.incoming.ids, ...this.config.outgoing.ids]).ids
  }

  isSingleton(): boolean { return this.config.incoming.size === 1 && this.config.outgoing.size === 0 }

  confState(): ConfState {
    return {
      voters: this.config.incoming.ids,
      learners: this.config.learners.ids,
      votersOutgoing: this.config.outgoing.ids,
      learnersNext: this.config.learnersNext.ids,
      autoLeave: this.config.autoLeave,
    }
  }

  ackedIndex(id: number): number | undefined { return this.#byId.get(id)?.match }

  /**
   * Highest index that a quorum holds. Whether it may be committed is the caller's question (own term only).
   */
  committed(): number {
    if (this.#plants?.has('P48') === true) return this.#committedWithLearners()
    return jointCommittedIndex(this.#counted(), this)
  }

  /** The configuration whose majorities count. */
  #counted(): JointVoters {
    return this.#plants?.has('P9') === true ? { incoming: this.config.incoming, outgoing: IdSet.empty } : this.config
  }

  #committedWithLearners(): number {
    const matches = this.members.map(progress => progress.match).sort((left, right) => right - left)
    return matches[Math.floor(this.config.incoming.size / 2)] ?? 0
  }

  /** Has a quorum been heard since the last check? */
  quorumActive(): boolean {
    const active = new Map<number, boolean>()
    for (const { id, isLearner, recentActive } of this.members) if (!isLearner) active.set(id, recentActive)
    return jointVoteResult(this.config, active) === 'won'
  }

  resetVotes(): void {
    if (this.votes.size > 0) this.votes.clear()
  }

  /** The first answer counts. */
  recordVote(id: number, granted: boolean): void {
    if (!this.votes.has(id)) this.votes.set(id, granted)
  }

  voteResult(): VoteResult { return jointVoteResult(this.#counted(), this.votes) }
}
