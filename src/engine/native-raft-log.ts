import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Entry } from '../raft/types.js'
import type { LogBatch, LogSpace, LogStateKind, RaftLog, RegionLog } from './api.js'
import { OpBatch } from './log-batch.js'
import { RecordWriter, decodeDump, decodeEntries } from './log-records.js'
import { addon, storageError } from './native.js'
import { RegionIndex } from './region-index.js'
import type { IndexSizes } from './region-index.js'

export { LogCorruptionError } from './native.js'

export interface NativeRaftLogOptions {
  readonly dir: string
  /** Disk is taken in steps up to this, then recycled; default 64 MiB. */
  readonly segmentBytes?: number
  /** Newest entries kept in memory over all regions; default 32 MiB. */
  readonly cacheBytesMax?: number
  /** After this long without writes the durable end is noted in the log, which lets recovery tell damage of the last
   *  synced group from a torn tail; 0 = never. Default 50. */
  readonly idleMarkMs?: number
}

/**
 * Opens or creates; reads the whole log (about a second per GiB). A write or sync error later on ends the process with
 * exit code 70 and one line on stderr.
 * @throws LogCorruptionError  something before the durable end is damaged
 * @throws StorageError        io, also when another opener holds the folder
 */
export function openNativeRaftLog(options: NativeRaftLogOptions): NativeRaftLog {
  return new NativeRaftLog(options)
}

type NativeFigures = Omit<NativeLogStats, keyof IndexSizes | 'waiting'>
/** As logStats answers them. */
type Figures = [number, number, number, number, number, number, number, number, number, number, number, number, number]

/** In bytes, or a count. What grows while appends and compactions keep step is a leak. */
export interface NativeLogStats extends IndexSizes {
  readonly diskBytes: number
  readonly spareBytes: number
  readonly liveBytes: number
  readonly pinnedBytes: number
  readonly liveEntries: number
  readonly nativeRegions: number
  readonly segments: number
  /** Written in this life: moved out of old segments; groups, marks and moves included; zeros ahead of them; syncs. */
  readonly rewrittenBytes: number
  readonly groupBytes: number
  readonly zeroBytes: number
  readonly syncs: number
  readonly bufferBytes: number
  readonly files: number
  /** Appends that are not durable. */
  readonly waiting: number
}

/** RaftLog on the addon's segmented log. The index of regions and the newest entries are here, the rest is there. */
export class NativeRaftLog implements RaftLog {
  readonly #handle: number
  readonly #index: RegionIndex
  readonly #writer = new RecordWriter()
  /** Not durable yet, in order of append. */
  #waiting: { readonly sequence: number; readonly onDurable: () => void }[] = []
  #closing: Promise<void> | undefined
  #appendedBytes = 0
  #statsAtEnd: NativeLogStats | undefined

  constructor(options: NativeRaftLogOptions) {
    this.#index = new RegionIndex(options.cacheBytesMax ?? 32 << 20)
    try {
      this.#handle = addon.logOpen(options.dir, options.segmentBytes ?? 64 << 20, options.idleMarkMs ?? 50,
        sequence => this.#onDurable(sequence))
      this.#index.load(decodeDump(addon.logDump(this.#handle)))
    } catch (error) {
      throw storageError(error)
    }
  }

  get space(): LogSpace {
    const { diskBytes, liveBytes, pinnedBytes } = this.#statsAtEnd ?? this.#nativeStats()
    return { diskBytes, liveBytes, pinnedBytes, appendedBytes: this.#appendedBytes }
  }

  /** Everything that lives long, in numbers; after close as it was then. */
  stats(): NativeLogStats {
    return this.#statsAtEnd ?? { ...this.#nativeStats(), ...this.#index.sizes(), waiting: this.#waiting.length }
  }

  #nativeStats(): NativeFigures {
    const [diskBytes, spareBytes, liveBytes, pinnedBytes, liveEntries, nativeRegions, segments, rewrittenBytes, groupBytes,
      zeroBytes, syncs, bufferBytes, files] = addon.logStats(this.#handle) as Figures
    return {
      diskBytes, spareBytes, liveBytes, pinnedBytes, liveEntries, nativeRegions, segments, rewrittenBytes, groupBytes, zeroBytes,
      syncs, bufferBytes, files,
    }
  }

  batch(): LogBatch { return new OpBatch() }

  append(batch: LogBatch, sync: boolean, onDurable: () => void): void {
    this.#assertOpen()
    assert(batch instanceof OpBatch, 'a batch comes from this log')
    const ops = batch.take()
    this.#index.apply(ops)
    this.#writer.encode(ops, batch.bytes)
    try {
      const sequence = addon.logAppend(this.#handle, this.#writer.bytes, this.#writer.length, sync ? 1 : 0)
      this.#waiting.push({ sequence, onDurable })
      this.#appendedBytes += batch.bytes
    } catch (error) {
      throw storageError(error)
    }
  }

  regions(): readonly RegionLog[] { return this.#index.regions() }
  region(regionId: RegionId): RegionLog | undefined { return this.#index.region(regionId) }
  state(regionId: RegionId, kind: LogStateKind): Uint8Array | undefined { return this.#index.state(regionId, kind) }
  term(regionId: RegionId, index: LogIndex): Term | undefined { return this.#index.term(regionId, index) }

  entries(regionId: RegionId, low: LogIndex, high: LogIndex, bytesMax: number): Entry[] {
    this.#assertOpen()
    this.#index.assertHas(regionId, low, high)
    const firstCached = this.#index.firstCached(regionId)
    const entries: Entry[] = []
    let bytes = 0
    if (low < firstCached) {
      const end = Math.min(high, firstCached)
      for (const entry of this.#read(regionId, low, end, bytesMax)) {
        entries.push(entry)
        bytes += entry.data.length
      }
      if (low + entries.length < end) return entries
    }
    this.#index.takeCached(regionId, low + entries.length, high, bytesMax, entries, bytes)
    return entries
  }

  oldestRegions(limit: number): readonly RegionId[] {
    this.#assertOpen()
    return addon.logOldest(this.#handle, limit) as RegionId[]
  }

  /** Writes and syncs what is queued, marks the end. Blocks for that one sync. */
  close(): Promise<void> {
    this.#closing ??= new Promise(resolve => {
      this.#statsAtEnd = this.stats()
      addon.logClose(this.#handle)
      setImmediate(() => {
        this.#onDurable(Number.MAX_SAFE_INTEGER)
        resolve()
      })
    })
    return this.#closing
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new StorageError('closed', 'raft log is closed')
  }

  #read(regionId: RegionId, low: number, high: number, bytesMax: number): Entry[] {
    try {
      const limit = Math.min(bytesMax, Number.MAX_SAFE_INTEGER)
      return decodeEntries(addon.logRead(this.#handle, regionId, low, high, limit))
    } catch (error) {
      throw storageError(error)
    }
  }

  #onDurable(sequence: number): void {
    let done = 0
    while (done < this.#waiting.length && this.#waiting[done]!.sequence <= sequence) done++
    const finished = this.#waiting.splice(0, done)
    for (let i = 0; i < finished.length; i++) finished[i]!.onDurable()
  }
}
