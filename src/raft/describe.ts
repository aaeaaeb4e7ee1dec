import { fromUtf8 } from '../common/bytes.js'
import { decodeConfChange, describeChanges } from './confchange/conf-change.js'
import { localAppendThread, localApplyThread, noNode } from './message.js'
import type { Ready } from './raw-node.js'
import type { ProgressStatus } from './status.js'
import { EntryType } from './types.js'
import type { ConfState, Entry, HardState, Message, RaftSnapshot, Role } from './types.js'

/** By MessageType number: etcd's names, so that traces read like the literature and the data-driven cases. */
export const messageNames = [
  'MsgHup', 'MsgBeat', 'MsgProp', 'MsgApp', 'MsgAppResp', 'MsgVote', 'MsgVoteResp', 'MsgSnap',
  'MsgHeartbeat', 'MsgHeartbeatResp', 'MsgUnreachable', 'MsgSnapStatus', 'MsgCheckQuorum',
  'MsgTransferLeader', 'MsgTimeoutNow', 'MsgReadIndex', 'MsgReadIndexResp', 'MsgPreVote',
  'MsgPreVoteResp', 'MsgStorageAppend', 'MsgStorageAppendResp', 'MsgStorageApply',
  'MsgStorageApplyResp', 'MsgForgetLeader',
] as const

const roleNames: Readonly<Record<Role, string>> = {
  follower: 'StateFollower', preCandidate: 'StatePreCandidate', candidate: 'StateCandidate',
  leader: 'StateLeader',
}
export const describeRole = (role: Role): string => roleNames[role]

const entryNames = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'] as const

/** `1/11 EntryNormal "data"`: term, index, type, payload. */
export function describeEntry(one: Entry): string {
  const head = `${one.term}/${one.index} ${entryNames[one.type]}`
  if (one.type === EntryType.Normal) return `${head} ${JSON.stringify(fromUtf8(one.data))}`
  const change = decodeConfChange(one.type, one.data)
  const changes = change === undefined ? 'malformed' : describeChanges(change.changes)
  return changes === '' ? head : `${head} ${changes}`
}

export const describeEntries = (entries: readonly Entry[]): string =>
  entries.map(one => `${describeEntry(one)}\n`).join('')

export function describeHardState(state: HardState): string {
  return `Term:${state.term}${state.vote === noNode ? '' : ` Vote:${state.vote}`} Commit:${state.commit}`
}

export function describeConfState(state: ConfState): string {
  const list = (ids: readonly number[]): string => `[${ids.join(' ')}]`
  return `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)}`
    + ` Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)}`
    + ` AutoLeave:${state.autoLeave}`
}

export function describeSnapshot(snapshot: RaftSnapshot): string {
  const { index, term, confState } = snapshot.meta
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`
}

function describeNode(id: number): string {
  if (id === noNode) return 'None'
  if (id === localAppendThread) return 'AppendThread'
  return id === localApplyThread ? 'ApplyThread' : String(id)
}

/** `1->2 MsgApp Term:1 Log:1/10 Commit:10 Entries:[1/11 EntryNormal ""]`; Log is logTerm/index. */
export function describeMessage(one: Message, indent = ''): string {
  let text = `${indent}${describeNode(one.from)}->${describeNode(one.to)} ${messageNames[one.type]}`
    + ` Term:${one.term} Log:${one.logTerm}/${one.index}`
  if (one.reject) text += ` Rejected (Hint: ${one.rejectHint})`
  if (one.commit !== 0) text += ` Commit:${one.commit}`
  if (one.vote !== noNode) text += ` Vote:${one.vote}`
  if (one.entries.length === 1) text += ` Entries:[${describeEntry(one.entries[0]!)}]`
  else if (one.entries.length > 1) {
    text += ` Entries:[${one.entries.map(each => `\n${indent}  ${describeEntry(each)}`).join('')}\n${indent}]`
  }
  if (one.snapshot !== undefined) text += `\n${indent}  Snapshot: ${describeSnapshot(one.snapshot)}`
  if (one.responses.length > 0) {
    const responses = one.responses.map(each => `\n${describeMessage(each, `${indent}  `)}`)
    text += ` Responses:[${responses.join('')}\n${indent}]`
  }
  return text
}

export function describeReady(ready: Ready): string {
  const { softState, committedEntries, messages } = ready
  let text = ''
  if (softState !== undefined) text += `Lead:${softState.lead} State:${roleNames[softState.role]}\n`
  if (ready.hardState !== undefined) text += `HardState ${describeHardState(ready.hardState)}\n`
  for (const { index, context } of ready.readStates) {
    text += `ReadState ${index} ${JSON.stringify(fromUtf8(context))}\n`
  }
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries)}`
  if (ready.snapshot !== undefined) text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`
  if (committedEntries.length > 0) text += `CommittedEntries:\n${describeEntries(committedEntries)}`
  if (messages.length > 0) text += `Messages:\n${messages.map(one => `${describeMessage(one)}\n`).join('')}`
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`
}

const stateNames = { probe: 'StateProbe', replicate: 'StateReplicate', snapshot: 'StateSnapshot' } as const

/** `StateReplicate match=11 next=12 learner paused pendingSnap=4 inactive inflight=2[full]` */
export function describeProgress(one: Omit<ProgressStatus, 'id'>): string {
  let text = `${stateNames[one.state]} match=${one.match} next=${one.next}`
  if (one.isLearner) text += ' learner'
  if (one.paused) text += ' paused'
  if (one.pendingSnapshot > 0) text += ` pendingSnap=${one.pendingSnapshot}`
  if (!one.recentActive) text += ' inactive'
  if (one.inflights > 0) text += ` inflight=${one.inflights}${one.inflightsFull ? '[full]' : ''}`
  return text
}
