import { assert } from '../../common/assert.js'
import type { NodeId } from '../types.js'
import { Inflights } from './inflights.js'

/**
 * probe: one append per heartbeat round, until the logs are known to meet.
 * replicate: appends stream ahead of the answers, within the in-flight limits.
 * snapshot: a snapshot is on its way; no appends.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot'

export interface ProgressLimits {
  readonly maxInflightMessages: number
  readonly maxInflightBytes: number
}

/**
 * What a leader knows of one follower.
 *
 *   1 …… match | match+1 …… next-1 | next ……
 *   confirmed  |  in flight        | not yet sent          invariant: match < next
 */
export class Progress {
  readonly id: NodeId
  match = 0
  next: number
  state: ProgressState = 'probe'
  /** In state snapshot: index of the snapshot on its way; next = pendingSnapshot + 1. */
  pendingSnapshot = 0
  /** Was heard since the last quorum check. Always true for the leader itself. */
  recentActive = false
  /** The stream waits for a heartbeat response or an acknowledgement before the next append. */
  flowPaused = false
  isLearner = false
  /** Highest commit index sent. Goes back when an append is lost or refused. */
  sentCommit = 0
  inflights: Inflights

  constructor(id: NodeId, next: number, limits: ProgressLimits) {
    this.id = id
    this.next = next
    this.inflights = new Inflights(limits.maxInflightMessages, limits.maxInflightBytes)
  }

  /** Shares the in-flight window; used where only the learner flag is going to change. */
  copy(limits: ProgressLimits): Progress {
    const copy = new Progress(this.id, this.next, limits)
    copy.match = this.match
    copy.state = this.state
    copy.pendingSnapshot = this.pendingSnapshot
    copy.recentActive = this.recentActive
    copy.flowPaused = this.flowPaused
    copy.isLearner = this.isLearner
    copy.sentCommit = this.sentCommit
    copy.inflights = this.inflights
    return copy
  }

  /** Back to knowing nothing, at the start of a term. Learner stays learner. */
  reset(match: number, next: number): void {
    this.match = match
    this.next = next
    this.state = 'probe'
    this.pendingSnapshot = 0
    this.recentActive = false
    this.flowPaused = false
    this.sentCommit = 0
    this.inflights.reset()
  }

  #enter(state: ProgressState): void {
    this.state = state
    this.flowPaused = false
    this.pendingSnapshot = 0
    this.inflights.reset()
  }

  /** Probing goes on after the snapshot when one was on its way, else after match. */
  becomeProbe(): void {
    const after = this.state === 'snapshot' ? Math.max(this.match, this.pendingSnapshot) : this.match
    this.#enter('probe')
    this.next = after + 1
    this.sentCommit = Math.min(this.sentCommit, after)
  }

  becomeReplicate(): void {
    this.#enter('replicate')
    this.next = this.match + 1
  }

  becomeSnapshot(index: number): void {
    this.#enter('snapshot')
    this.pendingSnapshot = index
    this.next = index + 1
    this.sentCommit = index
  }

  /** An append with `count` entries starting at `next` was sent. */
  sentEntries(count: number, bytes: number): void {
    assert(this.state !== 'snapshot', 'append sent while a snapshot is pending')
    if (this.state === 'probe') {
      if (count > 0) this.flowPaused = true
      return
    }
    if (count > 0) {
      this.next += count
      this.inflights.add(this.next - 1, bytes)
    }
    // The message that fills the window is a probe too: the next one waits for a sign of life.
    this.flowPaused = this.inflights.full
  }

  /** Could sending `commit` now move the follower's commit index further than what is already under way? */
  canBumpCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1
  }

  /** The follower has acknowledged `index`. @returns false when that is old news */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false
    this.match = index
    this.next = Math.max(this.next, index + 1)
    this.flowPaused = false
    return true
  }

  /**
   * The follower has refused an append that followed `rejected` and suggests to go on after `hint`.
   * @returns false for a late or repeated refusal; otherwise `next` has gone back
   */
  maybeDecrease(rejected: number, hint: number): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.next = this.match + 1
    } else {
      // Outside of replicate one append is out at a time: a refusal of any other is stale.
      if (this.next - 1 !== rejected) return false
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1)
      this.flowPaused = false
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1)
    return true
  }

  get paused(): boolean { return this.state === 'snapshot' || this.flowPaused }
}
