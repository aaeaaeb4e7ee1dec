import { median } from './figures.js'
import { asTable, markdownTable, type Measurement } from './report.js'
import { Dice } from './zipf.js'

/** A ratio now/before: the median of the rounds' ratios, and where it lies with 95 % confidence. */
export interface Ratio {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** One workload, concurrency and client, round by round against the same of another version. */
export interface Paired {
  readonly work: string
  readonly inFlight: number
  readonly client: string
  readonly rounds: number
  readonly rate: Ratio
  readonly p99: Ratio
  /** Of servers and client together, microseconds an operation. */
  readonly cpu: Ratio
}

const resamples = 4_000

/** Runs of one round stand next to each other in time: what the machine did to one it did to the other. */
export function pairRounds(measurements: readonly Measurement[], now: string, before: string): Paired[] {
  const groups = new Map<string, { now: Measurement[]; before: Measurement[] }>()
  for (const one of measurements) {
    const name = [one.work, one.inFlight, one.client].join('|')
    const group = groups.get(name) ?? { now: [], before: [] }
    groups.set(name, group)
    if (one.system === now) group.now.push(one)
    else if (one.system === before) group.before.push(one)
  }
  return [...groups.values()].flatMap(group => {
    const pairs = group.now.flatMap(one => {
      const other = group.before.find(candidate => candidate.round === one.round)
      return other === undefined ? [] : [[one, other] as const]
    })
    const [first] = pairs[0] ?? []
    if (first === undefined) return []
    const of = (figure: (one: Measurement) => number): Ratio => ratioOf(pairs.map(([one, other]) => figure(one) / figure(other)))
    return [{
      work: first.work, inFlight: first.inFlight, client: first.client, rounds: pairs.length,
      rate: of(one => one.perSecond), p99: of(one => one.p99), cpu: of(one => one.serverCpuUs + one.clientCpuUs),
    }]
  })
}

/** Bootstrap of the median; the same figures give the same interval. */
export function ratioOf(ratios: readonly number[]): Ratio {
  const dice = new Dice(ratios.length)
  const medians = Array.from({ length: resamples }, () =>
    median(Array.from({ length: ratios.length }, () => ratios[dice.below(ratios.length)] ?? NaN))).sort((left, right) => left - right)
  return { median: median(ratios), low: medians[Math.floor(resamples * 0.025)] ?? NaN, high: medians[Math.ceil(resamples * 0.975) - 1] ?? NaN }
}

const heads = ['work', 'in flight', 'client', 'rounds', 'rate ×', '95 %', 'p99 ×', '95 %', 'CPU an operation ×', '95 %']
const interval = ({ low, high }: Ratio): string => `${low.toFixed(2)}–${high.toFixed(2)}`
const cells = (one: Paired): string[] => [
  one.work, String(one.inFlight), one.client, String(one.rounds), one.rate.median.toFixed(3), interval(one.rate), one.p99.median.toFixed(2),
  interval(one.p99), one.cpu.median.toFixed(3), interval(one.cpu),
]

export const pairedTable = (pairs: readonly Paired[]): string => asTable(heads, pairs.map(cells))
export const pairedMarkdown = (pairs: readonly Paired[]): string => markdownTable(heads, pairs.map(cells))
