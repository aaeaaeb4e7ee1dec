import type { RequestError } from '../common/errors.js'
import type { Hello, Requests, RpcName } from '../wire/messages.js'

/** Who may ask for what. This is the only place that decides it; what a port serves at all is server/rpc-door.ts. */

export type NodeRole = Hello['role']

interface Rule<N extends RpcName> {
  readonly roles: readonly NodeRole[]
  /** A store may speak for itself alone. @returns why not; asked of connections that name a store */
  readonly refuses?: (request: Requests[N], nodeId: number, role: NodeRole) => string | undefined
}

/** Reads, and what people and tools ask for: a role more would add nothing to what a client may do. */
const anybody = 'anybody'
const stores = { roles: ['store'] } as const
const isOther = (what: string, storeId: number, nodeId: number): string | undefined =>
  storeId === nodeId ? undefined : `${what} of store ${storeId} came from store ${nodeId}`
/** A store that has no id yet is nobody's namesake: PD finds out whether the id was given to it. */
const isOtherButNew = (what: string, storeId: number, nodeId: number): string | undefined =>
  nodeId === 0 ? undefined : isOther(what, storeId, nodeId)
const hasNoId = (nodeId: number): string | undefined => nodeId === 0 ? 'a store that has no id yet may only join' : undefined
/** SnapshotSender names them so: what one store began, no other goes on with. */
const isOthersSnapshot = (snapshotId: string, nodeId: number): string | undefined =>
  snapshotId.startsWith(`${nodeId}-`) ? undefined : `a snapshot of another store came from store ${nodeId}`

const rules: { readonly [N in RpcName]: Rule<N> | typeof anybody } = {
  RawGet: anybody, RawPut: anybody, RawDelete: anybody, RawBatchGet: anybody, RawBatchPut: anybody, RawBatchDelete: anybody,
  RawScan: anybody, RawDeleteRange: anybody, RawCas: anybody, RawGetTtl: anybody,
  SplitRegion: anybody, TransferLeader: anybody, ListPeers: anybody,
  SnapshotBegin: {
    ...stores, refuses: ({ envelope, snapshotId }, nodeId) =>
      hasNoId(nodeId) ?? isOther('a snapshot', envelope.from.storeId, nodeId) ?? isOthersSnapshot(snapshotId, nodeId),
  },
  SnapshotChunk: { ...stores, refuses: ({ snapshotId }, nodeId) => hasNoId(nodeId) ?? isOthersSnapshot(snapshotId, nodeId) },
  SnapshotEnd: { ...stores, refuses: ({ snapshotId }, nodeId) => hasNoId(nodeId) ?? isOthersSnapshot(snapshotId, nodeId) },
  GetMembers: anybody, IsBootstrapped: anybody, GetStores: anybody, GetRegion: anybody, GetPreviousRegion: anybody,
  GetRegionById: anybody, ScanRegions: anybody, Tso: anybody, AddOperator: anybody, GetHealth: anybody, Ping: anybody,
  ReplaceMember: anybody, JoinMember: { roles: ['pd'] },
  Bootstrap: { ...stores, refuses: ({ store }, nodeId) => isOtherButNew('Bootstrap', store.storeId, nodeId) },
  AllocId: stores,
  PutStore: {
    // An operator says what shall become of a store, and says nothing else of it.
    roles: ['store', 'client'], refuses: ({ store, force }, nodeId, role) => {
      if (role === 'store') return isOtherButNew('PutStore', store.storeId, nodeId)
      return store.state === 'up' && !force ? 'only a store can say of itself that it is up' : undefined
    },
  },
  StoreHeartbeat: { ...stores, refuses: ({ stats }, nodeId) => hasNoId(nodeId) ?? isOther('StoreHeartbeat', stats.storeId, nodeId) },
  RegionHeartbeat: {
    ...stores, refuses: ({ beats }, nodeId) => {
      const other = beats.find(beat => beat.leader.storeId !== nodeId)
      return hasNoId(nodeId) ?? (other && isOther('RegionHeartbeat', other.leader.storeId, nodeId))
    },
  },
  AskSplit: { ...stores, refuses: (_request, nodeId) => hasNoId(nodeId) },
  ReportSplit: { ...stores, refuses: (_request, nodeId) => hasNoId(nodeId) },
}

/** Whose requests of a kind are carried out, for docs/PROTOCOL.md. */
export function rolesFor(name: RpcName): readonly NodeRole[] | typeof anybody {
  const rule = rules[name]
  return rule === anybody ? rule : rule.roles
}

/** @returns why this request is not carried out for whoever sent it */
export function accessRefusal<N extends RpcName>(name: N, request: Requests[N], from: Hello): RequestError | undefined {
  const rule = rules[name] as Rule<N> | typeof anybody
  if (rule === anybody) return undefined
  const { role, nodeId } = from
  if (!rule.roles.includes(role)) {
    return { kind: 'PermissionDenied', reason: `${name} is for ${rule.roles.join(' and ')} connections, this one is a ${role}'s` }
  }
  const reason = rule.refuses?.(request, nodeId, role)
  return reason === undefined ? undefined : { kind: 'PermissionDenied', reason }
}
