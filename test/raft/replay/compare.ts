/**
 * Level 1 (state) and level 2 (messages, in order). Free text of the log is no part of the contract: those
 * lines are dropped on both sides, and so is `ok`, which stands for "nothing was printed". Everything else
 * must be equal, line for line.
 */
const logLine = /^\s*(DEBUG|INFO|WARN|WARNING|ERROR|FATAL) /

export function significantLines(output: string): string[] {
  return output.split('\n').map(line => line.trimEnd())
    .filter(line => line !== '' && line !== 'ok' && !logLine.test(line))
    .map(line => line.replace(/\S.*$/, text => phrases.get(text) ?? text))
}

/** Errors that etcd words and we have kinds for. */
const phrases = new Map<string, string>([
  ['raft proposal dropped', 'proposal dropped'],
  ['raft: cannot step as peer not found', 'not found'],
  ['removed all voters', 'removedAllVoters'],
  ['more than one voter changed without entering joint config', 'manyVotersChanged'],
  ['config is already joint', 'alreadyJoint'],
  ["can't leave a non-joint config", 'notJoint'],
  ["can't apply simple config change in joint config", 'simpleWhileJoint'],
  ["can't make a zero-voter config joint", 'zeroVotersJoint'],
  ['VoteWon', 'won'],
  ['VoteLost', 'lost'],
  ['VotePending', 'pending'],
])

/** @returns undefined when they agree, else the first difference */
export function difference(expected: string, actual: string): string | undefined {
  const left = significantLines(expected)
  const right = significantLines(actual)
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] === right[i]) continue
    return `line ${i + 1}\n  expected ${left[i] ?? '(nothing)'}\n  actual   ${right[i] ?? '(nothing)'}`
  }
  return undefined
}
