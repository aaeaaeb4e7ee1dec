import type { Entry, Message } from '../../raft/types.js'
import { checkPromise } from '../oracles/durability.js'
import { RaftSafety } from '../oracles/raft-safety.js'
import { OracleFailure } from '../failure.js'
import type { LogOp } from '../../engine/log-batch.js'
import type { SimDisk } from '../sim-disk.js'
import { theRegion } from './peer.js'
import type { RaftPeer } from './peer.js'

const file = 'sim/raft-level/oracles.ts'

/** Everything that is watched in a raft-level run. */
export class RaftLevelOracles {
  readonly safety = new RaftSafety()
  readonly #newLeaders: { readonly peer: RaftPeer; readonly term: number }[] = []
  /** index → hash of everything applied up to it, and the configuration then. */
  readonly #applied = new Map<number, { readonly history: number; readonly conf: string; readonly node: string }>()
  #checks = 0

  onLog(disk: SimDisk, ops: readonly LogOp[]): void {
    this.safety.onLog(disk.name, ops, disk.log)
  }

  onSent(peer: RaftPeer, message: Message): void {
    checkPromise(peer.name, theRegion, message, peer.disk.durable)
    const term = this.safety.onSent(peer.name, theRegion, message)
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
    if (++this.#checks % 8 !== 0) return
    for (const peer of peers) {
      const { node } = peer
      if (!(peer.machine.index <= node.committed && node.committed <= node.lastIndex)) {
        throw new OracleFailure('applied <= committed <= last', file,
          `${peer.name}: ${peer.machine.index} ${node.committed} ${node.lastIndex}`, [theRegion])
      }
      // A leader that is alone sends nothing that would show it.
      if (node.role === 'leader' && this.safety.onLeader(peer.name, theRegion, node.id, node.term)) {
        this.safety.checkLeaderCompleteness(peer.name, theRegion, node.term, peer.log)
      }
      const { syncFailedAt } = peer.disk
      if (syncFailedAt !== undefined && now > syncFailedAt + 1_000) {
        throw new OracleFailure('a process whose fsync failed ends within a second', file, peer.name, [theRegion])
      }
    }
  }
}
