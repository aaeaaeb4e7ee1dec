import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import type { PdMember } from './core/codec.js'
import type { LivenessConfig } from './core/store-liveness.js'
import type { OperatorConfig } from './core/operators.js'
import type { ReplicaConfig } from './core/replica-checker.js'
import type { TsoConfig } from './core/tso.js'

/** Outside names are PD's (in `…`). Times in ms, sizes in bytes. */
export interface PdConfig extends TsoConfig, LivenessConfig, ReplicaConfig, OperatorConfig {
  /** `tick-interval`. */
  readonly tickMs: number
  readonly heartbeatTicks: number
  /** `election-interval`, in ticks; a follower waits [n, 2n). */
  readonly electionTicks: number
  /** Vote guard. (leaseTicks - 1) · tickMs must exceed leaseMs by the drift of two clocks. */
  readonly leaseTicks: number
  /** `lease`: how long a confirmed leader may answer on its own. From the send of the confirming round on. */
  readonly leaseMs: number
  /** Entries after which the state is saved and the log is cut. */
  readonly compactEntries: number
  /** Entries kept behind the cut, for members that lag a little. */
  readonly compactKeepEntries: number
  /** Ids that one command reserves. */
  readonly idWindowIds: number
  /** Requests that wait for a timestamp window or a lease; then they are told to go elsewhere. */
  readonly waitMsMax: number
  readonly waitingMax: number
  /** How often the leader looks for lost stores and stale operators. `patrol-region-interval`. */
  readonly patrolMs: number
  readonly scanRegionsMax: number
  /** A request may not name more regions or new ids than this. */
  readonly splitCountMax: number
}

export const defaultPdConfig: PdConfig = {
  tickMs: 100,
  heartbeatTicks: 2,
  electionTicks: 15,
  leaseTicks: 7,
  leaseMs: 500,
  compactEntries: 2_000,
  compactKeepEntries: 200,
  idWindowIds: 1_000,
  saveIntervalMs: 3_000,
  forwardJumpMsMax: 1_000,
  waitMsMax: 2_000,
  waitingMax: 4_096,
  storeDisconnectMs: 20_000,
  maxStoreDownMs: 30 * 60_000,
  maxReplicas: 3,
  locationLabels: ['zone', 'rack', 'host'],
  lowSpaceRatio: 0.8,
  learnerTimeoutMs: 10 * 60_000,
  maxPendingPeers: 4,
  operatorTimeoutMs: 10 * 60_000,
  replicaScheduleLimit: 64,
  operatorBackoffMsMin: 10_000,
  operatorBackoffMsMax: 10 * 60_000,
  patrolMs: 1_000,
  scanRegionsMax: 4_096,
  splitCountMax: 1_024,
}

/** What cannot work, one line each; empty when all is well. */
export function checkPdConfig(config: PdConfig): readonly string[] {
  const mistakes: string[] = []
  const must = (condition: boolean, text: string): void => { if (!condition) mistakes.push(text) }
  must(config.tickMs > 0, 'tick-interval must be positive')
  must(config.electionTicks > config.heartbeatTicks, 'election-interval must exceed the heartbeat interval')
  must(config.leaseTicks <= config.electionTicks, 'the vote guard must not exceed the election interval')
  must((config.leaseTicks - 1) * config.tickMs >= config.leaseMs * 1.1,
    'lease must be 10 % shorter than the vote guard')
  must(config.saveIntervalMs >= 4 * config.tickMs, 'tso-save-interval must be at least four ticks')
  must(config.maxReplicas >= 1, 'max-replicas must be at least 1')
  must(config.maxStoreDownMs >= config.storeDisconnectMs, 'max-store-down-time must be at least 20s')
  must(config.compactEntries > config.compactKeepEntries, 'the log must be cut behind the entries that it keeps')
  must(config.lowSpaceRatio > 0 && config.lowSpaceRatio <= 1, 'low-space-ratio must be above 0 and at most 1')
  must(config.maxPendingPeers >= 1, 'max-pending-peer-count must be at least 1')
  must(config.learnerTimeoutMs > 0, 'learner-timeout must be positive')
  must(config.idWindowIds >= 1, 'the id window must not be empty')
  return mistakes
}

export type { PdMember } from './core/codec.js'

/**
 * FNV-1a over the name, 32 bits; never 0. All members agree on it, and a longer list changes nobody's id.
 */
export function memberIdOf(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0
  return hash === 0 ? 1 : hash
}

/**
 * `pd-1=http://10.0.0.1:2380,pd-2=http://10.0.0.2:2380` (`initial-cluster`); a name may come more than once.
 * Client URLs are not part of it: each member knows its own and has them recorded in PD's state.
 */
export function parseInitialCluster(text: string): Result<readonly PdMember[], string> {
  const urls = new Map<string, string[]>()
  for (const part of text.split(',').map(piece => piece.trim())) {
    const at = part.indexOf('=')
    if (at <= 0 || at === part.length - 1) return err(`initial-cluster: "${part}" is not name=url`)
    const name = part.substring(0, at)
    urls.set(name, [...urls.get(name) ?? [], part.substring(at + 1)])
  }
  const members = [...urls].map(([name, peerUrls]) => ({ name, memberId: memberIdOf(name), clientUrls: [], peerUrls }))
  if (new Set(members.map(member => member.memberId)).size !== members.length) {
    return err('initial-cluster: two names have the same id; rename one')
  }
  return ok(members)
}
