// Reads the subset of the FlatBuffers schema language that schemas/ uses, with our attributes.
// flatc checks the same text for everything this parser does not care about.

const camel = text => text.replace(/_([a-z0-9])/g, (whole, letter) => letter.toUpperCase())

function attributesOf(text) {
  const attributes = {}
  for (const part of (text ?? '').split(',').map(item => item.trim()).filter(Boolean)) {
    const [name, value] = part.split(':').map(item => item.trim())
    attributes[name] = value === undefined ? true : value.replace(/^"|"$/g, '')
  }
  return attributes
}

function parseFields(body, where) {
  const fields = []
  for (const line of body.split(';').map(item => item.trim()).filter(Boolean)) {
    const match = /^(\w+)\s*:\s*(\[?\w+\]?)\s*(=\s*null)?\s*(?:\(([^)]*)\))?$/.exec(line)
    if (!match) throw new Error(`${where}: cannot read field "${line}"`)
    const attributes = attributesOf(match[4])
    const isVector = match[2].startsWith('[')
    fields.push({
      name: match[1], camel: camel(match[1]), type: match[2].replace(/[[\]]/g, ''), isVector,
      nullable: match[3] !== undefined, id: attributes.id === undefined ? undefined : Number(attributes.id), attributes,
    })
  }
  return fields
}

function parseEnum(body, where) {
  let next = 0
  return body.split(',').map(item => item.trim()).filter(Boolean).map(item => {
    const match = /^(\w+)(?:\s*=\s*(\d+))?$/.exec(item)
    if (!match) throw new Error(`${where}: cannot read value "${item}"`)
    const number = match[2] === undefined ? next : Number(match[2])
    next = number + 1
    return { name: match[1], number }
  })
}

/** @returns { enums, structs, tables, rpcs } in the order of the texts; names are unique over all schemas. */
export function parseSchemas(texts) {
  const schema = { enums: new Map(), structs: new Map(), tables: new Map(), rpcs: [] }
  for (const { name, text } of texts) {
    const plain = text.replace(/\/\/[^\n]*/g, '')
    const blocks = /\b(enum|struct|table|rpc_service)\s+(\w+)\s*(?::\s*ubyte\s*)?(?:\(([^)]*)\)\s*)?\{([^}]*)\}/g
    for (const [, what, title, attributes, body] of plain.matchAll(blocks)) {
      const where = `${name}: ${title}`
      if (what === 'enum') schema.enums.set(title, { name: title, values: parseEnum(body, where) })
      else if (what === 'struct') schema.structs.set(title, { name: title, fields: parseFields(body, where) })
      else if (what === 'table') {
        const fields = parseFields(body, where).sort((left, right) => left.id - right.id)
        fields.forEach((field, at) => { if (field.id !== at) throw new Error(`${where}: ids are not 0..${fields.length - 1}`) })
        schema.tables.set(title, { name: title, fields, attributes: attributesOf(attributes) })
      } else schema.rpcs.push(...parseRpcs(body, where))
    }
  }
  layOutStructs(schema)
  return schema
}

function parseRpcs(body, where) {
  return body.split(';').map(item => item.trim()).filter(Boolean).map(item => {
    const match = /^(\w+)\((\w+)\)\s*:\s*(\w+)\s*\(kind: "(\d+)"\)$/.exec(item)
    if (!match) throw new Error(`${where}: cannot read rpc "${item}"`)
    return { name: match[1], request: match[2], response: match[3], kind: Number(match[4]) }
  })
}

export const scalarBytes = { bool: 1, ubyte: 1, uint: 4, ulong: 8, double: 8 }

function layOutStructs(schema) {
  for (const struct of schema.structs.values()) {
    let at = 0
    let align = 1
    for (const field of struct.fields) {
      const bytes = schema.enums.has(field.type) ? 1 : scalarBytes[field.type]
      at = Math.ceil(at / bytes) * bytes
      field.offset = at
      at += bytes
      align = Math.max(align, bytes)
    }
    struct.align = align
    struct.bytes = Math.ceil(at / align) * align
  }
}

/**
 * One fixed place for every field of a table: 8-byte fields first, then 4, then 1. The writer starts a table at 4 mod 8,
 * so that the first field, 4 bytes in, is aligned.
 */
export function layOutTable(schema, table) {
  const sizeOf = field => {
    if (field.isVector || field.type === 'string' || schema.tables.has(field.type)) return 4
    if (schema.structs.has(field.type)) return schema.structs.get(field.type).bytes
    return schema.enums.has(field.type) ? 1 : scalarBytes[field.type]
  }
  const alignOf = field => schema.structs.has(field.type) && !field.isVector ? schema.structs.get(field.type).align : sizeOf(field)
  let at = 4
  const offsets = new Array(table.fields.length)
  for (const align of [8, 4, 1]) {
    for (const field of table.fields) {
      if (alignOf(field) !== align) continue
      offsets[field.id] = at
      at += sizeOf(field)
    }
  }
  return { offsets, sizes: table.fields.map(sizeOf), tableBytes: Math.ceil(at / 4) * 4 }
}
