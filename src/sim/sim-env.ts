import type { Clock, Env, LogFields, LogLevel, Network, Timer } from '../common/env.js'
import { NodeKilled } from './failure.js'
import { hashText, type SimRandom } from './random.js'
import type { Scheduler } from './scheduler.js'
import type { Trace } from './trace.js'

/** What a node's Env needs of the world around it. */
export interface SimWorld {
  readonly scheduler: Scheduler
  readonly trace: Trace
  readonly random: SimRandom
  /** An exception left the node's code. In production the process would be gone. */
  onCrash(node: SimNode, error: unknown): void
  /** The node ended by its own doing: a fail-point or a broken disk. */
  onEnded(node: SimNode): void
  /** Throws NodeKilled to end the node at this point, or does nothing. */
  onFailpoint(node: SimNode, name: string): void
  networkOf(env: SimEnv): Network
}

/**
 * A machine with a name. Its process may be killed and started again (`boot`), paused and resumed; its clocks are its own
 * and live on. Whatever an earlier process scheduled never runs.
 */
export class SimNode {
  readonly random: SimRandom
  readonly clock: SimClock
  #env: SimEnv | undefined
  #boots = 0
  #paused: (() => void)[] | undefined

  constructor(readonly world: SimWorld, readonly name: string) {
    this.random = world.random.fork(name)
    this.clock = new SimClock(world.scheduler, this.random)
  }

  get env(): SimEnv | undefined { return this.#env }
  get isAlive(): boolean { return this.#env !== undefined }
  get isPaused(): boolean { return this.#paused !== undefined }
  get boots(): number { return this.#boots }
  /** Is there a machine that could say "nobody listens here"? A process may be dead on it. */
  isMachineUp = true

  boot(): SimEnv {
    this.kill('replaced')
    this.isMachineUp = true
    this.#boots++
    const env = new SimEnv(this, this.#boots)
    this.#env = env
    this.note('boot', `life ${this.#boots}`)
    return env
  }

  /** @param machine 'off': the power is gone, too */
  kill(reason: string, machine: 'on' | 'off' = 'on'): void {
    const env = this.#env
    if (machine === 'off') this.isMachineUp = false
    if (env === undefined) return
    this.note('kill', reason)
    this.#env = undefined
    this.#paused = undefined
    env.end()
  }

  pause(): void {
    if (this.#env === undefined || this.#paused !== undefined) return
    this.note('pause', '')
    this.#paused = []
  }

  /** Everything that came up meanwhile happens now, in its order. */
  resume(): void {
    const held = this.#paused
    if (held === undefined) return
    this.note('resume', `${held.length} events held`)
    this.#paused = undefined
    for (const run of held) run()
  }

  /** Runs code of this node's present life, or holds it while paused. */
  enter(env: SimEnv, run: () => void): void {
    if (env !== this.#env) return
    if (this.#paused !== undefined) {
      this.#paused.push(() => this.enter(env, run))
      return
    }
    try {
      run()
    } catch (error) {
      if (!(error instanceof NodeKilled)) {
        this.world.onCrash(this, error)
        return
      }
      this.kill(error.message)
      this.world.onEnded(this)
    }
  }

  note(kind: string, detail: string | (() => string), region = 0): void {
    this.world.trace.event({ time: this.world.scheduler.now, node: this.name, region, kind, detail })
  }
}

/** A machine's two clocks. The monotonic one runs a little fast or slow; the wall clock may also jump. */
export class SimClock implements Clock {
  #rate = 1
  #monotonicBase: number
  #wallOffset: number
  #since: number
  readonly #scheduler: Scheduler

  constructor(scheduler: Scheduler, random: SimRandom) {
    this.#scheduler = scheduler
    this.#monotonicBase = 1_000 + random.below(1_000_000)
    this.#wallOffset = 1_700_000_000_000
    this.#since = scheduler.now
  }

  get rate(): number { return this.#rate }

  monotonicMs(): number {
    return this.#monotonicBase + (this.#scheduler.now - this.#since) * this.#rate
  }

  wallMs(): number {
    return Math.floor(this.#wallOffset + this.#scheduler.now)
  }

  /** From now on a true second is `rate` seconds here. */
  setRate(rate: number): void {
    this.#monotonicBase = this.monotonicMs()
    this.#since = this.#scheduler.now
    this.#rate = rate
  }

  jumpWall(byMs: number): void {
    this.#wallOffset += byMs
  }

  /** True ms for local ms. */
  trueMs(localMs: number): number { return localMs / this.#rate }
}

/** One life of a node. */
export class SimEnv implements Env {
  readonly name: string
  readonly clock: Clock
  readonly random: SimRandom
  readonly network: Network
  #isDead = false
  #deferred: (() => void)[] = []
  readonly #endings: (() => void)[] = []

  constructor(readonly node: SimNode, readonly life: number) {
    this.name = node.name
    this.clock = node.clock
    this.random = node.random.fork(`life-${life}`)
    this.network = node.world.networkOf(this)
  }

  get isDead(): boolean { return this.#isDead }

  /** For parts of the machine (network, disks) that must let go when this life ends. */
  onEnd(run: () => void): void { this.#endings.push(run) }

  end(): void {
    this.#isDead = true
    for (const run of this.#endings.splice(0)) run()
  }

  /** Runs node code after true ms; never when this life is over. */
  post(delayMs: number, run: () => void): void {
    const { scheduler } = this.node.world
    scheduler.after(delayMs, () => { if (!this.#isDead) this.node.enter(this, run) })
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const late = this.random.float() * 0.3
    const delay = Math.max(0, this.node.clock.trueMs(delayMs)) + late
    const state = { run: run as (() => void) | undefined }
    const fire = (): void => {
      const due = state.run
      state.run = undefined
      due?.()
    }
    const event = this.node.world.scheduler.after(delay, () => {
      if (!this.#isDead && state.run !== undefined) this.node.enter(this, fire)
    })
    return {
      cancel: () => {
        state.run = undefined
        event.run = undefined
      },
    }
  }

  /** A turn takes a little while to come round: what arrives until then is handled first. */
  defer(run: () => void): void {
    this.#deferred.push(run)
    if (this.#deferred.length > 1) return
    this.post(0.01 + this.random.float() * 0.1, () => {
      const due = this.#deferred
      this.#deferred = []
      for (const one of due) {
        if (this.#isDead) return
        one()
      }
    })
  }

  log(level: LogLevel, event: string, fields?: LogFields): void {
    const region = typeof fields?.region === 'number' ? fields.region : typeof fields?.regionId === 'number' ? fields.regionId : 0
    this.node.note(event, () => `${level === 'info' || level === 'debug' ? '' : `${level} `}${describeFields(fields)}`, region)
  }

  failpoint(name: string): void {
    if (!this.#isDead) this.node.world.onFailpoint(this.node, name)
  }
}

function describeFields(fields: LogFields | undefined): string {
  if (fields === undefined) return ''
  return Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`).join(' ')
}

/** A number for a name, for hashes. */
export const nameHash = (name: string): number => hashText(name)
