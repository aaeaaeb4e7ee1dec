import type { ServerError } from '../common/errors.js'
import { err } from '../common/result.js'
import type { RpcHandler, RpcHandlers } from '../transport/api.js'
import type { RpcName } from '../wire/messages.js'

const starting = err<ServerError>({ kind: 'ServerIsBusy', reason: 'the server is starting', backoffMs: 50 })

/** What a store and a PD member serve. */
export const storeRequests = [
  'RawGet', 'RawPut', 'RawDelete', 'RawBatchGet', 'RawBatchPut', 'RawBatchDelete', 'RawScan', 'RawDeleteRange', 'RawCas', 'RawGetTtl',
  'SplitRegion', 'TransferLeader', 'ListPeers', 'SnapshotBegin', 'SnapshotChunk', 'SnapshotEnd', 'Ping',
] as const satisfies readonly RpcName[]
export const pdRequests = [
  'GetMembers', 'IsBootstrapped', 'Bootstrap', 'AllocId', 'PutStore', 'GetStores', 'StoreHeartbeat', 'RegionHeartbeat', 'AskSplit',
  'ReportSplit', 'GetRegion', 'GetPreviousRegion', 'GetRegionById', 'ScanRegions', 'Tso', 'AddOperator', 'GetHealth',
  'JoinMember', 'ReplaceMember', 'Ping',
] as const satisfies readonly RpcName[]

/**
 * A server listens before it can serve: a taken address is found before anybody hears of us, and the port that 0 stands for
 * is known when others are told. Until `open`, requests are asked to come again.
 */
export class RpcDoor {
  #inner: RpcHandlers | undefined
  readonly handlers: RpcHandlers

  constructor(names: readonly RpcName[]) {
    this.handlers = Object.fromEntries(names.map(name => [name, this.#guarded(name)]))
  }

  /** @param inner answers all the names that were given */
  open(inner: RpcHandlers): void { this.#inner = inner }

  #guarded<N extends RpcName>(name: N): RpcHandler<N> {
    return (request, respond, context) => {
      const inner = this.#inner
      if (inner === undefined) return respond(starting)
      const handler = inner[name] as RpcHandler<N> | undefined
      if (handler === undefined) respond(err({ kind: 'Unimplemented', what: name }))
      else handler(request, respond, context)
    }
  }
}
