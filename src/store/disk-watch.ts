import type { ServerError } from '../common/errors.js'
import type { StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { BatchOp, Cf } from '../engine/api.js'
import { readBatch } from '../engine/batch-writer.js'

export interface DiskSpace {
  readonly capacityBytes: number
  readonly availableBytes: number
  /** Of these, not for writes. */
  readonly heldBackBytes?: number
}

/** Below this part of the reserve a follower takes no more entries: what is left is for deletes, compactions and a restart. */
const criticalShare = 4
/** … and never more than this, however large a reserve somebody asks for. */
const criticalBytesMax = 2 ** 30
/** With less than so many reserves free a store tells PD of it each second, and asks about the others. */
const nearReserves = 8

/**
 * Who has space for one more write. A leader stops taking writes before a majority of its region would run full; a store that
 * is nearly full itself takes no more entries, whoever sends them.
 */
export class DiskWatch {
  readonly #storeId: StoreId
  readonly #reserveBytes: number
  #own: DiskSpace | undefined
  #full: ReadonlySet<StoreId> = new Set()
  #isAnyLow = false
  /** Nobody is short of anything, as far as we know: no write has to be looked at. */
  isAmple = true

  constructor(storeId: StoreId, reserveBytes: number) {
    this.#storeId = storeId
    this.#reserveBytes = reserveBytes
  }

  get space(): { readonly capacityBytes: number; readonly availableBytes: number } {
    return { capacityBytes: this.#own?.capacityBytes ?? 0, availableBytes: this.#own?.availableBytes ?? 0 }
  }
  get isFull(): boolean { return this.#isBelow(this.#reserveBytes + (this.#own?.heldBackBytes ?? 0)) }
  get isCritical(): boolean { return this.#isBelow(Math.min(this.#reserveBytes / criticalShare, criticalBytesMax)) }
  /** Things may change within seconds. */
  get isUrgent(): boolean { return this.#isAnyLow || this.#isBelow(this.#reserveBytes * nearReserves) }

  #isBelow(bytes: number): boolean { return this.#own !== undefined && this.#own.availableBytes < bytes }

  /** @returns did it become full, or ceased to be? */
  look(space: DiskSpace | undefined): boolean {
    const before = this.isFull
    this.#own = space
    this.#update()
    return this.isFull !== before
  }

  /** What PD knows of all stores. */
  learn(full: readonly StoreId[], low: readonly StoreId[]): void {
    this.#full = new Set(full)
    this.#isAnyLow = low.length > 0
    this.#update()
  }

  #update(): void { this.isAmple = !this.isFull && (this.#full.size === 0 || (this.#full.size === 1 && this.#full.has(this.#storeId))) }

  /** May this write be replicated? Deletes may: they are how a disk gets room again. */
  refusal(region: Region, records: Uint8Array): ServerError | undefined {
    const full = this.#fullAmong(region)
    const voters = region.peers.filter(peer => peer.role === 'voter').length
    const isOwn = this.isFull
    if ((!isOwn && voters - full.length > voters / 2) || isAllDeletes(records)) return undefined
    const reason = isOwn ? `${this.space.availableBytes} bytes are free, ${this.#reserveBytes} are kept in reserve`
      : `the disks of ${full.length} of the ${voters} stores that must keep it are full`
    return { kind: 'DiskFull', storeIds: full, reason }
  }

  #fullAmong(region: Region): readonly StoreId[] {
    const isFull = (store: StoreId): boolean => store === this.#storeId ? this.isFull : this.#full.has(store)
    return region.peers.filter(peer => peer.role === 'voter' && isFull(peer.storeId)).map(peer => peer.storeId)
  }

  /** Is there room for a snapshot, beside the reserve? */
  snapshotRefusal(bytes: number): ServerError | undefined {
    if (this.#own === undefined || this.#own.availableBytes >= bytes + this.#reserveBytes) return undefined
    const { availableBytes } = this.#own
    const reason = `a snapshot of ${bytes} bytes does not fit: ${availableBytes} are free, ${this.#reserveBytes} are kept in reserve`
    return { kind: 'DiskFull', storeIds: [this.#storeId], reason }
  }
}

function isAllDeletes(records: Uint8Array): boolean {
  for (const { op, cf } of readBatch(records)) {
    if (cf !== Cf.Default || (op !== BatchOp.Delete && op !== BatchOp.DeleteRange)) return false
  }
  return true
}
