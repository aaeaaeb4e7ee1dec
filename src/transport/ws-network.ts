import type { Connection, ConnectionHandler, Env, Listener, Network } from '../common/env.js'
import { formatAddress, parseAddress } from './address.js'
import { DialledSocket } from './ws-network-dialled.js'
import { WsListener } from './ws-network-listener.js'
import { probe } from './ws-network-probe.js'

const listenAttemptsMax = 5

/**
 * The real network: uWebSockets.js answers, `ws` dials. One WebSocket message is one message; no text, no compression.
 * Received bytes are lent: uWebSockets takes its buffer back when the callback returns, so whoever keeps them copies
 * once (the RPC classes do). After close() nothing of it keeps the process alive.
 */
export function createWsNetwork(env: Env): Network & { close(): void } { return new WsNetwork(env) }

class WsNetwork implements Network {
  readonly #env: Env
  readonly #listeners = new Set<WsListener>()
  readonly #dialled = new Set<DialledSocket>()
  #isClosed = false

  /** The Env may still be under construction: it is only kept here. */
  constructor(env: Env) { this.#env = env }

  async listen(address: string, accept: (connection: Connection) => ConnectionHandler): Promise<Listener> {
    const place = parseAddress(address)
    if (place === undefined) throw new Error(`cannot listen on '${address}': an address is host:port, IPv6 in brackets`)
    for (let attempt = 1; ; attempt++) {
      const port = await probe(place, this.#env.random)
      if (this.#isClosed) throw new Error(`cannot listen on ${address}: the network is closed`)
      const listener = new WsListener(this.#env, { host: place.host, port }, accept, () => { this.#listeners.delete(listener) })
      if (listener.listen()) {
        this.#listeners.add(listener)
        return listener
      }
      // Somebody took it between the probe and us.
      if (attempt === listenAttemptsMax) throw new Error(`cannot listen on ${address}: the port is taken`)
    }
  }

  dial(address: string, handler: ConnectionHandler): Connection {
    const place = this.#isClosed ? undefined : parseAddress(address)
    const socket = new DialledSocket(this.#env, address, handler, () => { this.#dialled.delete(socket) })
    if (place === undefined) socket.refuse(this.#isClosed ? 'the network is closed' : `not an address: ${address}`)
    else {
      this.#dialled.add(socket)
      socket.dial(`ws://${formatAddress(place)}/`)
    }
    return socket
  }

  close(): void {
    this.#isClosed = true
    for (const listener of this.#listeners) listener.close()
    for (const socket of this.#dialled) socket.terminate()
  }
}
