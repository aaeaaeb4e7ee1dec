import type { RegionId } from '../../common/ids.js'
import type { Operator } from '../../wire/messages.js'
import type { RegionRecord } from './region-record.js'

export interface OperatorConfig {
  /** An operator that is not carried out by then is given up. */
  readonly operatorTimeoutMs: number
  /** `replica-schedule-limit`: the checker's operators under way at a time. */
  readonly replicaScheduleLimit: number
}

export type OperatorSource = 'checker' | 'manual'

interface Pending {
  readonly operator: Operator
  readonly source: OperatorSource
  readonly deadlineMs: number
}

/** done: carried out. void: the region changed in another way. late: out of time. */
export type OperatorEnd = 'done' | 'void' | 'late'

/** At most one operator a region. It is repeated with each heartbeat of the region until it is done, void or late. */
export class Operators {
  readonly #pending = new Map<RegionId, Pending>()
  #fromChecker = 0

  constructor(readonly config: OperatorConfig) {}

  get size(): number { return this.#pending.size }
  get checkerHasRoom(): boolean { return this.#fromChecker < this.config.replicaScheduleLimit }

  of(regionId: RegionId): Operator | undefined { return this.#pending.get(regionId)?.operator }

  all(): readonly { readonly operator: Operator; readonly source: OperatorSource }[] {
    return [...this.#pending.values()]
  }

  /** Takes the place of an operator of the checker. @returns false when a manual one is under way */
  add(operator: Operator, source: OperatorSource, nowMs: number): boolean {
    const known = this.#pending.get(operator.regionId)
    if (known !== undefined && known.source === 'manual' && nowMs < known.deadlineMs) return false
    this.#remove(operator.regionId)
    this.#pending.set(operator.regionId, { operator, source, deadlineMs: nowMs + this.config.operatorTimeoutMs })
    if (source === 'checker') this.#fromChecker++
    return true
  }

  /** The region reports. @returns how its operator ended, or undefined when it goes on or there is none */
  observe(region: RegionRecord, nowMs: number): OperatorEnd | undefined {
    const pending = this.#pending.get(region.regionId)
    if (pending === undefined) return undefined
    const end = endOf(pending.operator, region) ?? (nowMs >= pending.deadlineMs ? 'late' : undefined)
    if (end !== undefined) this.#remove(region.regionId)
    return end
  }

  /** Regions that no longer report must not hold the checker's places for ever. */
  expire(nowMs: number): void {
    for (const [id, pending] of this.#pending) if (nowMs >= pending.deadlineMs) this.#remove(id)
  }

  #remove(id: RegionId): void {
    if (this.#pending.get(id)?.source === 'checker') this.#fromChecker--
    this.#pending.delete(id)
  }
}

function endOf(operator: Operator, region: RegionRecord): OperatorEnd | undefined {
  const isDone = isCarriedOut(operator, region)
  if (isDone) return 'done'
  const { confVer, version } = operator.epoch
  return region.confVer !== confVer || region.version !== version ? 'void' : undefined
}

function isCarriedOut(operator: Operator, region: RegionRecord): boolean {
  if (operator.kind === 'splitRegion') return region.version > operator.epoch.version
  if (operator.kind === 'transferLeader') return region.leaderId === operator.peer.peerId
  const peer = region.peers().find(one => one.peerId === operator.peer.peerId)
  switch (operator.kind) {
    case 'addLearner': return peer !== undefined
    case 'promoteLearner': return peer?.role === 'voter'
    case 'removePeer': return peer === undefined
  }
}
