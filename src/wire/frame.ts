import { limits } from '../common/limits.js'
import { crc32c } from './crc32c.js'
import { protocolVersion } from './messages.js'

/**
 * A frame: 24 bytes of header, little-endian, then the body (a FlatBuffers table).
 *
 *   0  u16 magic      2  u8 version   3  u8 kind (0x80: response)   4  u32 flags (0)
 *   8  u64 request id (< 2^53)       16  u32 body bytes            20  u32 crc32c of bytes 0..19
 *
 * A message of the connection is one or more frames back to back; a frame never spans messages. Writers pad bodies to
 * a multiple of 8, so that every body of a message is aligned; readers do not insist.
 */
export const frameHeaderBytes = 24
/** The bytes 'K' 'a'. */
export const frameMagic = 0x614b
/** An id above this is damage: ids are numbers here. */
const idHighMax = 0x1fffff

/** Why a frame, and with it the connection, is of no use. Each kind is counted by its name. */
export type FrameError =
  | { readonly kind: 'BadMagic'; readonly found: number }
  | { readonly kind: 'BadVersion'; readonly found: number }
  | { readonly kind: 'BadHeaderChecksum' }
  | { readonly kind: 'TooLarge'; readonly frameBytes: number; readonly max: number }
  | { readonly kind: 'Truncated'; readonly missingBytes: number }
  | { readonly kind: 'UnknownKind'; readonly frameKind: number }
  | { readonly kind: 'BadBody'; readonly path: string }

export const frameErrorKinds = [
  'BadMagic', 'BadVersion', 'BadHeaderChecksum', 'TooLarge', 'Truncated', 'UnknownKind', 'BadBody',
] as const satisfies readonly FrameError['kind'][]

export function describeFrameError(error: FrameError): string {
  switch (error.kind) {
    case 'BadMagic': return `bad magic 0x${error.found.toString(16)}: this is not a karst frame`
    case 'BadVersion': return `protocol version ${error.found} is not spoken here, ${protocolVersion} is`
    case 'BadHeaderChecksum': return 'the checksum of a frame header is wrong'
    case 'TooLarge': return `a frame of ${error.frameBytes} bytes is over the limit of ${error.max}`
    case 'Truncated': return `the message ends ${error.missingBytes} bytes before its last frame does`
    case 'UnknownKind': return `frame kind ${error.frameKind} has no meaning here`
    case 'BadBody': return `the body is damaged or incomplete at ${error.path}`
  }
}

/** Iterates the frames of one message. Reused: reset, then next() until it is not 'frame'. */
export class FrameReader {
  bytes: Uint8Array = new Uint8Array(0)
  view = new DataView(this.bytes.buffer)
  /** Of the current frame; kind with the response bit. */
  kind = 0
  flags = 0
  requestId = 0
  bodyStart = 0
  bodyEnd = 0
  /** Set when next() said 'damaged'. */
  error: FrameError | undefined = undefined
  #next = 0

  constructor(readonly frameBytesMax: number = limits.frameBytesMax) {}

  /** @param message owned: decoded bodies keep views into it */
  reset(message: Uint8Array): void {
    this.bytes = message
    this.view = new DataView(message.buffer, message.byteOffset, message.byteLength)
    this.#next = 0
    this.error = undefined
  }

  get isAtEnd(): boolean { return this.#next === this.bytes.length }

  next(): 'frame' | 'end' | 'damaged' {
    const start = this.#next
    const left = this.bytes.length - start
    if (left === 0) return 'end'
    if (left < frameHeaderBytes) return this.#damaged({ kind: 'Truncated', missingBytes: frameHeaderBytes - left })
    const view = this.view
    const magic = view.getUint16(start, true)
    if (magic !== frameMagic) return this.#damaged({ kind: 'BadMagic', found: magic })
    const version = view.getUint8(start + 2)
    if (version !== protocolVersion) return this.#damaged({ kind: 'BadVersion', found: version })
    if (crc32c(this.bytes, start, start + 20) !== view.getUint32(start + 20, true)) {
      return this.#damaged({ kind: 'BadHeaderChecksum' })
    }
    const bodyBytes = view.getUint32(start + 16, true)
    if (bodyBytes > this.frameBytesMax - frameHeaderBytes) {
      return this.#damaged({ kind: 'TooLarge', frameBytes: bodyBytes + frameHeaderBytes, max: this.frameBytesMax })
    }
    if (bodyBytes > left - frameHeaderBytes) {
      return this.#damaged({ kind: 'Truncated', missingBytes: bodyBytes - (left - frameHeaderBytes) })
    }
    const idHigh = view.getUint32(start + 12, true)
    if (idHigh > idHighMax) return this.#damaged({ kind: 'BadBody', path: 'header.requestId' })
    this.kind = view.getUint8(start + 3)
    this.flags = view.getUint32(start + 4, true)
    this.requestId = idHigh * 0x100000000 + view.getUint32(start + 8, true)
    this.bodyStart = start + frameHeaderBytes
    this.bodyEnd = this.#next = this.bodyStart + bodyBytes
    return 'frame'
  }

  #damaged(error: FrameError): 'damaged' {
    this.error = error
    return 'damaged'
  }
}
