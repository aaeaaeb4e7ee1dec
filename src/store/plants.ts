/**
 * Bugs on purpose, for the simulator only: they prove that its oracles can see. Production never sets one. The ones that
 * sit in raft/ (P1, P2, P3 … P9, P11, P48) are handed on to RawNode; these are consulted in store/, each at one line.
 */
export const storePlants = {
  P10: 'messages of and to removed peers are still processed',
  P11: 'a read is answered before an entry of the own term is applied',
  P12: 'the lease is measured from the receipt of the answers',
  P13: 'the lease is kept during a leader transfer',
  P15: 'the lease is measured on the wall clock',
  P16: 'the state of a raft snapshot is written before its rows, and nothing marks the interval',
  P17: 'a raft snapshot that overlaps another region is accepted',
  P19: 'the applied index is written in a batch of its own, after the data',
  P20: 'the epoch is not checked at apply',
  P49: 'what was handed to the engine counts as visible',
  P50: 'a conditional entry is evaluated before the engine has all earlier entries of its region',
} as const

export type Plants = ReadonlySet<string>
export const noPlants: Plants = new Set()
