import { fromHex } from '../common/bytes.js'
import { regionId, storeId } from '../common/ids.js'
import type { Leadership } from '../pd/leadership.js'
import type { PdNode } from '../pd/pd-node.js'
import { viewCluster, viewExplain, viewHealth, viewMembers, viewOperators, viewRegion, viewRegions, viewStatus, viewStore, viewStores }
  from '../pd/status-views.js'
import type { Json } from '../pd/status-views.js'
import { dashboardHtml } from './dashboard.js'
import type { NodeMetrics } from './metrics.js'
import type { PdFace } from './pd-member.js'
import type { ReadyCheck, StatusPage, StatusPages } from './status-http.js'
import { karstVersion } from './version.js'

const prefix = '/pd/api/v1/'

export function pdPages(face: PdFace, metrics: NodeMetrics): StatusPages {
  metrics.add(() => pdFigures(face.node))
  return {
    metrics,
    status: () => pdStatus(face),
    ready: () => pdReady(face),
    live: () => [{ name: 'state', ok: face.state !== 'stopping', detail: face.state }],
    config: face.config,
    page: (path, query) => pdPage(face.node, path, query),
  }
}

function pdStatus(face: PdFace): Record<string, unknown> {
  const { env, node } = face
  return {
    role: 'pd', name: face.name, version: karstVersion(), pid: process.pid, state: face.state, clusterId: node.clusterId,
    addresses: face.clientAddresses, startedAt: new Date(face.startedAtWallMs).toISOString(),
    uptimeSeconds: Math.round((env.clock.monotonicMs() - face.startedAtMs) / 1000), pd: viewStatus(node), cluster: viewCluster(node),
  }
}

function pdReady({ node, state }: PdFace): readonly ReadyCheck[] {
  const leader = node.members().find(member => member.isLeader)
  const checks: ReadyCheck[] = [
    { name: 'state', ok: state === 'serving', detail: state },
    { name: 'leader', ok: leader !== undefined, detail: leader?.name ?? 'none' },
  ]
  if (node.isLeader) checks.push({ name: 'lease', ok: node.hasLease, detail: node.hasLease ? 'held' : 'not confirmed' })
  return checks
}

function pdFigures(node: PdNode): Record<string, number> {
  const raft = node.describe()
  const { leadership } = node
  return {
    pd_is_leader: node.isLeader ? 1 : 0, pd_has_lease: node.hasLease ? 1 : 0, pd_raft_term: raft.term,
    pd_raft_committed_index: raft.committed, pd_raft_applied_index: raft.applied, pd_raft_log_entries: raft.last - raft.first + 1,
    pd_stores: node.state.stores.size, pd_ids_given: node.state.idBound,
    ...(leadership && {
      pd_tso_clock_ahead_ms: leadership.tso.forwardJumpMs, ...regionFigures(leadership), ...storeFigures(node, leadership),
    }),
  }
}

function regionFigures({ health, tree, operators, scheduler }: Leadership): Record<string, number> {
  const { counts } = health
  const figures: Record<string, number> = {
    pd_regions: tree.size, pd_regions_without_leader: counts.withoutLeader,
    pd_regions_with_missing_replicas: counts.withMissingReplicas, pd_regions_with_pending_replicas: counts.withPendingReplicas,
    pd_regions_with_down_replicas: counts.withDownReplicas, pd_regions_with_extra_replicas: counts.withExtraReplicas,
    pd_region_holes: counts.holes, pd_learners: counts.learners, pd_learners_joining: scheduler.learners.size,
    pd_operators: operators.size, pd_regions_counted_seconds_ago: health.countedMsAgo / 1_000,
  }
  for (const [name, count] of operators.outcomes) {
    const [kind = '', outcome = ''] = name.split('/')
    figures[`pd_operator_events_total{kind="${kind}",outcome="${outcome}"}`] = count
  }
  return figures
}

const storeStates = ['up', 'unheard', 'disconnected', 'down', 'offline', 'tombstone'] as const

function storeFigures(node: PdNode, { health }: Leadership): Record<string, number> {
  const counts = new Map<string, number>(storeStates.map(state => [state, 0]))
  const add = (state: string): void => { counts.set(state, (counts.get(state) ?? 0) + 1) }
  const stores = health.stores()
  for (const { storeId, liveness } of stores) {
    const { state } = node.state.stores.get(storeId) ?? { state: 'up' }
    add(state === 'up' ? liveness : state)
  }
  for (const { state } of node.state.stores.values()) if (state === 'tombstone') add(state)
  return {
    ...Object.fromEntries([...counts].map(([state, count]) => [`pd_stores_by_state{state="${state}"}`, count])),
    pd_stores_low_space: stores.filter(store => store.isLowSpace).length,
    pd_stores_disk_full: stores.filter(store => store.stats.isDiskFull).length,
  }
}

/** PD's own pages, under the paths of TiKV's PD. */
export function pdPage(node: PdNode, path: string, query: URLSearchParams): StatusPage | undefined {
  if (path === '/' || path === '/dashboard') return { kind: 'html', body: dashboardHtml }
  if (!path.startsWith(prefix)) return undefined
  const [what = '', kind = '', rest = ''] = path.substring(prefix.length).replace(/\/$/, '').split('/')
  switch (what) {
    case 'members': return { kind: 'json', body: viewMembers(node) }
    case 'version': return { kind: 'json', body: { version: karstVersion() } }
    case 'status': return { kind: 'json', body: viewStatus(node) }
    case 'health': return { kind: 'json', body: viewHealth(node) }
    case 'cluster': return { kind: 'json', body: viewCluster(node) }
    case 'stores': return ofLeader(node, viewStores(node))
    case 'store': return byId(kind, id => ofLeader(node, viewStore(node, storeId(id))))
    case 'operators': return ofLeader(node, viewOperators(node))
    case 'regions': return ofLeader(node, regionsPage(node, query))
    case 'region': return regionPage(node, kind, rest)
    default: return undefined
  }
}

function regionsPage(node: PdNode, query: URLSearchParams): Json | undefined {
  const start = fromHex(query.get('key') ?? '') ?? new Uint8Array(0)
  const limit = Number(query.get('limit') ?? Number.NaN)
  return Number.isSafeInteger(limit) && limit > 0 ? viewRegions(node, start, limit) : viewRegions(node, start)
}

function regionPage(node: PdNode, kind: string, rest: string): StatusPage | undefined {
  if (kind === 'id') return byId(rest, id => ofLeader(node, viewRegion(node, { id: regionId(id) })))
  if (kind === 'explain') return byId(rest, id => ofLeader(node, viewExplain(node, regionId(id))))
  if (kind !== 'key') return undefined
  const key = fromHex(rest)
  return key === undefined ? bad('the key must be hex') : ofLeader(node, viewRegion(node, { key }))
}

const bad = (reason: string): StatusPage => ({ kind: 'json', code: 400, body: { error: reason } })

function byId(text: string, page: (id: number) => StatusPage): StatusPage {
  return /^\d{1,15}$/.test(text) ? page(Number(text)) : bad(`"${text}" is not an id`)
}

/** What only the leader knows: others say where it is. */
function ofLeader(node: PdNode, body: Json | undefined): StatusPage {
  if (body === null) return { kind: 'json', code: 404, body: { error: 'not known to PD' } }
  if (body !== undefined) return { kind: 'json', body }
  const leader = node.members().find(member => member.isLeader)
  return { kind: 'json', code: 503, body: { error: 'this member does not lead PD', leader: leader?.clientUrls ?? null } }
}
