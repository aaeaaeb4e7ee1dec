// What a leader notes of its followers.
import t from 'tap'
import { Inflights } from '../../src/raft/tracker/inflights.js'
import { Progress } from '../../src/raft/tracker/progress.js'
import { ProgressTracker, describeTrackerConfig } from '../../src/raft/tracker/tracker.js'
import { restoreMembership, sameConfState } from '../../src/raft/confchange/restore.js'
import { asNode } from '../../src/raft/numbers.js'
import { confState } from './node.js'
import { describeMember } from './replay/confchange-cases.js'
import type { ConfState } from '../../src/raft/types.js'

const limits = { maxInflightMessages: 10, maxInflightBytes: 0 }

function progress(match: number, next: number, state: Progress['state'] = 'probe', pendingSnapshot = 0): Progress {
  const one = new Progress(asNode(1), next, limits)
  Object.assign(one, { match, state, pendingSnapshot })
  return one
}

t.test('inflights: fill, wrap around, free from the front', async t => {
  const window = new Inflights(5, 0)
  for (let index = 1; index <= 5; index++) window.add(index, 10 * index)
  t.same([window.count, window.bytes, window.full], [5, 150, true])
  t.throws(() => window.add(6, 1), /no room/)
  window.freeUpTo(2)
  t.same([window.count, window.bytes, window.full], [3, 120, false])
  for (let index = 6; index <= 7; index++) window.add(index, 1)
  t.ok(window.full)
  window.freeUpTo(1)
  t.equal(window.count, 5, 'an old acknowledgement frees nothing')
  window.freeUpTo(6)
  t.same([window.count, window.bytes], [1, 1])
  window.freeUpTo(100)
  t.same([window.count, window.bytes], [0, 0])
})

t.test('inflights: the byte limit is soft', async t => {
  const window = new Inflights(100, 10)
  window.add(1, 9)
  t.notOk(window.full)
  window.add(2, 100)
  t.ok(window.full)
  window.freeUpTo(1)
  t.ok(window.full)
  window.freeUpTo(2)
  t.notOk(window.full)
  window.add(3, 10)
  t.ok(window.full)
  window.reset()
  t.same([window.count, window.bytes, window.full], [0, 0, false])
})

t.test('inflights: the ring behaves like a plain queue', async t => {
  const window = new Inflights(7, 0)
  const queue: number[] = []
  for (let step = 1; step < 500; step++) {
    if (!window.full) {
      window.add(step, step)
      queue.push(step)
    }
    if (step % 3 === 0) {
      const upTo = queue[(step * 7) % queue.length]!
      window.freeUpTo(upTo)
      while (queue.length > 0 && queue[0]! <= upTo) queue.shift()
    }
    t.same([window.count, window.bytes], [queue.length, queue.reduce((sum, each) => sum + each, 0)])
  }
})

t.test('progress prints what matters', async t => {
  const one = progress(3, 4, 'snapshot', 5)
  one.isLearner = true
  for (const index of [1, 2]) one.inflights.add(index, 1)
  t.equal(describeMember(one), '1: StateSnapshot match=3 next=4 learner paused pendingSnap=5 inactive inflight=2\n')
})

t.test('progress is paused in snapshot always, else when the flow is', async t => {
  for (const [state, flow, paused] of [['probe', false, false], ['probe', true, true], ['replicate', false, false],
    ['replicate', true, true], ['snapshot', false, true], ['snapshot', true, true]] as const) {
    const one = progress(0, 1, state)
    one.flowPaused = flow
    t.equal(one.paused, paused)
  }
})

t.test('an update or a decrease resumes the flow', async t => {
  const one = progress(0, 2)
  one.flowPaused = true
  one.maybeDecrease(1, 1)
  t.notOk(one.flowPaused)
  one.flowPaused = true
  one.maybeUpdate(2)
  t.notOk(one.flowPaused)
})

t.test('becoming probe: after match, or after the snapshot if that was on its way', async t => {
  for (const [state, pending, next] of [['replicate', 0, 2], ['snapshot', 10, 11], ['snapshot', 0, 2]] as const) {
    const one = progress(1, 5, state, pending)
    one.sentCommit = 40
    one.becomeProbe()
    t.same([one.state, one.match, one.next, one.sentCommit], ['probe', 1, next, next - 1])
  }
})

t.test('becoming replicate or snapshot', async t => {
  const one = progress(1, 5)
  one.becomeReplicate()
  t.same([one.state, one.match, one.next], ['replicate', 1, 2])
  one.becomeSnapshot(10)
  t.same([one.state, one.match, one.next, one.pendingSnapshot, one.sentCommit], ['snapshot', 1, 11, 10, 10])
})

t.test('an acknowledgement moves match, and next if that is behind', async t => {
  const cases = [[2, 3, 5, false], [3, 3, 5, false], [4, 4, 5, true], [5, 5, 6, true]] as const
  for (const [index, match, next, news] of cases) {
    const one = progress(3, 5)
    t.equal(one.maybeUpdate(index), news)
    t.same([one.match, one.next], [match, next])
  }
})

t.test('a refusal moves next back, unless it is stale', async t => {
  const cases: [Progress['state'], number, number, number, number, boolean, number][] = [
    // state, match, next, rejected, hint → genuine, next
    ['replicate', 5, 10, 5, 5, false, 10], ['replicate', 5, 10, 4, 4, false, 10], ['replicate', 5, 10, 9, 9, true, 6],
    ['probe', 0, 0, 0, 0, false, 0], ['probe', 0, 10, 5, 5, false, 10], ['probe', 0, 10, 9, 9, true, 9],
    ['probe', 0, 2, 1, 1, true, 1], ['probe', 0, 1, 0, 0, true, 1], ['probe', 0, 10, 9, 2, true, 3],
    ['probe', 0, 10, 9, 0, true, 1], ['probe', 4, 10, 9, 1, true, 5],
  ]
  for (const [state, match, next, rejected, hint, genuine, after] of cases) {
    const one = progress(match, next, state)
    t.equal(one.maybeDecrease(rejected, hint), genuine)
    t.same([one.match, one.next], [match, after])
  }
})

t.test('a refusal forgets the commit index that was sent beyond it', async t => {
  const probing = progress(0, 10)
  probing.sentCommit = 9
  probing.maybeDecrease(9, 2)
  t.equal(probing.sentCommit, 2)
  const streaming = progress(5, 10, 'replicate')
  streaming.sentCommit = 9
  streaming.maybeDecrease(9, 9)
  t.equal(streaming.sentCommit, 5)
  streaming.maybeDecrease(4, 4)
  t.equal(streaming.sentCommit, 5)
})

t.test('a commit index is worth sending once, as far as entries are under way', async t => {
  const one = progress(3, 6, 'replicate')
  t.ok(one.canBumpCommit(2))
  one.sentCommit = 4
  t.ok(one.canBumpCommit(5))
  t.notOk(one.canBumpCommit(4))
  one.sentCommit = 5
  t.notOk(one.canBumpCommit(9), 'all that is under way may already be committed there')
})

t.test('the quorum is active when enough voters were heard; learners do not matter', async t => {
  const tracker = new ProgressTracker(limits)
  const restored = restoreMembership(confState([1, 2, 3], [4]), 1, limits)
  if (!restored.ok) throw new Error(restored.error)
  tracker.use(restored.value.config, restored.value.members)
  for (const [active, expected] of [[[1], false], [[1, 4], false], [[1, 3], true], [[2, 3, 4], true]] as const) {
    for (const member of tracker.members) member.recentActive = active.some(id => id === member.id)
    t.equal(tracker.quorumActive(), expected, `${active}`)
  }
})

t.test('the first vote of a node counts', async t => {
  const tracker = new ProgressTracker(limits)
  const restored = restoreMembership(confState([1, 2, 3]), 1, limits)
  if (!restored.ok) throw new Error(restored.error)
  tracker.use(restored.value.config, restored.value.members)
  tracker.recordVote(1, true)
  tracker.recordVote(2, false)
  tracker.recordVote(2, true)
  t.equal(tracker.voteResult(), 'pending')
  tracker.recordVote(3, false)
  t.equal(tracker.voteResult(), 'lost')
  tracker.resetVotes()
  t.equal(tracker.voteResult(), 'pending')
})

t.test('restore: every kind of configuration comes back as it was', async t => {
  const ids = (...list: number[]): ConfState['voters'] => list.map(asNode)
  const states: [ConfState, string][] = [
    [confState([]), 'voters=()'],
    [confState([1, 2, 3]), 'voters=(1 2 3)'],
    [confState([1, 2, 3], [4, 5, 6]), 'voters=(1 2 3) learners=(4 5 6)'],
    [{ ...confState([1, 2, 3], [5]), votersOutgoing: ids(1, 2, 4, 6), learnersNext: ids(4) },
      'voters=(1 2 3)&&(1 2 4 6) learners=(5) learners_next=(4)'],
    [{ ...confState([2]), votersOutgoing: ids(1), autoLeave: true }, 'voters=(2)&&(1) autoleave'],
  ]
  for (const [state, text] of states) {
    const restored = restoreMembership(state, 10, limits)
    if (!restored.ok) throw new Error(restored.error)
    const tracker = new ProgressTracker(limits)
    tracker.use(restored.value.config, restored.value.members)
    t.ok(sameConfState(tracker.confState(), state))
    t.equal(describeTrackerConfig(tracker.config), text)
  }
})
