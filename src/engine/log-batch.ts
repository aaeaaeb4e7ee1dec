import { assert } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Entry, HardState } from '../raft/types.js'
import type { LogBatch, LogStateKind } from './api.js'
import { encodedEntryBytes, recordBytes } from './log-records.js'

export type LogOp =
  | { readonly kind: 'entries'; readonly regionId: RegionId; readonly entries: readonly Entry[] }
  | { readonly kind: 'hardState'; readonly regionId: RegionId; readonly hardState: HardState }
  | { readonly kind: 'state'; readonly regionId: RegionId; readonly stateKind: LogStateKind
      readonly bytes: Uint8Array }
  | { readonly kind: 'compact'; readonly regionId: RegionId; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'reset'; readonly regionId: RegionId; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: 'remove'; readonly regionId: RegionId }

/** The builder of both logs: keeps the operations as they are; the native log packs them when they are appended. */
export class OpBatch implements LogBatch {
  readonly ops: LogOp[] = []
  #bytes = 0
  #used = false

  get isEmpty(): boolean { return this.ops.length === 0 }
  /** As they will be on disk. */
  get bytes(): number { return this.#bytes }

  /** The entries are kept: their data must never change. */
  entries(regionId: RegionId, entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const first = entries[0]!.index
    for (let i = 0; i < entries.length; i++) {
      assert(entries[i]!.index === first + i, 'entries of one call are consecutive')
      this.#bytes += encodedEntryBytes(entries[i]!)
    }
    this.ops.push({ kind: 'entries', regionId, entries })
  }

  hardState(regionId: RegionId, hardState: HardState): void {
    this.#add({ kind: 'hardState', regionId, hardState }, 8)
  }

  state(regionId: RegionId, stateKind: LogStateKind, bytes: Uint8Array): void {
    this.#add({ kind: 'state', regionId, stateKind, bytes: copyBytes(bytes) }, bytes.length)
  }

  compact(regionId: RegionId, index: LogIndex, term: Term): void {
    this.#add({ kind: 'compact', regionId, index, term }, 0)
  }

  reset(regionId: RegionId, index: LogIndex, term: Term): void {
    this.#add({ kind: 'reset', regionId, index, term }, 0)
  }

  remove(regionId: RegionId): void { this.#add({ kind: 'remove', regionId }, 0) }

  /** Handed to append: once. */
  take(): readonly LogOp[] {
    assert(!this.#used, 'a log batch is appended once')
    this.#used = true
    return this.ops
  }

  #add(op: LogOp, payloadBytes: number): void {
    assert(!this.#used, 'a log batch is not reused')
    this.ops.push(op)
    this.#bytes += recordBytes(payloadBytes)
  }
}
