/** SIGTERM under load: exit code 0, and no client notices. */
import t from 'tap'
import { leaderNode, waitCaughtUp } from '../../src/verify/cluster-access.js'
import { sleep, waitFor } from '../../src/verify/waiting.js'
import { readyMsMax, startLoad, startProcesses } from './kit.js'

t.test('a rolling restart under load: every store in turn, the leader first, and no operation fails', async t => {
  const running = await startProcesses(t)
  const { cluster, connection } = running
  const load = startLoad(t, running, 'stop/', 16)
  const reads = { done: 0, wrong: [] as unknown[], stop: false }
  const reading = (async () => {
    while (!reads.stop) {
      const last = load.survival.acknowledged.at(-1)
      if (last === undefined) {
        await sleep(1)
        continue
      }
      try {
        const value = await connection.client.raw.get(last.key)
        if (value === undefined || new TextDecoder().decode(value) !== last.value) reads.wrong.push(last.key)
        reads.done++
      } catch (error) {
        reads.wrong.push(error)
      }
    }
  })()
  await sleep(1_000)
  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, 'stop/0'))
  const longest: number[] = []
  for (const node of [leader, ...cluster.stores.filter(one => one !== leader)]) {
    const startMs = performance.now()
    const before = load.survival.acknowledged.length
    t.equal(await cluster.stop(node), 0, `store-${node.index} stops with exit code 0`)
    longest.push(Math.round(performance.now() - startMs))
    t.ok(load.survival.acknowledged.length >= before)
    cluster.launch(node)
    await waitCaughtUp(cluster, connection, readyMsMax)
    await sleep(1_000)
  }
  await load.stop()
  reads.stop = true
  await reading
  const { acknowledged, refused, unknown } = load.survival
  t.same([refused.length, unknown, load.survival.failures.slice(0, 3), reads.wrong.slice(0, 3)], [0, 0, [], []],
    `of ${acknowledged.length} writes and ${reads.done} reads none failed`)
  t.ok(acknowledged.length > 100)
  t.same((await load.survival.check(connection.client)).slice(0, 3), [])
  t.comment(`stops took ${longest.join(', ')} ms`)
  t.equal(await cluster.stop(cluster.pd), 0, 'PD stops with exit code 0')
  await Promise.all(cluster.stores.map(async node => t.equal(await cluster.stop(node), 0, `store-${node.index}, without PD`)))
})
