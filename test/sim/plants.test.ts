// Bugs on purpose are found, by the rule that forbids them. `npm run sim:plants` hunts all of them.
import t from 'tap'
import { plants } from '../../src/sim/plants.js'
import { findPlant, mustPass } from './runs.js'

const quick = [
  ['P1', 'persisted before promised'], ['P2', 'persisted before promised'],
  ['P4', 'a leader counts replicas only of entries of its own term'],
  ['P5', 'entries are dropped only where they conflict'], ['P8', 'one configuration change at a time'],
  ['P9', 'committed is what a majority has on disk'], ['P48', 'committed is what a majority has on disk'],
  ['forgetful', 'persisted before promised'],
] as const

for (const [name, rule] of quick) {
  const bug = plants.find(plant => plant.name === name)?.bug
  t.test(`${name}: ${bug ?? '?'}`, async t => {
    const found = await findPlant('raft', name, 60)
    t.equal(found?.failure?.rule, rule, `seed ${found?.seed ?? '-'}`)
    if (found !== undefined) await mustPass(t, 'raft', found.seed)
  })
}

for (const name of ['P10', 'P16', 'P42']) {
  const bug = plants.find(plant => plant.name === name)?.bug
  t.test(`cluster level, ${name}: ${bug ?? '?'}`, async t => {
    const found = await findPlant('cluster', name, 20)
    t.type(found?.failure?.rule, 'string', `seed ${found?.seed ?? '-'}`)
    if (found !== undefined) await mustPass(t, 'cluster', found.seed)
  })
}
