import { emptyBytes } from '../common/bytes.js'
import type { FrameReader } from '../wire/frame.js'

/** What all connections of a server hold of others' bytes. */
export interface Held {
  inboxBytes: number
  requestBytes: number
}

interface Message { readonly bytes: Uint8Array; readonly arrivedAtMs: number }

/** Messages of one connection that have arrived, and the reader that walks through the first of them. */
export class Inbox {
  readonly #held: Held
  readonly #reader: FrameReader
  readonly #next: Message[] = []
  #bytes = 0
  #isReading = false
  /** When what the reader reads came: time-outs count from there. */
  arrivedAtMs = 0

  constructor(held: Held, reader: FrameReader) {
    this.#held = held
    this.#reader = reader
  }

  /** The message that is read counts until its end: decoded values are views into it. */
  get bytes(): number { return this.#bytes }
  get isEmpty(): boolean { return this.#next.length === 0 && (!this.#isReading || this.#reader.isAtEnd) }

  /** @param bytes owned */
  push(bytes: Uint8Array, arrivedAtMs: number): void {
    this.#bytes += bytes.length
    this.#held.inboxBytes += bytes.length
    if (this.#isReading) this.#next.push({ bytes, arrivedAtMs })
    else this.#read(bytes, arrivedAtMs)
  }

  /** The reader is at the end of its message. @returns whether there is another */
  advance(): boolean {
    this.#letGo()
    const next = this.#next.shift()
    if (next !== undefined) this.#read(next.bytes, next.arrivedAtMs)
    return next !== undefined
  }

  clear(): void {
    this.#held.inboxBytes -= this.#bytes
    this.#bytes = 0
    this.#next.length = 0
    this.#isReading = false
  }

  #read(bytes: Uint8Array, arrivedAtMs: number): void {
    this.#reader.reset(bytes)
    this.arrivedAtMs = arrivedAtMs
    this.#isReading = true
  }

  #letGo(): void {
    if (!this.#isReading) return
    const { length } = this.#reader.bytes
    this.#bytes -= length
    this.#held.inboxBytes -= length
    this.#reader.reset(emptyBytes)
    this.#isReading = false
  }
}
