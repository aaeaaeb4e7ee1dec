import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Entry } from '../raft/types.js'
import type { LogBatch, LogSpace, LogStateKind, RaftLog, RegionLog } from './api.js'
import { OpBatch } from './log-batch.js'
import type { LogOp } from './log-batch.js'
import { MemLogSpace } from './mem-log-space.js'
import { RegionIndex } from './region-index.js'

export interface MemRaftLogOptions {
  /**
   * The simulated disk. Called for each synced append with the bytes to write; `run` says that this sync, and with it
   * everything appended before, is done. With an error the disk has failed: nothing becomes durable any more.
   */
  readonly schedule: (run: (error?: StorageError) => void, bytes: number) => void
  /** The sync failed. Production ends the process here; the simulator kills the node. Never called twice. */
  readonly onError?: (error: StorageError) => void
  /** Of the segments that its figures speak of; default as NativeRaftLog. A new opener keeps the old one's. */
  readonly segmentBytes?: number
}

interface Pending {
  readonly sequence: number
  readonly ops: readonly LogOp[]
  readonly bytes: number
  readonly onDurable: () => void
}

/**
 * RaftLog in memory with the disk's ways: batches become durable when the simulator says so, always in order, and a
 * crash keeps any prefix of those that were under way. No time, no promise but close().
 */
export class MemRaftLog implements RaftLog {
  #options: MemRaftLogOptions
  #visible = new RegionIndex(Infinity)
  #durable = new RegionIndex(Infinity)
  #visibleSpace: MemLogSpace
  #durableSpace: MemLogSpace
  #pending: Pending[] = []
  #sequence = 0
  #unsyncedBytes = 0
  #life = 0
  #failed = false
  #closed = false

  constructor(options: MemRaftLogOptions) {
    this.#options = options
    this.#visibleSpace = new MemLogSpace(options.segmentBytes ?? 64 << 20)
    this.#durableSpace = new MemLogSpace(options.segmentBytes ?? 64 << 20)
  }

  batch(): LogBatch { return new OpBatch() }

  append(batch: LogBatch, sync: boolean, onDurable: () => void): void {
    this.#assertOpen()
    assert(batch instanceof OpBatch, 'a batch comes from this log')
    const ops = batch.take()
    this.#visible.apply(ops)
    this.#visibleSpace.append(ops, batch.bytes)
    const sequence = ++this.#sequence
    this.#pending.push({ sequence, ops, bytes: batch.bytes, onDurable })
    this.#unsyncedBytes += batch.bytes
    if (!sync) return
    const life = this.#life
    const bytes = this.#unsyncedBytes
    this.#unsyncedBytes = 0
    this.#options.schedule(error => {
      if (this.#life !== life || this.#failed) return
      if (error === undefined) this.#settle(sequence)
      else this.#fail(error)
    }, bytes)
  }

  /** Batches that a crash may lose or keep. */
  get pendingCount(): number { return this.#pending.length }

  /** The power goes. The first `keep` of the batches that are not durable turn out to be on disk, the others are gone.
   *  No callback of this life runs any more. Usable at once, see `reopen`. */
  crash(keep = 0): void {
    this.#life++
    for (const pending of this.#pending.slice(0, keep)) this.#keep(pending)
    this.#visible = this.#durable.clone()
    this.#visibleSpace = this.#durableSpace.clone()
    this.#pending = []
    this.#unsyncedBytes = 0
    this.#failed = false
    this.#closed = false
  }

  /** The next opener of the same disk, after crash or close. */
  reopen(options: MemRaftLogOptions): void {
    this.#options = options
    this.#closed = false
  }

  regions(): readonly RegionLog[] { return this.#visible.regions() }
  region(regionId: RegionId): RegionLog | undefined { return this.#visible.region(regionId) }
  state(regionId: RegionId, kind: LogStateKind): Uint8Array | undefined { return this.#visible.state(regionId, kind) }
  term(regionId: RegionId, index: LogIndex): Term | undefined { return this.#visible.term(regionId, index) }

  entries(regionId: RegionId, low: LogIndex, high: LogIndex, bytesMax: number): Entry[] {
    this.#assertOpen()
    this.#visible.assertHas(regionId, low, high)
    const entries: Entry[] = []
    this.#visible.takeCached(regionId, low, high, bytesMax, entries, 0)
    return entries
  }

  oldestRegions(limit: number): readonly RegionId[] { return this.#visibleSpace.oldestRegions(limit) }
  get space(): LogSpace { return this.#visibleSpace.figures }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      if (!this.#failed) this.#settle(this.#sequence)
      this.#visibleSpace = this.#visibleSpace.clone()
      this.#life++
    }
    return Promise.resolve()
  }

  #assertOpen(): void {
    if (this.#closed) throw new StorageError('closed', 'raft log is closed')
    if (this.#failed) throw new StorageError('io', 'raft log has failed')
  }

  #settle(sequence: number): void {
    const life = this.#life
    while (this.#pending.length > 0 && this.#pending[0]!.sequence <= sequence && this.#life === life) {
      const pending = this.#pending.shift()!
      this.#keep(pending)
      pending.onDurable()
    }
  }

  #keep({ ops, bytes }: Pending): void {
    this.#durable.apply(ops)
    this.#durableSpace.append(ops, bytes)
  }

  #fail(error: StorageError): void {
    this.#failed = true
    this.#options.onError?.(error)
  }
}
