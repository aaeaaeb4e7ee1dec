import type { ServerError } from '../common/errors.js'
import type { PeerId, RegionId, StoreId, Ts } from '../common/ids.js'
import type { Region } from '../common/region.js'
import type {
  ClusterHealth, Member, Operator, RegionBeat, RegionRoute, Responses, SplitIds, StoreMeta, StoreStats,
} from '../wire/messages.js'

/** PD could not be asked or did not answer in time; nothing is known of the outcome unless the call is idempotent. */
export class PdUnavailableError extends Error {
  override readonly name = 'PdUnavailableError'
}

/** PD answered no, and would say so again: an unknown store id, a taken address, an operator for a stale epoch. */
export class PdRefusedError extends Error {
  override readonly name = 'PdRefusedError'
  constructor(readonly request: string, readonly error: ServerError) {
    super(`PD refuses ${request}: ${'reason' in error ? error.reason : error.kind}`)
  }
}

/** This life of a store, and the lives of its folder before that PD may know it by. */
export interface StoreBearer {
  readonly incarnation: number
  readonly previous: readonly number[]
}

/**
 * What a client or a store asks PD. Implemented by client/pd-client.ts over RPC (finds the leader among the members,
 * retries with back-off until the deadline) and by tests in memory. All methods reject with PdUnavailableError, or with
 * PdRefusedError where PD says no.
 */
export interface PdClient {
  /** 0n until the first contact. */
  readonly clusterId: bigint
  getMembers(): Promise<readonly Member[]>
  isBootstrapped(): Promise<boolean>
  /** @returns false when another store was faster. */
  bootstrap(store: StoreMeta, region: Region): Promise<boolean>
  /** @returns the first of `count` consecutive fresh ids. Unique over the whole cluster and all kinds of id. */
  allocIds(count: number): Promise<number>
  /** @param force  carries out a burial that loses replicas; takes an offline store back when it says `up` */
  putStore(store: StoreMeta, force?: boolean, bearer?: StoreBearer): Promise<void>
  getStores(): Promise<readonly StoreMeta[]>
  /** @returns all stores that are not tombstones, and whose disks are full. */
  /** @param incarnation  as it registered with */
  storeHeartbeat(stats: StoreStats, incarnation?: number): Promise<Responses['StoreHeartbeat']>
  regionHeartbeat(beats: readonly RegionBeat[]): Promise<readonly Operator[]>
  askSplit(region: Region, count: number): Promise<readonly SplitIds[]>
  reportSplit(regions: readonly Region[]): Promise<void>
  /** `key` is an engine key. */
  getRegion(key: Uint8Array): Promise<RegionRoute | undefined>
  /** The region that holds the greatest key < `key` (reverse scans). */
  getPreviousRegion(key: Uint8Array): Promise<RegionRoute | undefined>
  getRegionById(regionId: RegionId): Promise<RegionRoute | undefined>
  scanRegions(start: Uint8Array, end: Uint8Array, limit: number): Promise<readonly RegionRoute[]>
  /** `count` consecutive timestamps; the first is returned. Concurrent calls are batched. */
  tso(count: number): Promise<Ts>
  addOperator(operator: Operator): Promise<void>
  /** What the leader knows to be wrong now. */
  getHealth(): Promise<ClusterHealth>
  /** A lost PD member out, a new one awaited under its name. @returns the new member's id */
  replaceMember(name: string, peerUrls: readonly string[]): Promise<number>
  close(): void
}

export type { PeerId, StoreId }
