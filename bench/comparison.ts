import type { LoadFigures } from './figures.js'
import { BenchError } from './figures.js'
import { cpuSeconds } from './processes.js'
import type { Progress } from './progress.js'
import type { Measurement } from './report.js'
import type { Cell, Driver, RunSettings, System } from './subject.js'
import { stampOf } from './templates.js'

export interface Plan {
  readonly cells: readonly Cell[]
  readonly systems: readonly System[]
  readonly rounds: number
  readonly seconds: number
  readonly warmUpSeconds: number
  /** Which clients; their names begin so. Empty: all. */
  readonly clients: readonly string[]
}

type Settings = Omit<RunSettings, 'stamp' | 'seconds'>

interface Turn {
  readonly system: System
  readonly driver: Driver
}

/** All runs of a plan, one system under load at a time, rounds interleaved. What was measured before an abort is kept. */
export class Comparison {
  readonly measurements: Measurement[] = []
  /** What was left out and what did not add up. */
  readonly notes = new Set<string>()
  #runs = 0

  constructor(readonly plan: Plan, readonly settings: Settings, readonly progress: Progress) {}

  async run(): Promise<void> {
    for (const cell of this.plan.cells) {
      if (this.settings.signal.aborted) return
      const turns = turnsOf(this.plan, cell, text => this.notes.add(text))
      for (const turn of turns) await this.#one(cell, turn, 0)
      for (let round = 1; round <= this.plan.rounds; round++) {
        // Every other round runs backwards: who comes first has no advantage.
        for (const turn of round % 2 === 1 ? turns : [...turns].reverse()) await this.#one(cell, turn, round)
      }
    }
  }

  /** @param round 0 warms up and is not kept */
  async #one(cell: Cell, { system, driver }: Turn, round: number): Promise<void> {
    const { signal } = this.settings
    const seconds = round === 0 ? this.plan.warmUpSeconds : this.plan.seconds
    if (signal.aborted || seconds === 0) return
    const label = `${cell.work.name} ×${cell.inFlight}  ${system.name}, ${driver.client}`
    this.progress.begin(`${label}  ${round === 0 ? 'warm-up' : `round ${round}/${this.plan.rounds}`}`, seconds)
    const settings = { ...this.settings, seconds, stamp: stampOf(++this.#runs), seed: this.settings.seed + this.#runs }
    try {
      const pids = system.serverPids()
      const cpu = (): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
      const before = cpu()
      const figures = await driver.run(cell, settings)
      const serverCpuUs = pids.length === 0 ? NaN : (cpu() - before) * 1e6 / Math.max(1, figures.operations)
      if (!signal.aborted) await this.#account({ cell, system, driver, round, settings, figures, serverCpuUs })
    } catch (error) {
      if (!(error instanceof BenchError) || signal.aborted) {
        if (signal.aborted) return
        throw error
      }
      this.notes.add(`${label}: ${error.message}`)
    } finally {
      this.progress.end(seconds)
    }
  }

  async #account(one: Turn & { readonly cell: Cell; readonly round: number; readonly settings: RunSettings
    readonly figures: LoadFigures; readonly serverCpuUs: number }): Promise<void> {
    const { cell, system, driver, round, settings, figures, serverCpuUs } = one
    const wrong = await system.audit(cell, settings, figures)
    if (wrong !== undefined) throw new BenchError(wrong)
    if (round === 0) return
    this.measurements.push({
      ...figures, system: system.name, client: driver.client, sharing: driver.sharing, work: cell.work.name, inFlight: cell.inFlight,
      rate: cell.rate, round, serverCpuUs,
    })
  }
}

/** karst, etcd, karst, …: clients of one system do not follow each other while the other has some left. */
function turnsOf(plan: Plan, cell: Cell, note: (text: string) => void): Turn[] {
  const wanted = (driver: Driver): boolean => plan.clients.length === 0 || plan.clients.some(name => driver.client.includes(name))
  const lists = plan.systems.map(system => system.drivers.flatMap(driver => {
    if (!wanted(driver)) return []
    const reason = driver.skips(cell)
    if (reason !== undefined && reason !== '') note(`${cell.work.name}: ${system.name}, ${driver.client}: ${reason}`)
    return reason === undefined ? [{ system, driver }] : []
  }))
  const longest = Math.max(0, ...lists.map(list => list.length))
  return Array.from({ length: longest }, (_, at) => lists.flatMap(list => list[at] ?? [])).flat()
}

/** Seconds of load in a plan, for the progress bar. */
export function secondsOf(plan: Plan): number {
  const runs = plan.cells.reduce((sum, cell) => sum + turnsOf(plan, cell, () => undefined).length, 0)
  return runs * (plan.rounds * plan.seconds + plan.warmUpSeconds)
}
