import type { PeerRef, Region } from './region.js'
import type { RegionId, StoreId } from './ids.js'

/**
 * Why a store did not serve a request for a region. Names and fields are TiKV's (kvproto errorpb), so that the
 * gRPC door translates them one to one. A client may retry all of them except RaftEntryTooLarge;
 * none of them leaves the outcome of a write open.
 */
export type RegionError =
  | { readonly kind: 'NotLeader'; readonly regionId: RegionId; readonly leader: PeerRef | undefined }
  | { readonly kind: 'RegionNotFound'; readonly regionId: RegionId }
  | { readonly kind: 'KeyNotInRegion'; readonly regionId: RegionId; readonly key: Uint8Array
      readonly startKey: Uint8Array; readonly endKey: Uint8Array }
  | { readonly kind: 'EpochNotMatch'; readonly currentRegions: readonly Region[] }
  | { readonly kind: 'ServerIsBusy'; readonly reason: string; readonly backoffMs: number }
  | { readonly kind: 'StaleCommand' }
  | { readonly kind: 'StoreNotMatch'; readonly requestStoreId: StoreId; readonly actualStoreId: StoreId }
  | { readonly kind: 'RaftEntryTooLarge'; readonly regionId: RegionId; readonly entryBytes: number; readonly limitBytes: number }
  | { readonly kind: 'ReadIndexNotReady'; readonly regionId: RegionId; readonly reason: string }
  | { readonly kind: 'RegionNotInitialized'; readonly regionId: RegionId }
  | { readonly kind: 'MismatchPeerId'; readonly requestPeerId: number; readonly storePeerId: number }
  | { readonly kind: 'DiskFull'; readonly storeIds: readonly StoreId[]; readonly reason: string }

/** The outcome of a write is not known: it may have happened, now or later. Never retried by itself. */
export interface UndeterminedError {
  readonly kind: 'Undetermined'
  readonly reason: string
}

/** The request itself is wrong; no retry will help. `limit` names the limit that was passed. */
export type RequestError =
  | { readonly kind: 'LimitExceeded'; readonly limit: string; readonly actual: number; readonly max: number }
  | { readonly kind: 'InvalidArgument'; readonly reason: string }
  | { readonly kind: 'ClusterIdMismatch'; readonly requested: string; readonly actual: string }
  | { readonly kind: 'DeadlineExceeded' }
  | { readonly kind: 'Unimplemented'; readonly what: string }
  /** Who asks is not one that may: a request of stores from a client, or a store that speaks for another. */
  | { readonly kind: 'PermissionDenied'; readonly reason: string }

/** Everything a server may answer instead of a result. */
export type ServerError = RegionError | UndeterminedError | RequestError

export const regionErrorKinds: ReadonlySet<string> = new Set<RegionError['kind']>([
  'NotLeader', 'RegionNotFound', 'KeyNotInRegion', 'EpochNotMatch', 'ServerIsBusy', 'StaleCommand', 'StoreNotMatch',
  'RaftEntryTooLarge', 'ReadIndexNotReady', 'RegionNotInitialized', 'MismatchPeerId', 'DiskFull',
])

export function isRegionError(error: ServerError): error is RegionError {
  return regionErrorKinds.has(error.kind)
}

/** The world broke (disk, corruption). Ends at the request boundary or the process boundary, nowhere between. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  constructor(readonly code: 'io' | 'corruption' | 'noSpace' | 'closed' | 'invalid', message: string, options?: ErrorOptions) {
    super(message, options)
  }
}
