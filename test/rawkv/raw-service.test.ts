import t from 'tap'
import { emptyBytes, fromUtf8, utf8 } from '../../src/common/bytes.js'
import { StorageError } from '../../src/common/errors.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import { engineKeyOf, userKeyOf, wireKey } from '../../src/rawkv/codec.js'
import { createRawHandlers } from '../../src/rawkv/raw-service.js'
import type { RpcHandler } from '../../src/transport/api.js'
import type { RequestContext, RpcName, RpcResult, Requests } from '../../src/wire/messages.js'
import { FakeEnv, FakeStore } from './fake-store.js'

const k = (text: string): Uint8Array => wireKey(1, utf8(text))
const region = (id: number, start: Uint8Array, end: Uint8Array): Region => ({
  regionId: regionId(id), startKey: engineKeyOf(start), endKey: engineKeyOf(end), epoch: { confVer: 1, version: 1 },
  peers: [{ peerId: peerId(id * 10), storeId: storeId(1), role: 'voter' }],
})
const contextOf = (id: number, timeoutMs = 1000): RequestContext =>
  ({ regionId: regionId(id), epoch: { confVer: 1, version: 1 }, peerId: peerId(id * 10), timeoutMs })

function setUp() {
  const store = new FakeStore([region(1, emptyBytes, k('m')), region(2, k('m'), emptyBytes)])
  const env = new FakeEnv()
  const handlers = createRawHandlers(store, env)
  const rpc = { remote: 'test', role: 'client' as const, nodeId: 0, arrivedAtMs: env.nowMs }
  async function call<N extends RpcName>(name: N, request: Requests[N]): Promise<RpcResult<N>> {
    const handler = handlers[name] as RpcHandler<N> | undefined
    let answers = 0
    const answer = new Promise<RpcResult<N>>(resolve => handler!(request, result => {
      answers++
      resolve(result)
    }, rpc))
    const result = await env.settle(answer)
    if (answers !== 1) throw new Error(`${name} answered ${answers} times`)
    return result
  }
  async function rows(start: string, end: string, more: Partial<Requests['RawScan']> & { region: number }) {
    const result = await call('RawScan', {
      context: contextOf(more.region), start: k(start), end: end === '' ? emptyBytes : k(end), rowsMax: 100,
      keysOnly: false, reverse: false, ...more,
    })
    if (!result.ok) return result.error.kind
    return result.value.rows.map(row => `${fromUtf8(userKeyOf(row.key))}=${fromUtf8(row.value)}`).join(' ') +
      (result.value.more ? ' …' : '')
  }
  const put = (key: string, value: string, ttlSeconds = 0) =>
    call('RawPut', { context: contextOf(key < 'm' ? 1 : 2), key: k(key), value: utf8(value), ttlSeconds })
  return { store, env, call, rows, put }
}

t.test('put, get, ttl, delete of one key', async t => {
  const { call, put, store } = setUp()
  const context = contextOf(1)
  t.match(await put('a', ''), { ok: true })
  t.match(await call('RawGet', { context, key: k('a') }), { value: { value: emptyBytes } })
  t.match(await call('RawGetTtl', { context, key: k('a') }), { value: { ttlSeconds: 0 } })
  t.match(await put('a', 'x', 10), { ok: true })
  t.match(await call('RawGetTtl', { context, key: k('a') }), { value: { ttlSeconds: 10 } })
  store.nowMs += 9_999
  t.match(await call('RawGet', { context, key: k('a') }), { value: { value: utf8('x') } })
  store.nowMs += 1
  t.same(await call('RawGet', { context, key: k('a') }), { ok: true, value: { value: undefined } })
  t.same(await call('RawGetTtl', { context, key: k('a') }), { ok: true, value: { ttlSeconds: undefined } })
  await put('b', 'y')
  t.match(await call('RawDelete', { context, key: k('b') }), { ok: true })
  t.same(await call('RawGet', { context, key: k('b') }), { ok: true, value: { value: undefined } })
})

t.test('compare and swap through the service', async t => {
  const { call } = setUp()
  const context = contextOf(1)
  const cas = (expected: Uint8Array | undefined, value: Uint8Array | undefined) =>
    call('RawCas', { context, key: k('a'), expected, value, ttlSeconds: 0 })
  t.same(await cas(undefined, utf8('1')), { ok: true, value: { swapped: true, previous: undefined } })
  t.match(await cas(undefined, utf8('2')), { value: { swapped: false, previous: utf8('1') } })
  t.match(await cas(utf8('1'), utf8('2')), { value: { swapped: true, previous: utf8('1') } })
  t.match(await cas(utf8('2'), undefined), { value: { swapped: true, previous: utf8('2') } })
  t.same(await call('RawGet', { context, key: k('a') }), { ok: true, value: { value: undefined } })
})

t.test('a batch lies in one region or nothing happens', async t => {
  const { call, store } = setUp()
  const pair = (key: string) => ({ key: k(key), value: utf8(key), ttlSeconds: 0 })
  t.match(await call('RawBatchPut', { context: contextOf(1), pairs: [pair('z'), pair('a')] }), { error: { kind: 'KeyNotInRegion' } })
  t.equal(store.reader.rows.size, 0)
  t.match(await call('RawBatchPut', { context: contextOf(1), pairs: [pair('c'), pair('a'), { ...pair('b'), ttlSeconds: 5 }] }), { ok: true })
  t.same(await call('RawBatchGet', { context: contextOf(1), keys: [k('b'), k('bb'), k('a')], prefixWelcome: false }),
    { ok: true, value: { values: [utf8('b'), undefined, utf8('a')], more: false } })
  t.match(await call('RawBatchGet', { context: contextOf(1), keys: [k('b'), k('z')], prefixWelcome: false }), { error: { kind: 'KeyNotInRegion' } })
  t.match(await call('RawBatchDelete', { context: contextOf(1), keys: [k('c'), k('a')] }), { ok: true })
  t.equal(store.reader.rows.size, 1)
})

t.test('scans stay in region and keyspace, both ways', async t => {
  const { call, put, rows, store } = setUp()
  for (const key of ['a', 'c', 'e', 'p', 'q']) await put(key, key.toUpperCase())
  await call('RawPut', { context: contextOf(2), key: wireKey(2, utf8('other')), value: utf8('!'), ttlSeconds: 0 })
  t.equal(await rows('', '', { region: 1, start: k('a') }), 'a=A c=C e=E')
  t.equal(await rows('b', 'z', { region: 1 }), 'c=C e=E')
  t.equal(await rows('m', '', { region: 2 }), 'p=P q=Q', 'the next keyspace is not ours')
  t.equal(await rows('a', 'z', { region: 1, reverse: true }), 'e=E c=C a=A')
  t.equal(await rows('m', '', { region: 2, reverse: true }), 'q=Q p=P')
  t.equal(await rows('a', 'e', { region: 1, reverse: true, rowsMax: 1 }), 'c=C …')
  t.equal(await rows('a', 'z', { region: 1, rowsMax: 2 }), 'a=A c=C …')
  t.equal(await rows('a', 'z', { region: 1, keysOnly: true }), 'a= c= e=')
  t.equal(await rows('n', 'z', { region: 1 }), 'KeyNotInRegion')
  t.equal(await rows('e', 'a', { region: 1 }), '', 'an empty range')
  t.equal(await rows('a', 'z', { region: 1, rowsMax: 0 }), 'InvalidArgument')
  store.failures.push({ kind: 'NotLeader', regionId: regionId(1), leader: undefined })
  t.equal(await rows('a', 'z', { region: 1 }), 'NotLeader')
})

t.test('a scan through expired rows still finds the next live one', async t => {
  const { put, rows, store } = setUp()
  for (let i = 0; i < 26; i++) await put(`a${String.fromCharCode(97 + i)}`, 'dead', 1)
  await put('az!', 'alive')
  await put('a', 'alive')
  store.nowMs += 2000
  t.equal(await rows('a', 'b', { region: 1, rowsMax: 5 }), 'a=alive …', 'a short page')
  store.reads = 0
  t.equal(await rows('aa', 'b', { region: 1, rowsMax: 5 }), 'az!=alive')
  t.ok(store.reads > 4, 'in several turns')
  t.equal(await rows('a', 'az', { region: 1, rowsMax: 5, reverse: true }), 'a=alive')
  t.equal(await rows('aa', 'az', { region: 1, rowsMax: 5 }), '', 'nothing alive')
})

t.test('delete range is clipped to the region', async t => {
  const { call, put, rows } = setUp()
  for (const key of ['a', 'c', 'e', 'p', 'q']) await put(key, '1')
  t.match(await call('RawDeleteRange', { context: contextOf(1), start: k('b'), end: k('q') }), { ok: true })
  t.equal(await rows('a', '', { region: 1 }), 'a=1')
  t.equal(await rows('m', '', { region: 2 }), 'p=1 q=1')
  t.match(await call('RawDeleteRange', { context: contextOf(2), start: k('m'), end: emptyBytes }), { ok: true })
  t.equal(await rows('m', '', { region: 2 }), '')
  t.match(await call('RawDeleteRange', { context: contextOf(1), start: k('c'), end: k('b') }), { ok: true })
})

t.test('what is wrong, late or too much is refused before the store sees it', async t => {
  const { call, env, store } = setUp()
  const context = contextOf(1)
  const big = new Uint8Array(9 << 20)
  t.match(await call('RawPut', { context, key: k('a'), value: big, ttlSeconds: 0 }), { error: { limit: 'entryBytesMax' } })
  t.match(await call('RawPut', { context, key: k('a'), value: big.subarray(0, 1), ttlSeconds: -1 }), { error: { kind: 'InvalidArgument' } })
  t.match(await call('RawGet', { context, key: k('x'.repeat(8193)) }), { error: { limit: 'keyBytesMax' } })
  t.match(await call('RawGet', { context, key: utf8('plain') }), { error: { kind: 'InvalidArgument' } })
  t.match(await call('RawBatchGet', { context, keys: [], prefixWelcome: false }), { error: { kind: 'InvalidArgument' } })
  t.match(await call('RawBatchPut', { context, pairs: Array.from({ length: 3 }, () => ({ key: k('a'), value: big.subarray(0, 3 << 20), ttlSeconds: 0 })) }),
    { error: { limit: 'entryBytesMax' } })
  env.nowMs += 1000
  t.match(await call('RawGet', { context, key: k('a') }), { error: { kind: 'DeadlineExceeded' } })
  t.match(await call('RawPut', { context, key: k('a'), value: utf8('v'), ttlSeconds: 0 }), { error: { kind: 'DeadlineExceeded' } })
  t.equal(store.reads + store.writes, 0)
  t.match(await call('RawGet', { context: contextOf(1, 0), key: k('a') }), { ok: true }, 'no budget of its own: no deadline')
  store.isBusy = true
  t.match(await call('RawDelete', { context: contextOf(1, 0), key: k('a') }), { error: { kind: 'ServerIsBusy' } })
  t.equal(store.writes, 0)
})

t.test('an answer of many large values names its limit', async t => {
  const { call } = setUp()
  const context = contextOf(1)
  for (const key of ['a', 'b', 'c']) {
    await call('RawPut', { context, key: k(key), value: new Uint8Array(2 << 20), ttlSeconds: 0 })
  }
  t.match(await call('RawBatchGet', { context, keys: [k('a'), k('b'), k('c')], prefixWelcome: false }), { error: { limit: 'responseBytesMax' } })
  t.match(await call('RawBatchGet', { context, keys: [k('a'), k('b')], prefixWelcome: false }), { ok: true })
})

t.test('what is in no cache is read elsewhere, as of the view, and costs the answer nothing', async t => {
  const { call, put, rows, store } = setUp()
  const context = contextOf(1)
  for (const key of ['a', 'b', 'c']) await put(key, key.toUpperCase(), key === 'c' ? 1 : 0)
  store.reader.isCold = true
  store.nowMs += 2000
  t.match(await call('RawGet', { context, key: k('a') }), { value: { value: utf8('A') } })
  t.same(await call('RawGet', { context, key: k('c') }), { ok: true, value: { value: undefined } }, 'expired')
  t.same(await call('RawGetTtl', { context, key: k('a') }), { ok: true, value: { ttlSeconds: 0 } })
  t.match(await call('RawBatchGet', { context, keys: [k('b'), k('bb')], prefixWelcome: true }), { value: { values: [utf8('B'), undefined], more: false } })
  t.equal(await rows('a', 'z', { region: 1 }), 'a=A b=B')
  let run: () => void = () => {}
  store.reader.later = late => { run = late }
  const answer = call('RawGet', { context, key: k('a') })
  store.regions = []
  store.reader.rows.clear()
  run()
  t.match(await answer, { value: { value: utf8('A') } }, 'the region has gone meanwhile')
})

t.test('too many reads under way are told so; damage is told to the store and costs an answer', async t => {
  const { call, put, rows, store } = setUp()
  const context = contextOf(1)
  await put('a', 'A')
  store.reader.isCold = true
  store.reader.isCrowded = true
  const busy = { error: { kind: 'ServerIsBusy', reason: 'too many reads wait for the disk' } }
  t.match(await call('RawGet', { context, key: k('a') }), busy)
  t.match(await call('RawGetTtl', { context, key: k('a') }), busy)
  t.match(await call('RawBatchGet', { context, keys: [k('a')], prefixWelcome: false }), busy)
  t.equal(await rows('a', 'z', { region: 1 }), 'ServerIsBusy')
  store.reader.isCrowded = false
  store.reader.failure = new StorageError('corruption', 'block checksum mismatch')
  for (const isCold of [true, false]) {
    store.reader.isCold = isCold
    t.match(await call('RawGet', { context, key: k('a') }), { error: { reason: /checksum/ } })
    t.match(await call('RawGetTtl', { context, key: k('a') }), { error: { reason: /checksum/ } })
    t.match(await call('RawBatchGet', { context, keys: [k('a')], prefixWelcome: false }), { error: { reason: /checksum/ } })
    t.equal(await rows('a', 'z', { region: 1 }), 'ServerIsBusy')
  }
  t.equal(store.readFailures.length, 8)
})

t.test('an answer is a prefix where that is welcome, and a scan ends with a turn of work', async t => {
  const { call, rows, store, put } = setUp()
  const context = contextOf(1)
  for (const key of ['a', 'b', 'c']) {
    await call('RawPut', { context, key: k(key), value: new Uint8Array(2 << 20).fill(key.charCodeAt(0)), ttlSeconds: 0 })
  }
  const keys = Array.from({ length: 40 }, (_, i) => k('abc'[i % 3]!))
  const answer = await call('RawBatchGet', { context, keys, prefixWelcome: true })
  t.match(answer, { ok: true, value: { values: { length: 2 }, more: true } }, 'duplicates count each time')
  t.match(await call('RawBatchGet', { context, keys: keys.slice(0, 2), prefixWelcome: false }), { value: { more: false } })
  t.equal((await rows('a', 'z', { region: 1, keysOnly: true })), 'a= b= c=')
  t.equal(store.reader.scans.at(-1)?.valueTailBytes, 9, 'values stay where they are')
  for (let i = 0; i < 1100; i++) await put(`d${String(i).padStart(5, '0')}`, '')
  const page = await call('RawScan', { context, start: k('d'), end: k('e'), rowsMax: 10_000, keysOnly: true, reverse: false })
  t.match(page, { value: { rows: { length: 1024 }, more: true } })
})
