import { Dice, ScrambledZipf } from './zipf.js'

export type Operation =
  | { readonly kind: 'get' | 'put' | 'readModifyWrite' | 'insert'; readonly key: string }
  | { readonly kind: 'scan'; readonly key: string; readonly rows: number }
  | { readonly kind: 'batchPut' | 'batchGet'; readonly keys: readonly string[] }

export interface Workload {
  readonly name: string
  readonly about: string
  readonly make: (settings: WorkloadSettings) => () => Operation
}

export interface WorkloadSettings {
  readonly records: number
  readonly theta: number
  readonly seed: number
  readonly batchKeys: number
  readonly scanRows: number
}

export const keyOf = (number: number): string => `user${String(number).padStart(16, '0')}`

type Mix = readonly (readonly [kind: 'get' | 'put' | 'readModifyWrite' | 'insert' | 'scan', share: number])[]

/** YCSB core workloads (Cooper et al., SoCC 2010, table 2). */
function ycsb(mix: Mix, distribution: 'zipf' | 'latest'): Workload['make'] {
  return settings => {
    const dice = new Dice(settings.seed)
    const zipf = new ScrambledZipf(settings.records, settings.theta, dice)
    let inserted = settings.records + settings.seed * 1_000_000
    return () => {
      const draw = dice.next()
      let sum = 0
      const kind = mix.find(([, share]) => draw < (sum += share))?.[0] ?? 'get'
      if (kind === 'insert') return { kind, key: keyOf(inserted++) }
      const number = distribution === 'latest' ? settings.records - 1 - zipf.next() : zipf.next()
      const key = keyOf(number)
      return kind === 'scan' ? { kind, key, rows: 1 + dice.below(100) } : { kind, key }
    }
  }
}

function uniform(kind: 'get' | 'put'): Workload['make'] {
  return settings => {
    const dice = new Dice(settings.seed)
    return () => ({ kind, key: keyOf(dice.below(settings.records)) })
  }
}

function batch(kind: 'batchPut' | 'batchGet'): Workload['make'] {
  return settings => {
    const dice = new Dice(settings.seed)
    return () => ({ kind, keys: Array.from({ length: settings.batchKeys }, () => keyOf(dice.below(settings.records))) })
  }
}

export const workloads: readonly Workload[] = [
  { name: 'put', about: 'point puts, uniform keys', make: uniform('put') },
  { name: 'get', about: 'linearizable point gets, uniform keys', make: uniform('get') },
  { name: 'batch-put', about: 'batches of --batch-keys puts', make: batch('batchPut') },
  { name: 'batch-get', about: 'batches of --batch-keys gets', make: batch('batchGet') },
  { name: 'scan', about: 'scans of --scan-rows rows from a random key',
    make: settings => {
      const dice = new Dice(settings.seed)
      return () => ({ kind: 'scan', key: keyOf(dice.below(Math.max(1, settings.records - settings.scanRows))), rows: settings.scanRows })
    } },
  { name: 'hot', about: 'puts and gets, half and half, of one key', make: settings => {
    const dice = new Dice(settings.seed)
    return () => ({ kind: dice.next() < 0.5 ? 'get' : 'put', key: keyOf(0) })
  } },
  { name: 'ycsb-a', about: '50 % read, 50 % update, zipf', make: ycsb([['get', 0.5], ['put', 0.5]], 'zipf') },
  { name: 'ycsb-b', about: '95 % read, 5 % update, zipf', make: ycsb([['get', 0.95], ['put', 0.05]], 'zipf') },
  { name: 'ycsb-c', about: 'read only, zipf', make: ycsb([['get', 1]], 'zipf') },
  { name: 'ycsb-d', about: '95 % read, 5 % insert, latest', make: ycsb([['get', 0.95], ['insert', 0.05]], 'latest') },
  { name: 'ycsb-e', about: '95 % scan, 5 % insert, zipf', make: ycsb([['scan', 0.95], ['insert', 0.05]], 'zipf') },
  { name: 'ycsb-f', about: '50 % read, 50 % read-modify-write, zipf', make: ycsb([['get', 0.5], ['readModifyWrite', 0.5]], 'zipf') },
]

export const workloadNames = workloads.map(workload => workload.name)

export function findWorkload(name: string): Workload | undefined {
  return workloads.find(workload => workload.name === name)
}
