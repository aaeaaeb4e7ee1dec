// What every RaftLog promises. One text, run on both.
import t from 'tap'
import { emptyBytes } from '../../src/common/bytes.js'
import { StorageError } from '../../src/common/errors.js'
import { logIndex, regionId, term } from '../../src/common/ids.js'
import { LogStateKind } from '../../src/engine/api.js'
import type { LogBatch, RaftLog } from '../../src/engine/api.js'
import { MemRaftLog } from '../../src/engine/mem-raft-log.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import {
  describeLog, dice, durable, entries, entry, hard, key, region, show, temporaryFolder, text,
} from './helpers.js'
import type { Test } from 'tap'

interface Subject {
  log(): RaftLog
  reopen(): Promise<RaftLog>
  end(): Promise<void>
}

function native(segmentBytes: number, cacheBytesMax: number): Subject {
  const folder = temporaryFolder()
  const open = (): RaftLog => openNativeRaftLog({ dir: folder.path, segmentBytes, cacheBytesMax })
  let log = open()
  return {
    log: () => log,
    reopen: async () => {
      await log.close()
      return (log = open())
    },
    end: async () => {
      await log.close()
      folder.remove()
    },
  }
}

function memory(segmentBytes: number): Subject {
  const options = {
    segmentBytes, schedule: (run: () => void) => { setImmediate(run) },
  }
  const log = new MemRaftLog(options)
  return {
    log: () => log,
    reopen: async () => {
      await log.close()
      log.reopen(options)
      return log
    },
    end: () => log.close(),
  }
}

const subjects: readonly [string, () => Subject][] = [
  ['NativeRaftLog', () => native(1 << 20, 32 << 20)],
  ['NativeRaftLog with tiny segments and no cache', () => native(4096, 0)],
  ['MemRaftLog', () => memory(1 << 20)],
  ['MemRaftLog with tiny segments', () => memory(4096)],
]
const segmentBytesOf = (name: string): number => name.includes('tiny') ? 4096 : 1 << 20
const at = logIndex

for (const [name, make] of subjects) {
  void t.test(name, async t => {
    const check = (title: string, run: (t: Test, log: RaftLog, subject: Subject) => Promise<void>): void => {
      void t.test(title, async t => {
        const subject = make()
        await run(t, subject.log(), subject)
        await subject.end()
      })
    }

    check('an empty log knows nothing', async (t, log, subject) => {
      t.same(log.regions(), [])
      t.equal(log.region(region(1)), undefined)
      t.equal(log.term(region(1), at(0)), undefined)
      t.equal(log.state(region(1), LogStateKind.Region), undefined)
      t.ok(log.batch().isEmpty)
      const again = await subject.reopen()
      t.same(again.regions(), [])
    })

    check('appended entries are visible at once and durable later, in order', async (t, log, subject) => {
      const order: number[] = []
      const done: Promise<void>[] = []
      for (let i = 1; i <= 5; i++) {
        const batch = log.batch()
        batch.entries(region(1), [entry(i, 1)])
        batch.hardState(region(1), hard(1, 7, i - 1))
        t.notOk(batch.isEmpty)
        t.ok(batch.bytes > 50)
        done.push(new Promise(resolve => log.append(batch, i % 2 === 1, () => {
          order.push(i)
          resolve()
        })))
        t.same(log.region(region(1)),
          { regionId: 1, truncatedIndex: 0, truncatedTerm: 0, lastIndex: i, hardState: hard(1, 7, i - 1) })
        t.equal(show(log.entries(region(1), at(1), at(i + 1), Infinity)).split(' ').length, i)
      }
      t.same(order, [])
      await Promise.all(done)
      t.same(order, [1, 2, 3, 4, 5])
      const before = describeLog(log)
      t.equal(describeLog(await subject.reopen()), before)
    })

    check('a batch without sync rides with the next one', async (t, log) => {
      let first = false
      const batch = log.batch()
      batch.entries(region(1), [entry(1, 1)])
      log.append(batch, false, () => { first = true })
      await new Promise(resolve => setTimeout(resolve, 20))
      t.notOk(first)
      await durable(log, next => next.entries(region(1), [entry(2, 1)]))
      t.ok(first)
    })

    check('entries come back by bytes, at least one', async (t, log) => {
      await durable(log, batch => batch.entries(region(3), entries(1, 20, 2, 100)))
      const count = (low: number, high: number, bytesMax: number): number =>
        log.entries(region(3), at(low), at(high), bytesMax).length
      t.equal(count(1, 21, Infinity), 20)
      t.equal(count(1, 21, 0), 1)
      t.equal(count(1, 21, 199), 1)
      t.equal(count(1, 21, 200), 2)
      t.equal(count(5, 8, 10_000), 3)
      t.equal(show(log.entries(region(3), at(20), at(21), 1)), show(entries(20, 20, 2, 100)))
      t.throws(() => log.entries(region(3), at(20), at(22), 1))
      t.throws(() => log.entries(region(3), at(0), at(2), 1))
      t.throws(() => log.entries(region(9), at(1), at(2), 1))
    })

    check('an overlapping append replaces everything from its first entry on', async (t, log, subject) => {
      await durable(log, batch => batch.entries(region(1), entries(1, 10, 1)))
      await durable(log, batch => batch.entries(region(1), entries(5, 6, 2)))
      t.equal(log.region(region(1))?.lastIndex, 6)
      t.same([4, 5, 6, 7].map(index => log.term(region(1), at(index))), [1, 2, 2, undefined])
      await durable(log, batch => {
        batch.entries(region(1), entries(7, 8, 2))
        batch.entries(region(1), entries(8, 9, 3))
      })
      t.same([6, 7, 8, 9].map(index => log.term(region(1), at(index))), [2, 2, 3, 3])
      t.equal(show(log.entries(region(1), at(4), at(10), Infinity)),
        show([...entries(4, 4, 1), ...entries(5, 7, 2), ...entries(8, 9, 3)]))
      const before = describeLog(log)
      t.equal(describeLog(await subject.reopen()), before)
      t.throws(() => {
        const batch = subject.log().batch()
        batch.entries(region(1), [entry(11, 3)])
        subject.log().append(batch, true, () => {})
      }, 'a hole')
    })

    check('compact forgets the front', async (t, log, subject) => {
      await durable(log, batch => {
        batch.entries(region(1), entries(1, 4, 1))
        batch.entries(region(1), entries(5, 9, 3))
      })
      await durable(log, batch => batch.compact(region(1), at(4), term(1)))
      t.same(log.region(region(1)),
        { regionId: 1, truncatedIndex: 4, truncatedTerm: 1, lastIndex: 9, hardState: undefined })
      t.same([3, 4, 5, 9].map(index => log.term(region(1), at(index))), [undefined, 1, 3, 3])
      t.throws(() => log.entries(region(1), at(4), at(6), 99))
      await durable(log, batch => batch.compact(region(1), at(2), term(1)))
      t.equal(log.region(region(1))?.truncatedIndex, 4, 'never backwards')
      await durable(log, batch => batch.compact(region(1), at(9), term(3)))
      t.equal(log.term(region(1), at(9)), 3)
      await durable(log, batch => batch.entries(region(1), entries(10, 11, 4)))
      const before = describeLog(log)
      t.match(before, '1 (9/3, 11]')
      t.equal(describeLog(await subject.reopen()), before)
    })

    check('reset restarts behind a snapshot, remove forgets all but states', async (t, log, subject) => {
      await durable(log, batch => {
        batch.entries(region(1), entries(1, 5, 1))
        batch.hardState(region(1), hard(2, 1, 4))
        batch.state(region(1), LogStateKind.Region, key('normal'))
        batch.entries(region(2), entries(1, 3, 1))
        batch.hardState(region(2), hard(1, 2, 3))
        batch.state(region(0), LogStateKind.Store, key('store 7'))
      })
      await durable(log, batch => {
        batch.reset(region(1), at(100), term(6))
        batch.entries(region(1), entries(101, 102, 6))
        batch.remove(region(2))
      })
      t.match(describeLog(log), '1 (100/6, 102] hard=2/1/4 terms=6,6,6 states=normal/-')
      t.equal(log.region(region(2)), undefined)
      await durable(log, batch => {
        batch.state(region(3), LogStateKind.Region, key('tombstone'))
        batch.remove(region(1))
      })
      t.equal(text(log.state(region(1), LogStateKind.Region)), 'normal')
      t.equal(log.region(region(1))?.hardState, undefined)
      await durable(log, batch => batch.state(region(1), LogStateKind.Region, emptyBytes))
      t.same(log.regions().map(item => item.regionId), [3], 'a region that is only a record is listed')
      const before = describeLog(log)
      const again = await subject.reopen()
      t.equal(describeLog(again), before)
      t.equal(text(again.state(region(0), LogStateKind.Store)), 'store 7')
      await durable(again, batch => batch.entries(region(2), entries(1, 2, 9)))
      t.equal(again.region(region(2))?.lastIndex, 2, 'a removed region may come back')
    })

    check('numbers up to 2^53 and every entry type survive', async (t, log, subject) => {
      const id = regionId(Number.MAX_SAFE_INTEGER)
      const base = Number.MAX_SAFE_INTEGER - 3
      await durable(log, batch => {
        batch.reset(id, at(base), term(base))
        batch.entries(id, [
          { ...entry(base + 1, base + 1), type: 2 }, { ...entry(base + 2, base + 2, emptyBytes), type: 1 },
        ])
        batch.hardState(id, hard(base + 2, base, base + 1))
      })
      const before = describeLog(log)
      const again = await subject.reopen()
      t.equal(describeLog(again), before)
      t.same(again.entries(id, at(base + 1), at(base + 3), Infinity).map(item => item.type), [2, 1])
    })

    check('a batch is appended once; a closed log says so', async (t, log) => {
      const batch = log.batch()
      batch.entries(region(1), [entry(1, 1)])
      let done = false
      log.append(batch, true, () => { done = true })
      t.throws(() => log.append(batch, true, () => {}), { name: 'AssertionError' })
      await log.close()
      t.ok(done, 'close completes what was appended')
      t.throws(() => log.append(log.batch(), true, () => {}), StorageError)
    })

    check('live bytes are the records that are needed', async (t, log, subject) => {
      const record = (payload: number): number => Math.ceil((40 + payload) / 8) * 8
      const lives = (bytes: number, what: string): void => { t.equal(subject.log().space.liveBytes, bytes, what) }
      lives(0, 'nothing')
      await durable(log, batch => {
        batch.entries(region(1), entries(1, 10, 1, 33))
        batch.hardState(region(1), hard(1, 1, 1))
        batch.state(region(0), LogStateKind.Store, key('store'))
      })
      lives(10 * record(33) + record(8) + record(5), 'all of it')
      await durable(log, batch => {
        batch.hardState(region(1), hard(1, 1, 5))
        batch.state(region(0), LogStateKind.Store, key('another store'))
        batch.entries(region(1), entries(9, 9, 2, 100))
      })
      lives(8 * record(33) + record(100) + record(8) + record(13), 'what was replaced is gone')
      await durable(log, batch => batch.compact(region(1), at(6), term(1)))
      const rest = 2 * record(33) + record(100) + record(8) + record(13)
      lives(rest, 'where the entries begin is nothing that was asked for')
      await durable(log, batch => batch.compact(region(1), at(7), term(1)))
      lives(rest - record(33), 'one at a time')
      await subject.reopen()
      lives(rest - record(33), 'after another opening')
      t.equal(subject.log().space.appendedBytes, 0, 'nothing was appended in this life')
      await durable(subject.log(), batch => batch.reset(region(1), at(20), term(2)))
      lives(record(8) + record(13), 'a reset')
      t.equal(subject.log().space.appendedBytes, record(0))
      await durable(subject.log(), batch => {
        batch.remove(region(1))
        batch.state(region(0), LogStateKind.Store, emptyBytes)
      })
      lives(0, 'nothing again')
    })

    check('pinned bytes are what compaction wins back; what is kept for later is not among them', async (t, log) => {
      const segmentBytes = segmentBytesOf(name)
      const data = Math.floor(segmentBytes / 10)
      // Two regions whose logs are too long to be moved, as they are at the front of ten segments.
      const perRegion = Math.max(50, Math.ceil((600 << 10) / data))
      for (let i = 1; i <= perRegion; i++) {
        await durable(log, batch => {
          batch.entries(region(1), entries(i, i, 1, data))
          batch.entries(region(2), entries(i, i, 1, data))
        })
      }
      const { pinnedBytes, liveBytes, diskBytes } = log.space
      const written = 2 * perRegion * data
      t.ok(pinnedBytes > written * 0.7 && pinnedBytes < written * 1.3, `${pinnedBytes} of ${written} are pinned`)
      t.ok(liveBytes >= written && liveBytes < written * 1.3, `${liveBytes} live`)
      t.ok(diskBytes >= pinnedBytes)
      t.same(log.oldestRegions(5), [1, 2], 'oldest first')
      await durable(log, batch => batch.compact(region(2), at(perRegion), term(1)))
      t.ok(log.space.pinnedBytes > written * 0.6, 'region 1 still keeps the segments')
      t.same(log.oldestRegions(5), [1])
      await durable(log, batch => batch.compact(region(1), at(perRegion), term(1)))
      // What is left of old segments is moved by the next groups that become durable.
      for (let i = 1; i <= 6; i++) await durable(log, batch => batch.hardState(region(3), hard(i, 1, 0)))
      await new Promise(resolve => setTimeout(resolve, 20))
      t.ok(log.space.pinnedBytes <= 2 * segmentBytes, `${log.space.pinnedBytes} are pinned`)
      t.ok(log.space.liveBytes < 200, `${log.space.liveBytes} live`)
      t.same(log.oldestRegions(5), [])
    })

    check('the oldest regions are those whose first entry was appended first', async (t, log) => {
      for (const [id, count] of [[5, 1], [2, 30], [9, 3], [4, 60]] as const) {
        await durable(log, batch => batch.entries(region(id), entries(1, count, 1, 10)))
      }
      t.same(log.oldestRegions(3), [5, 2, 9], 'however long their logs are')
      await durable(log, batch => batch.compact(region(2), at(29), term(1)))
      t.same(log.oldestRegions(9), [5, 2, 9, 4])
      await durable(log, batch => batch.entries(region(5), entries(1, 2, 2, 10)))
      t.same(log.oldestRegions(9), [2, 9, 4, 5], 'replaced entries are new')
    })

    check('random histories read back the same', async (t, first, subject) => {
      const seed = 4711
      const random = dice(seed)
      let log = first
      const model = new MemRaftLog({ schedule: run => run() })
      for (let step = 0; step < 1500; step++) {
        const ops: ((batch: LogBatch) => void)[] = []
        const seen = new Set<number>()
        for (let i = 0; i <= random.below(4); i++) {
          const id = region(1 + random.below(6))
          if (seen.has(id)) continue
          seen.add(id)
          randomOp(random, model, id, step, ops)
        }
        const build = (batch: LogBatch): void => ops.forEach(op => op(batch))
        const copy = model.batch()
        build(copy)
        model.append(copy, true, () => {})
        const batch = log.batch()
        build(batch)
        if (batch.isEmpty) continue
        if (random.below(10) === 0) await new Promise<void>(resolve => log.append(batch, true, resolve))
        else log.append(batch, random.below(2) === 0, () => {})
        if (random.below(300) === 0) log = await subject.reopen()
        if (step % 50 !== 0) continue
        const [found, wanted] = [describeLog(log), describeLog(model)]
        if (found !== wanted) t.equal(found, wanted, `seed ${seed} step ${step}`)
        if (log.space.liveBytes !== model.space.liveBytes) t.equal(log.space.liveBytes, model.space.liveBytes, `seed ${seed} step ${step}`)
      }
      t.equal(describeLog(log), describeLog(model), `seed ${seed}`)
      t.equal(describeLog(await subject.reopen()), describeLog(model), `seed ${seed} after reopen`)
      t.ok(subject.log().space.diskBytes < 4_000_000, `disk use stays bounded: ${subject.log().space.diskBytes}`)
    })
  })
}

function randomOp(random: ReturnType<typeof dice>, model: RaftLog, id: ReturnType<typeof region>, step: number,
  ops: ((batch: LogBatch) => void)[]): void {
  const known = model.region(id) ?? { truncatedIndex: 0, lastIndex: 0 }
  const pick = random.below(100)
  if (pick < 60) {
    const back = random.below(3) === 0 ? random.below(known.lastIndex - known.truncatedIndex + 1) : 0
    const from = known.lastIndex + 1 - back
    const list = entries(from, from + random.below(5), 1 + Math.floor(step / 40), random.below(300))
    ops.push(batch => batch.entries(id, list))
  } else if (pick < 80) {
    const index = known.truncatedIndex + random.below(known.lastIndex - known.truncatedIndex + 1)
    const inTerm = model.term(id, at(index)) ?? term(0)
    if (index > 0) ops.push(batch => batch.compact(id, at(index), inTerm))
  } else if (pick < 92) {
    const state = hard(step, random.below(3), known.lastIndex)
    ops.push(batch => batch.hardState(id, state))
  } else if (pick < 96) {
    const bytes = random.below(3) === 0 ? emptyBytes : key(`state ${step}`)
    ops.push(batch => batch.state(id, LogStateKind.Region, bytes))
  } else if (pick < 98) {
    ops.push(batch => batch.reset(id, at(known.lastIndex + 10), term(step)))
  } else {
    ops.push(batch => batch.remove(id))
  }
}
