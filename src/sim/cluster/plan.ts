import type { PdConfig } from '../../pd/config.js'
import type { StoreConfig } from '../../store/api.js'
import { defaultStoreConfig } from '../../store/config.js'
import type { FaultPlan } from '../faults.js'
import { describePlan, drawFaults } from '../faults.js'
import type { SimRandom } from '../random.js'

/** Everything that a seed decides before its cluster starts. */
export interface ClusterPlan {
  readonly pds: number
  readonly stores: number
  readonly safetyMs: number
  readonly faults: FaultPlan
  readonly store: StoreConfig
  readonly pd: Partial<PdConfig>
  readonly disk: {
    readonly inlineBytesMax: number
    readonly persistChance: number
    readonly stallChance: number
    readonly stallMeanMs: number
  }
  readonly raft: RaftNoise
  readonly clients: number
  readonly loops: number
  readonly keys: number
  readonly valueBytes: number
  readonly thinkMs: number
  /** Mean ms between requests of the client that knows who claims to lead; 0: there is none. */
  readonly probeMs: number
  readonly admin: AdminPlan
}

/** What happens to single raft messages on top of what the streams do: as if links broke between them. */
export interface RaftNoise {
  readonly loss: number
  readonly duplicate: number
  /** Copies come back this much later, on average; some of them much later. */
  readonly lateMs: number
}

/** Mean ms between actions of a kind; 0: never. */
export interface AdminPlan {
  readonly split: number
  readonly transfer: number
  readonly move: number
  readonly pdOperators: number
}

export function drawClusterPlan(random: SimRandom): ClusterPlan {
  const stalls = random.fork('stalls')
  const noisy = random.chance(0.5)
  const faults = drawFaults(random)
  const mean = (probability: number, low: number, high: number): number =>
    random.chance(probability) ? Math.round(random.between(low, high)) : 0
  return {
    pds: random.chance(0.2) ? 3 : 1, stores: random.pick([3, 3, 4, 4, 5])!, safetyMs: Math.round(random.between(15_000, 45_000)),
    faults, store: drawStoreConfig(random),
    pd: {
      storeDisconnectMs: 3_000, maxStoreDownMs: 10_000, operatorTimeoutMs: 5_000, compactEntries: 60, compactKeepEntries: 10,
      idWindowIds: 20,
    },
    disk: { inlineBytesMax: random.pick([64, 16 << 10])!, persistChance: random.pick([0, 0.01, 0.2])!, ...drawStalls(stalls) },
    raft: {
      loss: noisy ? random.pick([0, 0.01, 0.1])! : 0, duplicate: noisy ? random.pick([0.02, 0.1, 0.3])! : 0,
      lateMs: random.pick([20, 200, 2_000])!,
    },
    clients: 1 + random.below(3), loops: 2 + random.below(4), keys: random.pick([2, 4, 8])!, valueBytes: random.pick([0, 0, 300])!,
    thinkMs: random.pick([10, 40, 150])!, probeMs: random.pick([0, 15, 40, 120])!,
    admin: {
      split: mean(0.6, 1_500, 8_000), transfer: mean(0.5, 200, 4_000), pdOperators: mean(0.3, 1_000, 6_000),
      // Who takes replicas away by hand while a disk is lost may take the last ones.
      move: faults.rates.wipe > 0 ? 0 : mean(0.6, 1_000, 6_000),
    },
  }
}

/** Most engines stall now and then: for a moment often, or for seconds. */
function drawStalls(random: SimRandom): { readonly stallChance: number; readonly stallMeanMs: number } {
  const stallMeanMs = random.pick([5, 80, 1_000, 3_000])!
  return { stallChance: random.chance(0.6) ? random.pick([1, 8, 30])! / (stallMeanMs * 10) : 0, stallMeanMs }
}

function drawStoreConfig(random: SimRandom): StoreConfig {
  return {
    ...defaultStoreConfig,
    raftMessageBytesMax: random.pick([60, 400, 1 << 20])!, raftInflightMessagesMax: random.pick([1, 4, 256])!,
    logGcTickMs: random.pick([100, 1_000])!, logGcCountLimit: random.pick([3, 20, 200])!, idleFlushMs: random.pick([100, 700, 5_000])!,
    snapshotChunkBytes: random.pick([60, 256 << 10])!, regionHeartbeatMs: 1_000, storeHeartbeatMs: 700, peerStaleMs: 3_000,
    snapshotConcurrencyMax: random.pick([1, 4])!,
  }
}

export function describeCluster(plan: ClusterPlan): string {
  const { store, admin, raft } = plan
  const kinds = Object.entries(admin).filter(([, ms]) => ms > 0).map(([kind, ms]) => `${kind}/${ms}ms`)
  return `${plan.pds} pd, ${plan.stores} stores, ${plan.safetyMs} ms; ${describePlan(plan.faults)}; ` +
    `raft loss=${raft.loss} dup=${raft.duplicate} late=${raft.lateMs}ms; message=${store.raftMessageBytesMax}B ` +
    `inflight=${store.raftInflightMessagesMax} gc=${store.logGcCountLimit}/${store.logGcTickMs}ms flush=${store.idleFlushMs}ms ` +
    `chunk=${store.snapshotChunkBytes}B persist=${plan.disk.persistChance} stall=${plan.disk.stallChance}/${plan.disk.stallMeanMs}ms; ` +
    `${plan.clients}x${plan.loops} clients ${plan.keys} keys think=${plan.thinkMs}ms probe=${plan.probeMs}ms; ` +
    (kinds.join(' ') || 'no admin')
}
