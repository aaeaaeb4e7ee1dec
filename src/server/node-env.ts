import type { Env } from '../common/env.js'
import { createWsNetwork } from '../transport/ws-network.js'
import { createFailpoints } from './failpoints.js'
import type { LogSink } from './logging.js'
import { RealEnv } from './real-env.js'

export interface NodeEnv {
  readonly env: Env
  /** Ends connections, timers and deferred calls of this node; nothing of it runs any more. Idempotent. */
  close(): void
}

export interface NodeEnvOptions {
  readonly name: string
  readonly log: LogSink
  /** Texts of `--failpoint`. */
  readonly failpoints?: readonly string[]
}

/** The real world for one node: its own sockets, timers and dice. */
export function openNodeEnv(options: NodeEnvOptions): NodeEnv {
  let network: ReturnType<typeof createWsNetwork> | undefined
  const env = new RealEnv({
    name: options.name, log: options.log, failpoint: createFailpoints(options.failpoints ?? []),
    network: real => network = createWsNetwork(real),
  })
  return {
    env,
    close: () => {
      network?.close()
      network = undefined
      env.close()
    },
  }
}
