import Table from 'cli-table3'
import type { LoadFigures } from './etcd.js'

/** One measured cell: a workload at one concurrency on one system in one round. */
export interface Measurement extends LoadFigures {
  readonly system: string
  readonly work: string
  readonly inFlight: number
  readonly round: number
  /** CPU microseconds an operation, servers and client apart. */
  readonly serverCpuUs: number
  readonly clientCpuUs: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

export interface Summary {
  readonly work: string
  readonly inFlight: number
  readonly system: string
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly serverCpuUs: number
  readonly clientCpuUs: number
  readonly failed: number
  /** Rate and p99 against the peer's; undefined for the peer itself. */
  readonly rateRatio: number | undefined
  readonly p99Ratio: number | undefined
}

/** Medians over rounds, and ratios of medians against `peer`. */
export function summarize(measurements: readonly Measurement[], peer: string | undefined): Summary[] {
  const groups = new Map<string, Measurement[]>()
  for (const one of measurements) {
    const name = `${one.work} ${one.inFlight} ${one.system}`
    groups.set(name, [...(groups.get(name) ?? []), one])
  }
  const rows = [...groups.values()].map(group => {
    const first = group[0] as Measurement
    const of = (field: 'perSecond' | 'p50' | 'p99' | 'p999' | 'serverCpuUs' | 'clientCpuUs'): number => median(group.map(one => one[field]))
    return {
      work: first.work, inFlight: first.inFlight, system: first.system, perSecond: of('perSecond'), p50: of('p50'), p99: of('p99'),
      p999: of('p999'), serverCpuUs: of('serverCpuUs'), clientCpuUs: of('clientCpuUs'), failed: group.reduce((sum, one) => sum + one.failed, 0),
    }
  })
  return rows.map(row => {
    const other = rows.find(one => one.system === peer && one.work === row.work && one.inFlight === row.inFlight)
    const comparable = other !== undefined && row.system !== peer
    return {
      ...row, rateRatio: comparable ? row.perSecond / other.perSecond : undefined,
      p99Ratio: comparable ? row.p99 / other.p99 : undefined,
    }
  })
}

const heads = ['work', 'in flight', 'system', 'ops/s', 'p50 ms', 'p99 ms', 'p99.9 ms', 'server µs/op', 'client µs/op', 'rate ×', 'p99 ×', 'failed']

function cells(row: Summary): string[] {
  const ratio = (value: number | undefined): string => value === undefined ? '' : value.toFixed(2)
  return [
    row.work, String(row.inFlight), row.system, Math.round(row.perSecond).toLocaleString('en'), row.p50.toFixed(2), row.p99.toFixed(2),
    row.p999.toFixed(2), row.serverCpuUs.toFixed(0), row.clientCpuUs.toFixed(0), ratio(row.rateRatio), ratio(row.p99Ratio), String(row.failed),
  ]
}

export function asTable(rows: readonly Summary[]): string {
  const table = new Table({ head: heads, style: { head: [], border: [] }, colAligns: heads.map((_, at) => at === 0 || at === 2 ? 'left' : 'right') })
  for (const row of rows) table.push(cells(row))
  return table.toString()
}

export function asMarkdown(rows: readonly Summary[]): string {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(row => line(cells(row)))].join('\n')
}
