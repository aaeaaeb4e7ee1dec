// One RocksDB, many threads: attach and detach, snapshots by number, cancelled scans, threads that end in the middle.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { addon } from '../../src/engine/native.js'
import { cancelScans, openRocksEngine, releaseCancelToken, takeCancelToken } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { flushed, temporaryFolder } from './helpers.js'
import type { Job } from './scan-worker.js'

const file = fileURLToPath(new URL('./scan-worker.js', import.meta.url))
const rows = 30_000

function start(job: Job): Worker { return new Worker(file, { workerData: job }) }
const message = (worker: Worker): Promise<unknown> => new Promise((resolve, reject) => {
  worker.once('message', resolve)
  worker.once('error', reject)
})
const ended = (worker: Worker): Promise<number> => new Promise(resolve => worker.once('exit', resolve))

function fill(engine: RocksEngine, from: number, to: number): void {
  const batch = new BatchWriter()
  for (let i = from; i < to; i++) {
    batch.put(Cf.Default, Buffer.from(`k${String(i).padStart(8, '0')}`), Buffer.alloc(100, i))
  }
  engine.write(batch.finish())
}

const references = (engine: RocksEngine): number => addon.engineStats(engine.handle)[4]!
const snapshots = (engine: RocksEngine): number => addon.engineStats(engine.handle)[5]!

void t.test('workers share the engine and its snapshots', async t => {
  const folder = temporaryFolder()
  const path = join(folder.path, 'db')
  const engine = openRocksEngine({ path })
  fill(engine, 0, rows)
  const snapshot = engine.snapshot()
  fill(engine, rows, rows + 10)
  const counts = await Promise.all([snapshot.id, 0].map(id =>
    message(start({ path, kind: 'count', snapshot: id, cancelToken: 0 }))))
  t.same(counts, [rows, rows + 10])
  snapshot.release()
  const worker = start({ path, kind: 'count', snapshot: snapshot.id, cancelToken: 0 })
  const gone = ended(worker)
  await t.rejects(message(worker), { code: 'closed' }, 'a released snapshot is not there for workers either')
  await gone // its reference is given back when the thread's environment ends, after the error event
  t.throws(() => engine.getAt(12345, Cf.Default, Buffer.from('k')), { code: 'closed' })
  t.equal(references(engine), 1)
  await engine.close()
  folder.remove()
})

void t.test('a worker that ends without closing leaves nothing behind', async t => {
  const folder = temporaryFolder()
  const path = join(folder.path, 'db')
  const engine = openRocksEngine({ path })
  fill(engine, 0, 1000)
  for (let i = 0; i < 5; i++) {
    const worker = start({ path, kind: 'abandon', snapshot: 0, cancelToken: 0 })
    const gone = ended(worker)
    await message(worker)
    await gone
  }
  t.equal(references(engine), 1)
  t.equal(snapshots(engine), 0)
  await flushed(engine)
  await engine.close()
  const again = openRocksEngine({ path })
  t.equal(references(again), 1, 'the DB was closed, else it could not be opened')
  await again.close()
  folder.remove()
})

void t.test('terminate in the middle of a scan, and cancel', { timeout: 60_000 }, async t => {
  const folder = temporaryFolder()
  const path = join(folder.path, 'db')
  const engine = openRocksEngine({ path })
  for (let i = 0; i < 10; i++) fill(engine, i * rows, (i + 1) * rows)
  for (let i = 0; i < 8; i++) {
    const token = takeCancelToken()
    const worker = start({ path, kind: 'forever', snapshot: 0, cancelToken: token })
    t.equal(await message(worker), 'running')
    await new Promise(resolve => setTimeout(resolve, 10 + 13 * i))
    if (i % 2 === 0) {
      const began = performance.now()
      cancelScans(token)
      t.equal(await message(worker), 'closed')
      t.ok(performance.now() - began < 500, 'a cancelled scan ends soon')
      await worker.terminate()
    } else {
      cancelScans(i % 4 === 1 ? token : 0)
      await worker.terminate()
    }
    releaseCancelToken(token)
  }
  t.equal(references(engine), 1)
  t.equal(snapshots(engine), 0)
  t.equal(engine.get(Cf.Default, Buffer.from('k00000001'))?.length, 100)
  await engine.close()
  folder.remove()
})

void t.test('process exit during a worker scan, and without any close, is clean', t => {
  const folder = temporaryFolder()
  const here = fileURLToPath(new URL('../../src/engine/', import.meta.url))
  const script = `
    import { Worker } from 'node:worker_threads'
    import { openRocksEngine } from '${here}rocks-engine.js'
    import { openNativeRaftLog } from '${here}native-raft-log.js'
    import { BatchWriter } from '${here}batch-writer.js'
    const path = '${join(folder.path, 'db')}'
    const engine = openRocksEngine({ path })
    const log = openNativeRaftLog({ dir: '${join(folder.path, 'log')}' })
    const batch = new BatchWriter()
    for (let i = 0; i < 100000; i++) batch.put(0, Buffer.from('k' + i), Buffer.alloc(100))
    engine.submit(batch.finish(), () => {})
    engine.flush(() => {})
    const first = log.batch()
    first.entries(1, [{ term: 1, index: 1, type: 0, data: Buffer.from('x') }])
    log.append(first, true, () => {})
    const worker = new Worker('${file}', { workerData: { path, kind: 'forever', snapshot: 0, cancelToken: 0 } })
    worker.once('message', () => setTimeout(() => process.exit(7), 20))
  `
  const main = join(folder.path, 'main.mjs')
  writeFileSync(main, script)
  for (let i = 0; i < 4; i++) {
    const result = spawnSync(process.execPath, [main], { encoding: 'utf8' })
    t.same([result.status, result.signal, result.stderr], [7, null, ''])
  }
  folder.remove()
  t.end()
})

void t.test('open, use and close many times: memory, handles and threads stay', async t => {
  const folder = temporaryFolder()
  const engine = openRocksEngine({ path: join(folder.path, 'kept') })
  fill(engine, 0, 2000)
  const options = { cf: Cf.Default, start: Buffer.from('k'), end: Buffer.from('l'), rowsMax: 500, bytesMax: 1e9 }
  const round = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const snapshot = engine.snapshot()
      snapshot.scan({ ...options, reverse: i % 2 === 0 })
      const cursor = addon.cursorOpen(engine.handle, snapshot.id, Cf.Default, 0, 0, 0, -1)
      addon.cursorNext(engine.handle, cursor, 100, 1e6, 0)
      addon.cursorClose(engine.handle, cursor)
      snapshot.release()
      const value = Buffer.alloc(i % 50 === 0 ? 40_000 : 40)
      engine.submit(new BatchWriter().put(Cf.Lock, Buffer.from('x'), value).finish(), () => {})
      if (i % 50 === 0) {
        await flushed(engine)
        const other = openRocksEngine({ path: join(folder.path, 'other') })
        other.write(new BatchWriter().put(Cf.Lock, Buffer.from('x'), Buffer.alloc(1000)).finish())
        await other.close()
      }
    }
    globalThis.gc?.()
  }
  await round(300)
  const before = process.memoryUsage().rss
  await round(1500)
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 48 << 20, `grew by ${(grown / 1048576).toFixed(1)} MiB`)
  t.equal(snapshots(engine), 0)
  await engine.close()
  folder.remove()
})
