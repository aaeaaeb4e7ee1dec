/** How long nobody can write after the leader's process was killed. */
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { engineKeyOf, wireKey } from '../../src/rawkv/codec.js'
import { leaderNode, peersOn, transferTo, waitCaughtUp, waitServing } from '../../src/verify/cluster-access.js'
import type { NodeProcess } from '../../src/verify/process-cluster.js'
import { sleep, waitFor } from '../../src/verify/waiting.js'
import { crowding, median, operationMsMax, readyMsMax, startProcesses } from './kit.js'
import type { Running } from './kit.js'

const runs = 5
const firstWriteMsMax = 1_500
const regions = 100

/** @returns ms from the kill to the acknowledgement of a write that was begun after it */
async function killAndWrite({ cluster, connection }: Running, victim: NodeProcess, keys: readonly string[]): Promise<number[]> {
  await cluster.kill(victim)
  const startMs = performance.now()
  return await Promise.all(keys.map(async key => {
    await connection.client.raw.put(key, String(startMs), { timeoutMs: operationMsMax * 3, retryUndetermined: true })
    return performance.now() - startMs
  }))
}

async function bringBack({ cluster, connection }: Running, victim: NodeProcess): Promise<void> {
  cluster.launch(victim)
  await waitServing(connection, readyMsMax)
  await waitCaughtUp(cluster, connection, readyMsMax)
  // A store that was just started gives no vote for a while.
  await sleep(1_000)
}

t.test('one region: the first write after its leader was killed', async t => {
  const running = await startProcesses(t)
  const times: number[] = []
  const factor = await crowding()
  for (let run = 0; run < runs; run++) {
    const victim = await waitFor('a leader', readyMsMax, () => leaderNode(running.cluster, running.connection, 'failover'))
    const [time = Infinity] = await killAndWrite(running, victim, ['failover'])
    times.push(Math.round(time))
    await bringBack(running, victim)
  }
  const wide = firstWriteMsMax * Math.max(factor, await crowding())
  t.ok(median(times) <= wide, `median ${median(times)} ms of ${times.join(', ')}; at most ${wide.toFixed(0)}`)
})

t.test(`${regions} regions on the dead store`, async t => {
  const running = await startProcesses(t)
  const { cluster, connection } = running
  const keys = Array.from({ length: regions }, (_, at) => `failover/${String(at).padStart(3, '0')}`)
  await split(running, keys.slice(1))
  const first = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, keys[0] ?? ''))
  const times: { first: number[]; all: number[] } = { first: [], all: [] }
  const factor = await crowding()
  let victim = first
  for (let run = 0; run < runs; run++) {
    for (const key of keys) await transferTo(connection, victim, key, readyMsMax)
    await Promise.all(keys.map(key => connection.client.raw.put(key, 'before', { timeoutMs: readyMsMax, retryUndetermined: true })))
    const led = (await peersOn(connection, victim, 0)).filter(peer => peer.role === 'leader').length
    t.ok(led >= regions, `${led} regions are led by the store that is killed`)
    const each = (await killAndWrite(running, victim, keys)).sort((left, right) => left - right)
    times.first.push(Math.round(each[0] ?? Infinity))
    times.all.push(Math.round(each.at(-1) ?? Infinity))
    await bringBack(running, victim)
    victim = cluster.stores[(victim.index + 1) % cluster.stores.length] ?? victim
  }
  const wide = firstWriteMsMax * Math.max(factor, await crowding())
  t.ok(median(times.first) <= wide, `first write: median ${median(times.first)} ms of ${times.first.join(', ')}; at most ${wide.toFixed(0)}`)
  t.ok(median(times.all) <= 2 * wide, `all regions: median ${median(times.all)} ms of ${times.all.join(', ')}; at most ${(2 * wide).toFixed(0)}`)
})

async function split({ cluster, connection }: Running, keys: readonly string[]): Promise<void> {
  const boundaries = keys.map(key => engineKeyOf(wireKey(0, utf8(key))))
  const route = await connection.pd.getRegion(boundaries[0] ?? utf8(''))
  const leader = await waitFor('a leader', readyMsMax, () => leaderNode(cluster, connection, keys[0] ?? ''))
  const { regionId, epoch } = route!.region
  const answer = await connection.channel(leader.address).call('SplitRegion',
    { context: { regionId, epoch, peerId: 0 as never, timeoutMs: 20_000 }, keys: boundaries }, { timeoutMs: 20_000 })
  if (!answer.answered || !answer.result.ok) throw new Error(`split: ${JSON.stringify(answer)}`)
  await waitFor('PD knows all regions and leaders', readyMsMax, async () => {
    const routes = await connection.pd.scanRegions(utf8(''), utf8(''), 1_000)
    return routes.length > keys.length && routes.every(one => one.leader !== undefined) ? true : undefined
  })
}
