import type { Env } from '../common/env.js'
import type { ServerError } from '../common/errors.js'
import { peerId } from '../common/ids.js'
import type { RegionId, StoreId } from '../common/ids.js'
import type { Operator, RegionBeat, StoreMeta } from '../wire/messages.js'
import type { PdConfig } from './config.js'
import { Backoffs } from './core/backoffs.js'
import { Learners } from './core/learners.js'
import { burialCost, burialText, operatorRefusal } from './core/operator-safety.js'
import { Operators } from './core/operators.js'
import type { RegionRecord } from './core/region-record.js'
import type { RegionTree } from './core/region-tree.js'
import { checkReplicas } from './core/replica-checker.js'
import type { Circumstances, ReplicaStep, StoreView } from './core/replica-checker.js'
import type { StoreLiveness } from './core/store-liveness.js'
import { noSpaceKnown } from './core/store-space.js'

export interface SchedulerPort {
  readonly env: Env
  readonly config: PdConfig
  readonly tree: RegionTree
  readonly liveness: StoreLiveness
  readonly stores: () => ReadonlyMap<StoreId, StoreMeta>
  /** All ids up to here are given away. */
  readonly idBound: () => number
  /** undefined: none at hand, soon there will be. */
  readonly takeId: () => number | undefined
}

/** Operators for other regions of the same store that one answer carries, and how many are looked at for them. */
const extraOperatorsMax = 128
const waitingLookedAtMax = 512

/**
 * What becomes of heartbeats: one operator a region, and not more replicas made at a time than there are places. Regions that
 * found no place are remembered by their leader's store: whatever it sends next, the answer brings what is possible by then.
 */
export class ReplicaScheduler {
  readonly operators: Operators
  readonly learners = new Learners()
  readonly #port: SchedulerPort
  readonly #lateRegions: Backoffs<RegionId>
  readonly #badStores: Backoffs<StoreId>
  readonly #waiting = new Map<StoreId, Set<RegionId>>()

  constructor(port: SchedulerPort) {
    this.#port = port
    const { operatorBackoffMsMin, operatorBackoffMsMax } = port.config
    this.operators = new Operators(port.config)
    this.#lateRegions = new Backoffs(operatorBackoffMsMin, operatorBackoffMsMax)
    this.#badStores = new Backoffs(operatorBackoffMsMin, operatorBackoffMsMax)
  }

  get #nowMs(): number { return this.#port.env.clock.monotonicMs() }

  storeViews(): ReadonlyMap<StoreId, StoreView> {
    const { liveness, tree } = this.#port
    const nowMs = this.#nowMs
    const views = new Map<StoreId, StoreView>()
    for (const meta of this.#port.stores().values()) {
      const { storeId } = meta
      const stats = liveness.statsOf(storeId)
      views.set(storeId, {
        meta, liveness: liveness.of(storeId, nowMs), isBusy: stats?.isBusy ?? false, regions: tree.countsOf(storeId).regions,
        space: stats ?? noSpaceKnown,
      })
    }
    return views
  }

  #around(region: RegionRecord, nowMs: number): Circumstances {
    return {
      stuckMs: this.learners.stuckMs(region.regionId, nowMs),
      joiningOn: store => this.learners.on(store),
      avoided: store => this.#badStores.reason(store, nowMs),
    }
  }

  onBeats(beats: readonly RegionBeat[]): readonly Operator[] {
    const { tree } = this.#port
    const operators: Operator[] = []
    const views = new Lazy(() => this.storeViews())
    const nowMs = this.#nowMs
    let from: StoreId | undefined
    for (const beat of beats) {
      if (tree.putBeat(beat, nowMs) === 'stale') continue
      from ??= beat.leader.storeId
      const record = tree.byId(beat.region.regionId)
      if (record === undefined) continue
      this.#observe(record, nowMs)
      this.#reconsider(record, views)
      const operator = this.operators.of(record.regionId) ?? this.#schedule(record, views, nowMs)
      if (operator !== undefined) operators.push(operator)
    }
    if (from !== undefined) this.#scheduleWaiting(from, views, nowMs, operators)
    return operators
  }

  /** What the report says of the operator and the learner of its region. */
  #observe(record: RegionRecord, nowMs: number): void {
    const { regionId } = record
    const pending = this.operators.pendingOf(regionId)
    const end = this.operators.observe(record, nowMs)
    if (end === 'late') this.#isLate(regionId)
    else if (end === 'done') this.#lateRegions.succeeded(regionId)
    if (end === 'done' && pending?.operator.kind === 'promoteLearner') this.#badStores.succeeded(pending.operator.peer.storeId)
    if (end !== undefined && end !== 'done') this.learners.givenUp(regionId)
    this.learners.observe(record, nowMs)
  }

  /** What was harmless when people asked for it may cost the quorum by now. */
  #reconsider(record: RegionRecord, views: Lazy<ReadonlyMap<StoreId, StoreView>>): void {
    const pending = this.operators.pendingOf(record.regionId)
    if (pending?.source !== 'manual') return
    const { operator } = pending
    const isForced = operator.kind !== 'splitRegion' && operator.isForced === true
    const refusal = operatorRefusal(operator, record, views.value, this.#port.config, this.#port.idBound(), isForced)
    if (refusal === undefined) return
    this.operators.cancel(record.regionId)
    this.learners.givenUp(record.regionId)
    const reason = 'reason' in refusal ? refusal.reason : refusal.kind
    this.#port.env.log('warn', 'pd.operator-withdrawn', { region: record.regionId, kind: operator.kind, reason })
  }

  #isLate(regionId: RegionId): void {
    this.learners.givenUp(regionId)
    this.#lateRegions.failed(regionId, 'an operator was not carried out in time', this.#nowMs)
    this.#port.env.log('warn', 'pd.operator-late', { region: regionId })
  }

  #schedule(record: RegionRecord, views: Lazy<ReadonlyMap<StoreId, StoreView>>, nowMs: number): Operator | undefined {
    const { regionId } = record
    if (this.#lateRegions.reason(regionId, nowMs) !== undefined) return undefined
    const step = checkReplicas(record, views.value, this.#port.config, this.#around(record, nowMs))
    if (step.kind === 'none') return undefined
    // What ends a learner's time needs no place: it gives one back.
    const hasRoom = step.kind === 'addLearner' ? this.#mayAdd : this.operators.checkerHasRoom || this.learners.has(regionId)
    if (!hasRoom) {
      this.#remember(record)
      return undefined
    }
    const operator = this.#operatorFor(record, step)
    if (operator === undefined) return undefined
    if (step.kind === 'addLearner') this.learners.wished(regionId, { peerId: peerId(0), storeId: step.storeId, role: 'learner' }, nowMs)
    else if (step.isFailure === true) this.#badStores.failed(step.peer.storeId, step.reason, nowMs)
    this.operators.add(operator, 'checker', nowMs, step.reason)
    this.#log(operator, 'checker', step.reason)
    return operator
  }

  get #mayAdd(): boolean { return this.learners.size < this.#port.config.replicaScheduleLimit }

  #remember(record: RegionRecord): void {
    const store = record.leader?.storeId
    if (store === undefined) return
    const waiting = this.#waiting.get(store)
    if (waiting === undefined) this.#waiting.set(store, new Set([record.regionId]))
    else waiting.add(record.regionId)
  }

  #scheduleWaiting(store: StoreId, views: Lazy<ReadonlyMap<StoreId, StoreView>>, nowMs: number, operators: Operator[]): void {
    const waiting = this.#waiting.get(store)
    if (waiting === undefined || !this.#mayAdd) return
    let looked = 0
    let added = 0
    for (const regionId of [...waiting]) {
      if (!this.#mayAdd || added >= extraOperatorsMax || ++looked > waitingLookedAtMax) break
      waiting.delete(regionId)
      const record = this.#port.tree.byId(regionId)
      if (record?.leader?.storeId !== store || this.operators.of(regionId) !== undefined) continue
      const operator = this.#schedule(record, views, nowMs)
      if (operator === undefined) continue
      operators.push(operator)
      added++
    }
    if (waiting.size === 0) this.#waiting.delete(store)
  }

  #operatorFor(record: RegionRecord, step: Exclude<ReplicaStep, { kind: 'none' }>): Operator | undefined {
    const place = { regionId: record.regionId, epoch: { confVer: record.confVer, version: record.version } }
    if (step.kind !== 'addLearner') return { kind: step.kind, ...place, peer: step.peer }
    const id = this.#port.takeId()
    if (id === undefined) return undefined
    return { kind: 'addLearner', ...place, peer: { peerId: peerId(id), storeId: step.storeId, role: 'learner' } }
  }

  #log(operator: Operator, source: string, reason: string): void {
    const store = operator.kind === 'splitRegion' ? undefined : operator.peer.storeId
    this.#port.env.log('info', 'pd.operator', { region: operator.regionId, kind: operator.kind, store, source, reason })
  }

  /** What is in the way of a region, or done for it, in words. */
  explain(record: RegionRecord): string {
    const nowMs = this.#nowMs
    const pending = this.operators.pendingOf(record.regionId)
    if (pending !== undefined && pending.reason !== '') return pending.reason
    const step = checkReplicas(record, this.storeViews(), this.#port.config, this.#around(record, nowMs))
    if (step.kind === 'none') return step.reason
    const late = this.#lateRegions.reason(record.regionId, nowMs)
    if (late !== undefined) return `${step.reason}; ${late}`
    if (step.kind === 'addLearner' && !this.#mayAdd) return `${step.reason}; it waits: ${this.learners.size} replicas are being made`
    return step.reason
  }

  /** Why a wish of people is not passed on; the region was found and its epoch is right. */
  refusal(asked: Operator, record: RegionRecord, isForced: boolean): ServerError | undefined {
    const refusal = operatorRefusal(asked, record, this.storeViews(), this.#port.config, this.#port.idBound(), isForced)
    if (refusal !== undefined) this.operators.count(asked.kind, 'refused')
    return refusal
  }

  addManual(operator: Operator): ServerError | undefined {
    const nowMs = this.#nowMs
    if (!this.operators.add(operator, 'manual', nowMs, 'by hand')) {
      this.operators.count(operator.kind, 'refused')
      return { kind: 'InvalidArgument', reason: `region ${operator.regionId} has another operator under way` }
    }
    this.#lateRegions.succeeded(operator.regionId)
    if (operator.kind === 'addLearner') this.learners.wished(operator.regionId, operator.peer, nowMs)
    this.#log(operator, 'manual', 'by hand')
    return undefined
  }

  /** Why a store is not buried without force. */
  burialRefusal(storeId: StoreId): string | undefined {
    const { tree, config } = this.#port
    const there: RegionRecord[] = []
    if (tree.countsOf(storeId).regions > 0) {
      tree.walk(record => {
        for (let at = 0; at < record.peerCount; at++) if (record.storeAt(at) === storeId) there.push(record)
        return true
      })
    }
    const text = burialText(storeId, burialCost(storeId, there, this.storeViews(), config))
    if (text !== undefined || tree.coversAllKeys()) return text
    return `PD has not heard of all regions yet and cannot say what store ${storeId} holds; say --force if that is known`
  }

  patrol(nowMs: number): void {
    for (const regionId of this.operators.expire(nowMs)) this.#isLate(regionId)
    this.learners.expire(nowMs, this.#port.config.learnerTimeoutMs)
    this.#lateRegions.expire(nowMs)
    this.#badStores.expire(nowMs)
  }
}

/** Computed once, when somebody asks. */
class Lazy<T> {
  #value: T | undefined
  constructor(readonly make: () => T) {}
  get value(): T { return this.#value ??= this.make() }
}
