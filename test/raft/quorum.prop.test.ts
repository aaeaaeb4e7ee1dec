// Laws of quorums: the quick way equals the naive way.
import t from 'tap'
import fc from 'fast-check'
import { IdSet } from '../../src/raft/quorum/id-set.js'
import { jointCommittedIndex, jointVoteResult } from '../../src/raft/quorum/joint.js'
import { majorityCommittedIndex, majorityVoteResult } from '../../src/raft/quorum/majority.js'

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 9 })
const acked = fc.dictionary(fc.constantFrom(...'123456789'), fc.integer({ min: 1, max: 20 }))
const votes = fc.dictionary(fc.constantFrom(...'123456789'), fc.boolean())
const lookup = (given: Record<string, number>) => ({ ackedIndex: (id: number) => given[id] })
const voteMap = (given: Record<string, boolean>): Map<number, boolean> =>
  new Map(Object.entries(given).map(([id, granted]) => [Number(id), granted]))
const isQuorum = (count: number, of: number): boolean => count >= Math.floor(of / 2) + 1

/** Tries every index from the top: does a majority have it? */
function naiveCommitted(voters: readonly number[], given: Record<string, number>): number {
  if (voters.length === 0) return Infinity
  for (let index = 20; index > 0; index--) {
    if (isQuorum(voters.filter(id => (given[id] ?? 0) >= index).length, voters.length)) return index
  }
  return 0
}

t.test('the committed index of a majority is the highest that a majority has', async t => {
  fc.assert(fc.property(ids, acked, (voters, given) =>
    majorityCommittedIndex(IdSet.of(voters), lookup(given)) === naiveCommitted(voters, given)), { numRuns: 5_000 })
  t.pass()
})

t.test('the committed index of a joint quorum is the smaller one, whatever the order of the halves', async t => {
  fc.assert(fc.property(ids, ids, acked, (left, right, given) => {
    const naive = Math.min(naiveCommitted(left, given), naiveCommitted(right, given))
    const incoming = IdSet.of(left)
    const outgoing = IdSet.of(right)
    return jointCommittedIndex({ incoming, outgoing }, lookup(given)) === naive
      && jointCommittedIndex({ incoming: outgoing, outgoing: incoming }, lookup(given)) === naive
  }), { numRuns: 5_000 })
  t.pass()
})

t.test('a vote is won when yes is a quorum, lost when it cannot become one', async t => {
  const naive = (voters: readonly number[], given: Record<string, boolean>): string => {
    if (voters.length === 0) return 'won'
    const yes = voters.filter(id => given[id] === true).length
    const open = voters.filter(id => given[id] === undefined).length
    return isQuorum(yes, voters.length) ? 'won' : isQuorum(yes + open, voters.length) ? 'pending' : 'lost'
  }
  fc.assert(fc.property(ids, ids, votes, (left, right, given) => {
    const halves = [naive(left, given), naive(right, given)]
    const joint = halves.includes('lost') ? 'lost' : halves.includes('pending') ? 'pending' : 'won'
    return majorityVoteResult(IdSet.of(left), voteMap(given)) === halves[0]
      && jointVoteResult({ incoming: IdSet.of(left), outgoing: IdSet.of(right) }, voteMap(given)) === joint
  }), { numRuns: 5_000 })
  t.pass()
})

t.test('two quorums of one configuration always share a voter', async t => {
  fc.assert(fc.property(ids.filter(list => list.length > 0), votes, votes, (voters, first, second) => {
    const won = (given: Record<string, boolean>): boolean =>
      majorityVoteResult(IdSet.of(voters), voteMap(given)) === 'won'
    return !(won(first) && won(second)) || voters.some(id => first[id] === true && second[id] === true)
  }), { numRuns: 5_000 })
  t.pass()
})

t.test('an id set is a set', async t => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 9 })), fc.integer({ min: 1, max: 9 }), (list, id) => {
    const set = IdSet.of(list)
    const plain = [...new Set(list)].sort((a, b) => a - b)
    return JSON.stringify(set.ids) === JSON.stringify(plain) && set.has(id) === plain.includes(id)
      && set.with(id).has(id) && !set.without(id).has(id)
      && set.with(id).without(id).differenceSize(set) === (plain.includes(id) ? 1 : 0)
  }))
  t.pass()
})
