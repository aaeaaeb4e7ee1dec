// When log GC flushes the engine, whom it makes wait for a snapshot, and how much it does at a time.
import t from 'tap'
import { logIndex, regionId, term } from '../../src/common/ids.js'
import type { RegionId } from '../../src/common/ids.js'
import { MemRaftLog } from '../../src/engine/mem-raft-log.js'
import { EntryType } from '../../src/raft/types.js'
import { defaultStoreConfig, storeLimits } from '../../src/store/config.js'
import { LogGc } from '../../src/store/log-gc.js'
import type { Peer } from '../../src/store/peer.js'
import type { StoreShared } from '../../src/store/shared.js'
import { decodeRaftKey, encodeApplyState } from '../../src/store/state-records.js'
import { StoreCluster } from './kit.js'
import type { Machine } from './kit.js'

const mebibyte = 1 << 20

/** The machine's log says so of its room, whatever is in it. */
function withSpace(machine: Machine, space: { diskBytes: number; liveBytes?: number; pinnedBytes?: number }): void {
  const { disk } = machine
  const open = disk.open.bind(disk)
  disk.open = env => new Proxy(open(env), {
    get: (log, name) => {
      if (name === 'space') return { ...log.space, ...space }
      // What e87673d asked for.
      if (name === 'diskBytes') return space.diskBytes
      const value: unknown = Reflect.get(log, name, log)
      return typeof value === 'function' ? value.bind(log) as unknown : value
    },
  })
}

function countFlushes(machine: Machine): { count: number } {
  const flushes = { count: 0 }
  const engine = machine.engine!
  const flush = engine.flush.bind(engine)
  engine.flush = done => {
    flushes.count++
    flush(done)
  }
  return flushes
}

/** Ten writes a second. */
function trickle(cluster: StoreCluster, seconds: number): void {
  for (let i = 0; i < seconds * 10; i++) {
    cluster.mustPut(`k${i % 50}`, `${i}`)
    cluster.world.runFor(95)
  }
}

t.test('files that are kept for later make no flush, and no follower wait for a snapshot', t => {
  const cluster = new StoreCluster(3, 3, { logGcTickMs: 1_000 })
  for (const machine of cluster.machines) withSpace(machine, { diskBytes: 192 * mebibyte })
  cluster.bootstrap(3)
  cluster.mustPut('first', '1')
  const leader = cluster.elect()
  const away = cluster.machines.find(machine => machine !== leader)!
  const flushes = countFlushes(leader)
  cluster.kill(away)
  trickle(cluster, 30)
  cluster.start(away)
  const isBack = cluster.world.until(() => cluster.row(away, 'k49') === cluster.row(leader, 'k49'), 10_000)
  t.ok(isBack, 'the follower is back')
  t.equal(cluster.snapshots, 0, 'by the log')
  trickle(cluster, 30)
  t.ok(flushes.count <= 3, `${flushes.count} flushes in a minute`)
  t.same(cluster.fatal, [])
  t.end()
})

t.test('a log that stays large is not flushed for again before a good part of it is new', t => {
  const cluster = new StoreCluster(3, 4, { logGcTickMs: 1_000 })
  for (const machine of cluster.machines) withSpace(machine, { diskBytes: 200 * mebibyte, liveBytes: 140 * mebibyte })
  cluster.bootstrap(3)
  cluster.mustPut('first', '1')
  const flushes = countFlushes(cluster.elect())
  trickle(cluster, 40)
  t.ok(flushes.count <= 3, `${flushes.count} flushes in 40 s`)
  t.same(cluster.fatal, [])
  t.end()
})

/** Log GC alone with very many regions, of which the engine has everything but the last few entries. */
function manyRegions(count: number): {
  readonly run: () => number
  readonly rest: () => number
  readonly cut: () => number
  readonly append: (regions: number, entries: number) => void
  readonly flush: () => void
} {
  const log = new MemRaftLog({ schedule: run => { run() } })
  const timers: (() => void)[] = []
  const clock = { now: 0 }
  let looks = 0
  const persisted = new Map<RegionId, number>()
  const peers = new Map(Array.from({ length: count }, (_, i) => {
    const id = regionId(i + 1)
    return [id, { regionId: id, isInstalling: false, state: { visibleIndex: Infinity }, isLeader: false }] as unknown as [RegionId, Peer]
  }))
  const shared = {
    log, peers, config: { ...defaultStoreConfig, logGcCountLimit: 10 }, isStopped: false,
    env: { clock: { monotonicMs: () => clock.now }, failpoint: () => {} },
    applier: { entriesApplied: 0, flush: () => {} },
    engine: {
      getPersisted: (_cf: number, key: Uint8Array) => {
        looks++
        const index = persisted.get(decodeRaftKey(key).regionId)
        return index === undefined ? undefined : encodeApplyState({ index: logIndex(index), term: term(1) })
      },
      flush: (done: () => void) => { done() },
    },
    later: (_ms: number, run: () => void) => { timers.push(run) },
  } as unknown as StoreShared
  const gc = new LogGc(shared)
  const counted = (run: () => void): number => {
    looks = 0
    run()
    return looks
  }
  const all = (): readonly { truncatedIndex: number; lastIndex: number }[] => log.regions()
  return {
    run: () => counted(() => {
      clock.now += 1_000
      gc.run()
    }),
    rest: () => {
      let most = 0
      for (let slices = 0; timers.length > 0; slices++) {
        if (slices > count) throw new Error('a round has no end')
        most = Math.max(most, counted(timers.shift()!))
      }
      return most
    },
    cut: () => all().filter(region => region.lastIndex - region.truncatedIndex <= 20).length,
    append: (regions, entries) => {
      for (let i = 1; i <= regions; i++) {
        const batch = log.batch()
        const first = (log.region(regionId(i))?.lastIndex ?? 0) + 1
        batch.entries(regionId(i), Array.from({ length: entries }, (_, at) => (
          { term: term(1), index: logIndex(first + at), type: EntryType.Normal, data: new Uint8Array(10) })))
        log.append(batch, true, () => {})
      }
    },
    flush: () => { for (const region of log.regions()) persisted.set(region.regionId, region.lastIndex) },
  }
}

t.test('ten thousand busy regions are cut in one round of small slices', t => {
  const store = manyRegions(10_000)
  store.append(10_000, 30)
  store.flush()
  const first = store.run()
  t.ok(first > 0 && first <= storeLimits.logGcSliceLooks, `${first} looks in the first slice`)
  t.ok(store.rest() <= storeLimits.logGcSliceLooks, 'nor more in any other')
  t.equal(store.cut(), 10_000)
  t.equal(store.run(), 0, 'what has nothing to cut costs no look')
  t.equal(store.rest(), 0)
  t.end()
})

t.test('a region that could not be cut is left alone until something has changed', t => {
  const store = manyRegions(100)
  store.append(100, 30)
  t.equal(store.run(), 100, 'the engine has nothing on disk')
  t.equal(store.run(), 0)
  store.append(1, 300)
  t.equal(store.run(), 1, 'many new entries')
  for (let i = 0; i < storeLimits.logGcLookAgainMs / 1_000 - 3; i++) store.run()
  t.equal(store.run(), 99, 'a while later, whatever happened')
  t.end()
})
