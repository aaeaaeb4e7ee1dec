import { build, type Histogram } from 'hdr-histogram-js'
import type { LoadFigures } from './etcd.js'
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
}

const microsecondsMax = 60_000_000

/**
 * Runs a load and measures every operation. In the open loop latency counts from the *intended* start, so a store that
 * stalls cannot hide the requests it kept waiting (no coordinated omission). Errors are counted, the first is kept.
 */
export async function runLoad(options: LoadOptions): Promise<LoadFigures & { readonly firstError: string | undefined }> {
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: microsecondsMax, numberOfSignificantValueDigits: 3 })
  const started = performance.now()
  const end = started + options.seconds * 1_000
  const state = { done: 0, failed: 0, firstError: undefined as string | undefined }
  const ticker = setInterval(() => options.onProgress?.(state.done, (performance.now() - started) / 1_000), 200)
  const measure = async (intendedAt: number): Promise<void> => {
    try {
      await options.target.run(options.next())
      state.done++
      histogram.recordValue(Math.min(microsecondsMax, Math.max(1, Math.round((performance.now() - intendedAt) * 1_000))))
    } catch (error) {
      state.failed++
      state.firstError ??= String(error)
    }
  }
  const going = (): boolean => performance.now() < end && options.signal?.aborted !== true
  if (options.rate > 0) await openLoop(options, measure, started, going)
  else await Promise.all(Array.from({ length: options.inFlight }, async () => { while (going()) await measure(performance.now()) }))
  clearInterval(ticker)
  const seconds = (performance.now() - started) / 1_000
  return { ...figures(histogram, state.done, state.failed, seconds), firstError: state.firstError }
}

async function openLoop(options: LoadOptions, measure: (at: number) => Promise<void>, started: number, going: () => boolean): Promise<void> {
  const stepMs = 1_000 / options.rate
  const running = new Set<Promise<void>>()
  for (let sent = 0; going();) {
    while (started + sent * stepMs <= performance.now() && running.size < options.inFlight && going()) {
      const one: Promise<void> = measure(started + sent++ * stepMs).finally(() => running.delete(one))
      running.add(one)
    }
    if (running.size >= options.inFlight) await Promise.race(running)
    else await new Promise(resolve => setTimeout(resolve, 1))
  }
  await Promise.all(running)
}

function figures(histogram: Histogram, done: number, failed: number, seconds: number): LoadFigures {
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1_000
  return { operations: done, failed, perSecond: done / seconds, p50: at(50), p99: at(99), p999: at(99.9) }
}
