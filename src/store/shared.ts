import type { Env } from '../common/env.js'
import type { RegionId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import type { Engine, RaftLog } from '../engine/api.js'
import type { StoreConfig, StoreDependencies } from './api.js'
import { Applier } from './applier.js'
import type { ChildFate } from './applier.js'
import type { Peer } from './peer.js'
import { noPlants } from './plants.js'
import { RegionTable } from './region-table.js'
import { WriteLedger } from './write-ledger.js'

/** Counters of one life, for /metrics. */
export interface StoreCounters {
  turns: number
  appends: number
  syncs: number
  writes: number
  leaseReads: number
  indexReads: number
  messagesIn: number
  /** From outside, and impossible. */
  messagesRefused: number
  messagesOut: number
  splits: number
  snapshotsSent: number
  snapshotsReceived: number
  snapshotsFailed: number
  elections: number
  /** Entries of others that a full disk had no room for. */
  appendsRefused: number
  snapshotsRefused: number
}

/** What the parts of a store have in common. Only `stop` and `fail` change `isStopped`. */
export class StoreShared {
  readonly env: Env
  readonly config: StoreConfig
  readonly engine: Engine
  readonly log: RaftLog
  readonly plants: ReadonlySet<string>
  readonly peers = new Map<RegionId, Peer>()
  /** Peers that are gone, whose rows are being deleted: their ranges stay taken until then. */
  readonly leaving = new Set<RegionId>()
  readonly table = new RegionTable()
  readonly ledger = new WriteLedger()
  readonly applier: Applier
  readonly counters: StoreCounters = {
    turns: 0, appends: 0, syncs: 0, writes: 0, leaseReads: 0, indexReads: 0, messagesIn: 0, messagesRefused: 0, messagesOut: 0, splits: 0,
    snapshotsSent: 0, snapshotsReceived: 0, snapshotsFailed: 0, elections: 0, appendsRefused: 0, snapshotsRefused: 0,
  }
  isStopped = false

  constructor(readonly deps: StoreDependencies, fateOf: (child: Region) => ChildFate) {
    this.env = deps.env
    this.config = deps.config
    this.engine = deps.engine
    this.log = deps.raftLog
    this.plants = deps.plants ?? noPlants
    const { engine, evaluator } = deps
    this.applier = new Applier({ engine, evaluator, plants: this.plants, fateOf, guarded: run => { this.guarded(run) } })
  }

  /** Runs store code that somebody else calls. Whatever it throws is a broken invariant or disk: the store stops. */
  guarded(run: () => void): void {
    if (this.isStopped) return
    try {
      run()
    } catch (error) {
      this.isStopped = true
      this.deps.onFatal(error instanceof Error ? error : new Error(String(error)))
    }
  }

  later(delayMs: number, run: () => void): void {
    this.env.setTimer(delayMs, () => { this.guarded(run) })
  }
}
