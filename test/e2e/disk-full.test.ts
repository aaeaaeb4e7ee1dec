/** Little space is left: writes are refused by name, everything else goes on, and space that comes back ends it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { wireKey } from '../../src/rawkv/codec.js'
import type { Connection } from '../../src/server/connection.js'
import { connectTo, engineKeyOfText, leaderNode, waitCaughtUp, waitReplicated, waitServing } from '../../src/verify/cluster-access.js'
import { ProcessCluster } from '../../src/verify/process-cluster.js'
import type { NodeProcess } from '../../src/verify/process-cluster.js'
import { sleep, waitFor } from '../../src/verify/waiting.js'
import { operationMsMax, readyMsMax, startProcesses } from './kit.js'

type Put = { readonly kind: 'done' } | { readonly kind: string; readonly reason?: string; readonly storeIds?: readonly number[] }

/** One request to one store, no repeats. */
async function putAt(connection: Connection, node: NodeProcess, key: string, value: string): Promise<Put> {
  const { regionId, epoch } = (await connection.pd.getRegion(engineKeyOfText(key)))!.region
  const answer = await connection.channel(node.address).call('RawPut', {
    context: { regionId, epoch, peerId: 0 as never, timeoutMs: 5_000 }, key: wireKey(0, utf8(key)), value: utf8(value), ttlSeconds: 0,
  }, { timeoutMs: 5_000 })
  if (!answer.answered) return { kind: answer.failure.kind, reason: answer.failure.reason }
  return answer.result.ok ? { kind: 'done' } : answer.result.error
}

async function mustBeRefused(t: Pick<typeof tap, 'match' | 'equal'>, cluster: ProcessCluster, connection: Connection): Promise<void> {
  const { raw } = connection.client
  const refusal = await waitFor('DiskFull', readyMsMax, async () => {
    const leader = await leaderNode(cluster, connection, 'full/a')
    const put = leader && await putAt(connection, leader, 'probe', 'x')
    return put?.kind === 'DiskFull' ? await putAt(connection, leader!, 'full/new', 'x') : undefined
  })
  t.match(refusal, { kind: 'DiskFull', reason: /reserve/ }, JSON.stringify(refusal))
  t.equal(new TextDecoder().decode(await raw.get('full/a')), 'before', 'reads go on')
  t.equal((await raw.scan({ prefix: 'full/' }).toArray()).length, 2, 'scans too')
  await raw.delete('full/b')
  t.equal(await raw.get('full/b'), undefined, 'deletes go on')
  t.equal(await raw.get('full/new'), undefined, 'what was refused was not written')
}

tap.test('a reserve larger than the disk', async t => {
  const { cluster, connection } = await startProcesses(t)
  await connection.client.raw.batchPut([['full/a', 'before'], ['full/b', 'before']])
  const { bavail, bsize } = statfsSync(cluster.folder)
  for (const node of cluster.stores) {
    await cluster.kill(node)
    cluster.launch(node, { flags: ['--set', `storage.reserve-space=${Math.ceil(bavail * bsize / 2 ** 30) + 50}GiB`] })
    await waitCaughtUp(cluster, connection, readyMsMax)
  }
  await mustBeRefused(t, cluster, connection)
  const error = await connection.client.raw.put('full/new', 'x', { timeoutMs: 1_500 }).then(() => undefined, (failure: Error) => failure)
  t.match(error?.message, /DiskFull/, `the client says why it gave up: ${error?.message}`)
  for (const node of cluster.stores) {
    await cluster.kill(node)
    cluster.launch(node)
    await waitCaughtUp(cluster, connection, readyMsMax)
  }
  await connection.client.raw.put('full/new', 'x')
  t.equal(new TextDecoder().decode(await connection.client.raw.get('full/new')), 'x', 'with space again writes go on')
})

/** @returns false where this user may not mount */
function mountSmallDisk(path: string, mebibytes: number): boolean {
  mkdirSync(path, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'karst-test', path], { stdio: 'pipe' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'never'
  }
}

tap.test('a small disk that fills up while the stores run', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'karst-e2e-'))
  const disk = join(folder, 'disk')
  const isMounted = mountSmallDisk(disk, 1_024)
  t.teardown(() => {
    if (isMounted) execFileSync('umount', ['-l', disk])
    rmSync(folder, { recursive: true, force: true })
  })
  if (!isMounted) {
    t.pass('no right to mount a small disk here; the reserve alone was tested')
    return
  }
  const cluster = await ProcessCluster.start({ folder: disk, stores: 3 })
  const connection = connectTo([cluster.pd.address], operationMsMax)
  try {
    await waitServing(connection, readyMsMax)
    await waitReplicated(connection, 3, readyMsMax)
    await connection.client.raw.batchPut([['full/a', 'before'], ['full/b', 'before']])
    const { bavail, bsize } = statfsSync(disk)
    const ballast = join(disk, 'ballast')
    execFileSync('fallocate', ['-l', String(bavail * bsize - 100 * 2 ** 20), ballast])
    await mustBeRefused(t, cluster, connection)
    t.ok(statfsSync(disk).bavail > 0, 'the reserve keeps the disk from running full')
    rmSync(ballast)
    await waitFor('writes again', readyMsMax, () => connection.client.raw.put('full/new', 'x', { timeoutMs: 2_000 }).then(() => true))
    await sleep(100)
    t.same(cluster.crashes.map(crash => crash.text), [], 'no process ended')
  } finally {
    connection.close()
    await cluster.close()
  }
})
