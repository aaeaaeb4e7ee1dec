import { logIndex } from '../common/ids.js'
import type { LogIndex, PeerId, RegionId } from '../common/ids.js'
import { Cf } from '../engine/api.js'
import type { LogBatch, LogSpace } from '../engine/api.js'
import { storeLimits } from './config.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'
import { applyKey, decodeApplyState } from './state-records.js'

/**
 * Does a region keep the oldest segments of a log that has grown large? Then nothing is kept for a day that may never come.
 * If that does not help, a dead follower's needs count no more, and a living one's, which may be on its way through a
 * snapshot, until the log is several times as large.
 */
type Pins = 'no' | 'for followers' | 'for the living' | 'for all'

/** Regions looked at for the segments that they pin. */
const oldestMax = 64

/** What a look at a region found that was not worth cutting, or not yet possible. */
interface Look {
  readonly flushes: number
  readonly lastIndex: number
  readonly atMs: number
}

/**
 * Cuts the logs of all regions, and flushes the engine when it stands in the way: entries go only when the engine would
 * find its way without them after a crash, and, up to a limit, when no follower needs them.
 *
 * A run goes round all regions in slices, so that ten thousand busy ones neither hold a turn nor wait for long. A region
 * that had nothing to cut is left alone until something has changed that could matter.
 */
export class LogGc {
  readonly #shared: StoreShared
  readonly #looks = new WeakMap<Peer, Look>()
  /** Peers that the round under way has not come to. */
  #round: Iterator<Peer> | undefined
  #flushes = 0
  #entriesAtFlush = 0
  #appendedAtFlush = 0
  #flushedAtMs: number
  #isFlushing = false
  #largeSinceMs: number | undefined

  constructor(shared: StoreShared) {
    this.#shared = shared
    this.#flushedAtMs = shared.env.clock.monotonicMs()
  }

  run(): void {
    const { log, peers } = this.#shared
    const { space } = log
    const pins = this.#pinsOf(space)
    if (pins !== 'no') {
      const batch = log.batch()
      for (const regionId of log.oldestRegions(oldestMax)) this.#cut(regionId, batch, pins)
      this.#append(batch)
    }
    this.#flush(space, pins !== 'no')
    if (this.#round !== undefined) return
    this.#round = peers.values()
    this.#slice()
  }

  /** What counts is what is needed, and what stays because of it: files kept for later do not shrink when entries go. */
  #pinsOf({ liveBytes, pinnedBytes }: LogSpace): Pins {
    const limit = this.#shared.config.logGcBytesLimit
    const now = this.#shared.env.clock.monotonicMs()
    const bytes = Math.max(liveBytes, pinnedBytes)
    if (bytes <= limit) this.#largeSinceMs = undefined
    else this.#largeSinceMs ??= now
    if (this.#largeSinceMs === undefined) return 'no'
    if (bytes > storeLimits.logGcPatience * limit) return 'for all'
    const isPatient = bytes <= 2 * limit && now - this.#largeSinceMs < storeLimits.peerDownMs
    return isPatient ? 'for followers' : 'for the living'
  }

  #slice(): void {
    const { log } = this.#shared
    const batch = log.batch()
    let looked = 0
    for (let seen = 0; seen < storeLimits.logGcSliceRegions && looked < storeLimits.logGcSliceLooks; seen++) {
      const next = this.#round!.next()
      if (next.done === true) {
        this.#round = undefined
        break
      }
      if (this.#cut(next.value.regionId, batch, 'no')) looked++
    }
    this.#append(batch)
    if (this.#round !== undefined) this.#shared.later(storeLimits.logGcSlicePauseMs, () => { this.#slice() })
  }

  #append(batch: LogBatch): void {
    if (batch.isEmpty) return
    this.#shared.env.failpoint('store.before-log-gc')
    this.#shared.log.append(batch, false, () => {})
  }

  /** @returns whether the engine was asked */
  #cut(regionId: RegionId, batch: LogBatch, pins: Pins): boolean {
    const { log, engine, config, peers } = this.#shared
    const peer = peers.get(regionId)
    if (peer === undefined || peer.isInstalling || peer.state === undefined) return false
    const known = log.region(regionId)
    const least = pins === 'no' ? Math.min(storeLimits.compactEntriesMin, config.logGcCountLimit) : 1
    if (known === undefined || known.lastIndex - known.truncatedIndex < least) return false
    if (pins === 'no' && !this.#isWorthALook(peer, known.lastIndex, least)) return false
    const bytes = engine.getPersisted(Cf.Raft, applyKey(regionId))
    if (bytes === undefined) return true
    // The engine may be ahead of what it has told us; raft still counts on what is behind that.
    const persisted = Math.min(decodeApplyState(bytes).index, peer.state.visibleIndex, known.lastIndex)
    const wanted = this.#wanted(peer, persisted, pins)
    // What a slow follower would need is kept up to a limit; behind it a snapshot is cheaper.
    const floor = persisted - config.logGcCountLimit
    const to = logIndex(Math.max(0, Math.min(persisted, Math.max(wanted, floor))))
    const term = to - known.truncatedIndex < least ? undefined : log.term(regionId, to)
    if (term !== undefined) batch.compact(regionId, to, term)
    return true
  }

  /** After a flush, or with many new entries, or when followers had time to catch up. */
  #isWorthALook(peer: Peer, lastIndex: LogIndex, least: number): boolean {
    const last = this.#looks.get(peer)
    const now = this.#shared.env.clock.monotonicMs()
    const isWorth = last === undefined || last.flushes !== this.#flushes ||
      lastIndex - last.lastIndex >= least || now - last.atMs >= storeLimits.logGcLookAgainMs
    if (isWorth) this.#looks.set(peer, { flushes: this.#flushes, lastIndex, atMs: now })
    return isWorth
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

  /**
   * A quiet engine is flushed in time, so that no region pins the log; a long log makes it flush sooner, once a good part
   * of it is new since the last flush: what that one did not free, another would not either.
   */
  #flush({ appendedBytes }: LogSpace, isLarge: boolean): void {
    const { applier, engine, env, config } = this.#shared
    const now = env.clock.monotonicMs()
    const isDirty = applier.entriesApplied > this.#entriesAtFlush
    if (this.#isFlushing || !isDirty) return
    const isDue = isLarge && appendedBytes - this.#appendedAtFlush >= config.logGcBytesLimit / storeLimits.logGcFlushShare
    if (!isDue && now - this.#flushedAtMs < config.idleFlushMs) return
    applier.flush()
    this.#isFlushing = true
    this.#entriesAtFlush = applier.entriesApplied
    this.#appendedAtFlush = appendedBytes
    engine.flush(() => {
      this.#isFlushing = false
      this.#flushes++
      this.#flushedAtMs = env.clock.monotonicMs()
    })
  }
}
