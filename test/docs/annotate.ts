/** Writes a frame as annotated hex: every byte once, in order, with what it means. */
import { FieldKind } from '../../src/wire/layout.js'
import type { FieldLayout, Layout } from '../../src/wire/layout.js'
import { rpcNameOf } from '../../src/wire/codec.js'

const frameHeaderBytes = 24
const bytesPerLine = 8

interface Span {
  readonly from: number
  readonly bytes: number
  readonly text: string
}

const snake = (path: string): string => path.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

class Annotator {
  readonly spans: Span[] = []
  readonly #view: DataView

  constructor(readonly frame: Uint8Array) {
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  }

  add(from: number, bytes: number, text: string): void { this.spans.push({ from, bytes, text }) }
  u16(at: number): number { return this.#view.getUint16(at, true) }
  u32(at: number): number { return this.#view.getUint32(at, true) }
  u64(at: number): bigint { return this.#view.getBigUint64(at, true) }

  header(): void {
    const kind = this.frame[3]!
    const name = rpcNameOf(kind) ?? (kind === 1 ? 'Hello' : '?')
    this.add(0, 2, 'magic "Ka"')
    this.add(2, 1, 'protocol version')
    this.add(3, 1, `kind ${kind & 0x7f}, ${name}${kind > 0x7f ? ', response' : ''}`)
    this.add(4, 4, 'flags')
    this.add(8, 8, `request id ${this.u64(8)}`)
    this.add(16, 4, `bytes of the body: ${this.u32(16)}`)
    this.add(20, 4, 'CRC-32C of bytes 0 to 19')
  }

  root(layout: Layout): void {
    const table = frameHeaderBytes + this.u32(frameHeaderBytes)
    this.add(frameHeaderBytes, 4, `root table at ${frameHeaderBytes} + ${this.u32(frameHeaderBytes)} = ${table}`)
    this.table(table, layout)
  }

  table(at: number, layout: Layout): void {
    const back = this.#view.getInt32(at, true)
    const vtable = at - back
    this.add(vtable, 2, `vtable of ${layout.name}: ${this.u16(vtable)} bytes`)
    this.add(vtable + 2, 2, `inline part: ${this.u16(vtable + 2)} bytes`)
    this.add(at, 4, `table ${layout.name}: vtable at ${at} - ${back} = ${vtable}`)
    for (const field of layout.fields) {
      const place = vtable + field.slot
      if (field.slot >= this.u16(vtable)) continue
      const offset = this.u16(place)
      const label = `field ${(field.slot - 4) / 2} ${snake(field.path)}`
      this.add(place, 2, offset === 0 ? `${label}: absent` : `${label}: at ${at} + ${offset} = ${at + offset}`)
      if (offset !== 0) this.field(at + offset, field)
    }
  }

  field(at: number, field: FieldLayout): void {
    const name = snake(field.path)
    const number = (bytes: number, value: bigint | number): void => this.add(at, bytes, `${name} = ${value}`)
    switch (field.kind) {
      case FieldKind.Bool: return number(1, this.frame[at]!)
      case FieldKind.Name: return this.add(at, 1, `${name} = ${this.frame[at]!} (${field.names?.[this.frame[at]!]})`)
      case FieldKind.U32: return number(4, this.u32(at))
      case FieldKind.U64: return number(8, this.u64(at))
      case FieldKind.U64Big: return this.add(at, 8, `${name} = 0x${this.u64(at).toString(16)}`)
      case FieldKind.F64: return number(8, this.#view.getFloat64(at, true))
      case FieldKind.Struct: return this.struct(at, field)
      default: return this.reference(at, field)
    }
  }

  struct(at: number, field: FieldLayout): void {
    for (const part of field.struct?.fields ?? []) {
      const label = `${snake(field.path)}.${snake(part.path)}`
      if (part.kind === FieldKind.Name) this.add(at + part.offset, 1, `${label} = ${this.frame[at + part.offset]!}`)
      else this.add(at + part.offset, 8, `${label} = ${this.u64(at + part.offset)}`)
    }
  }

  reference(at: number, field: FieldLayout): void {
    const target = at + this.u32(at)
    const name = snake(field.path)
    this.add(at, 4, `${name}: ${at} + ${this.u32(at)} = ${target}`)
    const count = this.u32(target)
    if (field.kind === FieldKind.Table) return this.table(target, field.table!())
    if (field.kind === FieldKind.Bytes || field.kind === FieldKind.String) return this.text(target, name, field)
    this.add(target, 4, `${name}: ${count} item${count === 1 ? '' : 's'}`)
    for (let i = 0, place = target + 4; i < count; i++, place += 4) {
      const item = place + this.u32(place)
      this.add(place, 4, `${name}[${i}]: ${place} + ${this.u32(place)} = ${item}`)
      if (field.kind === FieldKind.Tables) this.table(item, field.table!())
      else this.text(item, `${name}[${i}]`, field)
    }
  }

  text(at: number, name: string, field: FieldLayout): void {
    const bytes = this.u32(at)
    this.add(at, 4, `${name}: ${bytes} bytes`)
    if (field.path === 'route') return this.route(at + 4)
    const isString = field.kind !== FieldKind.Bytes
    if (bytes > 0) this.add(at + 4, bytes, `${name} = ${printable(this.frame.subarray(at + 4, at + 4 + bytes))}`)
    if (isString) this.add(at + 4 + bytes, 1, 'zero behind a string')
  }

  route(at: number): void {
    this.peer(at, 'leader')
    const region = at + 24
    this.add(region, 8, `region id ${this.u64(region)}`)
    this.add(region + 8, 8, `conf_ver ${this.u64(region + 8)}`)
    this.add(region + 16, 8, `version ${this.u64(region + 16)}`)
    const [peers, startBytes, endBytes] = [this.u32(region + 24), this.u32(region + 28), this.u32(region + 32)]
    this.add(region + 24, 4, `${peers} peers`)
    this.add(region + 28, 4, `start key: ${startBytes} bytes`)
    this.add(region + 32, 4, `end key: ${endBytes} bytes`)
    for (let i = 0; i < peers; i++) this.peer(region + 36 + 24 * i, `peer ${i}`)
    const keys = region + 36 + 24 * peers
    if (startBytes > 0) this.add(keys, startBytes, 'start key')
    if (endBytes > 0) this.add(keys + startBytes, endBytes, 'end key')
  }

  peer(at: number, name: string): void {
    this.add(at, 8, `${name}: peer id ${this.u64(at)}`)
    this.add(at + 8, 8, `${name}: store id ${this.u64(at + 8)}`)
    this.add(at + 16, 8, `${name}: role ${this.u32(at + 16)}, zero`)
  }
}

const printable = (bytes: Uint8Array): string => {
  const isText = bytes.every(byte => byte >= 0x20 && byte < 0x7f)
  return isText ? `"${String.fromCharCode(...bytes)}"` : [...bytes]
    .map(byte => byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

/** @throws when two meanings claim one byte, or a byte that nobody claims is not a zero */
export function annotate(frame: Uint8Array, layout: Layout): string {
  const annotator = new Annotator(frame)
  annotator.header()
  annotator.root(layout)
  const lines: string[] = []
  let at = 0
  for (const span of [...annotator.spans.sort((left, right) => left.from - right.from),
    { from: frame.length, bytes: 0, text: '' }]) {
    if (span.from < at) throw new Error(`byte ${span.from} is claimed twice: ${span.text}`)
    if (frame.subarray(at, span.from).some(byte => byte !== 0)) throw new Error(`bytes from ${at} have no meaning`)
    if (span.from > at) lines.push(...hexLines(frame, at, span.from - at, 'padding'))
    if (span.bytes > 0) lines.push(...hexLines(frame, span.from, span.bytes, span.text))
    at = span.from + span.bytes
  }
  return lines.join('\n')
}

function hexLines(frame: Uint8Array, from: number, bytes: number, text: string): string[] {
  const lines: string[] = []
  for (let at = from; at < from + bytes; at += bytesPerLine) {
    const part = frame.subarray(at, Math.min(at + bytesPerLine, from + bytes))
    const hex = [...part].map(byte => byte.toString(16).padStart(2, '0')).join(' ')
    lines.push(`${String(at).padStart(4)}  ${hex.padEnd(bytesPerLine * 3 - 1)}${at === from ? `  ${text}` : ''}`.trimEnd())
  }
  return lines
}
