import { emptyBytes, fromUtf8 } from '../common/bytes.js'

/** Thrown while a verified body is read (blocks, variants); caught by the codec's decode functions only. */
export class BodyDamage extends Error {
  override readonly name = 'BodyDamage'
  constructor(readonly path: string) { super(path) }
}

const two32 = 0x100000000
/** Upper 32 bits of a number below 2^53. */
const highMax = 0x1fffff

/**
 * Reads FlatBuffers tables that the verifier has passed. `t` is a table's position, `vt` its vtable's, `slot` a field's
 * place in the vtable. Byte fields are views into the message.
 */
export class BodyReader {
  #bytes: Uint8Array = emptyBytes
  #view = new DataView(emptyBytes.buffer)

  reset(bytes: Uint8Array, view: DataView): void {
    this.#bytes = bytes
    this.#view = view
  }

  vtable(t: number): number { return t - this.#view.getInt32(t, true) }

  /** @returns position of the field inside the table; 0: absent */
  field(t: number, vt: number, slot: number): number {
    if (slot >= this.#view.getUint16(vt, true)) return 0
    const offset = this.#view.getUint16(vt + slot, true)
    return offset === 0 ? 0 : t + offset
  }

  /** @returns what an offset field points to; 0: absent */
  target(t: number, vt: number, slot: number): number {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0 : at + this.#view.getUint32(at, true)
  }

  u8(at: number): number { return this.#view.getUint8(at) }
  u16(at: number): number { return this.#view.getUint16(at, true) }
  u32(at: number): number { return this.#view.getUint32(at, true) }

  /** @throws BodyDamage when it is not below 2^53 */
  u64(at: number): number {
    const high = this.#view.getUint32(at + 4, true)
    const low = this.#view.getUint32(at, true)
    if (high === 0) return low
    if (high > highMax) throw new BodyDamage('number over 2^53')
    return high * two32 + low
  }

  /** @returns a view of [from, from + count) */
  slice(from: number, count: number): Uint8Array {
    if (count === 0) return emptyBytes
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + from, count)
  }

  fieldU8(t: number, vt: number, slot: number): number {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0 : this.#view.getUint8(at)
  }

  fieldU32(t: number, vt: number, slot: number): number {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0 : this.#view.getUint32(at, true)
  }

  fieldU64(t: number, vt: number, slot: number): number {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0 : this.u64(at)
  }

  fieldU64OrNone(t: number, vt: number, slot: number): number | undefined {
    const at = this.field(t, vt, slot)
    return at === 0 ? undefined : this.u64(at)
  }

  fieldBig(t: number, vt: number, slot: number): bigint {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0n : this.#view.getBigUint64(at, true)
  }

  fieldU32OrNone(t: number, vt: number, slot: number): number | undefined {
    const at = this.field(t, vt, slot)
    return at === 0 ? undefined : this.#view.getUint32(at, true)
  }

  fieldBigOrNone(t: number, vt: number, slot: number): bigint | undefined {
    const at = this.field(t, vt, slot)
    return at === 0 ? undefined : this.#view.getBigUint64(at, true)
  }

  fieldF64(t: number, vt: number, slot: number): number {
    const at = this.field(t, vt, slot)
    return at === 0 ? 0 : this.#view.getFloat64(at, true)
  }

  bytes(t: number, vt: number, slot: number): Uint8Array {
    const at = this.target(t, vt, slot)
    return at === 0 ? emptyBytes : this.slice(at + 4, this.u32(at))
  }

  bytesOrNone(t: number, vt: number, slot: number): Uint8Array | undefined {
    const at = this.target(t, vt, slot)
    return at === 0 ? undefined : this.slice(at + 4, this.u32(at))
  }

  string(t: number, vt: number, slot: number): string { return this.stringOrNone(t, vt, slot) ?? '' }

  stringOrNone(t: number, vt: number, slot: number): string | undefined {
    const at = this.target(t, vt, slot)
    return at === 0 ? undefined : fromUtf8(this.slice(at + 4, this.u32(at)))
  }

  strings(t: number, vt: number, slot: number): string[] {
    const at = this.target(t, vt, slot)
    const values: string[] = []
    for (let i = 0, count = at === 0 ? 0 : this.u32(at); i < count; i++) {
      const place = at + 4 + i * 4
      const text = place + this.u32(place)
      values.push(fromUtf8(this.slice(text + 4, this.u32(text))))
    }
    return values
  }

  u64s(t: number, vt: number, slot: number): number[] { return this.u64sOrNone(t, vt, slot) ?? [] }

  u64sOrNone(t: number, vt: number, slot: number): number[] | undefined {
    const at = this.target(t, vt, slot)
    if (at === 0) return undefined
    const values: number[] = []
    for (let i = 0, count = this.u32(at); i < count; i++) values.push(this.u64(at + 4 + i * 8))
    return values
  }

  /** An ordinary table's struct is always there: the verifier saw to it. */
  struct(t: number, vt: number, slot: number): number { return this.field(t, vt, slot) }

  structOrNone<T>(t: number, vt: number, slot: number, read: (r: BodyReader, at: number) => T): T | undefined {
    const at = this.field(t, vt, slot)
    return at === 0 ? undefined : read(this, at)
  }

  structs<T>(t: number, vt: number, slot: number, itemBytes: number, read: (r: BodyReader, at: number) => T): T[] {
    const at = this.target(t, vt, slot)
    const values: T[] = []
    for (let i = 0, count = at === 0 ? 0 : this.u32(at); i < count; i++) values.push(read(this, at + 4 + i * itemBytes))
    return values
  }

  tables<T>(t: number, vt: number, slot: number, read: (r: BodyReader, t: number) => T): T[] {
    const at = this.target(t, vt, slot)
    const values: T[] = []
    for (let i = 0, count = at === 0 ? 0 : this.u32(at); i < count; i++) {
      const place = at + 4 + i * 4
      values.push(read(this, place + this.u32(place)))
    }
    return values
  }

  /** A vector of name and value as a map. `__proto__` is a name like any other. */
  record(t: number, vt: number, slot: number,
    read: (r: BodyReader, t: number) => { readonly name: string; readonly value: string }): Record<string, string> {
    return Object.fromEntries(this.tables(t, vt, slot, read).map(({ name, value }) => [name, value]))
  }
}
