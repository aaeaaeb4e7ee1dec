import { utf8 } from '../common/bytes.js'
import type { StoreId } from '../common/ids.js'
import { engineKeyOf, wireKey } from '../rawkv/codec.js'
import { openConnection } from '../server/connection.js'
import type { Connection } from '../server/connection.js'
import { noLog } from '../server/logging.js'
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

interface Leading {
  readonly node: NodeProcess
  readonly term: number
}

/** The process that leads the region of `key`, by what the stores themselves say: PD hears of it later. */
export async function leaderNode(cluster: ProcessCluster, connection: Connection, key: string): Promise<NodeProcess | undefined> {
  const route = await connection.pd.getRegion(engineKeyOfText(key))
  if (route === undefined) return undefined
  const { regionId } = route.region
  const answers = await Promise.all(cluster.stores.filter(isAlive).map(async (node): Promise<Leading | undefined> => {
    const answer = await connection.channel(node.address).call('ListPeers', { regionId }, { timeoutMs: 1_000 })
    const peer = answer.answered && answer.result.ok ? answer.result.value.peers[0] : undefined
    return peer?.role === 'leader' ? { node, term: peer.term } : undefined
  }))
  return answers.reduce((best, one) => one !== undefined && one.term > (best?.term ?? 0) ? one : best, undefined)?.node
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
