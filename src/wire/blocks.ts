import type { PeerId, RegionId, StoreId } from '../common/ids.js'
import type { PeerRef, PeerRole, Region } from '../common/region.js'
import type { Row } from '../engine/api.js'
import { BodyDamage } from './body-reader.js'
import type { BodyReader } from './body-reader.js'
import { ListTooLong } from './frame-writer.js'
import type { FrameWriter } from './frame-writer.js'
import { peerRoleNames, peerRoleNumbers } from './generated/layouts.js'
import type { RawPair, RegionRoute } from './messages.js'

/**
 * Hot lists as one [ubyte] of fixed layout: little-endian, unaligned, no vtables. Layouts: docs/PROTOCOL.md "Blocks".
 * Readers take the position of the vector and check every length against its end before they use it.
 */
// hot path: bench/micro/wire.ts

/** Items in one block. Above the limits of every service, so that services refuse with their own limit's name. */
export const blockItemsMax = 1 << 16
const absentLength = 0xffffffff
export const regionHeaderBytes = 36
export const peerBytes = 24

export function checkCount(block: string, count: number): void {
  if (count > blockItemsMax) throw new ListTooLong(`${block}.items`, count, blockItemsMax)
}

/** @returns the number of items, each of which takes at least itemBytesMin */
export function readCount(r: BodyReader, at: number, end: number, itemBytesMin: number, path: string): number {
  if (at + 4 > end) throw new BodyDamage(`${path}.count`)
  const count = r.u32(at)
  if (count > blockItemsMax || count * itemBytesMin > end - at - 4) throw new BodyDamage(`${path}.count`)
  return count
}

export function checkEnd(at: number, end: number, path: string): void {
  if (at !== end) throw new BodyDamage(`${path}: ${at < end ? 'bytes behind the last item' : 'cut off'}`)
}

// ---- keys: u32 count, then per key: u32 bytes, key

export function writeKeys(w: FrameWriter, slot: number, keys: readonly Uint8Array[]): void {
  checkCount('keys', keys.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), keys.length)
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    w.setU32(w.reserve(4), key.length)
    w.append(key)
  }
  w.endBytes(block)
}

export function readKeys(r: BodyReader, vector: number): Uint8Array[] | undefined {
  if (vector === 0) return undefined
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const keys: Uint8Array[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, 4, 'keys'); i < count; i++) {
    if (at + 4 > end) throw new BodyDamage(`keys[${i}]`)
    const length = r.u32(at)
    if (length > end - at - 4) throw new BodyDamage(`keys[${i}]`)
    keys.push(r.slice(at + 4, length))
    at += 4 + length
  }
  checkEnd(at, end, 'keys')
  return keys
}

// ---- values: u32 count, then per value: u32 bytes (0xffffffff: none), value

export function writeValues(w: FrameWriter, slot: number, values: readonly (Uint8Array | undefined)[]): void {
  checkCount('values', values.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    w.setU32(w.reserve(4), value === undefined ? absentLength : value.length)
    if (value !== undefined) w.append(value)
  }
  w.endBytes(block)
}

export function readValues(r: BodyReader, vector: number): (Uint8Array | undefined)[] {
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const values: (Uint8Array | undefined)[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, 4, 'values'); i < count; i++) {
    if (at + 4 > end) throw new BodyDamage(`values[${i}]`)
    const length = r.u32(at)
    at += 4
    if (length === absentLength) {
      values.push(undefined)
      continue
    }
    if (length > end - at) throw new BodyDamage(`values[${i}]`)
    values.push(r.slice(at, length))
    at += length
  }
  checkEnd(at, end, 'values')
  return values
}

// ---- rows: u32 count, then per row: u32 key bytes, u32 value bytes, key, value

export function writeRows(w: FrameWriter, slot: number, rows: readonly Row[]): void {
  checkCount('rows', rows.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), rows.length)
  for (let i = 0; i < rows.length; i++) {
    const { key, value } = rows[i]!
    const at = w.reserve(8)
    w.setU32(at, key.length)
    w.setU32(at + 4, value.length)
    w.append(key)
    w.append(value)
  }
  w.endBytes(block)
}

export function readRows(r: BodyReader, vector: number): Row[] {
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const rows: Row[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, 8, 'rows'); i < count; i++) {
    if (at + 8 > end) throw new BodyDamage(`rows[${i}]`)
    const keyBytes = r.u32(at)
    const valueBytes = r.u32(at + 4)
    at += 8
    if (keyBytes + valueBytes > end - at) throw new BodyDamage(`rows[${i}]`)
    rows.push({ key: r.slice(at, keyBytes), value: r.slice(at + keyBytes, valueBytes) })
    at += keyBytes + valueBytes
  }
  checkEnd(at, end, 'rows')
  return rows
}

// ---- pairs: u32 count, then per pair: u32 key bytes, u32 value bytes, u64 ttl seconds, key, value

export function writePairs(w: FrameWriter, slot: number, pairs: readonly RawPair[]): void {
  checkCount('pairs', pairs.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), pairs.length)
  for (let i = 0; i < pairs.length; i++) {
    const { key, value, ttlSeconds } = pairs[i]!
    const at = w.reserve(16)
    w.setU32(at, key.length)
    w.setU32(at + 4, value.length)
    w.setU64(at + 8, ttlSeconds)
    w.append(key)
    w.append(value)
  }
  w.endBytes(block)
}

export function readPairs(r: BodyReader, vector: number): RawPair[] {
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const pairs: RawPair[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, 16, 'pairs'); i < count; i++) {
    if (at + 16 > end) throw new BodyDamage(`pairs[${i}]`)
    const keyBytes = r.u32(at)
    const valueBytes = r.u32(at + 4)
    const ttlSeconds = r.u64(at + 8)
    at += 16
    if (keyBytes + valueBytes > end - at) throw new BodyDamage(`pairs[${i}]`)
    pairs.push({ key: r.slice(at, keyBytes), value: r.slice(at + keyBytes, valueBytes), ttlSeconds })
    at += keyBytes + valueBytes
  }
  checkEnd(at, end, 'pairs')
  return pairs
}

// ---- regions: records back to back; a region's length follows from its header

export function appendPeer(w: FrameWriter, peer: PeerRef | undefined): void {
  const at = w.reserve(peerBytes)
  w.setU64(at, peer === undefined ? 0 : peer.peerId)
  w.setU64(at + 8, peer === undefined ? 0 : peer.storeId)
  w.setU32(at + 16, peer === undefined ? 0 : peerRoleNumbers[peer.role])
  w.setU32(at + 20, 0)
}

export function peerRole(number: number, path: string): PeerRole {
  const role = peerRoleNames[number]
  if (role === undefined) throw new BodyDamage(`${path}.role`)
  return role
}

export function readPeer(r: BodyReader, at: number, path: string): PeerRef {
  return { peerId: r.u64(at) as PeerId, storeId: r.u64(at + 8) as StoreId, role: peerRole(r.u32(at + 16), path) }
}

function appendRegion(w: FrameWriter, region: Region): void {
  checkCount('region.peers', region.peers.length)
  const at = w.reserve(regionHeaderBytes)
  w.setU64(at, region.regionId)
  w.setU64(at + 8, region.epoch.confVer)
  w.setU64(at + 16, region.epoch.version)
  w.setU32(at + 24, region.peers.length)
  w.setU32(at + 28, region.startKey.length)
  w.setU32(at + 32, region.endKey.length)
  for (let i = 0; i < region.peers.length; i++) appendPeer(w, region.peers[i]!)
  w.append(region.startKey)
  w.append(region.endKey)
}

function regionRecordBytes(r: BodyReader, at: number, end: number): number {
  if (at + regionHeaderBytes > end) throw new BodyDamage('region')
  const bytes = regionHeaderBytes + r.u32(at + 24) * peerBytes + r.u32(at + 28) + r.u32(at + 32)
  if (bytes > end - at) throw new BodyDamage('region')
  return bytes
}

function regionAt(r: BodyReader, at: number): Region {
  const peers: PeerRef[] = []
  const keys = at + regionHeaderBytes + r.u32(at + 24) * peerBytes
  for (let place = at + regionHeaderBytes; place < keys; place += peerBytes) peers.push(readPeer(r, place, 'region.peers'))
  const startBytes = r.u32(at + 28)
  const endBytes = r.u32(at + 32)
  return {
    regionId: r.u64(at) as RegionId,
    startKey: r.slice(keys, startBytes),
    endKey: r.slice(keys + startBytes, endBytes),
    epoch: { confVer: r.u64(at + 8), version: r.u64(at + 16) },
    peers,
  }
}

export function writeRegion(w: FrameWriter, slot: number, region: Region): void {
  const block = w.beginBytes(slot)
  appendRegion(w, region)
  w.endBytes(block)
}

export function readRegion(r: BodyReader, vector: number): Region {
  const end = vector + 4 + r.u32(vector)
  checkEnd(vector + 4 + regionRecordBytes(r, vector + 4, end), end, 'region')
  return regionAt(r, vector + 4)
}

export function writeRegions(w: FrameWriter, slot: number, regions: readonly Region[]): void {
  checkCount('regions', regions.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), regions.length)
  for (let i = 0; i < regions.length; i++) appendRegion(w, regions[i]!)
  w.endBytes(block)
}

export function readRegions(r: BodyReader, vector: number): Region[] | undefined {
  if (vector === 0) return undefined
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const regions: Region[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, regionHeaderBytes, 'regions'); i < count; i++) {
    const bytes = regionRecordBytes(r, at, end)
    regions.push(regionAt(r, at))
    at += bytes
  }
  checkEnd(at, end, 'regions')
  return regions
}

// ---- routes: a peer record (peer id 0: leader not known), then a region record

function appendRoute(w: FrameWriter, route: RegionRoute): void {
  appendPeer(w, route.leader)
  appendRegion(w, route.region)
}

function routeAt(r: BodyReader, at: number): RegionRoute {
  const leader = readPeer(r, at, 'route.leader')
  return { region: regionAt(r, at + peerBytes), leader: leader.peerId === 0 ? undefined : leader }
}

const routeRecordBytes = (r: BodyReader, at: number, end: number): number =>
  peerBytes + regionRecordBytes(r, at + peerBytes, end)

export function writeRoute(w: FrameWriter, slot: number, route: RegionRoute): void {
  const block = w.beginBytes(slot)
  appendRoute(w, route)
  w.endBytes(block)
}

export function readRoute(r: BodyReader, vector: number): RegionRoute | undefined {
  if (vector === 0) return undefined
  const end = vector + 4 + r.u32(vector)
  checkEnd(vector + 4 + routeRecordBytes(r, vector + 4, end), end, 'route')
  return routeAt(r, vector + 4)
}

export function writeRoutes(w: FrameWriter, slot: number, routes: readonly RegionRoute[]): void {
  checkCount('routes', routes.length)
  const block = w.beginBytes(slot)
  w.setU32(w.reserve(4), routes.length)
  for (let i = 0; i < routes.length; i++) appendRoute(w, routes[i]!)
  w.endBytes(block)
}

export function readRoutes(r: BodyReader, vector: number): RegionRoute[] {
  const end = vector + 4 + r.u32(vector)
  let at = vector + 8
  const routes: RegionRoute[] = []
  for (let i = 0, count = readCount(r, vector + 4, end, peerBytes + regionHeaderBytes, 'routes'); i < count; i++) {
    const bytes = routeRecordBytes(r, at, end)
    routes.push(routeAt(r, at))
    at += bytes
  }
  checkEnd(at, end, 'routes')
  return routes
}
