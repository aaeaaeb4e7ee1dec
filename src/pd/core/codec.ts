import { assert } from '../../common/assert.js'
import { copyBytes, fromUtf8, utf8 } from '../../common/bytes.js'
import { StorageError } from '../../common/errors.js'
import { peerId, regionId, storeId } from '../../common/ids.js'
import type { PeerRef, PeerRole, Region } from '../../common/region.js'
import type { StoreMeta } from '../../wire/messages.js'

/**
 * Bytes of PD's replicated commands and state. Numbers are little-endian base-128 varints, strings and byte strings
 * carry their length. Same value, same bytes: maps are written in key order by the callers.
 */
export class ByteWriter {
  #bytes = new Uint8Array(256)
  #length = 0

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }

  u8(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
    return this
  }

  /** A whole number in [0, 2^53). */
  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, () => `not an unsigned whole number: ${value}`)
    this.#reserve(8)
    let rest = value
    while (rest >= 128) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#length++] = rest
    return this
  }

  u64(value: bigint): this {
    this.#reserve(8)
    new DataView(this.#bytes.buffer).setBigUint64(this.#length, value, true)
    this.#length += 8
    return this
  }

  bytes(value: Uint8Array): this {
    this.uint(value.length)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  text(value: string): this { return this.bytes(utf8(value)) }

  /** @returns owned bytes */
  finish(): Uint8Array { return copyBytes(this.#bytes.subarray(0, this.#length)) }
}

/** Reads what ByteWriter wrote; anything else is corruption and throws StorageError('corruption'). */
export class ByteReader {
  #at = 0
  constructor(readonly source: Uint8Array, readonly what: string) {}

  #fail(why: string): never {
    throw new StorageError('corruption', `${this.what}: ${why} at byte ${this.#at}`)
  }

  u8(): number {
    const value = this.source[this.#at]
    if (value === undefined) this.#fail('ends too early')
    this.#at++
    return value
  }

  uint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (!Number.isSafeInteger(value)) this.#fail('number out of range')
      if (byte < 0x80) return value
    }
  }

  u64(): bigint {
    if (this.#at + 8 > this.source.length) this.#fail('ends too early')
    const value = new DataView(this.source.buffer, this.source.byteOffset).getBigUint64(this.#at, true)
    this.#at += 8
    return value
  }

  /** @returns owned bytes */
  bytes(): Uint8Array {
    const length = this.uint()
    if (this.#at + length > this.source.length) this.#fail('ends too early')
    this.#at += length
    return copyBytes(this.source.subarray(this.#at - length, this.#at))
  }

  text(): string { return fromUtf8(this.bytes()) }

  /** @returns the version that was found, in [1, newest] */
  version(newest: number): number {
    const found = this.u8()
    if (found < 1 || found > newest) this.#fail(`version ${found}, this program reads up to ${newest}`)
    return found
  }

  choice<T>(choices: readonly T[]): T {
    const found = choices[this.u8()]
    if (found === undefined) this.#fail('unknown choice')
    return found
  }

  end(): void {
    if (this.#at !== this.source.length) this.#fail(`${this.source.length - this.#at} bytes too many`)
  }
}

const storeStates: readonly StoreMeta['state'][] = ['up', 'offline', 'tombstone']
const peerRoles: readonly PeerRole[] = ['voter', 'learner', 'incomingVoter', 'demotingVoter']
export const storeStateCode = (state: StoreMeta['state']): number => storeStates.indexOf(state)
export const readStoreState = (reader: ByteReader): StoreMeta['state'] => reader.choice(storeStates)

export function writeStore(writer: ByteWriter, store: StoreMeta): void {
  writer.uint(store.storeId).text(store.address).text(store.statusAddress).text(store.version)
  writer.u8(storeStateCode(store.state)).uint(Math.max(0, Math.floor(store.startedAtWallMs)))
  const labels = Object.entries(store.labels).sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
  writer.uint(labels.length)
  for (const [key, value] of labels) writer.text(key).text(value)
}

export function readStore(reader: ByteReader): StoreMeta {
  const id = storeId(reader.uint())
  const address = reader.text()
  const statusAddress = reader.text()
  const version = reader.text()
  const state = readStoreState(reader)
  const startedAtWallMs = reader.uint()
  const labels: Record<string, string> = {}
  for (let left = reader.uint(); left > 0; left--) {
    const key = reader.text()
    labels[key] = reader.text()
  }
  return { storeId: id, address, statusAddress, labels, version, state, startedAtWallMs }
}

export function writeRegion(writer: ByteWriter, region: Region): void {
  writer.uint(region.regionId).bytes(region.startKey).bytes(region.endKey)
  writer.uint(region.epoch.confVer).uint(region.epoch.version).uint(region.peers.length)
  for (const peer of region.peers) writer.uint(peer.peerId).uint(peer.storeId).u8(peerRoles.indexOf(peer.role))
}

export function readRegion(reader: ByteReader): Region {
  const id = regionId(reader.uint())
  const startKey = reader.bytes()
  const endKey = reader.bytes()
  const epoch = { confVer: reader.uint(), version: reader.uint() }
  const peers: PeerRef[] = []
  for (let left = reader.uint(); left > 0; left--) {
    peers.push({ peerId: peerId(reader.uint()), storeId: storeId(reader.uint()), role: reader.choice(peerRoles) })
  }
  return { regionId: id, startKey, endKey, epoch, peers }
}

/** A member of PD's own raft group. */
export interface PdMember {
  readonly name: string
  readonly memberId: number
  readonly clientUrls: readonly string[]
  readonly peerUrls: readonly string[]
}

export function writeMember(writer: ByteWriter, member: PdMember): void {
  writer.text(member.name).uint(member.memberId)
  for (const urls of [member.clientUrls, member.peerUrls]) {
    writer.uint(urls.length)
    for (const url of urls) writer.text(url)
  }
}

export function readMember(reader: ByteReader): PdMember {
  const name = reader.text()
  const memberId = reader.uint()
  const urls = (): string[] => Array.from({ length: reader.uint() }, () => reader.text())
  return { name, memberId, clientUrls: urls(), peerUrls: urls() }
}
