/** What the verifier knows of a FlatBuffers table. Instances are generated (generated/layouts.ts). */
export const FieldKind = {
  Bool: 1, U32: 2, U64: 3, U64Big: 4, F64: 5, Name: 6, Struct: 7, Bytes: 8, String: 9, Table: 10, Tables: 11,
  Structs: 12, Strings: 13, U64s: 14,
} as const
export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind]

/** Enum values by number; a hole is a number that must not occur. */
export type NameList<T extends string = string> = readonly (T | undefined)[]

export interface StructLayout {
  readonly bytes: number
  readonly fields: readonly {
    readonly path: string
    readonly offset: number
    readonly kind: FieldKind
    readonly names: NameList | undefined
  }[]
}

export interface FieldLayout {
  /** Name in our types; part of the path in a BadBody error. */
  readonly path: string
  /** Place of its offset in the vtable: 4 + 2 * id. */
  readonly slot: number
  /** Inline size inside the table. */
  readonly bytes: number
  readonly kind: FieldKind
  readonly required: boolean
  readonly names: NameList | undefined
  readonly struct: StructLayout | undefined
  readonly table: (() => Layout) | undefined
}

export interface Layout {
  readonly name: string
  /** Field 0 is a ServerError; when it is there nothing else is looked at. */
  readonly isResponse: boolean
  /** The writer gives every field of a table one fixed place. Its size with the 4 bytes of the vtable offset. */
  readonly tableBytes: number
  /** The complete vtable, as 16-bit words. */
  readonly vtable: readonly number[]
  readonly fields: readonly FieldLayout[]
}
