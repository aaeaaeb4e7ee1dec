/** What one run of a load came to. Latencies in ms. */
export interface LoadFigures {
  readonly operations: number
  readonly failed: number
  readonly seconds: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Processor time of the client, microseconds an operation. */
  readonly clientCpuUs: number
  readonly firstError: string | undefined
}

/** @param microseconds sorted */
export function figuresOf(microseconds: Uint32Array | Float64Array, run: {
  readonly operations: number; readonly failed: number; readonly seconds: number; readonly cpuSeconds: number; readonly firstError?: string | undefined
}): LoadFigures {
  const at = (share: number): number => {
    const index = Math.min(microseconds.length - 1, Math.ceil(microseconds.length * share) - 1)
    return (microseconds[Math.max(0, index)] ?? NaN) / 1_000
  }
  return {
    operations: run.operations, failed: run.failed, seconds: run.seconds, perSecond: run.operations / run.seconds,
    p50: at(0.5), p99: at(0.99), p999: at(0.999), clientCpuUs: run.cpuSeconds * 1e6 / Math.max(1, run.operations),
    firstError: run.firstError === '' ? undefined : run.firstError,
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

/** An expected end of a benchmark: printed in one line, without a stack. */
export class BenchError extends Error {
  override readonly name = 'BenchError'
}
