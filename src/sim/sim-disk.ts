import { assert } from '../common/assert.js'
import { StorageError } from '../common/errors.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Engine, LogBatch, LogSpace, LogStateKind, RaftLog, RegionLog } from '../engine/api.js'
import { OpBatch } from '../engine/log-batch.js'
import type { LogOp } from '../engine/log-batch.js'
import { MemEngine } from '../engine/mem-engine.js'
import { MemRaftLog } from '../engine/mem-raft-log.js'
import { RegionIndex } from '../engine/region-index.js'
import type { Entry } from '../raft/types.js'
import type { SimRandom } from './random.js'
import type { SimEnv } from './sim-env.js'

/** How a disk behaves in a run; ms. */
export interface DiskQuality {
  readonly syncMeanMs: number
  readonly flushMeanMs: number
  /** Batches larger than this are applied on the engine's apply thread. */
  readonly inlineBytesMax: number
  /** Probability that a batch finds the engine stalled, and for how long: it and all behind it wait on the apply thread. */
  readonly stallChance: number
  readonly stallMeanMs: number
}

interface Pending {
  readonly sequence: number
  readonly ops: readonly LogOp[]
}

/** Of the reads of a service so many are in no cache, and take about as long as a flush. */
const coldReadChance = 0.2

export const calmDisk: DiskQuality = { syncMeanMs: 0.6, flushMeanMs: 4, inlineBytesMax: 16 << 10, stallChance: 0, stallMeanMs: 0 }

/** Told of everything a log is asked to keep, in order. `log` shows it already. */
export type LogObserver = (disk: SimDisk, ops: readonly LogOp[]) => void

/**
 * A machine's disk: raft log and engine that outlive the process. The log is an exact model: what a sync has confirmed
 * survives, of the rest a crash keeps a prefix of whole batches. A failed sync behaves like ext4 (pages are marked
 * clean): what was pending is gone, although reads of this life still show it.
 */
export class SimDisk {
  quality: DiskQuality = calmDisk
  /** Syncs end not before this true time: a stuck disk. */
  stuckUntil = 0
  /** The engine applies nothing before this true time. */
  stalledUntil = 0
  /** The next sync fails. */
  failNextSync = false
  /** Set when a sync has failed: the process must not go on. */
  syncFailedAt: number | undefined
  /** Plants: the sync answers before it did anything; a failed sync is tried again and believed. */
  syncLies = false
  retriesFailedSync = false
  observer: LogObserver | undefined
  /** The same, before the log shows it. */
  previewer: LogObserver | undefined

  readonly #random: SimRandom
  readonly #stalls: SimRandom
  #engine: MemEngine | undefined
  #memLog: MemRaftLog
  #durable = new RegionIndex(Infinity)
  #pending: Pending[] = []
  #sequence = 0
  #life = 0
  /** Everything that is durable, from the first day; kept only when a plant makes MemRaftLog believe otherwise. */
  #history: (readonly LogOp[])[] | undefined
  /** There is a hole in the log: recovery will end at it, whatever is written behind. */
  #hasHole = false
  #lastSyncAt = 0

  constructor(readonly name: string, random: SimRandom, keepHistory: boolean) {
    this.#random = random
    this.#stalls = random.fork('stalls')
    this.#memLog = new MemRaftLog({ schedule: () => {} })
    if (keepHistory) this.#history = []
  }

  /** What would be there after a power loss now, if nothing more reached the disk. */
  get durable(): RegionIndex { return this.#durable }
  get log(): MemRaftLog { return this.#memLog }
  get engine(): MemEngine {
    assert(this.#engine !== undefined, 'the disk was opened')
    return this.#engine
  }

  openLog(env: SimEnv, onError: (error: StorageError) => void): RaftLog {
    this.#memLog.reopen({ schedule: (run, bytes) => { this.#scheduleSync(env, run, bytes) }, onError })
    return new WatchedLog(this.#memLog, (batch, onDurable) => {
      this.previewer?.(this, (batch as OpBatch).ops)
      return this.#watch(batch, onDurable)
    }, ops => this.observer?.(this, ops))
  }

  /**
   * The engine as a store gets it: now and then a write fills a memtable, which is flushed behind that very write and not
   * behind the next one.
   */
  watchedEngine(persistChance: number): Engine {
    const { engine } = this
    if (persistChance === 0) return engine
    const random = this.#random
    return new Proxy(engine, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        const fills = (): void => { if (random.chance(persistChance)) target.persist() }
        switch (name) {
          case 'write': return (batch: Uint8Array): void => {
            target.write(batch)
            fills()
          }
          case 'tryWrite': return (batch: Uint8Array): boolean => {
            const isDone = target.tryWrite(batch)
            if (isDone) fills()
            return isDone
          }
          case 'submit': return (batch: Uint8Array, onDone: () => void): void => {
            target.submit(batch, () => {
              fills()
              onDone()
            })
          }
          default: return value.bind(target) as unknown
        }
      },
    })
  }

  openEngine(env: SimEnv): MemEngine {
    const stallMs = (): number => Math.max(0, this.stalledUntil - env.node.world.scheduler.now)
    const inlineBytesMax = (): number => this.#isStalled(env) ? -1 : this.quality.inlineBytesMax
    const options = {
      defer: (run: () => void) => { env.post(stallMs() + 0.02 + this.#random.float() * 0.2, run) },
      deferFlush: (run: () => void) => { env.post(this.#random.exponential(this.quality.flushMeanMs), run) },
      get inlineBytesMax() { return inlineBytesMax() },
      isCold: () => this.#random.chance(coldReadChance),
      deferRead: (run: () => void) => { env.post(0.05 + this.#random.exponential(this.quality.flushMeanMs), run) },
    }
    if (this.#engine === undefined) this.#engine = new MemEngine(options)
    else this.#engine.reopen(options)
    return this.#engine
  }

  /** Asked for each batch: some find that the engine has stalled. */
  #isStalled(env: SimEnv): boolean {
    const { now } = env.node.world.scheduler
    const { stallChance, stallMeanMs } = this.quality
    if (stallChance > 0 && now >= this.stalledUntil && this.#stalls.chance(stallChance)) {
      this.stalledUntil = now + this.#stalls.exponential(stallMeanMs)
    }
    return now < this.stalledUntil
  }

  #scheduleSync(env: SimEnv, run: (error?: StorageError) => void, bytes: number): void {
    const { now } = env.node.world.scheduler
    const took = 0.05 + this.#random.exponential(this.quality.syncMeanMs) + bytes / 200_000
    const at = Math.max(now + took, this.#lastSyncAt + 0.001, this.stuckUntil)
    this.#lastSyncAt = at
    if (!this.syncLies) {
      env.post(at - now, () => { this.#endSync(env, run) })
      return
    }
    const life = this.#life
    const sequence = this.#sequence
    env.post(0.05, () => { run() })
    env.node.world.scheduler.after(at - now + 20, () => { if (this.#life === life) this.#settleThrough(sequence) })
  }

  #endSync(env: SimEnv, run: (error?: StorageError) => void): void {
    if (!this.failNextSync) {
      run()
      return
    }
    this.failNextSync = false
    this.#hasHole = true
    if (this.retriesFailedSync) {
      // The second sync succeeds, and what the first one lost is gone.
      env.node.note('sync-failed', 'EIO, tried again: success')
      run()
      return
    }
    env.node.note('sync-failed', 'EIO')
    this.syncFailedAt = env.node.world.scheduler.now
    run(new StorageError('io', 'fsync failed: EIO (simulated)'))
  }

  #watch(batch: LogBatch, onDurable: () => void): () => void {
    assert(batch instanceof OpBatch, 'a batch of this log')
    const sequence = ++this.#sequence
    this.#pending.push({ sequence, ops: [...batch.ops] })
    return () => {
      if (!this.syncLies) this.#settleThrough(sequence)
      onDurable()
    }
  }

  #settleThrough(sequence: number): void {
    while (this.#pending.length > 0 && this.#pending[0]!.sequence <= sequence) {
      const { ops } = this.#pending.shift()!
      if (this.#hasHole) continue
      this.#durable.apply(ops)
      this.#history?.push(ops)
    }
  }

  /**
   * The process is gone. `power`: with the machine; then un-synced batches mostly are lost, otherwise they mostly were in
   * the page cache. The engine goes back to what it flushed.
   */
  crash(power: boolean): { readonly kept: number; readonly pending: number } {
    const pending = this.#pending.length
    const all = this.#random.chance(power ? 0.1 : 0.7)
    const kept = this.#hasHole ? 0 : all ? pending : this.#random.below(pending + 1)
    if (kept > 0) this.#settleThrough(this.#pending[kept - 1]!.sequence)
    this.#pending = []
    this.#life++
    this.#hasHole = false
    this.syncFailedAt = undefined
    this.failNextSync = false
    this.stalledUntil = 0
    this.#lastSyncAt = 0
    this.#memLog.crash(kept)
    if (this.#history !== undefined) this.#rebuild(this.#history)
    this.#engine?.crash()
    return { kept, pending }
  }

  #rebuild(history: readonly (readonly LogOp[])[]): void {
    const log = new MemRaftLog({ schedule: run => { run() } })
    for (const ops of history) {
      const batch = new OpBatch()
      batch.ops.push(...ops)
      log.append(batch, true, () => {})
    }
    this.#memLog = log
  }

  /** A new, empty disk in the same machine. */
  wipe(): void {
    this.crash(true)
    this.#memLog = new MemRaftLog({ schedule: () => {} })
    this.#durable = new RegionIndex(Infinity)
    if (this.#history !== undefined) this.#history = []
    this.#engine = undefined
  }
}

/** The log as the node sees it; every append is shown to the disk's observer after it became visible. */
class WatchedLog implements RaftLog {
  readonly #inner: MemRaftLog
  readonly #watch: (batch: LogBatch, onDurable: () => void) => () => void
  readonly #appended: (ops: readonly LogOp[]) => void

  constructor(inner: MemRaftLog, watch: (batch: LogBatch, onDurable: () => void) => () => void,
    appended: (ops: readonly LogOp[]) => void) {
    this.#inner = inner
    this.#watch = watch
    this.#appended = appended
  }

  batch(): LogBatch { return this.#inner.batch() }
  append(batch: LogBatch, sync: boolean, onDurable: () => void): void {
    this.#inner.append(batch, sync, this.#watch(batch, onDurable))
    this.#appended((batch as OpBatch).ops)
  }
  regions(): readonly RegionLog[] { return this.#inner.regions() }
  region(regionId: RegionId): RegionLog | undefined { return this.#inner.region(regionId) }
  state(regionId: RegionId, kind: LogStateKind): Uint8Array | undefined { return this.#inner.state(regionId, kind) }
  term(regionId: RegionId, index: LogIndex): Term | undefined { return this.#inner.term(regionId, index) }
  entries(regionId: RegionId, low: LogIndex, high: LogIndex, bytesMax: number): Entry[] {
    return this.#inner.entries(regionId, low, high, bytesMax)
  }
  oldestRegions(limit: number): readonly RegionId[] { return this.#inner.oldestRegions(limit) }
  get space(): LogSpace { return this.#inner.space }
  close(): Promise<void> { return this.#inner.close() }
}
