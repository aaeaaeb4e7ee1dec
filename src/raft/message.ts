import { emptyBytes, equalBytes, utf8 } from '../common/bytes.js'
import type { LogIndex, Term } from '../common/ids.js'
import type { Entry, EntryType, Message, NodeId, RaftSnapshot } from './types.js'
import { MessageType } from './types.js'

/** "Nobody": no leader, no vote, no transferee. */
export const noNode = 0 as NodeId
/** `to` of StorageAppend, `from` of its response: whoever writes this node's log. Never on the wire. */
export const localAppendThread = Number.MAX_SAFE_INTEGER as NodeId
/** `to` of StorageApply, `from` of its response: whoever applies this node's committed entries. */
export const localApplyThread = (Number.MAX_SAFE_INTEGER - 1) as NodeId

export const noEntries: readonly Entry[] = []
const noResponses: readonly Message[] = []

/** `context` of a Vote that answers TimeoutNow: it passes the vote guard (Ongaro §4.2.3, §3.10). */
export const campaignTransferContext: Uint8Array = utf8('CampaignTransfer')

export interface MessageFields {
  readonly type: MessageType
  readonly to?: number
  readonly from?: number
  readonly term?: number
  readonly logTerm?: number
  readonly index?: number
  readonly entries?: readonly Entry[]
  readonly commit?: number
  readonly vote?: number
  readonly reject?: boolean
  readonly rejectHint?: number
  readonly context?: Uint8Array
  readonly snapshot?: RaftSnapshot | undefined
  readonly responses?: readonly Message[]
}

/**
 * The only place a Message is built: every one has the same hidden class. Absent fields are zero or empty.
 */
export function stamped(fields: MessageFields, from: number, term: number): Message {
  return {
    type: fields.type,
    to: (fields.to ?? 0) as NodeId,
    from: from as NodeId,
    term: term as Term,
    logTerm: (fields.logTerm ?? 0) as Term,
    index: (fields.index ?? 0) as LogIndex,
    entries: fields.entries ?? noEntries,
    commit: (fields.commit ?? 0) as LogIndex,
    vote: (fields.vote ?? 0) as NodeId,
    reject: fields.reject ?? false,
    rejectHint: (fields.rejectHint ?? 0) as LogIndex,
    context: fields.context ?? emptyBytes,
    snapshot: fields.snapshot,
    responses: fields.responses ?? noResponses,
  }
}

export const message = (fields: MessageFields): Message => stamped(fields, fields.from ?? 0, fields.term ?? 0)

/** The only place raft builds an Entry. `data` is kept, not copied: it must not change afterwards. */
export function entry(at: { term: number; index: number }, type: EntryType, data: Uint8Array): Entry {
  return { term: at.term as Term, index: at.index as LogIndex, type, data }
}

/** Made by the node for itself, or by its storage: refused when it comes from another node. */
export function isLocalMessage(type: MessageType): boolean {
  switch (type) {
    case MessageType.Hup:
    case MessageType.Beat:
    case MessageType.Unreachable:
    case MessageType.SnapshotStatus:
    case MessageType.CheckQuorum:
    case MessageType.StorageAppend:
    case MessageType.StorageAppendResponse:
    case MessageType.StorageApply:
    case MessageType.StorageApplyResponse:
      return true
    default:
      return false
  }
}

/** Answers to something we asked; worthless from a node that is not in our configuration. */
export function isResponse(type: MessageType): boolean {
  switch (type) {
    case MessageType.AppendResponse:
    case MessageType.VoteResponse:
    case MessageType.HeartbeatResponse:
    case MessageType.Unreachable:
    case MessageType.ReadIndexResponse:
    case MessageType.PreVoteResponse:
    case MessageType.StorageAppendResponse:
    case MessageType.StorageApplyResponse:
      return true
    default:
      return false
  }
}

export function isLocalTarget(id: number): boolean {
  return id === localAppendThread || id === localApplyThread
}

/** Must wait for the log write that was asked for before it: it promises that something is durable. */
export function promisesDurability(type: MessageType): boolean {
  return type === MessageType.AppendResponse || type === MessageType.VoteResponse
    || type === MessageType.PreVoteResponse
}

export function isTransferCampaign(asked: Message): boolean {
  return asked.context.length !== 0 && equalBytes(asked.context, campaignTransferContext)
}

/** What an entry costs beside its data wherever entries are counted in bytes: index, term, type, lengths. */
const entryOverheadBytes = 24

export const entryBytes = (one: Entry): number => one.data.length + entryOverheadBytes

export function entriesBytes(entries: readonly Entry[]): number {
  let bytes = 0
  for (let i = 0; i < entries.length; i++) bytes += entries[i]!.data.length + entryOverheadBytes
  return bytes
}

/** Data only: empty entries (a new leader's, an automatic leave of a joint configuration) cost nothing. */
export function payloadBytes(entries: readonly Entry[]): number {
  let bytes = 0
  for (let i = 0; i < entries.length; i++) bytes += entries[i]!.data.length
  return bytes
}

/** How many of entries[from, to) fit into bytesMax; at least one when there is one. */
export function countWithin(entries: readonly Entry[], from: number, to: number, bytesMax: number): number {
  if (from >= to) return 0
  let bytes = entryBytes(entries[from]!)
  let count = 1
  for (let at = from + 1; at < to; at++) {
    bytes += entryBytes(entries[at]!)
    if (bytes > bytesMax) break
    count++
  }
  return count
}
