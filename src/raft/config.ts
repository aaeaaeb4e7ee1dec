import { assert } from '../common/assert.js'
import type { Random } from '../common/env.js'
import type { LogIndex } from '../common/ids.js'
import { isLocalTarget } from './message.js'
import type { RaftTrace } from './trace.js'
import type { NodeId, RaftStorage } from './types.js'

/**
 * `safe`: a quorum confirms the leader for each round of reads (Ongaro §6.4). `leaseBased` trusts ticks;
 * needs checkQuorum.
 */
export type ReadOnlyOption = 'safe' | 'leaseBased'

export interface RaftConfig {
  readonly id: NodeId
  /**
   * A follower campaigns after [electionTicks, 2 · electionTicks) ticks without a leader. > heartbeatTicks.
   */
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly storage: RaftStorage
  /** Everything up to here was applied before the start and is not handed out again. */
  readonly applied: LogIndex
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly readOnly: ReadOnlyOption
  /** Bytes of entries in one Append; 0 means one entry a message. */
  readonly maxSizePerMessage: number
  /** Bytes of committed entries handed out and not yet reported as applied. 0 means maxSizePerMessage. */
  readonly maxCommittedSizePerReady: number
  /** Payload bytes a leader holds above its commit index before it drops proposals. 0 means no limit. */
  readonly maxUncommittedEntriesSize: number
  /** Appends sent to one follower and not yet answered. */
  readonly maxInflightMessages: number
  /** Bytes of them; 0 means no limit, otherwise >= maxSizePerMessage. */
  readonly maxInflightBytes: number
  /** Storage work leaves as StorageAppend / StorageApply messages and there is no advance(). */
  readonly asyncStorageWrites: boolean
  readonly disableConfChangeValidation: boolean
  /** A leader that a configuration change removed or demoted becomes a follower at once. */
  readonly stepDownOnRemoval: boolean
  readonly random: Random
  /**
   * A follower passes proposals on to its leader. Default true, as in etcd; the store routes by itself and
   * says false.
   */
  readonly forwardProposals?: boolean
  /**
   * Ticks after hearing a leader during which (pre-)votes are refused, whatever this node itself did
   * meanwhile, and during which it does not campaign either (its own vote would break a lease as well). <=
   * electionTicks. A leader whose transfer failed renews its term, to have leases again.
   * Absent: etcd's rule, with checkQuorum only, electionTicks long, and given up when the node
   * forgets its leader.
   */
  readonly leaseTicks?: number
  /** Refuse votes also for leaseTicks after the start: a lease granted before a restart must be honoured. */
  readonly guardVotesAtStart?: boolean
  readonly trace?: (event: RaftTrace) => void
  /** Bugs to commit on purpose (`P3`): only the simulator says so, to prove that it would find them. */
  readonly plants?: ReadonlySet<string> | undefined
}

/** Asserts what a caller can only get wrong in code. */
export function checkConfig(config: RaftConfig): void {
  assert(config.id > 0, 'raft id 0 means nobody')
  assert(!isLocalTarget(config.id), 'raft id is reserved for local storage')
  assert(config.heartbeatTicks > 0, 'heartbeatTicks must be positive')
  assert(config.electionTicks > config.heartbeatTicks, 'electionTicks must exceed heartbeatTicks')
  assert(config.maxInflightMessages > 0, 'maxInflightMessages must be positive')
  if (config.maxInflightBytes > 0) {
    assert(config.maxInflightBytes >= config.maxSizePerMessage, 'maxInflightBytes must cover one message')
  }
  if (config.readOnly === 'leaseBased') assert(config.checkQuorum, 'lease-based reads need checkQuorum')
  if (config.leaseTicks !== undefined) {
    const { leaseTicks, electionTicks } = config
    assert(leaseTicks > 0 && leaseTicks <= electionTicks, 'leaseTicks must be in [1, electionTicks]')
  }
}
