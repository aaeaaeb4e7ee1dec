import { compareBytes } from '../common/bytes.js'
import type { ServerError } from '../common/errors.js'
import { regionContains } from '../common/region.js'
import type { Region } from '../common/region.js'
import { BatchOp, Cf } from '../engine/api.js'
import { isBatch, readBatch } from '../engine/batch-writer.js'
import { MessageType } from '../raft/types.js'
import { crc32c } from '../wire/crc32c.js'
import type { RaftEnvelope } from '../wire/messages.js'
import type { SpoolFile, StoreApi } from './api.js'
import { storeLimits } from './config.js'
import type { StoreShared } from './shared.js'
import { decodeSnapshotData } from './state-records.js'

type Done = (error: ServerError | undefined) => void

interface Incoming {
  readonly envelope: RaftEnvelope
  readonly region: Region
  readonly file: SpoolFile
  readonly totalBytes: number
  chunks: number
  crc: number
  touchedAtMs: number
  isComplete: boolean
}

/** A snapshot that has arrived whole: chunks of packed batch records, each behind its length. */
export interface SpooledSnapshot {
  readonly region: Region
  /** @returns the next chunk, or undefined at the end */
  next(): Uint8Array | undefined
  remove(): void
}

/** Four numbers and what is between them. */
const snapshotIdLengthMax = 80

const invalid = (reason: string): ServerError => ({ kind: 'InvalidArgument', reason })

/** Raft snapshots on their way in. Nothing of them touches the engine before all is here and raft wants it. */
export class SnapshotReceiver implements Pick<StoreApi['snapshots'], 'begin' | 'chunk' | 'end'> {
  readonly #shared: StoreShared
  readonly #spaceRefusal: (bytes: number) => ServerError | undefined
  readonly #onComplete: (envelope: RaftEnvelope) => void
  readonly #incoming = new Map<string, Incoming>()
  #files = 0

  constructor(
    shared: StoreShared, spaceRefusal: (bytes: number) => ServerError | undefined, onComplete: (envelope: RaftEnvelope) => void,
  ) {
    this.#shared = shared
    this.#spaceRefusal = spaceRefusal
    this.#onComplete = onComplete
  }

  get count(): number { return this.#incoming.size }

  begin(snapshotId: string, envelope: RaftEnvelope, totalBytes: number, done: Done): void {
    const { deps, config, env } = this.#shared
    if (snapshotId.length > snapshotIdLengthMax) return done(invalid(`a snapshot id has at most ${snapshotIdLengthMax} characters`))
    const data = envelope.message.snapshot && decodeSnapshotData(envelope.message.snapshot.data)
    if (data === undefined || envelope.message.type !== MessageType.Snapshot || data.snapshotId !== snapshotId
      || data.region.regionId !== envelope.regionId) return done(invalid('not the beginning of a raft snapshot'))
    if (envelope.to.storeId !== deps.storeId) {
      return done({ kind: 'StoreNotMatch', requestStoreId: envelope.to.storeId, actualStoreId: deps.storeId })
    }
    this.#drop(snapshotId)
    if (this.#incoming.size >= config.snapshotConcurrencyMax) {
      return done({ kind: 'ServerIsBusy', reason: 'too many snapshots under way', backoffMs: 500 })
    }
    // What others that are under way still bring is counted as if it were here.
    const refusal = this.#spaceRefusal(totalBytes + this.#bytesToCome())
    if (refusal !== undefined) {
      this.#shared.counters.snapshotsRefused++
      return done(refusal)
    }
    this.#incoming.set(snapshotId, {
      envelope, region: data.region, file: deps.spool.create(`in-${++this.#files}`), totalBytes, chunks: 0, crc: 0, isComplete: false,
      touchedAtMs: env.clock.monotonicMs(),
    })
    done(undefined)
  }

  #bytesToCome(): number {
    let bytes = 0
    for (const { totalBytes, file } of this.#incoming.values()) bytes += Math.max(0, totalBytes - file.bytes)
    return bytes
  }

  chunk(snapshotId: string, sequence: number, rows: Uint8Array, crc: number, done: Done): void {
    const incoming = this.#incoming.get(snapshotId)
    if (incoming === undefined || incoming.isComplete) return done(invalid('no such snapshot is under way'))
    const wrong = sequence !== incoming.chunks ? `chunk ${sequence} instead of ${incoming.chunks}`
      : crc32c(rows) !== crc ? `chunk ${sequence} is damaged`
        : rowsMistake(rows, incoming.region)
    if (wrong !== undefined) {
      this.#drop(snapshotId)
      return done(invalid(wrong))
    }
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, rows.length, true)
    incoming.file.append(length)
    incoming.file.append(rows)
    incoming.chunks++
    incoming.crc = crc32c(rows, 0, rows.length, incoming.crc)
    incoming.touchedAtMs = this.#shared.env.clock.monotonicMs()
    done(undefined)
  }

  end(snapshotId: string, chunks: number, crc: number, done: Done): void {
    const incoming = this.#incoming.get(snapshotId)
    if (incoming === undefined || incoming.isComplete) return done(invalid('no such snapshot is under way'))
    if (incoming.chunks !== chunks || incoming.crc !== crc) {
      this.#drop(snapshotId)
      return done(invalid('the snapshot is not whole'))
    }
    incoming.isComplete = true
    this.#shared.counters.snapshotsReceived++
    this.#shared.env.log('info', 'snapshot.received', {
      region: incoming.region.regionId, bytes: incoming.file.bytes, chunks, from: incoming.envelope.from.storeId,
    })
    done(undefined)
    this.#onComplete(incoming.envelope)
  }

  /** Hands a complete one out; it is the caller's to remove. */
  take(snapshotId: string): SpooledSnapshot | undefined {
    const incoming = this.#incoming.get(snapshotId)
    if (incoming?.isComplete !== true) return undefined
    this.#incoming.delete(snapshotId)
    return spooled(incoming)
  }

  /** Raft has no use for it. */
  discard(snapshotId: string): void { this.#drop(snapshotId) }

  patrol(nowMs: number): void {
    for (const [id, incoming] of this.#incoming) {
      if (nowMs - incoming.touchedAtMs > storeLimits.snapshotStallMs) this.#drop(id)
    }
  }

  stop(): void { for (const id of [...this.#incoming.keys()]) this.#drop(id) }

  #drop(snapshotId: string): void {
    this.#incoming.get(snapshotId)?.file.remove()
    this.#incoming.delete(snapshotId)
  }
}

function spooled({ region, file }: Incoming): SpooledSnapshot {
  let at = 0
  return {
    region,
    next: () => {
      if (at >= file.bytes) return undefined
      const head = file.read(at, 4)
      const length = new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true)
      const rows = file.read(at + 4, length)
      at += 4 + length
      return rows
    },
    remove: () => { file.remove() },
  }
}

/** Another store sent them: only rows of the region may be in it. */
function rowsMistake(rows: Uint8Array, region: Region): string | undefined {
  if (!isBatch(rows)) return 'rows are not a packed batch'
  let before: Uint8Array | undefined
  let beforeCf: Cf | undefined
  for (const { op, cf, key } of readBatch(rows)) {
    if (op !== BatchOp.Put || cf === Cf.Raft) return 'an operation that is not a row'
    if (!regionContains(region, key)) return 'a row of another region'
    if (before !== undefined && cf === beforeCf && compareBytes(before, key) >= 0) return 'rows out of order'
    before = key
    beforeCf = cf
  }
  return undefined
}
