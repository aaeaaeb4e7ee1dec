import type { LogIndex, PeerId, Term } from '../common/ids.js'

/** Raft speaks of nodes; our node ids are peer ids. 0 is "none". */
export type NodeId = PeerId

export const EntryType = { Normal: 0, ConfChange: 1, ConfChangeV2: 2 } as const
export type EntryType = (typeof EntryType)[keyof typeof EntryType]

/** `data` is opaque to raft. For ConfChange and ConfChangeV2 it is encodeConfChange / encodeConfChangeV2. */
export interface Entry {
  readonly term: Term
  readonly index: LogIndex
  readonly type: EntryType
  readonly data: Uint8Array
}

/** Must be durable before any message that depends on it leaves. (Raft fig. 2, "persistent state") */
export interface HardState {
  readonly term: Term
  readonly vote: NodeId
  readonly commit: LogIndex
}

export interface ConfState {
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly votersOutgoing: readonly NodeId[]
  readonly learnersNext: readonly NodeId[]
  readonly autoLeave: boolean
}

export interface RaftSnapshotMeta {
  readonly index: LogIndex
  readonly term: Term
  readonly confState: ConfState
}

/** `data` is the store's: raft only carries it. In `store/` it names a stream, not the rows themselves. */
export interface RaftSnapshot {
  readonly meta: RaftSnapshotMeta
  readonly data: Uint8Array
}

/** Numbers are etcd's raftpb MessageType, so that the data-driven cases print alike. */
export const MessageType = {
  Hup: 0, Beat: 1, Propose: 2, Append: 3, AppendResponse: 4, Vote: 5, VoteResponse: 6, Snapshot: 7, Heartbeat: 8,
  HeartbeatResponse: 9, Unreachable: 10, SnapshotStatus: 11, CheckQuorum: 12, TransferLeader: 13, TimeoutNow: 14,
  ReadIndex: 15, ReadIndexResponse: 16, PreVote: 17, PreVoteResponse: 18,
  StorageAppend: 19, StorageAppendResponse: 20, StorageApply: 21, StorageApplyResponse: 22, ForgetLeader: 23,
} as const
export type MessageType = (typeof MessageType)[keyof typeof MessageType]

/** One flat shape for all types: V8 sees one hidden class. Build with `message()` in raft/message.ts. */
export interface Message {
  readonly type: MessageType
  readonly to: NodeId
  readonly from: NodeId
  readonly term: Term
  /** Append: term of the entry before `entries`. Vote: last log term. AppendResponse with reject: hint's term. */
  readonly logTerm: Term
  readonly index: LogIndex
  readonly entries: readonly Entry[]
  readonly commit: LogIndex
  readonly vote: NodeId
  readonly reject: boolean
  readonly rejectHint: LogIndex
  /** ReadIndex and Heartbeat context; campaign kind for votes. */
  readonly context: Uint8Array
  readonly snapshot: RaftSnapshot | undefined
  /** StorageAppend / StorageApply only: what to deliver when the work is durable / done. Never on the wire. */
  readonly responses: readonly Message[]
}

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

/** What raft reads of the log that is already stable. Synchronous: entries are in memory or in the page cache. */
export interface RaftStorage {
  initialState(): { readonly hardState: HardState; readonly confState: ConfState }
  /** Index of the first entry that is available; entries before it are in the snapshot. */
  firstIndex(): LogIndex
  lastIndex(): LogIndex
  /** Term of [firstIndex-1, lastIndex]; 'compacted' below, 'unavailable' above. */
  term(index: LogIndex): Term | 'compacted' | 'unavailable'
  /** [low, high), at least one entry, then as many as fit into bytesMax. */
  entries(low: LogIndex, high: LogIndex, bytesMax: number): readonly Entry[] | 'compacted' | 'unavailable'
  /** 'temporarilyUnavailable' when one is being prepared. `to`: the follower it is for. */
  snapshot(requestIndex: LogIndex, to: NodeId): RaftSnapshot | 'temporarilyUnavailable'
}
