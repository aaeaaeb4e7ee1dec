/** What a caller may hand in by mistake, and what the client does with what it was handed. */
import { getEventListeners } from 'node:events'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { fromUtf8, utf8 } from '../../src/common/bytes.js'
import { limits } from '../../src/common/limits.js'
import { KarstError } from '../../src/client/errors.js'
import type { RawClient } from '../../src/client/raw-client.js'
import { AbortWatch } from '../../src/transport/abort-watch.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { FrameDecoder, encodeRequest } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import type { Requests } from '../../src/wire/messages.js'
import { FakeWorld } from '../transport/fake.js'
import { hello } from '../transport/real.js'
import { FakeCluster, makeRegion } from './kit.js'

const two = () => new FakeCluster([makeRegion(1, '', 'm'), makeRegion(2, 'm', '')])
const text = (bytes: Uint8Array | undefined) => bytes && fromUtf8(bytes)

/** What each public method does with a key or value that is none. */
const calls: Readonly<Record<string, (raw: RawClient, bad: never) => unknown>> = {
  get: (raw, bad) => raw.get(bad),
  'put, key': (raw, bad) => raw.put(bad, 'v'),
  'put, value': (raw, bad) => raw.put('k', bad),
  delete: (raw, bad) => raw.delete(bad),
  getTtl: (raw, bad) => raw.getTtl(bad),
  'compareAndSwap, key': (raw, bad) => raw.compareAndSwap(bad, 'a', 'b'),
  'compareAndSwap, expected': (raw, bad) => raw.compareAndSwap('k', bad, 'b'),
  'compareAndSwap, value': (raw, bad) => raw.compareAndSwap('k', 'a', bad),
  'putIfAbsent, value': (raw, bad) => raw.putIfAbsent('k', bad),
  compareAndDelete: (raw, bad) => raw.compareAndDelete('k', bad),
  batchGet: (raw, bad) => raw.batchGet(['a', bad]),
  'batchPut, pair': (raw, bad) => raw.batchPut([['a', 'b'], [bad, 'v']]),
  'batchPut, record': (raw, bad) => raw.batchPut([{ key: 'a', value: bad }]),
  batchDelete: (raw, bad) => raw.batchDelete([bad]),
  'scan, start': (raw, bad) => raw.scan({ start: bad }).toArray(),
  'scan, prefix': (raw, bad) => raw.scan({ prefix: bad }).toArray(),
  'reverseScan, end': (raw, bad) => raw.reverseScan({ end: bad }).toArray(),
  deleteRange: (raw, bad) => raw.deleteRange({ start: 'a', end: bad }),
}

const rejection = async (run: () => unknown): Promise<unknown> => {
  try {
    await run()
    return undefined
  } catch (error) {
    return error
  }
}

t.test('what is neither text nor bytes is refused by every method, before anything is sent', async t => {
  const cluster = two()
  const { raw } = cluster.client()
  const bad = [
    new ArrayBuffer(4), new SharedArrayBuffer(4), 42, 42n, true, Symbol('s'), new Date(), new DataView(new ArrayBuffer(4)),
    new Uint16Array(2), new Int8Array(2), new Uint8ClampedArray(2), ['a'], { length: 3 }, () => 'a', 'half \ud800 of a pair', null,
  ]
  for (const [name, call] of Object.entries(calls)) {
    for (const value of bad) {
      const error = await rejection(() => call(raw, value as never))
      t.ok(error instanceof KarstError && error.code === 'InvalidArgument',
        `${name}: ${Object.prototype.toString.call(value)} gives ${String(error)}`)
    }
  }
  t.same(cluster.seen, [])
})

t.test('Buffers and Uint8Arrays of another realm are bytes', async t => {
  const cluster = two()
  const { raw } = cluster.client()
  const foreign = runInNewContext('new Uint8Array([107, 101, 121])') as Uint8Array
  await cluster.env.settle(raw.put(foreign, Buffer.from('value')))
  t.equal(text(await cluster.env.settle(raw.get('key'))), 'value')
})

t.test('a buffer that is changed after the call changes nothing, whether the route is known or not', async t => {
  const cluster = two()
  const { raw } = cluster.client()
  const value = utf8('before')
  const cold = raw.put('a', value)
  value.fill(0x78)
  await cluster.env.settle(cold)
  const second = utf8('before')
  cluster.troubles.push({ error: { kind: 'ServerIsBusy', reason: 'test', backoffMs: 1 } })
  const repeated = raw.compareAndSwap('b', undefined, second)
  second.fill(0x78)
  await cluster.env.settle(repeated)
  const third = utf8('before')
  const batch = raw.batchPut([['c', third]])
  third.fill(0x78)
  await cluster.env.settle(batch)
  for (const key of ['a', 'b', 'c']) t.equal(text(await cluster.env.settle(raw.get(key))), 'before', key)
})

t.test('a range that is none, or has a misspelt bound, is refused: it would mean everything', async t => {
  const cluster = two()
  const { raw } = cluster.client()
  const bad = ['user/', utf8('user/'), null, 7, { from: 'a' }, { prefix: 'a', start: 'b' }, { start: 'a', limit: 3 }, ['a', 'b']]
  for (const range of bad) {
    for (const run of [() => raw.deleteRange(range as never), () => raw.scan(range as never).toArray()]) {
      const error = await rejection(run)
      t.ok(error instanceof KarstError && error.code === 'InvalidArgument', `${JSON.stringify(range)}: ${String(error)}`)
    }
  }
  for (const range of [{}, { end: '' }, { start: '', end: '' }]) {
    t.match(await rejection(() => raw.deleteRange(range)), { code: 'InvalidArgument' }, JSON.stringify(range))
  }
  t.same(cluster.seen, [])
})

t.test('an empty end is no bound; a bound may lie just behind the longest key', async t => {
  const cluster = two()
  const { env } = cluster
  const { raw } = cluster.client()
  const longest = new Uint8Array(limits.keyBytesMax).fill(0x7a)
  await env.settle(raw.batchPut([['a', '1'], ['z', '2'], [longest, '3']]))
  const behind = new Uint8Array(limits.keyBytesMax + 1)
  behind.set(longest)
  t.equal((await env.settle(raw.scan({ start: 'b', end: '' }).toArray())).length, 2)
  t.equal((await env.settle(raw.scan({ start: 'b', end: behind }).toArray())).length, 2, 'the longest key is in it')
  await env.settle(raw.deleteRange({ start: 'z', end: behind }))
  t.equal((await env.settle(raw.scan({ start: behind }).toArray())).length, 0)
  t.equal((await env.settle(raw.scan().toArray())).length, 1)
  t.match(await rejection(() => raw.scan({ end: new Uint8Array(limits.keyBytesMax + 2) }).toArray()), { code: 'LimitExceeded' })
  t.match(await rejection(() => raw.scan({ prefix: behind }).toArray()), { code: 'LimitExceeded' })
})

t.test('a prefix of 0xff in the last keyspace, and in one whose number ends with 0xff', async t => {
  for (const keyspace of [0xff, 0xffffff]) {
    const cluster = two()
    const { raw } = cluster.client({ keyspace })
    await cluster.env.settle(raw.put(Uint8Array.of(0xff, 0xff, 1), 'v'))
    t.equal((await cluster.env.settle(raw.scan({ prefix: Uint8Array.of(0xff, 0xff) }).toArray())).length, 1)
    t.equal((await cluster.env.settle(raw.reverseScan({ prefix: Uint8Array.of(0xff) }).toArray())).length, 1)
  }
})

t.test('numbers that a timer or the wire cannot hold are refused, not bent', async t => {
  const cluster = two()
  const { raw } = cluster.client()
  for (const timeoutMs of [0, -1, 2 ** 31, Infinity, Number.NaN, '10' as never, null as never]) {
    t.match(await rejection(() => raw.get('a', { timeoutMs })), { code: 'InvalidArgument' }, `timeoutMs ${String(timeoutMs)}`)
    t.throws(() => cluster.client({ timeoutMs }), { code: 'InvalidArgument' }, `client, timeoutMs ${String(timeoutMs)}`)
  }
  for (const ttlSeconds of [-1, 0.5, Number.NaN, Infinity, '1' as never]) {
    t.match(await rejection(() => raw.put('a', 'b', { ttlSeconds })), { code: 'InvalidArgument' }, `ttl ${String(ttlSeconds)}`)
  }
  for (const ttlSeconds of [2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]) {
    t.match(await rejection(() => raw.put('a', 'b', { ttlSeconds })), { code: 'LimitExceeded' }, `ttl ${ttlSeconds}`)
    t.match(await rejection(() => raw.batchPut([{ key: 'a', value: 'b', ttlSeconds }])), { code: 'LimitExceeded' })
    t.match(await rejection(() => raw.putIfAbsent('a', 'b', { ttlSeconds })), { code: 'LimitExceeded' })
  }
  for (const limit of [-1, 1.5, Number.NaN]) {
    t.match(await rejection(() => raw.scan({}, { limit }).toArray()), { code: 'InvalidArgument' }, `limit ${limit}`)
  }
  for (const pageRows of [0, 1.5, limits.scanRowsMax + 1]) {
    t.match(await rejection(() => raw.scan({}, { pageRows }).toArray()), { code: 'InvalidArgument' }, `pageRows ${pageRows}`)
  }
  t.match(await rejection(() => raw.get('a', { signal: {} as never })), { code: 'InvalidArgument' })
  t.match(await rejection(() => raw.get('a', 5 as never)), { code: 'InvalidArgument' })
  t.match(await rejection(() => raw.batchGet('abc' as never)), { code: 'InvalidArgument' })
  t.match(await rejection(() => raw.batchPut([7 as never])), { code: 'InvalidArgument' })
  t.same(cluster.seen, [])
})

t.test('the time-out of deleteRange is for all regions together', async t => {
  const regions = 'abcdefghijklmnopqrst'.split('').map((letter, at, all) => makeRegion(at + 1, at === 0 ? '' : letter, all[at + 1] ?? ''))
  const cluster = new FakeCluster(regions)
  const { env } = cluster
  const { raw } = cluster.client()
  await env.settle(raw.put('a', '1'))
  cluster.seen.length = 0
  const startedMs = env.nowMs
  // Each region refuses once and takes its time: with a time-out of its own, each would get there.
  for (let at = 0; at < 200; at++) cluster.troubles.push({ error: { kind: 'ServerIsBusy', reason: 'test', backoffMs: 100 } })
  const error = await rejection(() => env.settle(raw.deleteRange({ prefix: '' }, { timeoutMs: 500 })))
  t.ok(error instanceof KarstError, String(error))
  t.ok(env.nowMs - startedMs <= 600, `ended after ${env.nowMs - startedMs} ms`)
})

t.test('thousands of calls on one signal put one listener on it, and take it away', t => {
  const world = new FakeWorld()
  const aborts = new AbortWatch()
  const channel = openChannel({ env: world.env('client'), address: 'store-1:20160', hello: () => hello('client'), aborts })
  const { signal } = new AbortController()
  const abort = new AbortController()
  const ends: string[] = []
  const send = (of: AbortSignal): void => {
    channel.send('Ping', { sentAtMs: 0 }, { timeoutMs: 5_000, signal: of }, result => {
      ends.push(result.answered ? 'answered' : result.failure.kind)
    })
  }
  for (let at = 0; at < 1_000; at++) send(signal)
  for (let at = 0; at < 500; at++) send(abort.signal)
  t.equal(getEventListeners(signal, 'abort').length, 1)
  t.equal(aborts.size, 2)
  abort.abort()
  world.run(10)
  t.equal(ends.filter(end => end === 'Aborted').length, 500, 'and all of them hear of it')
  channel.close()
  world.run(10)
  t.equal(ends.length, 1_500)
  t.equal(getEventListeners(signal, 'abort').length, 0)
  t.equal(aborts.size, 0)
  t.end()
})

t.test('a frame that cannot be encoded leaves nothing in the buffer that others share', t => {
  const writer = new FrameWriter()
  const context = { regionId: 1, epoch: { confVer: 1, version: 1 }, peerId: 1, timeoutMs: 1 } as unknown as Requests['RawPut']['context']
  const put = (id: number, value: unknown): void => {
    encodeRequest('RawPut', id, { context, key: utf8('r\0\0\0k'), value: value as Uint8Array, ttlSeconds: 0 }, writer)
  }
  put(1, utf8('first'))
  for (const bad of [new ArrayBuffer(4), 7, new Date(), {}, null, undefined]) t.throws(() => { put(2, bad) }, String(bad))
  put(3, utf8('second'))
  const reader = new FrameReader()
  reader.reset(writer.view())
  const decoder = new FrameDecoder()
  const values: unknown[] = []
  while (reader.next() === 'frame') {
    const read = decoder.decodeRequest(reader)
    values.push(read.ok ? fromUtf8((read.value.request as Requests['RawPut']).value) : read.error)
  }
  t.same(values, ['first', 'second'])
  t.end()
})
