import type { StoreConfig } from './api.js'

const mebibyte = 1 << 20

export const defaultStoreConfig: StoreConfig = {
  tickMs: 100,
  heartbeatTicks: 2,
  electionTicksMin: 15,
  leaseTicks: 7,
  leaseMs: 500,
  raftMessageBytesMax: mebibyte,
  raftInflightMessagesMax: 256,
  uncommittedBytesMax: 64 * mebibyte,
  proposalsPendingMax: 65_536,
  applyPendingBytesMax: 64 * mebibyte,
  writesPendingBytesMax: 100 * mebibyte,
  memtableBytesMax: 128 * mebibyte,
  compactionBytesMax: 32_768 * mebibyte,
  logGcTickMs: 1_000,
  logGcCountLimit: 100_000,
  logGcBytesLimit: 128 * mebibyte,
  idleFlushMs: 30_000,
  snapshotChunkBytes: 256 << 10,
  snapshotBytesPerSecond: 100 * mebibyte,
  snapshotConcurrencyMax: 4,
  regionHeartbeatMs: 10_000,
  storeHeartbeatMs: 5_000,
  peerStaleMs: 300_000,
  reserveDiskBytes: 256 * mebibyte,
}

/** A follower counts whole ticks, the first of which may be short; clocks of two stores drift apart by less than 5 %. */
const driftShare = 0.95

/** @returns every mistake at once, in words that name the fields; empty when the configuration is good */
export function storeConfigMistakes(config: StoreConfig): readonly string[] {
  const mistakes: string[] = []
  const check = (good: boolean, text: string): void => { if (!good) mistakes.push(text) }
  const { tickMs, heartbeatTicks, electionTicksMin, leaseTicks, leaseMs } = config
  for (const [name, value] of Object.entries(config) as [string, number][]) {
    const least = name === 'reserveDiskBytes' ? 0 : 1
    check(Number.isFinite(value) && value >= least, `${name} must be at least ${least}, not ${value}`)
  }
  check(electionTicksMin > heartbeatTicks, `electionTicksMin (${electionTicksMin}) must exceed heartbeatTicks (${heartbeatTicks})`)
  check(electionTicksMin > leaseTicks, `electionTicksMin (${electionTicksMin}) must exceed leaseTicks (${leaseTicks})`)
  check(leaseTicks > heartbeatTicks, `leaseTicks (${leaseTicks}) must exceed heartbeatTicks (${heartbeatTicks})`)
  const leaseMsMax = (leaseTicks - 1) * tickMs * driftShare
  check(leaseMs < leaseMsMax, `leaseMs (${leaseMs}) must be below (leaseTicks - 1) * tickMs * ${driftShare} = ${leaseMsMax}`)
  check(config.snapshotChunkBytes <= 8 * mebibyte, 'snapshotChunkBytes must fit into a frame (8 MiB)')
  return mistakes
}

/** Fixed sizes that are nobody's knob. */
export const storeLimits = {
  /** An entry is closed when it has grown to this; one request alone may be larger (limits.entryBytesMax). */
  entryBytesAim: 1 << 20,
  loneWriteBytesMin: 16 << 10,
  /** Sections of one entry: they are counted in 16 bits. */
  entrySectionsMax: 0xffff,
  /** Conditional operations read the engine at apply: an entry of them is over in a few ms. */
  conditionalSectionsMax: 1024,
  /** Committed bytes handed out to apply and not done yet, per region. */
  applyingBytesMax: 8 << 20,
  /** Entries applied in one turn, over all regions; the rest waits for the next. */
  applyTurnBytes: 2 << 20,
  /** After so long a turn applies no further conditional entries. */
  applyTurnMs: 4,
  /** One engine batch of a turn; the next one begins beyond. */
  applyBatchBytesAim: 1 << 20,
  /** Vote requests kept for children that are not split off yet. */
  parkedMessagesMax: 4096,
  /** For so long. A candidate asks again. */
  parkedMsMax: 10_000,
  /** Peers that are no members as far as we know, and where they wrote from; per replica. */
  strangersMax: 16,
  /** Replicas that a message called into being, and that have no region yet. */
  unbornMax: 4_096,
  /** How long a request without a budget of its own waits. */
  requestTimeoutMs: 10_000,
  /** A follower keeps this many entries behind its applied index, for the day it leads. */
  followerKeepEntries: 4096,
  /** At so many times the size limit the log is cut although a living follower still needs it. */
  logGcPatience: 4,
  /** A long log makes the engine flush when this share of its limit is new since the last flush. */
  logGcFlushShare: 8,
  /** Log GC goes round all regions in slices: regions of a slice, those of them for which the engine is asked, pause. */
  logGcSliceRegions: 4096,
  logGcSliceLooks: 128,
  logGcSlicePauseMs: 20,
  /** A region that had nothing to cut is looked at again after this long, if nothing else calls for it. */
  logGcLookAgainMs: 5_000,
  /** Compaction below this many entries is not worth a record. */
  compactEntriesMin: 256,
  /** A peer that was not heard for this long is reported as down. */
  peerDownMs: 10_000,
  /** A transfer target that is farther behind is refused: proposals stand still meanwhile. */
  transferLagEntriesMax: 1024,
  /** A store that stops and leads nothing goes when nobody has asked it for this long … */
  stopQuietMs: 150,
  /** … or has gone on asking for this long. */
  stopLingerMsMax: 1_000,
  /** A replica that is farther behind is reported as pending. */
  pendingLagEntries: 512,
  /** A region without writes and reads for this long is quiet: no lease is kept for it, and it heartbeats less. */
  quietMs: 1_000,
  /** Chunks of one snapshot on their way. */
  snapshotWindow: 4,
  snapshotStallMs: 30_000,
  /** How long a store that took no snapshot is left alone: this, twice as long each time, at most … */
  snapshotBackoffMsMin: 500,
  /** … this. */
  snapshotBackoffMsMax: 30_000,
  /** Pages of entries that a restart replays at a time. */
  replayBytes: 4 << 20,
  /** Appends sent to one follower of a region and not answered: a stopped one must not fill our memory. */
  inflightBytesMax: 16 << 20,
  /** Regions that PD is told of in one turn of the loop. */
  beatsPerTurn: 256,
  /** How often a store looks at what has no clock of its own: disk space, waiting requests, stale peers. */
  patrolMs: 1_000,
  /** For so many ticks after a link broke, what comes from its other end may have been sent before. */
  lastWordsTicks: 2,
  /** A leadership hand-over that has not happened by then is given up. */
  transferTimeoutMs: 3_000,
} as const

/** Log and apply of a region begin here, so that "nothing" and "an empty region" differ. */
export const initialLog = { index: 5, term: 5 } as const
