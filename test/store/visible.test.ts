import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { regionId } from '../../src/common/ids.js'
import type { ServerError } from '../../src/common/errors.js'
import type { Result } from '../../src/common/result.js'
import { BatchOp, Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { casOperandLength, decodeCasResult, writeCasOperand } from '../../src/rawkv/evaluator.js'
import { storedLength, writeStored } from '../../src/rawkv/codec.js'
import { ApplyOp } from '../../src/store/api.js'
import type { Machine } from './kit.js'
import { StoreCluster } from './kit.js'

// Two indexes of a replica: what was handed to the engine, and what the engine has. These engines stop applying when told.

function leaderOf(cluster: StoreCluster): Machine {
  cluster.bootstrap(3)
  cluster.mustPut('a', '1')
  return cluster.elect()
}

const applied = (machine: Machine): number => machine.store!.peers(regionId(1))[0]!.applied

const stored = (text: string): Uint8Array => {
  const bytes = new Uint8Array(storedLength(text.length, false))
  writeStored(bytes, 0, utf8(text))
  return bytes
}

function swap(key: string, expected: string, value: string): Uint8Array {
  const operand = { expected: utf8(expected), value: utf8(value), ttlSeconds: 0 }
  const bytes = new Uint8Array(casOperandLength(operand))
  writeCasOperand(bytes, 0, operand)
  return new BatchWriter().add(ApplyOp.CompareAndSwap, Cf.Default, utf8(key), bytes).finish()
}

const isSwapped = ({ result }: { result?: Result<unknown, ServerError> }): boolean =>
  result?.ok === true && decodeCasResult((result.value as Uint8Array[])[0]!).swapped

t.test('a write is answered, and read, when the engine has it, not when the engine was given it', t => {
  const cluster = new StoreCluster(3)
  const leader = leaderOf(cluster)
  const before = applied(leader)
  leader.isStalled = true
  const put = cluster.put(leader, 'a', '2')
  cluster.world.runFor(100)
  t.equal(cluster.get(leader, 'a').value, '1', 'lease reads go on, and see what was acknowledged')
  cluster.world.runFor(2_000)
  t.equal(put.result, undefined, 'no answer')
  t.equal(applied(leader), before, 'and it does not count as applied')
  const late = cluster.get(leader, 'a')
  cluster.world.runFor(500)
  t.notOk(late.done, 'a read behind a round waits for what was committed before it')
  t.equal(cluster.leader(), leader, 'nobody is elected because of an engine')
  cluster.release(leader)
  t.ok(cluster.world.until(() => put.result !== undefined, 100))
  t.ok(put.result!.ok)
  t.ok(cluster.world.until(() => late.done === true, 100))
  t.equal(late.value, '2')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a leader whose engine stands still serves no lease reads until an entry of its own is in it', t => {
  const cluster = new StoreCluster(3)
  const old = leaderOf(cluster)
  cluster.world.runFor(300)
  const heirs = cluster.machines.filter(machine => machine !== old)
  for (const heir of heirs) heir.isStalled = true
  const put = cluster.put(old, 'a', '2')
  t.ok(cluster.world.until(() => put.result !== undefined), 'acknowledged by the old leader')
  cluster.kill(old)
  t.ok(cluster.world.until(() => heirs.includes(cluster.leader()!), 5_000))
  const heir = cluster.leader()!
  const read = cluster.get(heir, 'a')
  cluster.world.runFor(1_000)
  t.notSame(read.value, '1', 'an acknowledged write is never unread')
  for (const one of heirs) cluster.release(one)
  t.ok(cluster.world.until(() => read.done === true, 5_000))
  t.equal(read.value, '2')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a conditional write sees everything before it, however late the engine is; other regions go on', t => {
  const cluster = new StoreCluster(3)
  const leader = leaderOf(cluster)
  cluster.mustSplit('m')
  const other = cluster.elect(cluster.at('a'))
  t.equal(other, leader, 'one store leads both')
  leader.isStalled = true
  const put = cluster.write(leader, 'x', new BatchWriter().put(Cf.Default, utf8('x'), stored('1')).finish(), cluster.region(cluster.at('x')))
  const first = cluster.write(leader, 'x', swap('x', '1', '2'), cluster.region(cluster.at('x')))
  const second = cluster.write(leader, 'x', swap('x', '1', '3'), cluster.region(cluster.at('x')))
  cluster.world.runFor(500)
  for (const one of [put, first, second]) t.equal(one.result, undefined)
  const elsewhere = cluster.put(leader, 'a', '5')
  cluster.release(leader)
  t.ok(cluster.world.until(() => second.result !== undefined && elsewhere.result !== undefined, 1_000))
  t.ok(isSwapped(first))
  t.notOk(isSwapped(second))
  cluster.world.runFor(500)
  for (const machine of cluster.machines) t.same(machine.engine!.get(Cf.Default, utf8('x')), stored('2'), 'on every replica')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('what a stalled engine was given bounds what raft hands out, and writes are refused with a reason', t => {
  const limit = 256 << 10
  const cluster = new StoreCluster(3, 1, { applyPendingBytesMax: limit })
  const leader = leaderOf(cluster)
  leader.isStalled = true
  const value = 'v'.repeat(20_000)
  const outcomes: { result?: Result<unknown, ServerError> }[] = []
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 5; i++) outcomes.push(cluster.put(leader, `k${round}-${i}`, value))
    cluster.world.runFor(60)
  }
  const refused = outcomes.filter(({ result }) => result?.ok === false && result.error.kind === 'ServerIsBusy')
  t.ok(refused.length > 100, `${refused.length} of ${outcomes.length} are refused`)
  t.match(refused[0]!.result, { error: { reason: /wait for the engine/ } })
  const pending = leader.store!.metrics()['store_apply_bytes_pending']!
  t.ok(pending > 0 && pending < 2 * limit, `${pending} bytes wait`)
  t.equal(cluster.leader(), leader, 'raft does not suffer')
  cluster.release(leader)
  cluster.world.runFor(1_000)
  t.equal(leader.store!.metrics()['store_write_bytes_pending'], 0)
  t.ok(outcomes.every(({ result }) => result !== undefined), 'everything was answered')
  cluster.mustPut('after', '1')
  t.same(cluster.fatal, [])
  t.end()
})

t.test('all writes of a store together have a budget of bytes', t => {
  const cluster = new StoreCluster(3, 1, { writesPendingBytesMax: 100_000 })
  const leader = leaderOf(cluster)
  const value = 'v'.repeat(30_000)
  const outcomes = ['a', 'b', 'c', 'd', 'e'].map(key => cluster.put(leader, key, value))
  cluster.world.runFor(1_000)
  t.same(outcomes.map(({ result }) => result!.ok), [true, true, true, false, false])
  t.match(outcomes[3]!.result, { error: { kind: 'ServerIsBusy', reason: /bytes of writes/ } })
  cluster.mustPut('after', 'v'.repeat(200_000))
  t.equal(leader.store!.metrics()['store_write_bytes_pending'], 0)
  t.end()
})

t.test('a snapshot is of what the engine has, even when that is more than it has told', t => {
  const cluster = new StoreCluster(3, 3, { logGcCountLimit: 3, idleFlushMs: 200 })
  const leader = leaderOf(cluster)
  const away = cluster.machines.find(machine => machine !== leader)!
  cluster.kill(away)
  for (let i = 0; i < 20; i++) cluster.mustPut(`k${i}`, `v${i}`)
  cluster.world.runFor(2_000)
  leader.isStalled = true
  for (let i = 0; i < 5; i++) cluster.put(leader, `k${i}`, 'new')
  cluster.world.runFor(50)
  // A flush applies what waits, and nobody has been told.
  leader.engine!.flush(() => {})
  cluster.start(away)
  cluster.world.runFor(2_000)
  cluster.release(leader)
  cluster.world.runFor(2_000)
  t.ok(cluster.snapshots > 0, 'a snapshot was sent')
  for (let i = 0; i < 20; i++) t.equal(cluster.row(away, `k${i}`), i < 5 ? 'new' : `v${i}`)
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a store that stops answers what is committed', t => {
  const cluster = new StoreCluster(1)
  cluster.bootstrap(1)
  cluster.mustPut('a', '1')
  const [machine] = cluster.machines
  machine!.isStalled = true
  const put = cluster.put(machine!, 'a', '2')
  cluster.world.runFor(100)
  const stop = { isDone: false }
  machine!.store!.stop(300, () => { stop.isDone = true })
  t.ok(cluster.world.until(() => stop.isDone, 1_000))
  t.ok(put.result?.ok, 'it is in the log, for the next life')
  t.end()
})

t.test('a delete of a range and a condition under it make two entries, and no key under the range is listed', t => {
  const cluster = new StoreCluster(3)
  const leader = leaderOf(cluster)
  const many = new BatchWriter()
  for (let i = 0; i < 3_000; i++) many.put(Cf.Default, utf8(`r${i}`), stored(`${i}`))
  const filled = cluster.write(leader, 'r', many.finish(), cluster.region())
  t.ok(cluster.world.until(() => filled.result !== undefined))
  const scans = { count: 0 }
  for (const { engine } of cluster.machines) {
    const scan = engine!.scan.bind(engine)
    engine!.scan = options => {
      scans.count++
      return scan(options)
    }
  }
  const range = new BatchWriter().add(BatchOp.DeleteRange, Cf.Default, utf8('r'), utf8('s')).finish()
  const both = new BatchWriter().append(range, 1).append(swap('r7', '7', 'x'), 1).finish()
  const apart = [cluster.write(leader, 'a', swap('r1', '1', 'x'), cluster.region()), cluster.write(leader, 'r', range, cluster.region()),
    cluster.write(leader, 'a', swap('r1', 'x', 'y'), cluster.region())]
  const together = cluster.write(leader, 'r', both, cluster.region())
  t.ok(cluster.world.until(() => together.result !== undefined))
  t.ok(isSwapped(apart[0]!), 'before the range went')
  t.notOk(isSwapped(apart[2]!), 'behind it')
  t.notOk(isSwapped(together), 'the same inside one request')
  cluster.world.runFor(500)
  t.equal(scans.count, 0)
  for (const machine of cluster.machines) t.equal(cluster.row(machine, 'r7'), undefined)
  t.same(cluster.fatal, [])
  t.end()
})
