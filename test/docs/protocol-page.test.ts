import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { limits } from '../../src/common/limits.js'
import { errorKindNumbers } from '../../src/wire/generated/layouts.js'
import { FrameKind } from '../../src/wire/messages.js'
import { pagePath, renewed, sections } from './sections.js'

const page = readFileSync(pagePath, 'utf8')
if (process.argv.includes('--rewrite')) writeFileSync(pagePath, renewed(page))

t.test('the generated parts of docs/PROTOCOL.md are what the schemas and encoders say', async t => {
  const now = readFileSync(pagePath, 'utf8')
  t.ok(now === renewed(now), 'npm test -- docs/protocol-page --rewrite brings it up to date')
  for (const name of Object.keys(sections)) t.ok(now.includes(`<!-- generated: ${name} -->`), `the page has the part ${name}`)
})

t.test('nothing is missing', async t => {
  const now = readFileSync(pagePath, 'utf8')
  for (const [kind, number] of Object.entries(errorKindNumbers)) {
    const row = number === 64 ? `**${kind}** (64:` : `| ${number} | \`${kind}\` |`
    t.ok(now.includes(row), `error ${kind}`)
  }
  for (const [name, kind] of Object.entries(FrameKind)) {
    t.ok(kind < 16 ? now.includes(`${name}`) : now.includes(`| ${kind} | \`${name}\` |`), `kind ${name}`)
  }
  for (const name of Object.keys(limits)) t.ok(now.includes(`\`${name}\``), `limit ${name}`)
})
