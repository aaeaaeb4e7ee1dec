// Folders that earlier versions have left. test/engine/golden/ keeps them for ever: raft-log-1 was written by e87673d and
// killed, raft-log-2 is the format of today.
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import type { Test } from 'tap'
import { LogStateKind } from '../../src/engine/api.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import type { NativeRaftLog } from '../../src/engine/native-raft-log.js'
import { copyLog, groupHeaderBytes, groupsOf, plainSeal, readFields, readSecret, segmentFiles, writeHeader } from './log-files.js'
import { describeLog, durable, entries, region, temporaryFolder, text } from './helpers.js'

interface Golden {
  readonly segmentBytes: number
  readonly store: string
  readonly described: readonly string[]
  /** Gzip in base64. */
  readonly files: Readonly<Record<string, string>>
}

const golden = (version: number): Golden => JSON.parse(readFileSync(
  fileURLToPath(new URL(`../../../test/engine/golden/raft-log-${version}.json`, import.meta.url)), 'utf8')) as Golden

function unpack({ files }: Golden, dir: string): void {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir)
  for (const [name, packed] of Object.entries(files)) writeFileSync(join(dir, name), gunzipSync(Buffer.from(packed, 'base64')))
}

const open = (dir: string): NativeRaftLog => openNativeRaftLog({ dir, segmentBytes: 8 << 10, idleMarkMs: 0, cacheBytesMax: 0 })

/** It is what it was, and goes on: through new groups, an unclean end, and the end of every old segment. */
async function livesOn(t: Test, dir: string, wanted: string): Promise<void> {
  const log = open(dir)
  t.equal(describeLog(log), wanted)
  await durable(log, batch => batch.entries(region(9), entries(1, 3, 7, 100)))
  const now = describeLog(log)
  const killed = `${dir}-killed`
  copyLog(dir, killed)
  await log.close()
  const again = open(killed)
  t.equal(describeLog(again), now)
  const { firstKeyed } = readSecret(killed)
  for (let i = 4; i < 80; i++) {
    await durable(again, batch => {
      batch.entries(region(9), entries(i, i, 7, 600))
      if (i % 5 === 0) batch.compact(region(9), again.region(region(9))!.lastIndex, again.term(region(9), again.region(region(9))!.lastIndex)!)
      if (i === 20) batch.remove(region(3))
    })
  }
  const end = describeLog(again)
  // Freed segments go at the pace of the disk; the test's time-out is the only limit.
  while (again.stats().files > again.stats().segments + 2) await new Promise(resolve => setTimeout(resolve, 1))
  await again.close()
  t.ok(Number.parseInt(segmentFiles(killed)[0]!, 10) >= firstKeyed, 'the segments of the old format are gone')
  const last = open(killed)
  t.equal(describeLog(last), end)
  await last.close()
}

void t.test('a folder of every format opens and lives on', async t => {
  const folder = temporaryFolder()
  for (const version of [1, 2]) {
    const wanted = golden(version)
    const dir = join(folder.path, String(version))
    unpack(wanted, dir)
    const log = open(dir)
    t.equal(text(log.state(region(0), LogStateKind.Store)), wanted.store)
    await log.close()
    await livesOn(t, dir, wanted.described.join('\n'))
  }
  folder.remove()
})

void t.test('an upgrade may end at every step', async t => {
  const folder = temporaryFolder()
  const old = golden(1)
  const wanted = old.described.join('\n')
  const dir = join(folder.path, 'log')
  const upgraded = join(folder.path, 'upgraded')
  unpack(old, upgraded)
  await open(upgraded).close()
  const { firstKeyed } = readSecret(upgraded)
  t.equal(firstKeyed, Math.max(...Object.keys(old.files).map(name => Number.parseInt(name, 10)).filter(Number.isSafeInteger)) + 1)

  unpack(old, dir)
  writeFileSync(join(dir, 'SECRET-KEY.tmp'), 'half')
  await livesOn(t, dir, wanted)

  unpack(old, dir)
  copyFileSync(join(upgraded, 'SECRET-KEY.seg'), join(dir, 'SECRET-KEY.seg'))
  await livesOn(t, dir, wanted)

  // The first new segment is there: empty, or a file that was another segment once.
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(8 << 10), gunzipSync(Buffer.from(Object.values(old.files)[0]!, 'base64'))]) {
    unpack(old, dir)
    copyFileSync(join(upgraded, 'SECRET-KEY.seg'), join(dir, 'SECRET-KEY.seg'))
    writeFileSync(join(dir, `${String(firstKeyed).padStart(10, '0')}.seg`), bytes)
    await livesOn(t, dir, wanted)
    // The same before the secret was written: the old log had begun it.
    unpack(old, dir)
    writeFileSync(join(dir, `${String(firstKeyed).padStart(10, '0')}.seg`), bytes)
    await livesOn(t, dir, wanted)
  }
  // What the new life wrote, and the old one's counter of lives at its end.
  copyLog(upgraded, dir)
  await livesOn(t, dir, wanted)
  folder.remove()
})

void t.test('lies in an old folder do not stop its upgrade', async t => {
  const folder = temporaryFolder()
  const old = golden(1)
  const dir = join(folder.path, 'log')
  for (const lie of [
    { durable: 0xffff_ffff_ffff_ffffn }, { incarnation: 0xffff_ffff }, { sequence: 2n ** 60n, durable: 1n << 34n }, { bodyBytes: 0xffff_ff00 },
  ]) {
    unpack(old, dir)
    await open(dir).close()
    const last = groupsOf(dir).filter(group => group.segment < readSecret(dir).firstKeyed).at(-1)!
    unpack(old, dir)
    const path = join(dir, last.file)
    const bytes = readFileSync(path)
    for (let at = last.offset + last.bytes; at + groupHeaderBytes <= bytes.length; at += groupHeaderBytes) {
      writeHeader(bytes, at, plainSeal(last.segment), {
        ...readFields(bytes, last.offset), bodyBytes: 0, records: 0, sequence: last.sequence + 2n,
        durable: BigInt(last.segment) << 32n, ...lie,
      })
    }
    writeFileSync(path, bytes)
    await livesOn(t, dir, old.described.join('\n'))
  }
  t.ok(readdirSync(dir).includes('SECRET-KEY.seg'))
  folder.remove()
})

void t.test('an old folder that is damaged says so, and stays as it is', async t => {
  const folder = temporaryFolder()
  const old = golden(1)
  const dir = join(folder.path, 'log')
  unpack(old, dir)
  const file = segmentFiles(dir).at(-1)!
  const bytes = readFileSync(join(dir, file))
  bytes[groupHeaderBytes + 60]! ^= 1
  writeFileSync(join(dir, file), bytes)
  t.throws(() => open(dir), { code: 'corruption' })
  t.notOk(readdirSync(dir).includes('SECRET-KEY.seg'))
  folder.remove()
})
