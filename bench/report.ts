import Table from 'cli-table3'
import { median, type LoadFigures } from './figures.js'

/** One run: a workload at one concurrency, driven one way, in one round. */
export interface Measurement extends LoadFigures {
  readonly system: string
  readonly client: string
  readonly sharing: 'shared' | 'separate'
  readonly work: string
  readonly inFlight: number
  readonly rate: number
  readonly round: number
  /** Processor time of all servers of the system, microseconds an operation; NaN when they run elsewhere. */
  readonly serverCpuUs: number
}

type FigureName = 'perSecond' | 'p50' | 'p99' | 'p999' | 'serverCpuUs' | 'clientCpuUs'

export interface Summary extends Readonly<Record<FigureName, number>> {
  readonly work: string
  readonly inFlight: number
  readonly rate: number
  readonly system: string
  readonly client: string
  readonly sharing: 'shared' | 'separate'
  readonly rounds: number
  /** Lowest and highest rate of a round. */
  readonly perSecondMin: number
  readonly perSecondMax: number
  readonly failed: number
  readonly firstError: string | undefined
  /** Share of one core that the client used: near 1, the client is what is measured. */
  readonly clientBusy: number
  /** Against the peer's fastest client that shares connections as this one does; undefined for the peer itself. */
  readonly rateRatio: number | undefined
  readonly p99Ratio: number | undefined
}

type Row = Omit<Summary, 'rateRatio' | 'p99Ratio'>

/** Medians over rounds, and ratios of medians against `peer`. */
export function summarize(measurements: readonly Measurement[], peer: string | undefined): Summary[] {
  const groups = new Map<string, Measurement[]>()
  for (const one of measurements) {
    const name = [one.work, one.inFlight, one.rate, one.system, one.client].join('|')
    groups.set(name, [...(groups.get(name) ?? []), one])
  }
  const rows = [...groups.values()].map(rowOf)
  return rows.map(row => {
    const other = row.system === peer ? undefined : fastestPeer(rows, row, peer)
    return { ...row, rateRatio: other && row.perSecond / other.perSecond, p99Ratio: other && row.p99 / other.p99 }
  })
}

function rowOf(group: readonly Measurement[]): Row {
  const first = group[0] as Measurement
  const of = (field: FigureName): number => median(group.map(one => one[field]))
  const rates = group.map(one => one.perSecond)
  return {
    work: first.work, inFlight: first.inFlight, rate: first.rate, system: first.system, client: first.client, sharing: first.sharing,
    rounds: group.length, perSecond: of('perSecond'), perSecondMin: Math.min(...rates), perSecondMax: Math.max(...rates), p50: of('p50'),
    p99: of('p99'), p999: of('p999'), serverCpuUs: of('serverCpuUs'), clientCpuUs: of('clientCpuUs'),
    failed: group.reduce((sum, one) => sum + one.failed, 0), firstError: group.find(one => one.firstError !== undefined)?.firstError,
    clientBusy: median(group.map(one => one.perSecond * one.clientCpuUs / 1e6)),
  }
}

/** With one request in flight there is nothing to share: all of the peer's clients count. */
function fastestPeer(rows: readonly Row[], row: Row, peer: string | undefined): Row | undefined {
  const others = rows.filter(one => one.system === peer && one.work === row.work && one.inFlight === row.inFlight && one.rate === row.rate &&
    one.sharing === row.sharing)
  return others.reduce<Row | undefined>((best, one) => best === undefined || one.perSecond > best.perSecond ? one : best, undefined)
}

const heads = ['work', 'in flight', 'system', 'client', 'ops/s', 'min–max', 'p50 ms', 'p99 ms', 'p99.9 ms', 'server µs/op', 'client µs/op', 'rate ×',
  'p99 ×', 'failed']
const leftColumns = new Set(['work', 'system', 'client'])

const whole = (value: number): string => Number.isNaN(value) ? '–' : Math.round(value).toLocaleString('en')
const fixed = (value: number | undefined, digits = 2): string => value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits)

function cells(row: Summary): string[] {
  return [
    row.rate > 0 ? `${row.work} at ${whole(row.rate)}/s` : row.work, String(row.inFlight), row.system, row.client, whole(row.perSecond),
    `${whole(row.perSecondMin)}–${whole(row.perSecondMax)}`, fixed(row.p50), fixed(row.p99), fixed(row.p999), fixed(row.serverCpuUs, 0),
    fixed(row.clientCpuUs, 1), fixed(row.rateRatio), fixed(row.p99Ratio), String(row.failed),
  ]
}

/** Borderless, as the other commands print. */
export function asTable(titles: readonly string[], rows: readonly (readonly string[])[], left: ReadonlySet<string> = leftColumns): string {
  const none = {
    top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
    left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ',
  }
  const table = new Table({
    head: [...titles], chars: none, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: titles.map(title => left.has(title) ? 'left' : 'right'),
  })
  for (const row of rows) table.push([...row])
  return table.toString().split('\n').map(line => line.trimEnd()).join('\n')
}

export function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[], left: ReadonlySet<string> = leftColumns): string {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`
  return [line(titles), line(titles.map(title => left.has(title) ? '---' : '---:')), ...rows.map(line)].join('\n')
}

export const summaryTable = (rows: readonly Summary[]): string => asTable(heads, rows.map(cells))
export const summaryMarkdown = (rows: readonly Summary[]): string => markdownTable(heads, rows.map(cells))

const busyShare = 0.85

/** What a reader of the table must know beside it. */
export function remarks(rows: readonly Summary[], cores: number): string[] {
  const busy = rows.filter(row => row.clientBusy >= busyShare)
    .map(row => `${row.work} ×${row.inFlight} ${row.system}, ${row.client}: the client used ${(row.clientBusy * 100).toFixed(0)} % of a core ` +
      'and may be the limit')
  const full = rows.filter(row => row.perSecond * (row.serverCpuUs + row.clientCpuUs) / 1e6 >= cores * busyShare)
    .map(row => `${row.work} ×${row.inFlight} ${row.system}, ${row.client}`)
  const failed = rows.filter(row => row.failed > 0)
    .map(row => `${row.work} ×${row.inFlight} ${row.system}, ${row.client}: ${row.failed} failed, the first with: ${row.firstError ?? 'no text'}`)
  return [...busy, ...full.length > 0 ? [`all ${cores} cores were busy in: ${full.join('; ')}`] : [], ...failed]
}
