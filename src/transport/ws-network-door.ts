import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Connection, ConnectionHandler, Env, Listener } from '../common/env.js'
import { formatAddress } from './address.js'
import type { HostAndPort } from './address.js'
import { transportLimits } from './limits.js'

/** The addon's part of it (native/door_binding.cc says the rest). */
export interface DoorFunctions {
  doorOpen(
    host: string, port: number, arena: Uint8Array, onEvent: (kind: number, id: number, first: unknown, second: unknown) => unknown,
    messageBytesMax: number, helloBytesMax: number, unfinishedBytesMax: number, unfinishedMsMax: number, upgradeMsMax: number,
    silentMsMax: number, connectionsMax: number, connectionsReserved: number, connectionsPerAddressMax: number): object
  doorSend(door: object, id: number, bytes: Uint8Array): number
  doorBuffered(door: object, id: number): number
  doorPause(door: object, id: number, paused: number): void
  doorAdmit(door: object, id: number, isPeer: number): void
  doorEnd(door: object, id: number, code: number, reason: string): void
  doorFigures(door: object): number[]
  doorClose(door: object): void
}

/** How many may connect, and what they may leave unfinished. */
export interface DoorLimits {
  /** Who speaks WebSocket with those who connect: uWebSockets.js, or the addon's own sockets. */
  readonly sockets: 'uwebsockets' | 'native'
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  /** Of native sockets only: uWebSockets gathers what is unfinished where nobody sees it. */
  readonly unfinishedBytesMax: number
}

export const defaultDoorLimits: DoorLimits = {
  sockets: 'uwebsockets', connectionsMax: 10_000, connectionsPerAddressMax: 4_096, unfinishedBytesMax: 64 << 20,
}

/** Of all connections, a tenth is kept for peers, but no more than this. */
export const reservedFor = ({ connectionsMax }: DoorLimits): number => Math.min(256, Math.floor(connectionsMax / 10))
/** One read of a socket. Messages that lie in it whole are handed on from there. */
const arenaBytes = 256 << 10
const webSocketKeySuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

const event = { key: 107, open: 111, message: 109, whole: 119, drain: 100, gone: 103 } as const

/** Connections made to us, through the addon. */
export class DoorListener implements Listener {
  readonly #env: Env
  readonly #functions: DoorFunctions
  readonly #accept: (connection: Connection) => ConnectionHandler
  readonly #onGone: () => void
  readonly #arena = new Uint8Array(arenaBytes)
  readonly #sockets = new Map<number, DoorSocket>()
  #place: HostAndPort
  #door: object | undefined

  constructor(
    env: Env, functions: DoorFunctions, place: HostAndPort, accept: (connection: Connection) => ConnectionHandler, onGone: () => void,
  ) {
    this.#env = env
    this.#functions = functions
    this.#place = place
    this.#accept = accept
    this.#onGone = onGone
  }

  get address(): string { return formatAddress(this.#place) }

  /** @returns false when the address cannot be had */
  async listen(limits: DoorLimits): Promise<boolean> {
    const { host, port } = this.#place
    const ip = isIP(host) === 0 ? (await lookup(host)).address : host
    const { messageBytesMax, helloBytesMax, unfinishedMsMax, handshakeMsMax, silentMsMax } = transportLimits
    const reserved = reservedFor(limits)
    try {
      this.#door = this.#functions.doorOpen(
        ip, port, this.#arena, this.#onEvent, messageBytesMax, helloBytesMax, limits.unfinishedBytesMax, unfinishedMsMax, handshakeMsMax,
        silentMsMax, limits.connectionsMax, reserved, limits.connectionsPerAddressMax)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    const door = this.#door
    if (door === undefined) return
    this.#door = undefined
    this.#functions.doorClose(door)
    const sockets = [...this.#sockets.values()]
    this.#sockets.clear()
    for (const socket of sockets) socket.onGone('the network is closed')
    this.#onGone()
  }

  metrics(): Record<string, number> {
    const [connections = 0, unfinished = 0, refused = 0, refusedAddress = 0, ended = 0] =
      this.#door === undefined ? [] : this.#functions.doorFigures(this.#door)
    return {
      transport_open_sockets: connections, transport_unfinished_bytes: unfinished,
      'transport_refused_connections_total{why="all"}': refused,
      'transport_refused_connections_total{why="address"}': refusedAddress,
      transport_websocket_failures_total: ended,
    }
  }

  // ---- what sockets do

  send(id: number, bytes: Uint8Array): number { return this.#door === undefined ? -1 : this.#functions.doorSend(this.#door, id, bytes) }
  buffered(id: number): number { return this.#door === undefined ? 0 : this.#functions.doorBuffered(this.#door, id) }
  pause(id: number, isPaused: boolean): void { if (this.#door !== undefined) this.#functions.doorPause(this.#door, id, isPaused ? 1 : 0) }
  admit(id: number, isPeer: boolean): void { if (this.#door !== undefined) this.#functions.doorAdmit(this.#door, id, isPeer ? 1 : 0) }

  end(id: number, reason: string): void {
    this.#sockets.delete(id)
    if (this.#door !== undefined) this.#functions.doorEnd(this.#door, id, 1000, reason)
  }

  // hot path: bench/micro/transport.ts
  readonly #onEvent = (kind: number, id: number, first: unknown, second: unknown): unknown => {
    switch (kind) {
      case event.message: {
        const at = first as number
        this.#sockets.get(id)?.handler?.onMessage(this.#arena.subarray(at, at + (second as number)))
        return undefined
      }
      case event.whole: return this.#sockets.get(id)?.handler?.onMessage(first as Uint8Array)
      case event.drain: return this.#sockets.get(id)?.handler?.onDrain?.()
      case event.key: return createHash('sha1').update(`${String(first)}${webSocketKeySuffix}`).digest('base64')
      case event.open: return this.#onOpen(id, String(first))
      case event.gone: return this.#onEnd(id, String(second ?? first))
      default: return undefined
    }
  }

  #onOpen(id: number, from: string): void {
    const socket = new DoorSocket(this.#env, this, id, `${from}#${id}`)
    this.#sockets.set(id, socket)
    socket.handler = this.#accept(socket)
  }

  #onEnd(id: number, reason: string): void {
    const socket = this.#sockets.get(id)
    this.#sockets.delete(id)
    socket?.onGone(reason)
  }
}

class DoorSocket implements Connection {
  handler: ConnectionHandler | undefined
  readonly #env: Env
  readonly #listener: DoorListener
  readonly #id: number
  #isEnded = false
  /** After the last send; nothing is added without one. */
  #buffered = 0

  constructor(env: Env, listener: DoorListener, id: number, readonly remote: string) {
    this.#env = env
    this.#listener = listener
    this.#id = id
  }

  send(bytes: Uint8Array): boolean {
    if (this.#isEnded) return false
    const buffered = this.#listener.send(this.#id, bytes)
    this.#buffered = Math.max(0, buffered)
    return buffered >= 0
  }

  bufferedBytes(): number {
    if (this.#buffered > 0) this.#buffered = this.#isEnded ? 0 : this.#listener.buffered(this.#id)
    return this.#buffered
  }

  pause(isPaused: boolean): void { if (!this.#isEnded) this.#listener.pause(this.#id, isPaused) }
  admit(isPeer: boolean): void { if (!this.#isEnded) this.#listener.admit(this.#id, isPeer) }

  close(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#listener.end(this.#id, reason)
    this.#env.defer(() => this.handler?.onClose(reason))
  }

  onGone(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.handler?.onClose(reason)
  }
}
