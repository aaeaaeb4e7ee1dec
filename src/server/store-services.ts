import type { Env } from '../common/env.js'
import type { RequestError } from '../common/errors.js'
import { limits } from '../common/limits.js'
import { err, ok } from '../common/result.js'
import { createRawHandlers } from '../rawkv/raw-service.js'
import type { StoreApi } from '../store/api.js'
import type { RpcHandlers } from '../transport/api.js'

/** New regions that one SplitRegion request asks for. */
export const splitKeysMax = 1_024
/** Engine keys are memcomparable: 9 bytes for each 8 of the key, and the prefix of API v2. */
const engineKeyBytesMax = Math.ceil((limits.keyBytesMax + 4) / 8 + 1) * 9

/** Everything a store answers: raw keys, operators' requests, snapshots from other stores. */
export function storeHandlers(store: StoreApi, env: Env): RpcHandlers {
  return {
    ...createRawHandlers(store, env),
    Ping: (request, respond) => { respond(ok({ sentAtMs: request.sentAtMs })) },
    SplitRegion: ({ context, keys }, respond) => {
      const refusal = splitRefusal(keys)
      if (refusal !== undefined) respond(err(refusal))
      else store.splitRegion(context, keys, result => { respond(result.ok ? ok({ regions: result.value }) : result) })
    },
    TransferLeader: ({ context, toStoreId }, respond) => {
      store.transferLeader(context, toStoreId, error => { respond(error === undefined ? ok({}) : err(error)) })
    },
    ListPeers: ({ regionId }, respond) => { respond(ok({ peers: store.peers(regionId) })) },
    SnapshotBegin: ({ snapshotId, envelope, totalBytes }, respond) => {
      store.snapshots.begin(snapshotId, envelope, totalBytes, error => { respond(error === undefined ? ok({}) : err(error)) })
    },
    SnapshotChunk: ({ snapshotId, sequence, rows, crc32c }, respond) => {
      store.snapshots.chunk(snapshotId, sequence, rows, crc32c, error => { respond(error === undefined ? ok({}) : err(error)) })
    },
    SnapshotEnd: ({ snapshotId, chunks, crc32c }, respond) => {
      store.snapshots.end(snapshotId, chunks, crc32c, error => { respond(error === undefined ? ok({}) : err(error)) })
    },
  }
}

function splitRefusal(keys: readonly Uint8Array[]): RequestError | undefined {
  if (keys.length > splitKeysMax) return { kind: 'LimitExceeded', limit: 'splitKeysMax', actual: keys.length, max: splitKeysMax }
  const tooLong = keys.find(key => key.length > engineKeyBytesMax)
  if (tooLong) return { kind: 'LimitExceeded', limit: 'keyBytesMax', actual: tooLong.length, max: engineKeyBytesMax }
  return undefined
}
