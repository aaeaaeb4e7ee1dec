import { unreachable } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import type { ServerError } from '../common/errors.js'
import type { RegionId, StoreId } from '../common/ids.js'
import { BodyDamage } from './body-reader.js'
import type { FlatOperator, FlatServerError } from './generated/codec.js'
import type { Operator } from './messages.js'

/**
 * Unions travel as one table with `kind` and the fields of that kind. Absent fields read as zero or empty, so that
 * a sparse writer is understood; what a kind cannot do without is BadBody.
 */
const noError: Omit<FlatServerError, 'kind'> = {
  regionId: undefined, leader: undefined, key: undefined, startKey: undefined, endKey: undefined, currentRegions: undefined,
  reason: undefined, backoffMs: undefined, requestStoreId: undefined, actualStoreId: undefined, entryBytes: undefined,
  limitBytes: undefined, requestPeerId: undefined, storePeerId: undefined, storeIds: undefined, limit: undefined,
  actual: undefined, max: undefined, requested: undefined, what: undefined, actualValue: undefined,
}

export function flattenServerError(error: ServerError): FlatServerError {
  if (error.kind !== 'LimitExceeded') return { ...noError, ...error }
  return { ...noError, kind: error.kind, limit: error.limit, actualValue: error.actual, max: error.max }
}

export function restoreServerError(flat: FlatServerError): ServerError {
  const { kind } = flat
  const regionId = (flat.regionId ?? 0) as RegionId
  const reason = flat.reason ?? ''
  switch (kind) {
    case 'NotLeader': return { kind, regionId, leader: flat.leader }
    case 'RegionNotFound':
    case 'RegionNotInitialized': return { kind, regionId }
    case 'KeyNotInRegion': return {
      kind, regionId, key: flat.key ?? emptyBytes, startKey: flat.startKey ?? emptyBytes, endKey: flat.endKey ?? emptyBytes,
    }
    case 'EpochNotMatch': return { kind, currentRegions: flat.currentRegions ?? [] }
    case 'ServerIsBusy': return { kind, reason, backoffMs: flat.backoffMs ?? 0 }
    case 'StaleCommand':
    case 'DeadlineExceeded': return { kind }
    case 'StoreNotMatch': return {
      kind, requestStoreId: (flat.requestStoreId ?? 0) as StoreId, actualStoreId: (flat.actualStoreId ?? 0) as StoreId,
    }
    case 'RaftEntryTooLarge': return { kind, regionId, entryBytes: flat.entryBytes ?? 0, limitBytes: flat.limitBytes ?? 0 }
    case 'ReadIndexNotReady': return { kind, regionId, reason }
    case 'MismatchPeerId': return { kind, requestPeerId: flat.requestPeerId ?? 0, storePeerId: flat.storePeerId ?? 0 }
    case 'DiskFull': return { kind, storeIds: (flat.storeIds ?? []) as StoreId[], reason }
    case 'Undetermined':
    case 'InvalidArgument':
    case 'PermissionDenied': return { kind, reason }
    case 'LimitExceeded': return { kind, limit: flat.limit ?? '', actual: flat.actualValue ?? 0, max: flat.max ?? 0 }
    case 'ClusterIdMismatch': return { kind, requested: flat.requested ?? '', actual: flat.actual ?? '' }
    case 'Unimplemented': return { kind, what: flat.what ?? '' }
    default: return unreachable(kind, 'error kind')
  }
}

export function flattenOperator(operator: Operator): FlatOperator {
  const { kind, regionId, epoch } = operator
  if (operator.kind === 'splitRegion') return { kind, regionId, epoch, peer: undefined, keys: operator.keys, isForced: false }
  return { kind, regionId, epoch, peer: operator.peer, keys: undefined, isForced: operator.isForced === true }
}

export function restoreOperator(flat: FlatOperator): Operator {
  const { kind, epoch, peer } = flat
  const regionId = (flat.regionId ?? 0) as RegionId
  if (epoch === undefined) throw new BodyDamage('operator.epoch')
  if (kind === 'splitRegion') return { kind, regionId, epoch, keys: flat.keys ?? [] }
  if (peer === undefined) throw new BodyDamage('operator.peer')
  return { kind, regionId, epoch, peer, ...(flat.isForced && { isForced: true }) }
}
