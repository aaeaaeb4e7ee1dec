import { compareBytes } from '../common/bytes.js'
import type { RegionId, StoreId } from '../common/ids.js'
import { epochIsStale, peerOnStore, regionContains, regionsOverlap, sameEpoch } from '../common/region.js'
import type { PeerRef, Region } from '../common/region.js'
import type { RequestContext } from '../wire/messages.js'

const missRoundsMax = 8

/** Where a key lives, as far as we know. Mutable in its leader only; a route that was replaced is no longer `isCurrent`. */
export class Route {
  readonly region: Region
  #leader: PeerRef | undefined
  #context: RequestContext | undefined
  isCurrent = true
  /** Answers in a row that knew no leader. */
  misses = 0
  /** Rotates through the peers while no leader is known. */
  #next = 0

  constructor(region: Region, leader: PeerRef | undefined) {
    this.region = region
    this.#leader = leader
  }

  get leader(): PeerRef | undefined { return this.#leader }

  setLeader(leader: PeerRef | undefined): void {
    // Whoever was asked in vain is asked last.
    if (leader === undefined && this.#leader !== undefined) this.#next = this.region.peers.indexOf(this.#leader) + 1
    this.#leader = leader
    this.#context = undefined
    if (leader !== undefined) this.misses = 0
  }

  /**
   * Whom to ask: the leader, or else the voters in turn.
   * @param isSuspect stores that are passed over unless all are suspect
   */
  target(isSuspect: (storeId: StoreId) => boolean): PeerRef | undefined {
    if (this.#leader !== undefined) return this.#leader
    const peers = this.region.peers
    let fallback: PeerRef | undefined
    for (let step = 0; step < peers.length; step++) {
      const peer = peers[(this.#next + step) % peers.length]
      if (peer === undefined || peer.role === 'learner') continue
      fallback ??= peer
      if (isSuspect(peer.storeId)) continue
      this.#next = (this.#next + step + 1) % peers.length
      return peer
    }
    this.#next = (this.#next + 1) % Math.max(1, peers.length)
    return fallback
  }

  /** Nobody led, or nobody was there. @returns true after some rounds through all voters: PD may know better than they */
  missed(): boolean {
    this.misses++
    const voters = this.region.peers.filter(peer => peer.role !== 'learner').length
    return this.misses % (missRoundsMax * Math.max(1, voters)) === 0
  }

  /** The request context for a peer; kept for the next request that is alike. */
  context(peer: PeerRef, timeoutMs: number): RequestContext {
    const kept = this.#context
    if (kept !== undefined && kept.timeoutMs === timeoutMs && kept.peerId === peer.peerId) return kept
    const { regionId, epoch } = this.region
    const context = { regionId, epoch, peerId: peer.peerId, timeoutMs }
    if (peer === this.#leader) this.#context = context
    return context
  }
}

/**
 * Routes by engine key, disjoint and sorted. Knowledge is never exact: it is corrected by what stores answer. Pure.
 * Invariant: of two overlapping regions only the one with the newer epoch version stays.
 */
export class RegionCache {
  readonly #routesMax: number
  #routes: Route[] = []
  readonly #byId = new Map<RegionId, Route>()

  /** @param routesMax when there are more, all are forgotten: a full cache costs look-ups, never correctness */
  constructor(routesMax = 100_000) { this.#routesMax = routesMax }

  get size(): number { return this.#routes.length }
  get(regionId: RegionId): Route | undefined { return this.#byId.get(regionId) }
  all(): readonly Route[] { return this.#routes }

  /** The route whose region holds `key`. */
  // hot path: bench client-put
  find(key: Uint8Array): Route | undefined {
    const at = this.#upperBound(key) - 1
    const route = this.#routes[at]
    return route !== undefined && regionContains(route.region, key) ? route : undefined
  }

  /** The route that holds the greatest key below `key`; the empty key means behind all keys. */
  findBefore(key: Uint8Array): Route | undefined {
    const at = key.length === 0 ? this.#routes.length - 1 : this.#lowerBound(key) - 1
    const route = this.#routes[at]
    if (route === undefined) return undefined
    const { endKey } = route.region
    const reaches = endKey.length === 0 || (key.length > 0 && compareBytes(key, endKey) <= 0)
    return reaches ? route : undefined
  }

  /**
   * Takes in what PD or a store told. Overlapping older routes leave; if an overlapping one is newer, the news is old.
   * @returns the route for the region as it now stands, or undefined when the news was old
   */
  insert(region: Region, leader: PeerRef | undefined): Route | undefined {
    const known = this.#byId.get(region.regionId)
    if (known !== undefined && epochIsStale(region.epoch, known.region.epoch)) return undefined
    if (known !== undefined && sameEpoch(known.region.epoch, region.epoch)) {
      if (leader !== undefined) known.setLeader(leader)
      return known
    }
    const { from, to } = this.#overlapping(region)
    for (let at = from; at < to; at++) {
      const other = this.#routes[at]!
      if (other !== known && other.region.epoch.version > region.epoch.version) return undefined
    }
    const route = new Route(region, leader)
    for (const gone of this.#routes.splice(from, to - from, route)) this.#forget(gone)
    if (known?.isCurrent) this.#remove(known)
    this.#byId.set(region.regionId, route)
    if (this.#routes.length > this.#routesMax) this.#reset(route)
    return route
  }

  /** Drops a route; a no-op for one that was replaced already. */
  invalidate(route: Route): void {
    if (route.isCurrent) this.#remove(route)
  }

  /** @returns false when the peer is no member of the region as we know it: the route is too old to be of use */
  switchLeader(route: Route, leader: PeerRef): boolean {
    const peer = peerOnStore(route.region, leader.storeId)
    if (peer === undefined || peer.peerId !== leader.peerId) return false
    route.setLeader(peer)
    return true
  }

  /** The link to a store broke: whatever it led is led by somebody else soon. */
  storeLost(storeId: StoreId): void {
    for (const route of this.#routes) if (route.leader?.storeId === storeId) route.setLeader(undefined)
  }

  #overlapping(region: Region): { from: number; to: number } {
    let from = this.#upperBound(region.startKey)
    const before = this.#routes[from - 1]
    if (before !== undefined && regionsOverlap(before.region, region)) from--
    const to = region.endKey.length === 0 ? this.#routes.length : this.#lowerBound(region.endKey)
    return { from, to: Math.max(from, to) }
  }

  #remove(route: Route): void {
    const at = this.#upperBound(route.region.startKey) - 1
    if (this.#routes[at] === route) this.#routes.splice(at, 1)
    this.#forget(route)
  }

  #forget(route: Route): void {
    route.isCurrent = false
    if (this.#byId.get(route.region.regionId) === route) this.#byId.delete(route.region.regionId)
  }

  #reset(keep: Route): void {
    for (const route of this.#routes) if (route !== keep) this.#forget(route)
    this.#routes = [keep]
  }

  /** Number of routes that start at or below `key`. */
  #upperBound(key: Uint8Array): number {
    let low = 0
    let high = this.#routes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.#routes[middle]!.region.startKey, key) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Number of routes that start below `key`. */
  #lowerBound(key: Uint8Array): number {
    let low = 0
    let high = this.#routes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.#routes[middle]!.region.startKey, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
