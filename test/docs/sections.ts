/** The generated parts of docs/PROTOCOL.md: from the schemas, the limits and the real encoders. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { limits } from '../../src/common/limits.js'
import { logicalMax } from '../../src/pd/core/tso.js'
import { defaultPdConfig } from '../../src/pd/config.js'
import { ttlSecondsMax } from '../../src/rawkv/limits.js'
import { splitKeysMax } from '../../src/server/store-services.js'
import { rolesFor } from '../../src/transport/access.js'
import type { RpcName } from '../../src/wire/messages.js'
import { examples } from './examples.js'

/** From dist/test/docs/. */
const root = fileURLToPath(new URL('../../../', import.meta.url))
export const pagePath = `${root}docs/PROTOCOL.md`
const schemaText = ['common', 'kv', 'pd', 'raft', 'snapshot'].map(name => ({
  name, text: readFileSync(`${root}schemas/${name}.fbs`, 'utf8'),
}))

const kindNames: Readonly<Record<string, string>> = {
  kv: 'store', pd: 'PD', snapshot: 'store', common: 'everybody',
}

function askedBy(name: string): string {
  const roles = rolesFor(name as RpcName)
  return typeof roles === 'string' ? 'anybody' : roles.map(role => `\`${role}\``).join(', ')
}

function kinds(): string {
  const rows = schemaText.flatMap(({ name, text }) =>
    [...text.matchAll(/^ {2}(\w+)\((\w+)\):(\w+) \(kind: "(\d+)"\);/gm)].map(([, rpc, request, response, kind]) =>
      ({ kind: Number(kind), row: `| ${kind} | \`${rpc}\` | ${kindNames[name]} | ${askedBy(rpc ?? '')} | \`${request}\` | \`${response}\` |` })))
  return ['| kind | name | served by | to roles | request table | response table |', '|---|---|---|---|---|---|',
    ...rows.sort((left, right) => left.kind - right.kind).map(({ row }) => row)].join('\n')
}

function limitRows(): string {
  const source = readFileSync(`${root}src/common/limits.ts`, 'utf8')
  const rows = [...source.matchAll(/\/\*\* (.+?) \*\/\n {2}(\w+):/g)].map(([, doc, name = '']) =>
    `| \`${name}\` | ${limits[name as keyof typeof limits].toLocaleString('en')} | ${doc} |`)
  const more: readonly (readonly [string, number, string])[] = [
    ['ttlSecondsMax', ttlSecondsMax, 'Time to live, in seconds.'],
    ['tsoCountMax', logicalMax, 'Timestamps of one Tso request.'],
    ['idsPerRequestMax', 1 << 16, 'Ids of one AllocId request.'],
    ['splitKeysMax', splitKeysMax, 'Keys of one SplitRegion request.'],
    ['splitCountMax', defaultPdConfig.splitCountMax, 'New regions of one AskSplit request.'],
  ]
  return ['| name | at most | what |', '|---|---|---|', ...rows,
    ...more.map(([name, max, doc]) => `| \`${name}\` | ${max.toLocaleString('en')} | ${doc} |`)].join('\n')
}

/** `name:type = null (id: 3, optional, block: "keys");` → `3 name: type = null optional block "keys"` */
function fieldText(line: string): string | undefined {
  const match = /^\s*(\w+):(\S+?)( = null)?(?: \(([^)]*)\))?;$/.exec(line)
  if (match === null) return undefined
  const [, name, type, nullable = '', attributes = ''] = match
  const words = attributes.split(',').map(word => word.trim())
  const id = words.find(word => word.startsWith('id:'))?.replace('id: ', '')
  if (id === undefined) return undefined
  const rest = words.filter(word => word !== '' && !word.startsWith('id:') && word !== 'record')
    .map(word => word.replace('block: ', 'block '))
  return [`${id.padStart(2)} ${name}: ${type}${nullable}`, ...rest].join('  ')
}

function tables(): string {
  const lines: string[] = ['```']
  for (const { name, text } of schemaText) {
    lines.push(`—— ${name}.fbs`)
    for (const [, what, title, body = ''] of text.matchAll(/^(enum|table) (\w+)[^{]*\{([^}]*)\}/gm)) {
      if (what === 'enum') lines.push(...enumLines(title ?? '', body))
      else {
        const fields = body.split('\n').flatMap(line => fieldText(line) ?? [])
        lines.push(fields.length === 0 ? `${title}  (no fields)` : `${title}`, ...fields.map(field => `  ${field}`))
      }
    }
    lines.push('')
  }
  lines.pop()
  return [...lines, '```'].join('\n')
}

function enumLines(title: string, body: string): string[] {
  let next = 0
  const values = body.split(',').map(item => item.trim()).filter(item => item !== '').map(item => {
    const [name = '', number] = item.split('=').map(part => part.trim())
    if (number !== undefined) next = Number(number)
    return `${next++} ${name}`
  })
  const lines = [`enum ${title}`]
  for (let at = 0; at < values.length; at += 5) lines.push(`  ${values.slice(at, at + 5).join(', ')}`)
  return lines
}

export const sections: Readonly<Record<string, () => string>> = { kinds, limits: limitRows, examples, tables }

/** @returns the page with every generated part as it should be */
export function renewed(page: string): string {
  return page.replace(/<!-- generated: (\w+) -->\n[^]*?<!-- end -->/g, (whole, name: string) => {
    const write = sections[name]
    if (write === undefined) throw new Error(`docs/PROTOCOL.md asks for a part "${name}" that nobody writes`)
    return `<!-- generated: ${name} -->\n${write()}\n<!-- end -->`
  })
}
