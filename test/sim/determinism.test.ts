import t from 'tap'
import type { Level } from '../../src/sim/outcome.js'
import { GlobalsGuard } from '../../src/sim/guard.js'
import { runTwice } from '../../src/sim/run.js'
import { run } from './runs.js'

for (const [level, seeds] of [['raft', [1, 2, 3, 4, 5, 6, 7, 8]], ['cluster', [1, 2, 3]]] as [Level, number[]][]) {
  t.test(`${level} level: the same seed is the same story to the last byte`, async t => {
    for (const seed of seeds) {
      const { outcome, otherHash } = await runTwice(level, { seed, plants: new Set(), untilMs: undefined, print: undefined })
      t.equal(otherHash, undefined, `seed ${seed}: ${outcome.events} events, hash ${outcome.hash}`)
    }
  })

  t.test(`${level} level: another seed is another story; reading along changes nothing`, async t => {
    const [one, other] = [await run(level, 1), await run(level, 2)]
    t.not(one.hash, other.hash)
    let lines = 0
    const { otherHash } = await runTwice(level, { seed: 1, plants: new Set(), untilMs: undefined, print: () => { lines++ } })
    t.equal(otherHash, undefined)
    t.ok(lines > 100, `${lines} lines`)
  })
}

t.test('the real world is shut out while simulated code runs, and back afterwards', async t => {
  const guard = new GlobalsGuard()
  guard.up()
  const caught: string[] = []
  for (const [name, reach] of [
    ['Math.random', () => Math.random()], ['Date.now', () => Date.now()], ['setTimeout', () => setTimeout(() => {}, 0)],
    ['performance.now', () => performance.now()], ['process.hrtime', () => process.hrtime()],
  ] as const) {
    try {
      reach()
    } catch {
      caught.push(name)
    }
  }
  guard.down()
  t.same(caught, ['Math.random', 'Date.now', 'setTimeout', 'performance.now', 'process.hrtime'])
  t.ok(Date.now() > 0)
})
