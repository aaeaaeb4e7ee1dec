import { logIndex } from '../common/ids.js'
import type { LogIndex, PeerId, RegionId } from '../common/ids.js'
import { Cf } from '../engine/api.js'
import type { LogBatch } from '../engine/api.js'
import { storeLimits } from './config.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'
import { applyKey, decodeApplyState } from './state-records.js'

/**
 * Does a region keep the oldest segments of a log that has grown large? Then a dead follower's needs count no more, and a
 * living one's, which may be on its way through a snapshot, until the log is several times as large.
 */
type Pins = 'no' | 'for the living' | 'for all'

/** Regions looked at for the segments that they pin. */
const oldestMax = 64

/**
 * Cuts the logs of all regions, and flushes the engine when it stands in the way: entries go only when the engine would
 * find its way without them after a crash, and, up to a limit, when no follower needs them.
 */
export class LogGc {
  readonly #shared: StoreShared
  #entriesAtFlush = 0
  #flushedAtMs: number
  #isFlushing = false

  constructor(shared: StoreShared) {
    this.#shared = shared
    this.#flushedAtMs = shared.env.clock.monotonicMs()
  }

  run(): void {
    const { log, peers, config } = this.#shared
    const batch = log.batch()
    const isLarge = log.space.diskBytes > config.logGcBytesLimit
    const isHuge = log.space.diskBytes > storeLimits.logGcPatience * config.logGcBytesLimit
    const pinning = new Set<RegionId>(isLarge ? log.oldestRegions(oldestMax) : [])
    for (const peer of peers.values()) {
      if (peer.isInstalling || peer.state === undefined) continue
      this.#cut(peer, batch, !pinning.has(peer.regionId) ? 'no' : isHuge ? 'for all' : 'for the living')
    }
    if (!batch.isEmpty) {
      this.#shared.env.failpoint('store.before-log-gc')
      log.append(batch, false, () => {})
    }
    this.#flush(isLarge)
  }

  #cut(peer: Peer, batch: LogBatch, pins: Pins): void {
    const { log, engine, config } = this.#shared
    const known = log.region(peer.regionId)
    const least = pins === 'no' ? Math.min(storeLimits.compactEntriesMin, config.logGcCountLimit) : 1
    if (known === undefined || known.lastIndex - known.truncatedIndex < least) return
    const bytes = engine.getPersisted(Cf.Raft, applyKey(peer.regionId))
    if (bytes === undefined) return
    const persisted = Math.min(decodeApplyState(bytes).index, known.lastIndex)
    const wanted = this.#wanted(peer, persisted, pins)
    // What a slow follower would need is kept up to a limit; behind it a snapshot is cheaper.
    const floor = persisted - config.logGcCountLimit
    const to = logIndex(Math.max(0, Math.min(persisted, Math.max(wanted, floor))))
    if (to - known.truncatedIndex < least) return
    const term = log.term(peer.regionId, to)
    if (term !== undefined) batch.compact(peer.regionId, to, term)
  }

  /** Up to where nobody needs entries any more, as far as this peer can tell. */
  #wanted(peer: Peer, persisted: number, pins: Pins): number {
    if (pins === 'for all') return persisted
    const keep = pins === 'no' ? Math.min(storeLimits.followerKeepEntries, this.#shared.config.logGcCountLimit) : 0
    if (!peer.isLeader) return persisted - keep
    let match = persisted
    for (const one of peer.node.status().progress.values()) {
      if (pins === 'for the living' && one.state !== 'snapshot' && this.#isSilent(peer, one.id)) continue
      // One that gets a snapshot goes on behind it.
      const needs: LogIndex = one.state === 'snapshot' ? one.pendingSnapshot : one.match
      match = Math.min(match, needs)
    }
    return match
  }

  #isSilent(peer: Peer, id: PeerId): boolean {
    const heard = peer.heardFrom.get(id)
    return heard !== undefined && this.#shared.env.clock.monotonicMs() - heard > storeLimits.peerDownMs
  }

  /** A quiet engine is flushed in time, so that no region pins the log; a long log makes it flush at once. */
  #flush(isLarge: boolean): void {
    const { applier, engine, env, config } = this.#shared
    const now = env.clock.monotonicMs()
    const isDirty = applier.entriesApplied > this.#entriesAtFlush
    if (this.#isFlushing || !isDirty) return
    if (!isLarge && now - this.#flushedAtMs < config.idleFlushMs) return
    applier.flush()
    this.#isFlushing = true
    this.#entriesAtFlush = applier.entriesApplied
    engine.flush(() => {
      this.#isFlushing = false
      this.#flushedAtMs = env.clock.monotonicMs()
    })
  }
}
