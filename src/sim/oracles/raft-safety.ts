import type { LogIndex, RegionId } from '../../common/ids.js'
import type { LogOp } from '../../engine/log-batch.js'
import type { RaftLog } from '../../engine/api.js'
import type { Entry, Message } from '../../raft/types.js'
import { MessageType } from '../../raft/types.js'
import { OracleFailure } from '../failure.js'
import { hashBytes } from '../trace.js'

const file = 'sim/oracles/raft-safety.ts'

/** The part of a log that the oracles read. RegionIndex (what is durable) has it as well. */
export type LogView = Pick<RaftLog, 'region' | 'term'>

interface Commit {
  readonly term: number
  readonly hash: number
  /** Term of the node that was first seen to know of it: it was committed in this term or before. */
  readonly seenInTerm: number
  readonly node: string
}

interface RegionHistory {
  /** term → who leads it */
  readonly leaders: Map<number, { readonly peer: number; readonly node: string }>
  /** `peer:term` → voted for */
  readonly votes: Map<string, number>
  /** index → term → entry */
  readonly entries: Map<number, Map<number, { readonly hash: number; readonly previousTerm: number; readonly node: string }>>
  readonly commits: Map<number, Commit>
  committed: number
  leaderTerm: number
}

/**
 * Raft's promises (Ongaro fig. 3.2), judged from what nodes write into their logs and what they send: nothing is asked of
 * the nodes themselves. One history of every region for the whole run, over all crashes.
 */
export class RaftSafety {
  readonly #regions = new Map<number, RegionHistory>()

  of(regionId: number): RegionHistory {
    let region = this.#regions.get(regionId)
    if (region === undefined) {
      region = { leaders: new Map(), votes: new Map(), entries: new Map(), commits: new Map(), committed: 0, leaderTerm: 0 }
      this.#regions.set(regionId, region)
    }
    return region
  }

  get regionIds(): readonly number[] { return [...this.#regions.keys()] }
  committed(regionId: number): number { return this.#regions.get(regionId)?.committed ?? 0 }
  /** Highest term in which anyone was seen to lead. */
  leaderTerm(regionId: number): number { return this.#regions.get(regionId)?.leaderTerm ?? 0 }

  /** A node's log was given these operations and shows them already. */
  onLog(node: string, ops: readonly LogOp[], log: LogView & Pick<RaftLog, 'entries'>): void {
    for (const op of ops) {
      if (op.regionId === 0) continue
      if (op.kind === 'entries') this.#onEntries(node, op.regionId, op.entries, log)
      else if (op.kind === 'reset' && op.index > 0) this.#onCommittedBoundary(node, op.regionId, op.index, op.term)
      else if (op.kind === 'compact') this.#onCommittedBoundary(node, op.regionId, op.index, op.term)
    }
    for (const op of ops) {
      if (op.kind === 'hardState') this.onCommit(node, op.regionId, op.hardState, log)
    }
  }

  #onEntries(node: string, regionId: RegionId, entries: readonly Entry[], log: LogView): void {
    const region = this.of(regionId)
    let previousTerm = entries.length === 0 ? 0 : log.term(regionId, (entries[0]!.index - 1) as LogIndex) ?? 0
    for (const entry of entries) {
      const hash = hashBytes(entry.data) ^ entry.type
      let byTerm = region.entries.get(entry.index)
      if (byTerm === undefined) region.entries.set(entry.index, byTerm = new Map())
      const known = byTerm.get(entry.term)
      if (known === undefined) byTerm.set(entry.term, { hash, previousTerm, node })
      else if (known.hash !== hash || known.previousTerm !== previousTerm) {
        throw new OracleFailure('log matching: same index and term, same entry and same past', file,
          `region ${regionId} index ${entry.index} term ${entry.term}: ${node} has another entry or past than ${known.node}`, [regionId])
      }
      previousTerm = entry.term
    }
  }

  #onCommittedBoundary(node: string, regionId: number, index: number, term: number): void {
    const commit = this.of(regionId).commits.get(index)
    if (commit !== undefined && commit.term !== term) {
      throw new OracleFailure('committed entries are the same everywhere', file,
        `region ${regionId} index ${index}: ${node} has a snapshot or compaction of term ${term}, committed is term ${commit.term}`,
        [regionId])
    }
  }

  /** @param state what a node holds to be committed, written or known */
  onCommit(node: string, regionId: RegionId, state: { readonly term: number; readonly commit: number },
    log: LogView & Pick<RaftLog, 'entries'>): void {
    const region = this.of(regionId)
    const shape = log.region(regionId)
    if (shape === undefined) return
    if (state.commit > shape.lastIndex) {
      throw new OracleFailure('committed <= last', file,
        `region ${regionId}: ${node} has commit ${state.commit}, its log ends at ${shape.lastIndex}`, [regionId])
    }
    for (let index = state.commit; index > shape.truncatedIndex; index--) {
      const term = log.term(regionId, index as LogIndex)!
      const known = region.commits.get(index)
      if (known !== undefined && known.term === term) {
        if (index < state.commit - 8) break
        continue
      }
      const hash = region.entries.get(index)?.get(term)?.hash ?? 0
      if (known !== undefined) {
        throw new OracleFailure('committed entries are the same everywhere', file,
          `region ${regionId} index ${index}: term ${known.term} on ${known.node}, term ${term} on ${node}`, [regionId])
      }
      region.commits.set(index, { term, hash, seenInTerm: state.term, node })
    }
    if (state.commit > region.committed) region.committed = state.commit
  }

  /** A message leaves a node. @returns a term when it shows, for the first time, that the sender leads in it */
  onSent(node: string, regionId: number, message: Message): number | undefined {
    switch (message.type) {
      case MessageType.Append:
      case MessageType.Heartbeat:
      case MessageType.Snapshot:
      case MessageType.TimeoutNow:
        return this.onLeader(node, regionId, message.from, message.term) ? message.term : undefined
      case MessageType.VoteResponse:
        if (!message.reject) this.#onVote(node, regionId, message.from, message.term, message.to)
        return undefined
      default:
        return undefined
    }
  }

  #onVote(node: string, regionId: number, from: number, term: number, to: number): void {
    const { votes } = this.of(regionId)
    const key = `${from}:${term}`
    const before = votes.get(key)
    if (before !== undefined && before !== to) {
      throw new OracleFailure('a vote never changes within a term, crashes included', file,
        `region ${regionId} term ${term}: peer ${from} (${node}) voted for ${before}, now for ${to}`, [regionId])
    }
    votes.set(key, to)
  }

  /** @returns is that new? */
  onLeader(node: string, regionId: number, peer: number, term: number): boolean {
    const region = this.of(regionId)
    const before = region.leaders.get(term)
    if (before !== undefined) {
      if (before.peer === peer) return false
      throw new OracleFailure('at most one leader per term', file,
        `region ${regionId} term ${term}: peer ${before.peer} (${before.node}) and peer ${peer} (${node})`, [regionId])
    }
    region.leaders.set(term, { peer, node })
    if (term > region.leaderTerm) region.leaderTerm = term
    this.#onVote(node, regionId, peer, term, peer)
    return true
  }

  /** Does a new leader's log hold everything that was committed in earlier terms? (Ongaro §3.6.3) */
  checkLeaderCompleteness(node: string, regionId: RegionId, term: number, log: LogView): void {
    const region = this.of(regionId)
    const shape = log.region(regionId)
    if (shape === undefined) return
    for (let index = region.committed; index > shape.truncatedIndex; index--) {
      const commit = region.commits.get(index)
      if (commit === undefined || commit.seenInTerm >= term) continue
      const own = log.term(regionId, index as LogIndex)
      if (own !== commit.term) {
        throw new OracleFailure('a leader holds everything committed before', file,
          `region ${regionId}: ${node} leads term ${term}, but its entry ${index} is ` +
          `${own === undefined ? 'absent' : `of term ${own}`}; committed is term ${commit.term} (seen on ${commit.node} ` +
          `in term ${commit.seenInTerm})`, [regionId])
      }
    }
  }
}
