/** Processes that stand still: a leader that wakes up must not answer from the past, a follower must not cost its leader memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { leaderNode, peersOn, waitCaughtUp, waitServing } from '../../src/verify/cluster-access.js'
import { isPaused, ProcessCluster } from '../../src/verify/process-cluster.js'
import { runRegisterCheck } from '../../src/verify/register-run.js'
import { engineKeyOfText } from '../../src/verify/cluster-access.js'
import { sleep, waitFor } from '../../src/verify/waiting.js'
import { utf8 } from '../../src/common/bytes.js'
import { wireKey } from '../../src/rawkv/codec.js'
import { readyMsMax, residentBytes, startLoad, startProcesses } from './kit.js'

const pauseMs = 5_000

t.test('a leader that slept 5 s answers no read from the past', async t => {
  const running = await startProcesses(t)
  const { cluster, connection } = running
  const { raw } = connection.client
  await raw.put('sleep', 'old')
  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, 'sleep'))
  const route = await connection.pd.getRegion(engineKeyOfText('sleep'))
  const { regionId, epoch } = route!.region
  const [peer] = await peersOn(connection, leader, regionId)
  // Its lease is fresh when it falls asleep.
  await raw.get('sleep')
  cluster.pause(leader)
  await waitFor('the pause', 5_000, () => isPaused(leader) ? true : undefined, 1)
  const startMs = performance.now()
  await waitFor('another leader', readyMsMax, () => raw.put('sleep', 'new', { timeoutMs: 10_000, retryUndetermined: true }).then(() => true))
  t.comment(`written elsewhere after ${(performance.now() - startMs).toFixed(0)} ms`)
  // These wait in the socket of the sleeper and are the first thing it sees.
  const asked = Array.from({ length: 20 }, () => connection.channel(leader.address).call('RawGet', {
    context: { regionId, epoch, peerId: peer?.peerId ?? (0 as never), timeoutMs: 0 }, key: wireKey(0, utf8('sleep')),
  }, { timeoutMs: 20_000 }))
  await sleep(Math.max(0, pauseMs - (performance.now() - startMs)))
  cluster.resume(leader)
  const answers = await Promise.all(asked)
  const stale = answers.filter(answer => answer.answered && answer.result.ok && new TextDecoder().decode(answer.result.value.value) !== 'new')
  t.equal(stale.length, 0, `no stale answer; ${answers.map(answer => !answer.answered ? answer.failure.kind
    : answer.result.ok ? 'new' : answer.result.error.kind).join(' ')}`)
})

t.test('histories around paused leaders and followers are linearizable', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'karst-e2e-'))
  const cluster = await ProcessCluster.start({ folder, stores: 3 })
  t.teardown(async () => {
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const run = await runRegisterCheck({
    pdAddresses: [cluster.pd.address], cluster, seconds: 12, rounds: undefined, clients: 8, keys: 4,
    faults: ['pause-leader', 'pause', 'kill-pd'], seed: Math.floor(Math.random() * 2 ** 32), historyPath: undefined, okPerSecondMin: 20,
  })
  t.same(run.reasons, [])
  t.equal(run.verdict, 'passed')
  t.comment(`${run.operations.ok} ok, ${run.operations.fail} refused, ${run.operations.info} unknown; longest gap ${run.longestGapMs} ms`)
})

t.test('a follower that stands still under load does not fill its leader with memory', async t => {
  const running = await startProcesses(t)
  const { cluster, connection } = running
  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, 'still'))
  const follower = cluster.stores.find(node => node !== leader)!
  await waitServing(connection, readyMsMax)
  const value = 'v'.repeat(4_096)
  const stop = new AbortController()
  let written = 0
  const writers = Array.from({ length: 32 }, async (_, at) => {
    while (!stop.signal.aborted) {
      await connection.client.raw.put(`still/${at}/${written % 5_000}`, value, { timeoutMs: readyMsMax, retryUndetermined: true })
      written++
    }
  })
  await sleep(3_000)
  const before = residentBytes(leader)
  const writtenBefore = written
  cluster.pause(follower)
  const samples: number[] = []
  for (let i = 0; i < 20; i++) {
    await sleep(500)
    samples.push(residentBytes(leader))
  }
  const writtenMeanwhile = written - writtenBefore
  cluster.resume(follower)
  stop.abort()
  await Promise.all(writers)
  await waitCaughtUp(cluster, connection, readyMsMax)
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
  t.ok(writtenMeanwhile > 500, `${writtenMeanwhile} writes of 4 KiB while it stood still`)
  // Bounded by queues and caches: 64 MiB of raft for one store, 32 MiB of log cache, memtables and block cache.
  t.ok(Math.max(...samples) - before < 300 * 2 ** 20, `leader: ${mib(before)} MiB before, at most ${mib(Math.max(...samples))} MiB meanwhile`)
  t.ok(mib(Math.max(...samples)) < 600, 'and in all')
  const load = startLoad(t, running, 'after/', 4)
  await load.goesOn()
  await load.stop()
})
