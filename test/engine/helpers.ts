import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { utf8 } from '../../src/common/bytes.js'
import { logIndex, peerId, regionId, term } from '../../src/common/ids.js'
import type { RegionId } from '../../src/common/ids.js'
import type { Engine, LogBatch, RaftLog } from '../../src/engine/api.js'
import { addon } from '../../src/engine/native.js'
import { RocksEngine } from '../../src/engine/rocks-engine.js'
import { EntryType } from '../../src/raft/types.js'
import type { Entry, HardState } from '../../src/raft/types.js'

export const key = (text: string): Uint8Array => utf8(text)
export const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString()

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'karst-engine-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

export const submitted = (engine: Engine, batch: Uint8Array): Promise<void> =>
  new Promise(resolve => engine.submit(batch, resolve))
export const flushed = (engine: Engine): Promise<void> => new Promise(resolve => engine.flush(resolve))
export const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** What a killed process leaves behind, without killing one: closed with its memtables unflushed. */
export function crashRocks(engine: Engine): void {
  if (!(engine instanceof RocksEngine)) throw new TypeError('not a RocksEngine')
  addon.engineClose(engine.handle)
}

export const region = (id: number): RegionId => regionId(id)
export const entry = (index: number, inTerm: number, data: string | Uint8Array = `e${index}`): Entry => ({
  term: term(inTerm), index: logIndex(index), type: EntryType.Normal,
  data: typeof data === 'string' ? utf8(data) : data,
})
export const entries = (from: number, to: number, inTerm: number, bytes = 8): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, inTerm, `${from + i}:${inTerm}`.padEnd(bytes, '.')))
export const hard = (inTerm: number, vote: number, commit: number): HardState =>
  ({ term: term(inTerm), vote: peerId(vote), commit: logIndex(commit) })

/** Appends and waits until it is durable. */
export function durable(log: RaftLog, build: (batch: LogBatch) => void): Promise<void> {
  const batch = log.batch()
  build(batch)
  return new Promise(resolve => log.append(batch, true, resolve))
}

export const show = (list: readonly Entry[]): string =>
  list.map(item => `${item.index}/${item.term}/${Buffer.from(item.data).toString()}`).join(' ')

/** Everything a log says of a region, as text. */
export function describeLog(log: RaftLog): string {
  const lines = log.regions().map(item => {
    const low = logIndex(item.truncatedIndex + 1)
    const high = logIndex(item.lastIndex + 1)
    const list = low < high ? show(log.entries(item.regionId, low, high, Infinity)) : ''
    const terms = Array.from({ length: item.lastIndex - item.truncatedIndex + 1 },
      (_, i) => log.term(item.regionId, logIndex(item.truncatedIndex + i))).join(',')
    const state = item.hardState
    return `${item.regionId} (${item.truncatedIndex}/${item.truncatedTerm}, ${item.lastIndex}] ` +
      `hard=${state === undefined ? '-' : `${state.term}/${state.vote}/${state.commit}`} terms=${terms} ` +
      `states=${[1, 2].map(kind => text(log.state(item.regionId, kind as 1 | 2)) ?? '-').join('/')} ${list}`
  })
  return lines.join('\n')
}

/** mulberry32: every random test prints its seed. */
export function dice(seed: number): { below: (bound: number) => number; float: () => number } {
  let state = seed >>> 0
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  return { float, below: bound => Math.floor(float() * bound) }
}
