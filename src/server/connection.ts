import { KarstClient } from '../client/client.js'
import { InvalidArgumentError, PdUnreachableError } from '../client/errors.js'
import { createPdClient } from '../client/pd-client.js'
import { PdUnavailableError } from '../pd/api.js'
import type { PdClient } from '../pd/api.js'
import { AbortWatch } from '../transport/abort-watch.js'
import type { RpcChannel } from '../transport/api.js'
import { openChannel } from '../transport/rpc-channel.js'
import { protocolVersion } from '../wire/messages.js'
import type { Hello } from '../wire/messages.js'
import { isAddress, withoutScheme } from './config/fields.js'
import { noLog } from './logging.js'
import type { LogSink } from './logging.js'
import { openNodeEnv } from './node-env.js'

export interface ConnectionOptions {
  /** In log lines. */
  readonly name: string
  readonly log: LogSink
  /** Client addresses of PD members, `host:port`. */
  readonly pdAddresses: readonly string[]
  /** Of every operation that brings no time-out of its own. Default 10 s. */
  readonly timeoutMs?: number
  readonly keyspace?: number
}

/** A program's way into a cluster: the client, PD, and channels to single stores for operators' requests. */
export interface Connection {
  readonly client: KarstClient
  readonly pd: PdClient
  /** One channel per address, closed with the connection. */
  channel(address: string): RpcChannel
  /** Idempotent. */
  close(): void
}

/** @throws InvalidArgumentError */
export function openConnection(options: ConnectionOptions): Connection {
  const { keyspace, timeoutMs, pdAddresses } = options
  const node = openNodeEnv({ name: options.name, log: options.log })
  const { env } = node
  const hello = (): Hello => ({ protocolVersion, clusterId: pd.clusterId, role: 'client', nodeId: 0 })
  const aborts = new AbortWatch()
  const open = (address: string): RpcChannel => openChannel({ env, address, hello, aborts })
  // The first greeting goes to PD and tells no cluster: which one it is, PD says.
  const greet = (): Hello => ({ protocolVersion, clusterId: 0n, role: 'client', nodeId: 0 })
  const pd: PdClient = createPdClient({
    env, addresses: pdAddresses, channelFor: address => openChannel({ env, address, hello: greet }),
    ...(timeoutMs !== undefined && { deadlineMs: timeoutMs }),
  })
  const channels = new Map<string, RpcChannel>()
  const close = (): void => {
    for (const channel of channels.values()) channel.close()
    channels.clear()
    // Requests under way still learn that their channel is closed: that takes a turn of the loop.
    setImmediate(() => setImmediate(node.close))
  }
  const client = makeClient()
  return {
    client, pd,
    channel: address => {
      let channel = channels.get(address)
      if (channel === undefined) channels.set(address, channel = open(address))
      return channel
    },
    close: () => { client.close() },
  }

  function makeClient(): KarstClient {
    try {
      return new KarstClient({ env, pd, openChannel: open, aborts, onClose: close }, {
        ...(keyspace !== undefined && { keyspace }), ...(timeoutMs !== undefined && { timeoutMs }),
      })
    } catch (error) {
      pd.close()
      close()
      throw error
    }
  }
}

export interface ConnectOptions {
  /** Client addresses of PD members, `host:port` or `http://host:port`; one that answers is enough. */
  readonly pd: string | readonly string[]
  /** Of every operation that brings no time-out of its own, and of `connect` itself. Default 10 s. */
  readonly timeoutMs?: number
  /** Default 0. Keyspaces share a cluster and see nothing of each other. */
  readonly keyspace?: number
}

const defaultTimeoutMs = 10_000

/**
 * Opens a connection for many requests at once; one per process is enough.
 * Rejects with PdUnreachableError when no PD member answers in time, InvalidArgumentError for what is no address.
 */
export async function connect(options: ConnectOptions): Promise<KarstClient> {
  const given = typeof options.pd === 'string' ? options.pd.split(',') : options.pd
  const pdAddresses = given.map(address => withoutScheme(address.trim())).filter(address => address !== '')
  const bad = pdAddresses.find(address => !isAddress(address))
  if (bad !== undefined || pdAddresses.length === 0) {
    throw new InvalidArgumentError(`pd: ${bad === undefined ? 'no address' : `"${bad}"`}; host:port of a PD member is expected`)
  }
  const { keyspace, timeoutMs = defaultTimeoutMs } = options
  const connection = openConnection({ name: 'client', log: noLog, pdAddresses, timeoutMs, ...(keyspace !== undefined && { keyspace }) })
  try {
    await connection.client.warmUp()
    return connection.client
  } catch (error) {
    connection.close()
    throw error instanceof PdUnavailableError ? new PdUnreachableError(error.message, { cause: error }) : error
  }
}
