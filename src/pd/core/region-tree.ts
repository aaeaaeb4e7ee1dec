import type { PeerId, RegionId, StoreId } from '../../common/ids.js'
import type { Region } from '../../common/region.js'
import type { RegionBeat } from '../../wire/messages.js'
import { keyText } from './key-text.js'
import { RegionIndex } from './region-index.js'
import { RegionRecord } from './region-record.js'

export interface StoreCounts {
  readonly regions: number
  readonly leaders: number
}

type Counts = { regions: number; leaders: number }
const nothing: StoreCounts = { regions: 0, leaders: 0 }

export type PutResult = 'accepted' | 'stale'

/**
 * All regions that PD knows of, by key and by id. No two overlap: a newer region takes the place of whatever it covers.
 * There may be holes, right after PD started or between the two halves' reports of a split.
 */
export class RegionTree {
  readonly #byStart = new RegionIndex()
  readonly #byId = new Map<RegionId, RegionRecord>()
  readonly #counts = new Map<StoreId, Counts>()

  get size(): number { return this.#byId.size }

  /** A leader's heartbeat. `stale`: we know something newer, by epoch or, in the same epoch, by raft term. */
  putBeat(beat: RegionBeat, nowMs = 0): PutResult {
    const known = this.#byId.get(beat.region.regionId)
    const { confVer, version } = beat.region.epoch
    if (known !== undefined) {
      if (version < known.version || confVer < known.confVer) return 'stale'
      const sameEpoch = version === known.version && confVer === known.confVer
      if (sameEpoch && beat.term < known.term) return 'stale'
    }
    return this.#put(RegionRecord.fromBeat(beat, nowMs), known)
  }

  /** A region as others tell of it, without a leader's word: a split's halves, or the first region. */
  putRegion(region: Region, leaderId: PeerId, nowMs = 0): PutResult {
    const known = this.#byId.get(region.regionId)
    const { confVer, version } = region.epoch
    if (known !== undefined && (version <= known.version || confVer < known.confVer)) return 'stale'
    return this.#put(RegionRecord.fromRegion(region, leaderId, nowMs), known)
  }

  #put(record: RegionRecord, known: RegionRecord | undefined): PutResult {
    if (known !== undefined && known.start === record.start && known.end === record.end) {
      this.#count(known, -1)
      this.#byStart.put(record)
    } else {
      const overlaps = this.#overlaps(record)
      for (const other of overlaps) {
        if (other.regionId !== record.regionId && other.version > record.version) return 'stale'
      }
      for (const other of overlaps) this.#drop(other)
      if (known !== undefined && this.#byId.has(known.regionId)) this.#drop(known)
      this.#byStart.put(record)
    }
    this.#byId.set(record.regionId, record)
    this.#count(record, 1)
    return 'accepted'
  }

  #overlaps(record: RegionRecord): RegionRecord[] {
    const found: RegionRecord[] = []
    const first = this.#byStart.floor(record.start)
    if (first !== undefined && (first.end === '' || record.start < first.end)) found.push(first)
    this.#byStart.walkAfter(record.start, other => {
      if (record.end !== '' && other.start >= record.end) return false
      found.push(other)
      return true
    })
    return found
  }

  #drop(record: RegionRecord): void {
    this.#byStart.remove(record.start)
    this.#byId.delete(record.regionId)
    this.#count(record, -1)
  }

  #count(record: RegionRecord, by: 1 | -1): void {
    for (let i = 0; i < record.peerCount; i++) {
      const store = record.storeAt(i)
      let counts = this.#counts.get(store)
      if (counts === undefined) this.#counts.set(store, counts = { regions: 0, leaders: 0 })
      counts.regions += by
      if (record.peerIdAt(i) === record.leaderId) counts.leaders += by
    }
  }

  countsOf(store: StoreId): StoreCounts { return this.#counts.get(store) ?? nothing }

  byId(id: RegionId): RegionRecord | undefined { return this.#byId.get(id) }

  byKey(key: Uint8Array): RegionRecord | undefined {
    const text = keyText(key)
    const found = this.#byStart.floor(text)
    return found?.contains(text) === true ? found : undefined
  }

  /**
   * The region that holds the greatest key below `key`: the one just left of it. An empty key stands for the end of
   * all keys, as it does in an end key. undefined at a hole.
   */
  previous(key: Uint8Array): RegionRecord | undefined {
    if (key.length === 0) {
      const last = this.#byStart.last()
      return last?.end === '' ? last : undefined
    }
    const text = keyText(key)
    const found = this.#byStart.lower(text)
    return found !== undefined && (found.end === '' || found.end >= text) ? found : undefined
  }

  /** Regions that touch [start, end), ascending. Empty end: no bound. */
  scan(start: Uint8Array, end: Uint8Array, limit: number): RegionRecord[] {
    const from = keyText(start)
    const to = keyText(end)
    const found: RegionRecord[] = []
    if (to !== '' && to <= from) return found
    const first = this.#byStart.floor(from)
    if (first?.contains(from) === true && limit > 0) found.push(first)
    this.#byStart.walkAfter(from, record => {
      if (found.length >= limit || (to !== '' && record.start >= to)) return false
      found.push(record)
      return true
    })
    return found
  }

  /** Does every key belong to a region? Only then is "no region has a peer there" more than ignorance. */
  coversAllKeys(): boolean {
    let next = ''
    let isWhole = this.size > 0
    this.#byStart.walk(record => {
      isWhole = record.start === next
      next = record.end
      return isWhole
    })
    return isWhole && next === ''
  }

  walk(visit: (record: RegionRecord) => boolean): void { this.#byStart.walk(visit) }

  /** Visits what starts after `start`; undefined: from the first on. For walks that are cut into pieces. */
  walkAfter(start: string | undefined, visit: (record: RegionRecord) => boolean): void {
    if (start === undefined) this.#byStart.walk(visit)
    else this.#byStart.walkAfter(start, visit)
  }
}
