import type { Entry, Message } from '../../raft/types.js'
import { MessageType } from '../../raft/types.js'
import { checkPromise } from '../oracles/durability.js'
import { checkCommitQuorum, checkElectionQuorum, checkHeartbeat } from '../oracles/quorum.js'
import { LeaseWatch } from '../oracles/leases.js'
import type { LeaseClaim } from '../oracles/leases.js'
import type { LogView } from '../oracles/raft-safety.js'
import { RaftSafety } from '../oracles/raft-safety.js'
import { OracleFailure } from '../failure.js'
import type { LogOp } from '../../engine/log-batch.js'
import type { SimDisk } from '../sim-disk.js'
import { theRegion } from './peer.js'
import type { RaftPeer } from './peer.js'

const file = 'sim/raft-level/oracles.ts'

export interface RaftLevelView {
  readonly leaseMs: number
  /** What would survive a crash of this peer's machine now; undefined: it is lost for good. */
  durableOf(id: number): LogView | undefined
  /** Somebody leads a term that nobody led before. */
  onLeader(peer: RaftPeer): void
}

interface Seen {
  term: number
  isLeader: boolean
  committed: number
}

/** Everything that is watched in a raft-level run. */
export class RaftLevelOracles {
  readonly safety = new RaftSafety()
  readonly leases: LeaseWatch
  readonly #newLeaders: { readonly peer: RaftPeer; readonly term: number }[] = []
  readonly #seen = new WeakMap<RaftPeer, Seen>()
  /** index → hash of everything applied up to it, and the configuration then. */
  readonly #applied = new Map<number, { readonly history: number; readonly conf: string; readonly node: string }>()
  #checks = 0

  constructor(readonly view: RaftLevelView) { this.leases = new LeaseWatch(view.leaseMs) }

  beforeLog(disk: SimDisk, ops: readonly LogOp[]): void {
    this.safety.beforeLog(disk.name, ops, disk.log)
  }

  onLog(disk: SimDisk, ops: readonly LogOp[]): void {
    this.safety.onLog(disk.name, ops, disk.log)
  }

  onSent(peer: RaftPeer, message: Message, now: number): void {
    checkPromise(peer.name, theRegion, message, peer.disk.durable)
    this.leases.onSent(peer.name, theRegion, message, now)
    const term = this.safety.onSent(peer.name, theRegion, message, peer.log)
    if (message.type === MessageType.Heartbeat) {
      checkHeartbeat({ node: peer.name, regionId: theRegion, durableOf: this.view.durableOf }, message, peer.log)
    }
    if (term !== undefined) this.#newLeaders.push({ peer, term })
  }

  onApplied(peer: RaftPeer, entry: Entry): void {
    const conf = JSON.stringify(peer.machine.conf)
    const known = this.#applied.get(entry.index)
    if (known === undefined) {
      this.#applied.set(entry.index, { history: peer.machine.history, conf, node: peer.name })
      return
    }
    if (known.history !== peer.machine.history) {
      throw new OracleFailure('every replica applies the same', file,
        `index ${entry.index}: ${peer.name} differs from ${known.node}`, [theRegion])
    }
    if (known.conf !== conf) {
      throw new OracleFailure('one configuration per index', file,
        `index ${entry.index}: ${peer.name} has ${conf}, ${known.node} had ${known.conf}`, [theRegion])
    }
  }

  /** @param peers alive */
  afterEvent(peers: readonly RaftPeer[], now: number): void {
    while (this.#newLeaders.length > 0) {
      const { peer, term } = this.#newLeaders.pop()!
      this.safety.checkLeaderCompleteness(peer.name, theRegion, term, peer.log)
    }
    let isElected = false
    for (const peer of peers) if (this.#watch(peer)) isElected = true
    if (isElected || this.#checks % 8 === 0) this.leases.checkClaims(theRegion, this.safety.leaderTerm(theRegion), peers.map(claimOf))
    if (++this.#checks % 8 !== 0) return
    for (const peer of peers) this.#checkOrder(peer, now)
  }

  /** After each event, so that the configuration is the one by which the node decided. @returns was it elected just now? */
  #watch(peer: RaftPeer): boolean {
    const { node } = peer
    let seen = this.#seen.get(peer)
    if (seen === undefined) this.#seen.set(peer, seen = { term: 0, isLeader: false, committed: node.committed })
    const isLeader = node.role === 'leader'
    const isNew = isLeader && (!seen.isLeader || seen.term !== node.term)
    const view = { node: peer.name, regionId: theRegion, conf: node.confState, durableOf: this.view.durableOf }
    if (isNew) {
      // A leader that is alone sends nothing that would show it.
      if (this.safety.onLeader(peer.name, theRegion, node.id, node.term)) {
        this.safety.checkLeaderCompleteness(peer.name, theRegion, node.term, peer.log)
      }
      checkElectionQuorum(view, node.id, node.term)
      this.view.onLeader(peer)
    }
    if (isLeader && !isNew && node.committed > seen.committed) {
      checkCommitQuorum(view, node.committed, node.termAt(node.committed) ?? 0, node.term)
    }
    if (node.committed < seen.committed) {
      throw new OracleFailure('the commit index never goes back', file, `${peer.name}: ${seen.committed} ${node.committed}`, [theRegion])
    }
    seen.term = node.term
    seen.isLeader = isLeader
    seen.committed = node.committed
    return isNew
  }

  #checkOrder(peer: RaftPeer, now: number): void {
    const { node } = peer
    if (!(peer.machine.index <= node.committed && node.committed <= node.lastIndex)) {
      throw new OracleFailure('applied <= committed <= last', file,
        `${peer.name}: ${peer.machine.index} ${node.committed} ${node.lastIndex}`, [theRegion])
    }
    const { syncFailedAt } = peer.disk
    if (syncFailedAt !== undefined && now > syncFailedAt + 1_000) {
      throw new OracleFailure('a process whose fsync failed ends within a second', file, peer.name, [theRegion])
    }
  }

  /** Linearizable reads (Ongaro §6.4): a read sees everything that was committed anywhere when it was asked. */
  checkRead(peer: RaftPeer, floor: number): void {
    if (peer.machine.index >= floor) return
    throw new OracleFailure('a read sees everything that was committed when it was asked', file,
      `${peer.name} serves it at index ${peer.machine.index}; committed was ${floor}`, [theRegion])
  }
}

const claimOf = (peer: RaftPeer): LeaseClaim => ({ node: peer.name, term: peer.node.term, mayRead: peer.mayRead })
