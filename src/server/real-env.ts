import { randomBytes } from 'node:crypto'
import type { Clock, Env, LogFields, LogLevel, Network, Random, Timer } from '../common/env.js'
import { monotonicMs } from './boot-clock.js'
import type { LogSink } from './logging.js'

export interface RealEnvOptions {
  readonly name: string
  readonly log: LogSink
  /** Made for this Env: the network's connections end with it. */
  readonly network: (env: Env) => Network
  readonly failpoint?: ((name: string) => void) | undefined
}

/** The world as it is: CLOCK_BOOTTIME, Node's timers, dice seeded by the kernel. */
export class RealEnv implements Env {
  readonly name: string
  readonly clock: Clock = { monotonicMs, wallMs: Date.now }
  readonly random: Random
  readonly network: Network
  readonly #log: LogSink
  readonly #failpoint: ((name: string) => void) | undefined
  readonly #timers = new Set<NodeJS.Timeout>()
  #deferred: (() => void)[] = []
  #isRunning = false
  #isDead = false

  constructor(options: RealEnvOptions) {
    this.name = options.name
    this.random = new SeededRandom()
    this.#log = options.log
    this.#failpoint = options.failpoint
    this.network = options.network(this)
  }

  setTimer(delayMs: number, run: () => void): Timer {
    if (this.#isDead) return { cancel: () => {} }
    // Node rounds down to whole milliseconds; ours are never early.
    const timeout = setTimeout(() => {
      this.#timers.delete(timeout)
      run()
    }, Math.max(0, Math.ceil(delayMs)))
    this.#timers.add(timeout)
    return {
      cancel: () => {
        this.#timers.delete(timeout)
        clearTimeout(timeout)
      },
    }
  }

  /** One setImmediate for all that is deferred in a turn: it runs after everything that this poll brought was handled. */
  defer(run: () => void): void {
    if (this.#isDead) return
    if (this.#deferred.push(run) === 1 && !this.#isRunning) setImmediate(this.#runDeferred)
  }

  /**
   * What deferred calls defer in their turn (a store's turn its answers, which wait for the socket's flush) runs in the
   * same pass, once: a further poll would only delay it. Whatever comes after that lets the poll go first.
   */
  readonly #runDeferred = (): void => {
    this.#isRunning = true
    try {
      this.#runRound()
      this.#runRound()
    } finally {
      this.#isRunning = false
      if (this.#deferred.length > 0) setImmediate(this.#runDeferred)
    }
  }

  #runRound(): void {
    const due = this.#deferred
    this.#deferred = []
    for (let i = 0; i < due.length; i++) {
      if (this.#isDead) return
      due[i]!()
    }
  }

  log(level: LogLevel, event: string, fields?: LogFields): void { this.#log(this.name, level, event, fields) }

  failpoint(name: string): void { if (this.#failpoint !== undefined) this.#failpoint(name) }

  /** Timers and deferred calls never run again. Connections are ended by whoever listens and dials. */
  close(): void {
    this.#isDead = true
    this.#deferred = []
    for (const timeout of this.#timers) clearTimeout(timeout)
    this.#timers.clear()
  }
}

/** sfc32 seeded by the kernel: dice for time-outs and back-off, not for secrets. */
class SeededRandom implements Random {
  readonly #state = new Uint32Array(4)

  constructor() {
    this.#state.set(new Uint32Array(new Uint8Array(randomBytes(16)).buffer))
    for (let i = 0; i < 15; i++) this.#next()
  }

  #next(): number {
    const s = this.#state
    const result = (s[0]! + s[1]! + s[3]!) >>> 0
    s[3] = s[3]! + 1
    s[0] = s[1]! ^ (s[1]! >>> 9)
    s[1] = s[2]! + (s[2]! << 3)
    s[2] = ((s[2]! << 21) | (s[2]! >>> 11)) + result
    return result
  }

  float(): number { return this.#next() / 2 ** 32 }
  below(bound: number): number { return Math.floor(this.float() * bound) }
  bytes(count: number): Uint8Array { return new Uint8Array(randomBytes(count)) }
}
