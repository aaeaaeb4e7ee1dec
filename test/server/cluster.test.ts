import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { fromUtf8, utf8 } from '../../src/common/bytes.js'
import { connect, ClosedError, InvalidArgumentError, LimitExceededError, PdUnreachableError, startCluster } from '../../src/index.js'
import type { Cluster, ClusterOptions, KarstClient } from '../../src/index.js'
import { engineKeyOf, wireKey } from '../../src/rawkv/codec.js'
import type { Connection } from '../../src/server/connection.js'
import type { RegionRoute, RequestContext, RpcName, Requests, Responses } from '../../src/wire/messages.js'

/** Elections are quick in tests, so that they are short; proportions are those of production. */
const quick = {
  'raftstore.raft-base-tick-interval': '40ms', 'raftstore.raft-store-max-leader-lease': '200ms',
  'raftstore.pd-heartbeat-tick-interval': '500ms', 'raftstore.pd-store-heartbeat-tick-interval': '300ms',
}
t.setTimeout(300_000)

const again = { retryUndetermined: true, timeoutMs: 60_000 }

async function start(t: Test, options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await startCluster({ storeConfig: quick, timeoutMs: 120_000, ...options })
  t.teardown(() => cluster.close())
  return cluster
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'karst-cluster-'))
  t.teardown(() => { rmSync(path, { recursive: true, force: true }) })
  return path
}

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && fromUtf8(bytes)

async function regionsOf(connection: Connection): Promise<readonly RegionRoute[]> {
  return await connection.pd.scanRegions(new Uint8Array(0), new Uint8Array(0), 0)
}

/** Asks the leader of the region of a key; looks again while it moves. */
async function atLeader<N extends RpcName>(
  connection: Connection, key: string, name: N, request: (context: RequestContext) => Requests[N],
): Promise<Responses[N]> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const route = await connection.pd.getRegion(engineKeyOf(wireKey(0, utf8(key))))
    const address = (await connection.pd.getStores()).find(store => store.storeId === route?.leader?.storeId)?.address
    if (route?.leader !== undefined && address !== undefined) {
      const { regionId, epoch } = route.region
      const context = { regionId, epoch, peerId: route.leader.peerId, timeoutMs: 2_000 }
      const answer = await connection.channel(address).call(name, request(context), { timeoutMs: 2_000 })
      if (answer.answered && answer.result.ok) return answer.result.value as Responses[N]
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`${name} was not answered`)
}

async function everyOperation(t: Test, client: KarstClient): Promise<void> {
  const { raw } = client
  await raw.put('a', '1')
  t.equal(text(await raw.get('a')), '1')
  t.equal(await raw.get('nothing'), undefined)
  t.match(await raw.compareAndSwap('a', '1', '2'), { swapped: true })
  t.match(await raw.compareAndSwap('a', '1', '3'), { swapped: false })
  t.match(await raw.putIfAbsent('a', 'x'), { swapped: false })
  t.match(await raw.putIfAbsent('new', 'x'), { swapped: true })
  await raw.put('short', 'lived', { ttlSeconds: 1_000 })
  const ttl = await raw.getTtl('short')
  t.ok(ttl !== undefined && ttl > 900 && ttl <= 1_000)
  t.equal(await raw.getTtl('a'), 0)
  await raw.batchPut([['k1', 'v1'], ['k2', 'v2'], ['k3', 'v3']])
  t.strictSame((await raw.batchGet(['k1', 'absent', 'k3'])).map(text), ['v1', undefined, 'v3'])
  t.strictSame((await raw.scan({ prefix: 'k' }).toArray()).map(row => text(row.key)), ['k1', 'k2', 'k3'])
  t.strictSame((await raw.reverseScan({ prefix: 'k' }, { limit: 2 }).toArray()).map(row => text(row.key)), ['k3', 'k2'])
  await raw.delete('k2')
  t.equal(await raw.get('k2'), undefined)
  await raw.deleteRange({ prefix: 'k' })
  t.strictSame(await raw.scan({ prefix: 'k' }).toArray(), [])
  await t.rejects(raw.put('', 'x'), InvalidArgumentError)
  await t.rejects(raw.put('x'.repeat(9_000), 'x'), LimitExceededError)
  await t.rejects(raw.put('x', new Uint8Array(9 << 20)), LimitExceededError)
}

for (const where of ['memory', 'disk'] as const) {
  const options = (t: Test): ClusterOptions => where === 'memory' ? {} : { dataDir: folder(t) }

  t.test(`in ${where}: every operation, by a client of the cluster and by connect`, async t => {
    const cluster = await start(t, options(t))
    await everyOperation(t, cluster.client())
    const client = await connect({ pd: cluster.pdAddresses.map(address => `http://${address}/`), keyspace: 7 })
    await everyOperation(t, client)
    client.close()
    await t.rejects(client.raw.get('a'), ClosedError)
  })

  t.test(`in ${where}: a store is killed, another stopped; nothing acknowledged is lost; all come back`, async t => {
    const cluster = await start(t, options(t))
    const client = cluster.client()
    const put = async (from: number): Promise<void> => {
      for (let i = from; i < from + 50; i++) await client.raw.put(`key-${i}`, `value-${i}`, again)
    }
    await put(0)
    const leader = (await regionsOf(cluster.connection()))[0]?.leader?.storeId
    const first = cluster.stores.findIndex(store => store.storeId === leader)
    await cluster.killStore(first)
    t.equal(cluster.stores[first]?.isUp, false)
    await put(50)
    const { storeId, address } = cluster.stores[first]!
    await cluster.startStore(first)
    t.strictSame([cluster.stores[first]?.storeId, cluster.stores[first]?.address], [storeId, address], 'the same store comes back')
    await cluster.stopStore((first + 1) % 3)
    await put(100)
    await cluster.startStore((first + 1) % 3)
    for (let i = 0; i < 3; i++) await cluster.killStore(i)
    await t.rejects(client.raw.put('nobody', 'home', { timeoutMs: 300 }), { name: /Timeout|Undetermined/ })
    await Promise.all([0, 1, 2].map(index => cluster.startStore(index)))
    await put(150)
    for (let i = 0; i < 200; i++) {
      const value = text(await client.raw.get(`key-${i}`, { timeoutMs: 60_000 }))
      if (value !== `value-${i}`) t.fail(`key-${i} is ${value}`)
    }
    t.equal((await client.raw.scan({ prefix: 'key-' }, { timeoutMs: 60_000 }).toArray()).length, 200)
  })

  t.test(`in ${where}: PD stops and comes back; clients that know their regions do not mind`, async t => {
    const cluster = await start(t, options(t))
    const client = cluster.client()
    await client.raw.put('a', '1')
    await cluster.stopPd(0)
    await client.raw.put('a', '2')
    await cluster.startPd(0)
    await cluster.settled()
    const other = cluster.client()
    t.equal(text(await other.raw.get('a')), '2')
  })
}

t.test('split and transfer, with clients that learn of both', async t => {
  const cluster = await start(t)
  const client = cluster.client()
  const connection = cluster.connection()
  for (const key of ['a', 'g', 'm', 't']) await client.raw.put(key, key)
  const { regions } = await atLeader(connection, 'm', 'SplitRegion', context =>
    ({ context, keys: [engineKeyOf(wireKey(0, utf8('g'))), engineKeyOf(wireKey(0, utf8('m')))] }))
  t.equal(regions.length, 3)
  await cluster.settled()
  const found = await regionsOf(connection)
  const third = found[2]?.leader?.storeId
  const heir = cluster.stores.find(store => store.storeId !== third)
  await atLeader(connection, 't', 'TransferLeader', context => ({ context, toStoreId: heir!.storeId as never }))
  for (let i = 0; i < 200; i++) {
    const route = await connection.pd.getRegion(engineKeyOf(wireKey(0, utf8('t'))))
    if (route?.leader?.storeId === heir?.storeId) break
    if (i === 199) t.fail('PD never heard of the transfer')
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.strictSame((await client.raw.batchGet(['a', 'g', 'm', 't'])).map(text), ['a', 'g', 'm', 't'])
  await client.raw.batchPut([['a', '1'], ['h', '2'], ['z', '3']])
  t.strictSame((await client.raw.scan().toArray()).map(row => text(row.key)), ['a', 'g', 'h', 'm', 't', 'z'])
  t.strictSame((await client.raw.reverseScan({}, { limit: 3 }).toArray()).map(row => text(row.key)), ['z', 't', 'm'])
})

t.test('wrong requests to a store are answered with typed errors', async t => {
  const cluster = await start(t)
  const connection = cluster.connection()
  const [route] = await regionsOf(connection)
  const { region, leader } = route!
  const address = cluster.stores.find(store => store.storeId === leader?.storeId)!.address
  const right = { regionId: region.regionId, epoch: region.epoch, peerId: leader!.peerId, timeoutMs: 1_000 }
  const key = wireKey(0, utf8('a'))
  const errorOf = async (context: RequestContext): Promise<string> => {
    const answer = await connection.channel(address).call('RawGet', { context, key }, { timeoutMs: 2_000 })
    return !answer.answered ? answer.failure.kind : answer.result.ok ? 'ok' : answer.result.error.kind
  }
  t.equal(await errorOf(right), 'ok')
  t.equal(await errorOf({ ...right, regionId: 99 as never }), 'RegionNotFound')
  t.equal(await errorOf({ ...right, epoch: { confVer: 1, version: 0 } }), 'EpochNotMatch')
  t.equal(await errorOf({ ...right, peerId: 77 as never }), 'MismatchPeerId')
  const many = Array.from({ length: 1_025 }, (_, at) => utf8(String(at)))
  const split = await connection.channel(address).call('SplitRegion', { context: right, keys: many }, { timeoutMs: 2_000 })
  t.match(split, { answered: true, result: { ok: false, error: { kind: 'LimitExceeded', limit: 'splitKeysMax' } } })
  const alien = await connection.channel(address).call('GetMembers', {}, { timeoutMs: 2_000 })
  t.match(alien, { answered: true, result: { ok: false, error: { kind: 'Unimplemented' } } })
  const follower = cluster.stores.find(store => store.storeId !== leader?.storeId)!.address
  const answer = await connection.channel(follower).call('RawGet', { context: { ...right, peerId: 0 as never }, key }, { timeoutMs: 2_000 })
  t.match(answer, { answered: true, result: { ok: false, error: { kind: 'NotLeader' } } })
})

t.test('five stores and three members of PD; the leader of PD goes', async t => {
  const cluster = await start(t, { stores: 5, pd: 3 })
  const client = cluster.client()
  await client.raw.put('a', '1')
  const leader = (await cluster.connection().pd.getMembers()).findIndex(member => member.isLeader)
  await cluster.stopPd(leader)
  const other = await connect({ pd: cluster.pdAddresses, timeoutMs: 60_000 })
  t.teardown(() => { other.close() })
  t.equal(text(await other.raw.get('a')), '1')
  await cluster.startPd(leader)
  t.equal((await cluster.connection().pd.getMembers()).length, 3)
})

t.test('a disk that is nearly full: writes are refused, reads and deletes go on', async t => {
  const cluster = await start(t, { dataDir: folder(t), stores: 1, storeConfig: { ...quick, 'storage.reserve-space': '1000TiB' } })
  const { raw } = cluster.client()
  const isReady = async (): Promise<number> => (await fetch(`http://${cluster.stores[0]?.statusAddress}/ready`)).status
  for (let i = 0; i < 100 && await isReady() === 200; i++) await new Promise(resolve => setTimeout(resolve, 50))
  // The store looks once a second.
  await new Promise(resolve => setTimeout(resolve, 1_500))
  await t.rejects(raw.put('a', '1', { timeoutMs: 500 }), { code: 'Timeout', message: /DiskFull.*bytes are free/ })
  t.equal(await raw.get('a'), undefined)
  await raw.delete('a')
  t.equal(await isReady(), 503)
})

t.test('a stop waits until somebody else leads', async t => {
  const events: string[] = []
  const cluster = await start(t, {
    log: (node, _level, event, fields) => { events.push(`${node} ${event} ${fields?.['role'] ?? ''}`.trim()) },
  })
  await cluster.client().raw.put('a', '1')
  const leader = (await regionsOf(cluster.connection()))[0]?.leader?.storeId
  const from = events.length
  await cluster.stopStore(cluster.stores.findIndex(store => store.storeId === leader))
  const since = events.slice(from)
  const won = since.findIndex(event => /store-\d+ peer\.role leader/.test(event) && !event.startsWith(`store-${leader} `))
  const stopped = since.indexOf(`store-${leader} store.stopped`)
  t.ok(won >= 0 && won < stopped, since.join('\n'))
})

t.test('one store is a cluster as well; two clusters live side by side', async t => {
  const [left, right] = await Promise.all([start(t, { stores: 1 }), start(t, { stores: 1 })])
  await left.client().raw.put('a', 'left')
  t.equal(await right.client().raw.get('a'), undefined)
})

t.test('connect says what is wrong', async t => {
  await t.rejects(connect({ pd: 'nonsense' }), InvalidArgumentError)
  await t.rejects(connect({ pd: [] }), InvalidArgumentError)
  await t.rejects(connect({ pd: '127.0.0.1:1', keyspace: -1 }), InvalidArgumentError)
  await t.rejects(connect({ pd: '127.0.0.1:1', timeoutMs: 200 }), PdUnreachableError)
  await t.rejects(startCluster({ storeConfig: { nonsense: 1 } }), { name: 'StartupError', code: 'config', message: /unknown key nonsense/ })
})

t.test('a cluster on disk finds its data again', async t => {
  const dataDir = folder(t)
  const first = await startCluster({ dataDir, storeConfig: quick })
  await first.client().raw.put('kept', 'yes')
  const ids = first.stores.map(store => store.storeId)
  await first.close()
  await first.close()
  t.ok(existsSync(join(dataDir, 'store-1', 'STORE.json')))
  t.notOk(existsSync(join(dataDir, 'store-1', 'LOCK')), 'the lock is given back')
  const second = await start(t, { dataDir })
  t.strictSame(second.stores.map(store => store.storeId), ids)
  t.equal(text(await second.client().raw.get('kept', { timeoutMs: 60_000 })), 'yes')
})
