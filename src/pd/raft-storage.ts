import { assert } from '../common/assert.js'
import { logIndex, peerId, regionId, term } from '../common/ids.js'
import type { LogIndex, PeerId, Term } from '../common/ids.js'
import { LogStateKind } from '../engine/api.js'
import type { LogBatch, RaftLog } from '../engine/api.js'
import type { ConfState, Entry, HardState, NodeId, RaftSnapshot, RaftStorage } from '../raft/types.js'
import { ByteReader, ByteWriter } from './core/codec.js'

/** PD's own group, alone in its log. */
export const pdRegionId = regionId(1)

/** The state record: state of the machine after `index`. It is also what a raft snapshot carries. */
export interface StateRecord {
  readonly index: LogIndex
  readonly term: Term
  readonly confState: ConfState
  readonly data: Uint8Array
}

const recordVersion = 1

export function encodeStateRecord(record: StateRecord): Uint8Array {
  const { confState } = record
  const writer = new ByteWriter().u8(recordVersion).uint(record.index).uint(record.term).u8(confState.autoLeave ? 1 : 0)
  for (const ids of [confState.voters, confState.learners, confState.votersOutgoing, confState.learnersNext]) {
    writer.uint(ids.length)
    for (const id of ids) writer.uint(id)
  }
  return writer.bytes(record.data).finish()
}

/** @throws StorageError('corruption') */
export function decodeStateRecord(bytes: Uint8Array): StateRecord {
  const reader = new ByteReader(bytes, 'PD state record')
  reader.version(recordVersion)
  const index = logIndex(reader.uint())
  const recordTerm = term(reader.uint())
  const autoLeave = reader.u8() === 1
  const ids = (): PeerId[] => Array.from({ length: reader.uint() }, () => peerId(reader.uint()))
  const confState = { voters: ids(), learners: ids(), votersOutgoing: ids(), learnersNext: ids(), autoLeave }
  const data = reader.bytes()
  reader.end()
  return { index, term: recordTerm, confState, data }
}

const noHardState: HardState = { term: term(0), vote: peerId(0), commit: logIndex(0) }

/** RaftStorage over a RaftLog. The state machine is asked for a snapshot when one is needed: it is small. */
export class PdRaftStorage implements RaftStorage {
  readonly #log: RaftLog
  readonly #members: readonly NodeId[]
  readonly #takeSnapshot: () => StateRecord

  constructor(log: RaftLog, members: readonly NodeId[], takeSnapshot: () => StateRecord) {
    this.#log = log
    this.#members = members
    this.#takeSnapshot = takeSnapshot
  }

  /** undefined: nothing was saved yet, the log has everything. */
  loadRecord(): StateRecord | undefined {
    const bytes = this.#log.state(pdRegionId, LogStateKind.Region)
    return bytes === undefined || bytes.length === 0 ? undefined : decodeStateRecord(bytes)
  }

  initialState(): { hardState: HardState; confState: ConfState } {
    const record = this.loadRecord()
    const confState = record?.confState
      ?? { voters: this.#members, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }
    return { hardState: this.#log.region(pdRegionId)?.hardState ?? noHardState, confState }
  }

  get #truncated(): LogIndex { return this.#log.region(pdRegionId)?.truncatedIndex ?? logIndex(0) }

  firstIndex(): LogIndex { return logIndex(this.#truncated + 1) }
  lastIndex(): LogIndex { return this.#log.region(pdRegionId)?.lastIndex ?? logIndex(0) }

  term(index: LogIndex): Term | 'compacted' | 'unavailable' {
    if (index === 0) return term(0)
    if (index < this.#truncated) return 'compacted'
    if (index > this.lastIndex()) return 'unavailable'
    return this.#log.term(pdRegionId, index) ?? 'unavailable'
  }

  entries(low: LogIndex, high: LogIndex, bytesMax: number): readonly Entry[] | 'compacted' | 'unavailable' {
    if (low <= this.#truncated) return 'compacted'
    if (high > this.lastIndex() + 1) return 'unavailable'
    return this.#log.entries(pdRegionId, low, high, bytesMax)
  }

  snapshot(requestIndex: LogIndex): RaftSnapshot | 'temporarilyUnavailable' {
    const { index, term: at, confState, data } = this.#takeSnapshot()
    if (index < requestIndex || index === 0) return 'temporarilyUnavailable'
    return { meta: { index, term: at, confState }, data }
  }
}

/** Saves the state and cuts the log `keep` entries behind it; one batch, so that neither is ever without the other. */
export function writeStateAndCut(batch: LogBatch, record: StateRecord, storage: PdRaftStorage, keep: number): void {
  batch.state(pdRegionId, LogStateKind.Region, encodeStateRecord(record))
  const cut = logIndex(Math.max(0, record.index - keep))
  if (cut < storage.firstIndex()) return
  const cutTerm = storage.term(cut)
  assert(typeof cutTerm === 'number', 'the cut is not in the log')
  batch.compact(pdRegionId, cut, cutTerm)
}
