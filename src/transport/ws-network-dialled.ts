import { copyBytes } from '../common/bytes.js'
import type { Connection, ConnectionHandler, Env } from '../common/env.js'
import WebSocket from 'ws'
import type { RawData } from 'ws'
import { transportLimits } from './limits.js'

/** A peer that does not answer our close is cut off after this. */
const closeMsMax = 500
/** A close reason on the wire holds 123 bytes. */
const reasonCharsMax = 40

const sendOptions = { binary: true, compress: false, fin: true } as const

/** A connection we made. Its end reaches the handler once: from the socket, or in a later turn after close(). */
export class DialledSocket implements Connection {
  readonly #env: Env
  readonly #handler: ConnectionHandler
  readonly #onGone: () => void
  #socket: WebSocket | undefined
  #lastError = ''
  #isEnded = false

  constructor(env: Env, readonly remote: string, handler: ConnectionHandler, onGone: () => void) {
    this.#env = env
    this.#handler = handler
    this.#onGone = onGone
  }

  dial(url: string): void {
    const socket = new WebSocket(url, {
      perMessageDeflate: false, skipUTF8Validation: true, followRedirects: false,
      maxPayload: transportLimits.messageBytesMax, handshakeTimeout: transportLimits.handshakeMsMax,
      // ws leaves out its masking pass when the mask is zero. It guards browsers against proxies; we are neither.
      generateMask: mask => { mask.fill(0) },
    })
    this.#socket = socket
    socket.on('upgrade', response => {
      response.socket.setNoDelay(true)
      response.socket.on('drain', () => { if (!this.#isEnded) this.#handler.onDrain?.() })
    })
    socket.on('open', () => { if (!this.#isEnded) this.#handler.onOpen?.() })
    socket.on('message', (data: RawData, isBinary: boolean) => this.#onMessage(data, isBinary))
    socket.on('error', error => { this.#lastError = error.message })
    socket.on('close', (code, reason) => {
      this.#onGone()
      this.#end(this.#lastError || reason.toString() || `closed with code ${code}`)
    })
  }

  send(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (this.#isEnded || socket === undefined || socket.readyState !== WebSocket.OPEN) return false
    // The kernel may take the bytes later, and the caller reuses its buffer at once.
    socket.send(copyBytes(bytes), sendOptions)
    return true
  }

  bufferedBytes(): number { return this.#socket === undefined ? 0 : this.#socket.bufferedAmount }

  close(reason: string): void {
    if (this.#isEnded) return
    this.#endLater(reason)
    const socket = this.#socket
    if (socket === undefined) return
    if (socket.readyState !== WebSocket.OPEN) return socket.terminate()
    socket.close(1000, reason.substring(0, reasonCharsMax))
    const timer = setTimeout(() => socket.terminate(), closeMsMax)
    timer.unref()
    socket.once('close', () => clearTimeout(timer))
  }

  /** For a dial that is not even tried. */
  refuse(reason: string): void { this.#endLater(reason) }

  /** The network is closed: nothing is waited for. */
  terminate(): void {
    this.#endLater('the network is closed')
    this.#socket?.terminate()
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.#isEnded) return
    if (!isBinary || !(data instanceof Uint8Array)) return this.#socket?.close(1003, 'binary messages only')
    this.#handler.onMessage(data)
  }

  #end(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#handler.onClose(reason)
  }

  #endLater(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#env.defer(() => this.#handler.onClose(reason))
  }
}
