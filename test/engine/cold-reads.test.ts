// Reads that never wait for a disk, and those that wait elsewhere. One text for both engines where both can say it.
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { emptyBytes } from '../../src/common/bytes.js'
import type { StorageError } from '../../src/common/errors.js'
import type { Result } from '../../src/common/result.js'
import { Cf, wholeValue } from '../../src/engine/api.js'
import type { Engine, EngineReader, PendingRead, ReadDone, ScanOptions, ScanPage, ValuesPage } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { MemEngine } from '../../src/engine/mem-engine.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { crashRocks, flushed, key, nextTurn, temporaryFolder, text } from './helpers.js'

const everything: ScanOptions = { cf: Cf.Default, start: emptyBytes, end: emptyBytes, rowsMax: 100, bytesMax: 1 << 20 }
const later = <T>(start: (done: ReadDone<T>) => PendingRead | undefined): Promise<Result<T, StorageError>> =>
  new Promise((resolve, reject) => { if (start(resolve) === undefined) reject(new Error('busy')) })
const valueOf = <T>(result: Result<T, StorageError>): T => {
  if (!result.ok) throw result.error
  return result.value
}
const rowsOf = (page: { rows: readonly { key: Uint8Array; value: Uint8Array }[]; more: boolean }): string =>
  page.rows.map(row => `${text(row.key)}=${text(row.value)}`).join(' ') + (page.more ? ' …' : '')
const put = (...pairs: string[]): Uint8Array => {
  const batch = new BatchWriter()
  for (const pair of pairs) batch.put(Cf.Default, key(pair.split('=')[0]!), key(pair.split('=')[1]!))
  return batch.finish()
}
const rows = (count: number, value: (i: number) => Uint8Array): Uint8Array => {
  const batch = new BatchWriter()
  for (let i = 0; i < count; i++) batch.put(Cf.Default, key(String(i).padStart(8, '0')), value(i))
  return batch.finish()
}

const manyLater = async (reader: EngineReader, keys: readonly Uint8Array[], bytesMax: number): Promise<ValuesPage> =>
  valueOf(await later<ValuesPage>(done => reader.multiGetLater(Cf.Default, keys, bytesMax, done)))
const pageLater = async (reader: EngineReader, options: ScanOptions): Promise<ScanPage> =>
  valueOf(await later<ScanPage>(done => reader.scanLater(options, done)))
const getLater = async (reader: EngineReader, name: string, tailBytes = wholeValue): Promise<Uint8Array | undefined> =>
  valueOf(await later<Uint8Array | undefined>(done => reader.getLater(Cf.Default, key(name), tailBytes, done)))

for (const [name, make] of [['RocksEngine', rocks], ['MemEngine', memory]] as const) {
  void t.test(name, async t => {
    const { engine, end } = make()
    engine.write(put('a=1', 'b=22', 'c=333'))
    t.equal(text(await getLater(engine, 'b')), '22')
    t.equal(await getLater(engine, 'x'), undefined)
    t.equal(text(await getLater(engine, 'c', 2)), '33', 'only the end of the value')
    t.same((await manyLater(engine, ['c', 'x', 'a'].map(key), 100)).values.map(text),
      ['333', undefined, '1'])
    t.equal(rowsOf(await pageLater(engine, { ...everything, rowsMax: 2 })), 'a=1 b=22 …')
    t.equal(rowsOf(await pageLater(engine, { ...everything, reverse: true, valueTailBytes: 0 })), 'c= b= a=')

    await asOfTheCall(t, engine)

    const seen: string[] = []
    const pending = engine.getLater(Cf.Default, key('a'), wholeValue, () => { seen.push('cancelled') })
    pending!.cancel()
    pending!.cancel()
    engine.getLater(Cf.Default, key('a'), wholeValue, () => { seen.push('done') })
    t.same(seen, [], 'never inside the call')
    t.equal(engine.stats().readsWaiting, 1)
    while (seen.length === 0) await nextTurn()
    t.same(seen, ['done'])

    const ends: string[] = []
    for (let i = 0; i < 3; i++) engine.getLater(Cf.Default, key('a'), wholeValue, result => { ends.push(result.ok ? 'ok' : result.error.code) })
    await engine.close()
    t.equal(ends.length, 3, 'each read ends, also by the end of the engine')
    t.ok(ends.every(one => one === 'ok' || one === 'closed'), ends.join())
    t.throws(() => engine.getLater(Cf.Default, key('a'), wholeValue, () => {}), { code: 'closed' })
    await end()
  })
}

/** Whatever is written after the call is not seen; a released snapshot is still read to the end. */
async function asOfTheCall(t: Test, engine: Engine): Promise<void> {
  const snapshot = engine.snapshot()
  const start = (reader: EngineReader): Promise<string>[] => [
    getLater(reader, 'a').then(value => text(value) ?? '-'),
    manyLater(reader, [key('a'), key('d')], 100).then(page => page.values.map(text).join()),
    pageLater(reader, everything).then(rowsOf),
  ]
  const now = start(engine)
  engine.write(new BatchWriter().deleteRange(Cf.Default, emptyBytes, emptyBytes).put(Cf.Default, key('a'), key('new')).finish())
  const then = start(snapshot)
  snapshot.release()
  t.same(await Promise.all(now), ['1', '1,', 'a=1 b=22 c=333'])
  t.same(await Promise.all(then), ['1', '1,', 'a=1 b=22 c=333'])
  t.equal(text(await getLater(engine, 'a')), 'new')
}

function rocks(): { engine: RocksEngine; end: () => Promise<void> } {
  const folder = temporaryFolder()
  const engine = openRocksEngine({ path: join(folder.path, 'db') })
  return { engine, end: async () => { await engine.close(); folder.remove() } }
}

function memory(): { engine: Engine; end: () => Promise<void> } {
  const engine = new MemEngine({ defer: run => { setImmediate(run) } })
  return { engine, end: () => engine.close() }
}

/** On disk, and in no cache of ours. */
async function reopened(path: string, write: (engine: RocksEngine) => void | Promise<void>): Promise<RocksEngine> {
  const first = openRocksEngine({ path })
  await write(first)
  await first.close()
  return openRocksEngine({ path })
}

t.test('what is in no cache is cold, until a read thread has brought it in', async t => {
  const folder = temporaryFolder()
  const engine = await reopened(join(folder.path, 'db'), engine => { engine.write(rows(5000, () => new Uint8Array(100))) })
  const some = key('00001234')
  const keys = [some, key('00004321'), key('00000001')]
  const page = { ...everything, start: some, rowsMax: 10 }
  t.equal(engine.tryGet(Cf.Default, some), 'cold')
  t.equal(engine.tryMultiGet(Cf.Default, keys, 1e6), 'cold')
  t.equal(engine.tryScan(page), 'cold')
  t.equal(engine.tryScan({ ...page, reverse: true, start: emptyBytes, end: some }), 'cold')
  const snapshot = engine.snapshot()
  t.equal(snapshot.tryGet(Cf.Default, some), 'cold')
  t.equal((await manyLater(engine, keys, 1e6)).values.length, 3)
  t.match(engine.tryGet(Cf.Default, some), { length: 100 })
  t.match(engine.tryGet(Cf.Default, some, 9), { length: 9 })
  t.match(snapshot.tryMultiGet(Cf.Default, keys, 1e6), { values: { length: 3 }, more: false })
  t.match(engine.tryScan(page), { rows: { length: 10 }, more: true })
  snapshot.release()
  const { calls } = engine.stats()
  t.ok(calls !== undefined && calls.counts.reduce((sum, one) => sum + one, 0) > 8 && calls.maxMs > 0, 'calls are timed')
  await engine.close()
  folder.remove()
})

t.test('a memtable alone is hot', async t => {
  const { engine, end } = rocks()
  engine.write(put('a=1'))
  t.equal(text(engine.tryGet(Cf.Default, key('a')) as Uint8Array), '1')
  t.equal(engine.tryGet(Cf.Default, key('b')), undefined)
  t.same(engine.tryMultiGet(Cf.Default, [key('b')], 10), { values: [undefined], more: false })
  await flushed(engine)
  t.equal(text(engine.tryGet(Cf.Default, key('a')) as Uint8Array), '1', 'what was just flushed is in the cache')
  await end()
})

t.test('no multi-get reads more than it may answer, however often a key is named', async t => {
  const { engine, end } = rocks()
  const mib = 1 << 20
  engine.write(rows(4, i => new Uint8Array(mib).fill(i)))
  await flushed(engine)
  const keys = Array.from({ length: 4000 }, (_, i) => key(String(3 - i % 4).padStart(8, '0')))
  const rssBefore = process.memoryUsage.rss()
  for (const page of [engine.multiGet(Cf.Default, keys, 3 * mib), await manyLater(engine, keys, 3 * mib)]) {
    t.equal(page.more, true)
    t.ok(page.values.length >= 1 && page.values.length <= 3, String(page.values.length))
    page.values.forEach((value, i) => t.same([value!.length, value![7]], [mib, 3 - i % 4]))
  }
  t.ok(process.memoryUsage.rss() - rssBefore < 300 * mib, 'not 4000 MiB')
  t.match(engine.multiGet(Cf.Default, keys, 0), { values: { length: 1 }, more: true }, 'at least one')
  // In an order that RocksDB does not read in.
  const seen: number[] = []
  for (let at = 0; at < 8;) {
    const { values } = engine.multiGet(Cf.Default, keys.slice(at, 8), 2 * mib)
    for (const value of values) seen.push(value![0]!)
    at += values.length
  }
  t.same(seen, [3, 2, 1, 0, 3, 2, 1, 0])
  await end()
})

t.test('a field of deleted keys ends a page, which says where to go on, and no row is lost or doubled', async t => {
  const { engine, end } = rocks()
  const count = 300_000
  const name = (i: number): Uint8Array => key(String(i).padStart(8, '0'))
  for (let i = 0; i < count; i += 10_000) {
    const batch = new BatchWriter()
    for (let j = i; j < i + 10_000; j++) batch.put(Cf.Default, name(j), emptyBytes)
    engine.write(batch.finish())
  }
  const isKept = (i: number): boolean => i % 75_001 === 7 || i === count - 1
  const kept: number[] = []
  for (let i = 0; i < count; i += 10_000) {
    const batch = new BatchWriter()
    for (let j = i; j < i + 10_000; j++) {
      if (isKept(j)) kept.push(j)
      else batch.del(Cf.Default, name(j))
    }
    engine.write(batch.finish())
  }
  t.equal(engine.tryScan({ ...everything, start: name(8), rowsMax: 1 }), 'cold', 'not walked over on the loop')
  for (const reverse of [false, true]) {
    const found: number[] = []
    let { start, end } = everything
    let pages = 0
    for (let more = true; more; pages++) {
      const page = await pageLater(engine, { ...everything, start, end, reverse })
      for (const row of page.rows) found.push(Number(text(row.key)))
      more = page.more
      if (more) t.ok(page.resume !== undefined)
      if (reverse) end = page.resume ?? end
      else start = page.resume ?? start
    }
    t.same(found, reverse ? [...kept].reverse() : kept)
    t.ok(pages > 1 && pages < 20, `${pages} pages`)
  }
  await end()
})

t.test('the queue of reads is bounded, and says so', async t => {
  const folder = temporaryFolder()
  const engine = await reopened(join(folder.path, 'db'), engine => { engine.write(rows(10, () => new Uint8Array(9))) })
  let accepted = 0
  let answered = 0
  for (let i = 0; i < 10_000; i++) {
    if (engine.getLater(Cf.Default, key('00000001'), wholeValue, () => { answered++ }) !== undefined) accepted++
  }
  t.equal(accepted, 4096)
  while (answered < accepted) await nextTurn()
  t.not(engine.getLater(Cf.Default, key('00000001'), wholeValue, () => {}), undefined)
  crashRocks(engine)
  folder.remove()
})
