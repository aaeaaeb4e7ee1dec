#!/usr/bin/env node
// The house rules that a machine can read: who may import whom, what pure rooms never touch, how long a file and a
// function may be. The import table is read from ARCHITECTURE.md, so that page and code cannot drift apart.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const fileLinesMax = 500
/** The aim is 110 (STYLE); these are the walls. */
const lineCharsMax = 140
const lineCharsMaxOutside = 160
const functionLinesMax = 70
const findings = []
const find = (path, line, text) => findings.push(`${relative(root, path)}:${line}  ${text}`)

/** Modules that are words rather than rooms: importable from everywhere. */
const words = ['common/', 'engine/api', 'raft/types', 'wire/messages', 'pd/api', 'store/api', 'transport/api']
/** Rooms that decide and never act: no clock, dice, timer, promise or node module. */
const pure = ['common/', 'raft/', 'pd/core/', 'rawkv/codec', 'rawkv/evaluator', 'rawkv/limits', 'client/region-cache', 'store/']
/** The only places that may touch the real world. Everything else gets it through Env. */
const worldly = [
  'server/', 'cli/', 'verify/', 'transport/ws-network', 'engine/native', 'engine/rocks-engine', 'engine/native-raft-log',
]
const world = [
  [/\bDate\b/, 'Date'], [/\bperformance\b/, 'performance'], [/\bMath\.random\b/, 'Math.random'],
  [/\bset(Timeout|Interval|Immediate)\b/, 'a timer'], [/\bprocess\.(hrtime|nextTick|env|pid|exit)\b/, 'process'],
  [/\bqueueMicrotask\b/, 'queueMicrotask'], [/\bcrypto\b/, 'crypto'], [/\bWeakRef\b|\bFinalizationRegistry\b/, 'weak references'],
  [/\blocaleCompare\b|\bIntl\b/, 'locale'],
]

function importTable() {
  const table = new Map()
  for (const line of readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('\n')) {
    const match = /^\| ([a-z, ]+) \| ([^|]+) \|$/.exec(line)
    if (!match || match[1].trim() === 'room') continue
    for (const room of match[1].split(',').map(text => text.trim())) table.set(room, rule(match[2].trim()))
  }
  if (table.size < 8) throw new Error('no import table found in ARCHITECTURE.md')
  return table
}

function rule(text) {
  if (text.startsWith('anything but')) {
    const barred = text.slice('anything but'.length).split(',').map(word => word.trim())
    return target => !barred.includes(target)
  }
  if (text === 'anything') return () => true
  const allowed = text.replace(/\([^)]*\)/g, '').split(',').map(word => word.trim())
  return (target, path) => allowed.some(word => word === target || (word.includes('/') && path.startsWith(word)) || word === `types of ${target}`)
}

function tsFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'generated' || entry.name === 'node_modules' ? [] : tsFiles(path)
    return entry.name.endsWith('.ts') ? [path] : []
  })
}

const startsWithAny = (path, list) => list.some(prefix => path.startsWith(prefix))

function checkImports(path, inRoom, source, table) {
  const room = inRoom.split('/')[0]
  const allowed = table.get(room)
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue
    if (!statement.moduleSpecifier) continue
    const specifier = statement.moduleSpecifier.text
    const line = source.getLineAndCharacterOfPosition(statement.getStart()).line + 1
    if (!specifier.startsWith('.')) {
      checkPackage(path, inRoom, specifier, line)
      continue
    }
    if (!specifier.endsWith('.js') && !specifier.endsWith('.cjs') && !specifier.endsWith('.json')) find(path, line, `import without .js: ${specifier}`)
    const target = relative(join(root, 'src'), join(dirname(path), specifier))
    if (target.startsWith('..')) {
      if (room !== 'cli') find(path, line, `${inRoom} reaches outside src: ${specifier}`)
      continue
    }
    const targetRoom = target.split('/')[0]
    if (targetRoom === room || startsWithAny(target, words) || inRoom === 'index.ts') continue
    if (!allowed) find(path, line, `room ${room} is not in the import table`)
    else if (!allowed(targetRoom, target)) find(path, line, `${room} may not import ${target}`)
  }
}

function checkPackage(path, inRoom, specifier, line) {
  const isNode = specifier.startsWith('node:')
  if (isNode && startsWithAny(inRoom, pure)) find(path, line, `pure room imports ${specifier}`)
  if (isNode && !startsWithAny(inRoom, worldly) && !inRoom.startsWith('sim/') && !inRoom.endsWith('-main.ts') && !startsWithAny(inRoom, pure) && specifier !== 'node:buffer') {
    find(path, line, `${specifier} outside the rooms that may touch the world`)
  }
}

/** Words are looked for in code only: comments and strings may speak of clocks. */
function checkWords(path, inRoom, text, source) {
  if (startsWithAny(inRoom, worldly) || inRoom.startsWith('sim/')) return
  const scanner = ts.createScanner(ts.ScriptTarget.ES2022, false, ts.LanguageVariant.Standard, text)
  const code = []
  for (let token = scanner.scan(); token !== ts.SyntaxKind.EndOfFileToken; token = scanner.scan()) {
    const isText = token === ts.SyntaxKind.StringLiteral || token === ts.SyntaxKind.NoSubstitutionTemplateLiteral ||
      token === ts.SyntaxKind.SingleLineCommentTrivia || token === ts.SyntaxKind.MultiLineCommentTrivia ||
      token === ts.SyntaxKind.TemplateHead || token === ts.SyntaxKind.TemplateMiddle || token === ts.SyntaxKind.TemplateTail
    const tokenText = scanner.getTokenText()
    code.push(isText ? tokenText.replace(/[^\n]/g, ' ') : tokenText)
  }
  const forbidden = startsWithAny(inRoom, pure) ? [...world, [/\bPromise\b|\basync\b|\bawait\b/, 'a promise']] : world
  const allowPromise = inRoom.endsWith('api.ts') || inRoom === 'common/env.ts'
  code.join('').split('\n').forEach((line, at) => {
    for (const [pattern, name] of forbidden) {
      if (name === 'a promise' && allowPromise) continue
      if (pattern.test(line)) find(path, at + 1, `${name} outside Env`)
    }
  })
  void source
}

function checkSizes(path, text, source, isSource) {
  const lines = text.split('\n')
  if (isSource && lines.length - 1 > fileLinesMax) find(path, 1, `${lines.length - 1} lines; a file is one idea, at most ${fileLinesMax} lines`)
  lines.forEach((line, at) => { if (line.length > (isSource ? lineCharsMax : lineCharsMaxOutside)) find(path, at + 1, `${line.length} characters`) })
  if (!isSource) return
  const visit = node => {
    if (ts.isFunctionLike(node) && node.body) {
      const from = source.getLineAndCharacterOfPosition(node.getStart()).line
      const to = source.getLineAndCharacterOfPosition(node.end).line
      if (to - from + 1 > functionLinesMax) find(path, from + 1, `function of ${to - from + 1} lines; the wall is ${functionLinesMax}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
}

function checkReadmes() {
  for (const room of readdirSync(join(root, 'src'), { withFileTypes: true })) {
    if (!room.isDirectory()) continue
    const readme = join(root, 'src', room.name, 'README.md')
    if (room.name === 'common') continue
    const files = tsFiles(join(root, 'src', room.name)).map(path => relative(join(root, 'src', room.name), path))
    if (files.every(path => path === 'api.ts')) continue // a room of which only the door stands
    if (!existsSync(readme)) find(join(root, 'src', room.name), 0, 'the room has no README.md')
    else if (readFileSync(readme, 'utf8').split('\n').length > 80) find(readme, 0, 'a room README is at most 80 lines')
  }
}

function checkNative() {
  if (!existsSync(join(root, 'native'))) return
  for (const name of readdirSync(join(root, 'native'))) {
    if (!/\.(cc|h)$/.test(name)) continue
    const lines = readFileSync(join(root, 'native', name), 'utf8').split('\n').length
    if (lines - 1 > fileLinesMax) find(join(root, 'native', name), 1, `${lines - 1} lines, at most ${fileLinesMax}`)
  }
}

const table = importTable()
for (const folder of ['src', 'test', 'bench']) {
  for (const path of tsFiles(join(root, folder))) {
    const text = readFileSync(path, 'utf8')
    const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
    const inRoom = relative(join(root, 'src'), path)
    checkSizes(path, text, source, folder === 'src')
    if (folder !== 'src') continue
    checkImports(path, inRoom, source, table)
    checkWords(path, inRoom, text, source)
  }
}
checkReadmes()
checkNative()
for (const text of findings) console.log(text)
console.log(findings.length === 0 ? 'tidy: all rooms in order' : `tidy: ${findings.length} findings`)
process.exit(findings.length === 0 ? 0 : 1)
