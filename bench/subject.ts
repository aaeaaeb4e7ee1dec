import type { LoadFigures } from './figures.js'
import type { Workload, WorkloadSettings } from './workloads.js'

/** One line of the result: a workload at one concurrency. */
export interface Cell {
  readonly work: Workload
  readonly inFlight: number
  /** 0: closed loop. */
  readonly rate: number
}

export interface RunSettings extends WorkloadSettings {
  readonly seconds: number
  readonly valueBytes: number
  /** First bytes of every value of this run. */
  readonly stamp: string
  readonly signal: AbortSignal
}

/** One way to load a system. Rows of the same way of sharing are compared. */
export interface Driver {
  /** `1 process, TypeScript` */
  readonly client: string
  readonly sharing: 'shared' | 'separate'
  /** undefined: it can run this cell; '' : it cannot, and that is no news; else the reason. */
  skips(cell: Cell): string | undefined
  run(cell: Cell, settings: RunSettings): Promise<LoadFigures>
}

/** A running store, ours or the peer. */
export interface System {
  /** `karst`, `etcd`, or `before`: another version of karst. */
  readonly name: string
  readonly drivers: readonly Driver[]
  /** Empty: they run elsewhere. */
  serverPids(): readonly number[]
  /** Writes all records once. */
  preload(settings: RunSettings, onProgress: (done: number) => void): Promise<void>
  /** @returns what is wrong when the puts that a run claims are not to be found */
  audit(cell: Cell, settings: RunSettings, figures: LoadFigures): Promise<string | undefined>
  stop(): Promise<void>
}
