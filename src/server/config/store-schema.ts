import type { StoreConfig } from '../../store/api.js'
import { defaultStoreConfig } from '../../store/config.js'
import type { DoorLimits } from '../../transport/ws-network-door.js'
import { isAnyHost } from '../advertise.js'
import { logFields, securityFields, sizes } from './common-fields.js'
import { connectionFields, connectionSettings } from './connection-fields.js'
import type { Field, Rule, Schema } from './fields.js'
import type { ConfigValues } from './load.js'

const { kib, mib, gib } = sizes
const second = 1_000
const minute = 60 * second
const initial = defaultStoreConfig

const serverFields: readonly Field[] = [
  {
    key: 'server.addr', kind: 'address', default: '127.0.0.1:20160', flag: 'addr',
    doc: 'Where the store listens for clients and other stores. Port 0 takes any free one.',
  },
  {
    key: 'server.advertise-addr', kind: 'address', default: '', flag: 'advertise-addr',
    doc: 'The address others use to reach this store. Empty: the one it listens on.',
  },
  {
    key: 'server.status-addr', kind: 'address', default: '127.0.0.1:20180', flag: 'status-addr',
    doc: 'HTTP for /status, /ready, /metrics and /config. Port 0 takes any free one; empty: none.',
  },
  {
    key: 'server.advertise-status-addr', kind: 'address', default: '', flag: 'advertise-status-addr',
    doc: 'The status address others see. Empty: the one it listens on.',
  },
  {
    key: 'server.labels', kind: 'labels', default: {}, flag: 'labels',
    doc: 'Where this store stands, such as zone=a,host=b. PD spreads the replicas of a region over different labels.',
  },
  {
    key: 'server.graceful-shutdown-timeout', kind: 'duration', default: 20 * second, min: 0, max: 10 * minute,
    doc: 'How long a stop waits for leaderships to move to other stores. 0: it does not wait.',
  },
  {
    key: 'pd.endpoints', kind: 'addresses', default: ['127.0.0.1:2379'], flag: 'pd',
    doc: 'Client addresses of PD members; one that answers is enough, the others are learnt from it.',
  },
  {
    key: 'pd.register-after', kind: 'integer', default: 0, min: 0, max: 1_000,
    doc: 'A store with an empty folder asks PD for its id when PD knows so many stores, or after 5 s: stores that start together '
      + 'are numbered in an order that people know. 0: at once.',
  },
]

const storageFields: readonly Field[] = [
  {
    key: 'storage.data-dir', kind: 'text', default: './karst-data/store', flag: 'data-dir',
    doc: 'Folder of the data, the raft log and the identity of the store. One store, one folder.',
  },
  {
    key: 'storage.reserve-space', kind: 'size', default: initial.reserveDiskBytes, min: 0,
    doc: 'With less free space than this, writes are refused with DiskFull; reads and deletes go on. 0: no reserve.',
  },
  {
    key: 'storage.block-cache.capacity', kind: 'size', default: 64 * mib, min: mib, max: 1024 * gib,
    doc: 'Cache of uncompressed data blocks. More: fewer disk reads; it is most of the resident memory of a busy store.',
  },
  {
    key: 'rocksdb.write-buffer-size', kind: 'size', default: 32 * mib, min: mib, max: 4 * gib,
    doc: 'Memory of all column families before they are flushed. It bounds what a restart has to replay.',
  },
  {
    key: 'rocksdb.max-background-jobs', kind: 'integer', default: 2, min: 1, max: 64,
    doc: 'Threads for flushes and compactions.',
  },
  {
    key: 'raft-engine.target-file-size', kind: 'size', default: 64 * mib, min: mib, max: gib,
    doc: 'Size of a segment of the raft log.',
  },
  {
    key: 'raft-engine.cache-size', kind: 'size', default: 32 * mib, min: mib, max: 4 * gib,
    doc: 'Newest entries kept in memory for followers, over all regions.',
  },
]

const raftFields: readonly Field[] = [
  {
    key: 'raftstore.raft-base-tick-interval', kind: 'duration', default: initial.tickMs, min: 10, max: 10 * second,
    doc: 'The unit of raft time. Smaller: faster fail-over, more idle work.',
  },
  {
    key: 'raftstore.raft-heartbeat-ticks', kind: 'integer', default: initial.heartbeatTicks, min: 1, max: 100,
    doc: 'Ticks between two heartbeats of a leader.',
  },
  {
    key: 'raftstore.raft-election-timeout-ticks', kind: 'integer', default: initial.electionTicksMin, min: 3, max: 1_000,
    doc: 'A follower that heard nothing for this long to twice as long stands for election.',
  },
  {
    key: 'raftstore.vote-guard-ticks', kind: 'integer', default: initial.leaseTicks, min: 2, max: 1_000,
    doc: 'Who heard a leader less than this long ago gives no vote. It is what makes the lease safe.',
  },
  {
    key: 'raftstore.raft-store-max-leader-lease', kind: 'duration', default: initial.leaseMs, min: 1, max: 60 * second,
    doc: 'How long a confirmed leader reads without asking. 1ms: every read asks a quorum.',
  },
  {
    key: 'raftstore.raft-max-size-per-msg', kind: 'size', default: initial.raftMessageBytesMax, min: kib, max: 8 * mib,
    doc: 'Entries of one append message.',
  },
  {
    key: 'raftstore.raft-max-inflight-msgs', kind: 'integer', default: initial.raftInflightMessagesMax, min: 1, max: 16_384,
    doc: 'Append messages under way to one follower.',
  },
  {
    key: 'raftstore.raft-max-uncommitted-size', kind: 'size', default: initial.uncommittedBytesMax, min: 8 * mib, max: 4 * gib,
    doc: 'Entries of one region that are not committed yet; beyond it, writes get ServerIsBusy.',
  },
  {
    key: 'raftstore.proposals-pending-max', kind: 'integer', default: initial.proposalsPendingMax, min: 16, max: 1 << 20,
    doc: 'Writes of one store that wait for their answer; beyond it, writes get ServerIsBusy.',
  },
  {
    key: 'raftstore.apply-pending-size-limit', kind: 'size', default: initial.applyPendingBytesMax, min: mib, max: 16 * gib,
    doc: 'Committed entries of one store that the storage engine has not taken yet; beyond it raft hands out no more.',
  },
  {
    key: 'storage.scheduler-pending-write-threshold', kind: 'size', default: initial.writesPendingBytesMax, min: 16 * mib, max: 16 * gib,
    doc: 'Writes of one store that are queued or on their way into the engine; beyond it, writes get ServerIsBusy.',
  },
  {
    key: 'storage.flow-control.memtables-size-limit', kind: 'size', default: initial.memtableBytesMax, min: 8 * mib, max: 64 * gib,
    doc: 'At so many bytes in memtables the engine is behind, and writes get ServerIsBusy.',
  },
  {
    key: 'storage.flow-control.soft-pending-compaction-bytes-limit', kind: 'size', default: initial.compactionBytesMax, min: mib,
    max: 16_384 * gib, doc: 'The same for bytes that wait for compaction.',
  },
  {
    key: 'raftstore.raft-log-gc-tick-interval', kind: 'duration', default: initial.logGcTickMs, min: 100, max: 60 * minute,
    doc: 'How often the raft log is cut.',
  },
  {
    key: 'raftstore.raft-log-gc-count-limit', kind: 'integer', default: initial.logGcCountLimit, min: 1, max: 100_000_000,
    doc: 'Entries kept for a slow follower before it needs a snapshot.',
  },
  {
    key: 'raftstore.raft-log-gc-size-limit', kind: 'size', default: initial.logGcBytesLimit, min: mib, max: 64 * gib,
    doc: 'The same in bytes.',
  },
  {
    key: 'raftstore.idle-flush-interval', kind: 'duration', default: initial.idleFlushMs, min: second, max: 24 * 60 * minute,
    doc: 'A quiet engine is flushed after this time, so that no region pins the raft log.',
  },
]

const beatFields: readonly Field[] = [
  {
    key: 'raftstore.pd-heartbeat-tick-interval', kind: 'duration', default: initial.regionHeartbeatMs, min: 100, max: 10 * minute,
    doc: 'How often a leader tells PD of its region when nothing changes.',
  },
  {
    key: 'raftstore.pd-store-heartbeat-tick-interval', kind: 'duration', default: initial.storeHeartbeatMs, min: 100, max: minute,
    doc: 'How often a store tells PD that it lives.',
  },
  {
    key: 'raftstore.peer-stale-state-check-interval', kind: 'duration', default: initial.peerStaleMs, min: second, max: 24 * 60 * minute,
    doc: 'A replica that has no leader for this long asks PD whether it still belongs to its region.',
  },
  {
    key: 'server.snap-io-max-bytes-per-sec', kind: 'size', default: initial.snapshotBytesPerSecond, min: 64 * kib, max: 64 * gib,
    doc: 'Limit of snapshots sent by this store.',
  },
  {
    key: 'server.concurrent-send-snap-limit', kind: 'integer', default: initial.snapshotConcurrencyMax, min: 1, max: 64,
    doc: 'Snapshots under way at a time, each way.',
  },
  {
    key: 'server.snap-chunk-size', kind: 'size', default: initial.snapshotChunkBytes, min: 4 * kib, max: 4 * mib,
    doc: 'Rows of a snapshot that travel in one message.',
  },
]

const rules: readonly Rule[] = [
  {
    keys: ['server.addr', 'server.advertise-addr'],
    check: values => !isAnyHost(values.text('server.addr')) || values.text('server.advertise-addr') !== '' ? undefined
      : `server.addr ${values.text('server.addr')} is every address of this machine; say in server.advertise-addr how others reach it`,
  },
  {
    keys: ['server.advertise-addr'],
    check: values => isAnyHost(values.text('server.advertise-addr')) || values.text('server.advertise-addr').endsWith(':0')
      ? 'server.advertise-addr must be an address that others can reach' : undefined,
  },
  {
    keys: ['server.addr'], check: values => values.text('server.addr') === '' ? 'server.addr must not be empty' : undefined,
  },
  {
    keys: ['storage.data-dir'],
    check: values => values.text('storage.data-dir') === '' ? 'storage.data-dir must not be empty' : undefined,
  },
  {
    keys: ['pd.endpoints'], check: values => values.list('pd.endpoints').length === 0 ? 'pd.endpoints must name a PD member' : undefined,
  },
  {
    keys: ['raftstore.raft-election-timeout-ticks', 'raftstore.raft-heartbeat-ticks'],
    check: values => values.number('raftstore.raft-election-timeout-ticks') > values.number('raftstore.raft-heartbeat-ticks') ? undefined
      : 'raftstore.raft-election-timeout-ticks must exceed raftstore.raft-heartbeat-ticks',
  },
  {
    keys: ['raftstore.vote-guard-ticks', 'raftstore.raft-election-timeout-ticks'],
    check: values => values.number('raftstore.vote-guard-ticks') < values.number('raftstore.raft-election-timeout-ticks') ? undefined
      : 'raftstore.vote-guard-ticks must be less than raftstore.raft-election-timeout-ticks',
  },
  {
    keys: ['raftstore.vote-guard-ticks', 'raftstore.raft-heartbeat-ticks'],
    check: values => values.number('raftstore.vote-guard-ticks') > values.number('raftstore.raft-heartbeat-ticks') ? undefined
      : 'raftstore.vote-guard-ticks must exceed raftstore.raft-heartbeat-ticks',
  },
  {
    keys: ['raftstore.raft-store-max-leader-lease', 'raftstore.vote-guard-ticks', 'raftstore.raft-base-tick-interval'],
    check: values => {
      const guardMs = (values.number('raftstore.vote-guard-ticks') - 1) * values.number('raftstore.raft-base-tick-interval')
      return values.number('raftstore.raft-store-max-leader-lease') * 1.1 <= guardMs ? undefined
        : `raftstore.raft-store-max-leader-lease must be 10 % shorter than the vote guard without its first tick, ${guardMs}ms`
    },
  },
]

export const storeSchema: Schema = {
  program: 'karst store', fields: [
    ...serverFields, ...connectionFields('server.'), ...storageFields, ...raftFields, ...beatFields, ...securityFields, ...logFields,
  ],
  rules,
}

/** What a store node needs to know, in inner units. */
export interface StoreSettings {
  readonly address: string
  readonly advertiseAddress: string
  readonly statusAddress: string
  readonly advertiseStatusAddress: string
  readonly labels: Readonly<Record<string, string>>
  readonly pdAddresses: readonly string[]
  readonly registerAfter: number
  readonly dataDir: string
  /** '': the default place. */
  readonly clusterSecretFile: string
  readonly shutdownMsMax: number
  readonly connections: DoorLimits
  readonly blockCacheBytes: number
  readonly memtableBytes: number
  readonly backgroundJobs: number
  readonly logSegmentBytes: number
  readonly logCacheBytes: number
  readonly raft: StoreConfig
}

export function storeSettings(values: ConfigValues): StoreSettings {
  return {
    address: values.text('server.addr'), advertiseAddress: values.text('server.advertise-addr'),
    statusAddress: values.text('server.status-addr'), advertiseStatusAddress: values.text('server.advertise-status-addr'),
    labels: values.labels('server.labels'), pdAddresses: values.list('pd.endpoints'),
    registerAfter: values.number('pd.register-after'), dataDir: values.text('storage.data-dir'),
    clusterSecretFile: values.text('security.cluster-secret-file'),
    shutdownMsMax: values.number('server.graceful-shutdown-timeout'), connections: connectionSettings(values, 'server.'),
    blockCacheBytes: values.number('storage.block-cache.capacity'), memtableBytes: values.number('rocksdb.write-buffer-size'),
    backgroundJobs: values.number('rocksdb.max-background-jobs'), logSegmentBytes: values.number('raft-engine.target-file-size'),
    logCacheBytes: values.number('raft-engine.cache-size'), raft: raftConfig(values),
  }
}

function raftConfig(values: ConfigValues): StoreConfig {
  const raftstore = (name: string): number => values.number(`raftstore.${name}`)
  return {
    tickMs: raftstore('raft-base-tick-interval'), heartbeatTicks: raftstore('raft-heartbeat-ticks'),
    electionTicksMin: raftstore('raft-election-timeout-ticks'), leaseTicks: raftstore('vote-guard-ticks'),
    leaseMs: raftstore('raft-store-max-leader-lease'), raftMessageBytesMax: raftstore('raft-max-size-per-msg'),
    raftInflightMessagesMax: raftstore('raft-max-inflight-msgs'), uncommittedBytesMax: raftstore('raft-max-uncommitted-size'),
    proposalsPendingMax: raftstore('proposals-pending-max'), applyPendingBytesMax: raftstore('apply-pending-size-limit'),
    writesPendingBytesMax: values.number('storage.scheduler-pending-write-threshold'),
    memtableBytesMax: values.number('storage.flow-control.memtables-size-limit'),
    compactionBytesMax: values.number('storage.flow-control.soft-pending-compaction-bytes-limit'),
    logGcTickMs: raftstore('raft-log-gc-tick-interval'),
    logGcCountLimit: raftstore('raft-log-gc-count-limit'), logGcBytesLimit: raftstore('raft-log-gc-size-limit'),
    idleFlushMs: raftstore('idle-flush-interval'), snapshotChunkBytes: values.number('server.snap-chunk-size'),
    snapshotBytesPerSecond: values.number('server.snap-io-max-bytes-per-sec'),
    snapshotConcurrencyMax: values.number('server.concurrent-send-snap-limit'),
    regionHeartbeatMs: raftstore('pd-heartbeat-tick-interval'), storeHeartbeatMs: raftstore('pd-store-heartbeat-tick-interval'),
    peerStaleMs: raftstore('peer-stale-state-check-interval'), reserveDiskBytes: values.number('storage.reserve-space'),
  }
}
