import type { Connection } from '../server/connection.js'
import { connectTo, waitReplicated, waitServing } from './cluster-access.js'
import { HistoryRecorder } from './history.js'
import type { HistoryLine } from './history.js'
import { checkRegister } from './linearizability/register.js'
import type { RegisterVerdict } from './linearizability/register.js'
import { Nemesis } from './nemesis.js'
import type { FaultKind, FaultReport } from './nemesis.js'
import type { ProcessCluster } from './process-cluster.js'
import { seededRandom } from './random.js'
import { runRegister } from './register-workload.js'
import type { RegisterClient, RegisterTotals } from './register-workload.js'
import { judge } from './verdict.js'
import type { Judgement } from './verdict.js'
import { classify, sleep } from './waiting.js'

export interface RegisterRunOptions {
  readonly pdAddresses: readonly string[]
  /** Our own processes; without them no faults. */
  readonly cluster: ProcessCluster | undefined
  /** At least; every kind of fault happens once. */
  readonly seconds: number
  /** Ends earlier when so many faults have been. */
  readonly rounds: number | undefined
  readonly clients: number
  readonly keys: number
  readonly faults: readonly FaultKind[]
  readonly seed: number
  readonly historyPath: string | undefined
  readonly okPerSecondMin: number
  readonly onProgress?: (text: string) => void
}

export interface RegisterRun extends Judgement {
  readonly operations: RegisterTotals
  readonly faults: readonly FaultReport[]
  readonly check: RegisterVerdict
  readonly seconds: number
  /** Longest time without a successful operation, ms. */
  readonly longestGapMs: number
}

const operationMsMax = 5_000
const servingMsMax = 30_000

/** Clients on few keys, faults meanwhile, a last read of every key, then the checker. */
export async function runRegisterCheck(options: RegisterRunOptions): Promise<RegisterRun> {
  const connections = Array.from({ length: Math.min(options.clients, 4) }, () => connectTo(options.pdAddresses, operationMsMax))
  const recorder = new HistoryRecorder(options.historyPath)
  const startMs = performance.now()
  try {
    const first = connections[0] as Connection
    await waitServing(first, servingMsMax)
    if (options.cluster !== undefined) await waitReplicated(first, options.cluster.stores.length, servingMsMax)
    const keys = registerKeys(options)
    const stop = new AbortController()
    const workload = runRegister({
      clients: Array.from({ length: options.clients }, (_, at) => registerClient(connections[at % connections.length] as Connection)),
      keys, recorder, classify, random: seededRandom(options.seed), signal: stop.signal, thinkMs: 1,
    })
    let faults: readonly FaultReport[]
    try {
      faults = await faultsMeanwhile(options, first, recorder, keys[0] ?? '')
      await waitServing(first, servingMsMax)
    } finally {
      stop.abort()
    }
    const operations = await workload
    await readAll(first, keys, recorder)
    return conclude(options, recorder.lines, operations, faults, (performance.now() - startMs) / 1_000)
  } finally {
    recorder.close()
    for (const connection of connections) connection.close()
  }
}

/** Another set of keys for each run, so that runs on one cluster do not meet. */
function registerKeys(options: RegisterRunOptions): string[] {
  return Array.from({ length: options.keys }, (_, at) => `verify/register/${options.seed}/${at}`)
}

export const registerClient = ({ client: { raw } }: Connection): RegisterClient => ({
  get: key => raw.get(key),
  put: (key, value) => raw.put(key, value),
  delete: key => raw.delete(key),
  compareAndSwap: (key, expected, value) => raw.compareAndSwap(key, expected, value),
})

async function faultsMeanwhile(options: RegisterRunOptions, connection: Connection, recorder: HistoryRecorder, leaderKey: string):
  Promise<readonly FaultReport[]> {
  const { cluster, faults, seconds, rounds = Infinity } = options
  const endMs = performance.now() + seconds * 1_000
  const reports: FaultReport[] = []
  const random = seededRandom(options.seed + 1)
  const nemesis = cluster && new Nemesis({ cluster, connection, random, recorder, leaderKey })
  // Every kind once, also when the time is up: a run in which one never happened shows nothing of it.
  const least = nemesis === undefined ? 0 : Math.min(faults.length, rounds)
  const isOver = (): boolean => (performance.now() >= endMs && reports.length >= least) || reports.length >= rounds
  while (!isOver()) {
    await sleep(300 + random() * 1_500)
    if (nemesis === undefined || faults.length === 0 || isOver()) continue
    // Each kind once, then any.
    const kind = faults[reports.length] ?? faults[Math.floor(random() * faults.length)]
    if (kind === undefined) continue
    const report = await nemesis.inflict(kind, random() * 1_500)
    reports.push(report)
    options.onProgress?.(`${report.kind} ${report.nodes.join(' ')}${report.bit ? '' : ' (did not bite)'}`)
  }
  return reports
}

/** One more reader sees the end state of every key. */
async function readAll(connection: Connection, keys: readonly string[], recorder: HistoryRecorder): Promise<void> {
  const process = 1_000_000_000
  for (const key of keys) {
    recorder.record({ process, type: 'invoke', f: 'read', key })
    const value = await connection.client.raw.get(key, { timeoutMs: servingMsMax })
    recorder.record({ process, type: 'ok', f: 'read', key, value: value === undefined ? null : new TextDecoder().decode(value) })
  }
}

function conclude(options: RegisterRunOptions, lines: readonly HistoryLine[], operations: RegisterTotals,
  faults: readonly FaultReport[], seconds: number): RegisterRun {
  const check = checkRegister(lines)
  const crashes = options.cluster?.crashes.map(crash => crash.text) ?? []
  const judgement = judge({
    violations: [...check.findings.filter(one => one.kind === 'violation').map(one => one.text), ...crashes],
    undecided: check.findings.filter(one => one.kind === 'unknown').map(one => one.text),
    operations, okMin: Math.ceil(options.okPerSecondMin * Math.min(options.seconds, seconds)), faultsWanted: options.faults, faults,
  })
  return { ...judgement, operations, faults, check, seconds, longestGapMs: longestGap(lines) }
}

function longestGap(lines: readonly HistoryLine[]): number {
  let last: bigint | undefined
  let longest = 0n
  for (const line of lines) {
    if (line.type !== 'ok') continue
    const at = BigInt(line.time_ns)
    if (last !== undefined && at - last > longest) longest = at - last
    last = at
  }
  return Number(longest / 1_000_000n)
}
