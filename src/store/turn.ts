import { logIndex } from '../common/ids.js'
import type { LogBatch } from '../engine/api.js'
import { localAppendThread, localApplyThread } from '../raft/message.js'
import { MessageType } from '../raft/types.js'
import type { HardState, Message } from '../raft/types.js'
import type { Ready } from '../raft/raw-node.js'
import type { Applied } from './applier.js'
import { ApplyPump } from './apply-pump.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'

/** What a turn tells the rest of the store; all calls come from inside the turn. */
export interface TurnEvents {
  onRole(peer: Peer): void
  /** A leader has applied an entry of its own term: from now on it knows what the region is. */
  onLeading(peer: Peer): void
  /** The regions of a split, left to right; the engine batch under way has them. */
  onSplit(peer: Peer, regions: readonly NonNullable<Peer['region']>[]): void
  onConfChange(peer: Peer, applied: Extract<Applied, { kind: 'conf' }>): void
  /** A raft snapshot was accepted: write it, then call `finish` of the turn. */
  onInstall(peer: Peer, work: Message): void
  onSnapshotMessage(peer: Peer, message: Message): void
}

interface Responses {
  readonly peer: Peer
  readonly messages: readonly Message[]
}

interface Gathered {
  readonly batch: LogBatch
  sync: boolean
  /** Delivered when the batch is durable. */
  readonly after: Responses[]
  /** Everything they promise is durable already. */
  readonly now: Responses[]
}

/**
 * The heartbeat of a store. Whatever arrives marks its peer dirty; at the end of the event loop's turn all dirty peers are
 * stepped and their Readys carried out together:
 *
 *   propose → Ready ─┬─ entries, votes of all peers ─► one log append, one sync ─► durable: acknowledge, next turn
 *                    ├─ messages ─► one frame per store, while the sync runs (Ongaro §10.2.1)
 *                    └─ committed entries of all peers ─► the pump ─► engine batches ─► visible: answers, reads
 */
export class Turn {
  readonly #shared: StoreShared
  readonly #events: TurnEvents
  #dirty = new Set<Peer>()
  #isScheduled = false
  /** Of the appends whose sync is under way, oldest first. */
  readonly #syncing: Responses[][] = []
  #answers: (() => void)[] = []
  /** The end of the turn under way answers what becomes visible in it. */
  #isGathering = false
  readonly pump: ApplyPump
  /** Peers that have committed entries which the pump has no room for. */
  readonly #held = new Set<Peer>()

  constructor(shared: StoreShared, events: TurnEvents) {
    this.#shared = shared
    this.#events = events
    this.pump = new ApplyPump(shared, {
      onSplit: (peer, regions) => { events.onSplit(peer, regions) },
      onConfChange: (peer, applied) => { events.onConfChange(peer, applied) },
      saveCommit: peer => { this.saveCommit(peer) },
      onVisible: (peer, responses) => { this.#onVisible(peer, responses) },
    })
    shared.applier.onVisible = () => { if (!this.#isGathering) this.schedule() }
  }

  markDirty(peer: Peer): void {
    this.#dirty.add(peer)
    this.schedule()
  }

  /** Runs at the end of a turn. */
  answer(run: () => void): void {
    this.#answers.push(run)
    this.schedule()
  }

  get answers(): (() => void)[] { return this.#answers }

  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#shared.env.defer(this.#run)
  }

  readonly #run = (): void => {
    this.#isScheduled = false
    this.#shared.guarded(this.#turn)
  }

  // hot path: bench put, bench get
  readonly #turn = (): void => {
    const shared = this.#shared
    shared.counters.turns++
    const dirty = this.#dirty
    this.#dirty = new Set()
    this.#isGathering = true
    const work: Gathered = { batch: shared.log.batch(), sync: false, after: [], now: [] }
    for (const peer of dirty) if (!peer.isRemoved) this.#gather(peer, work)
    this.#append(work)
    for (const responses of work.now) this.#deliver(responses)
    shared.deps.links.flush()
    this.pump.run()
    this.#isGathering = false
    this.#answer()
    if (this.#held.size > 0 && !this.pump.isFull) this.#release()
    for (const peer of dirty) if (peer.hasWork) this.markDirty(peer)
    if (this.pump.isHungry) this.schedule()
  }

  #release(): void {
    for (const peer of this.#held) {
      peer.node.holdApply(false)
      this.markDirty(peer)
    }
    this.#held.clear()
  }

  #answer(): void {
    for (const run of this.#shared.applier.takeVisible()) run()
    if (this.#answers.length === 0) return
    const answers = this.#answers
    this.#answers = []
    for (let at = 0; at < answers.length; at++) answers[at]!()
  }

  #gather(peer: Peer, work: Gathered): void {
    if (peer.queue.length > 0) peer.proposeQueued(this.#answers)
    if (peer.rounds.hasQueued) this.#startReads(peer)
    while (peer.held.length > 0 && !peer.isInstalling) {
      const { asked, mustSync } = peer.held.shift()!
      this.#store(peer, asked, mustSync, work)
    }
    if (this.pump.isFull) {
      peer.node.holdApply(true)
      this.#held.add(peer)
    }
    if (!peer.node.hasReady()) return
    const ready = peer.node.ready()
    if (ready.softState !== undefined) this.#events.onRole(peer)
    if (ready.readStates.length > 0) peer.onReadStates(ready)
    for (const message of ready.messages) this.#carryOut(peer, message, ready, work)
    if (ready.readStates.length > 0 && ready.committedEntries.length === 0) this.#serveReads(peer)
  }

  #startReads(peer: Peer): void {
    if (peer.isLeader) peer.askQuorum()
    else this.refuseReads(peer)
  }

  /** Reads that nobody here can answer any more: their callers look again, and learn of the leader. */
  refuseReads(peer: Peer, askedBeforeMs?: number): void {
    for (const read of peer.rounds.drop(askedBeforeMs)) this.#answers.push(() => { read.resume(false) })
    this.schedule()
  }

  #carryOut(peer: Peer, message: Message, ready: Ready, work: Gathered): void {
    if (message.to === localAppendThread) this.#store(peer, message, ready.mustSync, work)
    else if (message.to === localApplyThread) this.pump.take(peer, message)
    else this.#send(peer, message)
  }

  /** A commit index that moved needs no write of its own: it goes with the next, or before what follows from it. */
  #store(peer: Peer, asked: Message, mustSync: boolean, work: Gathered): void {
    if (peer.isInstalling) {
      peer.held.push({ asked, mustSync })
      return
    }
    if (asked.snapshot !== undefined) {
      for (const response of this.pump.drop(peer)) peer.node.step(response)
      this.#events.onInstall(peer, asked)
      return
    }
    if (asked.term !== 0) peer.commitUnsaved = true
    if (asked.entries.length > 0) work.batch.entries(peer.regionId, asked.entries)
    if (mustSync) {
      if (peer.commitUnsaved) work.batch.hardState(peer.regionId, this.#hardState(peer, asked))
      peer.commitUnsaved = false
      peer.syncsPending++
      work.sync = true
      work.after.push({ peer, messages: asked.responses })
      return
    }
    if (asked.responses.length === 0) return
    // Nothing is written, but what they promise may still be on its way to the disk, or go there with this very turn.
    const isWriting = work.after[work.after.length - 1]?.peer === peer
    const last = isWriting ? work.after : this.#syncing[this.#syncing.length - 1]
    if (peer.syncsPending > 0 && last !== undefined) {
      peer.syncsPending++
      last.push({ peer, messages: asked.responses })
    } else {
      work.now.push({ peer, messages: asked.responses })
    }
  }

  /** What was held may be behind what the node knows by now; a commit index is never written before its entry. */
  #hardState(peer: Peer, { entries }: Message): HardState {
    const { hardState } = peer
    if (peer.held.length === 0) return hardState
    const last = entries[entries.length - 1]?.index ?? this.#shared.log.region(peer.regionId)?.lastIndex ?? logIndex(0)
    return { ...hardState, commit: logIndex(Math.min(hardState.commit, last)) }
  }

  #append(work: Gathered): void {
    const shared = this.#shared
    if (!work.sync) return
    shared.env.failpoint('store.before-append')
    shared.counters.appends++
    this.#syncing.push(work.after)
    shared.log.append(work.batch, true, () => { shared.guarded(() => { this.#durable(work.after) }) })
    shared.env.failpoint('store.after-append')
  }

  #durable(after: Responses[]): void {
    const shared = this.#shared
    shared.env.failpoint('store.durable')
    shared.counters.syncs++
    this.#syncing.splice(this.#syncing.indexOf(after), 1)
    for (const responses of after) {
      responses.peer.syncsPending--
      this.#deliver(responses)
    }
    this.schedule()
  }

  #deliver({ peer, messages }: Responses): void {
    if (peer.isRemoved) return
    for (const message of messages) {
      if (message.to === peer.peerId) peer.node.step(message)
      else this.#send(peer, message)
    }
    this.markDirty(peer)
  }

  /** Steps what a finished piece of storage work has to say. */
  finish(peer: Peer, messages: readonly Message[]): void { this.#deliver({ peer, messages }) }

  #send(peer: Peer, message: Message): void {
    if (message.type === MessageType.Snapshot) {
      this.#events.onSnapshotMessage(peer, message)
      return
    }
    const to = peer.peerRef(message.to)
    if (to === undefined) return
    this.#shared.counters.messagesOut++
    this.#shared.deps.links.send(to.storeId, peer.envelope(message, to))
  }

  // --- apply --------------------------------------------------------------------------------------------------------

  /** The engine has what these responses speak of: raft may count on it, and so may readers. */
  #onVisible(peer: Peer, responses: readonly Message[]): void {
    if (peer.isRemoved) return
    for (const response of responses) peer.node.step(response)
    const { term } = peer.node
    if (peer.isLeader && peer.state?.visibleTerm === term && peer.knownTerm !== term) {
      peer.knownTerm = term
      this.#events.onLeading(peer)
    }
    this.#serveReads(peer)
    if (peer.hasWork) this.markDirty(peer)
  }

  /**
   * What follows from a committed split or change of members may not reach the log before the HardState that proves the
   * commit (ARCHITECTURE.md, Durability): the log is durable in order. Synced all the same: a voter that was removed is gone
   * soon, and a leader of two that forgot the commit would need its vote.
   */
  saveCommit(peer: Peer): void {
    const batch = this.#shared.log.batch()
    const { hardState } = peer
    // What was committed with entries that this turn has not written yet: the log must never end before its commit index.
    const last = this.#shared.log.region(peer.regionId)?.lastIndex ?? hardState.commit
    const commit = hardState.commit < last ? hardState.commit : last
    batch.hardState(peer.regionId, { ...hardState, commit })
    peer.commitUnsaved = commit < hardState.commit
    this.#shared.log.append(batch, true, () => {})
  }

  #serveReads(peer: Peer): void {
    if (peer.state === undefined || peer.rounds.isEmpty) return
    const ready = peer.rounds.ready(peer.state.visibleIndex)
    for (const read of ready) this.#answers.push(() => { read.resume(true) })
    if (ready.length > 0) this.schedule()
  }
}
