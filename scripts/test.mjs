#!/usr/bin/env node
// Runs the built test files (dist/test/**/*.test.js) with plain node, two at a time, and reads their TAP.
// tap is used as a library: its own runner costs ten times as much a file.
//   npm test                      everything
//   npm test -- store/split       files whose path contains the text
//   npm test -- raft --rewrite    other flags reach the test file
import { spawn } from 'node:child_process'
import { availableParallelism, tmpdir } from 'node:os'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const fileMsMax = 600_000
const words = process.argv.slice(2).filter(text => !text.startsWith('--'))
const flags = process.argv.slice(2).filter(text => text.startsWith('--'))

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return testFiles(path)
    return entry.name.endsWith('.test.js') ? [path] : []
  })
}

/** Leaf assertions only: a subtest's own summary line is not counted twice. */
function count(parser, totals, path) {
  parser.on('child', child => count(child, totals, [...path, child.name]))
  parser.on('assert', result => {
    if (result.todo || result.skip) totals.skipped++
    else if (result.ok) totals.passed++
    else {
      totals.failed++
      totals.failures.push([...path, result.name].filter(Boolean).join(' › '))
    }
  })
}

function runFile(file) {
  return new Promise(resolve => {
    const totals = { passed: 0, failed: 0, skipped: 0, failures: [] }
    const parser = new Parser()
    count(parser, totals, [])
    let output = ''
    const started = performance.now()
    const temporary = mkdtempSync(join(tmpdir(), 'karst-test-'))
    const child = spawn(process.execPath, ['--enable-source-maps', file, ...flags],
      { cwd: root, env: { ...process.env, TMPDIR: temporary, HOME: temporary, TAP_TIMEOUT: '600' }, stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), fileMsMax)
    const take = chunk => { if (output.length < 4e6) output += chunk }
    child.stdout.on('data', chunk => { take(chunk); parser.write(chunk) })
    child.stderr.on('data', take)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      parser.end()
      rmSync(temporary, { recursive: true, force: true })
      if (code !== 0 && totals.failed === 0) {
        totals.failed++
        totals.failures.push(signal ? `ended by ${signal}` : `exit code ${code}`)
      }
      if (totals.passed + totals.failed === 0) {
        totals.failed++
        totals.failures.push('the file ran no test')
      }
      resolve({ ...totals, output, ms: Math.round(performance.now() - started) })
    })
  })
}

const all = testFiles(join(root, 'dist/test')).sort()
const files = all.filter(file => words.length === 0 || words.some(word => relative(join(root, 'dist/test'), file).includes(word)))
if (files.length === 0) {
  console.error(`no test file matches ${words.join(' ')}`)
  process.exit(1)
}
const total = { passed: 0, failed: 0 }
const queue = [...files]
const failures = []
async function lane() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const name = relative(join(root, 'dist'), file).replace(/\.js$/, '')
    const result = await runFile(file)
    total.passed += result.passed
    total.failed += result.failed
    console.log(`${result.failed === 0 ? '✓' : '✗'} ${name}  ${result.passed} passed${result.failed ? `, ${result.failed} failed` : ''}  ${result.ms} ms`)
    if (result.failed > 0) {
      failures.push(name)
      console.log(result.failures.slice(0, 20).map(text => `    ✗ ${text}`).join('\n'))
      console.log(result.output.split('\n').slice(-120).map(line => `    ${line}`).join('\n'))
    }
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, lane))
if (failures.length > 0) console.log(`failed: ${failures.join(', ')}`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 ? 0 : 1)
