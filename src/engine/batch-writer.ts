import { assert } from '../common/assert.js'
import { emptyBytes } from '../common/bytes.js'
import { BatchOp, batchRecordHeaderBytes } from './api.js'
import type { Cf } from './api.js'

const initialBytes = 256
const keptBytesMax = 4 << 20

/** Packs operations into the record stream of engine/api.ts. `finish` hands the bytes out and starts anew. */
export class BatchWriter {
  #buffer = new Uint8Array(initialBytes)
  #view = new DataView(this.#buffer.buffer)
  #length = 0
  #count = 0

  /** Bytes so far. */
  get bytes(): number { return this.#length }
  /** Operations so far. */
  get count(): number { return this.#count }

  put(cf: Cf, key: Uint8Array, value: Uint8Array): this { return this.add(BatchOp.Put, cf, key, value) }
  del(cf: Cf, key: Uint8Array): this { return this.add(BatchOp.Delete, cf, key, emptyBytes) }
  /** [start, end); empty end = no bound. */
  deleteRange(cf: Cf, start: Uint8Array, end: Uint8Array): this { return this.add(BatchOp.DeleteRange, cf, start, end) }

  /** Any record, also ops above 15 that belong to the state machine. Copies both. */
  add(op: number, cf: Cf, key: Uint8Array, value: Uint8Array): this {
    const at = this.#length
    const end = at + batchRecordHeaderBytes + key.length + value.length
    if (end > this.#buffer.length) this.#grow(end)
    const view = this.#view
    view.setUint16(at, op | (cf << 8), true)
    view.setUint16(at + 2, 0, true)
    view.setUint32(at + 4, key.length, true)
    view.setUint32(at + 8, value.length, true)
    this.#buffer.set(key, at + batchRecordHeaderBytes)
    this.#buffer.set(value, at + batchRecordHeaderBytes + key.length)
    this.#length = end
    this.#count++
    return this
  }

  /** Records that are packed already. */
  append(records: Uint8Array, count: number): this {
    const end = this.#length + records.length
    if (end > this.#buffer.length) this.#grow(end)
    this.#buffer.set(records, this.#length)
    this.#length = end
    this.#count += count
    return this
  }

  /** Borrowed until the next change. For who hands them on at once: nothing is allocated. */
  view(): Uint8Array { return this.#buffer.subarray(0, this.#length) }

  /** Empty again, with the same memory unless it has grown beyond what is worth keeping. */
  clear(): void {
    if (this.#buffer.length > keptBytesMax) {
      this.#buffer = new Uint8Array(keptBytesMax)
      this.#view = new DataView(this.#buffer.buffer)
    }
    this.#length = 0
    this.#count = 0
  }

  /** @returns owned bytes; the writer is empty again */
  finish(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#length)
    this.#buffer = new Uint8Array(Math.max(initialBytes, Math.min(this.#length, 1 << 20)))
    this.#view = new DataView(this.#buffer.buffer)
    this.#length = 0
    this.#count = 0
    return bytes
  }

  #grow(bytes: number): void {
    const larger = new Uint8Array(Math.max(bytes, this.#buffer.length * 2))
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
    this.#view = new DataView(larger.buffer)
  }
}

export interface BatchRecord {
  readonly op: number
  readonly cf: Cf
  /** Borrowed views of the batch. */
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Is it a row of whole records? Engines and the wire reject what is not. */
export function isBatch(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < batchRecordHeaderBytes || bytes[at + 1]! > 3) return false
    at += batchRecordHeaderBytes + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)
  }
  return at === bytes.length
}

/** Walks a packed batch; keys and values are views. Malformed ones are an assertion: check with isBatch. */
export function* readBatch(bytes: Uint8Array): Generator<BatchRecord> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  while (at < bytes.length) {
    assert(bytes.length - at >= batchRecordHeaderBytes, 'batch: cut record header')
    const keyBytes = view.getUint32(at + 4, true)
    const valueBytes = view.getUint32(at + 8, true)
    const keyAt = at + batchRecordHeaderBytes
    const end = keyAt + keyBytes + valueBytes
    assert(end <= bytes.length, 'batch: record longer than the batch')
    yield {
      op: bytes[at]!,
      cf: bytes[at + 1]! as Cf,
      key: bytes.subarray(keyAt, keyAt + keyBytes),
      value: bytes.subarray(keyAt + keyBytes, end),
    }
    at = end
  }
}
