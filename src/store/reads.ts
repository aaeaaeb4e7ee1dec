import type { LogIndex, Term } from '../common/ids.js'
import type { ReadState } from '../raft/raw-node.js'

export interface WaitingRead {
  readonly sinceMs: number
  /** Ends the wait: true when a view may be taken now. */
  readonly resume: (isSafe: boolean) => void
}

interface Round {
  readonly token: number
  readonly askedAtMs: number
  index: LogIndex | undefined
  readonly reads: WaitingRead[]
}

const tokenBytes = (token: number): Uint8Array => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, token)
  return bytes
}

/**
 * Reads that wait for raft to confirm the leader (Ongaro §6.4). All of one turn share one round. A confirmed round is
 * also a lease: a quorum heard from us after we asked.
 */
export class ReadRounds {
  #next = 1
  #queued: WaitingRead[] = []
  #rounds: Round[] = []

  get isEmpty(): boolean { return this.#queued.length === 0 && this.#rounds.length === 0 }
  get hasQueued(): boolean { return this.#queued.length > 0 }

  add(read: WaitingRead): void { this.#queued.push(read) }

  /** Starts a round for what was queued, or for the lease alone. @returns the context for RawNode.readIndex */
  begin(nowMs: number): Uint8Array {
    const token = this.#next++
    this.#rounds.push({ token, askedAtMs: nowMs, index: undefined, reads: this.#queued })
    this.#queued = []
    return tokenBytes(token)
  }

  /** @returns when the round was asked: the start of a lease; undefined for a foreign one */
  confirmed(state: ReadState): number | undefined {
    if (state.context.length !== 8) return undefined
    const token = new DataView(state.context.buffer, state.context.byteOffset, 8).getFloat64(0)
    const round = this.#rounds.find(one => one.token === token)
    if (round === undefined) return undefined
    round.index = state.index
    return round.askedAtMs
  }

  /** Rounds that are confirmed and applied. */
  ready(applied: LogIndex): WaitingRead[] {
    const ready: WaitingRead[] = []
    this.#rounds = this.#rounds.filter(round => {
      if (round.index === undefined || round.index > applied) return true
      ready.push(...round.reads)
      return false
    })
    return ready
  }

  /** All that wait since before, or all. */
  drop(askedBeforeMs = Infinity): WaitingRead[] {
    const dropped: WaitingRead[] = []
    this.#rounds = this.#rounds.filter(round => {
      if (round.askedAtMs >= askedBeforeMs) return true
      dropped.push(...round.reads)
      return false
    })
    this.#queued = this.#queued.filter(read => {
      if (read.sinceMs >= askedBeforeMs) return true
      dropped.push(read)
      return false
    })
    return dropped
  }
}

/**
 * Until when a leader may read alone: `leaseMs` from the moment at which it *sent* what a quorum has answered, on its
 * monotonic clock. Voters keep quiet for longer than that (ARCHITECTURE.md, Time).
 */
export class Lease {
  #term: Term | undefined
  #from = -Infinity

  renew(term: Term, sentAtMs: number): void {
    if (this.#term !== term) {
      this.#term = term
      this.#from = sentAtMs
    } else if (sentAtMs > this.#from) this.#from = sentAtMs
  }

  clear(): void { this.#term = undefined }

  isValid(term: Term, nowMs: number, leaseMs: number): boolean {
    return this.#term === term && nowMs >= this.#from && nowMs - this.#from < leaseMs
  }
}
