import { utf8 } from '../common/bytes.js'
import type { RegionId, StoreId } from '../common/ids.js'
import { engineKeyOf, wireKey } from '../rawkv/codec.js'
import { openConnection } from '../server/connection.js'
import type { Connection } from '../server/connection.js'
import { noLog } from '../server/logging.js'
import type { PeerInfo } from '../wire/messages.js'
import { isAlive } from './process-cluster.js'
import type { NodeProcess, ProcessCluster } from './process-cluster.js'
import { waitFor } from './waiting.js'

export const engineKeyOfText = (key: string): Uint8Array => engineKeyOf(wireKey(0, utf8(key)))

export function connectTo(pdAddresses: readonly string[], timeoutMs: number): Connection {
  return openConnection({ name: 'verify', log: noLog, pdAddresses, timeoutMs })
}

/** Until a write is acknowledged. @returns how long that took, ms */
export async function waitServing(connection: Connection, timeoutMs: number, key = 'verify/serving'): Promise<number> {
  const startMs = performance.now()
  await waitFor('the first acknowledged write', timeoutMs, async () => {
    await connection.client.raw.put(key, 'yes', { timeoutMs: Math.min(timeoutMs, 5_000), retryUndetermined: true })
    return true
  })
  return performance.now() - startMs
}

/** What the store behind a process knows of the replicas it has; empty when it does not answer. */
export async function peersOn(connection: Connection, node: NodeProcess, regionId: RegionId | 0): Promise<readonly PeerInfo[]> {
  const answer = await connection.channel(node.address).call('ListPeers', { regionId: regionId as RegionId }, { timeoutMs: 1_000 })
  return answer.answered && answer.result.ok ? answer.result.value.peers : []
}

/** The process that leads the region of `key`, by what the stores themselves say: PD hears of it later. */
export async function leaderNode(cluster: ProcessCluster, connection: Connection, key: string): Promise<NodeProcess | undefined> {
  const route = await connection.pd.getRegion(engineKeyOfText(key))
  if (route === undefined) return undefined
  let best: { readonly node: NodeProcess; readonly term: number } | undefined
  await Promise.all(cluster.stores.filter(isAlive).map(async node => {
    const [peer] = await peersOn(connection, node, route.region.regionId)
    if (peer?.role === 'leader' && peer.term > (best?.term ?? 0)) best = { node, term: peer.term }
  }))
  return best?.node
}

/** Which store is which process: by address. */
export async function storeIdOf(connection: Connection, node: NodeProcess): Promise<StoreId | undefined> {
  return (await connection.pd.getStores()).find(store => store.address === node.address)?.storeId
}

/** The region of the first key has replicas on all stores and PD knows its leader. */
export async function waitReplicated(connection: Connection, stores: number, timeoutMs: number): Promise<void> {
  await waitFor(`${stores} replicas of the first region`, timeoutMs, async () => {
    const route = await connection.pd.getRegion(engineKeyOfText('verify'))
    const voters = route?.region.peers.filter(peer => peer.role === 'voter').length ?? 0
    return voters >= stores && route?.leader !== undefined ? true : undefined
  }, 50)
}

/** Every replica on every store has applied what its leader had committed when this was first asked. */
export async function waitCaughtUp(cluster: ProcessCluster, connection: Connection, timeoutMs: number): Promise<void> {
  // Under load a follower is always a moment behind: what counts is a mark that stands still.
  const marks = new Map<RegionId, number>()
  await waitFor('all replicas caught up', timeoutMs, async () => {
    const all = (await Promise.all(cluster.stores.map(node => peersOn(connection, node, 0)))).flat()
    for (const { role, region, committed } of all) {
      if (role === 'leader' && !marks.has(region.regionId)) marks.set(region.regionId, committed)
    }
    const isLevel = all.every(({ region }) => {
      const replicas = all.filter(peer => peer.region.regionId === region.regionId)
      const mark = marks.get(region.regionId)
      return mark !== undefined && replicas.length === cluster.stores.length && replicas.every(peer => peer.applied >= mark)
    })
    return all.length > 0 && isLevel ? true : undefined
  }, 50)
}

/** Hands a region over and waits until its store leads it. */
export async function transferTo(connection: Connection, node: NodeProcess, key: string, timeoutMs: number): Promise<void> {
  const toStoreId = await waitFor('the id of a store', timeoutMs, () => storeIdOf(connection, node))
  await waitFor(`${node.kind}-${node.index} leading`, timeoutMs, async () => {
    const route = await connection.pd.getRegion(engineKeyOfText(key))
    if (route?.leader === undefined) return undefined
    const { regionId, epoch } = route.region
    const [peer] = await peersOn(connection, node, regionId)
    if (peer?.role === 'leader') return true
    const from = (await connection.pd.getStores()).find(store => store.storeId === route.leader?.storeId)
    await connection.channel(from?.address ?? '').call('TransferLeader',
      { context: { regionId, epoch, peerId: route.leader.peerId, timeoutMs: 2_000 }, toStoreId }, { timeoutMs: 2_000 })
    return undefined
  }, 100)
}
