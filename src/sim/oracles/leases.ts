import { isTransferCampaign } from '../../raft/message.js'
import type { Message } from '../../raft/types.js'
import { MessageType } from '../../raft/types.js'
import { OracleFailure } from '../failure.js'

const file = 'sim/oracles/leases.ts'

/** Who leads a region now, or believes so. */
export interface LeaseClaim {
  readonly node: string
  readonly term: number
  /** Would it answer a read right now without asking anybody? */
  readonly mayRead: boolean
}

interface RegionVoices {
  /** peer → the last leader that it answered. Answers to heartbeats leave at once: what they say is true at that moment. */
  readonly heard: Map<number, { readonly term: number; readonly leader: number; readonly atMs: number }>
  /** `peer:term` of candidates that their leader chose: they pass every guard, and their leader has given its lease up. */
  readonly chosen: Set<string>
}

/**
 * Leases against elections. A voter that has answered a leader gives its vote to nobody else for as long as that answer may
 * be part of a lease, whatever it went through since (restarts, other terms, another start of the same peer); and nobody is
 * elected while another may still read. The second follows from the first, and is seen where the first cannot be.
 */
export class LeaseWatch {
  readonly #regions = new Map<number, RegionVoices>()

  constructor(readonly leaseMs: number) {}

  #of(regionId: number): RegionVoices {
    let region = this.#regions.get(regionId)
    if (region === undefined) this.#regions.set(regionId, region = { heard: new Map(), chosen: new Set() })
    return region
  }

  onSent(node: string, regionId: number, message: Message, nowMs: number): void {
    const { type, from, to, term } = message
    if (type === MessageType.HeartbeatResponse) {
      this.#of(regionId).heard.set(from, { term, leader: to, atMs: nowMs })
    } else if (type === MessageType.Vote) {
      if (isTransferCampaign(message)) this.#of(regionId).chosen.add(`${from}:${term}`)
      this.#onVote(node, regionId, from, from, term, nowMs)
    } else if (type === MessageType.VoteResponse && !message.reject && to !== from) {
      this.#onVote(node, regionId, from, to, term, nowMs)
    }
  }

  #onVote(node: string, regionId: number, voter: number, candidate: number, term: number, nowMs: number): void {
    const { heard, chosen } = this.#of(regionId)
    const last = heard.get(voter)
    if (last === undefined || last.term >= term || nowMs - last.atMs >= this.leaseMs) return
    if (chosen.has(`${candidate}:${term}`)) return
    throw new OracleFailure('nobody votes while a leader may read by its answer', file,
      `region ${regionId}: peer ${voter} (${node}) votes for ${candidate} in term ${term}, ` +
      `${Math.round(nowMs - last.atMs)} ms after it answered peer ${last.leader}, leader of term ${last.term}`, [regionId])
  }

  /** @param leaderTerm highest term in which anyone was seen to lead */
  checkClaims(regionId: number, leaderTerm: number, claims: Iterable<LeaseClaim>): void {
    for (const { node, term, mayRead } of claims) {
      if (!mayRead || term >= leaderTerm) continue
      throw new OracleFailure('nobody is elected while another may still read by lease', file,
        `region ${regionId}: ${node} may read by its lease of term ${term}, somebody leads term ${leaderTerm}`, [regionId])
    }
  }
}
