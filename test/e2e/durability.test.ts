/**
 * Is an acknowledged write on disk? Each process runs with a preloaded library (test/engine/shim/fault-io.c) that counts its
 * syncs, slows them or lets them fail.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Connection } from '../../src/server/connection.js'
import { connectTo, leaderNode, transferTo, waitCaughtUp, waitReplicated, waitServing } from '../../src/verify/cluster-access.js'
import { exitOf, ProcessCluster } from '../../src/verify/process-cluster.js'
import type { NodeProcess } from '../../src/verify/process-cluster.js'
import { sleep, waitFor } from '../../src/verify/waiting.js'
import { buildShim } from '../engine/shim.js'
import { crowding, median, operationMsMax, readyMsMax, startLoad } from './kit.js'

interface Audited {
  readonly cluster: ProcessCluster
  readonly connection: Connection
  readonly folder: string
  /** Syncs of a store's raft log so far. */
  readonly syncs: (node: NodeProcess) => number
  /** Switches of the shim: `syncDelayMs 20`. */
  readonly control: (node: NodeProcess, text: string) => void
  /** Start options of a store that is launched again. */
  readonly environment: (node: NodeProcess) => Readonly<Record<string, string>>
}

async function startAudited(t: { teardown(run: () => unknown): unknown }): Promise<Audited> {
  const folder = mkdtempSync(join(tmpdir(), 'karst-e2e-'))
  const shim = buildShim(folder)
  const cluster = await ProcessCluster.prepare({ folder: join(folder, 'cluster'), stores: 3 })
  const trace = (node: NodeProcess): string => join(folder, `${node.kind}-${node.index}.syncs`)
  const controlFile = (node: NodeProcess): string => join(folder, `${node.kind}-${node.index}.control`)
  const control = (node: NodeProcess, text: string): void => { writeFileSync(controlFile(node), text) }
  // The log of raft is what an acknowledgement rests on: data files may be synced when they like.
  const environment = (node: NodeProcess): Readonly<Record<string, string>> => ({
    LD_PRELOAD: shim, KARST_SHIM_PATH: join(node.dataDir, 'raft'), KARST_SHIM_TRACE: trace(node), KARST_SHIM_CONTROL: controlFile(node),
  })
  for (const node of cluster.stores) {
    writeFileSync(trace(node), '')
    control(node, '')
  }
  cluster.launch(cluster.pd)
  for (const node of cluster.stores) cluster.launch(node, { environment: environment(node) })
  const connection = connectTo([cluster.pd.address], operationMsMax)
  t.teardown(async () => {
    connection.close()
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })
  await waitServing(connection, readyMsMax)
  await waitReplicated(connection, 3, readyMsMax)
  const syncs = (node: NodeProcess): number =>
    readFileSync(trace(node), 'utf8').split('\n').filter(line => line.startsWith('sync ') && line.endsWith(' 0')).length
  return { cluster, connection, folder, syncs, control, environment }
}

t.test('an acknowledged put was synced in at least two logs before; slow syncs make it slow', async t => {
  const { cluster, connection, syncs, control } = await startAudited(t)
  const { raw } = connection.client
  const counts: number[] = []
  for (let at = 0; at < 100; at++) {
    const before = cluster.stores.map(syncs)
    await raw.put(`audit/${at}`, 'value')
    const after = cluster.stores.map(syncs)
    counts.push(after.filter((count, store) => count > (before[store] ?? 0)).length)
  }
  const puts = [1, 2, 3].map(logs => counts.filter(count => count === logs).length)
  t.equal(counts.filter(count => count < 2).length, 0, `puts after which 1, 2, 3 logs had been synced: ${puts.join(', ')}`)

  const latencies = async (): Promise<number[]> => {
    const times: number[] = []
    for (let at = 0; at < 40; at++) {
      const startMs = performance.now()
      await raw.put('audit/slow', String(at))
      times.push(performance.now() - startMs)
    }
    return times
  }
  const quick = await latencies()
  for (const node of cluster.stores) control(node, 'syncDelayMs 20\n')
  const slow = await latencies()
  for (const node of cluster.stores) control(node, '')
  // Each put waits for a sync that begins after it came. That holds on any machine; how much slower the median got does not.
  t.ok(Math.min(...slow) >= 20, `fastest of 40 puts with syncs slowed by 20 ms: ${Math.min(...slow).toFixed(1)} ms`)
  t.comment(`median put ${median(quick).toFixed(1)} ms, with slow syncs ${median(slow).toFixed(1)} ms`)

  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, 'audit/0'))
  control(leader, 'syncDelayMs 20\n')
  t.comment(`only the leader slow: ${median(await latencies()).toFixed(1)} ms; the other two are a majority`)
  control(leader, '')
})

t.test('a sync that fails ends the process, not the cluster, and no acknowledged write is lost', async t => {
  const audited = await startAudited(t)
  const { cluster, connection, control, environment } = audited
  const key = 'eio/0'
  const load = startLoad(t, audited, 'eio/', 8)
  await load.goesOn()
  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, key))
  const follower = cluster.stores.find(node => node !== leader)!
  const factor = await crowding()
  for (const [what, node] of [['follower', follower], ['leader', leader]] as const) {
    if (what === 'leader') await transferTo(connection, node, key, readyMsMax)
    node.isEnding = true
    const gone = exitOf(node)
    const startMs = performance.now()
    control(node, 'syncFail 1\n')
    await gone
    const exitMs = performance.now() - startMs
    t.ok(exitMs <= 1_000 * factor, `the ${what}'s process ended after ${exitMs.toFixed(0)} ms`)
    t.not(node.child?.exitCode, 0, `with exit code ${node.child?.exitCode}`)
    t.equal(node.child?.signalCode, null, 'by itself, not by a signal')
    await load.goesOn()
    control(node, '')
    cluster.launch(node, { environment: environment(node) })
    await waitCaughtUp(cluster, connection, readyMsMax)
    await sleep(1_000)
  }
  await load.stop()
  for (const node of cluster.stores) {
    await transferTo(connection, node, key, readyMsMax)
    t.same((await load.survival.check(connection.client)).slice(0, 5), [], `all ${load.survival.acknowledged.length} read from store-${node.index}`)
  }
  t.same(cluster.crashes.map(crash => crash.text), [])
})
