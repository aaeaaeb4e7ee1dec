// What every Engine promises. One text, run on both.
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { emptyBytes } from '../../src/common/bytes.js'
import { StorageError } from '../../src/common/errors.js'
import { Cf, cfNames } from '../../src/engine/api.js'
import type { Engine, EngineReader, ScanPage } from '../../src/engine/api.js'
import { BatchWriter, readBatch } from '../../src/engine/batch-writer.js'
import { MemEngine } from '../../src/engine/mem-engine.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import { crashRocks, flushed, key, nextTurn, submitted, temporaryFolder, text } from './helpers.js'

interface Subject {
  readonly engine: Engine
  /** Loses what is not flushed; the engine to go on with. */
  crash(): Promise<Engine>
  reopen(): Promise<Engine>
  end(): Promise<void>
}

function rocks(): Subject {
  const folder = temporaryFolder()
  const open = (): Engine => openRocksEngine({ path: join(folder.path, 'db') })
  let engine = open()
  return {
    engine,
    crash: () => {
      crashRocks(engine)
      return Promise.resolve(engine = open())
    },
    reopen: async () => {
      await engine.close()
      return (engine = open())
    },
    end: async () => {
      await engine.close()
      folder.remove()
    },
  }
}

function memory(): Subject {
  const options = { defer: (run: () => void) => { setImmediate(run) } }
  const engine = new MemEngine(options)
  return {
    engine,
    crash: () => {
      engine.crash()
      engine.reopen(options)
      return Promise.resolve(engine)
    },
    reopen: async () => {
      await engine.close()
      engine.reopen(options)
      return engine
    },
    end: () => engine.close(),
  }
}

const put = (...pairs: string[]): Uint8Array => {
  const batch = new BatchWriter()
  for (const pair of pairs) batch.put(Cf.Default, key(pair.split('=')[0]!), key(pair.split('=')[1]!))
  return batch.finish()
}
const del = (...keys: string[]): Uint8Array => {
  const batch = new BatchWriter()
  for (const name of keys) batch.del(Cf.Default, key(name))
  return batch.finish()
}
const show = (page: ScanPage): string =>
  page.rows.map(row => `${text(row.key)}=${text(row.value)}`).join(' ') + (page.more ? ' …' : '')
const all = (reader: EngineReader, cf: Cf = Cf.Default, reverse = false): string =>
  show(reader.scan({ cf, start: emptyBytes, end: emptyBytes, rowsMax: 1000, bytesMax: 1 << 20, reverse }))
const range = (reader: EngineReader, start: string, end: string, rowsMax: number, bytesMax: number,
  reverse = false, keysOnly = false): string =>
  show(reader.scan({ cf: Cf.Default, start: key(start), end: key(end), rowsMax, bytesMax, reverse, ...(keysOnly && { valueTailBytes: 0 }) }))

for (const [name, make] of [['RocksEngine', rocks], ['MemEngine', memory]] as const) {
  void t.test(name, async t => {
    const check = (title: string, run: (t: Test, subject: Subject) => Promise<void> | void): void => {
      void t.test(title, async t => {
        const subject = make()
        await run(t, subject)
        await subject.end()
      })
    }

    check('a batch is visible in its column family and nowhere else', (t, { engine }) => {
      const batch = new BatchWriter()
      for (const cf of [Cf.Default, Cf.Lock, Cf.Write, Cf.Raft]) batch.put(cf, key('k'), key(cfNames[cf]))
      engine.write(batch.finish())
      for (const cf of [Cf.Default, Cf.Lock, Cf.Write, Cf.Raft]) t.equal(text(engine.get(cf, key('k'))), cfNames[cf])
      engine.write(new BatchWriter().del(Cf.Lock, key('k')).finish())
      t.equal(engine.get(Cf.Lock, key('k')), undefined)
      t.equal(text(engine.get(Cf.Write, key('k'))), 'write')
    })

    check('later operations of a batch win, also over its ranges', (t, { engine }) => {
      engine.write(put('a=0', 'b=0', 'c=0', 'd=0'))
      const batch = new BatchWriter().put(Cf.Default, key('b'), key('1')).deleteRange(Cf.Default, key('b'), key('d'))
      engine.write(batch.put(Cf.Default, key('c'), key('2')).finish())
      t.equal(all(engine), 'a=0 c=2 d=0')
      engine.write(new BatchWriter().put(Cf.Default, key('z'), key('9')).deleteRange(Cf.Default, key('c'), emptyBytes)
        .put(Cf.Default, key('zz'), key('8')).finish())
      t.equal(all(engine), 'a=0 zz=8', 'an empty end is no bound')
      engine.write(new BatchWriter().deleteRange(Cf.Default, key('z'), key('a'))
        .deleteRange(Cf.Default, key('a'), key('a')).finish())
      t.equal(all(engine), 'a=0 zz=8', 'an empty range deletes nothing')
      engine.write(new BatchWriter().deleteRange(Cf.Default, emptyBytes, emptyBytes).finish())
      t.equal(all(engine), '')
    })

    check('a malformed batch is rejected whole', (t, { engine }) => {
      const good = put('a=1')
      const bad = [good.subarray(0, good.length - 1), Uint8Array.of(...good, 1, 0),
        Uint8Array.of(...good, 9, ...good.subarray(1)),
        Uint8Array.of(...good, 1, 7, ...good.subarray(2))]
      for (const batch of bad) t.throws(() => engine.write(batch), { code: 'invalid' })
      t.equal(engine.get(Cf.Default, key('a')), undefined)
    })

    check('values are owned, empty ones exist, empty batches do nothing', (t, { engine }) => {
      const batch = put('a=1', 'b=')
      engine.write(batch)
      batch.fill(0xcc)
      const value = engine.get(Cf.Default, key('a'))!
      value.fill(0)
      t.equal(text(engine.get(Cf.Default, key('a'))), '1')
      t.equal(engine.get(Cf.Default, key('b'))?.length, 0)
      engine.write(emptyBytes)
      const many = engine.multiGet(Cf.Default, [key('b'), key('x'), key('a'), key('a')], 100).values
      t.same(many.map(text), ['', undefined, '1', '1'])
      t.same(engine.multiGet(Cf.Default, [], 100), { values: [], more: false })
    })

    check('big values and big pages come back whole', (t, { engine }) => {
      const batch = new BatchWriter()
      for (let i = 0; i < 9; i++) batch.put(Cf.Default, key(`big${i}`), new Uint8Array(300_000).fill(i))
      engine.write(batch.finish())
      t.same(engine.get(Cf.Default, key('big7')), new Uint8Array(300_000).fill(7))
      const values = engine.multiGet(Cf.Default, [key('big8'), key('no'), key('big1')], 1e9).values
      t.same([values[0]![299_999], values[1], values[2]![0], values[2]!.length], [8, undefined, 1, 300_000])
      for (const reverse of [false, true]) {
        const page = engine.scan({
          cf: Cf.Default, start: key('big'), end: key('bih'), rowsMax: 100, bytesMax: 1e9, reverse,
        })
        t.equal(page.rows.map(row => row.value[1234]).join(''), reverse ? '876543210' : '012345678')
        t.notOk(page.more)
      }
      const long = new Uint8Array(400_000).fill(65)
      engine.write(new BatchWriter().put(Cf.Default, long, key('x')).finish())
      t.equal(text(engine.get(Cf.Default, long)), 'x', 'a key beyond the arena')
    })

    check('a scan keeps its bounds and limits in both directions', (t, { engine }) => {
      engine.write(put('a=1', 'b=22', 'c=333', 'd=4', 'e=5'))
      t.equal(range(engine, 'b', 'e', 10, 100), 'b=22 c=333 d=4')
      t.equal(range(engine, 'b', 'e', 10, 100, true), 'd=4 c=333 b=22')
      t.equal(range(engine, 'b', 'e', 2, 100), 'b=22 c=333 …')
      t.equal(range(engine, 'b', 'e', 3, 100), 'b=22 c=333 d=4', 'the end of the range is no limit')
      t.equal(range(engine, 'b', '', 10, 7), 'b=22 c=333 …')
      t.equal(range(engine, 'b', '', 10, 6), 'b=22 …')
      t.equal(range(engine, 'b', '', 10, 0), 'b=22 …', 'at least one row')
      t.equal(range(engine, 'c', '', 10, 0, true), 'e=5 …')
      t.equal(range(engine, '', '', 10, 4, false, true), 'a= b= c= d= …', 'keys only: only keys count')
      t.equal(range(engine, 'e', 'b', 10, 100), '')
      t.equal(range(engine, 'bb', 'bc', 10, 100), '')
      t.equal(range(engine, 'f', '', 10, 100, true), '')
    })

    check('a snapshot stands still', async (t, { engine }) => {
      engine.write(put('a=1', 'b=1'))
      const snapshot = engine.snapshot()
      engine.write(put('a=2', 'c=2'))
      engine.write(new BatchWriter().deleteRange(Cf.Default, key('b'), key('c')).finish())
      await flushed(engine)
      t.equal(all(snapshot), 'a=1 b=1')
      t.equal(all(snapshot, Cf.Default, true), 'b=1 a=1')
      t.equal(text(snapshot.get(Cf.Default, key('b'))), '1')
      t.same(snapshot.multiGet(Cf.Default, [key('c'), key('a')], 100).values.map(text), [undefined, '1'])
      t.equal(all(engine), 'a=2 c=2')
      snapshot.release()
      snapshot.release()
      t.throws(() => snapshot.get(Cf.Default, key('a')), { name: 'AssertionError' })
    })

    check('submits complete in order, in a later turn, whatever their size', async (t, { engine }) => {
      const order: number[] = []
      const sizes = [1, 100_000, 1, 1, 150_000, 1]
      const done = sizes.map((size, i) => new Promise<void>(resolve => {
        engine.submit(new BatchWriter().put(Cf.Default, key('k'), new Uint8Array(size).fill(i)).finish(), () => {
          order.push(i)
          resolve()
        })
      }))
      t.same(order, [], 'not inside the call')
      await Promise.all(done)
      t.same(order, [0, 1, 2, 3, 4, 5])
      t.same(engine.get(Cf.Default, key('k')), Uint8Array.of(5))
      let inner = false
      await new Promise<void>(resolve => engine.submit(put('x=1'), () => {
        engine.submit(put('x=2'), () => {
          inner = true
          resolve()
        })
        t.notOk(inner)
      }))
      t.ok(inner)
    })

    check('a submitted batch may be reused at once', async (t, { engine }) => {
      const batch = new BatchWriter().put(Cf.Default, key('k'), new Uint8Array(40_000).fill(1)).finish()
      const done = submitted(engine, batch)
      batch.fill(0xff)
      await done
      t.equal(engine.get(Cf.Default, key('k'))![39_999], 1)
    })

    check('a small batch is written at once, unless something is queued before it', async (t, { engine }) => {
      t.ok(engine.tryWrite(put('a=1')))
      t.equal(all(engine), 'a=1')
      const large = new BatchWriter().put(Cf.Default, key('k'), new Uint8Array(4_000_000)).finish()
      t.notOk(engine.tryWrite(large), 'large ones are for the apply thread')
      const done = submitted(engine, large)
      t.notOk(engine.tryWrite(put('a=2')), 'it would overtake')
      t.equal(text(engine.get(Cf.Default, key('a'))), '1')
      await done
      t.ok(engine.tryWrite(put('a=3')))
      t.throws(() => engine.tryWrite(Uint8Array.of(1, 2, 3)), { code: 'invalid' })
      t.equal(text(engine.get(Cf.Default, key('a'))), '3')
    })

    check('write is refused while submits are pending', async (t, { engine }) => {
      const done = submitted(engine, new BatchWriter().put(Cf.Default, key('k'), new Uint8Array(4_000_000)).finish())
      t.throws(() => engine.write(put('a=1')), { code: 'invalid' })
      await done
      engine.write(put('a=1'))
    })

    check('a flush makes what was before it survive; a crash keeps exactly a prefix', async (t, { engine, crash }) => {
      engine.write(put('a=1'))
      t.equal(engine.getPersisted(Cf.Default, key('a')), undefined)
      await flushed(engine)
      t.equal(text(engine.getPersisted(Cf.Default, key('a'))), '1')
      engine.write(put('a=2'))
      engine.write(new BatchWriter().put(Cf.Raft, key('r'), key('2')).put(Cf.Lock, key('l'), key('2')).finish())
      t.equal(text(engine.getPersisted(Cf.Default, key('a'))), '1')
      const after = await crash()
      t.equal(all(after), 'a=1')
      t.equal(all(after, Cf.Raft), '')
      after.write(new BatchWriter().put(Cf.Raft, key('r'), key('3')).put(Cf.Default, key('a'), key('3')).finish())
      const big = submitted(after, new BatchWriter().put(Cf.Write, key('w'), new Uint8Array(100_000)).finish())
      await Promise.all([big, flushed(after)])
      after.write(del('a'))
      const last = await crash()
      t.equal(all(last), 'a=3')
      t.equal(all(last, Cf.Raft), 'r=3')
      t.equal(last.get(Cf.Write, key('w'))?.length, 100_000, 'a flush covers what was submitted before it')
    })

    check('close flushes; a closed engine says so', async (t, { engine, reopen }) => {
      engine.write(put('a=1'))
      const done = submitted(engine, put('b=2'))
      const again = await reopen()
      await done
      t.equal(all(again), 'a=1 b=2')
      await again.close()
      await again.close()
      t.throws(() => again.get(Cf.Default, key('a')), { code: 'closed' })
      t.throws(() => again.submit(put('a=1'), () => {}), StorageError)
    })

    check('sizes and middle keys follow the data', async (t, { engine }) => {
      t.equal(engine.middleKey(Cf.Default, emptyBytes, emptyBytes), undefined)
      engine.write(put('k=1'))
      t.equal(engine.middleKey(Cf.Default, emptyBytes, emptyBytes), undefined, 'one row cannot be split')
      engine.write(put('l=1'))
      t.equal(text(engine.middleKey(Cf.Default, emptyBytes, emptyBytes)), 'l')
      t.equal(engine.middleKey(Cf.Default, key('l'), emptyBytes), undefined)
      const rows = 2000
      for (let i = 0; i < rows; i += 100) {
        const batch = new BatchWriter()
        for (let j = i; j < i + 100; j++) {
          batch.put(Cf.Default, key(`m${String(j).padStart(6, '0')}`), new Uint8Array(5000).fill(j))
        }
        engine.write(batch.finish())
      }
      await flushed(engine)
      const bytes = engine.approximateBytes(Cf.Default, key('m'), key('n'))
      t.ok(bytes > rows * 5000 / 3 && bytes < rows * 5000 * 2, `about ten million: ${bytes}`)
      const half = engine.approximateBytes(Cf.Default, key('m001000'), emptyBytes)
      t.ok(half > bytes / 4 && half < bytes * 3 / 4, `about half: ${half}`)
      const middle = Number(text(engine.middleKey(Cf.Default, key('m'), emptyBytes))!.slice(1))
      t.ok(middle > rows / 4 && middle < rows * 3 / 4, `middle: ${middle}`)
      const low = Number(text(engine.middleKey(Cf.Default, key('m'), key('m000100')))!.slice(1))
      t.ok(low > 40 && low < 60, `exact in a small range: ${low}`)
      const stats = engine.stats()
      t.ok(stats.diskBytes > 0 && !stats.stalled && stats.memtableBytes >= 0)
    })

    check('keys of the write family: filters see them without their timestamp', async (t, { engine }) => {
      const at = (name: string, ts: number): Uint8Array => Uint8Array.of(...key(name), 0, 0, 0, 0, 0, 0, 0, ts)
      const batch = new BatchWriter()
      for (const [name, ts] of [['a', 1], ['a', 9], ['ab', 5], ['b', 2]] as const) {
        batch.put(Cf.Write, at(name, ts), key(`${name}${ts}`))
      }
      engine.write(batch.put(Cf.Write, key('x'), key('short')).finish())
      for (let round = 0; round < 2; round++) {
        t.equal(text(engine.get(Cf.Write, at('a', 9))), 'a9')
        t.equal(engine.get(Cf.Write, at('a', 3)), undefined)
        t.equal(engine.get(Cf.Write, at('c', 1)), undefined)
        t.equal(text(engine.get(Cf.Write, key('x'))), 'short')
        const page = engine.scan({ cf: Cf.Write, start: at('a', 2), end: emptyBytes, rowsMax: 9, bytesMax: 999 })
        t.equal(page.rows.map(row => text(row.value)).join(' '), 'a9 ab5 b2 short')
        await flushed(engine)
        await nextTurn()
      }
    })
  })
}

void t.test('a batch reads back as it was written', t => {
  const batch = new BatchWriter().put(Cf.Lock, key('k'), key('v')).del(Cf.Write, key('d'))
    .deleteRange(Cf.Raft, key('a'), emptyBytes)
    .add(17, Cf.Default, key('cas'), key('x'))
  t.equal(batch.count, 4)
  const bytes = batch.finish()
  t.same([...readBatch(bytes)].map(record => [record.op, record.cf, text(record.key), text(record.value)]),
    [[1, 1, 'k', 'v'], [2, 2, 'd', ''], [3, 3, 'a', ''], [17, 0, 'cas', 'x']])
  t.equal(batch.bytes, 0, 'the writer starts anew')
  const twice = batch.append(bytes, 4).append(bytes, 4).finish()
  t.equal([...readBatch(twice)].length, 8)
  t.end()
})
