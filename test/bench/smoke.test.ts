// The real thing, small: a cluster of processes, every client, a report. Figures are not judged, only that they are true.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { firstSuccess } from '../../bench/failover.js'
import { hitsAreEnough } from '../../bench/karst-system.js'
import { metric } from '../../bench/loop.js'
import { readH2load } from '../../bench/etcd-system.js'
import type { Measurement, Summary } from '../../bench/report.js'
import { missingForEtcd } from '../../bench/tools.js'

const program = fileURLToPath(new URL('../../../bin/karst.mjs', import.meta.url))
const secondsMax = 150
t.setTimeout((secondsMax + 30) * 1_000)

function karst(...args: string[]): Promise<{ code: number; said: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [program, ...args], { timeout: secondsMax * 1_000, killSignal: 'SIGINT' }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, said: stdout + stderr })
    })
  })
}

t.test('karst bench: every client of both systems does what it counts', { timeout: (secondsMax + 20) * 1_000 }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'karst-bench-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const isWithEtcd = missingForEtcd().length === 0
  const { code, said } = await karst('bench', 'put', 'ycsb-a', '--seconds', '1', '--rounds', '1', '--warm-up', '0', '--records', '2000', '--in-flight', '8',
    '--dir', join(folder, 'data'), '--json', join(folder, 'out.json'), '--markdown', ...isWithEtcd ? ['--vs', 'etcd'] : [])
  t.equal(code, 0, said)
  const out = JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8')) as {
    command: string; notes: string[]; summary: Summary[]; measurements: Measurement[]; machine: { cores: number }
  }
  const ours = out.summary.filter(row => row.system === 'karst')
  t.equal(ours.length, 6, 'three clients, two workloads')
  for (const row of out.summary) {
    t.ok(row.perSecond > 0 && row.p50 > 0 && row.p50 <= row.p99, `${row.work} ${row.system} ${row.client}`)
    t.equal(row.failed, 0, `${row.client}: ${row.firstError ?? ''}`)
    t.ok(row.serverCpuUs > 0)
  }
  if (isWithEtcd) t.ok(ours.every(row => row.rateRatio !== undefined && row.p99Ratio !== undefined))
  t.notOk(out.notes.some(note => /carry their value|revision grew/.test(note)), out.notes.join('\n'))
  t.match(out.command, /^karst bench put ycsb-a/)
  t.match(said, /\| put \|/, 'a section for RESULTS.md')
  t.same(readdirSync(join(folder, 'data')), [], 'no data is left behind')
})

t.test('the first success counts, however many attempts hang or fail', async t => {
  let attempts = 0
  const ms = await firstSuccess(async at => {
    attempts++
    if (at === 0) await new Promise(() => undefined)
    if (at < 5) throw new Error('not yet')
  }, 10, 5_000)
  t.ok(attempts >= 6)
  t.ok(ms >= 45, `${ms} ms`)
  await t.rejects(firstSuccess(() => Promise.reject(new Error('never')), 5, 50), /never/)
})

t.test('read-back: claimed puts that never happened are found', async t => {
  t.ok(hitsAreEnough(632, 1_000, 10_000, 10_000), 'n puts on n keys hit 63 %')
  t.notOk(hitsAreEnough(500, 1_000, 10_000, 10_000), 'a fifth of them is missing')
  t.ok(hitsAreEnough(1_000, 1_000, 1_000_000, 1_000))
  t.notOk(hitsAreEnough(0, 1_000, 1_000, 1_000))
})

t.test('metrics page and h2load\'s words', async t => {
  const page = 'karst_event_loop_delay_seconds{quantile="0.99",node="s"} 0.004\nkarst_event_loop_delay_seconds{quantile="1",node="s"} 0.02\nkarst_rss 7\n'
  t.equal(metric(page, 'karst_event_loop_delay_seconds', 'quantile="1"'), 0.02)
  t.equal(metric(page, 'karst_rss', ''), 7)
  t.equal(metric(page, 'karst_r', ''), undefined)
  const figures = readH2load('requests: 100 total, 100 started, 100 done, 98 succeeded, 2 failed\ncpu 0.030 0.070', Float64Array.from([1_000, 2_000]), 2)
  t.same([figures.operations, figures.failed, figures.perSecond, Math.round(figures.clientCpuUs)], [98, 2, 49, 1_020])
  t.throws(() => readH2load('finished', new Float64Array(0), 1), /said something else/)
})
