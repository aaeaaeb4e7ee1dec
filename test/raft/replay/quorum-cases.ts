import { IdSet } from '../../../src/raft/quorum/id-set.js'
import { jointCommittedIndex, jointVoteResult } from '../../../src/raft/quorum/joint.js'
import { majorityCommittedIndex, majorityVoteResult } from '../../../src/raft/quorum/majority.js'
import type { DataCase } from './datadriven.js'

/**
 * `committed|vote cfg=(1,2) [cfgj=(2,3)|zero] idx=(5,_,7) | votes=(y,n,_)`; `_` is "nothing known", once for
 * each voter.
 */
export function runQuorumCase(one: DataCase): string {
  const values = (key: string): readonly string[] => one.args.find(arg => arg.key === key)?.values ?? []
  const joint = one.args.some(arg => arg.key === 'cfgj')
  const left = values('cfg').map(Number)
  const right = values('cfgj').filter(text => text !== 'zero').map(Number)
  const voters = [...new Set([...left, ...right])]
  const given = values(one.command === 'vote' ? 'votes' : 'idx')
  if (given.length !== voters.length) return 'error: mismatched input'
  const known = voters.flatMap((id, i) => given[i] === '_' ? [] : [[id, given[i]!] as const])
  const config = { incoming: IdSet.of(left), outgoing: IdSet.of(right) }
  const swapped = { incoming: config.outgoing, outgoing: config.incoming }

  if (one.command === 'vote') {
    const votes = new Map(known.map(([id, text]) => [id, text === 'y']))
    const result = joint ? jointVoteResult(config, votes) : majorityVoteResult(config.incoming, votes)
    return jointVoteResult(swapped, votes) === result ? result : `${result} but not when swapped`
  }
  const indexes = new Map(known.map(([id, text]) => [id, Number(text)]))
  const acked = { ackedIndex: (id: number) => indexes.get(id) }
  const result = joint ? jointCommittedIndex(config, acked) : majorityCommittedIndex(config.incoming, acked)
  const again = [jointCommittedIndex(swapped, acked)]
  if (!joint) again.push(jointCommittedIndex({ incoming: config.incoming, outgoing: config.incoming }, acked))
  const differs = again.some(other => other !== result) ? ' but not when swapped or joined with itself' : ''
  return `${picture(joint ? voters : left, indexes)}${result === Infinity ? '∞' : result}${differs}`
}

/** One bar per voter, as long as there are voters with a smaller index. */
function picture(voters: readonly number[], indexes: ReadonlyMap<number, number>): string {
  const ids = [...new Set(voters)].sort((a, b) => a - b)
  if (ids.length === 0) return '<empty majority quorum>'
  let text = `${' '.repeat(ids.length)}    idx\n`
  for (const id of ids) {
    const index = indexes.get(id)
    const shorter = ids.filter(other => (indexes.get(other) ?? 0) < (index ?? 0)).length
    const bar = index === undefined ? '?'.padEnd(ids.length + 1) : `${'x'.repeat(shorter)}>`.padEnd(ids.length + 1)
    text += `${bar} ${String(index ?? 0).padStart(5)}    (id=${id})\n`
  }
  return text
}
