import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { storeId } from '../../src/common/ids.js'
import { startCluster } from '../../src/index.js'
import type { Cluster, ClusterOptions } from '../../src/index.js'
import { mustLoadConfig } from '../../src/server/config/load.js'
import { storeSchema, storeSettings } from '../../src/server/config/store-schema.js'
import { createClusterSecretFile, openClusterSecret } from '../../src/server/cluster-secret.js'
import { claimFolder } from '../../src/server/data-folder.js'
import { IdentityKeeper } from '../../src/server/identity.js'
import { openLogOnDisk, openStoreOnDisk } from '../../src/server/storage.js'
import { StoreNode } from '../../src/server/store-node.js'

t.setTimeout(300_000)

const quick = { 'raftstore.raft-base-tick-interval': '40ms', 'raftstore.raft-store-max-leader-lease': '200ms' }

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'karst-identity-'))
  t.teardown(() => { rmSync(path, { recursive: true, force: true }) })
  return path
}

/** Where clusters and stores of this file find their secret. */
function secretFile(): { readonly 'security.cluster-secret-file': string } {
  const path = join(tmpdir(), 'karst-identity-secret')
  createClusterSecretFile(path)
  return { 'security.cluster-secret-file': path }
}

async function start(t: Test, options: ClusterOptions = {}): Promise<Cluster> {
  const shared = secretFile()
  const cluster = await startCluster({
    stores: 1, storeConfig: { ...quick, ...shared }, pdConfig: shared, timeoutMs: 120_000, ...options })
  t.teardown(() => cluster.close())
  return cluster
}

interface LoneStore { readonly node: StoreNode; readonly events: string[]; readonly fatal: Promise<Error> }

/** A store by itself, as `karst store` would make it. */
function lone(
  t: Test, dataDir: string, pd: readonly string[], keys: Record<string, unknown> = {}, failpoints: readonly string[] = [],
): LoneStore {
  const values = mustLoadConfig(storeSchema, {
    flags: {}, keys: {
      'server.addr': '127.0.0.1:0', 'server.status-addr': '', 'pd.endpoints': pd, 'storage.data-dir': dataDir,
      'raftstore.pd-store-heartbeat-tick-interval': '200ms', ...quick, ...keys,
    },
  })
  const settings = storeSettings(values)
  const events: string[] = []
  let tell: (error: Error) => void = () => {}
  const fatal = new Promise<Error>(resolve => { tell = resolve })
  const node = new StoreNode({
    name: 'store', settings, secret: openClusterSecret(secretFile()['security.cluster-secret-file']),
    failpoints, log: (_node, _level, event) => { events.push(event) }, onFatal: error => { tell(error) },
    openStorage: (_env, onDiskError) => openStoreOnDisk(settings.dataDir, settings, onDiskError),
  })
  t.teardown(() => node.stop(0))
  return { node, events, fatal }
}

async function refused(t: Test, start: Promise<void>, code: string, words: RegExp): Promise<void> {
  await t.rejects(start, { name: 'StartupError', code, message: words })
}

t.test('a folder belongs to one node of one kind', async t => {
  const dir = folder(t)
  const store = join(dir, 'store')
  const lock = claimFolder('store', store)
  t.throws(() => claimFolder('store', store), { code: 'dataDirInUse', message: /in use by process \d+.*its own --data-dir/s })
  lock.release()
  claimFolder('store', store).release()
  writeFileSync(join(store, 'STORE.json'), '{}')
  t.throws(() => claimFolder('pd', store), { code: 'dataDirForeign', message: /belongs to a store/ })
  const photos = join(dir, 'photos')
  mkdirSync(photos)
  writeFileSync(join(photos, 'cat.jpg'), 'meow')
  t.throws(() => claimFolder('store', photos), { code: 'dataDirForeign', message: /holds other things \(cat\.jpg\)/ })
  t.throws(() => claimFolder('store', join(photos, 'cat.jpg')), { code: 'dataDirForeign', message: /it is no folder/ })
  t.throws(() => claimFolder('store', join(photos, 'cat.jpg', 'deeper')), { code: 'dataDirForeign', message: /no folder/ })
  t.notOk(existsSync(join(photos, 'LOCK')), 'nothing was left there')
  writeFileSync(join(store, 'LOCK'), '999999999 1\n')
  claimFolder('store', store).release()
  t.pass('the lock of a process that is gone is taken over')
})

t.test('who a store is survives, in log, engine and file', async t => {
  const dir = join(folder(t), 's')
  const sizes = { blockCacheBytes: 1 << 20, memtableBytes: 4 << 20, backgroundJobs: 1, logSegmentBytes: 1 << 20 }
  const open = (): ReturnType<typeof openStoreOnDisk> => openStoreOnDisk(dir, sizes, error => { throw error })
  const first = await open()
  const keeper = new IdentityKeeper(first)
  t.equal(keeper.load(), undefined)
  await keeper.save({ clusterId: 77n, storeId: storeId(5) }, { regionId: 8, peerId: 9 })
  await first.close()
  const second = await open()
  t.strictSame(new IdentityKeeper(second).load(), { clusterId: 77n, storeId: 5 })
  t.strictSame(new IdentityKeeper(second).intent, { regionId: 8, peerId: 9 })
  await new IdentityKeeper(second).save({ clusterId: 77n, storeId: storeId(5) }, undefined)
  await second.close()
  rmSync(join(dir, 'STORE.json'))
  const third = await open()
  const again = new IdentityKeeper(third)
  t.strictSame(again.load(), { clusterId: 77n, storeId: 5 }, 'the file is written again')
  t.equal(again.intent, undefined)
  await third.close()
  t.match(JSON.parse(readFileSync(join(dir, 'STORE.json'), 'utf8')), { clusterId: '77', storeId: 5 })
  writeFileSync(join(dir, 'STORE.json'), '{"format":1,"clusterId":"78","storeId":5}')
  const fourth = await open()
  t.throws(() => new IdentityKeeper(fourth).load(), { code: 'dataDirDamaged', message: /parts of two stores are mixed/ })
  await fourth.close()
  writeFileSync(join(dir, 'STORE.json'), 'not json')
  const fifth = await open()
  t.throws(() => new IdentityKeeper(fifth), { code: 'dataDirDamaged', message: /cannot be read/ })
  await fifth.close()
})

t.test('a store whose log, data or file is gone, or of another store, does not start', async t => {
  const dataDir = folder(t)
  const cluster = await start(t, { dataDir, stores: 2 })
  await cluster.client().raw.put('a', '1')
  await cluster.stopStore(0)
  await cluster.stopStore(1)
  const [one, two] = [join(dataDir, 'store-1'), join(dataDir, 'store-2')]
  const copy = (name: string): string => {
    const path = join(dataDir, name)
    cpSync(one, path, { recursive: true })
    return path
  }
  const attempt = (path: string): Promise<void> => lone(t, path, cluster.pdAddresses).node.start()

  const wipedLog = copy('wiped-log')
  rmSync(join(wipedLog, 'raft'), { recursive: true })
  await refused(t, attempt(wipedLog), 'dataDirDamaged', /raft log beside it is empty.*karst ctl store offline \d+/s)
  rmSync(join(wipedLog, 'STORE.json'))
  await refused(t, attempt(wipedLog), 'dataDirDamaged', /the data says store \d+, but the raft log beside it is empty/)

  const wipedData = copy('wiped-data')
  rmSync(join(wipedData, 'db'), { recursive: true })
  await refused(t, attempt(wipedData), 'dataDirDamaged', /the data beside it is gone/)

  const mixed = copy('mixed')
  rmSync(join(mixed, 'db'), { recursive: true })
  cpSync(join(two, 'db'), join(mixed, 'db'), { recursive: true })
  await refused(t, attempt(mixed), 'dataDirDamaged', /parts of two stores are mixed/)

  const mixedFile = copy('mixed-file')
  cpSync(join(two, 'STORE.json'), join(mixedFile, 'STORE.json'))
  await refused(t, attempt(mixedFile), 'dataDirDamaged', /parts of two stores are mixed/)

  const torn = copy('torn')
  const log = readFileSync(join(torn, 'STORE.json'), 'utf8')
  writeFileSync(join(torn, 'STORE.json'), log.substring(0, 10))
  await refused(t, attempt(torn), 'dataDirDamaged', /cannot be read/)

  await cluster.startStore(0)
  await cluster.startStore(1)
  t.pass('the folders themselves are as they were')
})

t.test('a store of another cluster is told so, in words', async t => {
  const dataDir = folder(t)
  const [left, right] = await Promise.all([start(t, { dataDir }), start(t)])
  await left.stopStore(0)
  const lost = lone(t, join(dataDir, 'store-1'), right.pdAddresses).node
  await refused(t, lost.start(), 'clusterMismatch', /is of store 1 of cluster \d+, but PD at .* is of cluster \d+/)
})

t.test('two nodes on one folder; a taken address', async t => {
  const dataDir = folder(t)
  const cluster = await start(t, { dataDir })
  await refused(t, lone(t, join(dataDir, 'store-1'), cluster.pdAddresses).node.start(), 'dataDirInUse', /in use by process/)
  const taken = cluster.stores[0]!.address
  await refused(t, lone(t, join(dataDir, 'new'), cluster.pdAddresses, { 'server.addr': taken }).node.start(), 'addressInUse', /--addr/)
  t.notOk(existsSync(join(dataDir, 'new', 'STORE.json')), 'it never asked for an id')
  await t.rejects(openLogOnDisk('pd', join(dataDir, 'pd-1'), {}), { code: 'dataDirInUse' })
  await t.rejects(openLogOnDisk('pd', join(dataDir, 'store-1'), {}), { code: 'dataDirForeign' })
})

t.test('a tombstone does not come back, and one that runs ends', async t => {
  const dataDir = folder(t)
  const cluster = await start(t, { dataDir, stores: 1 })
  const { pd } = cluster.connection()
  const extra = lone(t, join(dataDir, 'extra'), cluster.pdAddresses)
  await extra.node.start()
  const id = extra.node.storeId
  const meta = (await pd.getStores()).find(store => store.storeId === id)!
  await pd.putStore({ ...meta, state: 'offline' })
  await pd.putStore({ ...meta, state: 'tombstone' }, true)
  t.match(await extra.fatal, { name: 'StartupError', code: 'storeTombstone', message: /must not come back/ })
  await extra.node.stop(0)
  await refused(t, lone(t, join(dataDir, 'extra'), cluster.pdAddresses).node.start(), 'storeTombstone', /empty --data-dir/)
})

t.test('of two processes on copies of one folder one bears the store, the other ends, and its folder is refused from then on', async t => {
  const dataDir = folder(t)
  const cluster = await start(t, { dataDir, stores: 1 })
  const first = lone(t, join(dataDir, 'a'), cluster.pdAddresses)
  await first.node.start()
  const id = first.node.storeId
  cpSync(join(dataDir, 'a'), join(dataDir, 'b'), { recursive: true, filter: path => !/LOCK$/.test(path) })
  const copy = lone(t, join(dataDir, 'b'), cluster.pdAddresses)
  await copy.node.start()
  t.equal(copy.node.storeId, id)
  t.match(await first.fatal, { name: 'StartupError', code: 'storeRefused', message: /borne by another process/ })
  await first.node.stop(0)
  await refused(t, lone(t, join(dataDir, 'a'), cluster.pdAddresses).node.start(), 'storeRefused', /another copy of this folder/)
  await refused(t, lone(t, join(dataDir, 'a'), cluster.pdAddresses).node.start(), 'storeRefused', /another copy of this folder/)
  // Who bears it starts again as often as it likes.
  await copy.node.stop(0)
  const again = lone(t, join(dataDir, 'b'), cluster.pdAddresses)
  await again.node.start()
  t.equal(again.node.storeId, id)
})

t.test('a second store on the address of a living one is refused', async t => {
  const dataDir = folder(t)
  const cluster = await start(t, { dataDir })
  const { address } = cluster.stores[0]!
  const liar = lone(t, join(dataDir, 'liar'), cluster.pdAddresses, { 'server.advertise-addr': address })
  await refused(t, liar.node.start(), 'storeRefused', /belongs to store 1/)
})

t.test('a store without PD waits, says so, and can be stopped', async t => {
  const { node, events } = lone(t, join(folder(t), 's'), ['127.0.0.1:1'])
  const started = node.start()
  const ended = t.rejects(started, { code: 'stopped' })
  for (let i = 0; i < 500 && !events.includes('store.waits-for-pd'); i++) await new Promise(resolve => setTimeout(resolve, 20))
  t.ok(events.includes('store.waits-for-pd'))
  await node.stop()
  await ended
})

t.test('a bootstrap that is cut off at any point is carried on', async t => {
  const dir = folder(t)
  const cluster = await start(t, { stores: 0 })
  const { pd } = cluster.connection()
  const dataDir = join(dir, 'first')
  for (const point of ['join.before-identity', 'join.after-identity', 'join.after-offer', 'join.after-first-region']) {
    await t.rejects(lone(t, dataDir, cluster.pdAddresses, {}, [`${point}=throw`]).node.start(), { message: `failpoint ${point}` })
    t.equal(await pd.isBootstrapped(), point === 'join.after-offer' || point === 'join.after-first-region', point)
  }
  const { node } = lone(t, dataDir, cluster.pdAddresses)
  await node.start()
  await cluster.settled()
  await cluster.client().raw.put('a', '1')
  t.equal((await pd.getStores()).length, 1)
  t.notMatch(readFileSync(join(dataDir, 'STORE.json'), 'utf8'), /bootstrap/, 'the intent is cleared')
})

t.test('who comes back with an intent when somebody was faster joins', async t => {
  const dir = folder(t)
  const cluster = await start(t, { stores: 0 })
  await t.rejects(lone(t, join(dir, 'slow'), cluster.pdAddresses, {}, ['join.after-identity=throw']).node.start())
  t.match(readFileSync(join(dir, 'slow', 'STORE.json'), 'utf8'), /bootstrap/)
  const fast = lone(t, join(dir, 'fast'), cluster.pdAddresses)
  await fast.node.start()
  const slow = lone(t, join(dir, 'slow'), cluster.pdAddresses)
  await slow.node.start()
  t.notMatch(readFileSync(join(dir, 'slow', 'STORE.json'), 'utf8'), /bootstrap/)
  const [route] = await cluster.connection().pd.scanRegions(new Uint8Array(0), new Uint8Array(0), 0)
  t.ok(route?.region.peers.some(peer => peer.storeId === fast.node.storeId))
  t.not(fast.node.storeId, slow.node.storeId)
})

t.test('members of PD: their own folder, name and log', async t => {
  const dataDir = folder(t)
  const cluster = await startCluster({ dataDir, stores: 1, storeConfig: quick })
  await cluster.close()
  t.match(JSON.parse(readFileSync(join(dataDir, 'pd-1', 'PD.json'), 'utf8')), { name: 'pd-1' })
  cpSync(join(dataDir, 'pd-1'), join(dataDir, 'pd-2'), { recursive: true })
  await t.rejects(startCluster({ dataDir, pd: 2, stores: 1, storeConfig: quick }), { code: /dataDirForeign|config/ })
  rmSync(join(dataDir, 'pd-2'), { recursive: true })
  await t.rejects(startCluster({ dataDir, pd: 3, stores: 1, storeConfig: quick }), { code: 'config', message: /initial-cluster names/ })
  rmSync(join(dataDir, 'pd-1', 'raft'), { recursive: true })
  await t.rejects(startCluster({ dataDir, stores: 1, storeConfig: quick }), { code: 'dataDirDamaged', message: /had voted for is gone/ })
})
