import type { Env, LogFields, LogLevel } from '../../src/common/env.js'
import { addon } from '../../src/engine/native.js'
import { RealEnv } from '../../src/server/real-env.js'
import type { DoorLimits } from '../../src/transport/ws-network-door.js'
import { createWsNetwork } from '../../src/transport/ws-network.js'
import { clusterSecretOf } from '../../src/server/cluster-secret.js'
import type { ClusterSecret } from '../../src/transport/handshake.js'
import type { WsNetworkHandle } from '../../src/transport/ws-network.js'
import type { Hello } from '../../src/wire/messages.js'

export interface LogLine { readonly level: LogLevel; readonly event: string; readonly fields: LogFields | undefined }

export interface RealNode {
  readonly env: Env
  readonly log: LogLine[]
  metrics(): Record<string, number>
  close(): void
}

/** A node of the real world: sockets on loopback, real time. */
export function realNode(name: string, limits?: DoorLimits): RealNode {
  const log: LogLine[] = []
  let network: WsNetworkHandle | undefined
  const env = new RealEnv({
    name, log: (node, level, event, fields) => { log.push({ level, event, fields }) },
    network: of => network = createWsNetwork(of, { door: addon, limits }),
  })
  return {
    env, log, metrics: () => network?.metrics() ?? {},
    close: () => {
      network?.close()
      env.close()
    },
  }
}

export const hello = (role: Hello['role'], nodeId = 0, clusterId = 0n): Hello => ({ protocolVersion: 1, clusterId, role, nodeId })

/** Of all nodes in these tests. */
export const secret: ClusterSecret = clusterSecretOf('the secret of the nodes in these tests')

export const waitMs = (ms: number): Promise<void> => new Promise(resolve => { setTimeout(resolve, ms) })

/** Throws when it does not become true in time. */
export async function until(what: string, isTrue: () => boolean, msMax = 5_000): Promise<void> {
  for (const end = performance.now() + msMax; !isTrue();) {
    if (performance.now() > end) throw new Error(`not in ${msMax} ms: ${what}`)
    await waitMs(2)
  }
}
