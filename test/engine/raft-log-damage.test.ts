// What recovery makes of broken files. A tail that nobody was promised is cut; damage before the durable end is told.
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { logIndex, term } from '../../src/common/ids.js'
import { LogStateKind } from '../../src/engine/api.js'
import type { RaftLog } from '../../src/engine/api.js'
import { LogCorruptionError, openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { copyLog, groupHeaderBytes, groupsOf, readFields, sealOf, segmentFiles, writeHeader } from './log-files.js'
import type { Group } from './log-files.js'
import { describeLog, durable, entries, hard, key, region, temporaryFolder } from './helpers.js'

const segmentBytes = 16 << 10

const open = (dir: string, idleMarkMs = 0): NativeRaftLog =>
  openNativeRaftLog({ dir, segmentBytes, idleMarkMs, cacheBytesMax: 0 })

function change(dir: string, file: string, edit: (bytes: Buffer) => Buffer | undefined): void {
  const path = join(dir, file)
  const bytes = readFileSync(path)
  writeFileSync(path, edit(bytes) ?? bytes)
}

function damageOf(act: () => unknown): LogCorruptionError | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    if (error instanceof LogCorruptionError) return error
    throw error
  }
}

function flip(bytes: Buffer, at: number, mask: number): Buffer {
  bytes[at]! ^= mask
  return bytes
}

/** The group as it would be if nothing had been durable when it was written. */
function forgetDurable(bytes: Buffer, { offset, segment }: Group, dir: string): void {
  writeHeader(bytes, offset, sealOf(dir, segment), { ...readFields(bytes, offset), durable: 0n })
}

/** Three batches; the last one has four records of three regions. @returns what it says with and without the last */
async function build(log: RaftLog): Promise<{ without: string; whole: string }> {
  await durable(log, batch => {
    batch.entries(region(1), entries(1, 3, 1))
    batch.hardState(region(1), hard(1, 2, 1))
  })
  await durable(log, batch => {
    batch.entries(region(2), entries(1, 2, 1))
    batch.state(region(2), LogStateKind.Region, key('normal'))
  })
  const without = describeLog(log)
  await durable(log, batch => {
    batch.entries(region(1), entries(4, 4, 2, 13))
    batch.entries(region(2), entries(2, 2, 2, 7))
    batch.hardState(region(1), hard(2, 2, 3))
    batch.reset(region(3), logIndex(9), term(2))
  })
  return { without, whole: describeLog(log) }
}

/** Opens, compares, then lives on: what was there must still be there after more writes and another opening. */
async function livesOn(dir: string, allowed: readonly string[]): Promise<string | undefined> {
  const log = open(dir)
  const found = describeLog(log)
  if (!allowed.includes(found)) return `found ${found}`
  await durable(log, batch => batch.entries(region(7), entries(1, 1, 3, 5)))
  const now = describeLog(log)
  await log.close()
  const again = open(dir)
  const later = describeLog(again)
  await again.close()
  return later === now ? undefined : `after reopening ${later} instead of ${now}`
}

void t.test('a tail cut or garbled at any byte costs at most its batch', { timeout: 300_000 }, async t => {
  const folder = temporaryFolder()
  const dir = join(folder.path, 'log')
  const copy = join(folder.path, 'copy')
  const log = open(dir)
  const { without, whole } = await build(log)
  const last = groupsOf(dir).at(-1)!
  t.equal(last.records, 4)
  let lost = 0
  for (let at = 0; at < last.bytes; at++) {
    for (const harm of ['cut', 'zero', 'garble'] as const) {
      copyLog(dir, copy)
      change(copy, last.file, bytes => {
        if (harm === 'cut') return bytes.subarray(0, last.offset + at)
        if (harm === 'zero') return bytes.fill(0, last.offset + at)
        return flip(bytes, last.offset + at, 0x41)
      })
      const wrong = await livesOn(copy, harm === 'garble' ? [without, whole] : [without, whole])
      if (wrong !== undefined) t.fail(`${harm} at ${at}: ${wrong}`)
      const reopened = open(copy)
      if (reopened.region(region(3)) === undefined) lost++
      await reopened.close()
    }
  }
  t.ok(lost > last.bytes * 2, `the batch was lost ${lost} times of ${last.bytes * 3}: the harm was real`)
  await log.close()
  folder.remove()
})

void t.test('a changed byte before the durable end is an error that names the region', { timeout: 300_000 }, async t => {
  const folder = temporaryFolder()
  const dir = join(folder.path, 'log')
  const copy = join(folder.path, 'copy')
  const log = open(dir)
  const { whole } = await build(log)
  const first = groupsOf(dir).find(group => group.records > 0)!
  let told = 0
  let unharmed = 0
  for (let at = 0; at < first.bytes; at++) {
    copyLog(dir, copy)
    change(copy, first.file, bytes => flip(bytes, first.offset + at, 0x10))
    try {
      const opened = open(copy)
      // Only padding may change unnoticed.
      if (describeLog(opened) !== whole) t.fail(`silently different at ${at}`)
      unharmed++
      await opened.close()
    } catch (error) {
      if (!(error instanceof LogCorruptionError)) throw error
      const named = error.regions.includes(region(1)) || error.everyRegion
      if (!named) t.fail(`region 1 is not named at ${at}: ${error.message}`)
      told++
    }
  }
  t.ok(told > first.bytes - 32 && unharmed < 32, `told ${told}, unharmed ${unharmed}`)
  await log.close()
  folder.remove()
})

void t.test('holes of other shapes are told', async t => {
  const folder = temporaryFolder()
  const dir = join(folder.path, 'log')
  const copy = join(folder.path, 'copy')
  const log = open(dir)
  for (let i = 2; i <= 61; i++) {
    const index = Math.floor(i / 2)
    await durable(log, batch => batch.entries(region(1 + i % 2), entries(index, index, 1, 900)))
  }
  const whole = describeLog(log)
  const groups = groupsOf(dir)
  const files = [...new Set(groups.map(group => group.file))]
  t.ok(files.length >= 4, `${files.length} segments`)
  const fails = (name: string, harm: () => void): void => {
    copyLog(dir, copy)
    harm()
    t.ok(damageOf(() => open(copy)), name)
  }
  fails('a middle segment is missing', () => rmSync(join(copy, files[1]!)))
  fails('the first segment is missing', () => rmSync(join(copy, files[0]!)))
  fails('a middle segment is empty', () => change(copy, files[1]!, bytes => bytes.fill(0)))
  fails('a middle segment has no bytes', () => change(copy, files[1]!, () => Buffer.alloc(0)))
  fails('the end of a full segment is gone', () => {
    const last = groups.filter(group => group.file === files[1]).at(-1)!
    change(copy, files[1]!, bytes => bytes.fill(0, last.offset))
  })
  fails('the start of a segment is gone', () => change(copy, files[2]!, bytes => bytes.fill(0, 0, 100)))
  fails('a page in the middle is gone', () => change(copy, files[0]!, bytes => bytes.fill(0, 4096, 8192)))
  fails('two segments changed places', () => {
    copyFileSync(join(dir, files[0]!), join(copy, files[1]!))
    copyFileSync(join(dir, files[1]!), join(copy, files[0]!))
  })
  copyLog(dir, copy)
  const intact = open(copy)
  t.equal(describeLog(intact), whole, 'and the copy itself is fine')
  await intact.close()
  await log.close()
  folder.remove()
})

void t.test('after a clean close, or a quiet moment, even the last batch is known to have been durable', async t => {
  const folder = temporaryFolder()
  for (const how of ['close', 'idle'] as const) {
    const dir = join(folder.path, how)
    const copy = join(folder.path, `${how}-copy`)
    const log = open(dir, how === 'idle' ? 5 : 0)
    await build(log)
    if (how === 'close') await log.close()
    else await new Promise(resolve => setTimeout(resolve, 60))
    const last = groupsOf(dir).filter(group => group.records > 0).at(-1)!
    copyLog(dir, copy)
    change(copy, last.file, bytes => flip(bytes, last.offset + groupHeaderBytes + 45, 1))
    t.throws(() => open(copy), { code: 'corruption' }, how)
    await log.close()
  }
  folder.remove()
})

void t.test('unsynced batches of a dead life never come back', async t => {
  const folder = temporaryFolder()
  const dir = join(folder.path, 'log')
  const copy = join(folder.path, 'copy')
  const log = open(dir)
  await durable(log, batch => batch.entries(region(1), entries(1, 2, 1, 100)))
  const sizes = [100, 100, 100, 100]
  await Promise.all(sizes.map((bytes, i) =>
    durable(log, batch => batch.entries(region(1), entries(3 + i, 3 + i, 1, bytes)))))
  copyLog(dir, copy)
  await log.close()
  const torn = groupsOf(copy).filter(group => group.records > 0)[1]!
  for (let life = 0; life < 4; life++) {
    // The batch after the first was not written, those behind it were: a disk may do that before a sync.
    if (life === 0) {
      change(copy, torn.file, bytes => {
        bytes.fill(0, torn.offset, torn.offset + torn.bytes)
        // Nobody had been told that these were durable.
        for (const group of groupsOf(dir).filter(item => item.offset > torn.offset)) forgetDurable(bytes, group, dir)
        return bytes
      })
    }
    const opened = open(copy)
    t.equal(opened.region(region(1))?.lastIndex, 2 + life, `life ${life}`)
    // An opening mark and 248 bytes end where the third of the old groups begins, with the sequence it would need.
    await durable(opened, batch => batch.entries(region(1), entries(3 + life, 3 + life, 9, life === 0 ? 248 : 100)))
    const snapshot = join(folder.path, `life${life}`)
    copyLog(copy, snapshot)
    await opened.close()
    copyLog(snapshot, copy)
  }
  folder.remove()
})

void t.test('a second opener is refused, a closed log can be opened again at once', async t => {
  const folder = temporaryFolder()
  const log = open(folder.path)
  t.throws(() => open(folder.path), { code: 'io' })
  await log.close()
  await open(folder.path).close()
  t.throws(() => open(join('/proc', 'no-such-place')), { code: 'io' })
  folder.remove()
})

void t.test('segments are freed and recycled, stragglers move, a pinned one is named', async t => {
  const folder = temporaryFolder()
  const log = open(folder.path)
  // Region 1 is written once and never again; region 2 has a short log; region 3 moves on.
  await durable(log, batch => {
    batch.hardState(region(1), hard(3, 2, 1))
    batch.state(region(1), LogStateKind.Region, key('quiet'))
    batch.reset(region(1), logIndex(50), term(3))
    batch.entries(region(2), entries(1, 5, 1, 50))
  })
  let max = 0
  for (let i = 1; i <= 600; i++) {
    await durable(log, batch => {
      batch.entries(region(3), entries(i, i, 1, 1000))
      if (i % 20 === 0) batch.compact(region(3), logIndex(i - 5), term(1))
    })
    // Files are given back by a thread of their own, at the pace of the machine.
    while (log.stats().files > log.stats().segments + 2) await new Promise(resolve => setTimeout(resolve, 1))
    max = Math.max(max, log.space.diskBytes)
  }
  t.ok(max < segmentBytes * 10, `disk stays at ${max} for 600 KiB written`)
  const numbers = segmentFiles(folder.path).map(name => Number.parseInt(name, 10))
  t.ok(Math.min(...numbers) > 5, `oldest segment ${Math.min(...numbers)}`)
  t.same(log.entries(region(2), logIndex(1), logIndex(6), Infinity).length, 5)
  const before = describeLog(log)
  await log.close()
  const again = open(folder.path)
  t.equal(describeLog(again), before)
  t.match(before, /^1 \(50\/3, 50\] hard=3\/2\/1 .*states=quiet/)
  await durable(again, batch => batch.entries(region(4), entries(1, 300, 1, 1000)))
  for (let i = 601; i < 640; i++) {
    await durable(again, batch => {
      batch.entries(region(3), entries(i, i, 1, 1000))
      batch.compact(region(3), logIndex(i - 1), term(1))
    })
  }
  t.equal(again.oldestRegions(1).length, 1)
  t.ok(again.oldestRegions(10).includes(region(4)))
  await again.close()
  t.ok(statSync(folder.path).isDirectory())
  folder.remove()
})

void t.test('a fresh log asks little of the disk before its first group is durable', async t => {
  const folder = temporaryFolder()
  const log = openNativeRaftLog({ dir: join(folder.path, 'log'), idleMarkMs: 0 })
  await durable(log, batch => batch.entries(region(1), entries(1, 1, 1)))
  const { diskBytes, zeroBytes, syncs, files } = log.stats()
  t.ok(diskBytes <= 256 << 10 && zeroBytes <= 256 << 10, `${diskBytes} bytes on disk, ${zeroBytes} of zeros`)
  t.ok(syncs <= 2 && files === 1, `${syncs} syncs, ${files} files`)
  await log.close()
  folder.remove()
})
