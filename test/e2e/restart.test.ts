/** Everything is killed at once, with data; how long until it serves? `karst bench` has the figure for 1 GiB. */
import t from 'tap'
import { waitServing } from '../../src/verify/cluster-access.js'
import { crowding, readyMsMax, startProcesses } from './kit.js'
import type { Running } from './kit.js'

const mebibytes = Number(process.env['KARST_RESTART_MIB'] ?? 120)
const valueBytes = 1_024
const batchKeys = 256
const servingMsMax = 5_000

const keyOf = (at: number): string => `restart/${String(at).padStart(9, '0')}`
const valueOf = (at: number): string => `${at} `.padEnd(valueBytes, 'karst')

async function fill({ connection }: Running, count: number): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < count) {
      const from = next
      next += batchKeys
      const pairs = Array.from({ length: Math.min(batchKeys, count - from) }, (_, i) => [keyOf(from + i), valueOf(from + i)] as const)
      await connection.client.raw.batchPut(pairs, { timeoutMs: readyMsMax, retryUndetermined: true })
    }
  }))
}

t.test('all stores and PD killed at once: serving in 5 s, and nothing is missing', async t => {
  const running = await startProcesses(t)
  const { cluster, connection } = running
  const count = Math.ceil(mebibytes * 2 ** 20 / valueBytes)
  const fillStartMs = performance.now()
  await fill(running, count)
  t.comment(`${mebibytes} MiB in ${((performance.now() - fillStartMs) / 1_000).toFixed(1)} s`)
  const factor = await crowding()
  await Promise.all(cluster.nodes.map(node => cluster.kill(node)))
  const startMs = performance.now()
  for (const node of cluster.nodes) cluster.launch(node)
  await waitServing(connection, readyMsMax, 'restart/after')
  const servingMs = performance.now() - startMs
  const wide = servingMsMax * Math.max(factor, await crowding())
  t.ok(servingMs <= wide, `serving after ${servingMs.toFixed(0)} ms; at most ${wide.toFixed(0)}`)
  let rows = 0
  let wrong = 0
  for await (const { key, value } of connection.client.raw.scan({ prefix: 'restart/0' }, { timeoutMs: readyMsMax })) {
    if (new TextDecoder().decode(key) !== keyOf(rows) || new TextDecoder().decode(value) !== valueOf(rows)) wrong++
    rows++
  }
  t.equal(rows, count, 'all rows are there')
  t.equal(wrong, 0, 'and as they were written')
})
