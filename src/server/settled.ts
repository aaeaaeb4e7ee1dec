import type { PdClient } from '../pd/api.js'
import type { RegionRoute } from '../wire/messages.js'
import { StartupError } from './startup-error.js'

const lookMs = 20

function isSettled({ region, leader }: RegionRoute, replicas: number): boolean {
  const voters = region.peers.filter(peer => peer.role === 'voter').length
  return leader !== undefined && voters === region.peers.length && voters >= replicas
}

/** Resolves when every region has a leader and at least `replicas` voters, and no change of members is under way.
 *  @throws StartupError('notSettled') */
export async function untilSettled(pd: PdClient, replicas: number, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const routes = await pd.scanRegions(new Uint8Array(0), new Uint8Array(0), 0)
    const unsettled = routes.filter(route => !isSettled(route, replicas)).length
    if (routes.length > 0 && unsettled === 0) return
    if (performance.now() > deadlineMs) {
      throw new StartupError('notSettled', routes.length === 0 ? `no region was heard of within ${timeoutMs} ms`
        : `${unsettled} of ${routes.length} regions have no leader or too few replicas after ${timeoutMs} ms`)
    }
    await new Promise(resolve => { setTimeout(resolve, lookMs) })
  }
}
