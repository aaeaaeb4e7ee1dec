// Raft messages from elsewhere: what no peer could have sent ends no store, now or at its next start, and nothing is kept for ever.
import t from 'tap'
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { localAppendThread, message } from '../../src/raft/message.js'
import type { MessageFields } from '../../src/raft/message.js'
import { MessageType } from '../../src/raft/types.js'
import type { RaftEnvelope } from '../../src/wire/messages.js'
import { StoreCluster } from './kit.js'

const envelope = (region: number, from: number, to: number, fields: MessageFields): RaftEnvelope => ({
  regionId: regionId(region), epoch: { confVer: 1, version: 1 }, isTombstone: false, startKey: utf8('a'), endKey: emptyBytes,
  from: { peerId: peerId(from), storeId: storeId(2), role: 'voter' }, to: { peerId: peerId(to), storeId: storeId(to % 10), role: 'voter' },
  message: message({ from, to, ...fields }),
})

t.test('what ended all three stores ends none, and each of them starts again', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  const term = cluster.term(cluster.elect())
  const strange: MessageFields[] = [
    { type: MessageType.Heartbeat, term, commit: 1_000_000 }, { type: MessageType.Heartbeat, term: term + 1, commit: 1_000_000 },
    { type: MessageType.StorageAppendResponse, from: localAppendThread, term, index: 99, logTerm: term },
    { type: MessageType.StorageApplyResponse, from: localAppendThread - 1 }, { type: MessageType.Hup }, { type: MessageType.Beat },
    { type: MessageType.Vote, term: 2 ** 53 - 1, index: 99, logTerm: 99 }, { type: MessageType.Vote, term: 2 ** 53, index: 99, logTerm: 99 },
    { type: MessageType.Append, term: term + 1, index: 2 ** 53 }, { type: MessageType.TimeoutNow, from: 99, term }, { type: MessageType.ForgetLeader },
    { type: MessageType.AppendResponse, term, index: 1_000_000 }, { type: MessageType.VoteResponse, term: 2 ** 53 - 1 },
  ]
  for (const machine of cluster.machines) {
    for (const fields of strange) {
      for (const from of [11, 12, 13, 77]) machine.store!.onRaft(envelope(1, from, 10 + machine.id, fields))
      cluster.world.runFor(5)
    }
    t.ok((machine.store!.metrics().raft_messages_refused_total ?? 0) > 0)
  }
  cluster.world.runFor(3_000)
  t.same(cluster.fatal, [])
  cluster.mustPut('b', '2')
  for (const machine of cluster.machines) cluster.kill(machine)
  for (const machine of cluster.machines) cluster.start(machine)
  t.same([cluster.mustGet('a'), cluster.mustGet('b')], ['1', '2'])
  t.ok(cluster.term(cluster.elect()) < term + 100)
  t.same(cluster.fatal, [])
  t.end()
})

t.test('votes for children that never come are kept for a while, and few of them', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  const store = cluster.machines[0]!.store!
  const parked = (): number => store.metrics().store_parked_votes ?? -1
  for (let round = 0; round < 20; round++) {
    for (let region = 100; region < 1_000; region++) store.onRaft(envelope(region, region * 10 + 2, region * 10 + 1, { type: MessageType.Vote, term: 6 }))
  }
  t.ok(parked() > 0 && parked() <= 4_096, `${parked()} of 18,000`)
  cluster.world.runFor(13_000)
  t.equal(parked(), 0)
  t.same(cluster.fatal, [])
  t.end()
})
