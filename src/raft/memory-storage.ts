import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import type { LogIndex, Term } from '../common/ids.js'
import { countWithin } from './message.js'
import { asIndex, asTerm } from './numbers.js'
import type { ConfState, Entry, HardState, NodeId, RaftSnapshot, RaftStorage } from './types.js'

export const emptyConfState: ConfState =
  { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }

const emptyHardState: HardState = { term: asTerm(0), vote: 0 as NodeId, commit: asIndex(0) }

const emptySnapshot: RaftSnapshot =
  { meta: { index: asIndex(0), term: asTerm(0), confState: emptyConfState }, data: emptyBytes }

/** A raft log in memory: for tests and for groups whose durability is somebody else's. */
export class MemoryStorage implements RaftStorage {
  #hardState: HardState = emptyHardState
  #snapshot: RaftSnapshot = emptySnapshot
  /**
   * The log begins after this entry: that of the snapshot it was restored from, or the last one compacted.
   */
  #before: { index: number; term: number } = { index: 0, term: 0 }
  #entries: Entry[] = []

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.meta.confState }
  }

  firstIndex(): LogIndex { return asIndex(this.#before.index + 1) }
  lastIndex(): LogIndex { return asIndex(this.#before.index + this.#entries.length) }

  term(index: LogIndex): Term | 'compacted' | 'unavailable' {
    if (index < this.#before.index) return 'compacted'
    if (index === this.#before.index) return asTerm(this.#before.term)
    return this.#entries[index - this.#before.index - 1]?.term ?? 'unavailable'
  }

  entries(low: LogIndex, high: LogIndex, bytesMax: number): readonly Entry[] | 'compacted' | 'unavailable' {
    if (low <= this.#before.index) return 'compacted'
    if (high > this.lastIndex() + 1) return 'unavailable'
    const from = low - this.#before.index - 1
    const to = high - this.#before.index - 1
    return this.#entries.slice(from, from + countWithin(this.#entries, from, to, bytesMax))
  }

  snapshot(_requestIndex: LogIndex, _to: NodeId): RaftSnapshot | 'temporarilyUnavailable' {
    return this.#snapshot
  }

  setHardState(state: HardState): void {
    this.#hardState = state
  }

  /** Replaces the whole log. @returns false when it is older than the snapshot that is here */
  applySnapshot(snapshot: RaftSnapshot): boolean {
    const { index, term } = snapshot.meta
    if (this.#snapshot.meta.index !== 0 && this.#snapshot.meta.index >= index) return false
    this.#snapshot = snapshot
    this.#before = { index, term }
    this.#entries = []
    return true
  }

  /** What snapshot() gives from now on. The log stays as it is. @param at an index that is in the log */
  createSnapshot(at: LogIndex, confState: ConfState | undefined, data: Uint8Array): RaftSnapshot {
    const term = this.term(at)
    assert(typeof term === 'number' && at > this.#snapshot.meta.index, 'not a newer place in the log')
    const meta = { index: at, term, confState: confState ?? this.#snapshot.meta.confState }
    this.#snapshot = { meta, data }
    return this.#snapshot
  }

  /** Drops entries up to and with `index`. @returns false when they are gone already */
  compact(index: LogIndex): boolean {
    if (index <= this.#before.index) return false
    const term = this.term(index)
    assert(typeof term === 'number', 'compaction beyond the last index')
    this.#entries = this.#entries.slice(index - this.#before.index)
    this.#before = { index, term }
    return true
  }

  /** Entries take the place of what is at their indexes and beyond; what is compacted already is skipped. */
  append(entries: readonly Entry[]): void {
    const skip = entries.findIndex(one => one.index > this.#before.index)
    if (skip < 0) return
    const at = entries[skip]!.index - this.#before.index - 1
    assert(at <= this.#entries.length, 'hole in the log')
    this.#entries.length = at
    for (let i = skip; i < entries.length; i++) this.#entries.push(entries[i]!)
  }
}
