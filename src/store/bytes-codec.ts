import { copyBytes, fromUtf8, utf8 } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'

/** Small records: bytes, numbers below 2^53 as two little-endian u32, length-prefixed bytes. */
export class ByteWriter {
  #buffer = new Uint8Array(128)
  #length = 0

  u8(value: number): this {
    this.#room(1)
    this.#buffer[this.#length++] = value
    return this
  }

  uint(value: number): this {
    this.#room(8)
    const view = new DataView(this.#buffer.buffer)
    view.setUint32(this.#length, value % 2 ** 32, true)
    view.setUint32(this.#length + 4, Math.floor(value / 2 ** 32), true)
    this.#length += 8
    return this
  }

  bytes(value: Uint8Array): this {
    this.uint(value.length)
    this.#room(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
    return this
  }

  text(value: string): this { return this.bytes(utf8(value)) }

  /** @returns owned bytes */
  finish(): Uint8Array { return copyBytes(this.#buffer.subarray(0, this.#length)) }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes))
    larger.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = larger
  }
}

/** The reading side. Whatever does not fit is a StorageError('corruption') that names `what`. */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#what = what
  }

  u8(): number {
    this.#need(1)
    return this.#bytes[this.#at++]!
  }

  uint(): number {
    this.#need(8)
    const value = this.#view.getUint32(this.#at, true) + this.#view.getUint32(this.#at + 4, true) * 2 ** 32
    this.#at += 8
    if (!Number.isSafeInteger(value)) this.#fail('a number is out of range')
    return value
  }

  /** @returns owned bytes */
  bytes(): Uint8Array {
    const length = this.uint()
    this.#need(length)
    const value = copyBytes(this.#bytes.subarray(this.#at, this.#at + length))
    this.#at += length
    return value
  }

  text(): string { return fromUtf8(this.bytes()) }

  version(expected: number): void {
    const version = this.u8()
    if (version !== expected) this.#fail(`version ${version} instead of ${expected}`)
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.#fail('bytes behind the end')
  }

  #need(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) this.#fail('cut short')
  }

  #fail(reason: string): never { throw new StorageError('corruption', `${this.#what}: ${reason}`) }
}
