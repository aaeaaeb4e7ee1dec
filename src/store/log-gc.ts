import { logIndex } from '../common/ids.js'
import type { LogIndex, RegionId } from '../common/ids.js'
import { Cf } from '../engine/api.js'
import type { LogBatch } from '../engine/api.js'
import { storeLimits } from './config.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'
import { applyKey, decodeApplyState } from './state-records.js'

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
    const isLarge = log.diskBytes > config.logGcBytesLimit
    const pinning = new Set<RegionId>(isLarge ? log.oldestRegions(oldestMax) : [])
    for (const peer of peers.values()) {
      if (!peer.isInstalling && peer.state !== undefined) this.#cut(peer, batch, pinning.has(peer.regionId))
    }
    if (!batch.isEmpty) {
      this.#shared.env.failpoint('store.before-log-gc')
      log.append(batch, false, () => {})
    }
    this.#flush(isLarge)
  }

  #cut(peer: Peer, batch: LogBatch, isPinning: boolean): void {
    const { log, engine, config } = this.#shared
    const known = log.region(peer.regionId)
    if (known === undefined || known.lastIndex - known.truncatedIndex < (isPinning ? 1 : storeLimits.compactEntriesMin)) return
    const bytes = engine.getPersisted(Cf.Raft, applyKey(peer.regionId))
    if (bytes === undefined) return
    const persisted = Math.min(decodeApplyState(bytes).index, known.lastIndex)
    const wanted = this.#wanted(peer, persisted)
    // What a slow follower would need is kept up to a limit; behind it a snapshot is cheaper.
    const floor = isPinning ? persisted : persisted - config.logGcCountLimit
    const to = logIndex(Math.max(0, Math.min(persisted, Math.max(wanted, floor))))
    if (to - known.truncatedIndex < (isPinning ? 1 : Math.min(storeLimits.compactEntriesMin, config.logGcCountLimit))) return
    const term = log.term(peer.regionId, to)
    if (term !== undefined) batch.compact(peer.regionId, to, term)
  }

  /** Up to where nobody needs entries any more, as far as this peer can tell. */
  #wanted(peer: Peer, persisted: number): number {
    if (!peer.isLeader) return persisted - Math.min(storeLimits.followerKeepEntries, this.#shared.config.logGcCountLimit)
    let match = persisted
    for (const one of peer.node.status().progress.values()) {
      // One that gets a snapshot goes on behind it.
      const needs: LogIndex = one.state === 'snapshot' ? one.pendingSnapshot : one.match
      match = Math.min(match, needs)
    }
    return match
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
