import { toHex } from '../common/bytes.js'
import type { RegionId, StoreId } from '../common/ids.js'
import type { PeerRef } from '../common/region.js'
import type { Operator } from '../wire/messages.js'
import type { RegionRecord } from './core/region-record.js'
import type { Leadership } from './leadership.js'
import type { PdNode } from './pd-node.js'
import { keyBytes } from './core/key-text.js'

/**
 * Plain objects under PD's names, for /pd/api/v1/…: stores, store/{id}, regions, region/id/{id},
 * region/key/{hex}, members, health, operators, cluster, status. A member that does not lead answers undefined
 * where only the leader knows; the HTTP face then points to the leader.
 */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

const mebibyte = 1 << 20
const regionsPerPageMax = 10_000
const hexKey = (text: string): string => toHex(keyBytes(text)).toUpperCase()

const roleNames = {
  voter: 'Voter', learner: 'Learner', incomingVoter: 'IncomingVoter', demotingVoter: 'DemotingVoter',
} as const
const stateNames = { up: 'Up', offline: 'Offline', tombstone: 'Tombstone' } as const

function peerView(peer: PeerRef): Json {
  const { peerId, storeId, role } = peer
  return { id: peerId, store_id: storeId, role_name: roleNames[role], is_learner: role === 'learner' }
}

function regionView(record: RegionRecord): Json {
  const peers = record.peers()
  const named = (id: number): Json => {
    const peer = peers.find(one => one.peerId === id)
    return peer === undefined ? { id } : peerView(peer)
  }
  return {
    id: record.regionId, start_key: hexKey(record.start), end_key: hexKey(record.end),
    epoch: { conf_ver: record.confVer, version: record.version }, peers: peers.map(peerView),
    leader: record.leaderId === 0 ? null : named(record.leaderId), term: record.term,
    down_peers: record.down.map(down => ({ peer: named(down.peerId), down_seconds: down.downSeconds })),
    pending_peers: record.pending.map(named),
    approximate_size: Math.ceil(record.approximateBytes / mebibyte), approximate_keys: record.approximateKeys,
  }
}

function storeView(node: PdNode, leadership: Leadership, storeId: StoreId): Json | undefined {
  const meta = node.state.stores.get(storeId)
  if (meta === undefined) return undefined
  const nowMs = node.env.clock.monotonicMs()
  const liveness = leadership.liveness.of(storeId, nowMs)
  const stats = leadership.liveness.statsOf(storeId)
  const counts = leadership.tree.countsOf(storeId)
  const silent = liveness === 'down' ? 'Down' : liveness === 'up' ? 'Up' : 'Disconnected'
  return {
    store: {
      id: meta.storeId, address: meta.address, status_address: meta.statusAddress, version: meta.version,
      labels: Object.entries(meta.labels).map(([key, value]) => ({ key, value })),
      state_name: meta.state === 'up' ? silent : stateNames[meta.state],
      start_timestamp: Math.floor(meta.startedAtWallMs / 1000),
    },
    status: {
      capacity: stats?.capacityBytes ?? 0, available: stats?.availableBytes ?? 0, used_size: stats?.usedBytes ?? 0,
      leader_count: counts.leaders, region_count: counts.regions, is_busy: stats?.isBusy ?? false,
      silent_ms: Math.round(leadership.liveness.silentMs(storeId, nowMs)),
    },
  }
}

export function viewStores(node: PdNode): Json | undefined {
  const { leadership } = node
  if (leadership === undefined) return undefined
  const stores: Json[] = []
  for (const id of node.state.stores.keys()) {
    const view = storeView(node, leadership, id)
    if (view !== undefined) stores.push(view)
  }
  return { count: stores.length, stores }
}

/** null: there is no such store. */
export function viewStore(node: PdNode, storeId: StoreId): Json | undefined {
  return node.leadership && (storeView(node, node.leadership, storeId) ?? null)
}

/** The first `limit` regions from `startKey` on, in key order. `count` is that of all regions. */
export function viewRegions(node: PdNode, startKey: Uint8Array, limit = regionsPerPageMax): Json | undefined {
  const { leadership } = node
  if (leadership === undefined) return undefined
  const page = leadership.tree.scan(startKey, new Uint8Array(0), Math.min(limit, regionsPerPageMax))
  return { count: leadership.tree.size, regions: page.map(regionView) }
}

/** null: not known. */
export function viewRegion(
  node: PdNode, by: { readonly id: RegionId } | { readonly key: Uint8Array },
): Json | undefined {
  const { leadership } = node
  if (leadership === undefined) return undefined
  const record = 'id' in by ? leadership.tree.byId(by.id) : leadership.tree.byKey(by.key)
  return record === undefined ? null : regionView(record)
}

/** Why a region has, or has not, an operator. */
export function viewExplain(node: PdNode, regionId: RegionId): Json | undefined {
  const { leadership } = node
  if (leadership === undefined) return undefined
  const record = leadership.tree.byId(regionId)
  if (record === undefined) return null
  const operator = leadership.operators.of(regionId)
  const operatorText = operator === undefined ? null : operatorView(operator)
  return { region: regionView(record), replicas: leadership.scheduler.explain(record), operator: operatorText }
}

function operatorView(operator: Operator): Json {
  const { confVer, version } = operator.epoch
  const place = { region_id: operator.regionId, epoch: { conf_ver: confVer, version } }
  return operator.kind === 'splitRegion'
    ? { kind: operator.kind, ...place, keys: operator.keys.map(key => toHex(key).toUpperCase()) }
    : { kind: operator.kind, ...place, peer: peerView(operator.peer) }
}

export function viewOperators(node: PdNode): Json | undefined {
  return node.leadership?.operators.all().map(({ operator, source }) => ({ operator: operatorView(operator), source }))
}

export function viewMembers(node: PdNode): Json {
  const members = node.members()
  const view = (member: (typeof members)[number]): Json => ({
    name: member.name, member_id: member.memberId, client_urls: member.clientUrls, peer_urls: member.peerUrls,
  })
  const leader = members.find(member => member.isLeader)
  return {
    header: { cluster_id: node.clusterId.toString() }, members: members.map(view),
    leader: leader === undefined ? null : view(leader), etcd_leader: leader === undefined ? null : view(leader),
  }
}

/** `health` of others is what this member can tell: a member of a group that has a leader. */
export function viewHealth(node: PdNode): Json {
  const hasLeader = node.describe().leader !== 0
  return node.members().map(member => ({
    name: member.name, member_id: member.memberId, client_urls: member.clientUrls, health: hasLeader,
  }))
}

export function viewCluster(node: PdNode): Json {
  return {
    id: node.clusterId.toString(), max_peer_count: node.config.maxReplicas, is_bootstrapped: node.state.isBootstrapped,
    region_count: node.leadership?.tree.size ?? 0, store_count: node.state.stores.size,
  }
}

export function viewStatus(node: PdNode): Json {
  const raft = node.describe()
  const tso = node.leadership?.tso
  return {
    raft: { ...raft }, is_leader: node.isLeader, has_lease: node.hasLease,
    tso: tso === undefined
      ? null
      : { physical_ms: tso.physicalMs, bound_ms: tso.boundMs, clock_ahead_ms: tso.forwardJumpMs },
  }
}
