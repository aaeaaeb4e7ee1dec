import Benchmark from 'benchmark'

/** One thing to measure. `operations`: how many one call of `run` does; figures are per operation. */
export interface MicroCase {
  readonly name: string
  readonly operations: number
  readonly run: () => void
}

export interface MicroFigure {
  readonly suite: string
  readonly name: string
  readonly us: number
  /** Relative margin of error, percent. */
  readonly errorPercent: number
}

/** A suite opens what it needs, yields cases, and cleans up when it is done. */
export interface MicroSuite {
  readonly name: string
  readonly about: string
  readonly cases: (folder: string) => Promise<{ readonly cases: readonly MicroCase[]; readonly close: () => Promise<void> }>
}

export function measureCase(suite: string, one: MicroCase, seconds: number): MicroFigure {
  const bench = new Benchmark(one.name, one.run, { maxTime: seconds, minSamples: 5 })
  bench.run()
  if (bench.error !== undefined) throw new Error(`${suite}, ${one.name}: ${String(bench.error)}`)
  return { suite, name: one.name, us: bench.stats.mean * 1e6 / one.operations, errorPercent: bench.stats.rme }
}

/** Results land here, so that no call is optimised away. */
export const sink: { value: unknown } = { value: undefined }
