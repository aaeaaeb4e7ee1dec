import type { RegionId } from '../../common/ids.js'
import type { Operator } from '../../wire/messages.js'
import type { RegionRecord } from './region-record.js'

export interface OperatorConfig {
  /** An operator that is not carried out by then is given up. */
  readonly operatorTimeoutMs: number
  /** `replica-schedule-limit`: the checker's operators under way at a time; and replicas that are being made. */
  readonly replicaScheduleLimit: number
  /** An operator that failed is not tried again before this, and then twice as long each time … */
  readonly operatorBackoffMsMin: number
  /** … up to this. */
  readonly operatorBackoffMsMax: number
}

export type OperatorSource = 'checker' | 'manual'

export interface PendingOperator {
  readonly operator: Operator
  readonly source: OperatorSource
  readonly reason: string
  readonly deadlineMs: number
}

/** done: carried out. void: the region changed in another way. late: out of time. */
export type OperatorEnd = 'done' | 'void' | 'late'
export type OperatorOutcome = OperatorEnd | 'made' | 'replaced' | 'refused'

/** At most one operator a region. It is repeated with each heartbeat of the region until it is done, void or late. */
export class Operators {
  readonly #pending = new Map<RegionId, PendingOperator>()
  readonly #outcomes = new Map<string, number>()
  #fromChecker = 0

  constructor(readonly config: Pick<OperatorConfig, 'operatorTimeoutMs' | 'replicaScheduleLimit'>) {}

  get size(): number { return this.#pending.size }
  get checkerHasRoom(): boolean { return this.#fromChecker < this.config.replicaScheduleLimit }

  of(regionId: RegionId): Operator | undefined { return this.#pending.get(regionId)?.operator }
  pendingOf(regionId: RegionId): PendingOperator | undefined { return this.#pending.get(regionId) }

  all(): readonly PendingOperator[] { return [...this.#pending.values()] }

  /** How many operators of a kind ended in which way since this leadership began; `kind/outcome`. */
  get outcomes(): ReadonlyMap<string, number> { return this.#outcomes }

  count(kind: Operator['kind'], outcome: OperatorOutcome): void {
    const name = `${kind}/${outcome}`
    this.#outcomes.set(name, (this.#outcomes.get(name) ?? 0) + 1)
  }

  /** Takes the place of an operator of the checker. @returns false when another manual one is under way */
  add(operator: Operator, source: OperatorSource, nowMs: number, reason = ''): boolean {
    const known = this.#pending.get(operator.regionId)
    if (known !== undefined && known.source === 'manual' && nowMs < known.deadlineMs) {
      // Who lost the answer asks again.
      return source === 'manual' && isSame(known.operator, operator)
    }
    if (known !== undefined) this.count(known.operator.kind, 'replaced')
    this.#remove(operator.regionId)
    this.#pending.set(operator.regionId, { operator, source, reason, deadlineMs: nowMs + this.config.operatorTimeoutMs })
    if (source === 'checker') this.#fromChecker++
    this.count(operator.kind, 'made')
    return true
  }

  /** The region reports. @returns how its operator ended, or undefined when it goes on or there is none */
  observe(region: RegionRecord, nowMs: number): OperatorEnd | undefined {
    const pending = this.#pending.get(region.regionId)
    if (pending === undefined) return undefined
    const end = endOf(pending.operator, region) ?? (nowMs >= pending.deadlineMs ? 'late' : undefined)
    if (end === undefined) return undefined
    this.#remove(region.regionId)
    this.count(pending.operator.kind, end)
    return end
  }

  cancel(id: RegionId): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#remove(id)
    this.count(pending.operator.kind, 'refused')
  }

  /** Regions that no longer report must not hold the checker's places for ever. @returns theirs */
  expire(nowMs: number): readonly RegionId[] {
    const late: RegionId[] = []
    for (const [id, pending] of this.#pending) {
      if (nowMs < pending.deadlineMs) continue
      this.#remove(id)
      this.count(pending.operator.kind, 'late')
      late.push(id)
    }
    return late
  }

  #remove(id: RegionId): void {
    if (this.#pending.get(id)?.source === 'checker') this.#fromChecker--
    this.#pending.delete(id)
  }
}

function isSame(left: Operator, right: Operator): boolean {
  if (left.kind === 'splitRegion' || right.kind === 'splitRegion') return false
  const { peerId, storeId } = left.peer
  // A new replica has another id each time somebody asks.
  const isSamePeer = left.kind === 'addLearner' || peerId === right.peer.peerId
  return left.kind === right.kind && isSamePeer && storeId === right.peer.storeId
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
