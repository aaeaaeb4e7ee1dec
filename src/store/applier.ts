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
import { initialLog, storeLimits } from './config.js'
import { Overlay } from './overlay.js'
import { applyKey, encodeApplyState, encodeRegion, regionKey } from './state-records.js'

/**
 * What a region's log prefix has made of it. The applier alone changes it, apart from raft snapshots. Two indexes: what was
 * *applied* is on its way to the engine, in order; what is *visible* is in it. README.md says who goes by which.
 */
export interface ReplicaState {
  region: Region
  appliedIndex: LogIndex
  appliedTerm: Term
  visibleIndex: LogIndex
  visibleTerm: Term
}

/** A state whose data the engine has up to there. */
export const visibleState = (region: Region, index: LogIndex, term: Term): ReplicaState =>
  ({ region, appliedIndex: index, appliedTerm: term, visibleIndex: index, visibleTerm: term })

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

/** A batch on its way: what becomes true, and what is owed, when the engine has it. */
interface Handed {
  readonly bytes: number
  readonly marks: readonly Mark[]
  readonly runs: (() => void)[]
}

interface Mark {
  readonly state: ReplicaState
  readonly index: LogIndex
  readonly term: Term
}

export interface ApplierPorts {
  readonly engine: Engine
  readonly evaluator: ApplyEvaluator
  readonly plants: ReadonlySet<string>
  readonly fateOf: (child: Region) => ChildFate
  /** Around what the engine calls. */
  readonly guarded: (run: () => void) => void
}

/**
 * The replicated state machine over one engine. Batches of many regions gather in one writer; `flush` hands them to the
 * engine together with the apply states of the regions they speak of, so that data and applied index never part.
 *
 *   apply ─► gathered ─► flush ─┬─ small, the engine is idle: written inside the call ──────────┬─► visible: takeVisible
 *                               └─ else: handed to the engine's thread, in order … it says done ─┘
 */
export class Applier {
  readonly #ports: ApplierPorts
  readonly #writer = new BatchWriter()
  readonly #touched = new Set<ReplicaState>()
  /** Owed when what is gathered is visible. */
  #runs: (() => void)[] = []
  readonly #handed: Handed[] = []
  #handedBytes = 0
  #visible: (() => void)[] = []
  #counted = 0
  #isReplaying = true
  /** Something has become visible: `takeVisible` wants to be called. */
  onVisible: () => void = () => {}

  constructor(ports: ApplierPorts) { this.#ports = ports }

  get isDirty(): boolean { return this.#touched.size > 0 }
  /** Nothing is gathered and nothing is on its way. */
  get isDrained(): boolean { return this.#touched.size === 0 && this.#handed.length === 0 }
  /** Bytes that the engine was given and has not said it has. */
  get handedBytes(): number { return this.#handedBytes }
  /** Entries applied since the start. */
  get entriesApplied(): number { return this.#counted }

  /** The end of recovery, which wants every batch in the engine before it goes on: nobody waits for its loop. */
  endReplay(): void {
    this.flush()
    this.#isReplaying = false
  }

  /** @returns undefined when the entry reads the engine, which has not yet all of its region: ask again later */
  apply(state: ReplicaState, entry: Entry): Applied | undefined {
    assert(entry.index === state.appliedIndex + 1, () =>
      `region ${state.region.regionId}: entry ${entry.index} after ${state.appliedIndex}`)
    if (isConditional(entry) && !this.#isSettled(state)) return undefined
    const outcome = this.#outcome(state, entry)
    state.appliedIndex = entry.index
    state.appliedTerm = entry.term
    this.#touched.add(state)
    this.#counted++
    if (this.#writer.bytes > storeLimits.applyBatchBytesAim) this.flush()
    return outcome
  }

  #isSettled(state: ReplicaState): boolean {
    if (state.visibleIndex !== state.appliedIndex && this.#touched.has(state)) this.flush()
    return state.visibleIndex === state.appliedIndex || this.#ports.plants.has('P50')
  }

  /** The state of a region that a split has just made; the engine hears of it with what is gathered. */
  bear(region: Region): ReplicaState {
    const { index, term: inTerm } = initialApplied
    const state = { region, appliedIndex: index, appliedTerm: inTerm, visibleIndex: logIndex(0), visibleTerm: term(0) }
    this.#touched.add(state)
    return state
  }

  /** Runs when everything applied so far is visible; see takeVisible. */
  whenVisible(run: () => void): void { this.#runs.push(run) }

  /** @returns what is to run now, in order: its data is in the engine */
  takeVisible(): readonly (() => void)[] {
    const visible = this.#visible
    if (visible.length > 0) this.#visible = []
    return visible
  }

  /** At the end: everything that is owed, whether the engine has said so or not. */
  takeOwed(): readonly (() => void)[] {
    return [...this.#visible.splice(0), ...this.#handed.splice(0).flatMap(handed => handed.runs)]
  }

  /** Hands out everything applied so far. Often the engine has it when this returns. */
  flush(): void {
    if (this.#touched.size === 0) return this.#settleRuns()
    if (this.#ports.plants.has('P19')) {
      this.#hand(this.#writer.view(), [], [])
      this.#writer.clear()
    }
    for (const state of this.#touched) {
      const applied = encodeApplyState({ index: state.appliedIndex, term: state.appliedTerm })
      this.#writer.put(Cf.Raft, applyKey(state.region.regionId), applied)
    }
    const runs = this.#runs
    this.#runs = []
    this.#hand(this.#writer.view(), this.#touched, runs)
    this.#touched.clear()
    this.#writer.clear()
  }

  /** A batch that is nobody's entry, behind everything applied so far. */
  write(batch: Uint8Array, whenVisible: () => void): void {
    this.flush()
    this.#hand(batch, [], [whenVisible])
  }

  /** Owed for entries that wrote nothing, or for none. */
  #settleRuns(): void {
    if (this.#runs.length === 0) return
    const last = this.#handed[this.#handed.length - 1]
    if (last === undefined || this.#ports.plants.has('P49')) this.#show(this.#runs)
    else last.runs.push(...this.#runs)
    this.#runs = []
  }

  // hot path: bench put
  #hand(batch: Uint8Array, states: Iterable<ReplicaState>, runs: (() => void)[]): void {
    const { engine, guarded, plants } = this.#ports
    if (this.#isReplaying) engine.write(batch)
    else if (!engine.tryWrite(batch)) {
      const marks: Mark[] = []
      for (const state of states) marks.push({ state, index: state.appliedIndex, term: state.appliedTerm })
      const handed: Handed = { bytes: batch.length, marks, runs }
      this.#handed.push(handed)
      this.#handedBytes += handed.bytes
      engine.submit(batch, () => { guarded(() => { this.#done(handed) }) })
      if (plants.has('P49')) this.#becomeVisible(handed)
      return
    }
    for (const state of states) {
      state.visibleIndex = state.appliedIndex
      state.visibleTerm = state.appliedTerm
    }
    this.#show(runs)
  }

  #done(handed: Handed): void {
    assert(this.#handed[0] === handed, 'the engine is done in the order of what it was given')
    this.#handed.shift()
    this.#handedBytes -= handed.bytes
    if (!this.#ports.plants.has('P49')) this.#becomeVisible(handed)
  }

  #becomeVisible({ marks, runs }: Handed): void {
    for (const { state, index, term } of marks) {
      state.visibleIndex = index
      state.visibleTerm = term
    }
    this.#show(runs)
  }

  #show(runs: readonly (() => void)[]): void {
    if (this.#visible.length === 0 && runs.length > 0) this.#visible = runs as (() => void)[]
    else for (const run of runs) this.#visible.push(run)
    this.onVisible()
  }

  #outcome(state: ReplicaState, entry: Entry): Applied {
    if (entry.type !== EntryType.Normal) return this.#confChange(state, entry)
    if (entry.data.length === 0) return { kind: 'empty' }
    const header = readEntryHeader(entry.data)
    if (header.epoch.version !== state.region.epoch.version && !this.#ports.plants.has('P20')) return { kind: 'stale' }
    if (header.kind === EntryKind.Split) return this.#split(state, decodeSplit(entry.data))
    if (header.kind !== EntryKind.Data) throw new StorageError('corruption', `raft entry of kind ${header.kind}`)
    const records = entry.data.subarray(entryHeaderBytes)
    if (header.flags & EntryFlag.Conditional) return { kind: 'data', results: this.#conditional(records, header.wallMs) }
    this.#writer.append(records, 0)
    return { kind: 'data', results: undefined }
  }

  /** Reads see earlier entries through the engine, and earlier operations of this one through an overlay: it stays atomic. */
  #conditional(records: Uint8Array, wallMs: number): readonly (readonly Uint8Array[])[] {
    const overlay = new Overlay()
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
    if (op === BatchOp.DeleteRange) overlay.deleteRange(key, value)
    else overlay.set(key, op === BatchOp.Put ? value : undefined)
  }

  readonly #read = (key: Uint8Array): Uint8Array | undefined => this.#ports.engine.get(Cf.Default, key)

  #evaluate(op: number, key: Uint8Array, operand: Uint8Array, wallMs: number, overlay: Overlay): Uint8Array {
    const { evaluator } = this.#ports
    const current = evaluator.isBlind(op) ? undefined : overlay.get(key, this.#read)
    const { effect, bytes, result } = evaluator.evaluate(op, key, operand, current, wallMs)
    if (effect === 'put') {
      this.#writer.put(Cf.Default, key, bytes)
      overlay.set(key, bytes)
    } else if (effect === 'delete') {
      this.#writer.del(Cf.Default, key)
      overlay.set(key, undefined)
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
      if (this.#ports.fateOf(child) === 'create') writeNewRegion(this.#writer, child)
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

/** Only the engine, with all earlier entries of the region in it, can say what it does. */
function isConditional({ type, data }: Entry): boolean {
  return type === EntryType.Normal && data.length > 1 && data[0] === EntryKind.Data && (data[1]! & EntryFlag.Conditional) !== 0
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
