import { build, type Histogram } from 'hdr-histogram-js'
import type { LoadFigures } from './figures.js'
import type { Operation } from './workloads.js'

/** What the load needs of a store; the client library fits, and so does a fake. */
export interface LoadTarget {
  run(operation: Operation): Promise<void>
}

export interface LoadOptions {
  readonly next: () => Operation
  readonly target: LoadTarget
  readonly seconds: number
  /** Closed loop: this many operations are always under way. Open loop: at most this many. */
  readonly inFlight: number
  /** Open loop: operations a second that arrive whether or not earlier ones are done. 0: closed loop. */
  readonly rate: number
  readonly onProgress?: (done: number, elapsedSeconds: number) => void
  readonly signal?: AbortSignal
  /** Open loop: how long after the end what was due is still sent. */
  readonly drainSeconds?: number
}

const microsecondsMax = 60_000_000
const drainSecondsDefault = 10
const progressMs = 200

interface Account {
  readonly histogram: Histogram
  done: number
  failed: number
  firstError: string | undefined
}

/**
 * Runs a load and measures every operation. In the open loop latency counts from the *intended* start, and everything that
 * was due is sent, late or not: a store that stalls cannot hide the requests it kept waiting (no coordinated omission).
 * Errors are counted, the first is kept.
 */
export async function runLoad(options: LoadOptions): Promise<LoadFigures> {
  const account: Account = {
    histogram: build({ lowestDiscernibleValue: 1, highestTrackableValue: microsecondsMax, numberOfSignificantValueDigits: 3 }),
    done: 0, failed: 0, firstError: undefined,
  }
  const started = performance.now()
  const cpu = process.cpuUsage()
  const ticker = setInterval(() => options.onProgress?.(account.done, (performance.now() - started) / 1_000), progressMs)
  const measure = async (intendedAt: number): Promise<void> => {
    try {
      await options.target.run(options.next())
      account.done++
      const microseconds = Math.round((performance.now() - intendedAt) * 1_000)
      account.histogram.recordValue(Math.min(microsecondsMax, Math.max(1, microseconds)))
    } catch (error) {
      account.failed++
      account.firstError ??= String(error)
    }
  }
  const end = started + options.seconds * 1_000
  const isAborted = (): boolean => options.signal?.aborted === true
  if (options.rate > 0) await openLoop(options, measure, started, account)
  else {
    await Promise.all(Array.from({ length: options.inFlight }, async () => {
      while (performance.now() < end && !isAborted()) await measure(performance.now())
    }))
  }
  clearInterval(ticker)
  const used = process.cpuUsage(cpu)
  return summaryOf(account, (performance.now() - started) / 1_000, (used.user + used.system) / 1e6)
}

async function openLoop(options: LoadOptions, measure: (at: number) => Promise<void>, started: number, account: Account): Promise<void> {
  const { rate, seconds, inFlight, signal, drainSeconds = drainSecondsDefault } = options
  const total = Math.floor(rate * seconds)
  const giveUp = started + (seconds + drainSeconds) * 1_000
  const slots = new Slots(inFlight)
  let sent = 0
  while (sent < total && performance.now() < giveUp && signal?.aborted !== true) {
    const due = started + sent * 1_000 / rate
    if (due > performance.now()) await new Promise(resolve => setTimeout(resolve, 1))
    else if (!slots.take()) await slots.freed(giveUp - performance.now())
    else {
      sent++
      void measure(due).then(() => slots.give())
    }
  }
  await slots.drained(giveUp - performance.now())
  const lost = signal?.aborted === true ? 0 : total - sent + slots.taken
  if (lost > 0) account.firstError ??= `no answer within ${drainSeconds} s of the end`
  account.failed += lost
}

/** How many operations may be under way, and who waits for a place. */
class Slots {
  taken = 0
  #wake: (() => void) | undefined

  constructor(readonly max: number) {}

  take(): boolean {
    if (this.taken === this.max) return false
    this.taken++
    return true
  }

  give(): void {
    this.taken--
    this.#wake?.()
  }

  freed(withinMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#wake?.(), Math.max(1, withinMs))
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
    })
  }

  async drained(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs
    while (this.taken > 0 && performance.now() < until) await this.freed(until - performance.now())
  }
}

function summaryOf(account: Account, seconds: number, cpuSeconds: number): LoadFigures {
  const { histogram, done, failed, firstError } = account
  const at = (percentile: number): number => done === 0 ? NaN : histogram.getValueAtPercentile(percentile) / 1_000
  return {
    operations: done, failed, seconds, perSecond: done / seconds, p50: at(50), p99: at(99), p999: at(99.9),
    clientCpuUs: cpuSeconds * 1e6 / Math.max(1, done), firstError,
  }
}
