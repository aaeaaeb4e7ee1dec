import { emptyBytes } from '../../common/bytes.js'
import { leaveJoint } from '../../raft/confchange/conf-change.js'
import type { ConfChangeSingle, ConfChangeV2 } from '../../raft/raw-node.js'
import { EntryType } from '../../raft/types.js'
import type { LogIndex } from '../../common/ids.js'
import { isMember, theRegion } from './peer.js'
import type { RaftPeer } from './peer.js'
import type { RaftLevel } from './world.js'

/** Changes the membership at drawn moments, one way or another, always through whoever leads. */
export class Admin {
  #isStopped = false

  constructor(readonly world: RaftLevel, readonly meanMs: number, readonly transfers: boolean, readonly changes: boolean) {}

  start(): void { this.#next() }
  stop(): void { this.#isStopped = true }

  #next(): void {
    this.world.scheduler.after(this.world.random.exponential(this.meanMs), () => {
      if (this.#isStopped) return
      this.act()
      // Two in a row: the second must wait for the first.
      if (this.world.random.chance(0.3)) this.act()
      this.#next()
    })
  }

  act(): void {
    const leader = this.world.leader()
    if (leader === undefined) return
    const { random } = this.world
    if (this.transfers && (!this.changes || random.chance(0.4))) {
      const to = random.pick(leader.machine.conf.voters)
      if (to !== undefined) this.world.onPeer(leader, () => { leader.transferLeader(to) })
      return
    }
    if (!this.changes) return
    const change = this.#draw(leader)
    if (change !== undefined) this.world.proposeChange(leader, change)
  }

  #draw(leader: RaftPeer): ConfChangeV2 | undefined {
    const { random } = this.world
    const { conf } = leader.machine
    if (conf.votersOutgoing.length > 0) return leaveJoint
    // A leader that removes itself by configurations that count from apply on can leave the others waiting for its vote
    // for ever: they have not heard of the commit, and its log is longer. As in TiKV, nobody asks for that.
    const others = conf.voters.filter(id => id !== leader.peerId)
    const gone = conf.voters.concat(conf.learners).filter(id => this.world.isGone(id))
    if (gone.length > 0) return one('removeNode', gone[0]!)
    const free = this.world.freeSlot()
    const removable = conf.voters.length > (random.chance(0.2) ? 1 : 2) ? random.pick(others) : undefined
    const wanted = random.below(6)
    if (wanted === 0 && free !== undefined) return one('addLearner', this.world.createPeer(free))
    if (wanted === 1 && free !== undefined && conf.voters.length < 5) return one('addNode', this.world.createPeer(free))
    if (wanted === 2 && conf.learners.length > 0) return one('addNode', random.pick(conf.learners)!)
    if (wanted === 3 && removable !== undefined) return one('removeNode', removable)
    if (wanted === 4 && removable !== undefined) return one('addLearner', removable)
    return this.#drawJoint(leader, removable)
  }

  #drawJoint(leader: RaftPeer, removable: number | undefined): ConfChangeV2 | undefined {
    const { random } = this.world
    const { conf } = leader.machine
    const changes: ConfChangeSingle[] = []
    const free = this.world.freeSlot()
    if (free !== undefined) changes.push({ type: 'addNode', nodeId: this.world.createPeer(free) })
    const learner = random.pick(conf.learners)
    if (learner !== undefined) changes.push({ type: 'addNode', nodeId: learner })
    if (removable !== undefined && conf.voters.length + changes.length > 2) {
      changes.push({ type: random.chance(0.5) ? 'removeNode' : 'addLearner', nodeId: removable as ConfChangeSingle['nodeId'] })
    }
    const other = random.pick(conf.voters.filter(id => id !== removable && id !== leader.peerId))
    if (other !== undefined && conf.voters.length + changes.length > 4) changes.push({ type: 'removeNode', nodeId: other })
    if (changes.length === 0) return undefined
    return { changes, transition: random.chance(0.5) ? 'implicit' : 'explicit', context: emptyBytes }
  }
}

function one(type: ConfChangeSingle['type'], nodeId: number): ConfChangeV2 {
  return { changes: [{ type, nodeId: nodeId as ConfChangeSingle['nodeId'] }], transition: 'auto', context: emptyBytes }
}

/** Does any log hold a change that its peer has not applied? Then it is not clear who will be needed. */
export function hasPendingChange(peers: readonly RaftPeer[]): boolean {
  return peers.some(peer => {
    const shape = peer.log.region(theRegion)
    if (shape === undefined) return false
    for (let index = peer.machine.index + 1; index <= shape.lastIndex; index++) {
      if (index <= shape.truncatedIndex) continue
      const [entry] = peer.log.entries(theRegion, index as LogIndex, (index + 1) as LogIndex, 1)
      if (entry !== undefined && entry.type !== EntryType.Normal) return true
    }
    return false
  })
}

export const holds = (peer: RaftPeer, id: number): boolean => isMember(peer.machine.conf, id as never)
