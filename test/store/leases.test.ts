// Leases and elections of a store: who keeps quiet, who does not campaign, and when a leader may read alone again.
import t from 'tap'
import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { message } from '../../src/raft/message.js'
import type { MessageFields } from '../../src/raft/message.js'
import { MessageType } from '../../src/raft/types.js'
import type { RaftEnvelope } from '../../src/wire/messages.js'
import { StoreCluster } from './kit.js'

const envelope = (id: number, from: number, to: number, fields: MessageFields): RaftEnvelope => ({
  regionId: regionId(id), epoch: { confVer: 1, version: 2 }, isTombstone: false, startKey: utf8('z'), endKey: emptyBytes,
  from: { peerId: peerId(from), storeId: storeId(from % 10), role: 'voter' }, to: { peerId: peerId(to), storeId: storeId(to % 10), role: 'voter' },
  message: message({ ...fields, from, to }),
})

t.test('what a peer said to a leader before the split that makes it holds for the peer that the split makes', t => {
  const cluster = new StoreCluster(3)
  cluster.bootstrap(3, { startKey: utf8('a'), endKey: utf8('z') })
  cluster.mustPut('b', '1')
  const store = cluster.machines[2]!.store!
  const sent: RaftEnvelope[] = []
  // The ids of a split to come: region 1000 with peers 1001, 1002 and 1003. Store 3 hears of its leader before it hears of the split.
  const asked = cluster.elect().store!
  asked.splitRegion(cluster.context(cluster.region()), [utf8('m')], () => {})
  cluster.world.runFor(1)
  store.onRaft(envelope(1000, 1001, 1003, { type: MessageType.Heartbeat, term: 9 }))
  cluster.world.runFor(1)
  t.equal(store.peers(regionId(1000))[0]?.region.peers.length, 0, 'a peer without a region')
  cluster.world.until(() => (store.peers(regionId(1000))[0]?.region.peers.length ?? 0) > 0, 300)
  const [born] = store.peers(regionId(1000))
  t.same([born?.region.peers.length, born?.term], [3, 9], 'the split has come')
  cluster.onSend = one => { if (one.regionId === 1000 && one.from.peerId === 1003) sent.push(one) }
  store.onRaft(envelope(1000, 1002, 1003, { type: MessageType.Vote, term: 10, index: 99, logTerm: 99 }))
  cluster.world.runFor(50)
  t.same(sent.filter(one => one.message.type === MessageType.VoteResponse && !one.message.reject), [])
  cluster.world.runFor(700)
  store.onRaft(envelope(1000, 1002, 1003, { type: MessageType.Vote, term: 1_000, index: 99, logTerm: 99 }))
  cluster.world.runFor(50)
  t.equal(sent.filter(one => one.message.type === MessageType.VoteResponse && !one.message.reject).length, 1, 'when it is over it votes')
  t.same(cluster.fatal, [])
  t.end()
})

/** Silences `leader` towards `follower` for so long, counted from a heartbeat that has just arrived. @returns (pre-)votes asked for */
function silence(cluster: StoreCluster, leader: number, follower: number, ms: number): number {
  const isHeard = { yet: false }
  let asked = 0
  cluster.onSend = one => {
    const { type } = one.message
    if (type === MessageType.HeartbeatResponse && one.from.storeId === follower) isHeard.yet = true
    if ((type === MessageType.PreVote || type === MessageType.Vote) && one.from.storeId === follower) asked++
  }
  cluster.world.until(() => isHeard.yet, 2_000)
  cluster.cut.add(`${leader}>${follower}`)
  cluster.world.runFor(ms)
  cluster.cut.delete(`${leader}>${follower}`)
  cluster.onSend = undefined
  return asked
}

t.test('a leader that is heard ends the hurry after a restart or a broken link: it may be late later', t => {
  for (const seed of [1, 2, 3]) {
    const cluster = new StoreCluster(3, seed)
    cluster.bootstrap(3)
    const leader = cluster.elect()
    const follower = cluster.machines.find(machine => machine !== leader)!
    const { lateMs, term } = { lateMs: 1_000 + 300, term: cluster.term(leader) }
    t.equal(silence(cluster, leader.id, follower.id, lateMs), 0, 'never in a hurry')
    cluster.kill(follower)
    cluster.start(follower)
    cluster.world.runFor(5_000)
    t.equal(silence(cluster, leader.id, follower.id, lateMs), 0, 'after a restart')
    follower.store!.onLinkDown(leader.id)
    cluster.world.runFor(5_000)
    t.equal(silence(cluster, leader.id, follower.id, lateMs), 0, 'after a link that was there again at once')
    t.same([cluster.leader()?.id, cluster.term(leader)], [leader.id, term])
  }
  t.end()
})

t.test('who hears no leader after its link broke campaigns when the vote guard is over, not after the election timeout', t => {
  for (const seed of [1, 2, 3]) {
    const cluster = new StoreCluster(3, seed)
    cluster.bootstrap(3)
    const leader = cluster.elect()
    cluster.world.runFor(2_000)
    const killedAt = cluster.world.nowMs
    cluster.kill(leader)
    t.ok(cluster.world.until(() => cluster.leader() !== undefined && cluster.leader() !== leader, 1_400), `${cluster.world.nowMs - killedAt} ms`)
  }
  t.end()
})

t.test('a transfer whose outcome is open is not refused with an error that says it failed', t => {
  for (const seed of [1, 2, 3]) {
    const cluster = new StoreCluster(3, seed)
    cluster.bootstrap(3)
    cluster.mustPut('a', '1')
    const leader = cluster.elect()
    const target = cluster.machines.find(machine => machine !== leader)!
    const late: RaftEnvelope[] = []
    // What tells the target to campaign is under way for long.
    cluster.keeps = one => one.message.type === MessageType.TimeoutNow && late.push(one) > 0
    const answers: (string | undefined)[] = []
    const term = cluster.term(leader)
    leader.store!.transferLeader(cluster.context(cluster.region()), target.id, error => { answers.push(error?.kind) })
    t.ok(cluster.world.until(() => answers.length > 0, 4_000))
    t.same([answers[0], late.length > 0], ['ServerIsBusy', true])
    t.equal(cluster.term(leader), term + 1, 'it is certain: the leader has taken the next term for itself')
    t.ok(cluster.world.until(() => leader.store!.peers(regionId(1))[0]!.leaseValid || cluster.get(leader, 'a').done === undefined, 100))
    cluster.get(leader, 'a')
    t.ok(cluster.world.until(() => leader.store!.peers(regionId(1))[0]!.leaseValid, 1_000), 'and reads by lease again')
    cluster.keeps = undefined
    for (const one of late) target.store!.onRaft(one)
    cluster.world.runFor(1_000)
    t.same([cluster.leader()?.id, cluster.term(leader)], [leader.id, term + 1])
    cluster.keeps = one => one.message.type === MessageType.TimeoutNow
    const open: (string | undefined)[] = []
    leader.store!.transferLeader(cluster.context(cluster.region()), target.id, error => { open.push(error?.kind) })
    cluster.world.runFor(50)
    cluster.isolate(leader.id)
    t.ok(cluster.world.until(() => open.length > 0, 5_000))
    t.same(open, ['Undetermined'], 'cut off from its voters it cannot know')
  }
  t.end()
})

t.test('a leader that has handed over says so; who has no voter to hand over to says that', t => {
  const cluster = new StoreCluster(4)
  cluster.bootstrap(3)
  const leader = cluster.elect()
  const target = cluster.machines.find(machine => machine !== leader && machine.id !== 4)!
  const answers: unknown[] = []
  leader.store!.transferLeader(cluster.context(cluster.region()), storeId(4), error => { answers.push(error?.kind) })
  leader.store!.transferLeader(cluster.context(cluster.region()), target.id, error => { answers.push(error) })
  t.ok(cluster.world.until(() => answers.length === 2, 4_000))
  t.same(answers, ['InvalidArgument', undefined])
  t.equal(cluster.elect().id, target.id)
  t.end()
})
