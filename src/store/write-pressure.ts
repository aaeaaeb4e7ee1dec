import type { ServerError } from '../common/errors.js'
import type { EngineStats } from '../engine/api.js'
import type { StoreConfig } from './api.js'

export type EngineLoad = Pick<EngineStats, 'memtableBytes' | 'pendingCompactionBytes' | 'stalled'>
type Limits = Pick<StoreConfig, 'applyPendingBytesMax' | 'memtableBytesMax' | 'compactionBytesMax'>

/** A limit that was reached holds until the figure is down to this share of it. */
const reliefShare = 0.75
/** A stalled engine is busy as soon as this share of what may wait for it does. */
const stalledShare = 1 / 8
const backoffMs = 50

/**
 * Does the engine keep up? Writes are refused at the door before it has to make anybody wait: raft, heartbeats and reads are
 * never held up by it.
 */
export class WritePressure {
  readonly #config: Limits
  #refusal: ServerError | undefined

  constructor(config: Limits) { this.#config = config }

  /** What a write is answered; undefined: let it in. */
  get refusal(): ServerError | undefined { return this.#refusal }

  /** @param pendingBytes committed and not in the engine */
  look(pendingBytes: number, load: EngineLoad): void {
    const { applyPendingBytesMax, memtableBytesMax, compactionBytesMax } = this.#config
    const share = this.#refusal === undefined ? 1 : reliefShare
    const waiting = applyPendingBytesMax * (load.stalled ? stalledShare : 0.5)
    const reason = pendingBytes >= waiting * share ? `${pendingBytes} bytes of committed entries wait for the engine`
      : load.memtableBytes >= memtableBytesMax * share ? `memtables hold ${load.memtableBytes} bytes`
        : load.pendingCompactionBytes >= compactionBytesMax * share ? `${load.pendingCompactionBytes} bytes wait for compaction`
          : undefined
    this.#refusal = reason === undefined ? undefined : { kind: 'ServerIsBusy', reason, backoffMs }
  }
}
