// Emits layouts.ts (what the verifier checks) and codec.ts (straight-line readers and writers) from parsed schemas.
import { layOutTable } from './parse.mjs'

const header = '// Generated from schemas/*.fbs by scripts/generate-schemas.mjs. Do not edit.\n'

/** Our own types for tables that are not the request or response of an RPC. */
const ownTypes = {
  Epoch: 'Epoch', PeerRef: 'PeerRef', RequestContext: 'RequestContext', PeerInfo: 'PeerInfo', StoreMeta: 'StoreMeta',
  StoreStats: 'StoreStats', RegionBeat: 'RegionBeat', Member: 'Member', SplitIds: 'SplitIds', Hello: 'Hello',
  StoreHealth: 'StoreHealth', HealthProblem: 'HealthProblem',
  DownPeer: "RegionBeat['downPeers'][number]", Label: '{ readonly name: string; readonly value: string }',
  RaftBatch: '{ readonly envelopes: readonly RaftEnvelope[] }', ProtocolError: '{ readonly reason: string }',
  Proof: '{ readonly proof: Uint8Array }', Cancel: 'Empty', Empty: 'Empty', EmptyResponse: 'Empty', ServerError: 'ServerError', Operator: 'Operator',
}
/** Block name -> [type, function suffix]. */
const blocks = {
  keys: 'Keys', values: 'Values', pairs: 'Pairs', rows: 'Rows', region: 'Region', regions: 'Regions',
  route: 'Route', routes: 'Routes', envelope: 'Envelope', envelopes: 'Envelopes',
}
const lowerFirst = text => text[0].toLowerCase() + text.slice(1)

function typeOf(schema, name) {
  if (ownTypes[name]) return ownTypes[name]
  const request = schema.rpcs.find(rpc => rpc.request === name)
  if (request) return `Requests['${request.name}']`
  const response = schema.rpcs.find(rpc => rpc.response === name)
  if (response) return `Responses['${response.name}']`
  throw new Error(`table ${name}: nobody uses it, or ownTypes in scripts/schemas/emit.mjs lacks it`)
}

const isResponse = table => table.fields[0]?.type === 'ServerError' && table.fields[0].camel === 'error'

function kindOf(schema, field) {
  const { type, isVector } = field
  if (isVector) {
    if (type === 'ubyte') return 'Bytes'
    if (type === 'string') return 'Strings'
    if (type === 'ulong') return 'U64s'
    return schema.structs.has(type) ? 'Structs' : 'Tables'
  }
  if (type === 'string') return 'String'
  if (schema.tables.has(type)) return 'Table'
  if (schema.structs.has(type)) return 'Struct'
  if (schema.enums.has(type)) return 'Name'
  if (type === 'ulong') return field.attributes.big ? 'U64Big' : 'U64'
  const kind = { bool: 'Bool', uint: 'U32', double: 'F64' }[type]
  if (!kind) throw new Error(`field ${field.name}: type ${type} is not in use here`)
  return kind
}

export function emitLayouts(schema) {
  const lines = [header, "import { FieldKind } from '../layout.js'", "import type { Layout, NameList, StructLayout } from '../layout.js'", '']
  for (const { name, values } of schema.enums.values()) {
    const list = new Array(Math.max(...values.map(value => value.number)) + 1).fill('undefined')
    for (const value of values) if (value.name !== 'none') list[value.number] = `'${value.name}'`
    const used = values.filter(value => value.name !== 'none')
    lines.push(`export type ${name}Name = ${used.map(value => `'${value.name}'`).join(' | ')}`)
    lines.push(`export const ${lowerFirst(name)}Names: NameList<${name}Name> = [${list.join(', ')}]`)
    lines.push(`export const ${lowerFirst(name)}Numbers: Readonly<Record<${name}Name, number>> = {`,
      ...used.map(value => `  ${value.name}: ${value.number},`), '}', '')
  }
  for (const struct of schema.structs.values()) {
    lines.push(`export const ${lowerFirst(struct.name)}Struct: StructLayout = {`, `  bytes: ${struct.bytes},`, '  fields: [')
    for (const field of struct.fields) {
      const names = schema.enums.has(field.type) ? `${lowerFirst(field.type)}Names` : 'undefined'
      lines.push(`    { path: '${field.camel}', offset: ${field.offset}, kind: FieldKind.${kindOf(schema, field)}, names: ${names} },`)
    }
    lines.push('  ],', '}', '')
  }
  for (const table of schema.tables.values()) lines.push(...layoutLines(schema, table), '')
  return lines.join('\n').replace(/\n*$/, '\n')
}

function layoutLines(schema, table) {
  const { offsets, sizes, tableBytes } = layOutTable(schema, table)
  const vtable = [4 + 2 * offsets.length, tableBytes, ...offsets]
  const lines = [`export const ${lowerFirst(table.name)}Layout: Layout = {`,
    `  name: '${table.name}', isResponse: ${isResponse(table)}, tableBytes: ${tableBytes}, vtable: [${vtable.join(', ')}],`, '  fields: [']
  for (const field of table.fields) {
    const kind = kindOf(schema, field)
    const parts = [`path: '${field.camel}'`, `slot: ${4 + 2 * field.id}`, `bytes: ${sizes[field.id]}`, `kind: FieldKind.${kind}`,
      `required: ${field.attributes.required === true || (kind === 'Struct' && !table.attributes.variant)}`,
      `names: ${kind === 'Name' ? `${lowerFirst(field.type)}Names` : 'undefined'}`,
      `struct: ${schema.structs.has(field.type) ? `${lowerFirst(field.type)}Struct` : 'undefined'}`,
      `table: ${schema.tables.has(field.type) ? `() => ${lowerFirst(field.type)}Layout` : 'undefined'}`]
    lines.push(`    { ${parts.join(', ')} },`)
  }
  lines.push('  ],', '}')
  return lines
}

// ---- codec.ts

export function emitCodec(schema) {
  const body = []
  const used = new Set()
  for (const struct of schema.structs.values()) body.push(...structLines(schema, struct), '')
  for (const table of schema.tables.values()) {
    if (table.attributes.variant) body.push(...flatInterface(schema, table), '')
    body.push(...writerLines(schema, table, used), '', ...readerLines(schema, table, used), '')
  }
  body.push(...rpcLines(schema))
  const types = { errors: ['ServerError'], region: ['Epoch', 'PeerRef', 'Region'], messages: [
    'Empty', 'Hello', 'Member', 'Operator', 'PeerInfo', 'RaftEnvelope', 'RegionBeat', 'RequestContext', 'Requests', 'Responses', 'RpcName',
    'SplitIds', 'StoreMeta', 'StoreStats', 'StoreHealth', 'HealthProblem'] }
  const text = body.join('\n')
  const usedNames = [...used, ...Object.values(types).flat()]
  const only = list => list.filter(name => usedNames.includes(name) && new RegExp(`\\b${name}\\b`).test(text)).join(', ')
  const layouts = [...text.matchAll(/\blayouts\.\w+/g)].length > 0
  return [header,
    `import type { ${only(types.errors)} } from '../../common/errors.js'`,
    `import type { ${only(types.region)} } from '../../common/region.js'`,
    "import type { BodyReader } from '../body-reader.js'",
    "import * as blocks from '../blocks.js'",
    "import * as raftBlock from '../raft-block.js'",
    "import type { Layout } from '../layout.js'",
    `import type { ${only(types.messages)} } from '../messages.js'`,
    "import { flattenOperator, flattenServerError, restoreOperator, restoreServerError } from '../variants.js'",
    "import type { FrameWriter } from '../frame-writer.js'",
    layouts ? "import * as layouts from './layouts.js'" : '', '', text].join('\n').replace(/\n*$/, '\n')
}

function structLines(schema, struct) {
  const { name } = struct
  const lines = [`function write${name}(w: FrameWriter, at: number, v: ${ownTypes[name]}): void {`]
  for (const field of struct.fields) {
    const value = `v.${field.camel}`
    if (schema.enums.has(field.type)) lines.push(`  w.setU8(at + ${field.offset}, layouts.${lowerFirst(field.type)}Numbers[${value}])`)
    else lines.push(`  w.setU64(at + ${field.offset}, ${value})`)
  }
  lines.push('}', `function read${name}(r: BodyReader, at: number): ${ownTypes[name]} {`, '  return {')
  for (const field of struct.fields) {
    if (schema.enums.has(field.type)) lines.push(`    ${field.camel}: layouts.${lowerFirst(field.type)}Names[r.u8(at + ${field.offset})]!,`)
    else lines.push(`    ${field.camel}: r.u64(at + ${field.offset}) as never,`)
  }
  lines.push('  }', '}')
  return lines
}

function flatType(schema, field) {
  const kind = kindOf(schema, field)
  if (kind === 'Name') return `layouts.${field.type}Name`
  if (kind === 'Bytes') {
    const block = { keys: 'readonly Uint8Array[]', regions: 'readonly Region[]' }[field.attributes.block] ?? 'Uint8Array'
    return `${block} | undefined`
  }
  if (kind === 'Bool') return 'boolean'
  return `${{ U64: 'number', String: 'string', Struct: ownTypes[field.type], U64s: 'readonly number[]' }[kind]} | undefined`
}

/** All fields of a union in one shape; wire/variants.ts turns it into the union and back. */
function flatInterface(schema, table) {
  return [`export interface Flat${table.name} {`,
    ...table.fields.map(field => `  readonly ${field.camel}: ${flatType(schema, field)}`), '}']
}

const blockRoom = block => (block.startsWith('envelope') ? 'raftBlock' : 'blocks')

function writerLines(schema, table, used) {
  const { offsets } = layOutTable(schema, table)
  const type = typeOf(schema, table.name)
  used.add(type)
  const variant = table.attributes.variant === true
  const lines = [`export function write${table.name}(w: FrameWriter, ${variant ? 'union' : 'v'}: ${type}): number {`]
  if (variant) lines.push(`  const v: Flat${table.name} = flatten${table.name}(union)`)
  lines.push(`  const t = w.table(layouts.${lowerFirst(table.name)}Layout)`)
  let usesValue = variant
  for (const field of table.fields) {
    if (field.id === 0 && isResponse(table)) {
      lines.push('  w.absent(t, 4)')
      continue
    }
    usesValue = true
    lines.push(...writeField(schema, field, `v.${field.camel}`, offsets[field.id], 4 + 2 * field.id))
  }
  if (!usesValue) lines[0] = lines[0].replace('v:', '_v:')
  lines.push('  return t', '}')
  return lines
}

function writeField(schema, field, value, offset, slot) {
  const kind = kindOf(schema, field)
  const at = `t + ${offset}`
  const block = field.attributes.block
  const write = {
    Bool: () => `w.setU8(${at}, ${value} ? 1 : 0)`, U32: () => `w.setU32(${at}, ${value})`, U64: () => `w.setU64(${at}, ${value})`,
    U64Big: () => `w.setBig(${at}, ${value})`, F64: () => `w.setF64(${at}, ${value})`,
    Name: () => `w.setU8(${at}, layouts.${lowerFirst(field.type)}Numbers[${value}])`,
    Struct: () => `write${field.type}(w, ${at}, ${value})`,
    Bytes: () => block ? `${blockRoom(block)}.write${blocks[block]}(w, ${at}, ${value})` : `w.bytes(${at}, ${value})`,
    String: () => `w.string(${at}, ${value})`, U64s: () => `w.u64s(${at}, ${value})`,
    Strings: () => `w.strings(${at}, ${value})`,
    Table: () => `w.link(${at}, write${field.type}(w, ${value}))`,
    Structs: () => `{\n    const list = w.inlineVector(${at}, ${value}.length, ${schema.structs.get(field.type)?.bytes})\n` +
      `    for (let i = 0; i < ${value}.length; i++) write${field.type}(w, list + i * ${schema.structs.get(field.type)?.bytes}, ${value}[i]!)\n  }`,
    Tables: () => field.attributes.record
      ? `{\n    const names = Object.keys(${value})\n    const list = w.offsetVector(${at}, names.length)\n` +
        `    for (let i = 0; i < names.length; i++) ` +
        `w.link(list + i * 4, write${field.type}(w, { name: names[i]!, value: ${value}[names[i]!]! }))\n  }`
      : `{\n    const list = w.offsetVector(${at}, ${value}.length)\n` +
        `    for (let i = 0; i < ${value}.length; i++) w.link(list + i * 4, write${field.type}(w, ${value}[i]!))\n  }`,
  }[kind]()
  if (!mayBeAbsent(schema, field)) return [`  ${write}`]
  return [`  if (${value} === undefined) w.absent(t, ${slot})`, `  else ${write}`]
}

/** Structs of ordinary tables are always there; only a variant's may be absent. */
const mayBeAbsent = (schema, field) => field.nullable || field.attributes.optional === true ||
  (schema.structs.has(field.type) && !field.isVector && tableOf(schema, field).attributes.variant === true)
const tableOf = (schema, field) => [...schema.tables.values()].find(table => table.fields.includes(field))

function readerLines(schema, table, used) {
  const type = typeOf(schema, table.name)
  used.add(type)
  const fields = table.fields.filter(field => !(field.id === 0 && isResponse(table)))
  if (fields.length === 0) {
    return [`export function read${table.name}(_r: BodyReader, _t: number): ${type} {`, '  return {}', '}']
  }
  const variant = table.attributes.variant === true
  const lines = [`export function read${table.name}(r: BodyReader, t: number): ${type} {`, '  const vt = r.vtable(t)',
    variant ? `  const flat: Flat${table.name} = {` : '  return {']
  for (const field of fields) lines.push(`    ${field.camel}: ${readField(schema, field)},`)
  lines.push('  }')
  if (variant) lines.push(`  return restore${table.name}(flat)`)
  lines.push('}')
  return lines
}

function readField(schema, field) {
  const slot = 4 + 2 * field.id
  const kind = kindOf(schema, field)
  const optional = mayBeAbsent(schema, field)
  const block = field.attributes.block
  if (kind === 'Bytes') {
    if (block) return `${blockRoom(block)}.read${blocks[block]}(r, r.target(t, vt, ${slot}))${optional ? '' : '!'}`
    return `r.${optional ? 'bytesOrNone' : 'bytes'}(t, vt, ${slot})`
  }
  if (kind === 'String') return `r.${optional ? 'stringOrNone' : 'string'}(t, vt, ${slot})`
  if (kind === 'U64s') return `r.${optional ? 'u64sOrNone' : 'u64s'}(t, vt, ${slot}) as never`
  if (kind === 'Strings') return `r.strings(t, vt, ${slot})`
  if (kind === 'U64') return `r.${optional ? 'fieldU64OrNone' : 'fieldU64'}(t, vt, ${slot}) as never`
  if (kind === 'U64Big') return `r.fieldBig${optional ? 'OrNone' : ''}(t, vt, ${slot})`
  if (kind === 'U32') return `r.fieldU32${optional ? 'OrNone' : ''}(t, vt, ${slot})`
  if (kind === 'F64') return `r.fieldF64(t, vt, ${slot})`
  if (kind === 'Bool') return `r.fieldU8(t, vt, ${slot}) !== 0`
  if (kind === 'Name') return `layouts.${lowerFirst(field.type)}Names[r.fieldU8(t, vt, ${slot})]!`
  if (kind === 'Table') return `read${field.type}(r, r.target(t, vt, ${slot}))`
  if (kind === 'Struct') return optional ? `r.structOrNone(t, vt, ${slot}, read${field.type})` : `read${field.type}(r, r.struct(t, vt, ${slot}))`
  if (kind === 'Structs') return `r.structs(t, vt, ${slot}, ${schema.structs.get(field.type).bytes}, read${field.type})`
  if (field.attributes.record) return `r.record(t, vt, ${slot}, read${field.type})`
  return `r.tables(t, vt, ${slot}, read${field.type})`
}

function rpcLines(schema) {
  const lines = ['/** How one RPC is written, verified and read. */',
    'export interface RpcCodec<N extends RpcName> {', '  readonly name: N', '  readonly kind: number', '  readonly requestLayout: Layout',
    '  readonly responseLayout: Layout',
    '  writeRequest(w: FrameWriter, v: Requests[N]): number', '  readRequest(r: BodyReader, t: number): Requests[N]',
    '  writeResponse(w: FrameWriter, v: Responses[N]): number', '  readResponse(r: BodyReader, t: number): Responses[N]', '}', '',
    'export const rpcCodecs: { readonly [N in RpcName]: RpcCodec<N> } = {']
  for (const rpc of [...schema.rpcs].sort((left, right) => left.kind - right.kind)) {
    lines.push(`  ${rpc.name}: {`, `    name: '${rpc.name}', kind: ${rpc.kind},`,
      `    requestLayout: layouts.${lowerFirst(rpc.request)}Layout, responseLayout: layouts.${lowerFirst(rpc.response)}Layout,`,
      `    writeRequest: write${rpc.request}, readRequest: read${rpc.request},`,
      `    writeResponse: write${rpc.response}, readResponse: read${rpc.response},`, '  },')
  }
  lines.push('}', '', '/** An error answers any RPC. */',
    'export function writeErrorResponse(w: FrameWriter, error: ServerError): number {',
    '  const t = w.table(layouts.emptyResponseLayout)', '  w.link(t + 4, writeServerError(w, error))', '  return t', '}')
  return lines
}
