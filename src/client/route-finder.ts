import type { PdClient } from '../pd/api.js'
import { ignore } from '../common/assert.js'
import type { RegionId } from '../common/ids.js'
import { regionContains, sameEpoch } from '../common/region.js'
import type { Region } from '../common/region.js'
import { compareBytes } from '../common/bytes.js'
import type { RegionRoute } from '../wire/messages.js'
import { Route } from './region-cache.js'
import type { RegionCache } from './region-cache.js'

/** The region of `key` (an engine key) or, with `isBefore`, of the greatest key below it; empty = behind all keys. */
export interface Place {
  readonly key: Uint8Array
  readonly isBefore: boolean
}

interface Search {
  readonly place: Place
  readonly done: (route: Route | undefined, error: unknown) => void
}

/** Questions to PD under way at once; whoever waits looks into the cache again before asking. */
const questionsMax = 8

/** The cache, and PD behind it: a cold cache met by a thousand requests asks a few times, not a thousand. */
export class RouteFinder {
  readonly #pd: PdClient
  readonly #cache: RegionCache
  readonly #waiting: Search[] = []
  readonly #refreshing = new Set<RegionId>()
  #asking = 0

  constructor(pd: PdClient, cache: RegionCache) {
    this.#pd = pd
    this.#cache = cache
  }

  find(place: Place): Route | undefined {
    return place.isBefore ? this.#cache.findBefore(place.key) : this.#cache.find(place.key)
  }

  /** `done` runs later, with a route, or with PD's error, or with neither: no region holds the key yet. */
  load(place: Place, done: Search['done']): void {
    this.#waiting.push({ place, done })
    this.#ask()
  }

  /**
   * Nobody leads a region, or nobody is there: PD may know of other replicas. Until it answers the route stays: PD may be
   * away as well, and then what we know is all there is.
   */
  refresh(route: Route): void {
    const { regionId, startKey } = route.region
    if (this.#refreshing.has(regionId)) return
    this.#refreshing.add(regionId)
    this.#pd.getRegion(startKey).then(
      found => { if (found !== undefined && !sameReplicas(found.region, route.region)) this.#replace(route, found) },
      error => ignore(error, 'the next round through the replicas asks again'),
    ).finally(() => this.#refreshing.delete(regionId)).catch(this.#broken)
  }

  #replace(route: Route, found: RegionRoute): void {
    this.#cache.invalidate(route)
    this.#cache.insert(found.region, found.leader)
  }

  #ask(): void {
    while (this.#asking < questionsMax) {
      const search = this.#waiting.shift()
      if (search === undefined) return
      const { place, done } = search
      const known = this.find(place)
      this.#asking++
      if (known !== undefined) {
        Promise.resolve().then(() => this.#answer(() => done(known, undefined)), this.#broken)
        continue
      }
      const answer = place.isBefore ? this.#pd.getPreviousRegion(place.key) : this.#pd.getRegion(place.key)
      answer.then(
        route => this.#answer(() => done(this.#take(place, route), undefined)),
        error => this.#answer(() => done(undefined, error))).catch(this.#broken)
    }
  }

  #answer(run: () => void): void {
    this.#asking--
    run()
    this.#ask()
  }

  /** A callback threw: a bug of ours, which must not pass in silence. */
  readonly #broken = (error: unknown): void => { throw error }

  /**
   * PD may be behind the stores. An old route is handed out without being kept: whoever goes there is told the present
   * shape by the store, which is the quickest way to learn it.
   */
  #take(place: Place, found: RegionRoute | undefined): Route | undefined {
    if (found === undefined) return undefined
    const inserted = this.#cache.insert(found.region, found.leader)
    if (inserted !== undefined && holds(inserted, place)) return inserted
    return this.find(place) ?? new Route(found.region, found.leader)
  }
}

const sameReplicas = (left: Region, right: Region): boolean =>
  sameEpoch(left.epoch, right.epoch) && left.peers.length === right.peers.length &&
  left.peers.every((peer, at) => peer.peerId === right.peers[at]?.peerId)

function holds(route: Route, place: Place): boolean {
  const { region } = route
  if (!place.isBefore) return regionContains(region, place.key)
  if (region.endKey.length === 0) return place.key.length === 0 || compareBytes(region.startKey, place.key) < 0
  return place.key.length > 0 && compareBytes(place.key, region.endKey) <= 0 &&
    compareBytes(region.startKey, place.key) < 0
}
