import { assert } from '../common/assert.js'
import type { NodeId, Entry, RaftSnapshot, RaftStorage } from './types.js'
import { entriesBytes, entryBytes, noEntries } from './message.js'
import { asIndex } from './numbers.js'
import { Unstable } from './unstable.js'

/**
 * One log made of storage (durable) and Unstable (its future).
 * Invariant: applied <= applying <= committed <= lastIndex.
 */
export class RaftLog {
  readonly storage: RaftStorage
  readonly unstable: Unstable
  committed: number
  /** Handed out for applying. */
  applying: number
  applied: number
  readonly #applyingBytesMax: number
  #applyingBytes = 0
  #applyingPaused = false
  /** Whoever applies has enough to do: nothing more is handed out for a while. */
  isApplyHeld = false

  constructor(storage: RaftStorage, applyingBytesMax: number) {
    this.storage = storage
    this.unstable = new Unstable(storage.lastIndex() + 1)
    this.#applyingBytesMax = applyingBytesMax
    this.committed = this.applying = this.applied = storage.firstIndex() - 1
  }

  firstIndex(): number { return this.unstable.firstIndex() ?? this.storage.firstIndex() }
  lastIndex(): number { return this.unstable.lastIndex() ?? this.storage.lastIndex() }
  lastTerm(): number {
    const term = this.term(this.lastIndex())
    assert(typeof term === 'number', 'the last entry has no term')
    return term
  }

  /** Known for [firstIndex - 1, lastIndex]: the entry before the first is needed to match appends. */
  term(index: number): number | 'compacted' | 'unavailable' {
    const unstable = this.unstable.term(index)
    if (unstable !== undefined) return unstable
    if (index + 1 < this.firstIndex()) return 'compacted'
    if (index > this.lastIndex()) return 'unavailable'
    return this.storage.term(asIndex(index))
  }

  matchTerm(index: number, term: number): boolean { return this.term(index) === term }

  /** Is a log that ends in (index, term) at least as new as ours? (Ongaro §3.6.1) */
  isUpToDate(index: number, term: number): boolean {
    const ours = this.lastTerm()
    return term > ours || (term === ours && index >= this.lastIndex())
  }

  /**
   * Follows a leader: entries after (prevIndex, prevTerm), of which only what conflicts or is new is taken.
   * A message that is shorter than our log truncates nothing.
   * @returns index of the last entry of the message, or undefined when we have no such previous entry
   */
  maybeAppend(
    prevIndex: number, prevTerm: number, entries: readonly Entry[], committed: number,
  ): number | undefined {
    if (!this.matchTerm(prevIndex, prevTerm)) return undefined
    const last = prevIndex + entries.length
    for (let i = 0; i < entries.length; i++) {
      const candidate = entries[i]!
      if (this.matchTerm(candidate.index, candidate.term)) continue
      assert(candidate.index > this.committed, () => `entry ${candidate.index} conflicts with a committed`)
      this.unstable.truncateAndAppend(entries, i)
      break
    }
    this.commitTo(Math.min(committed, last))
    return last
  }

  /** @returns the new last index */
  append(entries: readonly Entry[]): number {
    if (entries.length > 0) {
      assert(entries[0]!.index > this.committed, 'append below the commit index')
      this.unstable.truncateAndAppend(entries)
    }
    return this.lastIndex()
  }

  /**
   * Where could a log that has `term` at `index` (or anywhere below) still agree with ours? The highest index
   * <= index whose term here is <= term, or is not known here. Skips whole terms when logs have diverged.
   */
  findConflictByTerm(index: number, term: number): number {
    for (let at = index; at > 0; at--) {
      const ours = this.term(at)
      if (typeof ours !== 'number' || ours <= term) return at
    }
    return 0
  }

  termOrZero(index: number): number {
    const term = this.term(index)
    return typeof term === 'number' ? term : 0
  }

  /** Never goes back. */
  commitTo(index: number): void {
    if (index <= this.committed) return
    assert(index <= this.lastIndex(), () => `commit ${index} beyond the end ${this.lastIndex()}: log lost?`)
    this.committed = index
  }

  /** Commits only an entry of that term: older ones are committed along with it (Ongaro §3.6.2). */
  maybeCommit(index: number, term: number): boolean {
    if (index <= this.committed || term === 0 || !this.matchTerm(index, term)) return false
    this.commitTo(index)
    return true
  }

  get hasPendingSnapshot(): boolean { return this.unstable.snapshot !== undefined }

  /** With async writes an entry is applied here only when it is durable here. */
  #appliableIndex(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1)
  }

  hasNextCommitted(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.isApplyHeld || this.hasPendingSnapshot) return false
    return this.applying < this.#appliableIndex(allowUnstable)
  }

  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return noEntries
    const room = this.#applyingBytesMax - this.#applyingBytes
    assert(room > 0, 'apply is paused but hands out entries')
    const entries = this.slice(this.applying + 1, this.#appliableIndex(allowUnstable) + 1, room)
    assert(entries !== 'compacted', 'unapplied entries were compacted')
    return entries
  }

  /** Pauses when the limit is reached, or when it has cut the last batch short. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    assert(index <= this.committed, 'applying beyond the commit index')
    this.applying = index
    this.#applyingBytes += bytes
    const cutShort = index < this.#appliableIndex(allowUnstable)
    this.#applyingPaused = cutShort || this.#applyingBytes >= this.#applyingBytesMax
  }

  appliedTo(index: number, bytes: number): void {
    assert(index >= this.applied && index <= this.committed,
      () => `applied ${index} is outside of [${this.applied}, ${this.committed}]`)
    this.applied = index
    this.applying = Math.max(this.applying, index)
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes)
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax
  }

  /** @param to the follower it is for. The snapshot must connect to our log. */
  snapshot(to: NodeId): RaftSnapshot | 'temporarilyUnavailable' {
    return this.unstable.snapshot ?? this.storage.snapshot(asIndex(this.firstIndex() - 1), to)
  }

  restore(snapshot: RaftSnapshot): void {
    this.committed = snapshot.meta.index
    this.unstable.restore(snapshot)
  }

  /** From `low` to the end, as far as it fits, at least one if there is one. */
  entriesFrom(low: number, bytesMax: number): readonly Entry[] | 'compacted' {
    const last = this.lastIndex()
    return low > last ? noEntries : this.slice(low, last + 1, bytesMax)
  }

  /** [low, high) as far as it fits into bytesMax, at least one. */
  slice(low: number, high: number, bytesMax: number): readonly Entry[] | 'compacted' {
    assert(low <= high, 'slice ends before it begins')
    if (low < this.firstIndex()) return 'compacted'
    assert(high <= this.lastIndex() + 1, 'slice beyond the last index')
    if (low === high) return noEntries
    const offset = this.unstable.offset
    if (low >= offset) return this.unstable.slice(low, high, bytesMax)

    const cut = Math.min(high, offset)
    const stable = this.storage.entries(asIndex(low), asIndex(cut), bytesMax)
    if (stable === 'compacted') return 'compacted'
    assert(stable !== 'unavailable', 'storage has lost entries')
    if (high <= offset || stable.length < cut - low) return stable
    const room = bytesMax - entriesBytes(stable)
    if (room <= 0) return stable
    const rest = this.unstable.slice(offset, high, room)
    if (rest.length === 1 && entryBytes(rest[0]!) > room) return stable
    return stable.concat(rest)
  }
}
