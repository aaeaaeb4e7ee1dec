import type { RegionId } from '../../common/ids.js'
import type { ConfState, Message } from '../../raft/types.js'
import { OracleFailure } from '../failure.js'
import type { LogView } from './raft-safety.js'

const file = 'sim/oracles/quorum.ts'

/** Who says it, and what would survive a crash of each member now; undefined: that member is lost and may have agreed. */
export interface QuorumView {
  readonly node: string
  readonly regionId: RegionId
  readonly conf: ConfState
  durableOf(id: number): LogView | undefined
}

/** A majority of each half of the configuration (Ongaro §4.3). */
function missing(conf: ConfState, agrees: (id: number) => boolean): string | undefined {
  for (const half of [conf.voters, conf.votersOutgoing]) {
    if (half.length === 0) continue
    const yes = half.filter(agrees)
    if (yes.length * 2 <= half.length) return `only ${yes.join(' ') || 'nobody'} of ${half.join(' ')}`
  }
  return undefined
}

function isKept(log: LogView | undefined, regionId: RegionId, index: number, term: number): boolean {
  if (log === undefined) return true
  const shape = log.region(regionId)
  if (shape === undefined) return false
  return shape.truncatedIndex >= index || log.term(regionId, index as never) === term
}

/** Committed means: durable on a majority. Judged when a leader moves its commit index to (index, term). */
export function checkCommitQuorum(view: QuorumView, index: number, term: number, leaderTerm: number): void {
  if (term !== leaderTerm) {
    throw new OracleFailure('a leader counts replicas only of entries of its own term', file,
      `region ${view.regionId}: ${view.node} leads term ${leaderTerm} and commits index ${index} of term ${term}`, [view.regionId])
  }
  const lacks = missing(view.conf, id => isKept(view.durableOf(id), view.regionId, index, term))
  if (lacks !== undefined) {
    throw new OracleFailure('committed is what a majority has on disk', file,
      `region ${view.regionId}: ${view.node} commits index ${index} of term ${term}; it is durable on ${lacks}`, [view.regionId])
  }
}

/** A leader was elected by durable votes of a majority. Judged when it begins to lead. */
export function checkElectionQuorum(view: QuorumView, peer: number, term: number): void {
  const voted = (id: number): boolean => {
    const log = view.durableOf(id)
    if (log === undefined) return true
    const hard = log.region(view.regionId)?.hardState
    return hard !== undefined && (hard.term > term || (hard.term === term && hard.vote === peer))
  }
  const lacks = missing(view.conf, voted)
  if (lacks !== undefined) {
    throw new OracleFailure('a leader has the durable votes of a majority', file,
      `region ${view.regionId}: ${view.node} leads term ${term}; its votes are those of ${lacks}`, [view.regionId])
  }
}

/** A heartbeat tells a follower to commit only what it is known to hold; beyond that its log may differ. */
export function checkHeartbeat(view: Omit<QuorumView, 'conf'>, message: Message, own: LogView): void {
  const { to, commit } = message
  const term = own.term(view.regionId, commit)
  // Compacted away here: it was applied long ago.
  if (commit === 0 || term === undefined || isKept(view.durableOf(to), view.regionId, commit, term)) return
  throw new OracleFailure('a heartbeat commits only what the follower holds', file,
    `region ${view.regionId}: ${view.node} tells peer ${to} that ${commit} (term ${term}) is committed, which peer ${to} does not hold`,
    [view.regionId])
}
