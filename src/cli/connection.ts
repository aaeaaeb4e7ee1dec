import type { RegionId } from '../common/ids.js'
import type { KarstClient } from '../client/client.js'
import { PdUnavailableError } from '../pd/api.js'
import { openConnection } from '../server/connection.js'
import type { Connection } from '../server/connection.js'
import { quietLog } from '../server/logging.js'
import { CommandError } from './output.js'

const probeMsMax = 1_000

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
  } catch (error) {
    throw error instanceof PdUnavailableError ? await explained(error, connection, options.pd) : error
  } finally {
    connection.close()
  }
}

/** Nobody who is PD answers: does somebody else, at the address that was given? */
async function explained(error: PdUnavailableError, connection: Connection, addresses: readonly string[]): Promise<Error> {
  for (const address of addresses) {
    const answer = await connection.channel(address).call('ListPeers', { regionId: 0 as RegionId }, { timeoutMs: probeMsMax })
    if (!answer.answered || !answer.result.ok) continue
    const message = `${address} is a store, not a member of PD: --pd wants the client address of PD (port 2379 unless told otherwise)`
    return new CommandError('NotPd', message)
  }
  return error
}

export async function withClient<T>(options: ConnectOptions, run: (client: KarstClient) => Promise<T>): Promise<T> {
  return await withConnection(options, async ({ client }) => {
    // Where PD is not reached, that is what is said: not that a key was not answered for.
    await client.warmUp()
    return await run(client)
  })
}
