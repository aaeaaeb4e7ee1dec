import t from 'tap'
import { HistoryError, operationsByKey, parseRegisterHistory } from '../../src/verify/linearizability/operations.js'
import type { Operation, RegisterLine, RegisterValue } from '../../src/verify/linearizability/operations.js'
import { checkRegister } from '../../src/verify/linearizability/register.js'
import { searchOrder } from '../../src/verify/linearizability/search.js'

/** `p1 w 1` begins a write of process 1, `p1 ok` ends it: a history as a story. */
function story(...steps: string[]): RegisterLine[] {
  const open = new Map<string, string>()
  return steps.map((step, at) => {
    const [process = '', word = '', ...rest] = step.split(' ')
    const value = (text: string | undefined): unknown => text === '-' || text === undefined ? null : Number(text)
    const time_ns = String(at * 10)
    if (word === 'ok' || word === 'fail' || word === 'info') {
      const f = open.get(process) ?? '?'
      const result = rest[0] === 'true' ? { succeed: true }
        : rest[0] === 'was' ? { succeed: false, previous: value(rest[1]) }
          : rest[0] === 'refused' ? false : f === 'read' ? value(rest[0]) : undefined
      return { process, type: word, f, key: 'k', time_ns, ...(result === undefined ? {} : { value: result }) } as RegisterLine
    }
    const f = { r: 'read', w: 'write', d: 'delete', cas: 'cas' }[word] ?? word
    open.set(process, f)
    const argument = f === 'write' ? { value: value(rest[0]) } : f === 'cas' ? { value: [value(rest[0]), value(rest[1])] } : {}
    return { process, type: 'invoke', f, key: 'k', time_ns, ...argument } as RegisterLine
  })
}

const verdict = (...steps: string[]): string => checkRegister(story(...steps)).verdict

t.test('what a register may show', async t => {
  t.equal(verdict('a w 1', 'a ok', 'b r', 'b ok 1'), 'linearizable')
  t.equal(verdict('a w 1', 'b r', 'b ok -', 'c r', 'c ok 1', 'a ok'), 'linearizable', 'a write takes effect somewhere inside')
  t.equal(verdict('a w 1', 'a info', 'b r', 'b ok -', 'b r', 'b ok 1', 'b r', 'b ok 1'), 'linearizable', 'unknown may happen late')
  t.equal(verdict('a w 1', 'a info', 'b r', 'b ok -'), 'linearizable', 'or never')
  t.equal(verdict('a w 1', 'a ok', 'b cas 1 2', 'b info', 'c w 3', 'c ok', 'd r', 'd ok 3'), 'linearizable')
  t.equal(verdict('a w 1', 'a ok', 'b cas 5 2', 'b ok was 1', 'c cas 1 3', 'c ok true', 'd r', 'd ok 3'), 'linearizable')
  t.equal(verdict('a cas - 1', 'a ok true', 'b d', 'b ok', 'c r', 'c ok -'), 'linearizable')
  t.equal(verdict('a w 1', 'b w 2', 'c r', 'c ok 2', 'a ok', 'b ok', 'd r', 'd ok 1'), 'linearizable')
  t.equal(verdict('a w 1', 'b r', 'b ok 1', 'b r', 'b ok 1'), 'linearizable', 'an operation without end')
  t.equal(verdict('a w 1', 'a fail', 'b r', 'b ok -'), 'linearizable')
})

t.test('anomalies that must be found', async t => {
  const wrong = (name: string, ...steps: string[]): void => { t.equal(verdict(...steps), 'violation', name) }
  wrong('stale read', 'a w 1', 'a ok', 'a w 2', 'a ok', 'b r', 'b ok 1')
  wrong('lost update', 'a w 1', 'a ok', 'b r', 'b ok -')
  wrong('phantom value', 'a w 1', 'a ok', 'b r', 'b ok 7')
  wrong('both swaps succeeded', 'a w 1', 'a ok', 'b cas 1 2', 'c cas 1 3', 'b ok true', 'c ok true')
  wrong('resurrected delete', 'a w 1', 'a ok', 'a d', 'a ok', 'b r', 'b ok 1')
  wrong('resurrected delete after absence was seen', 'a w 1', 'a ok', 'a d', 'b r', 'b ok -', 'b r', 'b ok 1', 'a ok')
  wrong('reads go backwards', 'a w 1', 'a ok', 'a w 2', 'b r', 'b ok 2', 'c r', 'c ok 1', 'a ok')
  wrong('a refused operation shows', 'a w 1', 'a fail', 'b r', 'b ok 1')
  wrong('an unknown write flickers', 'a w 1', 'a ok', 'b w 2', 'b info', 'c r', 'c ok 2', 'c r', 'c ok 1')
  wrong('an unknown write happens twice', 'a w 1', 'a info', 'b r', 'b ok 1', 'b w 2', 'b ok', 'c r', 'c ok 1')
  wrong('swap from a value that was not there', 'a w 1', 'a ok', 'b cas 2 3', 'b ok true')
  wrong('swap refused although it fits', 'a w 1', 'a ok', 'b cas 1 2', 'b ok refused')
  wrong('refused with the expected value', 'a w 1', 'a ok', 'b cas 1 2', 'b ok was 1')
  wrong('refused with a wrong previous value', 'a w 1', 'a ok', 'b cas 5 2', 'b ok was 4')
  wrong('a write from the future', 'b r', 'b ok 1', 'a w 1', 'a ok')
  wrong('put-if-absent over a value', 'a w 1', 'a ok', 'b cas - 2', 'b ok true')
})

t.test('batches are taken apart, synonyms and broken histories', async t => {
  const batch: RegisterLine[] = [
    { process: 1, type: 'invoke', f: 'batch_put', keys: ['x', 'y'], value: [1, 2], time_ns: 1 },
    { process: 1, type: 'ok', f: 'batch_put', time_ns: 2 },
    { process: 2, type: 'invoke', f: 'scan', keys: ['x', 'y', 'z'], time_ns: 3 },
    { process: 2, type: 'ok', f: 'scan', value: [1, 2, null], time_ns: 4 },
  ]
  t.equal(checkRegister(batch).verdict, 'linearizable')
  const missing = batch.map((line, at) => at === 3 ? { ...line, value: { x: 1 } } : line)
  const result = checkRegister(missing)
  t.equal(result.verdict, 'violation')
  t.match(result.findings[0]?.text, /key y: no order/)
  t.throws(() => operationsByKey(story('a ok'), 'byTime'), HistoryError)
  t.throws(() => operationsByKey(story('a r', 'a r'), 'byTime'), HistoryError)
  t.throws(() => operationsByKey(story('a jump'), 'byTime'), HistoryError)
  t.throws(() => parseRegisterHistory('nonsense\n{}\n'), HistoryError)
  const text = '# comment\n\n' + batch.map(line => JSON.stringify(line)).join('\n') + '\n{"process":3,"ty'
  t.equal(parseRegisterHistory(text).length, 4)
})

t.test('time stamps: exact beyond 2^53, equal ones are concurrent', async t => {
  const at = (lines: RegisterLine[], stamps: string[]): RegisterLine[] =>
    lines.map((line, index) => ({ ...line, time_ns: stamps[index] ?? '0' }))
  const steps = story('a w 1', 'a ok', 'b r', 'b ok -')
  t.equal(checkRegister(at(steps, ['9007199254740992', '9007199254740993', '9007199254740994', '9007199254740995'])).verdict, 'violation')
  t.equal(checkRegister(at(steps, ['1', '9007199254740992', '9007199254740993', '9007199254740995'])).verdict, 'violation')
  t.equal(checkRegister(at(steps, ['1', '2', '2', '3'])).verdict, 'linearizable')
  t.equal(checkRegister(at(steps, ['1', '2', '2', '3']), { order: 'byIndex' }).verdict, 'violation')
})

t.test('a history is read to the letter', async t => {
  const ok = (lines: readonly RegisterLine[], options = {}): string => checkRegister(lines, options).verdict
  const nemesis: RegisterLine = { process: 'nemesis', type: 'info', f: 'kill', value: ['store-1'] }
  const written = story('a w 1', 'a ok')
  t.equal(ok([nemesis, ...written, nemesis, ...story('b r', 'b ok 1').map((line, at) => ({ ...line, time_ns: 50 + at })), nemesis]),
    'linearizable', 'faults are not operations and need no time')
  const open = (value: unknown): RegisterLine[] => [...written,
    { process: 'b', type: 'invoke', f: 'cas', key: 'k', value: [1, 2], time_ns: 20 },
    { process: 'b', type: 'info', f: 'cas', key: 'k', value, time_ns: 30 },
    { process: 'c', type: 'invoke', f: 'read', key: 'k', time_ns: 40 }, { process: 'c', type: 'ok', f: 'read', key: 'k', value: 2, time_ns: 50 }]
  t.equal(ok(open({ succeed: false, previous: 5 })), 'linearizable', 'what an open operation says of its result does not count')
  t.equal(ok(open(undefined).filter(line => line.type !== 'info')), 'linearizable', 'an operation that never ended is open')
  const swap = (value: unknown): RegisterLine[] => open(value).map(line => line.type === 'info' ? { ...line, type: 'ok' } : line)
  t.equal(ok(swap(undefined)), 'linearizable', 'a swap that is ok and says no more has swapped')
  t.equal(ok(swap({ succeed: false, previous: 1 })), 'violation')
  const typed = (value: unknown): RegisterLine[] => [...written,
    { process: 'c', type: 'invoke', f: 'read', key: 'k', time_ns: 40 }, { process: 'c', type: 'ok', f: 'read', key: 'k', value, time_ns: 50 }]
  t.equal(ok(typed('1')), 'violation', 'the text "1" is not the number 1')
  t.equal(ok(story('b r', 'b ok 5'), { initial: '5' }), 'linearizable')
  t.equal(ok(story('b r', 'b ok 5')), 'violation')
  const batch = (f: string, after: unknown): RegisterLine[] => [...written,
    { process: 'b', type: 'invoke', f, keys: ['k', 'l'], value: { k: 8, l: 9 }, time_ns: 20 }, { process: 'b', type: 'ok', f, time_ns: 30 },
    { process: 'c', type: 'invoke', f: 'get', key: 'k', time_ns: 40 }, { process: 'c', type: 'ok', f: 'get', key: 'k', value: after, time_ns: 50 }]
  t.equal(ok(batch('batch_delete', null)), 'linearizable')
  t.equal(ok(batch('batch_delete', 1)), 'violation')
  t.equal(ok(batch('batch_write', 8)), 'linearizable')
  t.equal(ok(batch('batch_write', 1)), 'violation')
})

t.test('what is no history says where', async t => {
  const wrong = (message: RegExp, ...lines: RegisterLine[]): void => {
    t.throws(() => operationsByKey(lines, 'byTime'), { name: 'HistoryError', message })
  }
  const begun = { process: 1, type: 'invoke', time_ns: 1 } as const
  const ended = { process: 1, type: 'ok', time_ns: 2 } as const
  wrong(/line 2: process 1 has an operation open/, { ...begun, f: 'r', key: 'k' }, { ...begun, f: 'r', key: 'k' })
  wrong(/line 1: completion without invoke of process 1/, { ...ended, f: 'r', key: 'k' })
  wrong(/unknown operation jump/, { ...begun, f: 'jump', key: 'k' }, { ...ended, f: 'jump' })
  wrong(/write without key/, { ...begun, f: 'write', value: 1 }, { ...ended, f: 'write' })
  wrong(/no batches of cas/, { ...begun, f: 'cas', keys: ['k'], value: [[1, 2]] }, { ...ended, f: 'cas' })
  wrong(/cas needs \[expected, new\]/, { ...begun, f: 'cas', key: 'k', value: 1 }, { ...ended, f: 'cas' })
  wrong(/cas needs \[expected, new\]/, { ...begun, f: 'cas', key: 'k', value: [1] }, { ...ended, f: 'cas' })
  wrong(/a line has no time_ns/, { process: 1, type: 'invoke', f: 'r', key: 'k' })
})

/** All orders, no shortcuts. */
function bruteForce(operations: readonly Operation[], state: RegisterValue): boolean {
  if (operations.every(one => one.end === Infinity)) return true
  const earliestEnd = Math.min(...operations.map(one => one.end))
  return operations.some(one => {
    if (one.begin > earliestEnd) return false
    if (one.expect !== undefined && one.expect !== state) return false
    if (one.not !== undefined && one.not === state) return false
    return bruteForce(operations.filter(other => other !== one), one.put === undefined ? state : one.put)
  })
}

function randomStream(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return bound => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor(state / 4294967296 * bound)
  }
}

t.test('agrees with brute force on small random histories', async t => {
  let accepted = 0
  const disagreements: string[] = []
  for (let seed = 0; seed < 20_000; seed++) {
    const below = randomStream(seed)
    const values: RegisterValue[] = [null, '1', '2', '3']
    const pick = (): RegisterValue => values[below(4)] ?? null
    const operations: Operation[] = Array.from({ length: 2 + below(5) }, (_, id) => {
      const begin = below(12)
      const kind = below(6)
      const unknown = kind !== 0 && kind !== 4 && kind !== 5 && below(5) === 0
      const expect = kind === 0 || kind === 3 || kind === 4 ? pick() : undefined
      return {
        id, process: String(id), text: '', begin, end: unknown ? Infinity : begin + 1 + below(6), expect,
        not: kind === 5 ? pick() : kind === 4 && below(2) === 0 ? pick() : undefined,
        put: kind === 1 || kind === 3 ? pick() : kind === 2 ? null : undefined,
      }
    })
    const expected = bruteForce(operations, null)
    if (expected) accepted++
    const actual = searchOrder(operations, null, { statesMax: 100_000 }).kind === 'linearizable'
    if (actual !== expected) disagreements.push(`seed ${seed}: ${JSON.stringify(operations)}`)
  }
  t.same(disagreements.slice(0, 3), [])
  t.ok(accepted > 2_000 && accepted < 18_000, `both verdicts are common: ${accepted} accepted`)
})

/** A correct register under concurrent clients: each operation takes effect at a random moment inside. */
function honestHistory(seed: number, count: number, clients: number, keys: number, unknownPart: number): RegisterLine[] {
  const below = randomStream(seed)
  const state = new Map<string, number | null>()
  const events: { at: number; run: () => void }[] = []
  const lines: { at: number; line: RegisterLine }[] = []
  const free = Array.from({ length: clients }, () => 0)
  let process = 0
  let value = 0
  for (let i = 0; i < count; i++) {
    const client = below(clients)
    const begin = (free[client] ?? 0) + 1 + below(20)
    const moment = begin + 1 + below(40)
    const end = moment + 1 + below(40)
    free[client] = end
    const key = `k${below(keys)}`
    const id = process++
    const f = ['read', 'write', 'cas', 'delete'][below(4)] ?? 'read'
    const fresh = ++value
    const guess = below(3)
    events.push({ at: moment, run: () => {
      const before = state.get(key) ?? null
      const expected = guess === 0 ? fresh - 2 : before
      const argument = f === 'write' ? { value: fresh } : f === 'cas' ? { value: [expected, fresh] } : {}
      lines.push({ at: begin, line: { process: id, type: 'invoke', f, key, ...argument } })
      const unknown = below(100) < unknownPart
      const happens = !unknown || below(2) === 0
      const swapped = f === 'cas' && expected === before
      if (happens && (f === 'write' || swapped)) state.set(key, fresh)
      if (happens && f === 'delete') state.set(key, null)
      const result = f === 'read' ? { value: before } : f === 'cas' ? { value: swapped ? true : { succeed: false, previous: before } } : {}
      lines.push({ at: end, line: unknown ? { process: id, type: 'info', f, key } : { process: id, type: 'ok', f, key, ...result } })
    } })
  }
  events.sort((a, b) => a.at - b.at).forEach(event => event.run())
  return lines.sort((a, b) => a.at - b.at).map(({ at, line }) => ({ ...line, time_ns: at }))
}

t.test('accepts what a correct store shows, with 5 % unknown outcomes, quickly', async t => {
  for (let seed = 1; seed <= 60; seed++) {
    const result = checkRegister(honestHistory(seed, 400, 10, 4, 5))
    if (result.verdict !== 'linearizable') t.fail(`seed ${seed}: ${result.findings[0]?.text}`)
  }
  t.equal(checkRegister(honestHistory(7, 10_000, 20, 50, 5)).verdict, 'linearizable')
  t.equal(checkRegister(honestHistory(8, 3_000, 16, 1, 10)).verdict, 'linearizable')
})

t.test('a wrong read anywhere in an honest history is found', async t => {
  let found = 0
  for (let seed = 1; seed <= 40; seed++) {
    const lines = honestHistory(seed, 300, 6, 3, 3)
    const reads = lines.flatMap((line, at) => line.type === 'ok' && line.f === 'read' && typeof line.value === 'number' ? [at] : [])
    const at = reads[seed % reads.length] ?? 0
    // A value of the same key from long ago, overwritten since.
    const older = lines.slice(0, Math.max(0, at - 120)).find(line => line.f === 'write' && line.type === 'invoke' && line.key === lines[at]?.key)
    const broken = lines.map((line, index) => index === at ? { ...line, value: older?.value ?? 123456 } : line)
    if (checkRegister(broken).verdict === 'violation') found++
  }
  t.ok(found >= 39, `${found} of 40`)
})

t.test('gives up at its limit and says so', async t => {
  const lines: RegisterLine[] = []
  for (let i = 0; i < 14; i++) lines.push({ process: i, type: 'invoke', f: 'write', key: 'k', value: i, time_ns: i })
  for (let i = 0; i < 14; i++) lines.push({ process: i, type: 'ok', f: 'write', key: 'k', time_ns: 100 + i })
  for (let i = 0; i < 14; i++) {
    lines.push({ process: 50 + i, type: 'invoke', f: 'read', key: 'k', time_ns: 20 + i })
    lines.push({ process: 50 + i, type: 'ok', f: 'read', key: 'k', value: i % 2 === 0 ? i : 99, time_ns: 90 + i })
  }
  const result = checkRegister(lines.sort((a, b) => Number(a.time_ns) - Number(b.time_ns)), { statesMax: 50 })
  t.equal(result.verdict, 'unknown')
  t.match(result.findings[0]?.text, /gave up/)
})
