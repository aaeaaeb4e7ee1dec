#!/usr/bin/env node
// schemas/*.fbs -> src/wire/generated/. Two independent readings of one text:
//   <schema>.ts             flatc's own accessors and builders (imports post-processed for NodeNext)
//   layouts.ts, codec.ts    ours: what the verifier checks, and straight-line readers and writers of our own types
// Tests hold one against the other. `--check` writes nothing and fails when what is committed is not what comes out.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { emitCodec, emitLayouts } from './schemas/emit.mjs'
import { parseSchemas } from './schemas/parse.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const target = join(root, 'src/wire/generated')
const flatcVersion = '2.0.8'
const names = readdirSync(join(root, 'schemas')).filter(name => name.endsWith('.fbs')).sort()
const paths = names.map(name => join(root, 'schemas', name))

function fail(text) {
  console.error(`schemas: ${text}`)
  process.exit(1)
}

function runFlatc() {
  const version = spawnSync('flatc', ['--version'], { encoding: 'utf8' })
  if (version.error) {
    fail(`flatc is not installed (Debian: apt-get install flatbuffers-compiler). It is needed to change or check
         schemas only; what it generates is committed, build and tests do without it.`)
  }
  const found = /version (\S+)/.exec(version.stdout)?.[1]
  if (found !== flatcVersion) console.error(`schemas: flatc is ${found}, the committed code is of ${flatcVersion}; differences may be flatc's`)
  const out = mkdtempSync(join(tmpdir(), 'karst-schemas-'))
  try {
    const result = spawnSync('flatc', ['--ts', '--ts-flat-files', '-o', out, ...paths], { encoding: 'utf8' })
    if (result.status !== 0) fail(`flatc refused the schemas:\n${result.stdout}${result.stderr}`)
    return new Map(readdirSync(out).sort().map(name =>
      [name.replace('_generated.ts', '.ts'), postProcess(readFileSync(join(out, name), 'utf8'))]))
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
}

/** NodeNext wants `.js` on relative imports; imports that only serve types must not survive as values. */
const postProcess = text => text
  .replace(/import \{([^}]*)\} from '\.\/(\w+?)_generated';\n/g, (whole, list, from) => importLine(text, list, from))
  .replace(/\n{3,}/g, '\n\n')
  .replace(/\s*$/, '\n')

function importLine(text, list, from) {
  const body = text.replace(/import [^;]*;/g, '')
  const wanted = list.split(',').map(item => item.trim().split(' as ')[0]).filter(name => new RegExp(`\\b${name}\\b`).test(body))
  return wanted.length === 0 ? '' : `import { ${wanted.join(', ')} } from './${from}.js';\n`
}

const schema = parseSchemas(paths.map(path => ({ name: basename(path), text: readFileSync(path, 'utf8') })))
const files = runFlatc()
files.set('layouts.ts', emitLayouts(schema))
files.set('codec.ts', emitCodec(schema))

if (process.argv.includes('--check')) {
  const committed = new Set(readdirSync(target))
  const wrong = [...files].filter(([name, text]) => !committed.has(name) || readFileSync(join(target, name), 'utf8') !== text)
    .map(([name]) => name)
  const extra = [...committed].filter(name => !files.has(name))
  if (wrong.length + extra.length > 0) {
    fail(`src/wire/generated is not what schemas/ gives: ${[...wrong, ...extra].join(', ')}. Run: node scripts/generate-schemas.mjs`)
  }
  console.log(`schemas: ${files.size} generated files are up to date`)
} else {
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  for (const [name, text] of files) writeFileSync(join(target, name), text)
  console.log(`schemas: wrote ${files.size} files to src/wire/generated`)
}
