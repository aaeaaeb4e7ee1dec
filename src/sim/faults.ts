import { partition, partitionShapes } from './links.js'
import type { LinkQuality, Links } from './links.js'
import type { SimRandom } from './random.js'
import type { Scheduler } from './scheduler.js'
import type { SimDisk } from './sim-disk.js'
import type { SimNode } from './sim-env.js'

/** Kinds of faults that strike at moments. Rates are per simulated second; 0 = off in this run. */
export interface FaultRates {
  readonly kill: number
  readonly powerLoss: number
  readonly killAll: number
  readonly pause: number
  readonly partition: number
  readonly reset: number
  readonly clog: number
  readonly slowDisk: number
  readonly syncFailure: number
  readonly wipe: number
  readonly wallJump: number
  /** Sleeps, and wakes up cut off from the others. */
  readonly sleepAlone: number
}
export type FaultKind = keyof FaultRates

export interface FaultPlan {
  readonly rates: FaultRates
  /** Mean time until a dead node comes back. */
  readonly downMeanMs: number
  readonly pauseMeanMs: number
  readonly partitionMeanMs: number
  readonly links: LinkQuality
  readonly diskSyncMeanMs: number
  readonly flushMeanMs: number
  /** Monotonic clocks run at 1 ± this. */
  readonly driftMax: number
  /** Probability that a passed fail-point kills. */
  readonly failpointKill: number
  /** Probability that a strike at one node goes at the leader. */
  readonly aim: number
  /** Probability that a new leader is struck soon after its election, and how soon: Raft's figure 8 in slow motion. */
  readonly churn: number
  readonly churnMeanMs: number
}

/** Which kinds are on at all is drawn first, then how hard they are: a run with everything on hides what needs quiet. */
export function drawFaults(random: SimRandom): FaultPlan {
  const quiet = random.chance(0.06)
  const on = (probability: number): boolean => !quiet && random.chance(probability)
  const rate = (probability: number, low: number, high: number): number => {
    const chosen = random.between(low, high)
    return on(probability) ? Number(chosen.toFixed(3)) : 0
  }
  return {
    rates: {
      kill: rate(0.5, 0.05, 0.6), powerLoss: rate(0.4, 0.05, 0.5), killAll: rate(0.15, 0.01, 0.06), pause: rate(0.35, 0.05, 0.4),
      partition: rate(0.5, 0.05, 0.5), reset: rate(0.3, 0.1, 1), clog: rate(0.3, 0.05, 0.5), slowDisk: rate(0.35, 0.05, 0.4),
      syncFailure: rate(0.2, 0.02, 0.15), wipe: rate(0.2, 0.01, 0.06), wallJump: rate(0.3, 0.05, 0.5),
      sleepAlone: rate(0.3, 0.03, 0.3),
    },
    downMeanMs: Math.round(random.between(100, 4_000)),
    pauseMeanMs: Math.round(random.between(100, 3_000)),
    partitionMeanMs: Math.round(random.between(300, 5_000)),
    links: {
      delayMinMs: 0.05, delayMeanMs: Number((on(0.3) ? random.between(1, 60) : random.between(0.1, 1)).toFixed(2)),
      loss: on(0.35) ? Number(random.between(0.001, 0.25).toFixed(3)) : 0,
      duplicate: on(0.35) ? Number(random.between(0.01, 0.3).toFixed(3)) : 0,
      reorder: on(0.35) ? Number(random.between(0.01, 0.3).toFixed(3)) : 0,
      reorderMs: Math.round(random.between(5, 1_500)),
    },
    diskSyncMeanMs: Number((on(0.3) ? random.between(5, 40) : random.between(0.1, 2)).toFixed(2)),
    flushMeanMs: Math.round(random.between(1, 80)),
    driftMax: on(0.4) ? Number(random.between(0, 0.04).toFixed(3)) : 0,
    failpointKill: on(0.25) ? Number(random.between(0.0005, 0.01).toFixed(4)) : 0,
    aim: on(0.5) ? random.pick([0.3, 0.6, 0.9])! : 0,
    churn: on(0.3) ? random.pick([0.3, 0.7, 1])! : 0,
    churnMeanMs: random.pick([3, 30, 300])!,
  }
}

/** What the faults strike. */
export interface FaultTargets {
  readonly nodes: readonly SimNode[]
  readonly links: Links
  diskOf(node: SimNode): SimDisk | undefined
  /** May this node be struck now so that the cluster stays recoverable? */
  mayWipe(node: SimNode): boolean
  restart(node: SimNode): void
  wipe(node: SimNode): void
  resetConnections(node: SimNode): void
  /** Who leads, as far as one can say. */
  leading(): SimNode | undefined
  /** Others that a partition may cut off: clients. */
  readonly bystanders: readonly string[]
}

/** Strikes at drawn moments until it is stopped. Everything it breaks ends by itself, or by heal(). */
export class Nemesis {
  /** Until it starts, and again when it stops. */
  #isStopped = true
  readonly counts = new Map<string, number>()

  constructor(readonly plan: FaultPlan, readonly targets: FaultTargets, readonly scheduler: Scheduler,
    readonly random: SimRandom, readonly note: (kind: string, detail: string) => void) {}

  start(): void {
    this.#isStopped = false
    this.targets.links.quality = this.plan.links
    for (const node of this.targets.nodes) {
      const disk = this.targets.diskOf(node)
      if (disk !== undefined) {
        disk.quality = { ...disk.quality, syncMeanMs: this.plan.diskSyncMeanMs, flushMeanMs: this.plan.flushMeanMs }
      }
      node.clock.setRate(1 + (this.random.float() * 2 - 1) * this.plan.driftMax)
    }
    for (const [kind, rate] of Object.entries(this.plan.rates) as [FaultKind, number][]) {
      if (rate > 0) this.#scheduleNext(kind, rate)
    }
  }

  /** No more strikes; what is broken stays broken until heal(). */
  stop(): void { this.#isStopped = true }

  heal(): void {
    this.stop()
    this.targets.links.heal()
    for (const node of this.targets.nodes) {
      const disk = this.targets.diskOf(node)
      if (disk !== undefined) {
        disk.stuckUntil = 0
        disk.failNextSync = false
        disk.stalledUntil = 0
        disk.quality = { ...disk.quality, syncMeanMs: 0.5, flushMeanMs: 4, stallChance: 0 }
      }
      node.resume()
      if (!node.isAlive) this.targets.restart(node)
    }
  }

  #scheduleNext(kind: FaultKind, rate: number): void {
    this.scheduler.after(this.random.exponential(1_000 / rate), () => {
      if (this.#isStopped) return
      const what = this.#strike(kind)
      if (what !== undefined) {
        this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
        this.note(kind, what)
      }
      this.#scheduleNext(kind, rate)
    })
  }

  #strike(kind: FaultKind): string | undefined {
    const aimed = this.plan.aim > 0 && this.random.chance(this.plan.aim) ? this.targets.leading() : undefined
    const node = aimed ?? this.random.pick(this.targets.nodes)!
    switch (kind) {
      case 'kill': return this.kill(node, false)
      case 'powerLoss': return this.kill(node, true)
      case 'killAll': {
        for (const one of this.targets.nodes) this.kill(one, true)
        return 'all'
      }
      case 'pause': return this.#pause(node)
      case 'partition': return this.#partition(aimed)
      case 'sleepAlone': return this.#sleepAlone(this.targets.leading() ?? node)
      case 'reset':
        this.targets.resetConnections(node)
        return node.name
      case 'clog': return this.#clog(node)
      case 'slowDisk': return this.#slowDisk(node)
      case 'syncFailure': {
        const disk = this.targets.diskOf(node)
        if (disk === undefined) return undefined
        disk.failNextSync = true
        return node.name
      }
      case 'wipe': return this.#wipe(node)
      case 'wallJump': return this.#jump(node)
      default: return undefined
    }
  }

  /** Comes back by itself. */
  kill(node: SimNode, power: boolean): string | undefined {
    if (!node.isAlive) return undefined
    node.kill(power ? 'power loss' : 'kill', power ? 'off' : 'on')
    const lost = this.targets.diskOf(node)?.crash(power)
    this.#restartLater(node)
    return `${node.name}${lost === undefined ? '' : ` kept ${lost.kept} of ${lost.pending} un-synced`}`
  }

  /** A node that ended by itself (a failed sync, a fail-point). */
  ended(node: SimNode): void {
    const lost = this.targets.diskOf(node)?.crash(false)
    this.note('ended', `${node.name}${lost === undefined ? '' : ` kept ${lost.kept} of ${lost.pending} un-synced`}`)
    this.#restartLater(node)
  }

  /** Somebody has just begun to lead. */
  onLeader(node: SimNode): void {
    if (this.#isStopped || this.plan.churn === 0 || !this.random.chance(this.plan.churn)) return
    const strike = this.random.pick(['kill', 'powerLoss', 'pause', 'partition'] as const)!
    this.scheduler.after(this.random.exponential(this.plan.churnMeanMs), () => {
      if (this.#isStopped) return
      const what = strike === 'pause' ? this.#pause(node) : strike === 'partition' ? this.#partition(node)
        : this.kill(node, strike === 'powerLoss')
      if (what === undefined) return
      this.counts.set('churn', (this.counts.get('churn') ?? 0) + 1)
      this.note('churn', `${strike} ${what}`)
    })
  }

  #restartLater(node: SimNode): void {
    this.scheduler.after(10 + this.random.exponential(this.plan.downMeanMs), () => {
      if (!this.#isStopped && !node.isAlive) this.targets.restart(node)
    })
  }

  #pause(node: SimNode): string | undefined {
    if (!node.isAlive || node.isPaused) return undefined
    node.pause()
    const ms = this.random.exponential(this.plan.pauseMeanMs)
    this.scheduler.after(ms, () => { node.resume() })
    return `${node.name} ${ms.toFixed(0)} ms`
  }

  #jump(node: SimNode): string {
    const most = this.random.pick([400, 1_000, 2_000, 5_000, 3_600_000])!
    const by = Math.round((this.random.float() * 2 - 1.2) * most)
    node.clock.jumpWall(by)
    return `${node.name} ${by} ms`
  }

  /** What was sent to it meets what it has missed. Longer cut than asleep: it wakes up and knows nothing. */
  #sleepAlone(node: SimNode): string | undefined {
    if (!node.isAlive || node.isPaused || this.targets.links.cutCount > 0) return undefined
    const asleepMs = this.random.between(300, 4_000)
    node.pause()
    this.scheduler.after(asleepMs, () => { node.resume() })
    const cutAfterMs = this.random.exponential(30)
    const cutMs = asleepMs + this.random.exponential(600)
    this.scheduler.after(cutAfterMs, () => { this.#cutOff(node, cutMs) })
    return `${node.name} ${asleepMs.toFixed(0)} ms, cut off for ${cutMs.toFixed(0)} ms`
  }

  /** From the other targets, not from bystanders: clients still reach it. */
  #cutOff(node: SimNode, ms: number): void {
    const { links, nodes } = this.targets
    if (this.#isStopped || links.cutCount > 0) return
    const names = [node.name, ...nodes.filter(other => other !== node).map(other => other.name)]
    partition(links, names, this.random.chance(0.3) ? 'isolate' : 'deafen', this.random)
    this.scheduler.after(ms, () => { links.healPartitions() })
    // Whoever is alone for a while finds its clock corrected.
    if (this.plan.rates.wallJump === 0 || this.random.chance(0.5)) return
    for (let times = 1 + this.random.below(3); times > 0; times--) {
      this.scheduler.after(this.random.between(0, ms), () => { if (!this.#isStopped) this.note('wallJump', this.#jump(node)) })
    }
  }

  /** Somebody was asked to hand its leadership over: a moment of two leaders, if anything is wrong. */
  onHandOver(node: SimNode): void {
    if (this.#isStopped || this.plan.churn === 0 || !this.random.chance(this.plan.churn)) return
    this.scheduler.after(this.random.exponential(this.random.pick([0.5, 3, 20])!), () => {
      this.counts.set('handOver', (this.counts.get('handOver') ?? 0) + 1)
      this.note('handOver', `cut off ${node.name}`)
      this.#cutOff(node, this.random.between(100, 1_500))
    })
  }

  /** @param node whom it should hit; undefined: anyone */
  #partition(node?: SimNode): string | undefined {
    if (this.targets.links.cutCount > 0) return undefined
    const others = this.random.chance(0.3) ? this.targets.bystanders : []
    const names = this.random.shuffled([...this.targets.nodes.map(one => one.name), ...others])
    if (node !== undefined) names.unshift(...names.splice(names.indexOf(node.name), 1))
    const shape = this.random.pick(partitionShapes)!
    const what = partition(this.targets.links, names, shape, this.random)
    const ms = this.random.exponential(this.plan.partitionMeanMs)
    this.scheduler.after(ms, () => { this.targets.links.healPartitions() })
    return `${what} for ${ms.toFixed(0)} ms`
  }

  #clog(node: SimNode): string {
    const until = this.scheduler.now + this.random.exponential(2_000)
    const others = this.targets.nodes.filter(other => other !== node && this.random.chance(0.5))
    for (const other of others) this.targets.links.clog(node.name, other.name, until)
    return `${node.name} → ${others.map(other => other.name).join(' ')} until ${until.toFixed(0)}`
  }

  #slowDisk(node: SimNode): string | undefined {
    const disk = this.targets.diskOf(node)
    if (disk === undefined) return undefined
    const ms = this.random.between(50, 3_000)
    disk.stuckUntil = this.scheduler.now + ms
    return `${node.name} ${ms.toFixed(0)} ms`
  }

  #wipe(node: SimNode): string | undefined {
    if (!this.targets.mayWipe(node)) return undefined
    node.kill('power loss', 'off')
    this.targets.wipe(node)
    this.#restartLater(node)
    return node.name
  }
}

/** For the head of a report: only what is on. */
export function describePlan(plan: FaultPlan): string {
  const rates = Object.entries(plan.rates).filter(([, rate]) => rate > 0).map(([kind, rate]) => `${kind}=${rate}/s`)
  const { links } = plan
  return [
    ...rates, `delay=${links.delayMeanMs}ms`, ...(links.loss > 0 ? [`loss=${links.loss}`] : []),
    ...(links.duplicate > 0 ? [`dup=${links.duplicate}`] : []),
    ...(links.reorder > 0 ? [`reorder=${links.reorder}/${links.reorderMs}ms`] : []), `sync=${plan.diskSyncMeanMs}ms`,
    ...(plan.driftMax > 0 ? [`drift=${plan.driftMax}`] : []),
    ...(plan.failpointKill > 0 ? [`failpoint-kill=${plan.failpointKill}`] : []), `down=${plan.downMeanMs}ms`,
    ...(plan.aim > 0 ? [`aim=${plan.aim}`] : []), ...(plan.churn > 0 ? [`churn=${plan.churn}/${plan.churnMeanMs}ms`] : []),
  ].join(' ')
}
