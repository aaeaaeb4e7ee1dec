import type { Env, Listener, LogFields, Timer } from '../common/env.js'
import { frameErrorKinds } from '../wire/frame.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import { AnswerRoom } from './answer-room.js'
import type { RpcHandlers } from './api.js'
import { Counters } from './counters.js'
import type { ClusterSecret } from './handshake.js'
import { transportLimits } from './limits.js'
import { ServerConnection } from './server-connection.js'
import { damageCounter } from './server-parts.js'
import type { ServerParts } from './server-parts.js'
import { Turns } from './turns.js'

export interface RpcServerOptions {
  readonly env: Env
  /** `host:port`; port 0 takes a free one. */
  readonly address: string
  /** Asked for every connection: the cluster id may become known later. */
  readonly hello: () => Hello
  /** Stores and members of PD that connect must know it. */
  readonly secret: ClusterSecret
  readonly handlers: RpcHandlers
  /** Raft from other stores; without it raft frames are refused. Bytes are owned. */
  readonly onRaft?: ((envelope: RaftEnvelope) => void) | undefined
}

export interface RpcServer {
  /** The real one, also when port 0 was asked for. */
  readonly address: string
  metrics(): Record<string, number>
  /** Stops listening and ends all connections. */
  close(): void
}

/** Rejects when the address is taken or malformed. */
export async function listenRpc(options: RpcServerOptions): Promise<RpcServer> {
  const server = new Server(options)
  await server.listen(options.address)
  return server
}

const counterNames = [
  'transport_connections_accepted_total', 'transport_requests_total', 'transport_raft_envelopes_received_total',
  'transport_hello_mismatches_total', 'transport_slow_clients_total', 'transport_busy_answers_total',
  'transport_cancelled_requests_total', 'transport_denied_requests_total', 'transport_received_bytes_total', 'transport_sent_bytes_total',
  'transport_overrun_connections_total', 'transport_forged_proofs_total',
]

const warningMsMin = 1_000

class Server implements RpcServer {
  readonly #env: Env
  readonly #parts: ServerParts<ServerConnection>
  readonly #counters = new Counters(...counterNames, ...frameErrorKinds.map(damageCounter))
  readonly #connections = new Set<ServerConnection>()
  #dirty: ServerConnection[] = []
  readonly #turns: Turns
  readonly #room = new AnswerRoom({ bytesMax: transportLimits.answerBytesMax, shareBytesMax: transportLimits.unreadBytesBusy })
  readonly #held = { inboxBytes: 0, requestBytes: 0 }
  #listener: Listener | undefined
  #beatTimer: Timer | undefined
  #isClosed = false
  #warnedAtMs = -Infinity
  #unsaid = 0

  constructor(options: RpcServerOptions) {
    this.#env = options.env
    this.#turns = new Turns(options.env, () => { this.#armBeat() })
    this.#parts = {
      env: options.env, hello: options.hello, secret: options.secret, handlers: options.handlers, onRaft: options.onRaft,
      counters: this.#counters, turns: this.#turns, room: this.#room, held: this.#held,
      warn: (event, fields) => this.#warn(event, fields),
      watch: () => { this.#armBeat() },
      onDirty: connection => this.#onDirty(connection),
      onClosed: connection => { this.#connections.delete(connection) },
    }
  }

  get address(): string { return this.#listener?.address ?? '' }

  async listen(address: string): Promise<void> {
    this.#listener = await this.#env.network.listen(address, connection => {
      this.#counters.add('transport_connections_accepted_total')
      const accepted = new ServerConnection(this.#parts, connection)
      this.#connections.add(accepted)
      if (this.#isClosed) accepted.close('the server is closed')
      return accepted
    })
  }

  metrics(): Record<string, number> {
    let requests = 0
    let unreadBytes = 0
    let waitingReads = 0
    for (const connection of this.#connections) {
      requests += connection.inFlight
      unreadBytes += connection.bufferedBytes()
      waitingReads += connection.waitingReads
    }
    return {
      ...this.#counters.read(), transport_connections: this.#connections.size,
      transport_requests_in_flight: requests, transport_unread_bytes: unreadBytes,
      transport_waiting_reads: waitingReads, transport_waiting_connections: this.#turns.waiting,
      transport_answer_bytes: this.#room.heldBytes, transport_inbox_bytes: this.#held.inboxBytes,
      transport_request_bytes: this.#held.requestBytes,
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#beatTimer?.cancel()
    for (const connection of this.#connections) {
      connection.flush()
      connection.close('the server is closed')
    }
    this.#connections.clear()
    this.#listener?.close()
  }

  /** Strangers may send damage as fast as they like; the log takes a line a second, and counters take the rest. */
  #warn(event: string, fields: LogFields): void {
    const nowMs = this.#env.clock.monotonicMs()
    if (nowMs - this.#warnedAtMs < warningMsMin) {
      this.#unsaid++
      return
    }
    this.#env.log('warn', event, this.#unsaid === 0 ? fields : { ...fields, unsaid: this.#unsaid })
    this.#warnedAtMs = nowMs
    this.#unsaid = 0
  }

  /** One deferred call for all connections that have something to say this turn. */
  #onDirty(connection: ServerConnection): void {
    if (this.#dirty.push(connection) === 1) this.#env.defer(this.#flush)
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty
    this.#dirty = []
    for (let i = 0; i < dirty.length; i++) dirty[i]!.flush()
    this.#turns.ended()
  }

  /** While large reads wait for room, it is looked after who keeps it. */
  #armBeat(): void {
    if (this.#isClosed || this.#beatTimer !== undefined) return
    this.#beatTimer = this.#env.setTimer(transportLimits.beatMs, () => {
      this.#beatTimer = undefined
      const { isLargeBlocked } = this.#turns
      let isPaused = false
      for (const connection of [...this.#connections]) {
        connection.beat(isLargeBlocked)
        isPaused ||= connection.isPaused
      }
      if (isLargeBlocked || isPaused) this.#armBeat()
    })
  }
}
