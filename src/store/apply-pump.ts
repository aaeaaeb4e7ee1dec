import type { ServerError } from '../common/errors.js'
import { EntryType } from '../raft/types.js'
import type { Entry, Message } from '../raft/types.js'
import type { Applied } from './applier.js'
import { storeLimits } from './config.js'
import { EntryKind } from './entry.js'
import type { Peer } from './peer.js'
import { epochNotMatch } from './requests.js'
import type { StoreShared } from './shared.js'

const staleCommand: ServerError = { kind: 'StaleCommand' }

export interface PumpEvents {
  onSplit(peer: Peer, regions: readonly NonNullable<Peer['region']>[]): void
  onConfChange(peer: Peer, applied: Extract<Applied, { kind: 'conf' }>): void
  /** What follows from the next entry needs a log that proves its commit. */
  saveCommit(peer: Peer): void
  /** The engine has all of this piece of work, and what it was asked for by. */
  onVisible(peer: Peer, responses: readonly Message[]): void
}

/**
 * Committed entries on their way from raft to the applier: in order for each region, a bounded piece a turn over all regions,
 * and no more than the engine keeps up with. A conditional entry waits until the engine has all that its region handed out,
 * and holds up its own region only.
 */
export class ApplyPump {
  readonly #shared: StoreShared
  readonly #events: PumpEvents
  readonly #peers = new Set<Peer>()
  #waitingBytes = 0
  #isHungry = false

  constructor(shared: StoreShared, events: PumpEvents) {
    this.#shared = shared
    this.#events = events
  }

  /** Committed bytes that are not visible yet. */
  get pendingBytes(): number { return this.#waitingBytes + this.#shared.applier.handedBytes }
  /** Raft shall hand out no more for now. */
  get isFull(): boolean { return this.pendingBytes >= this.#shared.config.applyPendingBytesMax }
  /** The last turn's budget was not enough. */
  get isHungry(): boolean { return this.#isHungry }

  take(peer: Peer, { entries, responses }: Message): void {
    const last = entries[entries.length - 1]
    if (last !== undefined) peer.onCommitted(last.index, last.term)
    let bytes = 0
    for (let at = 0; at < entries.length; at++) bytes += entries[at]!.data.length
    this.#waitingBytes += bytes
    peer.applying.push({ entries, responses, bytes, at: 0 })
    this.#peers.add(peer)
  }

  /** A raft snapshot takes the place of what was to be applied. @returns what raft is to hear all the same */
  drop(peer: Peer): readonly Message[] {
    const responses = peer.applying.flatMap(work => work.responses)
    for (const work of peer.applying.splice(0)) this.#waitingBytes -= work.bytes
    this.#peers.delete(peer)
    return responses
  }

  // hot path: bench put
  run(): void {
    this.#isHungry = false
    const { applier, env } = this.#shared
    const turn = { bytes: 0, deadlineMs: this.#peers.size === 0 ? 0 : env.clock.monotonicMs() + storeLimits.applyTurnMs }
    for (const peer of this.#peers) {
      const isDone = this.#apply(peer, turn)
      if (isDone) this.#peers.delete(peer)
      else if (this.#isHungry) {
        // The others come first in the next turn.
        this.#peers.delete(peer)
        this.#peers.add(peer)
        break
      }
    }
    if (!applier.isDirty) return applier.flush()
    env.failpoint('store.before-apply')
    applier.flush()
    env.failpoint('store.after-apply')
  }

  /** @returns is nothing left? */
  #apply(peer: Peer, turn: Budget): boolean {
    for (let work = peer.applying[0]; work !== undefined; work = peer.applying[0]) {
      if (peer.isRemoved || peer.state === undefined) {
        this.drop(peer)
        return true
      }
      if (!this.#applyWork(peer, work, turn)) return false
      peer.applying.shift()
      this.#waitingBytes -= work.bytes
      const { responses } = work
      this.#shared.applier.whenVisible(() => { this.#events.onVisible(peer, responses) })
    }
    return true
  }

  #applyWork(peer: Peer, work: ApplyWork, turn: Budget): boolean {
    const { applier, env } = this.#shared
    const { entries } = work
    for (; work.at < entries.length; work.at++) {
      const { state } = peer
      if (peer.isRemoved || state === undefined) return true
      if (turn.bytes >= storeLimits.applyTurnBytes) return this.#stop()
      if (applier.handedBytes >= this.#shared.config.applyPendingBytesMax) return false
      const entry = entries[work.at]!
      if (peer.commitUnsaved && isAdmin(entry)) this.#events.saveCommit(peer)
      const applied = applier.apply(state, entry)
      if (applied === undefined) return false
      turn.bytes += entry.data.length
      this.#applied(peer, entry, applied)
      if (applied.kind === 'data' && applied.results !== undefined && env.clock.monotonicMs() > turn.deadlineMs) {
        work.at++
        return work.at === entries.length || this.#stop()
      }
    }
    return true
  }

  #stop(): false {
    this.#isHungry = true
    return false
  }

  #applied(peer: Peer, entry: Entry, applied: Applied): void {
    if (applied.kind === 'split') this.#events.onSplit(peer, applied.regions)
    else if (applied.kind === 'conf') this.#events.onConfChange(peer, applied)
    if (peer.pending.isEmpty) return
    const refusal = applied.kind === 'stale' ? this.#refusal(peer) : staleCommand
    const answer = peer.pending.applied(entry.index, entry.term, applied, refusal)
    if (answer !== undefined) this.#shared.applier.whenVisible(answer)
  }

  #refusal(peer: Peer): ServerError {
    const { region } = peer
    return region === undefined ? peer.notLeader() : epochNotMatch(this.#shared, region, region.epoch.version - 1)
  }
}

interface Budget {
  bytes: number
  readonly deadlineMs: number
}

/** Entries that raft handed out together. */
export interface ApplyWork {
  readonly entries: readonly Entry[]
  readonly responses: readonly Message[]
  readonly bytes: number
  /** The next one. */
  at: number
}

function isAdmin(entry: Entry): boolean {
  return entry.type !== EntryType.Normal || (entry.data.length > 0 && entry.data[0] !== EntryKind.Data)
}
