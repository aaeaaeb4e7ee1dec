import type { Env } from '../common/env.js'
import type { DoorFunctions, DoorLimits } from '../transport/ws-network-door.js'
import { createWsNetwork } from '../transport/ws-network.js'
import { createFailpoints } from './failpoints.js'
import type { LogSink } from './logging.js'
import { RealEnv } from './real-env.js'

/** Where no addon was compiled, a cluster in memory does without. */
const door: DoorFunctions | undefined = await import('../engine/native.js').then(native => native.addon, () => undefined)

export interface NodeEnv {
  readonly env: Env
  /** Figures of its sockets. */
  metrics(): Record<string, number>
  /** Ends connections, timers and deferred calls of this node; nothing of it runs any more. Idempotent. */
  close(): void
}

export interface NodeEnvOptions {
  readonly name: string
  readonly log: LogSink
  /** How many may connect to it. */
  readonly connections?: DoorLimits | undefined
  /** Texts of `--failpoint`. */
  readonly failpoints?: readonly string[]
}

/** The real world for one node: its own sockets, timers and dice. */
export function openNodeEnv(options: NodeEnvOptions): NodeEnv {
  let network: ReturnType<typeof createWsNetwork> | undefined
  const env = new RealEnv({
    name: options.name, log: options.log, failpoint: createFailpoints(options.failpoints ?? []),
    network: real => network = createWsNetwork(real, { door, limits: options.connections }),
  })
  return {
    env,
    metrics: () => network?.metrics() ?? {},
    close: () => {
      network?.close()
      network = undefined
      env.close()
    },
  }
}
