// A bounded set of seeds; `karst sim --seeds 2000` and test/SOAK.md are for the rest.
import t from 'tap'
import { mustPass } from './runs.js'

const raftSeeds = 120
const clusterSeeds = 14

t.test(`${raftSeeds} seeds at raft level break no rule, and do something`, async t => {
  let operations = 0
  let faults = 0
  for (let seed = 1; seed <= raftSeeds; seed++) {
    const outcome = await mustPass(t, 'raft', seed)
    operations += outcome.operations.ok
    faults += Object.values(outcome.faults).reduce((sum, count) => sum + count, 0)
  }
  t.ok(operations > 100 * raftSeeds, `${operations} operations were carried out`)
  t.ok(faults > 5 * raftSeeds, `${faults} faults struck`)
})

t.test(`${clusterSeeds} seeds at cluster level break no rule, and do something`, async t => {
  let operations = 0
  let faults = 0
  for (let seed = 1; seed <= clusterSeeds; seed++) {
    const outcome = await mustPass(t, 'cluster', seed)
    operations += outcome.operations.ok
    faults += Object.values(outcome.faults).reduce((sum, count) => sum + count, 0)
  }
  t.ok(operations > 200 * clusterSeeds, `${operations} operations were carried out`)
  t.ok(faults > 5 * clusterSeeds, `${faults} faults struck`)
})
