// The raft log's files as bytes, from native/LAYOUT.md alone: a second reader, and a forger that may know the secret.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { addon } from '../../src/engine/native.js'

export const groupHeaderBytes = 56
export const magicKeyed = 0x3247524b
export const magicPlain = 0x3147524b
const secretFile = 'SECRET-KEY.seg'
const u64 = 0xffffffffffffffffn

export interface Key {
  readonly low: bigint
  readonly high: bigint
}

/** SipHash-2-4. */
export function sipHash({ low, high }: Key, data: Uint8Array): bigint {
  let [v0, v1, v2, v3] = [low ^ 0x736f6d6570736575n, high ^ 0x646f72616e646f6dn, low ^ 0x6c7967656e657261n, high ^ 0x7465646279746573n]
  const turn = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & u64
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) {
      v0 = (v0 + v1) & u64; v1 = turn(v1, 13n) ^ v0; v0 = turn(v0, 32n)
      v2 = (v2 + v3) & u64; v3 = turn(v3, 16n) ^ v2
      v0 = (v0 + v3) & u64; v3 = turn(v3, 21n) ^ v0
      v2 = (v2 + v1) & u64; v1 = turn(v1, 17n) ^ v2; v2 = turn(v2, 32n)
    }
  }
  const padded = Buffer.alloc(Math.floor(data.length / 8) * 8 + 8)
  padded.set(data)
  padded[padded.length - 1] = data.length & 255
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at)
    v3 ^= word
    rounds(2)
    v0 ^= word
  }
  v2 ^= 0xffn
  rounds(4)
  return v0 ^ v1 ^ v2 ^ v3
}

export interface Seal {
  readonly segment: number
  readonly magic: number
  readonly stamp: number
  readonly crcSeed: number
  readonly key: Key | undefined
}

export const plainSeal = (segment: number): Seal => ({ segment, magic: magicPlain, stamp: segment, crcSeed: 0, key: undefined })

export function keyedSeal(key: Key, segment: number): Seal {
  const number = Buffer.alloc(8)
  number.writeUInt32LE(segment, 0)
  const mixed = sipHash(key, number)
  return { segment, magic: magicKeyed, stamp: Number(mixed & 0xffffffffn), crcSeed: Number(mixed >> 32n), key }
}

export function readSecret(dir: string): { readonly key: Key; readonly firstKeyed: number } {
  const bytes = readFileSync(join(dir, secretFile))
  return { firstKeyed: bytes.readUInt32LE(12), key: { low: bytes.readBigUInt64LE(16), high: bytes.readBigUInt64LE(24) } }
}

export function sealOf(dir: string, segment: number): Seal {
  const { key, firstKeyed } = readSecret(dir)
  return segment < firstKeyed ? plainSeal(segment) : keyedSeal(key, segment)
}

export interface GroupFields {
  readonly bodyBytes: number
  readonly sequence: bigint
  readonly durable: bigint
  readonly incarnation: number
  readonly flags: number
  readonly records: number
}

export function writeHeader(to: Buffer, at: number, seal: Seal, fields: GroupFields): void {
  to.writeUInt32LE(seal.magic, at)
  to.writeUInt32LE(seal.segment, at + 8)
  to.writeUInt32LE(fields.bodyBytes, at + 12)
  to.writeBigUInt64LE(fields.sequence, at + 16)
  to.writeBigUInt64LE(fields.durable, at + 24)
  to.writeUInt32LE(fields.incarnation, at + 32)
  to.writeUInt32LE(fields.flags, at + 36)
  to.writeUInt32LE(fields.records, at + 40)
  to.writeUInt32LE(0, at + 44)
  to.writeBigUInt64LE(seal.key === undefined ? 0n : sipHash(seal.key, to.subarray(at + 8, at + 48)), at + 48)
  to.writeUInt32LE(addon.crc32c(to.subarray(at + 8, at + groupHeaderBytes), seal.crcSeed), at + 4)
}

export function readFields(from: Buffer, at: number): GroupFields {
  return {
    bodyBytes: from.readUInt32LE(at + 12), sequence: from.readBigUInt64LE(at + 16), durable: from.readBigUInt64LE(at + 24),
    incarnation: from.readUInt32LE(at + 32), flags: from.readUInt32LE(at + 36), records: from.readUInt32LE(at + 40),
  }
}

export interface Group extends GroupFields {
  readonly file: string
  readonly segment: number
  readonly offset: number
  readonly bytes: number
}

const isSegment = (name: string): boolean => /^\d{10}\.seg$/.test(name)
export const segmentFiles = (dir: string): string[] => readdirSync(dir).filter(isSegment).sort()

/** The groups of a folder in order, marks included. */
export function groupsOf(dir: string): Group[] {
  const groups: Group[] = []
  for (const file of segmentFiles(dir)) {
    const bytes = readFileSync(join(dir, file))
    const segment = Number.parseInt(file, 10)
    const { magic } = sealOf(dir, segment)
    for (let at = 0; at + groupHeaderBytes <= bytes.length && bytes.readUInt32LE(at) === magic;) {
      if (bytes.readUInt32LE(at + 8) !== segment) break
      const fields = readFields(bytes, at)
      groups.push({ ...fields, file, segment, offset: at, bytes: groupHeaderBytes + fields.bodyBytes })
      at += groupHeaderBytes + fields.bodyBytes
    }
  }
  return groups
}

/** A copy of the files as they are, while the log is open: what a power failure leaves at its kindest. */
export function copyLog(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to)
  for (const file of readdirSync(from)) if (file.endsWith('.seg')) copyFileSync(join(from, file), join(to, file))
}
