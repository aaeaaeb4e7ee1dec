import type { MessageType, NodeId, Role } from './types.js'

/** What a shell may print or count. Emitted only when RaftConfig.trace is set; nothing is decided by it. */
export type RaftTrace =
  | { readonly kind: 'role'; readonly role: Role; readonly term: number; readonly lead: NodeId }
  | { readonly kind: 'campaign'; readonly campaign: CampaignKind; readonly term: number }
  | { readonly kind: 'campaignRefused'; readonly reason: CampaignRefusal }
  | { readonly kind: 'vote'; readonly pre: boolean; readonly to: NodeId; readonly term: number
      readonly granted: boolean }
  | { readonly kind: 'voteGuarded'; readonly from: NodeId; readonly term: number; readonly ticksLeft: number }
  | { readonly kind: 'ignored'; readonly type: MessageType; readonly from: NodeId; readonly term: number }
  | { readonly kind: 'rejected'; readonly from: NodeId; readonly index: number; readonly hint: number }
  | { readonly kind: 'configuration'; readonly configuration: string }
  | { readonly kind: 'confChangeRefused'; readonly reason: string }
  | { readonly kind: 'proposalDropped'; readonly reason: DropReason }
  | { readonly kind: 'quorumLost'; readonly term: number }
  | { readonly kind: 'snapshotSent' | 'snapshotRestored' | 'snapshotIgnored'; readonly peer: NodeId
      readonly index: number }

/** `preElection` asks without raising the term (Ongaro §9.6); `transfer` is the answer to TimeoutNow. */
export type CampaignKind = 'preElection' | 'election' | 'transfer'
export type CampaignRefusal = 'alreadyLeader' | 'notPromotable' | 'unappliedConfChange' | 'guarded'
export type DropReason =
  'noLeader' | 'notForwarding' | 'removed' | 'transferring' | 'uncommittedLimit' | 'readLimit'
