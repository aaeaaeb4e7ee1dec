// A damaged file costs the rows in it, and nothing else; many range deletes cost nobody.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { emptyBytes } from '../../src/common/bytes.js'
import { Cf, wholeValue } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { openRocksEngine, releaseCancelToken, takeCancelToken } from '../../src/engine/rocks-engine.js'
import type { RocksEngine } from '../../src/engine/rocks-engine.js'
import { flushed, key, nextTurn, temporaryFolder } from './helpers.js'

const name = (group: string, i: number): Uint8Array => key(`${group}${String(i).padStart(6, '0')}`)

function fill(engine: RocksEngine, group: string, fillByte: number): Promise<void> {
  const batch = new BatchWriter()
  for (let i = 0; i < 2000; i++) batch.put(Cf.Default, name(group, i), new Uint8Array(200).map((_, at) => (fillByte + at * i) & 0xff))
  engine.write(batch.finish())
  return flushed(engine)
}

/** Two files, a… and b…; some bytes of the first are changed. */
async function damagedFolder(path: string, change: (file: Buffer) => void): Promise<void> {
  const engine = openRocksEngine({ path })
  await fill(engine, 'a', 1)
  await fill(engine, 'b', 2)
  await engine.close()
  const [first] = readdirSync(path).filter(file => file.endsWith('.sst')).sort()
  const bytes = readFileSync(join(path, first!))
  change(bytes)
  writeFileSync(join(path, first!), bytes)
}

const later = (engine: RocksEngine, at: Uint8Array): Promise<string> => new Promise(resolve => {
  engine.getLater(Cf.Default, at, wholeValue, result => { resolve(result.ok ? 'ok' : result.error.code) })
})

t.test('a damaged block fails the reads of its rows by name, and what else is there is served', async t => {
  const folder = temporaryFolder()
  const path = join(folder.path, 'db')
  await damagedFolder(path, file => { file.fill(0x5a, 5000, 5050) })
  const engine = openRocksEngine({ path })
  t.throws(() => engine.get(Cf.Default, name('a', 30)), { code: 'corruption' })
  t.throws(() => engine.multiGet(Cf.Default, [name('b', 1), name('a', 30)], 1e6), { code: 'corruption' })
  t.throws(() => engine.scan({ cf: Cf.Default, start: name('a', 0), end: emptyBytes, rowsMax: 100, bytesMax: 1e6 }), { code: 'corruption' })
  t.throws(() => engine.scan({ cf: Cf.Default, start: name('a', 0), end: name('a', 60), rowsMax: 100, bytesMax: 1e6, reverse: true }),
    { code: 'corruption' })
  t.equal(await later(engine, name('a', 30)), 'corruption')
  t.equal(await later(engine, name('b', 30)), 'ok')
  t.match(engine.get(Cf.Default, name('a', 1999)), { length: 200 }, 'another block of the same file')

  // Compactions meet it, and the engine takes writes all the same.
  for (let i = 0; i < 8; i++) await fill(engine, 'a', i)
  let found = engine.damages()
  for (let turns = 0; found.length === 0 && turns < 600; turns++) {
    await new Promise(resolve => setTimeout(resolve, 50))
    found = engine.damages()
  }
  t.equal(found.length, 1)
  t.match(found[0], { cf: Cf.Default, smallest: name('a', 0), largest: name('a', 1999), reason: /orruption/ })
  t.same(engine.damages(), [], 'told once')
  await fill(engine, 'c', 3)
  t.match(engine.get(Cf.Default, name('c', 3)), { length: 200 })
  await engine.close()
  folder.remove()
})

t.test('a file that cannot be opened does not keep the others from being served', async t => {
  const folder = temporaryFolder()
  const path = join(folder.path, 'db')
  await damagedFolder(path, file => { file.fill(0, file.length - 60) })
  const engine = openRocksEngine({ path })
  t.match(engine.damages(), [{ cf: Cf.Default, smallest: name('a', 0), largest: name('a', 1999) }])
  t.throws(() => engine.get(Cf.Default, name('a', 30)), { code: 'corruption' })
  t.match(engine.get(Cf.Default, name('b', 30)), { length: 200 })
  t.equal(await later(engine, name('b', 30)), 'ok')
  await engine.close()
  folder.remove()
})

t.test('range tombstones in the memtable are bounded: small ranges go row by row, many large ones flush', async t => {
  const folder = temporaryFolder()
  const engine = openRocksEngine({ path: join(folder.path, 'db') })
  await fill(engine, 'a', 1)
  for (let i = 0; i < 100; i++) {
    engine.write(new BatchWriter().deleteRange(Cf.Default, name('a', 10 * i), name('a', 10 * i + 5)).finish())
  }
  t.equal(engine.stats().rangeTombstones, 0)
  t.equal(engine.get(Cf.Default, name('a', 993)), undefined)
  t.match(engine.get(Cf.Default, name('a', 996)), { length: 200 })
  let most = 0
  for (let i = 0; i < 3000; i++) {
    const batch = new BatchWriter().put(Cf.Default, name('r', i), emptyBytes)
    engine.write(batch.deleteRange(Cf.Default, name('r', i), name('s', i)).finish())
    most = Math.max(most, engine.stats().rangeTombstones)
  }
  t.ok(most > 100 && most <= 512, `at most ${most}`)
  t.equal(engine.get(Cf.Default, name('r', 2999)), undefined)
  await engine.close()
  folder.remove()
})

t.test('cancel tokens come back', async t => {
  const all: number[] = []
  for (let token = takeCancelToken(); token !== 0; token = takeCancelToken()) all.push(token)
  t.equal(all.length, 1024)
  all.forEach(releaseCancelToken)
  await nextTurn()
  t.not(takeCancelToken(), 0)
})
