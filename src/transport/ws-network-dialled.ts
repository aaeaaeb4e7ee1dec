import type { Connection, ConnectionHandler, Env } from '../common/env.js'
import type { Socket } from 'node:net'
import WebSocket from 'ws'
import type { RawData } from 'ws'
import { transportLimits } from './limits.js'

/** A peer that does not answer our close is cut off after this. */
const closeMsMax = 500
/** A close reason on the wire holds 123 bytes. */
const reasonCharsMax = 40

/**
 * FIN and "binary"; then the length, and a mask of zeroes, which leaves the payload as it is (RFC 6455 §5.2). Masks guard
 * proxies against browsers; we are neither.
 */
const binaryMessage = 0x82
const masked = 0x80
const maskBytes = 4

/**
 * One message as one WebSocket frame, header and payload in one piece of memory: one write where `ws` needs two and a
 * gather, which costs as much again as the system call.
 */
function framed(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  const lengthBytes = length < 126 ? 0 : length < 1 << 16 ? 2 : 8
  const start = 2 + lengthBytes + maskBytes
  const frame = Buffer.allocUnsafe(start + length)
  frame[0] = binaryMessage
  frame[1] = masked | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2)
  else if (lengthBytes === 8) {
    frame.writeUInt32BE(0, 2)
    frame.writeUInt32BE(length, 6)
  }
  frame.fill(0, start - maskBytes, start)
  frame.set(bytes, start)
  return frame
}

/** A connection we made. Its end reaches the handler once: from the socket, or in a later turn after close(). */
export class DialledSocket implements Connection {
  readonly #env: Env
  readonly #handler: ConnectionHandler
  readonly #onGone: () => void
  #socket: WebSocket | undefined
  /** Below the WebSocket. `ws` writes its pongs and its close there in whole frames, as we do our messages. */
  #tcp: Socket | undefined
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
    })
    this.#socket = socket
    socket.on('upgrade', response => {
      this.#tcp = response.socket
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
    const tcp = this.#tcp
    if (this.#isEnded || tcp === undefined || !tcp.writable || this.#socket?.readyState !== WebSocket.OPEN) return false
    // In memory of its own: the kernel may take it later, and the caller reuses its buffer at once.
    tcp.write(framed(bytes))
    return true
  }

  bufferedBytes(): number { return this.#tcp === undefined || this.#isEnded ? 0 : this.#tcp.writableLength }

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
