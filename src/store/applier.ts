import { assert } from '../common/assert.js'
import { compareBytes } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { logIndex, term } from '../common/ids.js'
import type { LogIndex, RegionId, Term } from '../common/ids.js'
import type { PeerRef, Region } from '../common/region.js'
import { BatchOp, Cf } from '../engine/api.js'
import type { Engine } from '../engine/api.js'
import { BatchWriter, readBatch } from '../engine/batch-writer.js'
import { EntryType } from '../raft/types.js'
import type { Entry } from '../raft/types.js'
import { decodeConfChange } from '../raft/confchange/conf-change.js'
import type { ConfChangeV2 } from '../raft/raw-node.js'
import { ApplyOp } from './api.js'
import type { ApplyEvaluator } from './api.js'
import { decodePeerContext, decodeSplit, EntryFlag, entryHeaderBytes, EntryKind, readEntryHeader } from './entry.js'
import type { SplitPart } from './entry.js'
import { initialLog } from './config.js'
import { applyKey, encodeApplyState, encodeRegion, regionKey } from './state-records.js'

/** What a region's log prefix has made of it. The applier alone changes it, apart from raft snapshots. */
export interface ReplicaState {
  region: Region
  appliedIndex: LogIndex
  appliedTerm: Term
}

/** What became of one entry, for the proposer and for the store. */
export type Applied =
  /** `results`: one list for each request, in order; undefined when no request has any. */
  | { readonly kind: 'data'; readonly results: readonly (readonly Uint8Array[])[] | undefined }
  /** The region had been split since: nothing was changed. */
  | { readonly kind: 'stale' }
  /** All regions, left to right, of which the last has the old id. */
  | { readonly kind: 'split'; readonly regions: readonly Region[] }
  /** `change` undefined: voided. */
  | { readonly kind: 'conf'; readonly change: ConfChangeV2 | undefined; readonly peer: PeerRef }
  | { readonly kind: 'empty' }

/**
 * What a split makes of a new region on this store: usually a fresh one. After a crash the store may know that its peer
 * was removed since; then the rows it would have had go at once.
 */
export type ChildFate = 'create' | 'gone'

type Overlay = Map<string, Uint8Array | undefined>

const keyText = (key: Uint8Array): string => {
  let text = ''
  for (const byte of key) text += String.fromCharCode(byte)
  return text
}

/**
 * The replicated state machine over one engine. Batches of many regions gather in one writer; `flush` hands them to the
 * engine together with the apply states of the regions they speak of, so that data and applied index never part.
 */
export class Applier {
  readonly #engine: Engine
  readonly #evaluator: ApplyEvaluator
  readonly #plants: ReadonlySet<string>
  readonly #fateOf: (child: Region) => ChildFate
  readonly #writer = new BatchWriter()
  readonly #touched = new Set<ReplicaState>()
  #counted = 0

  constructor(engine: Engine, evaluator: ApplyEvaluator, plants: ReadonlySet<string>, fateOf: (child: Region) => ChildFate) {
    this.#fateOf = fateOf
    this.#engine = engine
    this.#evaluator = evaluator
    this.#plants = plants
  }

  get isDirty(): boolean { return this.#touched.size > 0 }
  /** Entries applied since the start. */
  get entriesApplied(): number { return this.#counted }

  apply(state: ReplicaState, entry: Entry): Applied {
    assert(entry.index === state.appliedIndex + 1, () =>
      `region ${state.region.regionId}: entry ${entry.index} after ${state.appliedIndex}`)
    const outcome = this.#outcome(state, entry)
    state.appliedIndex = entry.index
    state.appliedTerm = entry.term
    this.#touched.add(state)
    this.#counted++
    if (this.#writer.bytes > 1 << 20) this.flush()
    return outcome
  }

  /** Everything applied so far is in the engine when it returns. */
  flush(): void {
    if (this.#touched.size === 0) return
    if (this.#plants.has('P19')) this.#write()
    for (const state of this.#touched) {
      const applied = encodeApplyState({ index: state.appliedIndex, term: state.appliedTerm })
      this.#writer.put(Cf.Raft, applyKey(state.region.regionId), applied)
    }
    this.#touched.clear()
    this.#write()
  }

  #write(): void {
    this.#engine.write(this.#writer.view())
    this.#writer.clear()
  }

  #outcome(state: ReplicaState, entry: Entry): Applied {
    if (entry.type !== EntryType.Normal) return this.#confChange(state, entry)
    if (entry.data.length === 0) return { kind: 'empty' }
    const header = readEntryHeader(entry.data)
    if (header.epoch.version !== state.region.epoch.version && !this.#plants.has('P20')) return { kind: 'stale' }
    if (header.kind === EntryKind.Split) return this.#split(state, decodeSplit(entry.data))
    if (header.kind !== EntryKind.Data) throw new StorageError('corruption', `raft entry of kind ${header.kind}`)
    const records = entry.data.subarray(entryHeaderBytes)
    if (header.flags & EntryFlag.Conditional) return { kind: 'data', results: this.#conditional(records, header.wallMs) }
    this.#writer.append(records, 0)
    return { kind: 'data', results: undefined }
  }

  /** Reads see earlier entries through the engine, and earlier operations of this one through an overlay: it stays atomic. */
  #conditional(records: Uint8Array, wallMs: number): readonly (readonly Uint8Array[])[] {
    this.flush()
    const overlay: Overlay = new Map()
    const results: Uint8Array[][] = []
    for (const { op, cf, key, value } of readBatch(records)) {
      if (op === ApplyOp.Section) results.push([])
      else if (op <= BatchOp.DeleteRange) this.#plain(op, cf, key, value, overlay)
      else results[results.length - 1]!.push(this.#evaluate(op, key, value, wallMs, overlay))
    }
    return results
  }

  #plain(op: number, cf: Cf, key: Uint8Array, value: Uint8Array, overlay: Overlay): void {
    this.#writer.add(op, cf, key, value)
    if (cf !== Cf.Default) return
    if (op === BatchOp.Put) overlay.set(keyText(key), value)
    else if (op === BatchOp.Delete) overlay.set(keyText(key), undefined)
    else this.#coverRange(key, value, overlay)
  }

  /** A range delete inside an entry with conditions: what lies under it must read as absent from here on. */
  #coverRange(start: Uint8Array, end: Uint8Array, overlay: Overlay): void {
    const [from, to] = [keyText(start), keyText(end)]
    for (const key of overlay.keys()) if (key >= from && (to === '' || key < to)) overlay.set(key, undefined)
    let next = start
    for (;;) {
      const page = this.#engine.scan({ cf: Cf.Default, start: next, end, rowsMax: 1024, bytesMax: 1 << 20, valueTailBytes: 0 })
      for (const row of page.rows) overlay.set(keyText(row.key), undefined)
      const last = page.rows[page.rows.length - 1]
      if (!page.more || last === undefined) return
      next = new Uint8Array(last.key.length + 1)
      next.set(last.key)
    }
  }

  #evaluate(op: number, key: Uint8Array, operand: Uint8Array, wallMs: number, overlay: Overlay): Uint8Array {
    const name = keyText(key)
    const current = overlay.has(name) ? overlay.get(name) : this.#engine.get(Cf.Default, key)
    const { effect, bytes, result } = this.#evaluator.evaluate(op, key, operand, current, wallMs)
    if (effect === 'put') {
      this.#writer.put(Cf.Default, key, bytes)
      overlay.set(name, bytes)
    } else if (effect === 'delete') {
      this.#writer.del(Cf.Default, key)
      overlay.set(name, undefined)
    }
    return result
  }

  #split(state: ReplicaState, parts: readonly SplitPart[]): Applied {
    const old = state.region
    const epoch = { confVer: old.epoch.confVer, version: old.epoch.version + parts.length }
    const regions: Region[] = []
    let startKey = old.startKey
    for (const { ids, endKey } of parts) {
      const isInside = compareBytes(endKey, startKey) > 0
        && (old.endKey.length === 0 || compareBytes(endKey, old.endKey) < 0)
      if (!isInside || ids.peerIds.length !== old.peers.length) return { kind: 'stale' }
      const peers = old.peers.map((peer, at) => ({ ...peer, peerId: ids.peerIds[at]! }))
      regions.push({ regionId: ids.regionId, startKey, endKey, epoch, peers })
      startKey = endKey
    }
    for (const child of regions) {
      if (this.#fateOf(child) === 'create') writeNewRegion(this.#writer, child)
      else deleteRows(this.#writer, child)
    }
    state.region = { ...old, startKey, epoch }
    this.#writeRegion(state.region)
    regions.push(state.region)
    return { kind: 'split', regions }
  }

  #confChange(state: ReplicaState, entry: Entry): Applied {
    const change = decodeConfChange(entry.type, entry.data)
    const asked = change && tryContext(change.context)
    if (change === undefined || asked === undefined) return { kind: 'empty' }
    const region = changedRegion(state.region, change, asked.peer)
    if (region === undefined || asked.confVer !== state.region.epoch.confVer) {
      return { kind: 'conf', change: undefined, peer: asked.peer }
    }
    state.region = region
    this.#writeRegion(region)
    return { kind: 'conf', change, peer: asked.peer }
  }

  #writeRegion(region: Region): void {
    this.#writer.put(Cf.Raft, regionKey(region.regionId), encodeRegion(region))
  }
}

function tryContext(context: Uint8Array): ReturnType<typeof decodePeerContext> | undefined {
  return context.length === 0 ? undefined : decodePeerContext(context)
}

/** The membership after a change; undefined when it makes no sense any more. */
function changedRegion(region: Region, change: ConfChangeV2, peer: PeerRef): Region | undefined {
  const known = region.peers.find(one => one.peerId === peer.peerId)
  const onStore = region.peers.find(one => one.storeId === peer.storeId)
  const epoch = { confVer: region.epoch.confVer + 1, version: region.epoch.version }
  switch (change.changes[0]?.type) {
    case 'addLearner':
      if (onStore !== undefined) return undefined
      return { ...region, epoch, peers: [...region.peers, { ...peer, role: 'learner' }] }
    case 'addNode':
      if (onStore !== undefined && (known === undefined || known.role !== 'learner')) return undefined
      return {
        ...region, epoch,
        peers: [...region.peers.filter(one => one.peerId !== peer.peerId), { ...peer, role: 'voter' }],
      }
    case 'removeNode':
      if (known === undefined) return undefined
      return { ...region, epoch, peers: region.peers.filter(one => one.peerId !== peer.peerId) }
    default: return undefined
  }
}

/** A fresh region's records: those of a child go into the batch of the split that made it. */
export function writeNewRegion(writer: BatchWriter, region: Region): void {
  writer.put(Cf.Raft, regionKey(region.regionId), encodeRegion(region))
  writer.put(Cf.Raft, applyKey(region.regionId), encodeApplyState(initialApplied))
}

export const initialApplied = { index: logIndex(initialLog.index), term: term(initialLog.term) }

/** Everything in a range, in all column families that hold rows. */
export function deleteRows(writer: BatchWriter, range: Pick<Region, 'startKey' | 'endKey'>): void {
  for (const cf of [Cf.Default, Cf.Lock, Cf.Write]) writer.deleteRange(cf, range.startKey, range.endKey)
}

/** A region's own records. */
export function deleteRecords(writer: BatchWriter, id: RegionId): void {
  writer.del(Cf.Raft, regionKey(id))
  writer.del(Cf.Raft, applyKey(id))
}
