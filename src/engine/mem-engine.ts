import { copyBytes, emptyBytes } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { err, ok } from '../common/result.js'
import { BatchOp, wholeValue } from './api.js'
import type {
  Cf, Engine, EngineDamage, EngineSnapshot, EngineStats, Hot, PendingRead, ReadDone, ScanOptions, ScanPage, ValuesPage,
} from './api.js'
import { isBatch, readBatch } from './batch-writer.js'
import { CowTree } from './cow-tree.js'
import type { TreeView } from './cow-tree.js'
import { MemReader, readOne } from './mem-reader.js'
import type { ReadPort } from './mem-reader.js'

export interface MemEngineOptions {
  /** Runs `run` in a later turn. Each call carries one completion; they come out in the order of submits, whatever
   *  order the runs have. */
  readonly defer: (run: () => void) => void
  /** The same for flushes, which may take longer; default `defer`. */
  readonly deferFlush?: (run: () => void) => void
  /** Larger batches, and all behind one, are applied only when their run comes, as on an apply thread. */
  readonly inlineBytesMax?: number
  /** Part of what is read is on "disk": then `try…` says cold. Default: never. */
  readonly isCold?: () => boolean
  /** Runs a read that left the loop; default `defer`. */
  readonly deferRead?: (run: () => void) => void
}

interface Submit {
  readonly ordinal: number
  readonly onDone: () => void
  /** undefined once applied */
  batch: Uint8Array | undefined
}

interface Flush {
  readonly covers: number
  readonly onDone: () => void
  views: readonly TreeView[] | undefined
  /** How many batches the views have seen. */
  at: number
}

const families = 4

/**
 * Engine in memory, for the simulator and in-memory clusters: deterministic, no time, no randomness. It also plays
 * the disk: `crash` goes back to what was flushed, which is an exact prefix of the write order.
 */
export class MemEngine implements Engine {
  readonly #trees = Array.from({ length: families }, () => new CowTree())
  #flushed: readonly TreeView[]
  /** Batches applied so far, and when the flushed views were taken. */
  #applied = 0
  #flushedAt = 0
  #options: MemEngineOptions
  #submits: Submit[] = []
  #flushes: Flush[] = []
  #submitted = 0
  /** Submits whose batch is still to be applied. */
  #unapplied = 0
  /** Runs of an earlier life do nothing. */
  #life = 0
  #closed = false
  /** Reads that have left the loop. */
  readonly #reads = new Set<ReadDone<never>>()
  readonly #readPort: ReadPort = {
    isCold: () => this.#options.isCold?.() ?? false,
    later: (read, done) => this.#readLater(read, done),
  }
  readonly #reader = new MemReader(this.#trees, this.#readPort, () => this.#freeze())

  constructor(options: MemEngineOptions) {
    this.#options = options
    this.#flushed = this.#freeze()
  }

  get(cf: Cf, key: Uint8Array): Uint8Array | undefined { return this.#now.get(cf, key) }
  getPersisted(cf: Cf, key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen()
    return readOne(this.#flushed[cf]!, key, wholeValue)
  }
  multiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): ValuesPage { return this.#now.multiGet(cf, keys, bytesMax) }
  scan(options: ScanOptions): ScanPage { return this.#now.scan(options) }
  tryGet(cf: Cf, key: Uint8Array, tailBytes?: number): Hot<Uint8Array | undefined> { return this.#now.tryGet(cf, key, tailBytes) }
  tryMultiGet(cf: Cf, keys: readonly Uint8Array[], bytesMax: number): Hot<ValuesPage> {
    return this.#now.tryMultiGet(cf, keys, bytesMax)
  }
  tryScan(options: ScanOptions): Hot<ScanPage> { return this.#now.tryScan(options) }
  getLater(cf: Cf, key: Uint8Array, tailBytes: number, done: ReadDone<Uint8Array | undefined>): PendingRead | undefined {
    return this.#now.getLater(cf, key, tailBytes, done)
  }
  multiGetLater(cf: Cf, keys: readonly Uint8Array[], bytesMax: number, done: ReadDone<ValuesPage>): PendingRead | undefined {
    return this.#now.multiGetLater(cf, keys, bytesMax, done)
  }
  scanLater(options: ScanOptions, done: ReadDone<ScanPage>): PendingRead | undefined { return this.#now.scanLater(options, done) }

  snapshot(): EngineSnapshot {
    this.#assertOpen()
    return new MemReader(this.#freeze(), this.#readPort)
  }

  write(batch: Uint8Array): void {
    this.#assertOpen()
    if (this.#unapplied > 0) throw new StorageError('invalid', 'write while submits are pending')
    this.#apply(batch)
  }

  tryWrite(batch: Uint8Array): boolean {
    this.#assertOpen()
    if (this.#unapplied > 0 || batch.length > this.#inlineBytesMax) return false
    this.#apply(batch)
    return true
  }

  get #inlineBytesMax(): number { return this.#options.inlineBytesMax ?? 64 << 10 }

  submit(batch: Uint8Array, onDone: () => void): void {
    this.#assertOpen()
    const inline = this.#unapplied === 0 && batch.length <= this.#inlineBytesMax
    if (inline) this.#apply(batch)
    else this.#unapplied++
    this.#submits.push({ ordinal: ++this.#submitted, onDone, batch: inline ? undefined : copyBytes(batch) })
    this.#later(this.#options.defer, () => {
      const submit = this.#submits[0]
      if (submit === undefined) return
      this.#applyThrough(submit.ordinal)
      this.#submits.shift()
      submit.onDone()
    })
  }

  flush(onDone: () => void): void {
    this.#assertOpen()
    const views = this.#unapplied > 0 ? undefined : this.#freeze()
    this.#flushes.push({ covers: this.#submitted, onDone, views, at: this.#applied })
    this.#later(this.#options.deferFlush ?? this.#options.defer, () => {
      const flush = this.#flushes.shift()
      if (flush === undefined) return
      this.#applyThrough(flush.covers)
      // A memtable that filled up meanwhile may be on disk already, with more in it.
      if (flush.views === undefined) this.persist()
      else if (flush.at > this.#flushedAt) this.#settle(flush.views, flush.at)
      flush.onDone()
    })
  }

  /** Everything so far survives a crash from now on, as when a memtable filled up and was flushed by itself. */
  persist(): void { this.#settle(this.#freeze(), this.#applied) }

  #settle(views: readonly TreeView[], at: number): void {
    this.#flushed = views
    this.#flushedAt = at
  }

  /** The power goes: back to what was flushed. Nothing submitted is ever completed. Usable at once, see `reopen`. */
  crash(): void {
    this.#life++
    this.#submits = []
    this.#flushes = []
    this.#unapplied = 0
    this.#reads.clear()
    this.#trees.forEach((tree, cf) => tree.restore(this.#flushed[cf]!))
    this.#applied = this.#flushedAt
    this.#closed = false
  }

  /** The next opener of the same disk, after crash or close. */
  reopen(options: MemEngineOptions): void {
    this.#options = options
    this.#closed = false
  }

  approximateBytes(cf: Cf, start: Uint8Array, end: Uint8Array): number {
    this.#assertOpen()
    const tree = this.#trees[cf]!
    return Math.max(0, tree.bytesBefore(end, true) - tree.bytesBefore(start, false))
  }

  middleKey(cf: Cf, start: Uint8Array, end: Uint8Array): Uint8Array | undefined {
    this.#assertOpen()
    const tree = this.#trees[cf]!
    const from = tree.bytesBefore(start, false)
    const bytes = tree.bytesBefore(end, true) - from
    const ends: Uint8Array[] = []
    tree.walk(start, end, false, key => ends.push(key) < 2)
    if (ends.length < 2 || bytes <= 0) return undefined
    tree.walk(start, end, true, key => ends.push(key) < 3)
    const half = tree.keyBehind(from + bytes / 2)!
    // At least the second row, at most the last.
    let middle: Uint8Array | undefined
    tree.walk(half, end, false, key => {
      middle = key
      return false
    })
    const chosen = middle ?? ends[2]!
    return copyBytes(tree.bytesBefore(chosen, false) > from ? chosen : ends[1]!)
  }

  stats(): EngineStats {
    let diskBytes = 0
    for (const view of this.#flushed) diskBytes += view.bytes
    let bytes = 0
    for (const tree of this.#trees) bytes += tree.bytes
    return { diskBytes, memtableBytes: Math.max(0, bytes - diskBytes),
      pendingCompactionBytes: 0, stalled: false,
      readsWaiting: this.#reads.size, rangeTombstones: 0, calls: undefined }
  }

  damages(): readonly EngineDamage[] { return [] }
  dropFiles(): void {}

  close(): Promise<void> {
    if (!this.#closed) {
      this.#applyThrough(this.#submitted)
      this.#flushed = this.#freeze()
      const submits = this.#submits
      const flushes = this.#flushes
      this.#submits = []
      this.#flushes = []
      this.#life++
      this.#closed = true
      for (const { onDone } of [...submits, ...flushes]) onDone()
      const reads = [...this.#reads]
      this.#reads.clear()
      for (const done of reads) done(err(new StorageError('closed', 'engine is closed')))
    }
    return Promise.resolve()
  }

  get #now(): MemReader {
    this.#assertOpen()
    return this.#reader
  }

  #readLater<T>(read: () => T, done: ReadDone<T>): PendingRead {
    this.#reads.add(done)
    this.#later(this.#options.deferRead ?? this.#options.defer, () => {
      if (this.#reads.delete(done)) done(ok(read()))
    })
    return { cancel: () => { this.#reads.delete(done) } }
  }

  #assertOpen(): void {
    if (this.#closed) throw new StorageError('closed', 'engine is closed')
  }

  #later(defer: (run: () => void) => void, run: () => void): void {
    const life = this.#life
    defer(() => { if (this.#life === life) run() })
  }

  #applyThrough(ordinal: number): void {
    for (const submit of this.#submits) {
      if (submit.ordinal > ordinal) return
      if (submit.batch === undefined) continue
      this.#apply(submit.batch)
      submit.batch = undefined
      this.#unapplied--
    }
  }

  #freeze(): readonly TreeView[] { return this.#trees.map(tree => tree.freeze()) }

  #apply(batch: Uint8Array): void {
    this.#applied++
    if (!isBatch(batch)) throw new StorageError('invalid', 'batch is malformed')
    for (const { op } of readBatch(batch)) {
      if (op < BatchOp.Put || op > BatchOp.DeleteRange) throw new StorageError('invalid', `batch: unknown op ${op}`)
    }
    for (const { op, cf, key, value } of readBatch(batch)) {
      const tree = this.#trees[cf]!
      if (op === BatchOp.Put) tree.set(copyBytes(key), value.length === 0 ? emptyBytes : copyBytes(value))
      else if (op === BatchOp.Delete) tree.delete(key)
      else tree.deleteRange(key, value)
    }
  }
}
