import type { Connection, ConnectionHandler, Env, Listener, Network } from '../common/env.js'
import { formatAddress, parseAddress } from './address.js'
import type { HostAndPort } from './address.js'
import { DialledSocket } from './ws-network-dialled.js'
import { DoorListener, defaultDoorLimits } from './ws-network-door.js'
import type { DoorFunctions, DoorLimits } from './ws-network-door.js'
import { WsListener } from './ws-network-listener.js'
import { probe } from './ws-network-probe.js'

const listenAttemptsMax = 5

export interface WsNetworkOptions {
  /** The addon's sockets, for `limits.sockets` = native. */
  readonly door?: DoorFunctions | undefined
  readonly limits?: DoorLimits | undefined
}

export interface WsNetworkHandle extends Network {
  metrics(): Record<string, number>
  close(): void
}

/**
 * The real network: uWebSockets.js (or the addon's own sockets) answers, `ws` dials. One WebSocket message is one message;
 * no text, no compression.
 * Received bytes are lent: uWebSockets takes its buffer back when the callback returns, so whoever keeps them copies
 * once (the RPC classes do). After close() nothing of it keeps the process alive.
 */
export function createWsNetwork(env: Env, options: WsNetworkOptions = {}): WsNetworkHandle { return new WsNetwork(env, options) }

class WsNetwork implements WsNetworkHandle {
  readonly #env: Env
  readonly #options: WsNetworkOptions
  readonly #listeners = new Set<WsListener | DoorListener>()
  readonly #dialled = new Set<DialledSocket>()
  #isClosed = false

  /** The Env may still be under construction: it is only kept here. */
  constructor(env: Env, options: WsNetworkOptions) {
    this.#env = env
    this.#options = options
  }

  async listen(address: string, accept: (connection: Connection) => ConnectionHandler): Promise<Listener> {
    const place = parseAddress(address)
    if (place === undefined) throw new Error(`cannot listen on '${address}': an address is host:port, IPv6 in brackets`)
    for (let attempt = 1; ; attempt++) {
      const port = await probe(place, this.#env.random)
      if (this.#isClosed) throw new Error(`cannot listen on ${address}: the network is closed`)
      const listener = this.#listenerAt({ host: place.host, port }, accept)
      if (await listener.listen(this.#options.limits ?? defaultDoorLimits)) {
        this.#listeners.add(listener)
        return listener
      }
      // Somebody took it between the probe and us.
      if (attempt === listenAttemptsMax) throw new Error(`cannot listen on ${address}: the port is taken`)
    }
  }

  #listenerAt(place: HostAndPort, accept: (connection: Connection) => ConnectionHandler): WsListener | DoorListener {
    const { door, limits = defaultDoorLimits } = this.#options
    const onGone = (): void => { this.#listeners.delete(listener) }
    const listener = door === undefined || limits.sockets === 'uwebsockets' ? new WsListener(this.#env, limits, place, accept, onGone)
      : new DoorListener(this.#env, door, place, accept, onGone)
    return listener
  }

  metrics(): Record<string, number> {
    const sum: Record<string, number> = {}
    for (const listener of this.#listeners) {
      for (const [name, value] of Object.entries(listener.metrics())) sum[name] = (sum[name] ?? 0) + value
    }
    return sum
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
