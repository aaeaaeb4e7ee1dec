#!/usr/bin/env node
// Transpiles src/, test/ and bench/ into dist/, one output per source file: Piscina and worker_threads
// need real paths, and stack traces stay simple. Types are checked by `npm run check`, not here.
import { build } from 'esbuild'
import { readdirSync, rmSync, statSync, existsSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

function sources(folder) {
  const found = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) found.push(...sources(path))
    else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts')) found.push(path)
  }
  return found
}

/** Removes outputs whose source is gone: a deleted test must not keep on running. */
function sweep(folder, wanted) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry)
    // A map goes with its script, which may have come first.
    if (!existsSync(path)) continue
    if (statSync(path).isDirectory()) sweep(path, wanted)
    else if (path.endsWith('.js') && !wanted.has(path)) {
      rmSync(path)
      rmSync(`${path}.map`, { force: true })
    }
  }
}

export async function buildAll() {
  const entryPoints = ['src', 'test', 'bench'].filter(folder => existsSync(join(root, folder))).flatMap(sources)
  await build({
    absWorkingDir: root,
    entryPoints,
    outdir: 'dist',
    outbase: '.',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    logLevel: 'warning',
  })
  const wanted = new Set(entryPoints.map(path => join(root, 'dist', path.replace(/\.ts$/, '.js'))))
  for (const folder of ['src', 'test', 'bench']) sweep(join(root, 'dist', folder), wanted)
  return entryPoints.length
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const started = performance.now()
  const count = await buildAll()
  console.log(`built ${count} files into ${relative(process.cwd(), join(root, 'dist')) || 'dist'} in ${Math.round(performance.now() - started)} ms`)
}
