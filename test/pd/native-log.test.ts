import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Env, Timer } from '../../src/common/env.js'
import type { RaftLog } from '../../src/engine/api.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import { createPdNode } from '../../src/pd/pd-node.js'
import type { PdNode } from '../../src/pd/pd-node.js'
import { ask } from './kit.js'
import { peer, region, store } from './samples.js'
import type { Requests, Responses, RpcName } from '../../src/wire/messages.js'

/** The real clock, and nothing of a network. */
function realEnv(): Env {
  return {
    name: 'pd-1',
    clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
    random: {
      float: () => Math.random(), below: bound => Math.floor(Math.random() * bound),
      bytes: count => Uint8Array.from({ length: count }, () => Math.floor(Math.random() * 256)),
    },
    get network(): never { throw new Error('no network in this test') },
    setTimer(delayMs: number, run: () => void): Timer {
      const handle = setTimeout(run, delayMs)
      return { cancel: () => { clearTimeout(handle) } }
    },
    defer(run: () => void): void { setImmediate(run) },
    log(): void {},
    failpoint(): void {},
  }
}

function start(raftLog: RaftLog): PdNode {
  const node = createPdNode({
    env: realEnv(), name: 'pd-1', memberId: 1, raftLog, peerLinks: { send: () => true, flush: () => {} },
    members: [{ name: 'pd-1', memberId: 1, clientUrls: ['127.0.0.1:2379'], peerUrls: [] }],
    config: { compactEntries: 50, compactKeepEntries: 10 }, onFatal: error => { throw error },
  })
  node.start()
  return node
}

const soon = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })

async function served<N extends RpcName>(node: PdNode, name: N, request: Requests[N]): Promise<Responses[N]> {
  while (node.clusterId === 0n || !node.hasLease) await soon()
  const asked = ask(node.server.handlers, name, request)
  while (asked.result === undefined) await soon()
  if (!asked.result.ok) throw new Error(JSON.stringify(asked.result.error))
  return asked.result.value as Responses[N]
}

t.test('on the native log: everything is there after each reopening, also after the log was cut', async t => {
  const path = join(mkdtempSync(join(tmpdir(), 'karst-pd-')), 'raft')
  let log = openNativeRaftLog({ dir: path, segmentBytes: 1 << 20 })
  let node = start(log)
  const at = performance.now()
  const { first } = await served(node, 'AllocId', { count: 3 })
  t.comment(`first answer after ${Math.round(performance.now() - at)} ms`)
  const whole = region({ id: first + 1, peers: [peer(first + 2, first)] })
  await served(node, 'Bootstrap', { store: store(first), region: whole })
  const { clusterId } = node
  let last = await served(node, 'Tso', { count: 10 })
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 60; i++) {
      await served(node, 'PutStore', { store: store(first, { labels: { round: `${round}.${i}` } }), force: false, incarnation: 0, previous: [] })
    }
    await new Promise<void>(resolve => { node.stop(100, resolve) })
    await log.close()
    log = openNativeRaftLog({ dir: path, segmentBytes: 1 << 20 })
    node = start(log)
    t.ok(node.describe().first > 50 * (round + 1) - 20, `cut at ${node.describe().first}`)
    const next = await served(node, 'Tso', { count: 1 })
    t.ok(next.physicalMs > last.physicalMs, 'timestamps begin above the old bound')
    last = next
    t.equal(node.clusterId, clusterId)
    t.equal(node.state.stores.get(store(first).storeId)?.labels.round, `${round}.59`)
  }
  await new Promise<void>(resolve => { node.stop(100, resolve) })
  await log.close()
  rmSync(join(path, '..'), { recursive: true })
})
