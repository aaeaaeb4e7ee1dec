import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { limits } from '../src/common/limits.js'
import { keyspaceMax } from '../src/rawkv/codec.js'
import { stampBytes } from './templates.js'

export interface BenchOptions {
  readonly inFlight: readonly number[]
  readonly rate: number
  readonly seconds: number
  readonly warmUp: number
  readonly rounds: number
  readonly records: number
  readonly valueBytes: number
  readonly batchKeys: number
  readonly scanRows: number
  readonly theta: number
  readonly seed: number
  readonly regions: number
  readonly client: readonly string[]
  readonly pd?: readonly string[]
  readonly keyspace: number
  readonly dir: string
  /** `etcd`, or the folder of another checkout. */
  readonly vs?: string
  readonly json?: string
  readonly markdown?: true
}

/** Figures of a run with fewer are not worth the name; sums of memory with more are not either. */
export const optionLimits = { inFlightMax: 4_096, recordsMax: 100_000_000, valueBytesMax: 512 << 10, batchKeysMax: 1_000 } as const

/** What is started of another checkout. */
export const programOf = (folder: string): string => join(folder, 'bin/karst.mjs')

export function whole(min: number, max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min.toLocaleString('en')} to ${max.toLocaleString('en')}`)
    }
    return value
  }
}

/** `256`, `64k`, `1m` */
export function bytes(min: number, max: number): (text: string) => number {
  return text => {
    const match = /^(\d+)(k|m)?$/i.exec(text)
    const value = match === null ? NaN : Number(match[1]) * ({ k: 1 << 10, m: 1 << 20 }[match[2]?.toLowerCase() ?? ''] ?? 1)
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`bytes from ${min} to ${max}, such as 256 or 4k`)
    return value
  }
}

export function positive(max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() === '' || !(value > 0) || value > max) throw new InvalidArgumentError(`a number above 0, up to ${max.toLocaleString('en')}`)
    return value
  }
}

export function listOf<T>(one: (text: string) => T): (text: string) => readonly T[] {
  return text => text.split(',').map(part => one(part.trim()))
}

export const parse = {
  inFlight: listOf(whole(1, optionLimits.inFlightMax)),
  rate: positive(10_000_000),
  seconds: positive(3_600),
  warmUp: (text: string): number => text === '0' ? 0 : positive(600)(text),
  rounds: whole(1, 1_000),
  records: whole(1, optionLimits.recordsMax),
  valueBytes: bytes(stampBytes, Math.min(optionLimits.valueBytesMax, limits.entryBytesMax)),
  batchKeys: whole(2, optionLimits.batchKeysMax),
  scanRows: whole(1, limits.scanRowsMax),
  seed: whole(1, 2 ** 31 - 1),
  regions: whole(1, 100_000),
  keyspace: whole(0, keyspaceMax),
  theta: (text: string): number => {
    const value = Number(text)
    if (!(value > 0 && value < 1)) throw new InvalidArgumentError('above 0 and below 1; YCSB uses 0.99')
    return value
  },
  vs: (text: string): string => {
    if (text === 'etcd') return text
    const folder = resolve(text)
    if (existsSync(programOf(folder)) && existsSync(join(folder, 'dist/src/cli/main.js'))) return folder
    throw new InvalidArgumentError('etcd, or the folder of another checkout of karst that is set up (npm run bootstrap)')
  },
  client: listOf(text => {
    const known: Readonly<Record<string, string>> = { typescript: 'TypeScript', native: 'native', '1': '1 connection', n: 'N connections' }
    const name = known[text.toLowerCase()]
    if (name === undefined) throw new InvalidArgumentError(`typescript, native, 1 (one connection) or n (as many connections as in flight)`)
    return name
  }),
  address: listOf(text => {
    if (!/^[^\s:/]+:\d{1,5}$/.test(text)) throw new InvalidArgumentError('host:port of a PD member')
    return text
  }),
} as const
