import { fromHex, toHex } from '../common/bytes.js'
import { regionId } from '../common/ids.js'
import type { PeerInfo } from '../wire/messages.js'
import { storeHtml } from './dashboard.js'
import type { NodeMetrics } from './metrics.js'
import type { ReadyCheck, StatusPage, StatusPages } from './status-http.js'
import type { StoreFace } from './store-node.js'
import { karstVersion } from './version.js'

/** PD heartbeats come every few seconds; after this many of their intervals PD counts as lost. */
const beatsMissedMax = 4
const regionsShownMax = 1_000

export function storePages(face: StoreFace, metrics: NodeMetrics): StatusPages {
  return {
    metrics,
    status: () => storeStatus(face),
    ready: () => storeReady(face),
    live: () => [{ name: 'state', ok: face.state !== 'stopping', detail: face.state }],
    config: face.config,
    page: (path, query) => storePage(face, path, query),
  }
}

function storeStatus(face: StoreFace): Record<string, unknown> {
  const { env, settings, store } = face
  return {
    role: 'store', name: face.name, version: karstVersion(), pid: process.pid, state: face.state, storeId: face.storeId,
    clusterId: face.clusterId, address: face.address, pd: settings.pdAddresses, labels: settings.labels,
    startedAt: new Date(face.startedAtWallMs).toISOString(), uptimeSeconds: Math.round((env.clock.monotonicMs() - face.startedAtMs) / 1000),
    stats: store?.stats() ?? null,
  }
}

function storeReady(face: StoreFace): readonly ReadyCheck[] {
  const { env, settings, store } = face
  const silentMs = env.clock.monotonicMs() - face.pdHeardAtMs
  const isHeard = silentMs < settings.raft.storeHeartbeatMs * beatsMissedMax
  const heardText = Number.isFinite(silentMs) ? `answered ${Math.round(silentMs / 100) / 10} s ago` : 'not heard yet'
  const pdDetail = isHeard ? heardText : `${heardText}; what is led here is served all the same`
  const checks: ReadyCheck[] = [
    { name: 'state', ok: face.state === 'serving', detail: face.state },
    // Leaders go on serving without PD: taking all stores out of service would make a small fault a large one.
    { name: 'pd', ok: true, detail: pdDetail },
  ]
  if (store === undefined) return checks
  const peers = store.peers(0)
  const leaderless = peers.filter(peer => peer.leaderId === 0)
  const shown = leaderless.slice(0, 5).map(peer => peer.region.regionId).join(', ')
  checks.push({
    name: 'regions', ok: leaderless.length === 0,
    detail: leaderless.length === 0 ? `${peers.length} with a leader`
      : `${leaderless.length} of ${peers.length} without a leader: ${shown}`,
  })
  const { freeBytes } = face
  if (freeBytes !== undefined) {
    const { reserveDiskBytes } = settings.raft
    checks.push({
      name: 'disk', ok: freeBytes >= reserveDiskBytes,
      detail: `${Math.round(freeBytes / 2 ** 20)} MiB free, ${reserveDiskBytes / 2 ** 20} MiB reserved`,
    })
  }
  return checks
}

function storePage(face: StoreFace, path: string, query: URLSearchParams): StatusPage | undefined {
  if (path === '/') {
    return { kind: 'html', body: storeHtml(`karst ${face.name} (store ${face.storeId})`, face.settings.pdAddresses) }
  }
  if (path === '/regions') {
    const peers = face.store?.peers(0) ?? []
    const from = fromHex(query.get('key') ?? '') === undefined ? '' : (query.get('key') ?? '').toLowerCase()
    const rows = peers.map(peerView).filter(row => row.startKey >= from).sort((left, right) => left.startKey < right.startKey ? -1 : 1)
    return { kind: 'json', body: { count: peers.length, regions: rows.slice(0, regionsShownMax) } }
  }
  const match = /^\/region\/(\d{1,15})$/.exec(path)
  if (match === null) return undefined
  const id = regionId(Number(match[1]))
  const peer = id === 0 ? undefined : face.store?.peers(id)[0]
  return peer === undefined ? { kind: 'json', code: 404, body: { error: `no replica of region ${id} here` } }
    : { kind: 'json', body: peerView(peer) }
}

function peerView(peer: PeerInfo): { readonly startKey: string } & Record<string, unknown> {
  const { region, ...raft } = peer
  return {
    regionId: region.regionId, startKey: toHex(region.startKey), endKey: toHex(region.endKey), epoch: region.epoch,
    peers: region.peers, ...raft,
  }
}
