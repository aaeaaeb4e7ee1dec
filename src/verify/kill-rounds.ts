import type { Connection } from '../server/connection.js'
import { connectTo, transferTo, waitReplicated, waitServing } from './cluster-access.js'
import { HistoryRecorder } from './history.js'
import { checkRegister } from './linearizability/register.js'
import { Nemesis } from './nemesis.js'
import type { FaultKind, FaultReport } from './nemesis.js'
import type { ProcessCluster } from './process-cluster.js'
import { seededRandom } from './random.js'
import { registerClient } from './register-run.js'
import { runRegister } from './register-workload.js'
import { Survival } from './survival.js'
import { judge } from './verdict.js'
import type { Judgement } from './verdict.js'
import { classify, sleep } from './waiting.js'

export interface KillRoundsOptions {
  readonly cluster: ProcessCluster
  readonly rounds: number
  readonly targets: readonly FaultKind[]
  readonly writers: number
  readonly seed: number
  /** Of each segment, appended; for other checkers. */
  readonly historyPath: string | undefined
  readonly onProgress?: (done: number, text: string) => void
}

export interface KillRounds extends Judgement {
  readonly rounds: number
  readonly acknowledged: number
  readonly unknown: number
  readonly refused: number
  readonly registerOperations: number
  readonly faults: readonly FaultReport[]
  readonly recoveryMs: { readonly median: number; readonly p99: number; readonly max: number }
  readonly seconds: number
}

/** After so many rounds the clients stop and everything of the segment is checked. */
const roundsPerSegment = 20
const registerKeys = 5
const registerClients = 4
const operationMsMax = 5_000
const recoveryMsMax = 30_000

/**
 * The SIGKILL test: under load, kill one store, the leader's store or all three; start them again; go on when a write is
 * acknowledged. Keys that are written once must survive if acknowledged; a few registers must stay linearizable.
 */
export class KillRoundsRun {
  readonly #options: KillRoundsOptions
  readonly #random: () => number
  readonly #survival: Survival
  readonly #violations: string[] = []
  readonly #undecided: string[] = []
  readonly #faults: FaultReport[] = []
  readonly #recoveries: number[] = []
  readonly #totals = { ok: 0, fail: 0, info: 0 }
  #connections: readonly Connection[] = []

  constructor(options: KillRoundsOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#survival = new Survival(`verify/kills/${options.seed}/`)
  }

  async run(): Promise<KillRounds> {
    const { cluster, rounds } = this.#options
    const startMs = performance.now()
    this.#connections = Array.from({ length: 3 }, () => connectTo([cluster.pd.address], operationMsMax))
    try {
      await waitServing(this.#first, recoveryMsMax)
      await waitReplicated(this.#first, cluster.stores.length, recoveryMsMax)
      while (this.#faults.length < rounds && this.#violations.length === 0) await this.#segment()
      if (this.#violations.length === 0) await this.#sweepEveryReplica()
      return this.#conclude((performance.now() - startMs) / 1_000)
    } finally {
      for (const connection of this.#connections) connection.close()
    }
  }

  get #first(): Connection { return this.#connections[0] as Connection }

  async #segment(): Promise<void> {
    const { cluster, rounds, targets, writers, seed, historyPath } = this.#options
    const segment = Math.floor(this.#faults.length / roundsPerSegment)
    const recorder = new HistoryRecorder(historyPath === undefined ? undefined : `${historyPath}.${segment}`)
    const from = this.#survival.acknowledged.length
    const stop = new AbortController()
    const keys = Array.from({ length: registerKeys }, (_, at) => `verify/kills-register/${seed}/${segment}/${at}`)
    const clients = this.#connections.map(connection => connection.client)
    const load = Promise.all([
      this.#survival.load(clients, writers, stop.signal, operationMsMax),
      runRegister({
        clients: Array.from({ length: registerClients }, (_, at) => registerClient(this.#connections[at % 3] as Connection)),
        keys, recorder, classify, random: this.#random, signal: stop.signal, thinkMs: 5,
      }),
    ])
    const nemesis = new Nemesis({ cluster, connection: this.#first, random: this.#random, recorder, leaderKey: keys[0] ?? '' })
    try {
      for (let i = 0; i < roundsPerSegment && this.#faults.length < rounds; i++) {
        await this.#round(nemesis, targets[this.#faults.length % targets.length] ?? 'kill')
      }
    } finally {
      stop.abort()
    }
    const [, totals] = await load
    recorder.close()
    this.#totals.ok += totals.ok
    this.#totals.fail += totals.fail
    this.#totals.info += totals.info
    await waitServing(this.#first, recoveryMsMax)
    this.#violations.push(...await this.#survival.check(this.#first.client, from), ...cluster.crashes.map(crash => crash.text))
    for (const finding of checkRegister(recorder.lines).findings) {
      (finding.kind === 'violation' ? this.#violations : this.#undecided).push(finding.text)
    }
  }

  /** Load runs; one kill, at once started again; over when a write that began after the kill is acknowledged. */
  async #round(nemesis: Nemesis, kind: FaultKind): Promise<void> {
    await sleep(20 + this.#random() * 130)
    const report = await nemesis.inflict(kind, 0)
    this.#faults.push(report)
    await waitServing(this.#first, recoveryMsMax, `verify/kills-serving/${this.#faults.length}`)
    const recoveryMs = performance.now() - report.struckAtMs
    this.#recoveries.push(recoveryMs)
    this.#options.onProgress?.(this.#faults.length, `${kind}, serving again after ${recoveryMs.toFixed(0)} ms`)
  }

  /** Each store in turn leads and must have all of it. */
  async #sweepEveryReplica(): Promise<void> {
    for (const node of this.#options.cluster.stores) {
      await transferTo(this.#first, node, this.#survival.prefix, recoveryMsMax)
      const wrong = await this.#survival.check(this.#first.client)
      this.#violations.push(...wrong.map(text => `${text} (read from store-${node.index})`))
    }
  }

  #conclude(seconds: number): KillRounds {
    const { acknowledged, refused, unknown } = this.#survival
    const operations = { ...this.#totals, ok: this.#totals.ok + acknowledged.length }
    const sorted = [...this.#recoveries].sort((left, right) => left - right)
    const at = (part: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
    const judgement = judge({
      violations: this.#violations, undecided: this.#undecided, operations, okMin: this.#options.rounds * 5,
      faultsWanted: this.#options.targets, faults: this.#faults,
    })
    return {
      ...judgement, rounds: this.#faults.length, acknowledged: acknowledged.length, unknown, refused: refused.length,
      registerOperations: this.#totals.ok, faults: this.#faults, seconds,
      recoveryMs: { median: at(0.5), p99: at(0.99), max: at(1) },
    }
  }
}
