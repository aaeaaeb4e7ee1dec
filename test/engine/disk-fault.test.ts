// A disk that fails once fails for good: the process ends with 70 at the first error, and never tries again.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import { temporaryFolder } from './helpers.js'
import { lastOf } from './log-child.js'
import { buildShim } from './shim.js'

const child = fileURLToPath(new URL('./log-child.js', import.meta.url))
const exitCode = 70

interface Ended {
  readonly code: number | null
  readonly durable: number
  readonly errors: string
  readonly trace: readonly string[]
  readonly ms: number
}

function run(library: string, dir: string, env: Record<string, string>, count: number, file = ''): Promise<Ended> {
  return new Promise(resolve => {
    const trace = join(dir, 'trace')
    const started = performance.now()
    const preload = [process.env['LD_PRELOAD'], library].filter(Boolean).join(':')
    const running = spawn(process.execPath, [child, dir, 'count', String(count)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env, LD_PRELOAD: preload, KARST_SHIM_PATH: join(dir, 'log', file), KARST_SHIM_TRACE: trace },
    })
    let output = ''
    let errors = ''
    running.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
    running.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString() })
    running.on('close', code => {
      const durable = Math.max(0, ...[...output.matchAll(/^durable (\d+)$/gm)].map(match => Number(match[1])))
      const lines = readFileSync(trace, { encoding: 'utf8', flag: 'a+' }).split('\n').filter(Boolean)
      resolve({ code, durable, errors, trace: lines, ms: performance.now() - started })
    })
  })
}

void t.test('a failed sync ends the process at once and is never retried', async t => {
  const folder = temporaryFolder()
  const library = buildShim(folder.path)
  // The folder and the log's secret are synced before there is a log.
  for (const nth of [1, 2, 3]) {
    const life = temporaryFolder()
    const ended = await run(library, life.path, { KARST_SHIM_SYNC_FAIL_NTH: String(nth) }, 20)
    t.equal(ended.code, 1, `sync ${nth}: a log that cannot be opened says so`)
    t.match(ended.errors, /StorageError/)
    t.equal(ended.trace.filter(line => line.startsWith('sync')).length, nth, 'nothing was tried again')
    life.remove()
  }
  for (const nth of [4, 5, 6, 12, 33]) {
    const life = temporaryFolder()
    const ended = await run(library, life.path, { KARST_SHIM_SYNC_FAIL_NTH: String(nth) }, 2000)
    t.equal(ended.code, exitCode, `sync ${nth}`)
    const syncs = ended.trace.filter(line => line.startsWith('sync'))
    const failed = syncs.findIndex(line => line.endsWith(' -5'))
    const path = syncs[failed]?.split(' ')[2]
    t.equal(syncs[failed]?.split(' ')[1], String(nth), 'it was this one')
    // The thread that prepares the next segment may be in the middle of syncing that one.
    t.same(syncs.slice(failed + 1).filter(line => line.split(' ')[2] === path), [], 'and it was not tried again')
    t.ok(syncs.length <= nth + 2, 'the process was gone at once')
    t.match(ended.errors, /^raft-log\.fatal what="(f|spare).*" errno=5 exit=70\n$/, 'one line')
    const log = openNativeRaftLog({ dir: join(life.path, 'log'), segmentBytes: 32 << 10 })
    t.ok(lastOf(log) >= ended.durable, `${ended.durable} were durable, ${lastOf(log)} found`)
    await log.close()
    life.remove()
  }
  folder.remove()
})

void t.test('what a failed sync left in the page cache is on disk before anybody builds on it', async t => {
  const folder = temporaryFolder()
  const library = buildShim(folder.path)
  for (const nth of [4, 6, 9, 12, 33]) {
    const life = temporaryFolder()
    const [dir, disk] = [join(life.path, 'log'), join(life.path, 'disk')]
    mkdirSync(disk)
    const failed = await run(library, life.path, { KARST_SHIM_DISK: disk, KARST_SHIM_SYNC_FAIL_NTH: String(nth) }, 2000)
    t.equal(failed.code, exitCode, `sync ${nth}`)
    // The next life reads what the failed sync dropped, and adds to it. Then the power goes.
    const next = await run(library, life.path, { KARST_SHIM_DISK: disk }, 5)
    t.equal(next.code, 0)
    rmSync(dir, { recursive: true })
    mkdirSync(dir)
    for (const file of readdirSync(disk)) cpSync(join(disk, file), join(dir, file))
    const log = openNativeRaftLog({ dir, segmentBytes: 32 << 10 })
    const acknowledged = Math.max(failed.durable, next.durable)
    t.ok(lastOf(log) >= acknowledged, `sync ${nth}: ${acknowledged} were acknowledged, ${lastOf(log)} are on disk`)
    await log.close()
    life.remove()
  }
  folder.remove()
})

void t.test('a full or broken disk under a write ends the process too', async t => {
  const folder = temporaryFolder()
  const library = buildShim(folder.path)
  for (const [nth, errno] of [[1, 28], [4, 28], [12, 5]] as const) {
    const life = temporaryFolder()
    const ended = await run(library, life.path,
      { KARST_SHIM_WRITE_FAIL_NTH: String(nth), KARST_SHIM_WRITE_ERRNO: String(errno) }, 2000, '00000')
    t.equal(ended.code, exitCode, `write ${nth}`)
    t.match(ended.errors, new RegExp(`errno=${errno} exit=70`))
    t.equal(ended.trace.filter(line => line.startsWith('write')).length, 1)
    const log = openNativeRaftLog({ dir: join(life.path, 'log'), segmentBytes: 32 << 10 })
    t.ok(lastOf(log) >= ended.durable)
    await log.close()
    life.remove()
  }
  folder.remove()
})

void t.test('durable means synced: a slow sync is a slow append', async t => {
  const folder = temporaryFolder()
  const library = buildShim(folder.path)
  const life = temporaryFolder()
  // 8 in flight, so 80 batches are at least ten groups.
  const ended = await run(library, life.path, { KARST_SHIM_SYNC_DELAY_MS: '20' }, 80)
  t.equal(ended.code, 0)
  t.equal(ended.durable, 80)
  const syncs = ended.trace.filter(line => line.startsWith('sync')).length
  t.ok(syncs >= 10 && ended.ms >= syncs * 20, `${syncs} syncs of 20 ms in ${Math.round(ended.ms)} ms`)
  life.remove()
  folder.remove()
})
