import type { StoreId } from '../common/ids.js'
import type { PeerRef } from '../common/region.js'
import type { ClusterHealth, HealthProblem, StoreHealth, StoreStats } from '../wire/messages.js'
import type { PdConfig } from './config.js'
import type { ClusterState } from './core/cluster-state.js'
import { problemsMax, RegionCensus } from './core/region-census.js'
import type { RegionCounts, RegionVerdict } from './core/region-census.js'
import type { RegionRecord } from './core/region-record.js'
import type { RegionTree } from './core/region-tree.js'
import type { StoreLiveness } from './core/store-liveness.js'
import { isLowSpace } from './core/store-space.js'

export interface HealthPort {
  readonly config: PdConfig
  readonly tree: RegionTree
  readonly liveness: StoreLiveness
  readonly state: () => ClusterState
  readonly nowMs: () => number
}

/** Regions counted in one go: some milliseconds. */
const regionsPerStep = 4_096
/** A leader whose report is this many of its intervals old is none any more. */
const beatsMissedMax = 3
/** Of a store that does not tell its own. */
const regionHeartbeatMsDefault = 10_000
/** Wall clocks serve times to live, in seconds; a difference beyond this is told. */
const clockAheadMsMax = 2_000

/** What PD's leader concludes of heartbeats: who leads, who lives, and what is wrong now. */
export class Health {
  readonly #port: HealthPort
  readonly #census = new RegionCensus()

  constructor(port: HealthPort) { this.#port = port }

  get counts(): Readonly<RegionCounts> { return this.#census.counts }
  get countedMsAgo(): number { return Math.max(0, Math.round(this.#port.nowMs() - this.#census.countedAtMs)) }

  onTick(): void { this.#count() }

  #count(): void {
    const { tree, config } = this.#port
    this.#census.step(tree, regionsPerStep, config.maxReplicas, this.#port.state().isBootstrapped, region => this.#judge(region),
      this.#port.nowMs())
  }

  /** undefined: nobody, or one whom no store confirms any more: buried, silent, or without a report for long. */
  leaderOf(region: RegionRecord): PeerRef | undefined {
    const leader = region.leader
    if (leader === undefined || !this.#isThere(leader.storeId)) return undefined
    const intervalMs = this.#port.liveness.statsOf(leader.storeId)?.regionHeartbeatMs ?? 0
    const msMax = Math.max(this.#port.config.storeDisconnectMs,
      beatsMissedMax * (intervalMs === 0 ? regionHeartbeatMsDefault : intervalMs))
    return this.#port.nowMs() - region.heardAtMs < msMax ? leader : undefined
  }

  #isThere(storeId: StoreId): boolean {
    const state = this.#port.state().stores.get(storeId)?.state
    if (state === undefined || state === 'tombstone') return false
    const liveness = this.#port.liveness.of(storeId, this.#port.nowMs())
    return liveness === 'up' || liveness === 'unheard'
  }

  #judge(region: RegionRecord): RegionVerdict {
    const peers = region.peers()
    const leader = this.leaderOf(region)
    const isReportedDown = (peer: PeerRef): boolean => region.down.some(down => down.peerId === peer.peerId)
    const down = peers.filter(peer => !this.#isThere(peer.storeId) || isReportedDown(peer))
    const last = region.leader
    const agoMs = this.#port.nowMs() - region.heardAtMs
    return {
      hasLeader: leader !== undefined, voters: peers.filter(peer => peer.role === 'voter').length,
      learners: peers.filter(peer => peer.role === 'learner').length, isPending: region.pending.length > 0,
      downStores: down.map(peer => peer.storeId),
      leaderText: last === undefined ? 'none has reported' : `store ${last.storeId} was the last, ${Math.round(agoMs / 1_000)} s ago`,
    }
  }

  // —— the whole

  describe(): ClusterHealth {
    // What is counted in one go is counted now.
    if (this.#port.tree.size <= regionsPerStep) this.#count()
    const stores = this.stores()
    const ofStores = this.#storeProblems(stores)
    const { counts, problems } = this.#census
    return {
      ...counts, countedMsAgo: this.countedMsAgo, stores,
      problems: [...ofStores, ...problems].slice(0, problemsMax), problemCount: ofStores.length + this.#census.problemCount,
    }
  }

  /** All but those that are buried. */
  stores(): readonly StoreHealth[] {
    const { liveness, tree, config } = this.#port
    const nowMs = this.#port.nowMs()
    const stores: StoreHealth[] = []
    for (const { storeId, state } of this.#port.state().stores.values()) {
      if (state === 'tombstone') continue
      const stats = liveness.statsOf(storeId) ?? neverHeard(storeId)
      stores.push({
        storeId, liveness: liveness.of(storeId, nowMs), silentMs: Math.round(liveness.silentMs(storeId, nowMs)),
        isLowSpace: isLowSpace(stats, tree.countsOf(storeId).regions, config), clockAheadMs: liveness.clockAheadMs(storeId), stats,
      })
    }
    return stores
  }

  #storeProblems(stores: readonly StoreHealth[]): readonly HealthProblem[] {
    const problems: HealthProblem[] = []
    const versions = new Map<string, StoreId[]>()
    for (const { storeId, liveness, silentMs, isLowSpace: isLow, clockAheadMs, stats } of stores) {
      const add = (kind: string, text: string): void => { problems.push({ kind, subject: storeId, text: `store ${storeId} ${text}` }) }
      const meta = this.#port.state().stores.get(storeId)
      versions.set(meta?.version ?? '', [...versions.get(meta?.version ?? '') ?? [], storeId])
      if (meta?.state === 'offline') add('store-offline', 'is offline: its replicas are being moved away')
      if (liveness === 'unheard') add('store-unheard', `has not been heard since PD's leader began, ${Math.round(silentMs / 1_000)} s ago`)
      else if (liveness !== 'up') add(`store-${liveness}`, `is ${liveness}: silent for ${Math.round(silentMs / 1_000)} s`)
      const freeText = `${Math.round(stats.availableBytes / 2 ** 20)} MiB of ${Math.round(stats.capacityBytes / 2 ** 20)} MiB are free`
      if (stats.isDiskFull) add('store-disk-full', `has a full disk: ${freeText}`)
      else if (isLow) add('store-low-space', `is short of space: ${freeText}`)
      if (Math.abs(clockAheadMs) > clockAheadMsMax) {
        const way = clockAheadMs > 0 ? 'ahead of' : 'behind'
        add('store-clock', `has a clock that is ${Math.abs(clockAheadMs / 1_000).toFixed(1)} s ${way} PD's`)
      }
    }
    if (versions.size > 1) {
      const text = [...versions].map(([version, ids]) => `${version} on store ${ids.join(', ')}`).join('; ')
      problems.push({ kind: 'versions', subject: 0, text: `stores run different versions: ${text}` })
    }
    return problems
  }
}

const neverHeard = (storeId: StoreId): StoreStats => ({
  storeId, capacityBytes: 0, availableBytes: 0, usedBytes: 0, regionCount: 0, leaderCount: 0, isBusy: false, snapshotsReceiving: 0,
  snapshotsSending: 0, isDiskFull: false, reserveBytes: 0, wallMs: 0, regionHeartbeatMs: 0,
})
