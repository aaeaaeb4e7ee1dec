import { unreachable } from '../../common/assert.js'
import type { RequestError } from '../../common/errors.js'
import { storeId } from '../../common/ids.js'
import type { StoreId } from '../../common/ids.js'
import type { Region } from '../../common/region.js'
import { err, ok } from '../../common/result.js'
import type { Result } from '../../common/result.js'
import type { StoreMeta } from '../../wire/messages.js'
import { ByteReader, ByteWriter, readMember, readRegion, readStore, writeMember, writeRegion, writeStore }
  from './codec.js'
import type { PdMember } from './codec.js'
import type { PdCommand } from './commands.js'

/** allocIds: the first id. bootstrap, claimMember: 1 = it is the caller's, 0 = somebody was faster. */
export type CommandResult = Result<number, RequestError>

/** 2: members that were replaced, lives of stores. States without any are written as before, and version 1 is read. */
const stateVersions = { first: 1, bearers: 2 } as const
/** One command takes at most this many ids. */
export const idsPerCommandMax = 1 << 20

const invalid = (reason: string): CommandResult => err({ kind: 'InvalidArgument', reason })

/**
 * PD's replicated state machine: what every member agrees on. Deterministic: no clock, no dice; the same commands give
 * the same bytes of encode() everywhere. Regions are not in here: their truth lives in the stores, and
 * heartbeats bring it.
 */
export class ClusterState {
  #clusterId = 0n
  /** All ids up to here are given away. */
  #idBound = 0
  #tsoBoundMs = 0
  #bootstrap: { readonly storeId: StoreId; readonly region: Region } | undefined
  readonly #stores = new Map<StoreId, StoreMeta>()
  readonly #members = new Map<number, PdMember>()
  /** Members that came in the place of others, and the token of who took the id; 0: nobody yet. */
  readonly #awaited = new Map<number, number>()
  /** Members that were replaced: their ids are never in the group again. */
  readonly #retired = new Set<number>()

  /** Which life of a store bears its id. Stores that never said one are absent. */
  readonly #incarnations = new Map<StoreId, number>()

  get clusterId(): bigint { return this.#clusterId }
  get idBound(): number { return this.#idBound }
  /** Every timestamp that was ever issued has a physical part below this. */
  get tsoBoundMs(): number { return this.#tsoBoundMs }
  get isBootstrapped(): boolean { return this.#bootstrap !== undefined }
  /** The very first region, as it was at the start of the cluster. */
  get firstRegion(): Region | undefined { return this.#bootstrap?.region }
  get stores(): ReadonlyMap<StoreId, StoreMeta> { return this.#stores }
  get members(): ReadonlyMap<number, PdMember> { return this.#members }
  get incarnations(): ReadonlyMap<StoreId, number> { return this.#incarnations }
  get awaitedMembers(): ReadonlyMap<number, number> { return this.#awaited }
  get retiredMembers(): ReadonlySet<number> { return this.#retired }

  apply(command: PdCommand): CommandResult {
    switch (command.kind) {
      case 'initCluster':
        if (this.#clusterId === 0n) this.#clusterId = command.clusterId
        return ok(0)
      case 'bootstrap': return this.#applyBootstrap(command.store, command.region)
      case 'allocIds': {
        if (command.count < 1 || command.count > idsPerCommandMax) return invalid(`count of ids: ${command.count}`)
        const first = this.#idBound + 1
        this.#idBound += command.count
        return ok(first)
      }
      case 'putStore': return this.#applyPutStore(command.store)
      case 'registerStore': return this.#applyRegister(command.store, command.incarnation, command.previous)
      case 'setStoreState': return this.#applyStoreState(command.storeId, command.state)
      case 'tsoWindow':
        if (command.boundMs > this.#tsoBoundMs) this.#tsoBoundMs = command.boundMs
        return ok(command.boundMs)
      case 'putMember':
        if (!this.#retired.has(command.member.memberId)) this.#members.set(command.member.memberId, command.member)
        return ok(0)
      case 'replaceMember': return this.#applyReplaceMember(command.oldId, command.member)
      case 'claimMember': return this.#applyClaimMember(command.token, command.member)
      default: return unreachable(command, 'command')
    }
  }

  #applyBootstrap(store: StoreMeta, region: Region): CommandResult {
    if (this.#bootstrap !== undefined) {
      // A store that lost the answer asks again and must hear the same.
      const { storeId: first, region: known } = this.#bootstrap
      return ok(first === store.storeId && known.regionId === region.regionId ? 1 : 0)
    }
    const isWhole = region.startKey.length === 0 && region.endKey.length === 0
    if (!isWhole) return invalid('the first region must cover all keys')
    const [peer] = region.peers
    if (peer === undefined || region.peers.length !== 1 || peer.storeId !== store.storeId || peer.role !== 'voter') {
      return invalid('the first region must have one voter, on the store that brings it')
    }
    for (const id of [region.regionId, peer.peerId]) {
      if (id === 0 || id > this.#idBound) return invalid(`id ${id} was never allocated`)
    }
    const put = this.#applyPutStore(store)
    if (!put.ok) return put
    this.#bootstrap = { storeId: store.storeId, region }
    return ok(1)
  }

  #applyPutStore(store: StoreMeta): CommandResult {
    // Only an operator says anything but `up`, and means just that.
    if (store.state !== 'up') return this.#applyStoreState(store.storeId, store.state)
    const refused = this.#refusalOf(store)
    if (refused !== undefined) return invalid(refused)
    // A store that starts says `up`; what the operator decided about it stays.
    const state = this.#stores.get(store.storeId)?.state ?? 'up'
    this.#stores.set(store.storeId, { ...store, state })
    return ok(0)
  }

  /** Whoever goes on from the life that is known bears the id from now on; a folder that was copied before does not. */
  #applyRegister(store: StoreMeta, incarnation: number, previous: readonly number[]): CommandResult {
    const known = this.#incarnations.get(store.storeId)
    if (known !== undefined && known !== incarnation && !previous.includes(known)) {
      return invalid(`store ${store.storeId} was started from another copy of this folder, at `
        + `${this.#stores.get(store.storeId)?.address}; one folder serves at a time, and this one is behind`)
    }
    const put = this.#applyPutStore(store)
    if (put.ok) this.#incarnations.set(store.storeId, incarnation)
    return put
  }

  #refusalOf(store: StoreMeta): string | undefined {
    const { storeId: id, address } = store
    if (address === '') return 'a store needs an address'
    if (id === 0 || id > this.#idBound) return `store id ${id} was never allocated`
    if (this.#stores.get(id)?.state === 'tombstone') return `store ${id} is a tombstone: it cannot come back`
    for (const other of this.#stores.values()) {
      if (other.storeId === id || other.address !== address || other.state !== 'up') continue
      return `address ${address} belongs to store ${other.storeId}; take that one offline first, or give back its data`
    }
    return undefined
  }

  /** up ⇄ offline → tombstone. */
  #applyStoreState(id: StoreId, state: StoreMeta['state']): CommandResult {
    const known = this.#stores.get(id)
    if (known === undefined) return invalid(`store ${id} is not known`)
    if (known.state === state) return ok(0)
    if (known.state === 'tombstone') return invalid(`store ${id} is a tombstone`)
    if (state === 'tombstone' && known.state === 'up') return invalid(`store ${id} must be offline before it is buried`)
    if (state === 'up') {
      const twin = [...this.#stores.values()].find(other => other.storeId !== id && other.address === known.address
        && other.state === 'up')
      if (twin !== undefined) return invalid(`address ${known.address} belongs to store ${twin.storeId} now`)
    }
    this.#stores.set(id, { ...known, state })
    return ok(0)
  }

  #applyReplaceMember(oldId: number, member: PdMember): CommandResult {
    if (this.#retired.has(oldId)) return invalid(`member ${oldId} was replaced already`)
    if (member.memberId === oldId || this.#members.has(member.memberId)) return invalid(`member id ${member.memberId} is taken`)
    this.#retired.add(oldId)
    this.#members.delete(oldId)
    this.#awaited.delete(oldId)
    this.#awaited.set(member.memberId, 0)
    this.#members.set(member.memberId, member)
    return ok(0)
  }

  #applyClaimMember(token: number, member: PdMember): CommandResult {
    const known = this.#awaited.get(member.memberId)
    if (known === undefined || (known !== 0 && known !== token)) return ok(0)
    this.#awaited.set(member.memberId, token)
    this.#members.set(member.memberId, member)
    return ok(1)
  }

  /** @returns owned bytes; equal states give equal bytes */
  encode(): Uint8Array {
    const version = this.#retired.size + this.#incarnations.size === 0 ? stateVersions.first : stateVersions.bearers
    const writer = new ByteWriter().u8(version).u64(this.#clusterId).uint(this.#idBound).uint(this.#tsoBoundMs)
    writer.u8(this.#bootstrap === undefined ? 0 : 1)
    if (this.#bootstrap !== undefined) {
      writer.uint(this.#bootstrap.storeId)
      writeRegion(writer, this.#bootstrap.region)
    }
    const stores = [...this.#stores.values()].sort((left, right) => left.storeId - right.storeId)
    writer.uint(stores.length)
    for (const store of stores) writeStore(writer, store)
    const members = [...this.#members.values()].sort((left, right) => left.memberId - right.memberId)
    writer.uint(members.length)
    for (const member of members) writeMember(writer, member)
    if (version >= stateVersions.bearers) {
      const awaited = [...this.#awaited].sort(([left], [right]) => left - right)
      writer.uint(awaited.length)
      for (const [id, token] of awaited) writer.uint(id).uint(token)
      const retired = [...this.#retired].sort((left, right) => left - right)
      writer.uint(retired.length)
      for (const id of retired) writer.uint(id)
      const lives = [...this.#incarnations].sort(([left], [right]) => left - right)
      writer.uint(lives.length)
      for (const [id, incarnation] of lives) writer.uint(id).uint(incarnation)
    }
    return writer.finish()
  }

  /** @throws StorageError('corruption') */
  static decode(bytes: Uint8Array): ClusterState {
    const reader = new ByteReader(bytes, 'PD state')
    const state = new ClusterState()
    const version = reader.version(stateVersions.bearers)
    state.#clusterId = reader.u64()
    state.#idBound = reader.uint()
    state.#tsoBoundMs = reader.uint()
    if (reader.u8() === 1) state.#bootstrap = { storeId: storeId(reader.uint()), region: readRegion(reader) }
    for (let left = reader.uint(); left > 0; left--) {
      const store = readStore(reader)
      state.#stores.set(store.storeId, store)
    }
    for (let left = reader.uint(); left > 0; left--) {
      const member = readMember(reader)
      state.#members.set(member.memberId, member)
    }
    if (version >= stateVersions.bearers) {
      for (let left = reader.uint(); left > 0; left--) {
        const id = reader.uint()
        state.#awaited.set(id, reader.uint())
      }
      for (let left = reader.uint(); left > 0; left--) state.#retired.add(reader.uint())
      for (let left = reader.uint(); left > 0; left--) {
        const id = storeId(reader.uint())
        state.#incarnations.set(id, reader.uint())
      }
    }
    reader.end()
    return state
  }
}
