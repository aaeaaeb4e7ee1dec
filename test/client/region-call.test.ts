import t from 'tap'
import { fromUtf8 } from '../../src/common/bytes.js'
import type { RegionError, ServerError } from '../../src/common/errors.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { FakeCluster, failure, makeRegion } from './kit.js'
import type { Trouble } from './kit.js'

const one = () => new FakeCluster([makeRegion(1, '', '')])
const region = makeRegion(1, '', '')
const text = (bytes: Uint8Array | undefined) => bytes && fromUtf8(bytes)

async function warm(cluster = one(), timeoutMs = 3000) {
  const client = cluster.client({ timeoutMs })
  await cluster.env.settle(client.raw.put('k', 'v'))
  cluster.asked()
  cluster.pdAsked.length = 0
  return { cluster, env: cluster.env, raw: client.raw, client }
}

t.test('put and get: a cold cache asks PD once, a warm one never', async t => {
  const { cluster, env, raw } = await warm()
  t.equal(text(await env.settle(raw.get('k'))), 'v')
  t.equal(await env.settle(raw.get('other')), undefined)
  t.same(cluster.pdAsked, [])
  t.equal(env.timers, 0, 'nothing is left ticking')
})

t.test('a cold cache met by many asks PD a few times', async t => {
  const cluster = one()
  const { raw } = cluster.client()
  await cluster.env.settle(Promise.all(Array.from({ length: 200 }, (_, at) => raw.put(`k${at}`, 'v'))))
  t.ok(cluster.pdAsked.filter(what => what === 'getRegion').length <= 8)
  t.equal(cluster.pdAsked.filter(what => what === 'getStores').length, 1)
  t.equal(cluster.data.rows.size, 200)
})

/** Each kind: how long it may take, whom it asks, whether PD is asked. */
interface Case { error: ServerError; asked: number[]; minMs: number; maxMs: number; pd: string[]; name?: string }
const quick = { minMs: 1, maxMs: 3 }
const cases: Case[] = [
  { error: { kind: 'NotLeader', regionId: regionId(1), leader: undefined }, asked: [1, 2, 1], minMs: 3, maxMs: 8, pd: [] },
  { error: { kind: 'NotLeader', regionId: regionId(1), leader: { peerId: peerId(99), storeId: storeId(2), role: 'voter' } },
    asked: [1, 1], minMs: 2, maxMs: 5, pd: ['getRegion'], name: 'NotLeader with an unknown leader' },
  { error: { kind: 'RegionNotFound', regionId: regionId(1) }, asked: [1, 1], minMs: 4, maxMs: 8, pd: ['getRegion'] },
  { error: { kind: 'KeyNotInRegion', regionId: regionId(1), key: region.startKey, startKey: region.startKey,
    endKey: region.endKey }, asked: [1, 1], minMs: 4, maxMs: 8, pd: ['getRegion'] },
  { error: { kind: 'MismatchPeerId', requestPeerId: 1, storePeerId: 2 }, asked: [1, 1], minMs: 4, maxMs: 8, pd: ['getRegion'] },
  { error: { kind: 'EpochNotMatch', currentRegions: [] }, asked: [1, 1], minMs: 4, maxMs: 8, pd: ['getRegion'] },
  { error: { kind: 'EpochNotMatch', currentRegions: [makeRegion(1, '', '', 2)] }, asked: [1, 1], ...quick, pd: [],
    name: 'EpochNotMatch with regions' },
  { error: { kind: 'EpochNotMatch', currentRegions: [makeRegion(1, '', '', 0)] }, asked: [1, 2, 1], minMs: 3, maxMs: 8,
    pd: [], name: 'EpochNotMatch of a store that is behind' },
  { error: { kind: 'ServerIsBusy', reason: 'test', backoffMs: 0 }, asked: [1, 1], minMs: 11, maxMs: 23, pd: [] },
  { error: { kind: 'ServerIsBusy', reason: 'test', backoffMs: 300 }, asked: [1, 1], minMs: 301, maxMs: 453, pd: [],
    name: 'ServerIsBusy with a hint' },
  { error: { kind: 'StaleCommand' }, asked: [1, 1], minMs: 4, maxMs: 6, pd: [] },
  { error: { kind: 'ReadIndexNotReady', regionId: regionId(1), reason: 'x' }, asked: [1, 1], minMs: 3, maxMs: 6, pd: [] },
  { error: { kind: 'RegionNotInitialized', regionId: regionId(1) }, asked: [1, 1], minMs: 4, maxMs: 6, pd: [] },
  { error: { kind: 'DiskFull', storeIds: [], reason: 'x' }, asked: [1, 1], minMs: 251, maxMs: 503, pd: [] },
  { error: { kind: 'StoreNotMatch', requestStoreId: storeId(1), actualStoreId: storeId(2) }, asked: [1, 1], minMs: 4,
    maxMs: 8, pd: ['getStores', 'getRegion'] },
]
for (const { error, asked, minMs, maxMs, pd, name } of cases) {
  t.test(`a write meets ${name ?? error.kind} and comes through`, async t => {
    const { cluster, env, raw } = await warm()
    await env.advance(1000)
    if ('currentRegions' in error && error.currentRegions[0]?.epoch.version === 2) {
      cluster.reshape(error.currentRegions)
    }
    cluster.troubles.push({ error })
    const startedAt = env.nowMs
    await env.settle(raw.put('k', 'new'))
    const tookMs = env.nowMs - startedAt
    t.ok(tookMs >= minMs && tookMs <= maxMs, `in ${minMs} to ${maxMs} ms: ${tookMs}`)
    t.same(cluster.asked(), asked)
    t.same(cluster.pdAsked, pd)
    t.equal(text(await env.settle(raw.get('k'))), 'new')
    t.equal(env.timers, 0)
  })
}

t.test('NotLeader with a hint goes there at once and stays there', async t => {
  const { cluster, env, raw } = await warm()
  cluster.leaders.set(1, 3)
  const startedAt = env.nowMs
  await env.settle(raw.put('k', '2'))
  t.ok(env.nowMs - startedAt <= 4, 'no pause beyond the dial')
  await env.settle(raw.put('k', '3'))
  t.same(cluster.asked(), [1, 3, 3])
})

t.test('stores that point at each other do not make it spin', async t => {
  const { cluster, env, raw } = await warm(one(), 200)
  const hint = (store: number): Trouble => ({ error: {
    kind: 'NotLeader', regionId: regionId(1), leader: region.peers[store - 1] } })
  for (let i = 0; i < 500; i++) cluster.troubles.push(hint(2), hint(1))
  t.match(await failure(env, raw.put('k', '2')), { code: 'Timeout' })
  t.ok(cluster.asked().length < 60)
})

t.test('errors that no repeat helps reach the caller', async t => {
  const { cluster, env, raw } = await warm()
  const meet = (error: ServerError) => {
    cluster.troubles.push({ error })
    return failure(env, raw.put('k', '2'))
  }
  const tooLarge: RegionError = { kind: 'RaftEntryTooLarge', regionId: regionId(1), entryBytes: 9, limitBytes: 8 }
  t.match(await meet(tooLarge), { code: 'LimitExceeded', limit: 'entryBytesMax', actual: 9, max: 8 })
  t.match(await meet({ kind: 'LimitExceeded', limit: 'x', actual: 2, max: 1 }), { code: 'LimitExceeded', limit: 'x' })
  t.match(await meet({ kind: 'InvalidArgument', reason: 'bad' }), { code: 'InvalidArgument', message: 'bad' })
  t.match(await meet({ kind: 'ClusterIdMismatch', requested: '1', actual: '2' }), { code: 'ClusterMismatch' })
  t.match(await meet({ kind: 'Unimplemented', what: 'puts' }), { code: 'Unsupported' })
  t.match(await meet({ kind: 'DeadlineExceeded' }), { code: 'Timeout', isUndetermined: false })
  t.match(await meet({ kind: 'Undetermined', reason: 'deposed' }), { code: 'Undetermined', isUndetermined: true })
  t.equal(cluster.asked().length, 7, 'each was tried once')
})

t.test('a lost link: failed or undetermined, by whether it was sent', async t => {
  for (const kind of ['ConnectionLost', 'Refused', 'Closed', 'QueueFull', 'Timeout'] as const) {
    const { cluster, env, raw } = await warm()
    cluster.troubles.push({ failure: kind, sent: false })
    await env.settle(raw.put('k', 'again'))
    t.ok(cluster.asked().length >= 2, `${kind}, not sent: repeated`)
    t.equal(text(await env.settle(raw.get('k'))), 'again')
  }
  for (const kind of ['ConnectionLost', 'Timeout'] as const) {
    for (const applied of [true, false]) {
      const { cluster, env, raw } = await warm()
      const lost: Trouble = { failure: kind, sent: true, applied }
      cluster.troubles.push(lost)
      t.match(await failure(env, raw.put('k', '1')), { code: 'Undetermined', isUndetermined: true }, `${kind} put`)
      cluster.troubles.push(lost)
      t.match(await failure(env, raw.delete('k')), { code: 'Undetermined' }, `${kind} delete`)
      cluster.troubles.push(lost)
      t.match(await failure(env, raw.compareAndSwap('k', undefined, '1')), { code: 'Undetermined' }, `${kind} cas`)
      t.equal(cluster.asked().length, 3, 'no repeat')
      cluster.troubles.push(lost)
      await env.settle(raw.get('k'))
      t.pass(`${kind} get is repeated`)
    }
  }
})

t.test('retryUndetermined repeats puts and deletes, never a swap', async t => {
  const { cluster, env, raw } = await warm()
  const again = { retryUndetermined: true }
  cluster.troubles.push({ failure: 'ConnectionLost', sent: true, applied: true })
  await env.settle(raw.put('k', '1', again))
  cluster.troubles.push({ error: { kind: 'Undetermined', reason: 'deposed' } })
  await env.settle(raw.delete('k', again))
  t.equal(await env.settle(raw.get('k')), undefined)
  cluster.troubles.push({ failure: 'ConnectionLost', sent: true, applied: true })
  t.match(await failure(env, raw.putIfAbsent('k', '1', { ...again, ttlSeconds: 0 })), { code: 'Undetermined' })
  // What was open once stays open, however the repeats end.
  cluster.troubles.push({ failure: 'ConnectionLost', sent: true }, { error: { kind: 'InvalidArgument', reason: 'x' } })
  t.match(await failure(env, raw.put('k', '1', again)), { code: 'Undetermined', cause: { code: 'InvalidArgument' } })
})

t.test('deadlines: certainly not written, or open', async t => {
  const { cluster, env, raw } = await warm()
  cluster.troubles.push('silence')
  const startedAt = env.nowMs
  t.match(await failure(env, raw.put('k', '1', { timeoutMs: 500 })), { code: 'Undetermined' }, 'it was sent')
  t.equal(env.nowMs - startedAt, 500)
  cluster.leaders.delete(1)
  const before = env.nowMs
  const error = await failure(env, raw.put('k', '1', { timeoutMs: 500 }))
  t.match(error, { code: 'Timeout', isUndetermined: false, timeoutMs: 500, waitedFor: /NotLeader/ })
  t.ok(env.nowMs - before <= 500 && env.nowMs - before > 400, `after ${env.nowMs - before} ms`)
  t.ok(cluster.asked().length < 40, 'without hurry')
  t.equal(env.timers, 0)
})

t.test('a read that hears nothing asks another store', async t => {
  const { cluster, env, raw } = await warm(one(), 10_000)
  cluster.troubles.push('silence')
  const startedAt = env.nowMs
  t.equal(text(await env.settle(raw.get('k'))), 'v')
  t.ok(env.nowMs - startedAt < 2100)
})

t.test('the signal ends waiting and asking', async t => {
  const { cluster, env, raw } = await warm()
  t.match(await failure(env, raw.put('k', '1', { signal: AbortSignal.abort('no') })), { code: 'Aborted', cause: 'no' })
  t.same(cluster.asked(), [])
  const during = async (write: boolean, trouble: Trouble | undefined) => {
    const controller = new AbortController()
    if (trouble) cluster.troubles.push(trouble)
    else cluster.leaders.delete(1)
    const running = write ? raw.put('k', '1', { signal: controller.signal }) : raw.get('k', { signal: controller.signal })
    env.setTimer(100, () => controller.abort())
    return await failure(env, running)
  }
  t.match(await during(false, 'silence'), { code: 'Aborted' }, 'a read under way')
  t.match(await during(true, 'silence'), { code: 'Undetermined' }, 'a write under way')
  t.match(await during(true, undefined), { code: 'Aborted', isUndetermined: false }, 'a write in a pause')
})

t.test('a dead leader: other stores are asked, the new leader is found soon after its election', async t => {
  const { cluster, env, raw } = await warm()
  cluster.dead.add(1)
  cluster.leaders.set(1, 1) // followers still name the dead one
  env.setTimer(800, () => cluster.leaders.set(1, 2))
  const startedAt = env.nowMs
  const many = Array.from({ length: 50 }, (_, at) => raw.put(`k${at}`, '1'))
  await env.settle(Promise.all(many))
  const tookMs = env.nowMs - startedAt
  t.ok(tookMs >= 800 && tookMs < 950, `after ${tookMs} ms`)
  t.notOk(cluster.asked().includes(1), 'the dead one got nothing')
  cluster.asked()
  await env.settle(raw.get('k'))
  t.same(cluster.asked(), [2])
})

t.test('a region known with one replica only: when that dies, PD names the others', async t => {
  const { cluster, env, raw } = await warm(new FakeCluster([makeRegion(1, '', '', 1, [1])]))
  cluster.reshape([makeRegion(1, '', '')], true) // Stores let raw requests pass whose confVer is old.
  t.equal(text(await env.settle(raw.get('k'))), 'v', 'the old leader goes on serving: nobody tells us of the others')
  t.same(cluster.pdAsked, [])
  cluster.dead.add(1)
  cluster.leaders.set(1, 2)
  await env.settle(raw.put('k', 'w'))
  t.equal(text(await env.settle(raw.get('k'))), 'w')
  t.ok(cluster.pdAsked.includes('getRegion'))
})

t.test('a dead leader while PD is down: the replicas that are known are asked on until one leads', async t => {
  const { cluster, env, raw } = await warm()
  cluster.isPdDown = true
  cluster.dead.add(1)
  cluster.leaders.set(1, 1)
  env.setTimer(800, () => cluster.leaders.set(1, 2))
  const startedAt = env.nowMs
  await env.settle(Promise.all(Array.from({ length: 50 }, (_, at) => raw.put(`k${at}`, '1'))))
  const tookMs = env.nowMs - startedAt
  t.ok(tookMs >= 800 && tookMs < 950, `after ${tookMs} ms`)
  t.ok(cluster.pdAsked.includes('getRegion'), 'PD was asked, and not waited for')
})

t.test('PD down: warm routes go on, cold ones say who is missing', async t => {
  const { cluster, env, raw } = await warm(one(), 1000)
  cluster.isPdDown = true
  t.equal(text(await env.settle(raw.get('k'))), 'v')
  const cold = cluster.client({ timeoutMs: 1000 })
  const startedAt = env.nowMs
  t.match(await failure(env, cold.raw.put('k', '1')), { code: 'PdUnavailable', isUndetermined: false })
  t.ok(env.nowMs - startedAt <= 1000)
  t.match(await failure(env, cold.raw.batchGet(['a', 'b'])), { code: 'PdUnavailable' })
  env.setTimer(500, () => { cluster.isPdDown = false })
  await env.settle(cold.raw.put('k', '1'))
  t.pass('and comes back')
})

t.test('a split that PD has not heard of is learnt from the store', async t => {
  const { cluster, env, raw } = await warm()
  cluster.reshape([makeRegion(2, '', 'm', 2), makeRegion(1, 'm', '', 2)])
  await env.settle(Promise.all([raw.put('a', '1'), raw.put('z', '2')]))
  t.equal(cluster.pdAsked.length, 0)
  const cold = cluster.client()
  await env.settle(cold.raw.put('b', '3'))
  t.equal(text(await env.settle(cold.raw.get('b'))), '3')
})

t.test('a closed client says so', async t => {
  const { env, raw, client, cluster } = await warm()
  cluster.leaders.delete(1)
  const waiting = raw.put('k', '1')
  client.close()
  t.match(await failure(env, waiting), { code: 'Closed' })
  t.match(await failure(env, raw.get('k')), { code: 'Closed' })
})

t.test('arguments are checked before anything is sent', async t => {
  const { cluster, env, raw } = await warm()
  const long = 'x'.repeat(8193)
  t.match(await failure(env, raw.get('')), { code: 'InvalidArgument' })
  t.match(await failure(env, raw.get(long)), { code: 'LimitExceeded', limit: 'keyBytesMax', actual: 8193, max: 8192 })
  t.match(await failure(env, raw.put('k', new Uint8Array(8 << 20))), { limit: 'entryBytesMax' })
  t.match(await failure(env, raw.put('k', 'v', { ttlSeconds: -1 })), { code: 'InvalidArgument' })
  t.match(await failure(env, raw.get('k', { timeoutMs: 0 })), { code: 'InvalidArgument' })
  t.match(await failure(env, raw.deleteRange({})), { code: 'InvalidArgument' })
  t.match(await failure(env, raw.batchPut([['a', '1'], ['', '2']])), { code: 'InvalidArgument' })
  t.throws(() => raw.scan({ start: long + 'x' }), { code: 'LimitExceeded' })
  t.throws(() => raw.scan({}, { pageRows: 0 }), { code: 'InvalidArgument' })
  t.same(cluster.asked(), [])
})
