// What a client sends lies in the log's files, in recycled ones for long. It must never pass for the log's own.
import { closeSync, copyFileSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { logIndex, term } from '../../src/common/ids.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { addon } from '../../src/engine/native.js'
import {
  copyLog, groupHeaderBytes, groupsOf, keyedSeal, plainSeal, readFields, readSecret, sealOf, segmentFiles, sipHash, writeHeader,
} from './log-files.js'
import type { Seal } from './log-files.js'
import { describeLog, durable, entries, entry, region, temporaryFolder } from './helpers.js'
import { fuzzLog } from './raft-log-fuzz.js'

const segmentBytes = 16 << 10
const open = (dir: string): NativeRaftLog => openNativeRaftLog({ dir, segmentBytes, idleMarkMs: 0, cacheBytesMax: 0 })

/** Marks of all kinds of lies, for the segments that will come next. */
function lies(segment: number, seal: (segment: number) => Seal): Buffer {
  const bytes = Buffer.alloc(segmentBytes - 1024)
  for (let at = 0, i = 0; at + groupHeaderBytes <= bytes.length; at += groupHeaderBytes, i++) {
    writeHeader(bytes, at, seal(segment + 1 + i % 9), {
      bodyBytes: 0, records: 0, flags: 1, sequence: BigInt(1000 + i), durable: i % 2 === 0 ? 0xffff_ffff_ffff_ffffn : 1n << 33n,
      incarnation: i % 3 === 0 ? 0xffff_ffff : 1,
    })
  }
  return bytes
}

for (const [kind, seal] of [['of format 1', plainSeal], ['with a guessed secret', (n: number) => keyedSeal({ low: 0n, high: 0n }, n)]] as const) {
  void t.test(`values that pose as groups ${kind}, in recycled segments, are not believed`, async t => {
    const folder = temporaryFolder()
    const dir = join(folder.path, 'log')
    const copy = join(folder.path, 'copy')
    const log = open(dir)
    let index = 0
    const file = (): number => Number.parseInt(segmentFiles(dir).at(-1)!, 10)
    for (let i = 0; i < 12; i++) {
      index++
      await durable(log, batch => {
        batch.entries(region(1), [entry(index, 1, lies(file(), seal))])
        if (index > 1) batch.compact(region(1), logIndex(index - 1), term(1))
      })
    }
    const before = log.stats().zeroBytes
    for (let i = 0; i < 20; i++) {
      index++
      await durable(log, batch => {
        batch.entries(region(1), [entry(index, 1, 'x'.repeat(100 + 40 * i))])
        batch.compact(region(1), logIndex(index - 1), term(1))
      })
      const described = describeLog(log)
      copyLog(dir, copy)
      const again = open(copy)
      t.equal(describeLog(again), described, `after ${index}`)
      await durable(again, batch => batch.entries(region(2), entries(1, 1, 1)))
      const later = describeLog(again)
      await again.close()
      const third = open(copy)
      t.equal(describeLog(third), later, 'what the next life acknowledged is still there')
      await third.close()
    }
    t.equal(log.stats().zeroBytes, before, 'the segments were recycled ones')
    await log.close()
    folder.remove()
  })
}

void t.test('two thousand hostile tails: none refused, nothing believed', { timeout: 300_000 }, async t => {
  const seed = 90210
  const outcome = await fuzzLog({ seed, count: 2000 })
  t.equal(outcome.tails, 2000)
  t.ok(outcome.headers > 20_000, `seed ${seed}: ${outcome.headers} headers`)
})

void t.test('the tag is SipHash-2-4, and the page tells how the files are sealed', async t => {
  // Aumasson and Bernstein, appendix A.
  const key = { low: 0x0706050403020100n, high: 0x0f0e0d0c0b0a0908n }
  t.equal(sipHash(key, Uint8Array.from({ length: 15 }, (_, i) => i)), 0xa129ca6149be45e5n)
  const folder = temporaryFolder()
  const log = open(folder.path)
  await durable(log, batch => batch.entries(region(1), entries(1, 3, 1, 33)))
  await log.close()
  const group = groupsOf(folder.path).find(one => one.records > 0)!
  const bytes = readFileSync(join(folder.path, group.file)).subarray(group.offset)
  const seal = sealOf(folder.path, group.segment)
  const copy = Buffer.from(bytes.subarray(0, groupHeaderBytes))
  writeHeader(copy, 0, seal, readFields(bytes, 0))
  t.same(copy, bytes.subarray(0, groupHeaderBytes))
  const record = bytes.subarray(groupHeaderBytes, groupHeaderBytes + 73)
  t.equal(record.readUInt32LE(8), seal.stamp)
  t.equal(record.readUInt32LE(0), addon.crc32c(record.subarray(4), seal.crcSeed))
  folder.remove()
})

void t.test('no two logs have one secret; without its secret a log is refused', async t => {
  const folder = temporaryFolder()
  const [one, two] = [join(folder.path, 'one'), join(folder.path, 'two')]
  for (const dir of [one, two]) {
    const log = open(dir)
    await durable(log, batch => batch.entries(region(1), entries(1, 3, 1)))
    await log.close()
  }
  t.not(readSecret(one).key.low, readSecret(two).key.low)
  const path = join(one, 'SECRET-KEY.seg')
  const secret = readFileSync(path)
  rmSync(path)
  t.throws(() => open(one), { code: 'corruption', everyRegion: true, message: /SECRET-KEY\.seg is missing/ })
  writeFileSync(path, secret.subarray(0, 20))
  t.throws(() => open(one), { code: 'corruption', message: /damaged/ })
  writeFileSync(path, secret)
  const newer = Buffer.from(secret)
  newer.writeUInt32LE(3, 8)
  writeFileSync(path, newer)
  t.throws(() => open(one), { code: 'corruption', message: /newer karst/ })
  copyFileSync(join(two, 'SECRET-KEY.seg'), path)
  const stranger = open(one)
  t.same(stranger.regions(), [], 'groups of another log are nobody\'s')
  await stranger.close()
  folder.remove()
})

void t.test('counters that cannot go on fail in words', async t => {
  const folder = temporaryFolder()
  const forge = async (fields: { sequence?: bigint; incarnation?: number }): Promise<string> => {
    const dir = join(folder.path, `${fields.sequence}-${fields.incarnation}`)
    const log = open(dir)
    await durable(log, batch => batch.entries(region(1), entries(1, 1, 1)))
    await log.close()
    const file = segmentFiles(dir)[0]!
    const bytes = readFileSync(join(dir, file))
    const groups = groupsOf(dir)
    // The one group that counts, with numbers at their end; it is the first.
    const group = groups.find(one => one.records > 0)!
    const body = Buffer.from(bytes.subarray(group.offset, group.offset + group.bytes))
    bytes.fill(0)
    body.copy(bytes)
    writeHeader(bytes, 0, sealOf(dir, 1), { ...readFields(body, 0), durable: 0n, ...fields })
    writeFileSync(join(dir, file), bytes)
    return dir
  }
  const old = await forge({ incarnation: 0xffff_fff0 })
  t.throws(() => open(old), { message: /opened too often/ })
  const long = await forge({ sequence: 2n ** 53n - 2n ** 19n })
  const log = open(long)
  t.equal(log.region(region(1))?.lastIndex, 1)
  const batch = log.batch()
  batch.entries(region(1), entries(2, 2, 1))
  t.throws(() => log.append(batch, true, () => {}), { message: /no sequence or segment numbers left/ })
  await log.close()
  const last = join(folder.path, 'last')
  mkdirSync(last)
  const spent = open(last)
  await durable(spent, build => build.entries(region(1), entries(1, 1, 1)))
  await spent.close()
  copyFileSync(join(last, segmentFiles(last)[0]!), join(last, '4294967295.seg'))
  rmSync(join(last, '0000000001.seg'))
  const end = open(last)
  t.throws(() => {
    const full = end.batch()
    full.entries(region(1), entries(1, 1, 1))
    end.append(full, true, () => {})
  }, { message: /numbers left/ })
  await end.close()
  folder.remove()
})

void t.test('files that are not the log\'s are left alone; impossible ones are told', async t => {
  const folder = temporaryFolder()
  const dir = join(folder.path, 'log')
  const log = open(dir)
  await durable(log, batch => batch.entries(region(1), entries(1, 3, 1)))
  const described = describeLog(log)
  await log.close()
  const odd = [
    'abcdefghij.seg', '99999999999999999999.seg', '9999999999.seg', '0000000000.seg', '000000001a.seg', '1.seg', '-000000001.seg',
    'spare-.tmp', 'spare-x.tmp', 'spare-18446744073709551615.tmp', 'spare-1e3.tmp', 'spare-007.tmp', 'SPARE-1.tmp', 'LOCK2',
  ]
  for (const name of odd) writeFileSync(join(dir, name), 'not ours')
  mkdirSync(join(dir, 'spare-3.tmp'))
  const again = open(dir)
  t.equal(describeLog(again), described)
  await again.close()
  for (const name of odd) t.equal(readFileSync(join(dir, name), 'utf8'), 'not ours', name)
  mkdirSync(join(dir, '0000000002.seg'))
  t.throws(() => open(dir), { code: 'io' }, 'a folder that is named like a segment')
  rmSync(join(dir, '0000000002.seg'), { recursive: true })
  const huge = openSync(join(dir, '0000000002.seg'), 'w')
  ftruncateSync(huge, 2 ** 40)
  closeSync(huge)
  t.throws(() => open(dir), { code: 'corruption', message: /larger than any segment/ })
  rmSync(join(dir, '0000000002.seg'))
  await open(dir).close()
  folder.remove()
})

void t.test('numbers that JavaScript cannot count are in no record that is believed', async t => {
  const folder = temporaryFolder()
  for (const at of [16, 24, 32]) {
    const dir = join(folder.path, String(at))
    const log = open(dir)
    await durable(log, batch => batch.entries(region(1), entries(1, 1, 1, 8)))
    await log.close()
    const group = groupsOf(dir).find(one => one.records > 0)!
    const path = join(dir, group.file)
    const bytes = readFileSync(path)
    const record = bytes.subarray(group.offset + groupHeaderBytes, group.offset + groupHeaderBytes + 48)
    record.writeBigUInt64LE(2n ** 53n, at)
    record.writeUInt32LE(addon.crc32c(record.subarray(4, 48), sealOf(dir, group.segment).crcSeed), 0)
    writeFileSync(path, bytes)
    t.throws(() => open(dir), { code: 'corruption' }, 'it was durable, so this is damage, in words')
  }
  folder.remove()
})
