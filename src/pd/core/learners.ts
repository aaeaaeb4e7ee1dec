import type { PeerId, RegionId, StoreId } from '../../common/ids.js'
import type { PeerRef } from '../../common/region.js'
import type { RegionRecord } from './region-record.js'

interface Joining {
  readonly storeId: StoreId
  readonly peerId: PeerId
  /** The region itself has told of it: before, there is only our wish. */
  isSeen: boolean
  /** The most it ever had, and when that grew. */
  progress: number
  movedAtMs: number
  heardAtMs: number
}

/**
 * Replicas that are being made, from the wish for a learner to its promotion or removal. Each holds a place, of all and of its
 * store: a store that gets more snapshots than it can take would refuse most of them again and again.
 */
export class Learners {
  readonly #joining = new Map<RegionId, Joining>()
  readonly #perStore = new Map<StoreId, number>()

  get size(): number { return this.#joining.size }
  on(store: StoreId): number { return this.#perStore.get(store) ?? 0 }
  has(region: RegionId): boolean { return this.#joining.has(region) }

  wished(region: RegionId, peer: PeerRef, nowMs: number): void { this.#begin(region, peer, false, nowMs) }

  /** The wish was not carried out. One that was is ended by `observe`. */
  givenUp(region: RegionId): void { if (this.#joining.get(region)?.isSeen === false) this.#end(region) }

  /** The region reports. Learners of before our time are found like this, too. */
  observe(region: RegionRecord, nowMs: number): void {
    const known = this.#joining.get(region.regionId)
    if (known === undefined && !region.hasLearner) return
    const learner = region.peers().find(peer => peer.role === 'learner')
    if (learner === undefined) {
      if (known?.isSeen === true) this.#end(region.regionId)
      return
    }
    if (known?.peerId !== learner.peerId) this.#begin(region.regionId, learner, true, nowMs)
    const joining = this.#joining.get(region.regionId)!
    joining.isSeen = true
    joining.heardAtMs = nowMs
    const isDown = region.down.some(down => down.peerId === learner.peerId)
    const isWaiting = !isDown && !region.pending.includes(learner.peerId)
    // It starts over after a failed transfer: only what it never had before is progress.
    if (!isWaiting && region.pendingProgress <= joining.progress) return
    joining.progress = Math.max(joining.progress, region.pendingProgress)
    joining.movedAtMs = nowMs
  }

  /** How long a region's learner has got no further. */
  stuckMs(region: RegionId, nowMs: number): number { return nowMs - (this.#joining.get(region)?.movedAtMs ?? nowMs) }

  /** Regions that are gone, or silent for so long, hold no place. */
  expire(nowMs: number, silentMsMax: number): void {
    for (const [region, { heardAtMs }] of this.#joining) if (nowMs - heardAtMs >= silentMsMax) this.#end(region)
  }

  #begin(region: RegionId, peer: PeerRef, isSeen: boolean, nowMs: number): void {
    this.#end(region)
    const { storeId, peerId } = peer
    this.#joining.set(region, { storeId, peerId, isSeen, progress: 0, movedAtMs: nowMs, heardAtMs: nowMs })
    this.#perStore.set(storeId, this.on(storeId) + 1)
  }

  #end(region: RegionId): void {
    const joining = this.#joining.get(region)
    if (joining === undefined) return
    this.#joining.delete(region)
    const left = this.on(joining.storeId) - 1
    if (left > 0) this.#perStore.set(joining.storeId, left)
    else this.#perStore.delete(joining.storeId)
  }
}
