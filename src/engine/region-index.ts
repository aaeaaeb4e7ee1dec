import { assert, unreachable } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Entry, HardState } from '../raft/types.js'
import type { LogStateKind, RegionLog } from './api.js'
import type { LogOp } from './log-batch.js'
import type { RegionDump } from './log-records.js'

interface TermRun {
  readonly index: number
  readonly term: Term
}

/** Weight of an entry object beside its data, so that the cache's limit also bounds many empty ones. */
const entryOverheadBytes = 96
/** So many appends that have nothing to evict any more are no reason to look for them. */
const appendedSlackMax = 2048

interface RegionState {
  readonly regionId: RegionId
  truncatedIndex: number
  truncatedTerm: Term
  lastIndex: number
  /** Terms change rarely: one item per change. */
  runs: TermRun[]
  hardState: HardState | undefined
  readonly states: Map<LogStateKind, Uint8Array>
  /** The last entries, contiguous up to lastIndex: cached[head] has index lastIndex - (cached.length - head) + 1; what is
   *  before head is undefined. */
  cached: (Entry | undefined)[]
  head: number
}

/** What an index holds, for the search for leaks. */
export interface IndexSizes {
  readonly regions: number
  readonly cachedBytes: number
  readonly cachedEntries: number
  readonly cacheSlots: number
  readonly evictionSlots: number
  readonly termRuns: number
}

/** What both logs know of their regions: shape, terms, small records, and the newest entries themselves. */
export class RegionIndex {
  #regions = new Map<RegionId, RegionState>()
  /** Appends in order, for eviction: the oldest leave first. */
  #appended: { readonly regionId: RegionId; readonly lastIndex: number }[] = []
  #appendedHead = 0
  #cachedBytes = 0
  #cachedEntries = 0

  /** @param cacheBytesMax  entries beyond it must be read elsewhere; Infinity keeps all */
  constructor(readonly cacheBytesMax: number) {}

  get cachedBytes(): number { return this.#cachedBytes }

  sizes(): IndexSizes {
    let cacheSlots = 0
    let termRuns = 0
    for (const region of this.#regions.values()) {
      cacheSlots += region.cached.length
      termRuns += region.runs.length
    }
    return {
      regions: this.#regions.size, cachedBytes: this.#cachedBytes, cachedEntries: this.#cachedEntries, cacheSlots,
      evictionSlots: this.#appended.length, termRuns,
    }
  }

  load(dumps: readonly RegionDump[]): void {
    for (const dump of dumps) {
      // A reset to 0 stays in the native log until its segment goes, and says nothing.
      if (dump.lastIndex === 0 && dump.hardState === undefined && dump.states.length === 0) continue
      this.#regions.set(dump.regionId, {
        regionId: dump.regionId, truncatedIndex: dump.truncatedIndex, truncatedTerm: dump.truncatedTerm,
        lastIndex: dump.lastIndex, runs: [...dump.termRuns], hardState: dump.hardState,
        states: new Map(dump.states.map(state => [state.kind, state.bytes])), cached: [], head: 0,
      })
    }
  }

  /** A twin that shares entries but nothing that changes. */
  clone(): RegionIndex {
    const twin = new RegionIndex(this.cacheBytesMax)
    for (const [id, region] of this.#regions) {
      twin.#regions.set(id, {
        ...region, runs: [...region.runs], states: new Map(region.states),
        cached: region.cached.slice(region.head), head: 0,
      })
    }
    twin.#cachedBytes = this.#cachedBytes
    twin.#cachedEntries = this.#cachedEntries
    twin.#appended = this.#appended.slice(this.#appendedHead)
    return twin
  }

  apply(ops: readonly LogOp[]): void {
    for (const op of ops) this.#applyOne(op)
    if (this.#cachedBytes > this.cacheBytesMax) this.#evict()
    if (this.#appended.length > 2 * this.#cachedEntries + appendedSlackMax) this.#shrinkAppended()
  }

  regions(): RegionLog[] {
    const all = [...this.#regions.values()].filter(region => region.regionId !== 0)
    return all.sort((left, right) => left.regionId - right.regionId).map(describe)
  }

  region(regionId: RegionId): RegionLog | undefined {
    const region = this.#regions.get(regionId)
    return region === undefined || regionId === 0 ? undefined : describe(region)
  }

  state(regionId: RegionId, kind: LogStateKind): Uint8Array | undefined {
    const bytes = this.#regions.get(regionId)?.states.get(kind)
    return bytes === undefined ? undefined : copyBytes(bytes)
  }

  term(regionId: RegionId, index: LogIndex): Term | undefined {
    const region = this.#regions.get(regionId)
    if (region === undefined || index < region.truncatedIndex || index > region.lastIndex) return undefined
    if (index === region.truncatedIndex) return region.truncatedTerm
    for (let i = region.runs.length - 1; i >= 0; i--) {
      if (region.runs[i]!.index <= index) return region.runs[i]!.term
    }
    return undefined
  }

  /** Index of the first entry that `cached` can give; lastIndex + 1 when there is none. */
  firstCached(regionId: RegionId): number {
    const region = this.#regions.get(regionId)
    assert(region !== undefined, () => `region ${regionId} has no log`)
    return region.lastIndex + 1 - (region.cached.length - region.head)
  }

  assertHas(regionId: RegionId, low: number, high: number): void {
    const region = this.#regions.get(regionId)
    assert(region !== undefined && low > region.truncatedIndex && low < high && high <= region.lastIndex + 1,
      () => `region ${regionId} has not all entries [${low}, ${high})`)
  }

  /** Adds entries [low, high) to `to` while they fit; `low` >= firstCached. @param bytes of what is in `to` already */
  takeCached(regionId: RegionId, low: number, high: number, bytesMax: number, to: Entry[], bytes: number): void {
    const region = this.#regions.get(regionId)!
    const first = this.firstCached(regionId)
    let total = bytes
    for (let index = low; index < high; index++) {
      const entry = region.cached[region.head + index - first]!
      total += entry.data.length
      if (to.length > 0 && total > bytesMax) return
      to.push(entry)
    }
  }

  #applyOne(op: LogOp): void {
    const region = this.#own(op.regionId)
    switch (op.kind) {
      case 'entries': this.#append(region, op.entries); break
      case 'hardState': region.hardState = op.hardState; break
      case 'state':
        if (op.bytes.length === 0) region.states.delete(op.stateKind)
        else region.states.set(op.stateKind, op.bytes)
        break
      case 'compact': this.#compact(region, op.index, op.term); break
      case 'reset': this.#reset(region, op.index, op.term); break
      case 'remove':
        this.#reset(region, 0, 0 as Term)
        region.hardState = undefined
        break
      default: unreachable(op)
    }
    const blank = region.lastIndex === 0 && region.truncatedIndex === 0 && region.hardState === undefined
    if (blank && region.states.size === 0) this.#regions.delete(op.regionId)
  }

  #own(regionId: RegionId): RegionState {
    let region = this.#regions.get(regionId)
    if (region === undefined) {
      region = { regionId, truncatedIndex: 0, truncatedTerm: 0 as Term, lastIndex: 0, runs: [], hardState: undefined,
        states: new Map(), cached: [], head: 0 }
      this.#regions.set(regionId, region)
    }
    return region
  }

  #append(region: RegionState, entries: readonly Entry[]): void {
    const first = entries[0]!.index
    assert(first > region.truncatedIndex && first <= region.lastIndex + 1,
      () => `region ${region.regionId}: entry ${first} does not follow (${region.truncatedIndex}, ${region.lastIndex}]`)
    this.#dropFrom(region, first)
    for (const entry of entries) {
      const run = region.runs[region.runs.length - 1]
      if (run === undefined || run.term !== entry.term) region.runs.push({ index: entry.index, term: entry.term })
      region.cached.push(entry)
      this.#cachedBytes += entry.data.length + entryOverheadBytes
    }
    this.#cachedEntries += entries.length
    region.lastIndex = entries[entries.length - 1]!.index
    if (this.cacheBytesMax !== Infinity) this.#appended.push({ regionId: region.regionId, lastIndex: region.lastIndex })
  }

  #dropFrom(region: RegionState, first: number): void {
    while (region.cached.length > region.head && region.lastIndex >= first) {
      this.#cachedBytes -= region.cached.pop()!.data.length + entryOverheadBytes
      this.#cachedEntries--
      region.lastIndex--
    }
    region.lastIndex = Math.min(region.lastIndex, first - 1)
    while (region.runs.length > 0 && region.runs[region.runs.length - 1]!.index >= first) region.runs.pop()
  }

  #compact(region: RegionState, index: LogIndex, term: Term): void {
    if (index <= region.truncatedIndex) return
    assert(index <= region.lastIndex, () => `region ${region.regionId}: compact ${index} beyond ${region.lastIndex}`)
    this.#dropCachedThrough(region, index)
    while (region.runs.length > 1 && region.runs[1]!.index <= index + 1) region.runs.shift()
    if (index === region.lastIndex) region.runs = []
    region.truncatedIndex = index
    region.truncatedTerm = term
  }

  #reset(region: RegionState, index: number, term: Term): void {
    this.#dropCachedThrough(region, region.lastIndex)
    region.cached = []
    region.head = 0
    region.runs = []
    region.truncatedIndex = region.lastIndex = index
    region.truncatedTerm = term
  }

  #dropCachedThrough(region: RegionState, index: number): void {
    let first = region.lastIndex + 1 - (region.cached.length - region.head)
    while (region.head < region.cached.length && first <= index) {
      this.#cachedBytes -= region.cached[region.head]!.data.length + entryOverheadBytes
      this.#cachedEntries--
      region.cached[region.head++] = undefined
      first++
    }
    if (region.head > 64 && region.head * 2 > region.cached.length) {
      region.cached = region.cached.slice(region.head)
      region.head = 0
    }
  }

  #evict(): void {
    while (this.#cachedBytes > this.cacheBytesMax && this.#appendedHead < this.#appended.length) {
      const { regionId, lastIndex } = this.#appended[this.#appendedHead++]!
      const region = this.#regions.get(regionId)
      if (region !== undefined) this.#dropCachedThrough(region, lastIndex)
    }
  }

  /**
   * Appends whose entries are gone, compacted or replaced, have nothing to evict. As long as the cache stays below its limit
   * nobody would take them out otherwise.
   */
  #shrinkAppended(): void {
    const kept: { readonly regionId: RegionId; readonly lastIndex: number }[] = []
    const lowest = new Map<RegionId, number>()
    for (let i = this.#appended.length - 1; i >= this.#appendedHead; i--) {
      const one = this.#appended[i]!
      const region = this.#regions.get(one.regionId)
      if (region === undefined || one.lastIndex < this.firstCached(one.regionId)) continue
      if (one.lastIndex >= (lowest.get(one.regionId) ?? region.lastIndex + 1)) continue
      lowest.set(one.regionId, one.lastIndex)
      kept.push(one)
    }
    this.#appended = kept.reverse()
    this.#appendedHead = 0
  }
}

function describe(region: RegionState): RegionLog {
  return {
    regionId: region.regionId,
    truncatedIndex: region.truncatedIndex as LogIndex,
    truncatedTerm: region.truncatedTerm,
    lastIndex: region.lastIndex as LogIndex,
    hardState: region.hardState,
  }
}
