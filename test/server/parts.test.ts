import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { Closers } from '../../src/server/closers.js'
import { createFailpoints, parseFailpoint } from '../../src/server/failpoints.js'
import { createLog, formatLine } from '../../src/server/logging.js'
import { loopbackPorts } from '../../src/server/loopback-ports.js'
import { RealEnv } from '../../src/server/real-env.js'
import { FileSpool, MemorySpool } from '../../src/server/spool.js'

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'karst-parts-'))
  t.teardown(() => { rmSync(path, { recursive: true, force: true }) })
  return path
}

const noNetwork = { listen: () => Promise.reject(new Error('none')), dial: () => { throw new Error('none') } }
const env = (): RealEnv => new RealEnv({ name: 'n', log: () => {}, network: () => noNetwork })

t.test('log lines: one event, one line, whatever its fields say', async t => {
  t.equal(formatLine('T', 'store-1', 'info', 'a.b', { n: 1, big: 2n ** 60n, text: 'two words', evil: 'a\nb="c"', none: undefined, yes: true }),
    'T INFO  store-1 a.b n=1 big=1152921504606846976 text="two words" evil="a\\nb=\\"c\\"" yes=true')
  const dir = folder(t)
  const text = createLog({ level: 'warn', format: 'text', file: join(dir, 'deep', 'text.log') })
  text('n', 'info', 'not.written')
  text('n', 'warn', 'written', { a: 1 })
  t.match(readFileSync(join(dir, 'deep', 'text.log'), 'utf8'), /^\S+Z WARN {2}n written a=1\n$/)
  const json = createLog({ level: 'info', format: 'json', file: join(dir, 'json.log') })
  json('n', 'debug', 'not.written')
  json('n', 'error', 'it.broke', { cluster: 2n ** 60n, reason: 'why' })
  t.match(JSON.parse(readFileSync(join(dir, 'json.log'), 'utf8')),
    { level: 'error', node: 'n', event: 'it.broke', cluster: '1152921504606846976', reason: 'why', time: /Z$/ })
  t.throws(() => createLog({ level: 'info', format: 'text', file: '/dev/null/x.log' }), { name: 'StartupError', code: 'config' })
})

t.test('timers are never early; deferred calls run after what has arrived; a dead env does nothing', async t => {
  const real = env()
  const startedAtMs = real.clock.monotonicMs()
  await new Promise<void>(resolve => { real.setTimer(20.5, resolve) })
  t.ok(real.clock.monotonicMs() - startedAtMs >= 20.5)
  const order: string[] = []
  real.defer(() => {
    order.push('deferred')
    real.defer(() => { order.push('by a deferred one') })
  })
  order.push('now')
  await new Promise(resolve => setTimeout(resolve, 20))
  t.strictSame(order, ['now', 'deferred', 'by a deferred one'])
  real.setTimer(5, () => { order.push('timer of the dead') })
  real.defer(() => { order.push('call of the dead') })
  real.setTimer(1, () => { order.push('cancelled') }).cancel()
  real.close()
  real.setTimer(1, () => { order.push('too late') })
  await new Promise(resolve => setTimeout(resolve, 30))
  t.equal(order.length, 3)
  const rolls = Array.from({ length: 1_000 }, () => real.random.below(6))
  t.strictSame([...new Set(rolls)].sort(), [0, 1, 2, 3, 4, 5])
  t.ok(rolls.every(Number.isInteger))
  t.equal(real.random.bytes(7).length, 7)
})

t.test('spools in files and in memory are alike', async t => {
  const dir = folder(t)
  const step = fc.oneof(fc.record({ append: fc.uint8Array({ maxLength: 90_000 }) }), fc.record({ offset: fc.nat(200_000), bytes: fc.nat(100_000) }))
  fc.assert(fc.property(fc.array(step, { maxLength: 12 }), steps => {
    const spools = [new FileSpool(dir), new MemorySpool()]
    const [file, memory] = spools.map(spool => spool.create('in-1')) as [ReturnType<FileSpool['create']>, ReturnType<FileSpool['create']>]
    for (const one of steps) {
      if ('append' in one) {
        file.append(one.append)
        memory.append(one.append)
      } else if (!Buffer.from(file.read(one.offset, one.bytes)).equals(memory.read(one.offset, one.bytes))) return false
    }
    const same = file.bytes === memory.bytes
    file.remove()
    file.remove()
    memory.remove()
    return same
  }), { numRuns: 60 })
  t.strictSame(readdirSync(join(dir, 'snapshots')), [], 'nothing is left, and nothing outside')
  new FileSpool(dir).create('left').append(new Uint8Array(3))
  new FileSpool(dir).sweep()
  t.strictSame(readdirSync(join(dir, 'snapshots')), [])
  for (const name of ['', '..', 'a/b', '1-2-3', 'x'.repeat(300)]) t.throws(() => new FileSpool(dir).create(name), /not a name of ours/)
})

t.test('fail-points', async t => {
  t.strictSame(parseFailpoint('a.b=3*sleep:10'), { name: 'a.b', nth: 3, action: { kind: 'sleep', ms: 10 } })
  t.equal(parseFailpoint('a.b=explode'), undefined)
  t.throws(() => createFailpoints(['nonsense']), /name=\[N\*\]kill/)
  t.equal(createFailpoints([]), undefined)
  const hit = createFailpoints(['x=2*throw'])
  hit?.('x')
  t.throws(() => { hit?.('x') }, { message: 'failpoint x' })
  hit?.('x')
  hit?.('y')
})

t.test('what was opened is closed in the opposite order, once, also behind a failure', async t => {
  const closers = new Closers()
  const order: number[] = []
  closers.add(() => { order.push(1) })
  closers.add(() => { throw new Error('two') })
  closers.add(async () => { order.push(3) })
  await t.rejects(closers.run(), { message: 'two' })
  await closers.run()
  t.strictSame(order, [3, 1])
})

t.test('ports: those that are wished for if they are free, and no two alike', async t => {
  const [wished = 0] = await loopbackPorts([0])
  t.strictSame(await loopbackPorts([wished]), [wished])
  const many = await loopbackPorts(Array.from({ length: 40 }, () => wished))
  t.equal(new Set(many).size, 40)
  t.equal(many.filter(port => port === wished).length, 1)
})
