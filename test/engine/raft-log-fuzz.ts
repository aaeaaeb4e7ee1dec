// Hostile tails: behind the durable end of a log lie bytes of a client that knows everything but the log's secret.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { addon } from '../../src/engine/native.js'
import { groupHeaderBytes, groupsOf, keyedSeal, plainSeal, segmentFiles, writeHeader } from './log-files.js'
import type { GroupFields, Seal } from './log-files.js'
import { describeLog, dice, durable, entries, hard, key, region } from './helpers.js'

const segmentBytes = 4096
const u64Max = 0xffff_ffff_ffff_ffffn

type Dice = ReturnType<typeof dice>
const pick = <T>(random: Dice, list: readonly T[]): T => list[random.below(list.length)]!

export interface LogFuzzOutcome {
  readonly tails: number
  readonly headers: number
  readonly slowestMs: number
}

/** What is wrong, in words, with how to see it again. */
export class LogFuzzFailure extends Error {}

export interface LogFuzzOptions {
  readonly seed: number
  readonly count: number
  readonly onProgress?: (done: number) => void
}

const open = (dir: string): NativeRaftLog => openNativeRaftLog({ dir, segmentBytes, idleMarkMs: 0, cacheBytesMax: 0 })

/** A log with a few segments, as a kill leaves it. */
interface Victim {
  readonly dir: string
  readonly files: ReadonlyMap<string, Buffer>
  readonly described: string
  readonly lastFile: string
  readonly segment: number
  readonly end: number
  readonly sequence: bigint
  readonly incarnation: number
}

async function makeVictim(dir: string, random: Dice): Promise<Victim> {
  mkdirSync(dir)
  const log = open(dir)
  await durable(log, batch => {
    batch.hardState(region(1), hard(3, 2, 1))
    batch.state(region(1), 1, key('normal'))
    batch.entries(region(2), entries(1, 4, 1, 50))
  })
  const groups = 4 + random.below(16)
  for (let i = 1; i <= groups; i++) await durable(log, batch => batch.entries(region(3), entries(i, i, 1, random.below(700))))
  const described = describeLog(log)
  const files = new Map(segmentFiles(dir).map(name => [name, readFileSync(join(dir, name))]))
  const last = groupsOf(dir).at(-1)!
  await log.close()
  return {
    dir, files, described, lastFile: last.file, segment: last.segment, end: last.offset + last.bytes, sequence: last.sequence,
    incarnation: last.incarnation,
  }
}

function hostileSeal(random: Dice, segment: number): Seal {
  const epoch = random.below(8) === 0 ? segment + random.below(3) : segment
  if (random.below(2) === 0) return plainSeal(epoch)
  const word = (): bigint => BigInt(Math.floor(random.float() * 2 ** 32)) << 32n | BigInt(Math.floor(random.float() * 2 ** 32))
  return keyedSeal(random.below(3) === 0 ? { low: 0n, high: 0n } : { low: word(), high: word() }, epoch)
}

function hostileFields(random: Dice, victim: Victim, at: number, bodyBytes: number, records: number): GroupFields {
  const own = BigInt(victim.segment) << 32n | BigInt(at)
  return {
    bodyBytes, records, flags: pick(random, [0, 0, 1, 2, 4, 8]),
    sequence: pick(random, [victim.sequence + 1n, victim.sequence + 2n, victim.sequence + BigInt(1 + random.below(70)), 1n, u64Max]),
    durable: pick(random, [u64Max, own, own - 8n, own + 1n, BigInt(victim.segment + 1) << 32n, 0n]),
    incarnation: pick(random, [victim.incarnation, victim.incarnation + 1, 0xffff_ffff, 0xffff_fff0, 0]),
  }
}

/** A record that, believed, would end region 3 or vote in its name. */
function writeRecord(to: Buffer, at: number, seal: Seal, kind: number): void {
  to.fill(0, at, at + 48)
  to.writeUInt32LE(kind === 2 ? 8 : 0, at + 4)
  to.writeUInt32LE(seal.stamp, at + 8)
  to.writeUInt8(kind, at + 12)
  to.writeBigUInt64LE(3n, at + 16)
  to.writeBigUInt64LE(99n, at + 24)
  to.writeBigUInt64LE(77n, at + 32)
  to.writeUInt32LE(addon.crc32c(to.subarray(at + 4, at + (kind === 2 ? 48 : 40)), seal.crcSeed), at)
}

/** Fills the tail with groups, whole or not, from some place on. @returns how many headers */
function poison(random: Dice, bytes: Buffer, victim: Victim): number {
  let headers = 0
  const step = pick(random, [8, 8, 56, 104, 1])
  let at = victim.end + pick(random, [0, 0, 0, 8 * random.below(16), random.below(100)])
  while (at + groupHeaderBytes + 48 <= bytes.length) {
    const seal = hostileSeal(random, victim.segment)
    const kind = pick(random, [0, 0, 2, 5, 6])
    const bodyBytes = kind === 0 ? pick(random, [0, 0, 0, 40, 0xffff_ffff]) : kind === 2 ? 48 : 40
    if (kind !== 0) writeRecord(bytes, at + groupHeaderBytes, seal, kind)
    writeHeader(bytes, at, seal, hostileFields(random, victim, at, bodyBytes, kind === 0 ? 0 : 1))
    headers++
    at += groupHeaderBytes + (kind === 0 ? 0 : bodyBytes) + (random.below(3) === 0 ? step * random.below(8) : 0)
  }
  return headers
}

async function attack(random: Dice, victim: Victim, livesOn: boolean): Promise<number> {
  const poisoned = Buffer.from(victim.files.get(victim.lastFile)!)
  const headers = poison(random, poisoned, victim)
  for (const name of segmentFiles(victim.dir)) if (!victim.files.has(name)) rmSync(join(victim.dir, name))
  for (const [name, bytes] of victim.files) {
    if (name !== victim.lastFile && !livesOn) continue
    writeFileSync(join(victim.dir, name), name === victim.lastFile ? poisoned : bytes)
  }
  const log = open(victim.dir)
  const found = describeLog(log)
  if (found !== victim.described) throw new LogFuzzFailure(`found ${found}\nwanted ${victim.described}`)
  if (!livesOn) {
    await log.close()
    return headers
  }
  await durable(log, batch => batch.entries(region(9), entries(1, 1, 1, random.below(900))))
  const now = describeLog(log)
  await log.close()
  const again = open(victim.dir)
  const later = describeLog(again)
  await again.close()
  if (later !== now) throw new LogFuzzFailure(`after another opening found ${later}\nwanted ${now}`)
  const mark = groupsOf(victim.dir).find(group => group.sequence === victim.sequence + 1n)
  if (mark?.incarnation !== victim.incarnation + 1) throw new LogFuzzFailure(`the next life is number ${mark?.incarnation}`)
  return headers
}

/** In memory where there is a place for it. A new victim every thousand tails. */
export async function fuzzLog({ seed, count, onProgress }: LogFuzzOptions): Promise<LogFuzzOutcome> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'karst-log-fuzz-'))
  const outcome = { tails: 0, headers: 0, slowestMs: 0 }
  let victim: Victim | undefined
  try {
    for (let i = 0; i < count; i++) {
      const random = dice(seed + i)
      if (victim === undefined || i % 1000 === 0) {
        if (victim !== undefined) rmSync(victim.dir, { recursive: true })
        victim = await makeVictim(join(folder, String(i)), dice(seed + i))
      }
      const started = performance.now()
      try {
        // Every tenth log goes on living on its poisoned file.
        outcome.headers += await attack(random, victim, i % 10 === 9 || i % 1000 === 0)
      } catch (error) {
        throw new LogFuzzFailure(`seed ${seed} tail ${i} (replay: --seed ${seed + i - i % 1000} --count ${i % 1000 + 1}): ` +
          (error as Error).message, { cause: error })
      }
      outcome.tails++
      outcome.slowestMs = Math.max(outcome.slowestMs, performance.now() - started)
      if (i % 1000 === 999) onProgress?.(i + 1)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return outcome
}
