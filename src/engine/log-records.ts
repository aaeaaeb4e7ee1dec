import { assert } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { Entry, EntryType, HardState } from '../raft/types.js'
import type { LogStateKind } from './api.js'
import type { LogOp } from './log-batch.js'

/** Record layout of native/LAYOUT.md "Raft log". crc and epoch are filled in by the addon, which knows the place. */
const headerBytes = 40
const align = 8
const twoTo32 = 0x1_0000_0000

export const recordBytes = (payloadBytes: number): number => Math.ceil((headerBytes + payloadBytes) / align) * align
export const encodedEntryBytes = (entry: Entry): number => recordBytes(entry.data.length)

const Kind = { Entry: 1, HardState: 2, State: 3, Compact: 4, Reset: 5, Remove: 6 } as const

const scratchBytesMin = 64 << 10
const scratchBytesKept = 4 << 20

/** Packs the operations of a batch into one reused buffer. */
export class RecordWriter {
  bytes = new Uint8Array(scratchBytesMin)
  length = 0
  #view = new DataView(this.bytes.buffer)

  /** @param bytesMax  of the batch. The result is in `bytes`, valid until the next call. */
  encode(ops: readonly LogOp[], bytesMax: number): void {
    if (bytesMax > this.bytes.length || this.bytes.length > scratchBytesKept) this.#resize(bytesMax)
    this.length = 0
    for (const op of ops) {
      switch (op.kind) {
        case 'entries':
          for (const { type, term, index, data } of op.entries) {
            this.#record(Kind.Entry, type, op.regionId, term, index, data)
          }
          break
        case 'hardState': this.#hardState(op.regionId, op.hardState); break
        case 'state': this.#record(Kind.State, op.stateKind, op.regionId, 0, 0, op.bytes); break
        case 'compact': this.#record(Kind.Compact, 0, op.regionId, op.term, op.index, undefined); break
        case 'reset': this.#record(Kind.Reset, 0, op.regionId, op.term, op.index, undefined); break
        case 'remove': this.#record(Kind.Remove, 0, op.regionId, 0, 0, undefined); break
      }
    }
    assert(this.length === bytesMax, 'a batch is as long as it said')
  }

  #resize(bytesMax: number): void {
    this.bytes = new Uint8Array(Math.max(scratchBytesMin, 2 ** Math.ceil(Math.log2(bytesMax))))
    this.#view = new DataView(this.bytes.buffer)
  }

  #hardState(regionId: number, hardState: HardState): void {
    const at = this.#header(Kind.HardState, 0, regionId, hardState.term, hardState.commit, 8)
    this.#u64(at, hardState.vote)
  }

  #record(kind: number, type: number, regionId: number, term: number, index: number,
    payload: Uint8Array | undefined): void {
    const length = payload === undefined ? 0 : payload.length
    const at = this.#header(kind, type, regionId, term, index, length)
    if (payload === undefined) return
    this.bytes.set(payload, at)
    this.bytes.fill(0, at + length, this.length)
  }

  /** @returns where the payload goes */
  #header(kind: number, type: number, regionId: number, term: number, index: number, payloadBytes: number): number {
    const at = this.length
    const view = this.#view
    view.setUint32(at, 0, true)
    view.setUint32(at + 4, payloadBytes, true)
    view.setUint32(at + 8, 0, true)
    view.setUint32(at + 12, kind | (type << 8), true)
    this.#u64(at + 16, regionId)
    this.#u64(at + 24, term)
    this.#u64(at + 32, index)
    this.length = at + recordBytes(payloadBytes)
    return at + headerBytes
  }

  #u64(at: number, value: number): void {
    this.#view.setUint32(at, value >>> 0, true)
    this.#view.setUint32(at + 4, Math.floor(value / twoTo32), true)
  }
}

function readU64(view: DataView, at: number): number {
  const value = view.getUint32(at + 4, true) * twoTo32 + view.getUint32(at, true)
  assert(Number.isSafeInteger(value), 'a number of the log is below 2^53')
  return value
}

/** @param bytes  owned records of kind Entry, as the addon read and checked them. @returns entries that share them */
export function decodeEntries(bytes: Uint8Array): Entry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries: Entry[] = []
  for (let at = 0; at < bytes.length;) {
    const length = view.getUint32(at + 4, true)
    assert(bytes[at + 12] === Kind.Entry, 'the index points at entries')
    entries.push({
      term: readU64(view, at + 24) as Term,
      index: readU64(view, at + 32) as LogIndex,
      type: bytes[at + 13]! as EntryType,
      data: bytes.subarray(at + headerBytes, at + headerBytes + length),
    })
    at += recordBytes(length)
  }
  return entries
}

export interface RegionDump {
  readonly regionId: RegionId
  readonly truncatedIndex: LogIndex
  readonly truncatedTerm: Term
  readonly lastIndex: LogIndex
  readonly hardState: HardState | undefined
  readonly states: readonly { readonly kind: LogStateKind; readonly bytes: Uint8Array }[]
  /** Entries from `index` on have `term`, up to the next run. */
  readonly termRuns: readonly { readonly index: LogIndex; readonly term: Term }[]
}

/** Reads the addon's description of all regions (LAYOUT.md "Log dump"). */
export function decodeDump(bytes: Uint8Array): RegionDump[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const next = (): number => {
    at += 8
    return readU64(view, at - 8)
  }
  const regions: RegionDump[] = []
  for (let left = next(); left > 0; left--) {
    const [regionId, truncatedIndex, truncatedTerm, lastIndex] = [next(), next(), next(), next()]
    const [has, term, vote, commit] = [next(), next(), next(), next()]
    const states: RegionDump['states'][number][] = []
    for (let count = next(); count > 0; count--) {
      const [kind, length] = [next(), next()]
      states.push({ kind: kind as LogStateKind, bytes: copyBytes(bytes.subarray(at, at + length)) })
      at += Math.ceil(length / align) * align
    }
    const termRuns: RegionDump['termRuns'][number][] = []
    for (let count = next(); count > 0; count--) termRuns.push({ index: next() as LogIndex, term: next() as Term })
    regions.push({
      regionId: regionId as RegionId, truncatedIndex: truncatedIndex as LogIndex, truncatedTerm: truncatedTerm as Term,
      lastIndex: lastIndex as LogIndex, states, termRuns,
      hardState: has === 0 ? undefined
        : { term: term as Term, vote: vote as HardState['vote'], commit: commit as LogIndex },
    })
  }
  return regions
}
