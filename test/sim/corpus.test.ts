// Every seed that ever failed, for the bug it showed. A change of what seeds mean (rates, draws) makes them other stories;
// they stay, as seeds like any other.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Level } from '../../src/sim/outcome.js'
import { mustPass } from './runs.js'

const path = fileURLToPath(new URL('../../../test/sim/corpus.txt', import.meta.url))

t.test('seeds that once failed pass', async t => {
  const lines = readFileSync(path, 'utf8').split('\n').filter(line => line !== '' && !line.startsWith('#'))
  t.ok(lines.length > 0)
  for (const line of lines) {
    const match = /^(raft|cluster) +(\d+) +\S/.exec(line)
    if (match === null) t.fail(`not a line of the corpus: ${line}`)
    else await mustPass(t, match[1] as Level, Number(match[2]))
  }
})
