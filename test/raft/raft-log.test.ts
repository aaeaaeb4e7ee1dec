// The log: storage and its unstable tail as one.
import t from 'tap'
import { RaftLog } from '../../src/raft/raft-log.js'
import { Unstable } from '../../src/raft/unstable.js'
import { MemoryStorage } from '../../src/raft/memory-storage.js'
import { entriesBytes, entryBytes } from '../../src/raft/message.js'
import { asNode } from '../../src/raft/numbers.js'
import { confState, entriesFrom, snapshotAt } from './node.js'
import type { Entry } from '../../src/raft/types.js'

const conf = confState([1, 2, 3])
const size = entryBytes(entriesFrom(1, 1)[0]!)

/** Entries `stable` in storage after an optional snapshot, `unstable` above. */
function logOf(stable: number[], unstable: number[] = [], snapshot?: [number, number], max = Infinity): RaftLog {
  const storage = new MemoryStorage()
  if (snapshot !== undefined) storage.applySnapshot(snapshotAt(snapshot[0], snapshot[1], conf))
  storage.append(entriesFrom(storage.firstIndex(), ...stable))
  const log = new RaftLog(storage, max)
  if (unstable.length > 0) log.append(entriesFrom(log.lastIndex() + 1, ...unstable))
  return log
}

const termsOf = (entries: readonly Entry[] | 'compacted'): unknown =>
  entries === 'compacted' ? entries : entries.map(one => `${one.index}/${one.term}`)

t.test('maybeAppend finds the first conflict and writes from there', async t => {
  const cases: [number, number[], number | undefined][] = [
    // first index, terms → first index written
    [1, [], undefined], [1, [1, 2, 3], undefined], [2, [2, 3], undefined], [3, [3], undefined],
    [1, [1, 2, 3, 4, 4], 4], [2, [2, 3, 4, 4], 4], [3, [3, 4, 4], 4], [4, [4, 4], 4],
    [1, [4, 4], 1], [2, [1, 4, 4], 2], [3, [1, 2, 4, 4], 3],
  ]
  for (const [first, terms, from] of cases) {
    const log = logOf([1, 2, 3])
    const previous = first - 1
    const last = log.maybeAppend(previous, log.termOrZero(previous), entriesFrom(first, ...terms), 0)
    t.equal(last, previous + terms.length)
    t.equal(log.unstable.nextEntries()[0]?.index, from, `${first}: ${terms}`)
  }
})

t.test('findConflictByTerm gives the highest place that may agree', async t => {
  const cases: [number[], [number, number] | undefined, number, number, number][] = [
    // terms of the log, snapshot, index, term → index
    [[2, 2, 5, 5, 5], undefined, 5, 5, 5], [[2, 2, 5, 5, 5], undefined, 5, 4, 2], [[2, 2, 5, 5, 5], undefined, 5, 2, 2],
    [[2, 2, 5, 5, 5], undefined, 5, 1, 0], [[2, 2, 5, 5, 5], undefined, 1, 2, 1], [[2, 2, 5, 5, 5], undefined, 0, 0, 0],
    [[2, 2, 5, 5, 5], [100, 1], 105, 5, 105], [[2, 2, 5, 5, 5], [100, 1], 105, 4, 102],
    [[2, 2, 5, 5, 5], [100, 1], 105, 1, 100], [[2, 2, 5, 5, 5], [100, 1], 105, 0, 99],
    [[2, 2], [100, 1], 110, 9, 110],
  ]
  for (const [terms, snapshot, index, term, found] of cases) {
    t.equal(logOf(terms, [], snapshot).findConflictByTerm(index, term), found, `${index}, term ${term}`)
  }
})

t.test('a log is up to date by its last term, then by its length', async t => {
  const log = logOf([1, 2, 3])
  for (const [index, term, fine] of [[2, 4, true], [3, 4, true], [4, 4, true], [2, 2, false], [4, 2, false],
    [2, 3, false], [3, 3, true], [4, 3, true]] as const) t.equal(log.isUpToDate(index, term), fine)
})

t.test('append adds, replaces from the middle, or replaces all that is unstable', async t => {
  const cases: [number, number[], number, string[], number][] = [
    // first, terms → last, log, offset
    [1, [], 2, ['1/1', '2/2'], 3], [3, [2], 3, ['1/1', '2/2', '3/2'], 3],
    [1, [2], 1, ['1/2'], 1], [2, [3, 3], 3, ['1/1', '2/3', '3/3'], 2],
  ]
  for (const [first, terms, last, all, offset] of cases) {
    const log = logOf([1, 2])
    t.equal(log.append(entriesFrom(first, ...terms)), last)
    t.same(termsOf(log.slice(1, last + 1, Infinity)), all)
    t.equal(log.unstable.offset, offset)
  }
})

t.test('maybeAppend: refused, shorter, conflicting; the commit index never passes what was confirmed', async t => {
  const cases: [[number, number], number[], number, number | undefined, number][] = [
    // predecessor (index, term), terms, commit → last confirmed, commit
    [[3, 2], [4], 3, undefined, 1], [[4, 3], [4], 3, undefined, 1],
    [[3, 3], [], 3, 3, 3], [[3, 3], [], 4, 3, 3], [[3, 3], [], 2, 3, 2], [[3, 3], [], 0, 3, 1], [[0, 0], [], 3, 0, 1],
    [[3, 3], [4], 3, 4, 3], [[3, 3], [4], 4, 4, 4], [[3, 3], [4], 5, 4, 4], [[3, 3], [4, 4], 3, 5, 3],
    [[2, 2], [4], 3, 3, 3], [[1, 1], [4], 3, 2, 2], [[1, 1], [4, 4], 3, 3, 3],
  ]
  for (const [[index, term], terms, commit, last, committed] of cases) {
    const log = logOf([1, 2, 3])
    log.commitTo(1)
    t.equal(log.maybeAppend(index, term, entriesFrom(index + 1, ...terms), commit), last)
    t.equal(log.committed, committed)
  }
  const log = logOf([1, 2, 3])
  log.commitTo(1)
  t.throws(() => log.maybeAppend(0, 0, entriesFrom(1, 4), 0), /conflicts with a committed/)
})

t.test('commitTo goes forward, and not beyond the log', async t => {
  const log = logOf([1, 2, 3])
  log.commitTo(2)
  log.commitTo(1)
  t.equal(log.committed, 2)
  log.commitTo(3)
  t.equal(log.committed, 3)
  t.throws(() => log.commitTo(4), /log lost/)
})

t.test('after compaction terms, entries and new appends stay right', async t => {
  const storage = new MemoryStorage()
  storage.append(entriesFrom(1, ...Array.from({ length: 750 }, (_, i) => i + 1)))
  const log = new RaftLog(storage, Infinity)
  log.append(entriesFrom(751, ...Array.from({ length: 250 }, (_, i) => i + 751)))
  t.ok(log.maybeCommit(1000, 1000))
  log.appliedTo(1000, 0)
  storage.compact(500 as never)
  t.equal(log.lastIndex(), 1000)
  for (let index = 500; index <= 1000; index++) if (!log.matchTerm(index, index)) t.fail(`term of ${index}`)
  t.equal(log.term(499), 'compacted')
  t.equal(log.term(1001), 'unavailable')
  t.equal(log.unstable.nextEntries()[0]!.index, 751)
  t.equal(log.append(entriesFrom(1001, 1000)), 1001)
  t.equal((log.entriesFrom(1001, Infinity) as Entry[]).length, 1)
})

t.test('handed out for applying: committed, new, durable if so asked, nothing beside a snapshot', async t => {
  const cases: [number, number, number, boolean, boolean, boolean, string[]][] = [
    // applied, applying, committed, unstable allowed, paused, snapshot pending → entries (4 is stable, 5 and
    // 6 are not)
    [3, 3, 5, true, false, false, ['4/1', '5/1']], [3, 4, 5, true, false, false, ['5/1']],
    [3, 5, 5, true, false, false, []], [4, 4, 5, true, false, false, ['5/1']], [5, 5, 5, true, false, false, []],
    [3, 3, 5, false, false, false, ['4/1']], [3, 4, 5, false, false, false, []],
    [3, 3, 5, true, true, false, []], [3, 3, 5, true, false, true, []],
  ]
  for (const [applied, applying, committed, unstable, paused, snapshot, expected] of cases) {
    const log = logOf([1], [1, 1], [3, 1], paused ? 1 : Infinity)
    log.commitTo(5)
    log.appliedTo(applied, 0)
    if (paused) log.acceptApplying(applied, 1, unstable)
    else log.acceptApplying(applying, 0, unstable)
    if (snapshot) log.unstable.snapshot = snapshotAt(4, 1, conf)
    // Being cut short pauses as well; that is another case.
    if (!paused) log.appliedTo(applied, 0)
    t.equal(log.hasNextCommitted(unstable), expected.length > 0)
    t.same(termsOf(log.nextCommitted(unstable)), expected)
    t.equal(log.committed, committed)
  }
})

t.test('applying pauses at the limit, or when the limit cut the batch short', async t => {
  const cases: [number, number, boolean, boolean][] = [
    // up to, bytes, unstable allowed → paused
    [3, 100, true, true], [3, 99, true, true], [5, 100, true, true], [5, 101, true, true], [5, 99, true, false],
    [4, 99, true, true], [4, 99, false, false], [4, 100, false, true], [3, 99, false, true],
  ]
  for (const [index, bytes, unstable, paused] of cases) {
    const log = logOf([1], [1, 1], [3, 1], 100)
    log.commitTo(5)
    log.acceptApplying(index, bytes, unstable)
    log.commitTo(6)
    t.equal(log.hasNextCommitted(true), !paused, `up to ${index}, ${bytes} bytes`)
  }
})

t.test('appliedTo gives room back; it stays within (applied, committed)', async t => {
  for (const [index, bytes, paused] of [[4, 4, true], [4, 5, true], [4, 6, false], [5, 10, false]] as const) {
    const log = logOf([1], [1, 1], [3, 1], 100)
    log.commitTo(5)
    log.acceptApplying(5, 105, true)
    log.appliedTo(index, bytes)
    t.same([log.applied, log.applying], [index, 5])
    log.commitTo(6)
    t.equal(log.hasNextCommitted(true), !paused)
  }
  const log = logOf([1], [1, 1], [3, 1])
  log.commitTo(5)
  t.throws(() => log.appliedTo(6, 0), /outside/)
  t.throws(() => log.appliedTo(2, 0), /outside/)
})

t.test('stableTo: only with the term that is there, and with a snapshot only above it', async t => {
  for (const [index, term, offset] of [[1, 1, 2], [2, 2, 3], [2, 1, 1], [3, 1, 1]] as const) {
    const log = logOf([], [1, 2])
    log.unstable.stableTo(index, term)
    t.equal(log.unstable.offset, offset)
  }
  const snapshotCases: [number, number, number[], number][] = [
    [6, 2, [], 6], [6, 2, [2], 7], [5, 2, [2], 6], [4, 2, [2], 6], [6, 3, [2], 6], [5, 3, [2], 6], [4, 3, [2], 6],
  ]
  for (const [index, term, terms, offset] of snapshotCases) {
    const log = logOf([], terms, [5, 2])
    log.unstable.stableTo(index, term)
    t.equal(log.unstable.offset, offset, `${index}/${term}`)
  }
})

t.test('compaction is told from a place beyond', async t => {
  const storage = new MemoryStorage()
  storage.append(entriesFrom(1, ...Array<number>(1000).fill(1)))
  for (const [index, left] of [[300, 700], [500, 500], [800, 200], [900, 100]] as const) {
    t.ok(storage.compact(index as never))
    t.equal(storage.lastIndex() - storage.firstIndex() + 1, left)
  }
  t.notOk(storage.compact(900 as never))
  t.throws(() => storage.compact(1001 as never), /beyond/)
  t.equal(storage.entries(900 as never, 901 as never, 1), 'compacted')
  t.equal(storage.entries(1000 as never, 1002 as never, 1), 'unavailable')
})

t.test('a log that begins with a snapshot is empty, committed and ends there', async t => {
  const log = logOf([], [], [1000, 1000])
  t.same([log.firstIndex(), log.lastIndex(), log.committed], [1001, 1000, 1000])
  t.same([log.lastTerm(), log.unstable.offset], [1000, 1001])
  t.same(log.entriesFrom(1001, Infinity), [])
})

t.test('slices outside of the log are compacted below and a bug above', async t => {
  const log = logOf([], Array<number>(100).fill(1), [100, 1])
  t.equal(log.slice(99, 101, Infinity), 'compacted')
  t.equal(log.slice(100, 101, Infinity), 'compacted')
  for (const [low, high] of [[101, 101], [101, 102], [150, 151], [200, 201], [201, 201]] as const) {
    t.equal(log.slice(low, high, Infinity).length, high - low)
  }
  for (const [low, high] of [[150, 202], [201, 202], [300, 300], [120, 110]] as const) {
    t.throws(() => log.slice(low, high, Infinity))
  }
})

t.test('terms are known from the one before the first entry to the last', async t => {
  const log = logOf([], [1, 2, 3, 4], [100, 7])
  t.same([98, 99, 100, 101, 103, 104, 105].map(index => log.term(index)),
    ['compacted', 'compacted', 7, 1, 3, 4, 'unavailable'])
  // An unstable snapshot hides what storage still has below it.
  const hidden = logOf([], [], [100, 1])
  hidden.restore(snapshotAt(105, 1, conf))
  t.same([100, 101, 104, 105, 106].map(index => hidden.term(index)),
    ['compacted', 'compacted', 'compacted', 1, 'unavailable'])
})

t.test('slices across storage and tail obey the byte limit as one', async t => {
  const log = logOf([1, 2], [3, 4, 5])
  const cases: [number, number, number, number][] = [
    // low, high, bytes → count
    [1, 6, Infinity, 5], [1, 6, 0, 1], [1, 6, size, 1], [1, 6, size * 2 - 1, 1], [1, 6, size * 2, 2],
    [1, 6, size * 3 - 1, 2], [1, 6, size * 3, 3], [2, 6, size * 2, 2],
    [3, 6, size * 2, 2], [3, 6, 0, 1], [2, 3, 0, 1], [1, 3, Infinity, 2],
  ]
  for (const [low, high, bytes, count] of cases) {
    const slice = log.slice(low, high, bytes) as Entry[]
    const expected = Array.from({ length: count }, (_, i) => low + i)
    t.same(slice.map(one => one.index), expected, `[${low}, ${high}) in ${bytes}`)
    t.ok(slice.length === 1 || entriesBytes(slice) <= bytes)
  }
})

t.test('the log\'s snapshot is the pending one, else storage\'s', async t => {
  const log = logOf([1], [], [10, 1])
  t.equal((log.snapshot(asNode(2)) as { meta: { index: number } }).meta.index, 10)
  log.restore(snapshotAt(20, 2, conf))
  t.equal((log.snapshot(asNode(2)) as { meta: { index: number } }).meta.index, 20)
  t.same([log.committed, log.firstIndex(), log.lastIndex()], [20, 21, 20])
})

function tail(offset: number, ...terms: number[]): Unstable {
  const unstable = new Unstable(offset)
  if (terms.length > 0) unstable.truncateAndAppend(entriesFrom(offset, ...terms))
  return unstable
}

t.test('unstable: first and last index, terms', async t => {
  t.same([tail(5, 1).firstIndex(), tail(5).firstIndex(), tail(5).lastIndex(), tail(5, 1, 1).lastIndex()],
    [undefined, undefined, undefined, 6])
  const unstable = tail(5, 1)
  unstable.snapshot = snapshotAt(4, 1, conf)
  t.same([unstable.firstIndex(), unstable.lastIndex()], [5, 5])
  t.same([3, 4, 5, 6].map(index => unstable.term(index)), [undefined, 1, 1, undefined])
  const onlySnapshot = tail(5)
  onlySnapshot.snapshot = snapshotAt(4, 1, conf)
  t.equal(onlySnapshot.lastIndex(), 4)
})

t.test('unstable: what is in progress is not handed out again', async t => {
  const unstable = tail(5, 1, 1)
  unstable.snapshot = snapshotAt(4, 1, conf)
  t.same([unstable.nextEntries().length, unstable.nextSnapshot()?.meta.index, unstable.hasNext], [2, 4, true])
  unstable.acceptInProgress()
  t.same([unstable.nextEntries().length, unstable.nextSnapshot(), unstable.hasNext], [0, undefined, false])
  unstable.truncateAndAppend(entriesFrom(7, 1))
  t.same(unstable.nextEntries().map(one => one.index), [7])
  t.equal(unstable.offsetInProgress, 7)
})

t.test('unstable: stableTo drops the front, if index and term are those of an entry', async t => {
  const cases: [number, number, number, number, number][] = [
    // index, term → offset, offset in progress, length
    [5, 1, 6, 7, 1], [6, 2, 7, 7, 0], [6, 1, 5, 7, 2], [4, 1, 5, 7, 2], [7, 1, 5, 7, 2],
  ]
  for (const [index, term, offset, inProgress, length] of cases) {
    const unstable = tail(5, 1, 2)
    unstable.acceptInProgress()
    unstable.stableTo(index, term)
    const found = [unstable.offset, unstable.offsetInProgress, unstable.length]
    t.same(found, [offset, inProgress, length], `${index}/${term}`)
  }
  const behind = tail(5, 1, 1, 1)
  behind.stableTo(6, 1)
  t.same([behind.offset, behind.offsetInProgress, behind.length], [7, 7, 1], 'never handed out, and yet stable')
})

t.test('unstable: appending, replacing, truncating in progress', async t => {
  const cases: [number, number[], number, number, number[]][] = [
    // first, terms → offset, offset in progress, terms (before: 5, 6, 7 with 5 and 6 in progress)
    [8, [2], 5, 7, [1, 1, 1, 2]], [5, [2, 2], 5, 5, [2, 2]], [4, [2], 4, 4, [2]],
    [6, [2], 5, 6, [1, 2]], [7, [2, 2], 5, 7, [1, 1, 2, 2]],
  ]
  for (const [first, terms, offset, inProgress, all] of cases) {
    const unstable = tail(5, 1, 1)
    unstable.acceptInProgress()
    unstable.truncateAndAppend(entriesFrom(7, 1))
    unstable.truncateAndAppend(entriesFrom(first, ...terms))
    t.same([unstable.offset, unstable.offsetInProgress], [offset, inProgress], `at ${first}`)
    t.same(unstable.slice(offset, offset + unstable.length, Infinity).map(one => one.term), all)
  }
  t.throws(() => tail(5, 1).truncateAndAppend(entriesFrom(9, 1)), /hole/)
})

t.test('unstable: ranges that were handed out do not change under the reader', async t => {
  const unstable = tail(5, 1, 1, 1)
  const handed = unstable.nextEntries()
  unstable.truncateAndAppend(entriesFrom(6, 2))
  t.same(handed.map(one => one.term), [1, 1, 1])
})

t.test('unstable: a snapshot takes the place of all, and goes when it is stable', async t => {
  const unstable = tail(5, 1)
  unstable.acceptInProgress()
  unstable.restore(snapshotAt(6, 2, conf))
  t.same([unstable.offset, unstable.offsetInProgress, unstable.length], [7, 7, 0])
  t.equal(unstable.nextSnapshot()?.meta.index, 6)
  unstable.stableSnapshotTo(5)
  t.ok(unstable.snapshot)
  unstable.stableSnapshotTo(6)
  t.equal(unstable.snapshot, undefined)
})
