/** `karst verify` as a shell meets it: exit codes, one JSON line, words for people. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startCluster } from '../../src/server/cluster.js'
import { parseRegisterHistory } from '../../src/verify/linearizability/operations.js'

const program = fileURLToPath(new URL('../../../bin/karst.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'karst-verify-test-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

function karst(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, 'verify', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), 120_000)
    const text = { out: '', err: '' }
    child.stdout.on('data', (part: Buffer) => { text.out += String(part) })
    child.stderr.on('data', (part: Buffer) => { text.err += String(part) })
    child.on('error', reject)
    child.on('close', code => {
      clearTimeout(timer)
      resolve({ code, ...text })
    })
  })
}

function history(name: string, value: number): string {
  const path = join(folder, name)
  const lines = [
    { process: 1, type: 'invoke', f: 'write', key: 'k', value: 7, time_ns: 1 }, { process: 1, type: 'ok', f: 'write', key: 'k', time_ns: 2 },
    { process: 1, type: 'invoke', f: 'read', key: 'k', time_ns: 3 }, { process: 1, type: 'ok', f: 'read', key: 'k', value, time_ns: 4 },
  ]
  writeFileSync(path, lines.map(line => JSON.stringify(line)).join('\n'))
  return path
}

t.test('check: 0 for an order that explains it, 1 for none, 2 for what is no history', async t => {
  const good = await karst('check', '--history', history('good', 7))
  t.equal(good.code, 0)
  t.match(good.out, /linearizable: 2 operations on 1 keys/)
  const bad = await karst('check', '--history', history('bad', 8), '--json')
  t.equal(bad.code, 1)
  t.match(JSON.parse(bad.out), { verdict: 'violation', keys: 1, operations: 2 })
  writeFileSync(join(folder, 'none'), 'nonsense\n{}\n')
  const none = await karst('check', '--history', join(folder, 'none'))
  t.equal(none.code, 2)
  t.match(none.err, /line 1 is not JSON/)
  const missing = await karst('check', '--history', join(folder, 'missing'), '--json')
  t.equal(missing.code, 2)
  t.match(JSON.parse(missing.out), { error: { code: 'Usage' } })
})

t.test('wrong usage is told as such', async t => {
  const cases: readonly (readonly [RegExp, readonly string[]])[] = [
    [/no fault "earthquake"/, ['register', '--faults', 'earthquake']],
    [/--faults needs own processes/, ['register', '--pd', '127.0.0.1:1', '--faults', 'kill']],
    [/whole number/, ['kills', '--rounds', 'many']],
    [/host:port/, ['register', '--pd', 'nowhere']],
    [/required option/, ['check']],
  ]
  for (const [message, args] of cases) {
    const { code, err } = await karst(...args)
    t.equal(code, 2, args.join(' '))
    t.match(err, message)
  }
  t.match((await karst('--help')).out, /Exit codes: 0 passed, 1 a violation/)
})

t.test('register against a cluster that runs: a verdict, and a history that says the same again', async t => {
  const cluster = await startCluster()
  t.teardown(() => cluster.close())
  const path = join(folder, 'register.jsonl')
  const run = await karst('register', '--pd', cluster.pdAddresses.join(','), '--seconds', '3', '--seed', '5', '--history', path, '--json')
  t.equal(run.code, 0, run.err)
  const report = JSON.parse(run.out) as { verdict: string; seed: number; replay: string; operations: { ok: number } }
  t.equal(report.verdict, 'passed')
  t.equal(report.seed, 5)
  t.match(report.replay, /karst verify register .*--seed 5/)
  t.ok(report.operations.ok > 60)
  t.ok(parseRegisterHistory(readFileSync(path, 'utf8')).length >= report.operations.ok * 2)
  t.equal((await karst('check', '--history', path)).code, 0)
})

t.test('register with own processes and faults', async t => {
  const run = await karst('register', '--seconds', '2', '--faults', 'kill-leader,pause', '--json')
  t.equal(run.code, 0, run.out + run.err)
  const report = JSON.parse(run.out) as { verdict: string; faults: { kind: string; bit: boolean }[] }
  t.same([report.verdict, report.faults.map(fault => [fault.kind, fault.bit])], ['passed', [['kill-leader', true], ['pause', true]]])
})
