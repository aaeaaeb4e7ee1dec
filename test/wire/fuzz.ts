/** Mutated frames through FrameReader and FrameDecoder. Shared by the test, by `npm run fuzz` and by the tests of transport. */
import { copyBytes } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import type { Result } from '../../src/common/result.js'
import {
  FrameDecoder, encodeCancel, encodeErrorOfKind, encodeHello, encodeProtocolError, encodeRaft, encodeRequest,
  encodeResponse, rpcNameOf,
} from '../../src/wire/codec.js'
import { crc32c } from '../../src/wire/crc32c.js'
import { FrameReader, frameErrorKinds, frameHeaderBytes } from '../../src/wire/frame.js'
import type { FrameError } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { FrameKind } from '../../src/wire/messages.js'
import type { Requests, Responses, RpcName } from '../../src/wire/messages.js'
import { appendEnvelope, envelopes, errors, requests, responses } from './samples.js'

/** Seeded dice (mulberry32). */
export class Dice {
  #state: number
  constructor(seed: number) { this.#state = seed >>> 0 }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  below(bound: number): number { return Math.floor(this.next() / 2 ** 32 * bound) }
  pick<T>(list: readonly T[]): T { return list[this.below(list.length)]! }
}

const names = Object.keys(requests) as RpcName[]

/** One valid frame of every kind and shape. */
export function validFrames(): Uint8Array[] {
  const frames: Uint8Array[] = []
  const add = (write: (w: FrameWriter) => void): void => {
    const w = new FrameWriter()
    write(w)
    frames.push(copyBytes(w.view()))
  }
  for (const name of names) {
    for (const request of requests[name]) add(w => encodeRequest(name, 7, request as Requests[typeof name], w))
    for (const response of responses[name]) add(w => encodeResponse(name, 7, ok(response as Responses[typeof name]), w))
  }
  for (const error of errors) add(w => encodeResponse('RawGet', 7, { ok: false, error }, w))
  add(w => encodeHello({ protocolVersion: 1, clusterId: 2n ** 63n, role: 'store', nodeId: 4 }, w))
  add(w => encodeHello({ protocolVersion: 1, clusterId: 0n, role: 'client', nodeId: 0 }, w))
  add(w => encodeRaft([], w))
  add(w => encodeRaft(envelopes, w))
  add(w => encodeRaft([appendEnvelope(20, 16)], w))
  for (const envelope of envelopes) add(w => encodeRaft([envelope], w))
  add(w => encodeCancel(7, w))
  add(w => encodeProtocolError('a reason', w))
  add(w => encodeErrorOfKind(120, 5, { kind: 'Unimplemented', what: 'kind 120' }, w))
  return frames
}

/** Numbers that break arithmetic: offsets backwards, counts near overflow, one more than there is. */
const hostile = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x1fffff, 0x200000,
  0x3fffffff, 0x40000000, 0x7ffffffc, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff0, 0xfffffffc, 0xffffffff,
]

export class Mutator {
  readonly dice: Dice
  readonly #frames: readonly Uint8Array[]

  constructor(seed: number, frames: readonly Uint8Array[] = validFrames()) {
    this.dice = new Dice(seed)
    this.#frames = frames
  }

  /** @returns a message: mostly one damaged frame, sometimes several with one or two damaged */
  next(): Uint8Array {
    const count = this.dice.below(8) === 0 ? 2 + this.dice.below(3) : 1
    if (count === 1) return this.#damaged()
    const parts = Array.from({ length: count }, () => this.dice.below(3) === 0 ? this.#damaged() : this.dice.pick(this.#frames))
    return new Uint8Array(Buffer.concat(parts))
  }

  #damaged(): Uint8Array {
    let frame: Uint8Array = copyBytes(this.dice.pick(this.#frames))
    for (let i = 0, times = 1 + this.dice.below(3); i < times; i++) frame = this.#mutate(frame)
    // Most must get past the header, or only the header is tested.
    if (frame.length >= frameHeaderBytes && this.dice.below(8) !== 0) repair(frame, this.dice.below(4) !== 0)
    return frame
  }

  #mutate(frame: Uint8Array): Uint8Array {
    const { dice } = this
    if (frame.length === 0) return frame
    switch (dice.below(10)) {
      case 0: return this.#flipBits(frame)
      case 1: return this.#setByte(frame)
      case 2: case 3: case 4: return this.#setNumber(frame)
      case 5: return frame.subarray(0, dice.below(frame.length))
      case 6: return this.#splice(frame)
      case 7: return this.#cut(frame)
      case 8: return this.#swapKind(frame)
      default: return this.#moveOffset(frame)
    }
  }

  /** Bodies more often than headers. */
  #place(frame: Uint8Array): number {
    const from = frame.length > frameHeaderBytes && this.dice.below(6) !== 0 ? frameHeaderBytes : 0
    return from + this.dice.below(frame.length - from)
  }

  #flipBits(frame: Uint8Array): Uint8Array {
    for (let i = 0, times = 1 + this.dice.below(8); i < times; i++) frame[this.#place(frame)]! ^= 1 << this.dice.below(8)
    return frame
  }

  #setByte(frame: Uint8Array): Uint8Array {
    frame[this.#place(frame)] = this.dice.pick(hostile) & 0xff
    return frame
  }

  #setNumber(frame: Uint8Array): Uint8Array {
    const { dice } = this
    const at = this.#place(frame) & (dice.below(4) === 0 ? ~0 : ~3)
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    const value = dice.below(3) === 0 ? (frame.length + dice.below(9) - 4) >>> 0 : dice.pick(hostile)
    if (at + 4 <= frame.length && dice.below(3) !== 0) view.setUint32(at, value, true)
    else if (at + 2 <= frame.length) view.setUint16(at, value & 0xffff, true)
    return frame
  }

  /** A reference or length a little off: the kind of damage that still leads somewhere. */
  #moveOffset(frame: Uint8Array): Uint8Array {
    const at = this.#place(frame) & ~3
    if (at + 4 > frame.length) return frame
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    view.setUint32(at, (view.getUint32(at, true) + this.dice.below(65) - 32) >>> 0, true)
    return frame
  }

  /** Bytes of another frame over ours, or between them. */
  #splice(frame: Uint8Array): Uint8Array {
    const { dice } = this
    const other = dice.pick(this.#frames)
    const from = dice.below(other.length)
    const part = other.subarray(from, from + 1 + dice.below(Math.min(200, other.length - from)))
    const at = this.#place(frame)
    const skipped = dice.below(2) === 0 ? 0 : part.length
    return new Uint8Array(Buffer.concat([frame.subarray(0, at), part, frame.subarray(at + skipped)]))
  }

  #cut(frame: Uint8Array): Uint8Array {
    const at = this.#place(frame)
    return new Uint8Array(Buffer.concat([frame.subarray(0, at), frame.subarray(at + 1 + this.dice.below(32))]))
  }

  /** The body of one kind under the name of another. */
  #swapKind(frame: Uint8Array): Uint8Array {
    if (frame.length < frameHeaderBytes) return frame
    frame[3] = this.dice.pick(this.#frames)[3]!
    return frame
  }
}

/** Makes the header's checksum, and its length if wanted, right again. */
export function repair(frame: Uint8Array, withLength: boolean): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (withLength) view.setUint32(16, frame.length - frameHeaderBytes, true)
  view.setUint32(20, crc32c(frame, 0, 20), true)
}

export interface Outcome {
  frames: number
  good: number
  /** By kind of damage. */
  readonly damaged: Record<string, number>
  slowestMs: number
}

/** What is left of a frame after decoding is encoded and decoded again, for one in so many. */
const roundTripEvery = 8

/** Reads messages as both ends of a connection would. Throws, with the input, at whatever must not happen. */
export class Target {
  readonly outcome: Outcome = { frames: 0, good: 0, damaged: {}, slowestMs: 0 }
  readonly #reader = new FrameReader()
  readonly #decoder = new FrameDecoder()
  #slowest: Uint8Array = new Uint8Array(0)

  read(message: Uint8Array): void {
    const startedAt = performance.now()
    try {
      this.#read(message)
    } catch (error) {
      throw new Error(`${String(error)}; the input: ${Buffer.from(message).toString('hex')}`, { cause: error })
    }
    const tookMs = performance.now() - startedAt
    if (tookMs <= this.outcome.slowestMs) return
    this.outcome.slowestMs = tookMs
    this.#slowest = message
  }

  /** A busy machine makes any input slow once: the slowest is read again. */
  settle(): void {
    const message = this.#slowest
    let bestMs = this.outcome.slowestMs
    for (let i = 0; i < 3; i++) {
      const startedAt = performance.now()
      this.#read(message)
      bestMs = Math.min(bestMs, performance.now() - startedAt)
    }
    this.outcome.slowestMs = bestMs
  }

  #read(message: Uint8Array): void {
    const reader = this.#reader
    reader.reset(message)
    for (;;) {
      const next = reader.next()
      if (next === 'end') return
      if (next === 'damaged') return this.#count(reader.error)
      this.outcome.frames++
      if (!this.#decode(reader)) return
    }
  }

  #decode(frame: FrameReader): boolean {
    const name = rpcNameOf(frame.kind)
    switch (frame.kind) {
      case FrameKind.Hello: return this.#judge(frame, f => this.#decoder.decodeHello(f))
      case FrameKind.Raft: return this.#judge(frame, f => this.#decoder.decodeRaft(f), (value, w) => encodeRaft(value, w))
      case FrameKind.ProtocolError: return this.#judge(frame, f => this.#decoder.decodeProtocolError(f))
      case FrameKind.Cancel: return this.#judge(frame, f => this.#decoder.decodeCancel(f))
    }
    if (frame.kind < 0x80 || name === undefined) {
      return this.#judge(frame, f => this.#decoder.decodeRequest(f),
        (value, w) => encodeRequest(value.name, 1, value.request as Requests[RpcName], w))
    }
    return this.#judge(frame, f => this.#decoder.decodeResponse(name, f), (value, w) => encodeResponse(name, 1, value, w))
  }

  #judge<T>(frame: FrameReader, decode: Decode<T>, encode?: Encode<T>): boolean {
    const result = decode(frame)
    if (!result.ok) {
      this.#count(result.error)
      return false
    }
    this.outcome.good++
    inspect(result.value, frame)
    if (encode !== undefined && this.outcome.good % roundTripEvery === 0) roundTrip(result.value, decode, encode)
    return true
  }

  #count(error: FrameError | undefined): void {
    if (error === undefined || !frameErrorKinds.includes(error.kind)) throw new Error(`not a frame error: ${JSON.stringify(error)}`)
    this.outcome.damaged[error.kind] = (this.outcome.damaged[error.kind] ?? 0) + 1
  }
}

type Decode<T> = (frame: FrameReader) => Result<T, FrameError>
type Encode<T> = (value: T, w: FrameWriter) => unknown

/** Numbers are numbers, and bytes are views into this frame's body, not into its neighbours. */
function inspect(value: unknown, frame: FrameReader): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Error(`not a finite number: ${value}`)
  } else if (value instanceof Uint8Array) {
    const at = value.byteOffset - frame.bytes.byteOffset
    const isInside = value.buffer === frame.bytes.buffer && at >= frame.bodyStart && at + value.length <= frame.bodyEnd
    if (value.length > 0 && !isInside) throw new Error(`${value.length} bytes at ${at} are outside ${frame.bodyStart}..${frame.bodyEnd}`)
  } else if (typeof value === 'object' && value !== null) {
    for (const field of Object.values(value)) inspect(field, frame)
  }
}

/** What passed the decoder is a message like any other: it can be written, and reads the same. */
function roundTrip<T>(value: T, decode: Decode<T>, encode: Encode<T>): void {
  const w = new FrameWriter()
  if (encode(value, w) !== undefined) return // over a limit of the writer
  const reader = new FrameReader()
  reader.reset(copyBytes(w.view()))
  if (reader.next() !== 'frame') throw new Error('what was decoded cannot be encoded')
  const again = decode(reader)
  if (!again.ok) throw new Error(`what was decoded and encoded is damaged: ${JSON.stringify(again.error)}`)
  if (asText(again.value) !== asText(value)) throw new Error(`reads differently: ${asText(value)} and ${asText(again.value)}`)
}

const asText = (value: unknown): string => JSON.stringify(value, (key, field: unknown) => {
  if (typeof field === 'bigint') return `${field}n`
  return field instanceof Uint8Array ? Buffer.from(field).toString('hex') : field
})

/** @returns the time of the slowest input and what came of all */
export function fuzz(options: { readonly seed: number; readonly count: number; readonly onProgress?: (done: number) => void }): Outcome {
  const mutator = new Mutator(options.seed)
  const target = new Target()
  for (let i = 0; i < options.count; i++) {
    const message = mutator.next()
    try {
      target.read(message)
    } catch (error) {
      throw new Error(`seed ${options.seed}, input ${i}: ${(error as Error).message}`, { cause: error })
    }
    if ((i & 0xffff) === 0xffff) options.onProgress?.(i + 1)
  }
  target.settle()
  return target.outcome
}
