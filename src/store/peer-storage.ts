import { assert } from '../common/assert.js'
import { logIndex } from '../common/ids.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { RaftLog } from '../engine/api.js'
import type { ConfState, Entry, HardState, NodeId, RaftSnapshot, RaftStorage } from '../raft/types.js'

/** What raft reads of one region: the store's log, and snapshots made on demand. */
export class PeerStorage implements RaftStorage {
  constructor(
    readonly regionId: RegionId, readonly log: RaftLog, readonly start: { hardState: HardState; confState: ConfState },
    readonly makeSnapshot: (requestIndex: LogIndex, to: NodeId) => RaftSnapshot | 'temporarilyUnavailable',
  ) {}

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } { return this.start }
  firstIndex(): LogIndex { return logIndex((this.log.region(this.regionId)?.truncatedIndex ?? 0) + 1) }
  lastIndex(): LogIndex { return logIndex(this.log.region(this.regionId)?.lastIndex ?? 0) }

  term(index: LogIndex): Term | 'compacted' | 'unavailable' {
    const known = this.log.region(this.regionId)
    if (known === undefined) return index === 0 ? 0 as Term : 'unavailable'
    if (index < known.truncatedIndex) return 'compacted'
    if (index > known.lastIndex) return 'unavailable'
    return this.log.term(this.regionId, index) ?? 'unavailable'
  }

  entries(low: LogIndex, high: LogIndex, bytesMax: number): readonly Entry[] | 'compacted' | 'unavailable' {
    const known = this.log.region(this.regionId)
    assert(low < high, 'an empty range of entries')
    if (known === undefined || high > known.lastIndex + 1) return 'unavailable'
    if (low <= known.truncatedIndex) return 'compacted'
    return this.log.entries(this.regionId, low, high, bytesMax)
  }

  snapshot(requestIndex: LogIndex, to: NodeId): RaftSnapshot | 'temporarilyUnavailable' {
    return this.makeSnapshot(requestIndex, to)
  }
}
