import { ignore } from '../common/assert.js'
import type { Env } from '../common/env.js'
import type { RegionId, StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { PdRefusedError } from '../pd/api.js'
import type { PdClient } from '../pd/api.js'
import type { StorePd } from '../store/api.js'
import type { Operator, RegionBeat, SplitIds, StoreMeta, StoreStats } from '../wire/messages.js'

/**
 * A cluster that starts comes together store by store: for so long after its own start a store asks often who else is there,
 * and tells PD of its regions again when somebody is new, since PD only speaks when it is asked.
 */
const youngMs = 5_000
const youngBeatMs = 150
/** What goes on happening is said again after so long. */
const againMs = 30_000
/** One request carries at most this many region heartbeats. */
const beatsPerRequestMax = 256

export interface StorePdOptions {
  readonly env: Env
  readonly pd: PdClient
  /** Each answer to a store heartbeat brings the addresses of all stores. */
  readonly onStores: (stores: readonly StoreMeta[]) => void
  /** … and whose disks are full, or may soon be. */
  readonly onShortOfSpace: (full: readonly StoreId[], low: readonly StoreId[]) => void
  /** PD does not want this store any more: its id is a tombstone. */
  readonly onRefused: (error: PdRefusedError) => void
  /** A heartbeat older than this may be of a leadership that is over: it is not repeated to a new PD leader. */
  readonly beatMsMax: number
  /** As it registered with; 0: not told. */
  readonly incarnation?: number
}

interface SentBeat {
  readonly beat: RegionBeat
  readonly atMs: number
}

/**
 * What a store asks of PD, over a PdClient. While PD is away heartbeats do not pile up: the newest of each region waits, one
 * request is under way.
 */
export class StorePdAdapter implements StorePd {
  readonly #options: StorePdOptions
  #beats = new Map<RegionId, RegionBeat>()
  /** The newest of each region that was handed to us, for a PD leader that knows of none. */
  readonly #latest = new Map<RegionId, SentBeat>()
  #answer: ((operators: readonly Operator[]) => void) | undefined
  #beatsDone: ((operators: readonly Operator[]) => void)[] = []
  #isBeating = false
  #stats: StoreStats | undefined
  #lastStats: StoreStats | undefined
  #known = new Set<StoreId>()
  #bornAtMs: number | undefined
  #isReporting = false
  #isClosed = false
  #awaySinceMs: number | undefined
  #saidAwayAtMs = Number.NEGATIVE_INFINITY
  readonly #saidRefusedAtMs = new Map<string, number>()

  constructor(options: StorePdOptions) { this.#options = options }

  get #pd(): PdClient { return this.#options.pd }

  /** Regions that are told to a PD leader who knows of none. */
  get latestCount(): number { return this.#latest.size }

  close(): void {
    this.#isClosed = true
    this.#beats.clear()
    this.#latest.clear()
    this.#beatsDone = []
    this.#answer = undefined
  }

  /** PD has a leader again, which may know nothing of regions: it hears of all of ours, before their clocks say so. */
  onLeaderFound(): void { this.#repeatBeats() }

  /** Of regions that are led elsewhere, or gone: they are in the order of their last report. */
  #forgetOld(nowMs: number): void {
    for (const [regionId, { atMs }] of this.#latest) {
      if (atMs >= nowMs - this.#options.beatMsMax) return
      this.#latest.delete(regionId)
    }
  }

  #repeatBeats(): void {
    if (this.#isClosed) return
    const oldestMs = this.#options.env.clock.monotonicMs() - this.#options.beatMsMax
    for (const [regionId, { beat, atMs }] of this.#latest) {
      if (atMs < oldestMs) this.#latest.delete(regionId)
      else if (!this.#beats.has(regionId)) this.#beats.set(regionId, beat)
    }
    if (this.#answer !== undefined && this.#beatsDone.length === 0) this.#beatsDone.push(this.#answer)
    this.#sendBeats()
  }

  allocIds(count: number, done: (first: number | undefined) => void): void {
    this.#ask('AllocId', this.#pd.allocIds(count), done)
  }

  askSplit(region: Region, count: number, done: (ids: readonly SplitIds[] | undefined) => void): void {
    this.#ask('AskSplit', this.#pd.askSplit(region, count), done)
  }

  reportSplit(regions: readonly Region[]): void {
    this.#ask('ReportSplit', this.#pd.reportSplit(regions), () => {})
  }

  getRegionById(regionId: RegionId, done: (region: Region | undefined) => void): void {
    this.#ask('GetRegionById', this.#pd.getRegionById(regionId), route => { done(route?.region) })
  }

  regionHeartbeat(beats: readonly RegionBeat[], done: (operators: readonly Operator[]) => void): void {
    if (this.#isClosed) return
    const atMs = this.#options.env.clock.monotonicMs()
    this.#forgetOld(atMs)
    for (const beat of beats) {
      this.#beats.delete(beat.region.regionId)
      this.#beats.set(beat.region.regionId, beat)
      this.#latest.delete(beat.region.regionId)
      this.#latest.set(beat.region.regionId, { beat, atMs })
    }
    this.#answer = done
    this.#beatsDone.push(done)
    this.#sendBeats()
  }

  #sendBeats(): void {
    if (this.#isBeating || this.#isClosed || this.#beats.size === 0) return
    this.#isBeating = true
    const beats: RegionBeat[] = []
    for (const [regionId, beat] of this.#beats) {
      if (beats.length === beatsPerRequestMax) break
      beats.push(beat)
      this.#beats.delete(regionId)
    }
    const done = this.#beatsDone
    this.#beatsDone = []
    this.#ask('RegionHeartbeat', this.#pd.regionHeartbeat(beats), operators => {
      this.#isBeating = false
      // Operators name their region: it does not matter which of the callers gets them.
      for (let at = 0; at < done.length; at++) done[at]!(at === 0 ? operators ?? [] : [])
      this.#sendBeats()
    })
  }

  storeHeartbeat(stats: StoreStats): void {
    this.#stats = this.#lastStats = stats
    if (this.#bornAtMs === undefined) {
      this.#bornAtMs = this.#options.env.clock.monotonicMs()
      this.#whileYoung()
    }
    if (this.#isReporting || this.#isClosed) return
    this.#isReporting = true
    this.#stats = undefined
    this.#ask('StoreHeartbeat', this.#pd.storeHeartbeat(stats, this.#options.incarnation ?? 0), answer => {
      this.#isReporting = false
      if (answer !== undefined) {
        this.#learn(answer.stores)
        this.#options.onShortOfSpace(answer.fullStoreIds, answer.lowStoreIds)
      }
      const newer = this.#stats
      if (newer !== undefined) this.storeHeartbeat(newer)
    })
  }

  #learn(stores: readonly StoreMeta[]): void {
    this.#options.onStores(stores)
    const isAnyNew = this.#known.size > 0 && stores.some(store => store.state === 'up' && !this.#known.has(store.storeId))
    this.#known = new Set(stores.filter(store => store.state === 'up').map(store => store.storeId))
    if (isAnyNew) this.#repeatBeats()
  }

  #whileYoung(): void {
    const { env } = this.#options
    if (this.#isClosed || env.clock.monotonicMs() - (this.#bornAtMs ?? 0) > youngMs) return
    env.setTimer(youngBeatMs, () => {
      if (this.#lastStats !== undefined) this.storeHeartbeat(this.#lastStats)
      this.#whileYoung()
    })
  }

  #ask<T>(request: string, answer: Promise<T>, done: (value: T | undefined) => void): void {
    answer.then(
      value => {
        if (this.#isClosed) return
        this.#isReached()
        done(value)
      },
      (error: unknown) => {
        if (this.#isClosed) return ignore(error, 'nobody waits for it any more')
        if (error instanceof PdRefusedError) {
          this.#isReached()
          this.#warnRefused(request, error)
          if (request === 'StoreHeartbeat') this.#options.onRefused(error)
        } else {
          this.#isAway(request, error)
        }
        done(undefined)
      },
    )
  }

  /** Said when it begins, again once in a while, and when it is over: heartbeats fail many times a second. */
  #isAway(request: string, error: unknown): void {
    const { env } = this.#options
    const nowMs = env.clock.monotonicMs()
    this.#awaySinceMs ??= nowMs
    const isDue = nowMs - this.#saidAwayAtMs >= againMs
    if (isDue) this.#saidAwayAtMs = nowMs
    const seconds = Math.round((nowMs - this.#awaySinceMs) / 1_000)
    env.log(isDue ? 'warn' : 'debug', 'store.pd-away', { request, seconds, reason: error instanceof Error ? error.message : String(error) })
  }

  #isReached(): void {
    if (this.#awaySinceMs === undefined) return
    const { env } = this.#options
    env.log('info', 'store.pd-is-back', { seconds: Math.round((env.clock.monotonicMs() - this.#awaySinceMs) / 1_000) })
    this.#awaySinceMs = undefined
    this.#saidAwayAtMs = Number.NEGATIVE_INFINITY
  }

  #warnRefused(request: string, error: PdRefusedError): void {
    const { env } = this.#options
    const nowMs = env.clock.monotonicMs()
    const isDue = nowMs - (this.#saidRefusedAtMs.get(request) ?? Number.NEGATIVE_INFINITY) >= againMs
    if (isDue) this.#saidRefusedAtMs.set(request, nowMs)
    env.log(isDue ? 'warn' : 'debug', 'store.pd-refused', { request, reason: error.message })
  }
}
