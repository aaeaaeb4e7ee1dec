import { assert } from '../common/assert.js'
import type { RequestError } from '../common/errors.js'
import { limits } from '../common/limits.js'
import { crc32c } from './crc32c.js'
import { frameHeaderBytes, frameMagic } from './frame.js'
import type { Layout } from './layout.js'
import { protocolVersion } from './messages.js'

const initialBytes = 4 << 10
const keptBytesMax = 1 << 20
/** Below this a byte loop beats TypedArray.set. */
const loopBytesMax = 32
const two32 = 0x100000000

export type LimitExceeded = Extract<RequestError, { kind: 'LimitExceeded' }>

/** Thrown by block writers when a list is longer than a frame may carry; caught by the codec's encode functions. */
export class ListTooLong extends Error {
  override readonly name = 'ListTooLong'
  constructor(readonly limit: string, readonly actual: number, readonly max: number) {
    super(`${limit}: ${actual} > ${max}`)
  }
}

/**
 * A growing buffer that frames are appended to, front to back: FlatBuffers allows children behind their parents, so
 * nothing is built elsewhere and copied. One per connection; what a turn appended leaves as one message.
 *
 * Table protocol: `t = table(layout)` reserves the zeroed inline part with all fields present; scalars are set in place,
 * children are appended and linked, `absent` takes a field out of the vtable.
 */
export class FrameWriter {
  #bytes = new Uint8Array(initialBytes)
  #view = new DataView(this.#bytes.buffer)
  #at = 0
  #frame = 0
  readonly #encoder = new TextEncoder()

  /** @param keptBytes  memory kept over a reset, for the next turn's frames */
  constructor(readonly frameBytesMax: number = limits.frameBytesMax, readonly keptBytes: number = keptBytesMax) {}

  /** Bytes appended since reset. */
  get length(): number { return this.#at }

  /** @returns a borrowed view of everything appended, valid until the next append or reset */
  view(from = 0): Uint8Array { return this.#bytes.subarray(from, this.#at) }

  reset(): void {
    this.#at = 0
    if (this.#bytes.length > this.keptBytes) this.#allocate(initialBytes)
  }

  // ---- frames

  /** @param kind with response bit. Starts are multiples of 8. */
  beginFrame(kind: number, requestId: number): void {
    this.#ensure(frameHeaderBytes + 8)
    const at = this.#frame = this.#at
    const view = this.#view
    view.setUint16(at, frameMagic, true)
    view.setUint8(at + 2, protocolVersion)
    view.setUint8(at + 3, kind)
    view.setUint32(at + 4, 0, true)
    this.setU64(at + 8, requestId)
    view.setUint32(at + 24, 0, true)
    this.#at = at + frameHeaderBytes + 4
  }

  /**
   * Closes the frame around the table at `root`.
   * @returns undefined, or the limit it is over: then the writer is as it was before beginFrame
   */
  endFrame(root: number): LimitExceeded | undefined {
    const start = this.#frame
    while ((this.#at & 7) !== 0) this.#appendZero()
    const frameBytes = this.#at - start
    // A part that is no bytes makes every position behind it NaN: nothing of it may stay in a buffer that others share.
    if (Number.isNaN(frameBytes)) throw new TypeError('a part of a frame is no Uint8Array')
    if (frameBytes > this.frameBytesMax) {
      this.#at = start
      return { kind: 'LimitExceeded', limit: 'frameBytesMax', actual: frameBytes, max: this.frameBytesMax }
    }
    this.#view.setUint32(start + frameHeaderBytes, root - start - frameHeaderBytes, true)
    this.#view.setUint32(start + 16, frameBytes - frameHeaderBytes, true)
    this.#view.setUint32(start + 20, crc32c(this.#bytes, start, start + 20), true)
    return undefined
  }

  /** Takes back the frame under construction. */
  dropFrame(): void { this.#at = this.#frame }

  // ---- tables

  /** Appends vtable and inline part. @returns the table's position, which is 4 mod 8 */
  table(layout: Layout): number {
    const vtable = layout.vtable
    const start = this.#at
    const at = (start + 3) & ~3
    const afterVtable = at + vtable.length * 2
    const t = afterVtable + ((12 - (afterVtable & 7)) & 7)
    const end = t + layout.tableBytes
    if (end > this.#bytes.length) this.#grow(end)
    const view = this.#view
    this.#bytes.fill(0, start, end)
    for (let i = 0; i < vtable.length; i++) view.setUint16(at + i * 2, vtable[i]!, true)
    view.setInt32(t, t - at, true)
    this.#at = end
    return t
  }

  absent(t: number, slot: number): void {
    this.#view.setUint16(t - this.#view.getInt32(t, true) + slot, 0, true)
  }

  link(slot: number, target: number): void { this.#view.setUint32(slot, target - slot, true) }

  bytes(slot: number, value: Uint8Array): void {
    const at = this.beginBytes(slot)
    this.append(value)
    this.endBytes(at)
  }

  string(slot: number, value: string): void {
    const at = this.beginBytes(slot)
    const room = this.reserve(value.length * 3)
    const written = this.#encoder.encodeInto(value, this.#bytes.subarray(room, this.#at)).written
    this.#at = room + written
    this.endBytes(at)
    this.#appendZero()
  }

  /** A [ubyte] or string whose content is appended next. */
  beginBytes(slot: number): number {
    this.#align4()
    const at = this.reserve(4)
    this.link(slot, at)
    return at
  }

  endBytes(at: number): void { this.#view.setUint32(at, this.#at - at - 4, true) }

  /** A vector of `count` references. @returns the position of the first, to be linked */
  offsetVector(slot: number, count: number): number {
    this.#align4()
    return this.#vector(slot, count, 4)
  }

  /** A vector of 8-aligned structs or numbers. @returns the position of the first, zeroed */
  inlineVector(slot: number, count: number, itemBytes: number): number {
    this.#align4()
    if (((this.#at + 4) & 7) !== 0) {
      const at = this.reserve(4)
      this.#bytes.fill(0, at, this.#at)
    }
    return this.#vector(slot, count, itemBytes)
  }

  strings(slot: number, values: readonly string[]): void {
    const list = this.offsetVector(slot, values.length)
    for (let i = 0; i < values.length; i++) this.string(list + i * 4, values[i]!)
  }

  u64s(slot: number, values: readonly number[]): void {
    const list = this.inlineVector(slot, values.length, 8)
    for (let i = 0; i < values.length; i++) this.setU64(list + i * 8, values[i]!)
  }

  // ---- raw

  /** @returns the position of `count` bytes of undefined content */
  reserve(count: number): number {
    const at = this.#at
    if (at + count > this.#bytes.length) this.#grow(at + count)
    this.#at = at + count
    return at
  }

  append(value: Uint8Array): void {
    const length = value.length
    const at = this.reserve(length)
    if (length > loopBytesMax) this.#bytes.set(value, at)
    else for (let i = 0, bytes = this.#bytes; i < length; i++) bytes[at + i] = value[i]!
  }

  setU8(at: number, value: number): void { this.#view.setUint8(at, value) }
  setU16(at: number, value: number): void { this.#view.setUint16(at, value, true) }
  setU32(at: number, value: number): void { this.#view.setUint32(at, value, true) }
  setF64(at: number, value: number): void { this.#view.setFloat64(at, value, true) }
  setBig(at: number, value: bigint): void { this.#view.setBigUint64(at, value, true) }

  setU64(at: number, value: number): void {
    assert(value >= 0 && value <= Number.MAX_SAFE_INTEGER, () => `not an unsigned 53-bit number: ${value}`)
    this.#view.setUint32(at, value >>> 0, true)
    this.#view.setUint32(at + 4, value < two32 ? 0 : value / two32, true)
  }

  #vector(slot: number, count: number, itemBytes: number): number {
    const at = this.reserve(4 + count * itemBytes)
    this.#bytes.fill(0, at, this.#at)
    this.link(slot, at)
    this.#view.setUint32(at, count, true)
    return at + 4
  }

  #align4(): void { while ((this.#at & 3) !== 0) this.#appendZero() }

  #appendZero(): void {
    // Reserve first: growing replaces the view.
    const at = this.reserve(1)
    this.#view.setUint8(at, 0)
  }

  #ensure(count: number): void {
    if (this.#at + count > this.#bytes.length) this.#grow(this.#at + count)
  }

  #grow(needed: number): void {
    const old = this.#bytes
    this.#allocate(Math.max(needed, old.length * 2))
    this.#bytes.set(old.subarray(0, this.#at))
  }

  #allocate(bytes: number): void {
    this.#bytes = new Uint8Array(bytes)
    this.#view = new DataView(this.#bytes.buffer)
  }
}
