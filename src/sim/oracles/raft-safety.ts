import type { LogIndex, RegionId } from '../../common/ids.js'
import type { LogOp } from '../../engine/log-batch.js'
import type { RaftLog, RegionLog } from '../../engine/api.js'
import type { Entry, Message } from '../../raft/types.js'
import { EntryType, MessageType } from '../../raft/types.js'
import { OracleFailure } from '../failure.js'
import { hashBytes } from '../trace.js'

const file = 'sim/oracles/raft-safety.ts'

/** The part of a log that the oracles read. RegionIndex (what is durable) has it as well. */
export type LogView = Pick<RaftLog, 'region' | 'term'>

export type FullLogView = LogView & Pick<RaftLog, 'entries'>

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
  /** `peer:term` → end of the log with which it asked for votes */
  readonly candidates: Map<string, { readonly index: number; readonly logTerm: number }>
  /** index → term → entry */
  readonly entries: Map<number, Map<number, { readonly hash: number; readonly previousTerm: number; readonly node: string }>>
  readonly commits: Map<number, Commit>
  committed: number
  leaderTerm: number
  /** node → its term when it last wrote entries */
  readonly wroteIn: Map<string, number>
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
      region = { leaders: new Map(), votes: new Map(), candidates: new Map(), entries: new Map(), commits: new Map(), committed: 0,
        leaderTerm: 0, wroteIn: new Map() }
      this.#regions.set(regionId, region)
    }
    return region
  }

  get regionIds(): readonly number[] { return [...this.#regions.keys()] }
  committed(regionId: number): number { return this.#regions.get(regionId)?.committed ?? 0 }
  /** Highest term in which anyone was seen to lead. */
  leaderTerm(regionId: number): number { return this.#regions.get(regionId)?.leaderTerm ?? 0 }

  /** A node's log is about to be given these operations. A follower drops entries only where they conflict (Ongaro §3.5). */
  beforeLog(node: string, ops: readonly LogOp[], log: LogView): void {
    /** Regions that this very batch has written entries of. */
    const ends = new Map<number, number>()
    for (const op of ops) {
      if (op.kind === 'reset' || op.kind === 'remove') this.of(op.regionId).wroteIn.delete(node)
      if (op.kind !== 'entries' || op.regionId === 0 || op.entries.length === 0) continue
      const { regionId, entries } = op
      const shape = log.region(regionId)
      const end = ends.get(regionId)
      ends.set(regionId, entries[entries.length - 1]!.index)
      if (end !== undefined) {
        const first = entries[0]!.index
        if (first <= end + 1) continue
        throw new OracleFailure('a log has no holes', file, `region ${regionId}: ${node} writes index ${first} behind ${end}`, [regionId])
      }
      if (ops.some(other => other.kind === 'reset' && other.regionId === regionId)) continue
      const hard = ops.find(other => other.kind === 'hardState' && other.regionId === regionId)
      const term = hard?.kind === 'hardState' ? hard.hardState.term : shape?.hardState?.term ?? 0
      const { wroteIn } = this.of(regionId)
      if (shape !== undefined) this.#checkReplaced(node, regionId, entries, { shape, log, terms: term - (wroteIn.get(node) ?? 0) })
      wroteIn.set(node, term)
    }
  }

  #checkReplaced(node: string, regionId: RegionId, entries: readonly Entry[],
    had: { readonly shape: RegionLog; readonly log: LogView; readonly terms: number }): void {
    const first = entries[0]!.index
    const { truncatedIndex, lastIndex, hardState } = had.shape
    const fail = (rule: string, facts: string): never => {
      throw new OracleFailure(rule, file, `region ${regionId}: ${node} ${facts}`, [regionId])
    }
    if (first > lastIndex + 1) fail('a log has no holes', `writes index ${first} behind ${lastIndex}`)
    if (first <= truncatedIndex) fail('a log has no holes', `writes index ${first}, but its log begins behind ${truncatedIndex}`)
    const conflict = entries.find(entry => entry.index <= lastIndex && had.log.term(regionId, entry.index) !== entry.term)
    if (conflict !== undefined && conflict.index <= (hardState?.commit ?? 0)) {
      fail('committed entries are never replaced', `replaces index ${conflict.index}, it had committed ${hardState!.commit}`)
    }
    const last = entries[entries.length - 1]!.index
    // Two leaders between two writes may have put back what the first one changed.
    if (conflict === undefined && last < lastIndex && had.terms < 2) {
      fail('entries are dropped only where they conflict', `had entries up to ${lastIndex} and cuts them to ${last}; ` +
        `those from ${first} on are the same`)
    }
  }

  /** A node's log was given these operations and shows them already. */
  onLog(node: string, ops: readonly LogOp[], log: FullLogView): void {
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

  #onEntries(node: string, regionId: RegionId, entries: readonly Entry[], log: FullLogView): void {
    const region = this.of(regionId)
    let previousTerm = entries.length === 0 ? 0 : log.term(regionId, (entries[0]!.index - 1) as LogIndex) ?? 0
    for (const entry of entries) {
      const hash = hashBytes(entry.data) ^ entry.type
      let byTerm = region.entries.get(entry.index)
      if (byTerm === undefined) region.entries.set(entry.index, byTerm = new Map())
      const known = byTerm.get(entry.term)
      if (known === undefined) {
        byTerm.set(entry.term, { hash, previousTerm, node })
        if (entry.type !== EntryType.Normal) this.#onChangeBorn(node, regionId, entry, log)
      }
      else if (known.hash !== hash || known.previousTerm !== previousTerm) {
        throw new OracleFailure('log matching: same index and term, same entry and same past', file,
          `region ${regionId} index ${entry.index} term ${entry.term}: ${node} has another entry or past than ${known.node}`, [regionId])
      }
      previousTerm = entry.term
    }
  }

  /** A configuration change enters a log for the first time: the one before it must be committed (Ongaro §4.1). */
  #onChangeBorn(node: string, regionId: RegionId, change: Entry, log: FullLogView): void {
    const low = Math.max(this.committed(regionId), log.region(regionId)?.truncatedIndex ?? 0) + 1
    if (low >= change.index) return
    const before = log.entries(regionId, low as LogIndex, change.index, Infinity).find(entry => entry.type !== EntryType.Normal)
    if (before === undefined) return
    throw new OracleFailure('one configuration change at a time', file, `region ${regionId}: ${node} has a change at ` +
      `${change.index} (term ${change.term}), and the one at ${before.index} (term ${before.term}) is not committed yet`, [regionId])
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
    log: FullLogView): void {
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

  /** A message leaves a node whose log is `log`. @returns a term when it shows, for the first time, that the sender leads in it */
  onSent(node: string, regionId: number, message: Message, log: LogView): number | undefined {
    switch (message.type) {
      case MessageType.Append:
      case MessageType.Heartbeat:
      case MessageType.Snapshot:
      case MessageType.TimeoutNow:
        return this.onLeader(node, regionId, message.from, message.term) ? message.term : undefined
      case MessageType.Vote:
        this.of(regionId).candidates.set(`${message.from}:${message.term}`, message)
        return undefined
      case MessageType.VoteResponse:
        if (message.reject) return undefined
        this.#onVote(node, regionId, message.from, message.term, message.to)
        this.#checkUpToDate(node, regionId as RegionId, message, log)
        return undefined
      default:
        return undefined
    }
  }

  /** Nobody votes for a log that is older than its own (Ongaro §3.6.1). */
  #checkUpToDate(node: string, regionId: RegionId, { from, to, term }: Message, log: LogView): void {
    const asked = this.of(regionId).candidates.get(`${to}:${term}`)
    const last = log.region(regionId)?.lastIndex ?? 0
    const lastTerm = log.term(regionId, last as LogIndex) ?? 0
    // The one it voted for may have won meanwhile, and have written here.
    if (asked === undefined || lastTerm >= term) return
    if (asked.logTerm > lastTerm || (asked.logTerm === lastTerm && asked.index >= last)) return
    throw new OracleFailure('nobody votes for a log that is older than its own', file, `region ${regionId} term ${term}: peer ${from} ` +
      `(${node}, log up to ${last} of term ${lastTerm}) votes for peer ${to} (up to ${asked.index} of term ${asked.logTerm})`, [regionId])
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
