import { FieldKind } from './layout.js'
import type { FieldLayout, Layout, StructLayout } from './layout.js'

/**
 * Bounds verifier for FlatBuffers bodies, driven by generated layouts. Nothing of a body is read before it passed.
 *
 * Every offset is checked to stay inside the body. Depth is limited. The work is limited to the size of the body:
 * everything visited is charged against a budget of its bytes, so that a small body whose references
 * share or repeat their targets cannot cost more to read than a large honest one. Trailing bytes and unaligned
 * fields are allowed; unknown fields are ignored.
 */
export const depthMax = 8
/** How often a byte of the body may be visited on average: room for writers that share vtables and strings. */
const visitsMax = 4
const highMax = 0x1fffff

export class Verifier {
  #view: DataView = new DataView(new ArrayBuffer(0))
  #start = 0
  #end = 0
  #budget = 0

  /** @returns the root table's position, or the path of what is wrong */
  verify(view: DataView, start: number, end: number, layout: Layout): number | string {
    this.#view = view
    this.#start = start
    this.#end = end
    this.#budget = (end - start) * visitsMax
    if (end - start < 8) return `${layout.name}: too short`
    const root = start + view.getUint32(start, true)
    const damage = this.#table(root, layout, 0)
    return damage === '' ? root : `${layout.name}${damage}`
  }

  /** '' when good, else the path from here down to what is wrong. */
  #table(t: number, layout: Layout, depth: number): string {
    if (depth > depthMax) return ': nested too deeply'
    if (t < this.#start + 4 || t + 4 > this.#end) return ': table out of bounds'
    const view = this.#view
    const vt = t - view.getInt32(t, true)
    if (vt < this.#start || vt + 4 > this.#end) return ': vtable out of bounds'
    const vtableBytes = view.getUint16(vt, true)
    const tableBytes = view.getUint16(vt + 2, true)
    if (vtableBytes < 4 || (vtableBytes & 1) !== 0 || vt + vtableBytes > this.#end) return ': vtable size'
    if (tableBytes < 4 || t + tableBytes > this.#end) return ': table size'
    this.#budget -= tableBytes
    if (this.#budget < 0) return ': too much shared data'
    const fields = layout.fields
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!
      const offset = field.slot < vtableBytes ? view.getUint16(vt + field.slot, true) : 0
      if (offset === 0) {
        if (this.#mayBeAbsent(field)) continue
        return `.${field.path}: missing`
      }
      if (offset < 4 || offset + field.bytes > tableBytes) return `.${field.path}: out of bounds`
      const damage = this.#field(t + offset, field, depth)
      if (damage !== '') return `.${field.path}${damage}`
      if (i === 0 && layout.isResponse) return ''
    }
    return ''
  }

  #mayBeAbsent(field: FieldLayout): boolean {
    if (field.required) return false
    // Zero must be a name for an absent enum to mean something.
    return field.kind !== FieldKind.Name || field.names?.[0] !== undefined
  }

  #field(at: number, field: FieldLayout, depth: number): string {
    const view = this.#view
    switch (field.kind) {
      case FieldKind.Bool: return view.getUint8(at) <= 1 ? '' : ': not a bool'
      case FieldKind.U32: return ''
      case FieldKind.U64: return view.getUint32(at + 4, true) <= highMax ? '' : ': over 2^53'
      case FieldKind.U64Big: return ''
      case FieldKind.F64: return Number.isFinite(view.getFloat64(at, true)) ? '' : ': not finite'
      case FieldKind.Name: return field.names![view.getUint8(at)] !== undefined ? '' : ': unknown value'
      case FieldKind.Struct: return this.#struct(at, field.struct!)
      case FieldKind.Bytes: return this.#bytes(at)
      case FieldKind.String: return this.#string(at)
      default: return this.#references(at, field, depth)
    }
  }

  #references(at: number, field: FieldLayout, depth: number): string {
    switch (field.kind) {
      case FieldKind.Table: {
        const target = this.#target(at)
        return target < 0 ? ': out of bounds' : this.#table(target, field.table!(), depth + 1)
      }
      case FieldKind.U64s: return this.#numbers(at)
      case FieldKind.Structs: return this.#structs(at, field.struct!)
      default: return this.#list(at, field, depth)
    }
  }

  #list(at: number, field: FieldLayout, depth: number): string {
    const list = this.#vector(at, 4)
    if (list < 0) return ': out of bounds'
    for (let i = 0, count = this.#view.getUint32(list, true); i < count; i++) {
      const place = list + 4 + i * 4
      if (field.kind === FieldKind.Strings) {
        const damage = this.#string(place)
        if (damage !== '') return `[${i}]${damage}`
        continue
      }
      const target = this.#target(place)
      const damage = target < 0 ? ': out of bounds' : this.#table(target, field.table!(), depth + 1)
      if (damage !== '') return `[${i}]${damage}`
    }
    return ''
  }

  #struct(at: number, struct: StructLayout): string {
    for (const field of struct.fields) {
      const place = at + field.offset
      if (field.kind === FieldKind.Name) {
        if (field.names![this.#view.getUint8(place)] === undefined) return `.${field.path}: unknown value`
      } else if (this.#view.getUint32(place + 4, true) > highMax) return `.${field.path}: over 2^53`
    }
    return ''
  }

  #structs(at: number, struct: StructLayout): string {
    const list = this.#vector(at, struct.bytes)
    if (list < 0) return ': out of bounds'
    for (let i = 0, count = this.#view.getUint32(list, true); i < count; i++) {
      const damage = this.#struct(list + 4 + i * struct.bytes, struct)
      if (damage !== '') return `[${i}]${damage}`
    }
    return ''
  }

  #numbers(at: number): string {
    const list = this.#vector(at, 8)
    if (list < 0) return ': out of bounds'
    for (let i = 0, count = this.#view.getUint32(list, true); i < count; i++) {
      if (this.#view.getUint32(list + 8 + i * 8, true) > highMax) return `[${i}]: over 2^53`
    }
    return ''
  }

  #bytes(at: number): string { return this.#vector(at, 1) < 0 ? ': out of bounds' : '' }

  #string(at: number): string {
    const text = this.#vector(at, 1)
    if (text < 0) return ': out of bounds'
    const end = text + 4 + this.#view.getUint32(text, true)
    return end < this.#end && this.#view.getUint8(end) === 0 ? '' : ': string without its zero'
  }

  /** @returns where the offset at `at` leads, or -1 when there is no room for a length there */
  #target(at: number): number {
    const target = at + this.#view.getUint32(at, true)
    return target > at && target + 4 <= this.#end ? target : -1
  }

  /** @returns the position of a whole vector, or -1 */
  #vector(at: number, itemBytes: number): number {
    const list = this.#target(at)
    if (list < 0) return -1
    const bytes = this.#view.getUint32(list, true) * itemBytes
    if (bytes > this.#end - list - 4) return -1
    this.#budget -= bytes + 4
    return this.#budget < 0 ? -1 : list
  }
}
