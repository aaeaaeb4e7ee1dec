import type { RegionId } from '../common/ids.js'
import type { LogSpace } from './api.js'
import type { LogOp } from './log-batch.js'
import { encodedEntryBytes, recordBytes } from './log-records.js'

/** A record that is needed: how long it is, in which segment. */
interface Kept {
  readonly bytes: number
  segment: number
}

interface KeptEntry extends Kept {
  /** Over the whole log, to tell what is older. */
  place: number
}

interface RegionSpace {
  /** Index of entries[0]. */
  first: number
  entries: KeptEntry[]
  /** The record that says where the entries begin. */
  base: Kept | undefined
  hardState: Kept | undefined
  readonly states: Map<number, Kept>
}

interface SegmentUse {
  used: number
  live: number
}

/** As in native/raft_log_gc.cc. */
const youngSegments = 2
const aliveShare = 4
const movableBytesMax = 256 << 10

/**
 * The room that the records of a log would take on disk: segments, what is alive in them, and the moving of stragglers, as
 * native/raft_log_index.cc and raft_log_gc.cc keep it. What dies is given back at once; group headers and marks weigh nothing.
 */
export class MemLogSpace {
  readonly #segmentBytes: number
  #regions = new Map<RegionId, RegionSpace>()
  #segments = new Map<number, SegmentUse>([[1, { used: 0, live: 0 }]])
  #oldest = 1
  #active = 1
  #place = 0
  #liveBytes = 0
  #appendedBytes = 0

  constructor(segmentBytes: number) { this.#segmentBytes = segmentBytes }

  clone(): MemLogSpace {
    const twin = new MemLogSpace(this.#segmentBytes)
    twin.#segments = new Map([...this.#segments].map(([number, use]) => [number, { ...use }]))
    twin.#regions = new Map([...this.#regions].map(([id, region]) => [id, {
      first: region.first, entries: region.entries.map(entry => ({ ...entry })), base: copy(region.base),
      hardState: copy(region.hardState), states: new Map([...region.states].map(([kind, state]) => [kind, { ...state }])),
    }]))
    twin.#oldest = this.#oldest
    twin.#active = this.#active
    twin.#place = this.#place
    twin.#liveBytes = this.#liveBytes
    return twin
  }

  get figures(): LogSpace {
    let diskBytes = 0
    for (const { used } of this.#segments.values()) diskBytes += used
    return {
      diskBytes, liveBytes: this.#liveBytes, pinnedBytes: diskBytes - this.#segments.get(this.#active)!.used,
      appendedBytes: this.#appendedBytes,
    }
  }

  /** Regions with entries, oldest entry first. */
  oldestRegions(limit: number): RegionId[] {
    return [...this.#regions].filter(([, region]) => region.entries.length > 0)
      .sort(([, left], [, right]) => left.entries[0]!.place - right.entries[0]!.place)
      .slice(0, limit).map(([id]) => id)
  }

  append(ops: readonly LogOp[], bytes: number): void {
    this.#appendedBytes += bytes
    this.#take(bytes)
    for (const op of ops) this.#apply(op)
    this.#collect()
  }

  #take(bytes: number): void {
    const { used } = this.#segments.get(this.#active)!
    if (used > 0 && used + bytes > this.#segmentBytes) this.#segments.set(++this.#active, { used: 0, live: 0 })
    this.#segments.get(this.#active)!.used += bytes
  }

  #apply(op: LogOp): void {
    const region = this.#own(op.regionId)
    switch (op.kind) {
      case 'entries':
        this.#dropFrom(region, op.entries[0]!.index)
        if (region.entries.length === 0) region.first = op.entries[0]!.index
        for (const entry of op.entries) {
          region.entries.push({ ...this.#born(encodedEntryBytes(entry)), place: ++this.#place })
        }
        break
      case 'hardState': region.hardState = this.#replace(region.hardState, recordBytes(8)); break
      case 'state':
        this.#dead(region.states.get(op.stateKind))
        if (op.bytes.length === 0) region.states.delete(op.stateKind)
        else region.states.set(op.stateKind, this.#born(recordBytes(op.bytes.length)))
        break
      case 'compact':
        this.#dropThrough(region, op.index)
        this.#setBase(region, true)
        break
      case 'reset':
        this.#dropFrom(region, 0)
        this.#setBase(region, true)
        break
      case 'remove':
        this.#dropFrom(region, 0)
        this.#setBase(region, false)
        this.#dead(region.hardState)
        region.hardState = undefined
        break
    }
  }

  #own(regionId: RegionId): RegionSpace {
    let region = this.#regions.get(regionId)
    if (region === undefined) {
      region = { first: 1, entries: [], base: undefined, hardState: undefined, states: new Map() }
      this.#regions.set(regionId, region)
    }
    return region
  }

  #born(bytes: number): Kept {
    this.#segments.get(this.#active)!.live += bytes
    this.#liveBytes += bytes
    return { bytes, segment: this.#active }
  }

  #dead(record: Kept | undefined): void {
    if (record === undefined) return
    this.#segments.get(record.segment)!.live -= record.bytes
    this.#liveBytes -= record.bytes
  }

  #replace(record: Kept | undefined, bytes: number): Kept {
    this.#dead(record)
    return this.#born(bytes)
  }

  /** Where a region's entries begin is in a record, too, but is not what anybody asked the log to keep. */
  #setBase(region: RegionSpace, isKnown: boolean): void {
    const weight = recordBytes(0)
    if (region.base !== undefined) this.#liveBytes += weight
    this.#dead(region.base)
    region.base = isKnown ? this.#born(weight) : undefined
    if (isKnown) this.#liveBytes -= weight
  }

  #dropFrom(region: RegionSpace, index: number): void {
    while (region.entries.length > 0 && region.first + region.entries.length > index) this.#dead(region.entries.pop())
  }

  #dropThrough(region: RegionSpace, index: number): void {
    const count = Math.min(region.entries.length, Math.max(0, index + 1 - region.first))
    for (const entry of region.entries.splice(0, count)) this.#dead(entry)
    region.first += count
  }

  #collect(): void {
    for (let moved = true; moved;) {
      while (this.#oldest < this.#active && this.#segments.get(this.#oldest)!.live === 0) this.#segments.delete(this.#oldest++)
      moved = this.#segments.size > youngSegments && this.#moveStragglers()
    }
  }

  /** What little is alive in the oldest segment is written again, a region's log as a whole. */
  #moveStragglers(): boolean {
    const oldest = this.#oldest
    if (this.#segments.get(oldest)!.live * aliveShare > this.#segmentBytes) return false
    const isHere = (record: Kept | undefined): boolean => record !== undefined && record.segment === oldest
    const moving: Kept[] = []
    for (const region of this.#regions.values()) {
      const small = [region.base, region.hardState, ...region.states.values()].filter(one => one !== undefined)
      if (!isHere(region.entries[0])) {
        moving.push(...small.filter(isHere))
        continue
      }
      if (region.entries.reduce((sum, { bytes }) => sum + bytes, 0) > movableBytesMax) return false
      moving.push(...small, ...region.entries)
      for (const entry of region.entries) entry.place = ++this.#place
    }
    for (const record of moving) {
      this.#take(record.bytes)
      this.#segments.get(record.segment)!.live -= record.bytes
      this.#segments.get(this.#active)!.live += record.bytes
      record.segment = this.#active
    }
    return true
  }
}

function copy(record: Kept | undefined): Kept | undefined { return record === undefined ? undefined : { ...record } }
