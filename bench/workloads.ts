import { Dice, ScrambledZipf } from './zipf.js'

export type Operation =
  | { readonly kind: 'get' | 'put' | 'readModifyWrite' | 'insert'; readonly key: string }
  | { readonly kind: 'scan'; readonly key: string; readonly rows: number }
  | { readonly kind: 'batchPut' | 'batchGet'; readonly keys: readonly string[] }

/** A single request whose form does not change: what the native clients can repeat. */
export type RequestKind = 'get' | 'put' | 'batchPut' | 'batchGet' | 'scan'

/** The same workload as a mix of prepared requests, for clients that decide nothing. */
export interface RequestMix {
  readonly parts: readonly { readonly kind: RequestKind; readonly share: number }[]
  /** Draws come from 0 .. keys - 1. */
  readonly keys: (settings: WorkloadSettings) => number
  readonly isZipf: boolean
}

export interface Workload {
  readonly name: string
  readonly about: string
  readonly make: (settings: WorkloadSettings) => () => Operation
  /** undefined: only a client that reacts to answers can run it. */
  readonly mix: RequestMix | undefined
}

export interface WorkloadSettings {
  readonly records: number
  readonly theta: number
  readonly seed: number
  readonly batchKeys: number
  readonly scanRows: number
}

export const keyDigits = 16
export const keyOf = (number: number): string => `user${String(number).padStart(keyDigits, '0')}`

/** The keys of a batch: spread evenly over all records, so that none comes twice. */
export const batchDelta = (at: number, settings: WorkloadSettings): number => at * Math.floor(settings.records / settings.batchKeys)

type Mix = readonly (readonly [kind: 'get' | 'put' | 'readModifyWrite' | 'insert' | 'scan', share: number])[]

const allKeys = (settings: WorkloadSettings): number => settings.records

/** YCSB core workloads (Cooper et al., SoCC 2010, table 2). */
function ycsb(mix: Mix, distribution: 'zipf' | 'latest'): Pick<Workload, 'make' | 'mix'> {
  const parts = mix.flatMap(([kind, share]) => kind === 'get' || kind === 'put' ? [{ kind, share }] : [])
  const isPlain = parts.length === mix.length && distribution === 'zipf'
  return { make: settings => ycsbOperations(mix, distribution, settings), mix: isPlain ? { parts, keys: allKeys, isZipf: true } : undefined }
}

function ycsbOperations(mix: Mix, distribution: 'zipf' | 'latest', settings: WorkloadSettings): () => Operation {
  const dice = new Dice(settings.seed)
  const zipf = new ScrambledZipf(settings.records, settings.theta, dice)
  const firstInsert = settings.records + settings.seed * 1_000_000
  let inserts = 0
  const latest = (rank: number): number =>
    rank < inserts ? firstInsert + inserts - 1 - rank : Math.max(0, settings.records - 1 - (rank - inserts))
  return () => {
    const draw = dice.next()
    let sum = 0
    const kind = mix.find(([, share]) => draw < (sum += share))?.[0] ?? 'get'
    if (kind === 'insert') return { kind, key: keyOf(firstInsert + inserts++) }
    const key = keyOf(distribution === 'latest' ? latest(zipf.nextRank()) : zipf.next())
    return kind === 'scan' ? { kind, key, rows: 1 + dice.below(100) } : { kind, key }
  }
}

function single(kind: RequestKind, keys: RequestMix['keys'], operation: (number: number, settings: WorkloadSettings) => Operation):
Pick<Workload, 'make' | 'mix'> {
  return {
    make: settings => {
      const dice = new Dice(settings.seed)
      return () => operation(dice.below(keys(settings)), settings)
    },
    mix: { parts: [{ kind, share: 1 }], keys, isZipf: false },
  }
}

const batchKeys = (first: number, settings: WorkloadSettings): string[] =>
  Array.from({ length: settings.batchKeys }, (_, at) => keyOf((first + batchDelta(at, settings)) % settings.records))

export const workloads: readonly Workload[] = [
  { name: 'put', about: 'point puts, uniform keys', ...single('put', allKeys, number => ({ kind: 'put', key: keyOf(number) })) },
  { name: 'get', about: 'linearizable point gets, uniform keys', ...single('get', allKeys, number => ({ kind: 'get', key: keyOf(number) })) },
  { name: 'batch-put', about: 'batches of --batch-keys puts',
    ...single('batchPut', allKeys, (number, settings) => ({ kind: 'batchPut', keys: batchKeys(number, settings) })) },
  { name: 'batch-get', about: 'batches of --batch-keys gets',
    ...single('batchGet', allKeys, (number, settings) => ({ kind: 'batchGet', keys: batchKeys(number, settings) })) },
  { name: 'scan', about: 'scans of --scan-rows rows from a random key',
    ...single('scan', settings => Math.max(1, settings.records - settings.scanRows),
      (number, settings) => ({ kind: 'scan', key: keyOf(number), rows: settings.scanRows })) },
  { name: 'hot', about: 'puts and gets, half and half, of one key',
    make: settings => {
      const dice = new Dice(settings.seed)
      return () => ({ kind: dice.next() < 0.5 ? 'get' : 'put', key: keyOf(0) })
    },
    mix: { parts: [{ kind: 'get', share: 0.5 }, { kind: 'put', share: 0.5 }], keys: () => 1, isZipf: false } },
  { name: 'ycsb-a', about: '50 % read, 50 % update, zipf', ...ycsb([['get', 0.5], ['put', 0.5]], 'zipf') },
  { name: 'ycsb-b', about: '95 % read, 5 % update, zipf', ...ycsb([['get', 0.95], ['put', 0.05]], 'zipf') },
  { name: 'ycsb-c', about: 'read only, zipf', ...ycsb([['get', 1]], 'zipf') },
  { name: 'ycsb-d', about: '95 % read, 5 % insert, latest', ...ycsb([['get', 0.95], ['insert', 0.05]], 'latest') },
  { name: 'ycsb-e', about: '95 % scan, 5 % insert, zipf', ...ycsb([['scan', 0.95], ['insert', 0.05]], 'zipf') },
  { name: 'ycsb-f', about: '50 % read, 50 % read-modify-write, zipf', ...ycsb([['get', 0.5], ['readModifyWrite', 0.5]], 'zipf') },
]

export const workloadNames = workloads.map(workload => workload.name)

export function findWorkload(name: string): Workload | undefined {
  return workloads.find(workload => workload.name === name)
}

/** What a native client writes into the template's places: the drawn number plus this. */
export function keyDeltas(kind: RequestKind, settings: WorkloadSettings): number[] {
  if (kind !== 'batchPut' && kind !== 'batchGet') return [0]
  return Array.from({ length: settings.batchKeys }, (_, at) => batchDelta(at, settings))
}
