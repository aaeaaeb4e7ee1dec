// Limits: in flight, uncommitted, being applied.
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { entryBytes, message } from '../../src/raft/message.js'
import { RawNode } from '../../src/raft/raw-node.js'
import { TestNode, hardState, proposal, type } from './node.js'
import type { NodeOptions } from './node.js'

function streaming(options: NodeOptions): TestNode {
  const node = new TestNode(1, { voters: [1, 2], ...options }).makeLeader()
  node.progress(2).becomeReplicate()
  node.take()
  return node
}

t.test('probe: one append until an answer or a heartbeat response', async t => {
  const node = new TestNode(1, { voters: [1, 2] }).makeLeader()
  for (let i = 0; i < 3; i++) node.propose()
  const sent = node.take()
  t.equal(sent.length, 1)
  t.equal(node.progress(2).flowPaused, true)
  for (let round = 0; round < 3; round++) {
    node.propose()
    t.same(node.take(), [])
    node.ticks(1)
    t.same(node.take().map(one => one.type), [type.Heartbeat])
    node.step({ type: type.HeartbeatResponse, from: 2, term: 1 })
    t.same(node.take().map(one => one.type), [type.Append])
  }
})

t.test('probe resumes by a heartbeat response', async t => {
  const node = new TestNode(1, { voters: [1, 2] }).makeLeader()
  node.progress(2).flowPaused = true
  node.step({ type: type.Beat })
  t.equal(node.progress(2).flowPaused, true)
  node.progress(2).becomeReplicate()
  t.equal(node.progress(2).flowPaused, false)
  node.progress(2).flowPaused = true
  node.step({ type: type.HeartbeatResponse, from: 2, term: 1 })
  t.equal(node.progress(2).flowPaused, false)
})

t.test('the leader\'s own progress never stops it', async t => {
  const node = new TestNode(1, { voters: [1, 2], log: [] }).makeLeader()
  node.progress(2).becomeReplicate()
  for (let i = 0; i < 5; i++) node.propose()
  node.take()
  t.equal(node.progress(1).match, node.lastIndex)
  t.equal(node.progress(1).next, node.lastIndex + 1)
  t.equal(node.progress(1).paused, false)
})

t.test('a first probe carries one message\'s worth, then the stream fills its window', async t => {
  const node = new TestNode(1, { voters: [1, 2], maxInflightMessages: 3, maxSizePerMessage: 2048 }).makeLeader()
  const blob = 'a'.repeat(1000)
  for (let i = 0; i < 10; i++) node.propose(blob)
  const first = node.take()
  t.equal(first.length, 1)
  t.same(first[0]!.entries.map(one => one.data.length), [0, 1000])
  node.step({ type: type.AppendResponse, from: 2, term: 1, index: first[0]!.entries.at(-1)!.index })
  const window = node.take()
  t.equal(window.length, 3)
  for (const one of window) t.equal(one.entries.length, 2)
  t.equal(node.progress(2).paused, true)
  node.step({ type: type.AppendResponse, from: 2, term: 1, index: window[2]!.entries[1]!.index })
  t.same(node.take().map(one => one.entries.length), [2, 1])
})

t.test('the window in bytes closes like the one in messages', async t => {
  const node = streaming({ maxInflightBytes: 4096, maxSizePerMessage: 2048 })
  node.step({ type: type.AppendResponse, from: 2, term: 1, index: 1 })
  node.take()
  for (let i = 0; i < 10; i++) node.propose('b'.repeat(1000))
  t.equal(node.take().length, 5, 'the fifth crosses the limit and is still sent')
  t.equal(node.progress(2).inflights.bytes, 5000)
  t.ok(node.progress(2).paused)
})

t.test('a full window sends nothing more', async t => {
  const node = streaming({ maxInflightMessages: 8 })
  for (let i = 0; i < 8; i++) {
    node.propose()
    t.equal(node.take().length, 1)
  }
  t.ok(node.progress(2).inflights.full)
  for (let i = 0; i < 10; i++) {
    node.propose()
    t.same(node.take(), [])
  }
})

t.test('an acknowledgement moves the window forward, an old one does not', async t => {
  const node = streaming({ maxInflightMessages: 8 })
  for (let i = 0; i < 8; i++) node.propose()
  node.take()
  for (let acked = 2; acked < 8; acked++) {
    node.step({ type: type.AppendResponse, from: 2, term: 1, index: acked })
    node.take()
    node.propose()
    t.same(node.take().map(one => one.type), [type.Append])
    t.ok(node.progress(2).inflights.full)
    for (let old = 0; old < acked; old++) {
      node.step({ type: type.AppendResponse, from: 2, term: 1, index: old })
      t.ok(node.progress(2).inflights.full)
    }
  }
})

t.test('a heartbeat response lets one empty append through a full window', async t => {
  const node = streaming({ maxInflightMessages: 4 })
  for (let i = 0; i < 5; i++) node.propose()
  node.take()
  for (let round = 1; round < 4; round++) {
    node.step({ type: type.HeartbeatResponse, from: 2, term: 1 })
    const sent = node.take()
    t.same(sent.map(one => [one.type, one.entries.length]), [[type.Append, 0]])
    node.step({ type: type.HeartbeatResponse, from: 2, term: 1 })
    t.equal(node.take().length, 1)
    node.propose()
    t.same(node.take(), [], 'no entries')
  }
})

t.test('uncommitted limit: drops at it, lets one of any size pass an empty tail, and empty ones always', async t => {
  const data = 'x'.repeat(100)
  const node = streaming({ maxUncommittedEntriesSize: 1000, maxInflightMessages: 1024 })
  t.equal(node.raft.uncommittedBytes, 0, 'the empty entry is free')
  for (let i = 0; i < 10; i++) t.equal(node.propose(data), 'ok')
  t.equal(node.propose(data), 'dropped')
  t.equal(node.propose(''), 'ok')
  // Commit and apply everything: room again.
  node.take()
  node.step({ type: type.AppendResponse, from: 2, term: 1, index: node.lastIndex })
  node.step({ type: type.StorageApplyResponse, entries: node.apply() })
  t.equal(node.raft.uncommittedBytes, 0)
  t.equal(node.propose('y'.repeat(5000)), 'ok')
  t.equal(node.propose(data), 'dropped')
  // Empty payloads are accepted however full it is.
  t.equal(node.step({ type: type.Propose, entries: [proposal('')] }), 'ok')
})

t.test('uncommitted limit: followers do not count', async t => {
  const node = new TestNode(2, { maxUncommittedEntriesSize: 10 })
  const entries = [1, 2, 3].map(index => ({ ...proposal('x'.repeat(100)), term: 1 as never, index: index as never }))
  node.step({ type: type.Append, from: 1, term: 1, entries, commit: 3 })
  node.step({ type: type.StorageApplyResponse, entries: node.apply() })
  t.equal(node.raft.uncommittedBytes, 0)
  t.equal(node.committed, 3)
})

t.test('a leader without a quorum keeps a bounded log', async t => {
  const { storage, options } = new TestNode(1, { voters: [1, 2], maxUncommittedEntriesSize: 16 * 100 })
  const node = new RawNode(options)
  node.campaign()
  const drain = (): void => {
    while (node.hasReady()) {
      const ready = node.ready()
      if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
      storage.append(ready.entries)
      node.advance()
    }
  }
  drain()
  node.step(message({ type: type.VoteResponse, from: 2, to: 1, term: node.term }))
  drain()
  t.equal(node.role, 'leader')
  const results = Array.from({ length: 1024 }, () => node.propose(utf8('0123456789abcdef')))
  t.equal(results.filter(result => result === 'ok').length, 100)
  t.equal(node.uncommittedBytes, 1600)
  drain()
  node.step(message({ type: type.AppendResponse, from: 2, to: 1, term: node.term, index: node.lastIndex }))
  drain()
  t.equal(node.uncommittedBytes, 0)
  t.equal(node.committed, 101)
})

t.test('committed entries are handed out in pages, and all of them after a restart', async t => {
  const node = new TestNode(1, { voters: [1], log: Array<number>(10).fill(1), hard: { term: 1, commit: 10 } })
  const size = entryBytes(proposal(''))
  const raw = new RawNode({ ...node.options, applied: 0 as never, maxCommittedSizePerReady: size * 3 + 1 })
  const pages: number[][] = []
  while (raw.hasReady()) {
    pages.push(raw.ready().committedEntries.map(one => one.index))
    raw.advance()
  }
  t.same(pages, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]])
})

t.test('a committed entry that is larger than the page is handed out alone', async t => {
  const { storage, options } = new TestNode(1, { voters: [1] })
  storage.append([1, 2].map(index => ({ ...proposal('z'.repeat(500)), term: 1 as never, index: index as never })))
  storage.setHardState(hardState(1, 0, 2))
  const raw = new RawNode({ ...options, maxCommittedSizePerReady: 10 })
  t.same(raw.ready().committedEntries.map(one => one.index), [1])
  t.notOk(raw.hasReady(), 'paused until the first is applied')
  raw.advance()
  t.same(raw.ready().committedEntries.map(one => one.index), [2])
})
