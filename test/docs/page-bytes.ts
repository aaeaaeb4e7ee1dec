/** Frames, bodies, keys and blocks, written from docs/PROTOCOL.md alone: nothing of src/ is imported here. */

// ---- section 3: frames

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

export interface Frame {
  readonly kind: number
  readonly requestId: number
  readonly body: Uint8Array
}

export function frame(kind: number, requestId: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(24 + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0x614b, true)
  bytes[2] = 1
  bytes[3] = kind
  view.setBigUint64(8, BigInt(requestId), true)
  view.setUint32(16, body.length, true)
  view.setUint32(20, crc32c(bytes.subarray(0, 20)), true)
  bytes.set(body, 24)
  return bytes
}

/** The frames of one message. @throws on everything that the page calls damage of a header */
export function framesOf(message: Uint8Array): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < message.length;) {
    if (message.length - at < 24) throw new Error('cut header')
    const view = new DataView(message.buffer, message.byteOffset + at, message.length - at)
    if (view.getUint16(0, true) !== 0x614b || view.getUint8(2) !== 1) throw new Error('magic or version')
    if (view.getUint32(20, true) !== crc32c(message.subarray(at, at + 20))) throw new Error('checksum')
    const bytes = view.getUint32(16, true)
    if (bytes > message.length - at - 24) throw new Error('cut body')
    frames.push({ kind: view.getUint8(3), requestId: Number(view.getBigUint64(8, true)),
      body: message.subarray(at + 24, at + 24 + bytes) })
    at += 24 + bytes
  }
  return frames
}

// ---- section 4: bodies

export type Field =
  | undefined
  | { readonly u8: number } | { readonly u32: number } | { readonly u64: number | bigint }
  | { readonly struct: Uint8Array } | { readonly bytes: Uint8Array } | { readonly table: readonly Field[] }

export const u64le = (...values: readonly (number | bigint)[]): Uint8Array => {
  const bytes = new Uint8Array(values.length * 8)
  values.forEach((value, at) => new DataView(bytes.buffer).setBigUint64(at * 8, BigInt(value), true))
  return bytes
}

export const u32le = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const inlineBytes = (field: Exclude<Field, undefined>): Uint8Array => {
  if ('u8' in field) return Uint8Array.of(field.u8)
  if ('u32' in field) return u32le(field.u32)
  if ('u64' in field) return u64le(field.u64)
  return 'struct' in field ? field.struct : u32le(0)
}

/** vtable, inline part, then what it refers to; not aligned, which the page allows. References are relative. */
function tableBytes(fields: readonly Field[]): { bytes: Uint8Array; position: number } {
  const vtable = new Uint8Array(4 + fields.length * 2)
  const view = new DataView(vtable.buffer)
  const inline: Uint8Array[] = [u32le(vtable.length)]
  let inlineLength = 4
  fields.forEach((field, id) => {
    if (field === undefined) return
    view.setUint16(4 + id * 2, inlineLength, true)
    inline.push(inlineBytes(field))
    inlineLength += inline.at(-1)!.length
  })
  view.setUint16(0, vtable.length, true)
  view.setUint16(2, inlineLength, true)
  let bytes = concat(vtable, ...inline)
  fields.forEach((field, id) => {
    if (field === undefined || !('bytes' in field || 'table' in field)) return
    const place = vtable.length + view.getUint16(4 + id * 2, true)
    const child = 'table' in field ? tableBytes(field.table)
      : { bytes: concat(u32le(field.bytes.length), field.bytes), position: 0 }
    new DataView(bytes.buffer).setUint32(place, bytes.length + child.position - place, true)
    bytes = concat(bytes, child.bytes)
  })
  return { bytes, position: vtable.length }
}

export function body(...fields: readonly Field[]): Uint8Array {
  const root = tableBytes(fields)
  return concat(u32le(4 + root.position), root.bytes)
}

/** Reads a table by field ids. */
export class Table {
  readonly #view: DataView
  constructor(readonly bytes: Uint8Array, readonly position: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  static root(bytes: Uint8Array): Table {
    return new Table(bytes, new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true))
  }

  /** Where the field is, 0 = absent. */
  at(id: number): number {
    const vtable = this.position - this.#view.getInt32(this.position, true)
    if (4 + id * 2 >= this.#view.getUint16(vtable, true)) return 0
    const offset = this.#view.getUint16(vtable + 4 + id * 2, true)
    return offset === 0 ? 0 : this.position + offset
  }

  has(id: number): boolean { return this.at(id) !== 0 }
  u8(id: number): number { return this.has(id) ? this.#view.getUint8(this.at(id)) : 0 }
  u32(id: number): number { return this.has(id) ? this.#view.getUint32(this.at(id), true) : 0 }
  big(id: number): bigint { return this.has(id) ? this.#view.getBigUint64(this.at(id), true) : 0n }
  u64(id: number): number { return Number(this.big(id)) }
  f64(id: number): number { return this.has(id) ? this.#view.getFloat64(this.at(id), true) : 0 }
  struct(id: number, bytes: number): Uint8Array { return this.bytes.subarray(this.at(id), this.at(id) + bytes) }

  #follow(place: number): number { return place + this.#view.getUint32(place, true) }
  #bytesAt(target: number): Uint8Array {
    return this.bytes.subarray(target + 4, target + 4 + this.#view.getUint32(target, true))
  }

  table(id: number): Table | undefined { return this.has(id) ? new Table(this.bytes, this.#follow(this.at(id))) : undefined }
  vector(id: number): Uint8Array | undefined { return this.has(id) ? this.#bytesAt(this.#follow(this.at(id))) : undefined }
  text(id: number): string { return new TextDecoder().decode(this.vector(id)) }

  #references(id: number): number[] {
    if (!this.has(id)) return []
    const list = this.#follow(this.at(id))
    return Array.from({ length: this.#view.getUint32(list, true) }, (_, i) => this.#follow(list + 4 + i * 4))
  }

  tables(id: number): Table[] { return this.#references(id).map(target => new Table(this.bytes, target)) }
  texts(id: number): string[] { return this.#references(id).map(target => new TextDecoder().decode(this.#bytesAt(target))) }
}

// ---- section 6: keys

export function wireKey(keyspace: number, userKey: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x72, keyspace >>> 16, keyspace >>> 8, keyspace), userKey)
}

export function engineKey(plain: Uint8Array): Uint8Array {
  const groups: Uint8Array[] = []
  for (let at = 0; at <= plain.length; at += 8) {
    const part = plain.subarray(at, at + 8)
    const group = new Uint8Array(9)
    group.set(part)
    group[8] = 0xff - (8 - part.length)
    groups.push(group)
  }
  return concat(...groups)
}

export function plainKey(engine: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = []
  for (let at = 0; at < engine.length; at += 9) parts.push(engine.subarray(at, at + 8 - (0xff - engine[at + 8]!)))
  return concat(...parts)
}

// ---- section 7: blocks

export interface Peer { readonly peerId: number; readonly storeId: number; readonly role: number }
export interface Region {
  readonly regionId: number
  readonly confVer: number
  readonly version: number
  readonly peers: readonly Peer[]
  readonly startKey: Uint8Array
  readonly endKey: Uint8Array
}

class Cursor {
  at = 0
  readonly #view: DataView
  constructor(readonly bytes: Uint8Array) { this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) }
  u32(): number { return this.#view.getUint32((this.at += 4) - 4, true) }
  u64(): number { return Number(this.#view.getBigUint64((this.at += 8) - 8, true)) }
  take(count: number): Uint8Array { return this.bytes.subarray(this.at, this.at += count) }
  /** A block must be used up. */
  done<T>(value: T): T {
    if (this.at !== this.bytes.length) throw new Error(`block: read ${this.at} of ${this.bytes.length} bytes`)
    return value
  }
}

function readPeer(c: Cursor): Peer {
  const peer = { peerId: c.u64(), storeId: c.u64(), role: c.u32() }
  c.u32()
  return peer
}

function readRegion(c: Cursor): Region {
  const [regionId, confVer, version] = [c.u64(), c.u64(), c.u64()]
  const [peers, startBytes, endBytes] = [c.u32(), c.u32(), c.u32()]
  return { regionId, confVer, version, peers: Array.from({ length: peers }, () => readPeer(c)),
    startKey: c.take(startBytes), endKey: c.take(endBytes) }
}

export interface Route { readonly leader: Peer | undefined; readonly region: Region }

function readRoute(c: Cursor): Route {
  const leader = readPeer(c)
  return { leader: leader.peerId === 0 ? undefined : leader, region: readRegion(c) }
}

export function routeBlock(bytes: Uint8Array): Route {
  const c = new Cursor(bytes)
  return c.done(readRoute(c))
}

function list<T>(bytes: Uint8Array, read: (c: Cursor) => T): T[] {
  const c = new Cursor(bytes)
  return c.done(Array.from({ length: c.u32() }, () => read(c)))
}

export const routesBlock = (bytes: Uint8Array): Route[] => list(bytes, readRoute)
export const regionsBlock = (bytes: Uint8Array): Region[] => list(bytes, readRegion)
export const valuesBlock = (bytes: Uint8Array): (Uint8Array | undefined)[] => list(bytes, c => {
  const length = c.u32()
  return length === 0xffffffff ? undefined : c.take(length)
})
export const rowsBlock = (bytes: Uint8Array): { key: Uint8Array; value: Uint8Array }[] => list(bytes, c => {
  const [keyBytes, valueBytes] = [c.u32(), c.u32()]
  return { key: c.take(keyBytes), value: c.take(valueBytes) }
})
export const keysBlock = (keys: readonly Uint8Array[]): Uint8Array =>
  concat(u32le(keys.length), ...keys.flatMap(key => [u32le(key.length), key]))
export const pairsBlock = (pairs: readonly { key: Uint8Array; value: Uint8Array; ttlSeconds: number }[]): Uint8Array =>
  concat(u32le(pairs.length), ...pairs.flatMap(({ key, value, ttlSeconds }) =>
    [u32le(key.length), u32le(value.length), u64le(ttlSeconds), key, value]))
