/**
 * karst as a library: a client for a running cluster, and a whole cluster inside the caller's process for tests.
 *
 *   import { connect, startCluster } from 'karst'
 *
 *   const cluster = await startCluster()
 *   const client = await connect({ pd: cluster.pdAddresses })
 *   await client.raw.put('hello', 'world')
 */
export { connect } from './server/connection.js'
export type { ConnectOptions } from './server/connection.js'
export { startCluster } from './server/cluster.js'
export type { ClientSettings, Cluster, ClusterOptions, ClusterStore } from './server/cluster.js'
export type { KarstClient } from './client/client.js'
export type { CasOptions, PutOptions, PutPair, RawClient, ReadOptions, ScanOptions, Swap, WriteOptions } from './client/raw-client.js'
export type { Bytes, KeyRangeInput } from './client/arguments.js'
export {
  AbortedError, ClosedError, ClusterMismatchError, InvalidArgumentError, KarstError, LimitExceededError, PartialWriteError,
  PdUnreachableError, PermissionDeniedError, TimeoutError, UndeterminedError, UnsupportedError,
} from './client/errors.js'
export type { KarstErrorCode } from './client/errors.js'
export { StartupError } from './server/startup-error.js'
export type { StartupCode } from './server/startup-error.js'
export { limits } from './common/limits.js'
