import { defaultPdConfig, parseInitialCluster } from '../../pd/config.js'
import type { PdConfig } from '../../pd/config.js'
import type { DoorLimits } from '../../transport/ws-network-door.js'
import { isAnyHost } from '../advertise.js'
import { logFields, securityFields } from './common-fields.js'
import { connectionFields, connectionSettings } from './connection-fields.js'
import { isAddress, withoutScheme } from './fields.js'
import type { Field, Rule, Schema } from './fields.js'
import type { ConfigValues } from './load.js'

const second = 1_000
const minute = 60 * second
const initial = defaultPdConfig

const memberFields: readonly Field[] = [
  { key: 'name', kind: 'text', default: 'pd', flag: 'name', doc: 'Name of this member; its place in initial-cluster.' },
  {
    key: 'client-urls', kind: 'urls', default: ['http://127.0.0.1:2379'], flag: 'client-urls',
    doc: 'Where clients and stores reach this member. Port 0: any free one.',
  },
  {
    key: 'advertise-client-urls', kind: 'urls', default: [], flag: 'advertise-client-urls',
    doc: 'The client URLs that others are told. Empty: client-urls.',
  },
  {
    key: 'peer-urls', kind: 'urls', default: ['http://127.0.0.1:2380'], flag: 'peer-urls',
    doc: 'Where other members reach this one. Not listened on while there is only one member.',
  },
  {
    key: 'status-addr', kind: 'address', default: '', flag: 'status-addr',
    doc: 'HTTP for the dashboard, /status, /ready, /metrics and /pd/api/v1. Empty: the address of the peer URL while this member is '
      + 'alone, else the host of the first client URL and the port of the peer URL plus 1000.',
  },
  {
    key: 'initial-cluster', kind: 'text', default: '', flag: 'initial-cluster',
    doc: 'All members: pd-1=http://10.0.0.1:2380,pd-2=http://10.0.0.2:2380. Empty: this one alone.',
  },
  {
    key: 'join', kind: 'urls', default: [], flag: 'join',
    doc: 'Client URLs of members of a group that awaits this one (karst ctl member replace), instead of initial-cluster.',
  },
  {
    key: 'data-dir', kind: 'text', default: './karst-data/pd', flag: 'data-dir',
    doc: 'Folder of the state of PD. One member, one folder.',
  },
]

const stateFields: readonly Field[] = [
  { key: 'tick-interval', kind: 'duration', default: initial.tickMs, min: 10, max: 10 * second, doc: 'The unit of raft time of PD.' },
  {
    key: 'election-interval', kind: 'duration', default: initial.electionTicks * initial.tickMs, min: 50, max: 10 * minute,
    doc: 'A member that heard nothing for this long to twice as long stands for election.',
  },
  {
    key: 'lease', kind: 'duration', default: initial.leaseMs, min: 10, max: minute,
    doc: 'How long a confirmed leader answers without asking the others.',
  },
  {
    key: 'tso-save-interval', kind: 'duration', default: initial.saveIntervalMs, min: 100, max: minute,
    doc: 'How far the durable bound of timestamps runs ahead of the clock.',
  },
  {
    key: 'schedule.max-store-down-time', kind: 'duration', default: initial.maxStoreDownMs, min: second, max: 7 * 24 * 60 * minute,
    doc: 'Silence of a store after which its replicas are rebuilt elsewhere.',
  },
  {
    key: 'schedule.replica-schedule-limit', kind: 'integer', default: initial.replicaScheduleLimit, min: 0, max: 10_000,
    doc: 'Replica changes under way at a time. 0: none, PD repairs nothing.',
  },
  {
    key: 'schedule.max-pending-peer-count', kind: 'integer', default: initial.maxPendingPeers, min: 1, max: 10_000,
    doc: 'Replicas that are made on one store at a time. More than it takes snapshots at a time only wait there.',
  },
  {
    key: 'schedule.low-space-ratio', kind: 'ratio', default: initial.lowSpaceRatio, min: 0.01, max: 1,
    doc: 'A store whose disk is fuller than this gets no more replicas; one with few regions and 8 GiB left still does.',
  },
  {
    key: 'schedule.learner-timeout', kind: 'duration', default: initial.learnerTimeoutMs, min: second, max: 24 * 60 * minute,
    doc: 'A new replica that gets no further for so long is taken away, and another store is tried.',
  },
  {
    key: 'schedule.patrol-region-interval', kind: 'duration', default: initial.patrolMs, min: 10, max: minute,
    doc: 'How often PD looks for lost stores and stale operators.',
  },
  {
    key: 'replication.max-replicas', kind: 'integer', default: initial.maxReplicas, min: 1, max: 15,
    doc: 'Replicas of each region. Odd numbers; 3 survives the loss of one store, 5 of two.',
  },
  {
    key: 'replication.location-labels', kind: 'list', default: initial.locationLabels,
    doc: 'Labels of stores, most general first; replicas of a region are put where these differ.',
  },
]

const rules: readonly Rule[] = [
  {
    keys: ['client-urls', 'advertise-client-urls'],
    check: values => {
      const any = values.list('client-urls').find(url => isAnyHost(withoutScheme(url)))
      return any === undefined || values.list('advertise-client-urls').length > 0 ? undefined
        : `client-urls ${any} is every address of this machine; say in advertise-client-urls how others reach it`
    },
  },
  { keys: ['client-urls'], check: values => values.list('client-urls').length === 0 ? 'client-urls must not be empty' : undefined },
  { keys: ['peer-urls'], check: values => values.list('peer-urls').length === 0 ? 'peer-urls must not be empty' : undefined },
  { keys: ['data-dir'], check: values => values.text('data-dir') === '' ? 'data-dir must not be empty' : undefined },
  { keys: ['name'], check: values => /^[\w.-]+$/.test(values.text('name')) ? undefined : 'name must be of letters, digits and _ . -' },
  {
    keys: ['initial-cluster', 'join'],
    check: values => values.text('initial-cluster') === '' || values.list('join').length === 0 ? undefined
      : 'initial-cluster begins a group and join enters one: give one of them',
  },
  { keys: ['initial-cluster', 'name'], check: values => initialClusterMistake(values.text('initial-cluster'), values.text('name')) },
  {
    keys: ['election-interval', 'tick-interval'],
    // Not shorter than the vote guard, which is counted in ticks.
    check: values => values.number('election-interval') >= values.number('tick-interval') * initial.leaseTicks ? undefined
      : `election-interval must be at least ${initial.leaseTicks} tick-intervals`,
  },
  {
    keys: ['lease', 'tick-interval'],
    check: values => (initial.leaseTicks - 1) * values.number('tick-interval') >= values.number('lease') * 1.1 ? undefined
      : `lease must be 10 % shorter than ${initial.leaseTicks - 1} tick-intervals`,
  },
  {
    keys: ['tso-save-interval', 'tick-interval'],
    check: values => values.number('tso-save-interval') >= 4 * values.number('tick-interval') ? undefined
      : 'tso-save-interval must be at least four tick-intervals',
  },
  {
    keys: ['schedule.max-store-down-time'],
    check: values => values.number('schedule.max-store-down-time') >= initial.storeDisconnectMs ? undefined
      : `schedule.max-store-down-time must be at least ${initial.storeDisconnectMs / 1000}s`,
  },
]

function initialClusterMistake(text: string, name: string): string | undefined {
  if (text === '') return undefined
  const parsed = parseInitialCluster(text)
  if (!parsed.ok) return parsed.error
  const bad = parsed.value.flatMap(member => member.peerUrls).find(url => !isAddress(withoutScheme(url)))
  if (bad !== undefined) return `initial-cluster: "${bad}" is not a URL http://host:port`
  const names = parsed.value.map(member => member.name)
  return names.includes(name) ? undefined : `initial-cluster names ${names.join(', ')}, but this member is called ${name}`
}

export const pdSchema: Schema = {
  program: 'karst pd', fields: [...memberFields, ...connectionFields(''), ...stateFields, ...securityFields, ...logFields], rules,
}

export interface PdSettings {
  readonly name: string
  readonly clientUrls: readonly string[]
  readonly advertiseClientUrls: readonly string[]
  readonly peerUrls: readonly string[]
  readonly join: readonly string[]
  readonly statusAddress: string
  readonly initialCluster: string
  readonly dataDir: string
  /** '': the default place. */
  readonly clusterSecretFile: string
  readonly connections: DoorLimits
  readonly config: Partial<PdConfig>
}

export function pdSettings(values: ConfigValues): PdSettings {
  const tickMs = values.number('tick-interval')
  return {
    name: values.text('name'), clientUrls: values.list('client-urls'), advertiseClientUrls: values.list('advertise-client-urls'),
    peerUrls: values.list('peer-urls'), join: values.list('join'), statusAddress: values.text('status-addr'),
    initialCluster: values.text('initial-cluster'), dataDir: values.text('data-dir'),
    clusterSecretFile: values.text('security.cluster-secret-file'),
    connections: connectionSettings(values, ''),
    config: {
      tickMs, electionTicks: Math.round(values.number('election-interval') / tickMs), leaseMs: values.number('lease'),
      saveIntervalMs: values.number('tso-save-interval'), maxStoreDownMs: values.number('schedule.max-store-down-time'),
      replicaScheduleLimit: values.number('schedule.replica-schedule-limit'), patrolMs: values.number('schedule.patrol-region-interval'),
      maxPendingPeers: values.number('schedule.max-pending-peer-count'), lowSpaceRatio: values.number('schedule.low-space-ratio'),
      learnerTimeoutMs: values.number('schedule.learner-timeout'),
      maxReplicas: values.number('replication.max-replicas'), locationLabels: values.list('replication.location-labels'),
    },
  }
}
