import type { IdSet } from './id-set.js'

export type VoteResult = 'pending' | 'lost' | 'won'

/** What each voter has acknowledged; undefined when it never answered. */
export interface AckedIndexes {
  ackedIndex(id: number): number | undefined
}

/** true = granted, false = refused, absent = not yet heard. */
export type Votes = ReadonlyMap<number, boolean>

/**
 * The largest index that a majority has acknowledged. An empty set answers Infinity, so that a joint quorum
 * with one empty half behaves like the other half.
 */
export function majorityCommittedIndex(voters: IdSet, acked: AckedIndexes): number {
  const count = voters.ids.length
  if (count === 0) return Infinity
  if (count === 1) return acked.ackedIndex(voters.ids[0]!) ?? 0
  const indexes: number[] = []
  for (let i = 0; i < count; i++) {
    // Insertion sort, ascending: groups have three to seven voters.
    const index = acked.ackedIndex(voters.ids[i]!) ?? 0
    let at = i
    for (; at > 0 && indexes[at - 1]! > index; at--) indexes[at] = indexes[at - 1]!
    indexes[at] = index
  }
  return indexes[count - (Math.floor(count / 2) + 1)]!
}

/** An empty set has won, for the same reason. */
export function majorityVoteResult(voters: IdSet, votes: Votes): VoteResult {
  if (voters.size === 0) return 'won'
  let granted = 0
  let missing = 0
  for (const id of voters.ids) {
    const vote = votes.get(id)
    if (vote === undefined) missing++
    else if (vote) granted++
  }
  const quorum = Math.floor(voters.size / 2) + 1
  if (granted >= quorum) return 'won'
  return granted + missing >= quorum ? 'pending' : 'lost'
}
