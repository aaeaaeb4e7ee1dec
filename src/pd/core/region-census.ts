import type { HealthProblem } from '../../wire/messages.js'
import type { RegionRecord } from './region-record.js'
import type { RegionTree } from './region-tree.js'

export interface RegionCounts {
  regions: number
  withoutLeader: number
  withMissingReplicas: number
  withPendingReplicas: number
  withDownReplicas: number
  withExtraReplicas: number
  learners: number
  holes: number
}

/** What is wrong with one region. */
export interface RegionVerdict {
  readonly hasLeader: boolean
  readonly voters: number
  readonly learners: number
  readonly isPending: boolean
  /** Replicas on stores that do not answer, or not to their leader. */
  readonly downStores: readonly number[]
  readonly leaderText: string
}

const nothing = (): RegionCounts => ({
  regions: 0, withoutLeader: 0, withMissingReplicas: 0, withPendingReplicas: 0, withDownReplicas: 0, withExtraReplicas: 0, learners: 0,
  holes: 0,
})

/** Problems that are told one by one; the rest is only counted. */
export const problemsMax = 100

/**
 * Counts all regions, a piece at a time: with a million of them one pass would hold up timestamps. What it says is of the last
 * pass that came to the end.
 */
export class RegionCensus {
  #counts = nothing()
  #problems: readonly HealthProblem[] = []
  #problemCount = 0
  #countedAtMs = 0
  #next = nothing()
  #found: HealthProblem[] = []
  #foundCount = 0
  #after: string | undefined
  #expected = ''

  get counts(): Readonly<RegionCounts> { return this.#counts }
  get problems(): readonly HealthProblem[] { return this.#problems }
  get problemCount(): number { return this.#problemCount }
  get countedAtMs(): number { return this.#countedAtMs }

  /** @param isStarted  there is a first region: then keys without one are a hole */
  step(
    tree: RegionTree, regionsMax: number, maxReplicas: number, isStarted: boolean, judge: (region: RegionRecord) => RegionVerdict,
    nowMs: number,
  ): void {
    let left = regionsMax
    let isCut = false
    tree.walkAfter(this.#after, region => {
      if (left-- <= 0) {
        isCut = true
        return false
      }
      this.#after = region.start
      if (region.start !== this.#expected) this.#hole()
      this.#expected = region.end === '' ? noMore : region.end
      this.#add(region, judge(region), maxReplicas)
      return true
    })
    if (isCut) return
    if (this.#expected !== noMore && isStarted) this.#hole()
    this.#publish(nowMs)
  }

  #hole(): void {
    this.#next.holes++
    this.#problem('hole', 0, 'PD knows no region for a stretch of keys')
  }

  #problem(kind: string, subject: number, text: string): void {
    this.#foundCount++
    if (this.#found.length < problemsMax) this.#found.push({ kind, subject, text })
  }

  #add(region: RegionRecord, verdict: RegionVerdict, maxReplicas: number): void {
    const counts = this.#next
    const { regionId } = region
    counts.regions++
    counts.learners += verdict.learners
    if (!verdict.hasLeader) {
      counts.withoutLeader++
      this.#problem('region-without-leader', regionId, `region ${regionId} has no leader: ${verdict.leaderText}`)
    }
    if (verdict.voters < maxReplicas) {
      counts.withMissingReplicas++
      this.#problem('region-missing-replicas', regionId, `region ${regionId} has ${verdict.voters} of ${maxReplicas} replicas`)
    }
    if (verdict.voters > maxReplicas) {
      counts.withExtraReplicas++
      this.#problem('region-extra-replicas', regionId, `region ${regionId} has ${verdict.voters} replicas, ${maxReplicas} are wanted`)
    }
    if (verdict.downStores.length > 0) {
      counts.withDownReplicas++
      this.#problem('region-down-replicas', regionId,
        `region ${regionId}: the replica on store ${verdict.downStores.join(', ')} does not answer`)
    }
    if (verdict.isPending) {
      counts.withPendingReplicas++
      this.#problem('region-pending-replicas', regionId, `region ${regionId} has a replica that has not caught up`)
    }
  }

  #publish(nowMs: number): void {
    this.#counts = this.#next
    this.#problems = this.#found
    this.#problemCount = this.#foundCount
    this.#countedAtMs = nowMs
    this.#next = nothing()
    this.#found = []
    this.#foundCount = 0
    this.#after = undefined
    this.#expected = ''
  }
}

/** No key text: they have one-byte characters only. */
const noMore = '\uffff'
