import { logIndex, peerId } from '../../src/common/ids.js'
import { MemoryStorage } from '../../src/raft/memory-storage.js'
import { RawNode } from '../../src/raft/raw-node.js'
import type { Message, NodeId } from '../../src/raft/types.js'
import { Dice } from '../zipf.js'
import type { MicroSuite } from './micro-case.js'

const ids = [1, 2, 3].map(peerId)
const compactEvery = 4_096

/** Three nodes in memory without a disk or a network: what is left is raft itself. */
class Group {
  readonly #nodes = new Map<NodeId, { readonly node: RawNode; readonly storage: MemoryStorage }>()
  #leader: RawNode | undefined

  constructor() {
    const dice = new Dice(1)
    const random = { float: () => dice.next(), below: (bound: number) => dice.below(bound), bytes: (count: number) => new Uint8Array(count) }
    for (const id of ids) {
      const storage = new MemoryStorage()
      const confState = { voters: ids, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
      storage.applySnapshot({ meta: { index: logIndex(5), term: 1 as never, confState }, data: new Uint8Array(0) })
      const node = new RawNode({
        id, electionTicks: 15, heartbeatTicks: 2, storage, applied: logIndex(5), preVote: true, checkQuorum: true, readOnly: 'leaseBased',
        maxSizePerMessage: 1 << 20, maxCommittedSizePerReady: 1 << 20, maxUncommittedEntriesSize: 0, maxInflightMessages: 256, maxInflightBytes: 0,
        asyncStorageWrites: false, disableConfChangeValidation: false, stepDownOnRemoval: true, random, forwardProposals: false,
      })
      this.#nodes.set(id, { node, storage })
    }
    const first = this.#nodes.get(ids[0]!)!.node
    first.campaign()
    this.#settle()
    if (first.lead !== first.id) throw new Error('the first node does not lead')
    this.#leader = first
  }

  /** Proposes so many entries in one turn and carries them until they are committed and applied everywhere. */
  commit(data: Uint8Array, entries: number): void {
    const leader = this.#leader!
    const before = leader.committed
    for (let i = 0; i < entries; i++) leader.propose(data)
    this.#settle()
    if (leader.committed !== before + entries) throw new Error(`committed ${before} to ${leader.committed}, not ${entries} more`)
  }

  tick(): void {
    for (const { node } of this.#nodes.values()) node.tick()
    this.#settle()
  }

  #settle(): void {
    for (let isBusy = true; isBusy;) {
      isBusy = false
      for (const { node, storage } of this.#nodes.values()) {
        if (!node.hasReady()) continue
        isBusy = true
        const ready = node.ready()
        if (ready.hardState) storage.setHardState(ready.hardState)
        storage.append(ready.entries)
        for (const message of ready.messages) this.#deliver(message)
        node.advance()
        if (node.applied - storage.firstIndex() > compactEvery * 2) storage.compact(logIndex(node.applied - compactEvery))
      }
    }
  }

  #deliver(message: Message): void { this.#nodes.get(message.to)?.node.step(message) }
}

export const raft: MicroSuite = {
  name: 'raft', about: 'three nodes in memory: propose, replicate, commit, apply; all three nodes are in the figure',
  cases: () => {
    const data = new Uint8Array(300).fill(7)
    const group = new Group()
    return Promise.resolve({
      close: () => Promise.resolve(),
      cases: [
        { name: '1 entry a turn', operations: 1, run: () => group.commit(data, 1) },
        { name: '64 entries a turn, per entry', operations: 64, run: () => group.commit(data, 64) },
        { name: 'a tick without work', operations: 1, run: () => group.tick() },
      ],
    })
  },
}
