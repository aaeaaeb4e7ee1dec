// Messages from outside may be anything: no node ends by one, and none leaves a log behind from which it cannot start.
import t from 'tap'
import fc from 'fast-check'
import { emptyBytes } from '../../src/common/bytes.js'
import { entry, localAppendThread, message } from '../../src/raft/message.js'
import type { MessageFields } from '../../src/raft/message.js'
import { RawNode } from '../../src/raft/raw-node.js'
import { EntryType } from '../../src/raft/types.js'
import type { Entry, RaftSnapshot } from '../../src/raft/types.js'
import { TestNode, confState, snapshotAt, type } from './node.js'

const numbers = fc.oneof({ weight: 6, arbitrary: fc.nat(9) }, { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 40, 2 ** 52, 2 ** 53 - 2, 2 ** 53 - 1,
  2 ** 53, 2 ** 60, -1, 0.5, NaN, Infinity) })
const ids = fc.oneof({ weight: 8, arbitrary: fc.nat(5) }, { weight: 1, arbitrary: fc.constantFrom(localAppendThread, localAppendThread - 1, -1, 0.5) })
const entries = fc.oneof(fc.constant<Entry[]>([]), fc.array(fc.record({ index: numbers, term: numbers }), { maxLength: 3 })
  .map(all => all.map(one => entry(one, EntryType.Normal, emptyBytes))))
const places = fc.record({ index: numbers, term: numbers, voters: fc.array(ids, { maxLength: 4 }), learners: fc.array(ids, { maxLength: 2 }) })
const snapshots = fc.option(places.map(({ index, term, voters, learners }): RaftSnapshot =>
  ({ meta: { index: index as never, term: term as never, confState: confState(voters, learners) }, data: emptyBytes })), { nil: undefined })
const strange: fc.Arbitrary<MessageFields> = fc.record({
  type: fc.constantFrom(...Object.values(type)), from: ids, to: fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: ids }),
  term: numbers, logTerm: numbers, index: numbers, commit: numbers, vote: ids, reject: fc.boolean(), rejectHint: numbers,
  context: fc.oneof(fc.constant(emptyBytes), fc.uint8Array({ minLength: 8, maxLength: 8 })), entries, snapshot: snapshots,
})
/** Like what goes on in a group, so that the strange ones meet all states. */
const usual: fc.Arbitrary<MessageFields> = fc.record({
  type: fc.constantFrom(type.Append, type.Heartbeat, type.Vote, type.VoteResponse, type.PreVoteResponse, type.AppendResponse, type.HeartbeatResponse),
  from: fc.constantFrom(2, 3), to: fc.constant(1), term: fc.integer({ min: 1, max: 4 }), logTerm: fc.nat(3), index: fc.nat(6), commit: fc.nat(5),
  reject: fc.boolean(), entries: fc.constant<Entry[]>([]),
})
const steps = fc.array(fc.oneof(
  { weight: 3, arbitrary: strange.map(one => ({ kind: 'outside' as const, one })) },
  { weight: 2, arbitrary: usual.map(one => ({ kind: 'outside' as const, one })) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }).map(ticks => ({ kind: 'ticks' as const, ticks })) },
  { weight: 1, arbitrary: fc.constantFrom('campaign' as const, 'propose' as const, 'read' as const, 'restart' as const).map(kind => ({ kind })) },
), { maxLength: 40 })

t.test('no message from outside ends a node, or leaves what it cannot start from', async t => {
  const seen = { refused: 0, taken: 0 }
  fc.assert(fc.property(steps, fc.boolean(), (all, isVoter) => {
    const conf = isVoter ? { voters: [1, 2, 3] } : { voters: [2, 3], learners: [1] }
    const { storage, options } = new TestNode(1, { ...conf, log: [1, 1, 2], hard: { term: 2, commit: 2 }, preVote: true, checkQuorum: true,
      electionTicks: 15, leaseTicks: 7, guardVotesAtStart: true, stepDownOnRemoval: true, forwardProposals: false })
    let node = new RawNode(options)
    for (const step of all) {
      if (step.kind === 'outside') seen[node.receive(message(step.one)) === undefined ? 'taken' : 'refused']++
      else if (step.kind === 'ticks') for (let i = 0; i < step.ticks; i++) node.tick()
      else if (step.kind === 'campaign') node.campaign()
      else if (step.kind === 'propose') node.propose(new Uint8Array(3))
      else if (step.kind === 'read') node.readIndex(new Uint8Array(8))
      while (node.hasReady()) {
        const ready = node.ready()
        if (ready.snapshot !== undefined) storage.applySnapshot(ready.snapshot)
        storage.append(ready.entries)
        if (ready.hardState !== undefined) storage.setHardState(ready.hardState)
        node.advance()
      }
      if (step.kind === 'restart') node = new RawNode({ ...options, applied: node.applied })
    }
    node = new RawNode({ ...options, applied: node.applied })
    return Number.isSafeInteger(node.term + 1) && Number.isSafeInteger(node.lastIndex + 1) && node.committed <= node.lastIndex
  }), { numRuns: 4_000 })
  t.ok(seen.taken > 1_000 && seen.refused > 1_000, `${seen.taken} were taken, ${seen.refused} refused`)
})

t.test('what is refused, and why', async t => {
  const node = new RawNode(new TestNode(1, { log: [1, 1, 2], hard: { term: 2, commit: 2 }, forwardProposals: false }).options)
  const refused = (fields: MessageFields): string => node.receive(message({ from: 2, to: 1, term: 2, ...fields })) ?? 'taken'
  t.equal(refused({ type: type.Heartbeat, commit: 2 }), 'taken')
  t.match(refused({ type: type.StorageAppendResponse, from: localAppendThread, index: 9 }), /stays inside/)
  t.match(refused({ type: type.Hup }), /stays inside/)
  t.match(refused({ type: type.ForgetLeader }), /stays inside/)
  t.match(refused({ type: type.Propose, term: 0 }), /stays inside/)
  t.match(refused({ type: type.Vote, from: 1 }), /another node/)
  t.match(refused({ type: type.Vote, to: 3 }), /another node/)
  t.match(refused({ type: type.Vote, term: 2 ** 53 }), /no node counts to/)
  t.match(refused({ type: type.Vote, term: 2 ** 51 }), /out of reach/)
  t.match(refused({ type: type.Heartbeat, commit: 4 }), /not in our log/)
  t.match(refused({ type: type.Heartbeat, from: 3 }), /second leader/)
  t.match(refused({ type: type.TimeoutNow, from: 3 }), /does not lead/)
  t.match(refused({ type: type.Append, index: 3, logTerm: 2, entries: [entry({ term: 2, index: 5 }, EntryType.Normal, emptyBytes)] }), /hole/)
  t.match(refused({ type: type.Append, index: 3, logTerm: 2, entries: [entry({ term: 3, index: 4 }, EntryType.Normal, emptyBytes)] }), /out of order/)
  t.match(refused({ type: type.Snapshot, snapshot: snapshotAt(9, 3, confState([1, 2])) }), /impossible place/)
  t.match(refused({ type: type.Snapshot, snapshot: snapshotAt(9, 2, confState([1, 2], [2])) }), /members/)
  t.match(refused({ type: type.Snapshot, snapshot: snapshotAt(9, 2, confState([])) }), /members/)
  t.equal(refused({ type: type.Snapshot, snapshot: snapshotAt(9, 2, confState([1, 2, 3])) }), 'taken')
})
