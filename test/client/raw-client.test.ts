import t from 'tap'
import fc from 'fast-check'
import { emptyBytes, fromUtf8, utf8 } from '../../src/common/bytes.js'
import type { Requests } from '../../src/wire/messages.js'
import { FakeCluster, boundary, failure, makeRegion } from './kit.js'

const four = () => new FakeCluster([
  makeRegion(1, '', 'f'), makeRegion(2, 'f', 'm'), makeRegion(3, 'm', 't'), makeRegion(4, 't', '')])
const text = (bytes: Uint8Array | undefined) => bytes && fromUtf8(bytes)
const letters = 'abcdefghijklmnopqrstuvwxyz'.split('')
const keysOf = (rows: readonly { key: Uint8Array }[]) => rows.map(row => fromUtf8(row.key)).join('')

async function filled(cluster = four(), keyspace = 0) {
  const client = cluster.client({ timeoutMs: 3000, keyspace })
  await cluster.env.settle(client.raw.batchPut(letters.map(key => [key, key.toUpperCase()])))
  return { cluster, env: cluster.env, raw: client.raw }
}

t.test('batches are split by region and come back in order', async t => {
  const { cluster, env, raw } = await filled()
  t.same(cluster.seen.map(one => one.name), Array(4).fill('RawBatchPut'))
  cluster.seen.length = 0
  const startedAt = env.nowMs
  const values = await env.settle(raw.batchGet(['z', 'a', 'none', 'q', 'a']))
  t.same(values.map(text), ['Z', 'A', undefined, 'Q', 'A'])
  t.equal(cluster.seen.length, 3)
  t.ok(env.nowMs - startedAt <= 2, 'side by side')
  await env.settle(raw.batchDelete(['a', 'z', 'z']))
  t.same((await env.settle(raw.batchGet(['a', 'b', 'z']))).map(text), [undefined, 'B', undefined])
  t.same(await env.settle(raw.batchGet([])), [])
  await env.settle(raw.batchPut([]))
  await env.settle(raw.batchPut([['x', '1'], { key: 'x', value: '2', ttlSeconds: 9 }, ['y', '3']]))
  t.equal(text(await env.settle(raw.get('x'))), '2', 'the last of two counts')
  t.equal(await env.settle(raw.getTtl('x')), 9)
})

t.test('a split in mid-flight repeats only what it moved', async t => {
  const { cluster, env, raw } = await filled()
  cluster.seen.length = 0
  cluster.reshape([makeRegion(1, '', 'c', 2), makeRegion(9, 'c', 'f', 2), ...cluster.regions.slice(1)])
  await env.settle(raw.batchPut(letters.map(key => [key, '2'])))
  const touched = (key: string) => cluster.seen.filter(one =>
    (one.request as Requests['RawBatchPut']).pairs.some(pair => fromUtf8(pair.key.subarray(4)) === key)).length
  t.equal(touched('a'), 2, 'refused once')
  t.equal(touched('d'), 2)
  t.equal(touched('g'), 1, 'another region\'s part went once')
  t.same(new Set((await env.settle(raw.batchGet(letters))).map(text)), new Set(['2']))
})

t.test('large batches go in several requests', async t => {
  const { cluster, env, raw } = await filled()
  cluster.seen.length = 0
  await env.settle(raw.batchPut(Array.from({ length: 3000 }, (_, at) => [`a${at}`, 'v'])))
  t.equal(cluster.seen.length, 3)
  cluster.seen.length = 0
  const big = new Uint8Array(400_000)
  await env.settle(raw.batchPut([['b1', big], ['b2', big], ['b3', big]]))
  t.equal(cluster.seen.length, 3)
  const huge = new Uint8Array(3 << 20)
  await env.settle(raw.batchPut(['c1', 'c2', 'c3'].map(key => [key, huge])))
  const values = await env.settle(raw.batchGet(['c1', 'c2', 'c3']))
  t.same(values.map(value => value?.length), [huge.length, huge.length, huge.length], 'too large together, read apart')
})

t.test('a batch that fails in part says how', async t => {
  const { cluster, env, raw } = await filled()
  cluster.leaders.delete(2)
  const batch = (timeoutMs: number) => raw.batchPut([['a', '1'], ['g', '1'], ['z', '1']], { timeoutMs })
  t.match(await failure(env, batch(300)),
    { code: 'PartialWrite', written: 2, failed: 1, unit: 'keys', isUndetermined: false, cause: { code: 'Timeout' } })
  cluster.leaders.set(2, 1)
  await env.settle(raw.get('g'))
  cluster.troubles.push({ failure: 'ConnectionLost', sent: true })
  t.match(await failure(env, batch(300)), { code: 'Undetermined', isUndetermined: true })
  cluster.troubles.push({ error: { kind: 'InvalidArgument', reason: 'x' } })
  t.match(await failure(env, raw.batchPut([['a', '1']])), { code: 'InvalidArgument' }, 'nothing was written')
  cluster.leaders.delete(2)
  t.match(await failure(env, raw.batchGet(['a', 'g'], { timeoutMs: 300 })), { code: 'Timeout' }, 'reads have no parts')
})

t.test('scans walk the regions, both ways', async t => {
  const { env, raw } = await filled()
  const up = async (...args: Parameters<typeof raw.scan>) => keysOf(await env.settle(raw.scan(...args).toArray()))
  const down = async (...args: Parameters<typeof raw.scan>) => keysOf(await env.settle(raw.reverseScan(...args).toArray()))
  const all = letters.join('')
  t.equal(await up(), all)
  t.equal(await down(), letters.toReversed().join(''))
  t.equal(await up({ start: 'e', end: 'n' }), 'efghijklm')
  t.equal(await down({ start: 'e', end: 'n' }), 'mlkjihgfe')
  t.equal(await up({ start: 'f', end: 'm' }), 'fghijkl', 'exactly a region')
  t.equal(await down({ start: 'f', end: 'm' }), 'lkjihgf')
  t.equal(await up({}, { limit: 8 }), 'abcdefgh')
  t.equal(await down({}, { limit: 8 }), 'zyxwvuts')
  t.equal(await up({}, { pageRows: 1 }), all)
  t.equal(await down({ end: 'p' }, { pageRows: 4 }), letters.slice(0, 15).toReversed().join(''))
  t.equal(await up({ start: 'n', end: 'b' }), '')
  t.equal(await up({}, { limit: 0 }), '')
  await env.settle(raw.batchPut([['ha', ''], ['hb', ''], ['h\u{10ffff}', '']]))
  t.equal(await up({ prefix: 'h' }), 'hhahbh\u{10ffff}')
  t.equal(await down({ prefix: 'h' }), 'h\u{10ffff}hbhah')
  t.equal(await up({ prefix: '' }, { limit: 3 }), 'abc')
  const rows = await env.settle(raw.scan({ end: 'b' }, { keysOnly: true }).toArray())
  t.same(rows.map(row => row.value), [emptyBytes])
})

t.test('a scan is an async iterable that stops when told', async t => {
  const { cluster, env, raw } = await filled()
  cluster.seen.length = 0
  const first = await env.settle((async () => {
    const seen: string[] = []
    for await (const row of raw.scan({}, { pageRows: 2 })) {
      seen.push(fromUtf8(row.key) + fromUtf8(row.value))
      if (seen.length === 3) break
    }
    return seen
  })())
  t.same(first, ['aA', 'bB', 'cC'])
  t.equal(cluster.seen.length, 2, 'no page more than needed')
})

t.test('regions split and leaders move during a scan', async t => {
  const { cluster, env, raw } = await filled()
  const pages = raw.scan({}, { pageRows: 2 }).pages()
  t.equal(keysOf((await env.settle(pages.next())).value!), 'ab')
  cluster.reshape([makeRegion(1, '', 'd', 2), makeRegion(9, 'd', 'f', 2), ...cluster.regions.slice(1)])
  cluster.leaders.set(9, 2)
  cluster.leaders.set(3, 3)
  cluster.troubles.push({ failure: 'ConnectionLost', sent: true })
  let rest = ''
  for (;;) {
    const page = await env.settle(pages.next())
    if (page.done) break
    rest += keysOf(page.value)
  }
  t.equal(rest, letters.slice(2).join(''))
})

t.test('a scan in random regions equals a sorted list', async t => {
  const bound = fc.option(fc.constantFrom(...letters), { nil: undefined })
  await fc.assert(fc.asyncProperty(
    fc.uniqueArray(fc.constantFrom(...letters), { maxLength: 6 }), bound, bound, fc.boolean(), fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 0, max: 30 }), async (cuts, start, end, isReverse, pageRows, limit) => {
      const edges = ['', ...cuts.sort(), '']
      const regions = edges.slice(1).map((edge, at) => makeRegion(at + 1, edges[at]!, edge))
      const { env, raw } = await filled(new FakeCluster(regions))
      const range = { ...(start && { start }), ...(end && { end }) }
      const expected = letters.filter(key => (!start || key >= start) && (!end || key < end))
      if (isReverse) expected.reverse()
      const scan = isReverse ? raw.reverseScan(range, { pageRows, limit }) : raw.scan(range, { pageRows, limit })
      return keysOf(await env.settle(scan.toArray())) === expected.slice(0, limit).join('')
    }), { numRuns: 150 })
  t.pass('whatever the cuts, bounds, pages and limits')
})

t.test('delete range walks the regions', async t => {
  const { cluster, env, raw } = await filled()
  await env.settle(raw.deleteRange({ start: 'e', end: 'v' }))
  t.equal(keysOf(await env.settle(raw.scan().toArray())), 'abcdvwxyz')
  await env.settle(raw.deleteRange({ prefix: 'b' }))
  t.equal(keysOf(await env.settle(raw.scan().toArray())), 'acdvwxyz')
  cluster.leaders.delete(4)
  t.match(await failure(env, raw.deleteRange({ prefix: '' }, { timeoutMs: 200 })),
    { code: 'PartialWrite', written: 3, unit: 'regions', cause: { code: 'Timeout' } })
  cluster.leaders.set(4, 2)
  await env.settle(raw.deleteRange({ prefix: '' }))
  t.equal(cluster.data.rows.size, 0)
})

t.test('keyspaces see nothing of each other', async t => {
  const cluster = new FakeCluster([makeRegion(1, '', '')])
  const { raw: left, env } = await filled(cluster, 1)
  const { raw: right } = await filled(cluster, 2)
  const last = cluster.client({ keyspace: 0xff_ffff }).raw
  await env.settle(left.put('a', 'left'))
  t.equal(text(await env.settle(right.get('a'))), 'A')
  await env.settle(right.deleteRange({ prefix: '' }))
  t.equal(keysOf(await env.settle(left.scan().toArray())), letters.join(''))
  t.same(await env.settle(right.scan().toArray()), [])
  await env.settle(last.put('end', '1'))
  t.equal(keysOf(await env.settle(last.reverseScan().toArray())), 'end')
  t.throws(() => cluster.client({ keyspace: 2 ** 24 }), { code: 'InvalidArgument' })
})

t.test('conditional writes', async t => {
  const { env, raw } = await filled()
  t.same(await env.settle(raw.putIfAbsent('new', '1')), { swapped: true, previous: undefined })
  t.match(await env.settle(raw.putIfAbsent('new', '2')), { swapped: false, previous: utf8('1') })
  t.match(await env.settle(raw.compareAndSwap('new', '1', '', { ttlSeconds: 5 })), { swapped: true })
  t.equal(await env.settle(raw.getTtl('new')), 5)
  t.match(await env.settle(raw.compareAndDelete('new', 'x')), { swapped: false })
  t.match(await env.settle(raw.compareAndDelete('new', '')), { swapped: true })
  t.equal(await env.settle(raw.getTtl('new')), undefined)
  t.match(await env.settle(raw.compareAndSwap('new', undefined, 'z')), { swapped: true })
  await env.settle(raw.put('\u00e9\u{1f600}', utf8('bytes')))
  t.equal(text(await env.settle(raw.get(utf8('\u00e9\u{1f600}')))), 'bytes', 'text keys are UTF-8')
})

t.test('regions that meet where no key can be, as older servers allowed, are walked all the same', async t => {
  const prefix = [0x72, 0, 0, 0]
  const odd = [
    Uint8Array.of(...prefix, 0x66), Uint8Array.of(...prefix, 0x6d, 1, 2, 3, 4), Uint8Array.of(...prefix, 0x6d, 1, 2, 3, 4, 5, 6),
    Uint8Array.of(...prefix, 0x74, 0, 0, 0, 0xff), boundary(`u${'\x7f'.repeat(9_000)}`), Uint8Array.of(0x72, 0, 1), Uint8Array.of(0x73, 1),
  ]
  await fc.assert(fc.asyncProperty(fc.subarray(odd, { minLength: 1 }), fc.boolean(), fc.integer({ min: 1, max: 9 }), async (cuts, isReverse, pageRows) => {
    const edges = [emptyBytes, ...cuts, emptyBytes]
    const regions = edges.slice(1).map((endKey, at) => ({ ...makeRegion(at + 1, '', ''), startKey: edges[at]!, endKey }))
    const { env, raw } = await filled(new FakeCluster(regions))
    const scan = isReverse ? raw.reverseScan({}, { pageRows }) : raw.scan({}, { pageRows })
    const expected = isReverse ? [...letters].reverse() : letters
    if (keysOf(await env.settle(scan.toArray())) !== expected.join('')) return false
    await env.settle(raw.deleteRange({ prefix: '' }))
    return (await env.settle(raw.scan().toArray())).length === 0
  }), { numRuns: 100 })
  t.pass('up, down and deleting')
})

t.test('the last keyspace ends where it ends, wherever regions meet behind it', async t => {
  const last = 0xff_ffff
  const edges = [emptyBytes, Uint8Array.of(0x72, 0xff, 0xff), Uint8Array.of(0x72, 0xff, 0xff, 0xff, 0x80),
    Uint8Array.of(0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe), Uint8Array.of(0x73), emptyBytes]
  const regions = edges.slice(1).map((endKey, at) => ({ ...makeRegion(at + 1, '', ''), startKey: edges[at]!, endKey }))
  for (const keyspace of [last, last - 1, last - 0x100]) {
    const { env, raw } = await filled(new FakeCluster(regions), keyspace)
    t.equal(keysOf(await env.settle(raw.scan().toArray())), letters.join(''), `keyspace ${keyspace}`)
    t.equal(keysOf(await env.settle(raw.reverseScan().toArray())), [...letters].reverse().join(''))
  }
})
