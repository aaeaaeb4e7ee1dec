import type { Level } from './outcome.js'

export interface Plant {
  readonly name: string
  /** The bug, in one line. */
  readonly bug: string
  /** Where it can be found. The first level is hunted first. */
  readonly levels: readonly Level[]
}

/** Bugs on purpose (facts of reliability, section e). Each lives behind a constructor option at the line it breaks. */
export const plants: readonly Plant[] = [
  { name: 'P1', bug: 'a vote leaves before HardState is durable', levels: ['raft', 'cluster'] },
  { name: 'P2', bug: 'an append is acknowledged before the log is synced', levels: ['raft', 'cluster'] },
  { name: 'P3', bug: 'a vote is granted to a candidate with an older log', levels: ['raft', 'cluster'] },
  { name: 'P4', bug: 'a leader commits an entry of an older term by counting replicas', levels: ['raft', 'cluster'] },
  { name: 'P5', bug: 'a follower truncates on any append, also on an old one', levels: ['raft', 'cluster'] },
  { name: 'P6', bug: 'the commit index of a heartbeat is not clamped to the match index', levels: ['raft', 'cluster'] },
  { name: 'P8', bug: 'a configuration change is accepted while one is pending', levels: ['raft'] },
  { name: 'P9', bug: 'a joint configuration counts only its new half', levels: ['raft'] },
  { name: 'P10', bug: 'messages of a removed peer reach its successor on the same store', levels: ['cluster'] },
  { name: 'P11', bug: 'a read index is answered before an entry of the own term is committed', levels: ['raft', 'cluster'] },
  { name: 'P12', bug: 'the lease counts from the receipt of heartbeat answers', levels: ['cluster'] },
  { name: 'P13', bug: 'the lease goes on during a leader transfer', levels: ['cluster'] },
  { name: 'P15', bug: 'the lease is measured on the wall clock', levels: ['cluster'] },
  { name: 'P16', bug: 'a raft snapshot is applied in two steps without a marker', levels: ['cluster'] },
  { name: 'P17', bug: 'a raft snapshot that overlaps another region is accepted', levels: ['cluster'] },
  { name: 'P19', bug: 'the applied index is written in a batch of its own', levels: ['cluster'] },
  { name: 'P20', bug: 'a split bumps the version, and entries are not checked against it at apply', levels: ['cluster'] },
  { name: 'P42', bug: 'timestamps begin anew when the wall clock steps back', levels: ['cluster'] },
  { name: 'P43', bug: 'a failed fsync is logged and tried again', levels: ['raft', 'cluster'] },
  { name: 'P47', bug: 'a node with a wiped disk votes as its old self', levels: ['raft', 'cluster'] },
  { name: 'P48', bug: 'a learner counts in the quorum', levels: ['raft'] },
  { name: 'P49', bug: 'what was handed to the engine counts as visible', levels: ['cluster'] },
  { name: 'P50', bug: 'a conditional entry does not wait until the engine has what came before it', levels: ['cluster'] },
  { name: 'forgetful', bug: 'the disk confirms a sync that it does later, or never', levels: ['raft', 'cluster'] },
]

export const plantNames: ReadonlySet<string> = new Set(plants.map(plant => plant.name))
