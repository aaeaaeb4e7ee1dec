import { StorageError } from '../common/errors.js'
import type { ServerError } from '../common/errors.js'
import type { LogIndex, PeerId, StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { Cf } from '../engine/api.js'
import type { EngineSnapshot, Hot, ScanPage } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import type { Message, NodeId, RaftSnapshot } from '../raft/types.js'
import type { CallResult, RpcChannel } from '../transport/api.js'
import { crc32c } from '../wire/crc32c.js'
import type { RaftEnvelope } from '../wire/messages.js'
import { storeLimits } from './config.js'
import type { Peer } from './peer.js'
import { confStateOf } from './peer.js'
import type { StoreShared } from './shared.js'
import { applyKey, decodeApplyState, decodeRegion, decodeSnapshotData, encodeSnapshotData, regionKey } from './state-records.js'
import type { ApplyState } from './state-records.js'

interface Prepared {
  readonly view: EngineSnapshot
  readonly region: Region
  readonly peer: Peer
  readonly to: PeerId
  readonly madeAtMs: number
}

/** Raft snapshots on their way out: a pinned view of the engine, read chunk by chunk as the receiver takes them. */
export class SnapshotSender {
  readonly #shared: StoreShared
  readonly #onEnd: (peer: Peer) => void
  readonly #prepared = new Map<string, Prepared>()
  readonly #jobs = new Set<SendJob>()
  /** Stores that took no snapshot the last time. */
  readonly #refused = new Map<StoreId, { readonly count: number; readonly untilMs: number }>()
  readonly #budget: ByteBudget
  #counter = 0

  constructor(shared: StoreShared, onEnd: (peer: Peer) => void) {
    this.#shared = shared
    this.#onEnd = onEnd
    this.#budget = new ByteBudget(shared)
  }

  get count(): number { return this.#prepared.size + this.#jobs.size }

  /** RaftStorage.snapshot: the state as applied right now. */
  make(peer: Peer, requestIndex: LogIndex, to: NodeId): RaftSnapshot | 'temporarilyUnavailable' {
    const { state } = peer
    const { config, engine, env, deps } = this.#shared
    if (state === undefined || state.visibleIndex < requestIndex || this.count >= config.snapshotConcurrencyMax) {
      return 'temporarilyUnavailable'
    }
    if (this.#mustWait(peer.peerRef(to)?.storeId)) return 'temporarilyUnavailable'
    if ([...this.#jobs].some(job => job.peer === peer && job.to === to)) return 'temporarilyUnavailable'
    const view = engine.snapshot()
    const { region, index, term } = this.#stateIn(view, peer)
    const snapshotId = `${deps.storeId}-${region.regionId}-${index}-${++this.#counter}`
    this.#prepared.set(snapshotId, { view, region, peer, to, madeAtMs: env.clock.monotonicMs() })
    return { meta: { index, term, confState: confStateOf(region) }, data: encodeSnapshotData({ snapshotId, region }) }
  }

  bytesSentTo(peer: Peer, to: PeerId): number {
    for (const job of this.#jobs) if (job.peer === peer && job.to === to) return job.bytesSent
    return 0
  }

  #mustWait(store: StoreId | undefined): boolean {
    const refused = store === undefined ? undefined : this.#refused.get(store)
    return refused !== undefined && this.#shared.env.clock.monotonicMs() < refused.untilMs
  }

  /** A store that takes no snapshot is not asked again at once: for as long as it said, and longer each time. */
  #onOutcome(store: StoreId, isOk: boolean, backoffMs: number): void {
    if (isOk) {
      this.#refused.delete(store)
      return
    }
    const count = (this.#refused.get(store)?.count ?? 0) + 1
    const waitMs = Math.min(storeLimits.snapshotBackoffMsMax, Math.max(backoffMs, storeLimits.snapshotBackoffMsMin * 2 ** (count - 1)))
    this.#refused.set(store, { count: Math.min(count, 16), untilMs: this.#shared.env.clock.monotonicMs() + waitMs })
  }

  /** The view says itself what it is of: the engine may be ahead of what it has told us. */
  #stateIn(view: EngineSnapshot, peer: Peer): ApplyState & { readonly region: Region } {
    const record = view.get(Cf.Raft, regionKey(peer.regionId))
    const applied = view.get(Cf.Raft, applyKey(peer.regionId))
    if (record === undefined || applied === undefined) throw new StorageError('corruption', `region ${peer.regionId} has no record`)
    return { region: decodeRegion(record), ...decodeApplyState(applied) }
  }

  /** Carries out a Snapshot message of raft. */
  send(peer: Peer, message: Message): void {
    const snapshotId = message.snapshot && decodeSnapshotData(message.snapshot.data)?.snapshotId
    const prepared = snapshotId === undefined ? undefined : this.#prepared.get(snapshotId)
    if (snapshotId === undefined || prepared === undefined) return this.#report(peer, message.to, false)
    this.#prepared.delete(snapshotId)
    const to = peer.peerRef(message.to)
    const channel = to && this.#shared.deps.bulkChannel(to.storeId)
    if (to === undefined || channel === undefined) {
      prepared.view.release()
      return this.#report(peer, message.to, false)
    }
    const job = new SendJob(this.#shared, { ...prepared, snapshotId, envelope: peer.envelope(message, to), channel },
      this.#budget, reason => {
        this.#onOutcome(to.storeId, reason === undefined, job.backoffMs)
        this.#ended(job, peer, message.to, reason)
      })
    this.#jobs.add(job)
    job.start()
  }

  #ended(job: SendJob, peer: Peer, to: NodeId, failure: string | undefined): void {
    this.#jobs.delete(job)
    const { counters, env } = this.#shared
    if (failure === undefined) counters.snapshotsSent++
    else counters.snapshotsFailed++
    const fields = { region: peer.regionId, peer: to, bytes: job.bytesSent, chunks: job.chunks, reason: failure }
    env.log(failure === undefined ? 'info' : 'warn', failure === undefined ? 'snapshot.sent' : 'snapshot.send-failed', fields)
    this.#report(peer, to, failure === undefined)
  }

  #report(peer: Peer, to: NodeId, isOk: boolean): void {
    if (peer.isRemoved) return
    // Not from inside the node's own step: it is asked in a turn of its own.
    this.#shared.env.defer(() => {
      this.#shared.guarded(() => {
        if (peer.isRemoved) return
        peer.node.reportSnapshot(to, isOk)
        this.#onEnd(peer)
      })
    })
  }

  /** Lets go of what raft asked for and never sent, and of transfers that stand still. */
  patrol(nowMs: number): void {
    for (const [id, prepared] of this.#prepared) {
      if (nowMs - prepared.madeAtMs < storeLimits.snapshotStallMs) continue
      prepared.view.release()
      this.#prepared.delete(id)
    }
    for (const job of this.#jobs) if (job.peer.isRemoved || !job.peer.isLeader) job.abort('the leadership is gone')
  }

  stop(): void {
    for (const prepared of this.#prepared.values()) prepared.view.release()
    this.#prepared.clear()
    for (const job of this.#jobs) job.abort('the store stops')
  }
}

/** `snap-io-max-bytes-per-sec`, shared by all transfers of a store; holds a tenth of a second. */
class ByteBudget {
  readonly #shared: StoreShared
  #bytes: number
  #atMs: number

  constructor(shared: StoreShared) {
    this.#shared = shared
    this.#bytes = shared.config.snapshotBytesPerSecond / 10
    this.#atMs = shared.env.clock.monotonicMs()
  }

  /** @returns 0 and takes them, or how many ms to wait before asking again */
  take(bytes: number): number {
    const perMs = this.#shared.config.snapshotBytesPerSecond / 1_000
    const now = this.#shared.env.clock.monotonicMs()
    this.#bytes = Math.min(perMs * 100, this.#bytes + (now - this.#atMs) * perMs)
    this.#atMs = now
    if (this.#bytes < 0) return Math.ceil(-this.#bytes / perMs)
    // A chunk may be larger than what the bucket holds: it is owed.
    this.#bytes -= bytes
    return 0
  }
}

interface JobParts {
  readonly view: EngineSnapshot
  readonly region: Region
  readonly peer: Peer
  readonly to: PeerId
  readonly snapshotId: string
  readonly envelope: RaftEnvelope
  readonly channel: RpcChannel
}

const sentCfs = [Cf.Default, Cf.Lock, Cf.Write] as const

/** One transfer: begin, a window of chunks, end. */
class SendJob {
  readonly #shared: StoreShared
  readonly #parts: JobParts
  readonly #budget: ByteBudget
  readonly #done: (failure: string | undefined) => void
  #cf = 0
  #start: Uint8Array
  #sequence = 0
  #underWay = 0
  #crc = 0
  #isWaiting = false
  #isOver = false
  bytesSent = 0
  /** What the receiver asked for. */
  backoffMs = 0

  constructor(shared: StoreShared, parts: JobParts, budget: ByteBudget, done: (failure: string | undefined) => void) {
    this.#shared = shared
    this.#parts = parts
    this.#budget = budget
    this.#done = done
    this.#start = parts.region.startKey
  }

  get peer(): Peer { return this.#parts.peer }
  get to(): PeerId { return this.#parts.to }
  get chunks(): number { return this.#sequence }

  start(): void {
    const { envelope, snapshotId, region, channel } = this.#parts
    const totalBytes = this.#shared.engine.approximateBytes(Cf.Default, region.startKey, region.endKey)
    const request = { regionId: region.regionId, envelope, snapshotId, totalBytes: Math.round(totalBytes) }
    channel.send('SnapshotBegin', request, { timeoutMs: storeLimits.snapshotStallMs }, result => {
      this.#guarded(() => { if (this.#isGood(result)) this.#pump() })
    })
  }

  #guarded(run: () => void): void { if (!this.#isOver) this.#shared.guarded(run) }

  #isGood(result: CallResult<'SnapshotBegin'> | CallResult<'SnapshotChunk'> | CallResult<'SnapshotEnd'>): boolean {
    if (result.answered && result.result.ok) return true
    const error = result.answered ? (result.result as { error: ServerError }).error : undefined
    if (error?.kind === 'ServerIsBusy') this.backoffMs = error.backoffMs
    this.abort(error === undefined ? (result as { failure: { kind: string } }).failure.kind : describe(error))
    return false
  }

  /** Reads and sends chunks while the window and the budget have room; one a turn of the loop. */
  #pump(): void {
    if (this.#isOver || this.#isWaiting || this.#underWay >= storeLimits.snapshotWindow) return
    if (this.#cf >= sentCfs.length) {
      if (this.#underWay === 0) this.#finish()
      return
    }
    const waitMs = this.#budget.take(this.#shared.config.snapshotChunkBytes)
    this.#isWaiting = true
    const again = (): void => {
      this.#guarded(() => {
        this.#isWaiting = false
        this.#pump()
      })
    }
    if (waitMs > 0) {
      this.#shared.env.setTimer(waitMs, again)
      return
    }
    this.#read(page => {
      this.#sendChunk(this.#packed(page))
      this.#shared.env.defer(again)
    })
  }

  #sendChunk(rows: Uint8Array): void {
    if (rows.length === 0) return
    const { snapshotId, channel } = this.#parts
    const crc = crc32c(rows)
    this.#crc = crc32c(rows, 0, rows.length, this.#crc)
    this.#underWay++
    this.bytesSent += rows.length
    const request = { snapshotId, sequence: this.#sequence++, rows, crc32c: crc }
    channel.send('SnapshotChunk', request, { timeoutMs: storeLimits.snapshotStallMs }, result => {
      this.#guarded(() => {
        this.#underWay--
        if (this.#isGood(result)) this.#pump()
      })
    })
  }

  /** The next rows of the view, wherever they are; what cannot be read ends the transfer and not the store. */
  #read(take: (page: ScanPage) => void): void {
    const { view, region } = this.#parts
    const options = {
      cf: sentCfs[this.#cf]!, start: this.#start, end: region.endKey, rowsMax: 1 << 12,
      bytesMax: this.#shared.config.snapshotChunkBytes,
    }
    let page: Hot<ScanPage>
    try {
      page = view.tryScan(options)
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      return this.abort(error.message)
    }
    if (page !== 'cold') return take(page)
    const pending = view.scanLater(options, result => {
      this.#guarded(() => {
        if (result.ok) take(result.value)
        else this.abort(result.error.message)
      })
    })
    if (pending === undefined) this.abort('too many reads wait for the disk')
  }

  #packed(page: ScanPage): Uint8Array {
    const { region } = this.#parts
    const cf = sentCfs[this.#cf]!
    const writer = new BatchWriter()
    for (const { key, value } of page.rows) writer.put(cf, key, value)
    const last = page.rows[page.rows.length - 1]
    if (page.resume !== undefined) this.#start = page.resume
    else if (page.more && last !== undefined) this.#start = new Uint8Array([...last.key, 0])
    else {
      this.#cf++
      this.#start = region.startKey
    }
    return writer.finish()
  }

  #finish(): void {
    const { snapshotId, channel } = this.#parts
    this.#isWaiting = true
    const request = { snapshotId, chunks: this.#sequence, crc32c: this.#crc }
    channel.send('SnapshotEnd', request, { timeoutMs: storeLimits.snapshotStallMs }, result => {
      this.#guarded(() => { if (this.#isGood(result)) this.#end(undefined) })
    })
  }

  abort(reason: string): void { this.#end(reason) }

  #end(failure: string | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#parts.view.release()
    this.#done(failure)
  }
}

function describe(error: ServerError): string { return 'reason' in error ? `${error.kind}: ${error.reason}` : error.kind }
