import type { Connection, ConnectionHandler, Env, Listener } from '../common/env.js'
import uws from 'uWebSockets.js'
import type { TemplatedApp, WebSocket, us_listen_socket } from 'uWebSockets.js'
import { formatAddress } from './address.js'
import type { HostAndPort } from './address.js'
import { Admission } from './admission.js'
import type { Standing } from './admission.js'
import { transportLimits } from './limits.js'
import type { DoorLimits } from './ws-network-door.js'

/** What the package's types leave out. */
type App = TemplatedApp & {
  listen(host: string, port: number, done: (socket: us_listen_socket | false) => void): App
  /** Ends the listening socket and all connections at once. */
  close(): App
}

interface UserData { accepted: AcceptedSocket | undefined; readonly address: string }

/** Closed with answers unread: a close frame would only queue behind them. */
const politeCloseBytesMax = 1 << 20
/** Seconds without any sign of life, pongs to uWebSockets' own pings included, after which a half-open connection ends. */
const idleSecondsMax = 120
const reasonCharsMax = 40

/** One uWebSockets App per address. */
export class WsListener implements Listener {
  readonly #place: HostAndPort
  readonly #app: App
  readonly #onGone: () => void
  readonly #env: Env
  readonly #accept: (connection: Connection) => ConnectionHandler
  readonly #admission: Admission
  #accepted = 0
  #isClosed = false

  constructor(
    env: Env, limits: DoorLimits, place: HostAndPort, accept: (connection: Connection) => ConnectionHandler, onGone: () => void,
  ) {
    this.#admission = new Admission(limits)
    this.#env = env
    this.#place = place
    this.#accept = accept
    this.#onGone = onGone
    this.#app = uws.App() as App
    this.#app.ws<UserData>('/*', this.#behavior())
  }

  get address(): string { return formatAddress(this.#place) }

  /** @returns false when the address cannot be had */
  listen(): boolean {
    let isListening = false
    // It answers before it returns.
    this.#app.listen(this.#place.host, this.#place.port, socket => { isListening = socket !== false })
    return isListening
  }

  metrics(): Record<string, number> { return this.#admission.metrics() }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#app.close()
    this.#onGone()
  }

  #behavior(): Parameters<TemplatedApp['ws']>[1] & object {
    return {
      compression: uws.DISABLED,
      maxPayloadLength: transportLimits.messageBytesMax,
      // The limit is ours: a dropped message would tear a hole into the stream. 0: none here.
      maxBackpressure: 0,
      idleTimeout: idleSecondsMax,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => {
        const address = Buffer.from(response.getRemoteAddressAsText()).toString()
        if (!this.#admission.comes(address)) {
          response.writeStatus('503 Service Unavailable').writeHeader('retry-after', '1').end('too many connections', true)
          return
        }
        response.upgrade({ accepted: undefined, address }, request.getHeader('sec-websocket-key'),
          request.getHeader('sec-websocket-protocol'), request.getHeader('sec-websocket-extensions'), context)
      },
      open: ws => this.#onOpen(ws as WebSocket<UserData>),
      message: (ws, message, isBinary) => acceptedOf(ws).onMessage(message, isBinary),
      drain: ws => acceptedOf(ws).onDrain(),
      close: (ws, code, message) => this.#onClose(ws as WebSocket<UserData>, Buffer.from(message).toString() || `closed with code ${code}`),
    }
  }

  #onClose(ws: WebSocket<UserData>, reason: string): void {
    const { accepted, address } = ws.getUserData()
    this.#admission.goes(address, accepted!.standing)
    accepted!.onGone(reason)
  }

  #onOpen(ws: WebSocket<UserData>): void {
    this.#accepted++
    const { address } = ws.getUserData()
    const accepted = new AcceptedSocket(this.#env, ws, this.#admission, address, `${address}#${this.#accepted}`)
    ws.getUserData().accepted = accepted
    accepted.handler = this.#accept(accepted)
  }
}

const acceptedOf = (ws: WebSocket<unknown>): AcceptedSocket => (ws as WebSocket<UserData>).getUserData().accepted!

/** A connection made to us. The native socket is gone, and touching it throws, as soon as uWebSockets says closed. */
class AcceptedSocket implements Connection {
  handler: ConnectionHandler | undefined
  standing: Standing = 'stranger'
  readonly #env: Env
  readonly #admission: Admission
  readonly #address: string
  #ws: WebSocket<UserData> | undefined
  #isEnded = false

  constructor(env: Env, ws: WebSocket<UserData>, admission: Admission, address: string, readonly remote: string) {
    this.#env = env
    this.#admission = admission
    this.#address = address
    this.#ws = ws
  }

  send(bytes: Uint8Array): boolean {
    if (this.#isEnded || this.#ws === undefined) return false
    this.#ws.send(bytes, true, false)
    return true
  }

  bufferedBytes(): number { return this.#ws === undefined ? 0 : this.#ws.getBufferedAmount() }

  admit(isPeer: boolean): void {
    if (this.#isEnded || this.standing !== 'stranger') return
    const standing = isPeer ? 'peer' : 'client'
    if (this.#admission.admit(this.#address, standing)) this.standing = standing
    else this.#end(1013, 'too many connections')
  }

  close(reason: string): void { this.#end(1000, reason) }

  #end(code: number, reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const ws = this.#ws
    if (ws === undefined) return
    if (ws.getBufferedAmount() <= politeCloseBytesMax) ws.end(code, reason.substring(0, reasonCharsMax))
    else ws.close()
    this.#env.defer(() => this.handler?.onClose(reason))
  }

  onMessage(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#isEnded) return
    if (!isBinary) {
      this.#ws?.end(1003, 'binary messages only')
      return
    }
    this.handler?.onMessage(new Uint8Array(message))
  }

  onDrain(): void { if (!this.#isEnded) this.handler?.onDrain?.() }

  onGone(reason: string): void {
    this.#ws = undefined
    if (this.#isEnded) return
    this.#isEnded = true
    this.handler?.onClose(reason)
  }
}
