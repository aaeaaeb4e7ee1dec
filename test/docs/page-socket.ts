/** A WebSocket over a bare TCP socket, as section 2 of docs/PROTOCOL.md asks for. */
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { body, frame, framesOf, Table } from './page-bytes.js'
import type { Field } from './page-bytes.js'

const waitMsMax = 10_000

/** @throws when it takes longer than everything here may take */
export function within<T>(promise: Promise<T>, what: string, ms = waitMsMax): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

export interface HelloFields { readonly protocolVersion: number; readonly clusterId: bigint; readonly role: number; readonly nodeId: number }
export const clientHello: HelloFields = { protocolVersion: 1, clusterId: 0n, role: 0, nodeId: 0 }

export function helloFrame(hello: HelloFields): Uint8Array {
  return frame(1, 0, body({ u32: hello.protocolVersion }, { u64: hello.clusterId }, { u8: hello.role }, { u64: hello.nodeId }))
}

export class PageSocket {
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>
  /** Of the server. */
  readonly hello: Promise<HelloFields>
  /** Reasons of ProtocolErrors that came. */
  readonly protocolErrors: string[] = []
  readonly #socket: Socket
  readonly #waiting = new Map<number, { resolve: (table: Table) => void; reject: (error: Error) => void; kind: number }>()
  #helloCame: (hello: HelloFields) => void = () => {}
  #buffer: Buffer = Buffer.alloc(0)
  #parts: Buffer[] = []
  #nextId = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    this.hello = new Promise(resolve => { this.#helloCame = resolve })
    this.closed = new Promise(resolve => socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the connection ended; ${this.protocolErrors.join()}`))
      resolve()
    }))
  }

  /** Upgrades; says Hello unless told otherwise. */
  static async open(address: string, hello: HelloFields | 'none' = clientHello): Promise<PageSocket> {
    const [host = '', port = ''] = address.split(':')
    const socket = connect(Number(port), host)
    socket.on('error', () => socket.destroy())
    const key = randomBytes(16).toString('base64')
    socket.write(`GET / HTTP/1.1\r\nHost: ${address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`)
    const self = new PageSocket(socket)
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    await within(self.#upgrade(accept), `upgrade at ${address}`)
    if (hello !== 'none') self.sendFrames(helloFrame(hello))
    return self
  }

  #upgrade(accept: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.closed.then(() => reject(new Error('closed during the upgrade')), reject)
      const onData = (data: Buffer): void => {
        this.#buffer = Buffer.concat([this.#buffer, data])
        const end = this.#buffer.indexOf('\r\n\r\n')
        if (end < 0) return
        const head = this.#buffer.toString('latin1', 0, end)
        if (!head.startsWith('HTTP/1.1 101') || !head.includes(accept)) return reject(new Error(`no upgrade: ${head}`))
        this.#buffer = this.#buffer.subarray(end + 4)
        this.#socket.off('data', onData)
        this.#socket.on('data', more => {
          this.#buffer = Buffer.concat([this.#buffer, more])
          this.#takeMessages()
        })
        resolve()
        this.#takeMessages()
      }
      this.#socket.on('data', onData)
    })
  }

  #takeMessages(): void {
    for (;;) {
      const buffer = this.#buffer
      if (buffer.length < 2) return
      const short = buffer[1]! & 0x7f
      const head = short === 126 ? 4 : short === 127 ? 10 : 2
      if (buffer.length < head) return
      const length = short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short
      if (buffer.length < head + length) return
      const payload = buffer.subarray(head, head + length)
      this.#buffer = buffer.subarray(head + length)
      this.#take(buffer[0]! & 0x0f, (buffer[0]! & 0x80) !== 0, payload)
    }
  }

  #take(opcode: number, isFinal: boolean, payload: Buffer): void {
    if (opcode === 8) this.#socket.end()
    if (opcode === 9) this.#write(10, payload)
    if (opcode > 2) return
    this.#parts.push(payload)
    if (!isFinal) return
    const message = Buffer.concat(this.#parts)
    this.#parts = []
    for (const { kind, requestId, body: bytes } of framesOf(message)) {
      const table = Table.root(bytes)
      if (kind === 1) {
        this.#helloCame({ protocolVersion: table.u32(0), clusterId: table.big(1), role: table.u8(2), nodeId: table.u64(3) })
      } else if (kind === 3) this.protocolErrors.push(table.text(0))
      else this.#answer(kind, requestId, table)
    }
  }

  #answer(kind: number, requestId: number, table: Table): void {
    const waiting = this.#waiting.get(requestId)
    this.#waiting.delete(requestId)
    if (waiting?.kind === (kind & 0x7f)) waiting.resolve(table)
    else waiting?.reject(new Error(`kind ${kind} answers kind ${waiting.kind}`))
  }

  /** One WebSocket message; the mask is all zeroes. */
  #write(opcode: number, payload: Uint8Array): void {
    const { length } = payload
    const head = length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length, 0, 0, 0, 0])
      : length < 65_536 ? Buffer.from([0x80 | opcode, 0x80 | 126, length >>> 8, length & 0xff, 0, 0, 0, 0])
        : Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | 127, 0, 0, 0, 0]), u32be(length), Buffer.alloc(4)])
    if (this.#socket.writable) this.#socket.write(Buffer.concat([head, payload]))
  }

  sendFrames(...frames: readonly Uint8Array[]): void { this.#write(2, Buffer.concat(frames)) }
  sendText(text: string): void { this.#write(1, Buffer.from(text)) }
  sendRaw(bytes: Uint8Array): void { this.#socket.write(bytes) }

  request(kind: number, ...fields: readonly Field[]): Promise<Table> {
    const id = this.#nextId++
    const answer = new Promise<Table>((resolve, reject) => this.#waiting.set(id, { resolve, reject, kind }))
    this.sendFrames(frame(kind, id, body(...fields)))
    return within(answer, `answer to kind ${kind}`)
  }

  close(): void { this.#socket.destroy() }
}

const u32be = (value: number): Buffer => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])
