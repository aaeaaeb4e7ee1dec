import type { KarstClient } from '../client/client.js'
import { openConnection } from '../server/connection.js'
import type { Connection } from '../server/connection.js'
import { quietLog } from '../server/logging.js'

export interface ConnectOptions {
  readonly pd: readonly string[]
  readonly timeoutMs: number
  readonly keyspace?: number
}

/** Opens a connection for one command, closes it whatever happens. */
export async function withConnection<T>(options: ConnectOptions, run: (connection: Connection) => Promise<T>): Promise<T> {
  const { keyspace, timeoutMs } = options
  const connection = openConnection({ name: 'cli', log: quietLog(), pdAddresses: options.pd, timeoutMs,
    ...(keyspace !== undefined && { keyspace }) })
  try {
    return await run(connection)
  } finally {
    connection.close()
  }
}

export async function withClient<T>(options: ConnectOptions, run: (client: KarstClient) => Promise<T>): Promise<T> {
  return await withConnection(options, async ({ client }) => {
    // Where PD is not reached, that is what is said: not that a key was not answered for.
    await client.warmUp()
    return await run(client)
  })
}
