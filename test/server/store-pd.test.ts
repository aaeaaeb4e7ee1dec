import t from 'tap'
import type { Env, Timer } from '../../src/common/env.js'
import { regionId, storeId } from '../../src/common/ids.js'
import { PdRefusedError, PdUnavailableError } from '../../src/pd/api.js'
import type { PdClient } from '../../src/pd/api.js'
import { StorePdAdapter } from '../../src/server/store-pd.js'
import type { Operator, RegionBeat, Responses, StoreMeta, StoreStats } from '../../src/wire/messages.js'

interface Waiting<T> { readonly resolve: (value: T) => void; readonly reject: (error: Error) => void }

/** PD as the adapter sees it: every request waits until the test answers it. */
class World {
  nowMs = 0
  readonly timers: { atMs: number; run: () => void }[] = []
  readonly beats: (Waiting<readonly Operator[]> & { readonly sent: readonly RegionBeat[] })[] = []
  readonly reports: Waiting<readonly StoreMeta[]>[] = []
  readonly learnt: (readonly StoreMeta[])[] = []
  readonly refused: PdRefusedError[] = []
  readonly adapter: StorePdAdapter

  constructor() {
    const env = {
      clock: { monotonicMs: () => this.nowMs }, log: () => {},
      setTimer: (delayMs: number, run: () => void): Timer => {
        this.timers.push({ atMs: this.nowMs + delayMs, run })
        return { cancel: () => {} }
      },
    } as unknown as Env
    const pd = {
      regionHeartbeat: (sent: readonly RegionBeat[]) => new Promise<readonly Operator[]>((resolve, reject) => { this.beats.push({ sent, resolve, reject }) }),
      storeHeartbeat: () => new Promise<Responses['StoreHeartbeat']>((resolve, reject) => {
        this.reports.push({ resolve: stores => { resolve({ stores, fullStoreIds: [], lowStoreIds: [] }) }, reject })
      }),
    } as unknown as PdClient
    this.adapter = new StorePdAdapter({
      env, pd, beatMsMax: 1_000, onStores: stores => { this.learnt.push(stores) }, onShortOfSpace: () => {},
      onRefused: error => { this.refused.push(error) },
    })
  }

  async advance(ms: number): Promise<void> {
    this.nowMs += ms
    for (const timer of this.timers.splice(0)) {
      if (timer.atMs <= this.nowMs) timer.run()
      else this.timers.push(timer)
    }
    await settle()
  }
}

const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const beat = (id: number, term = 1): RegionBeat => ({ region: { regionId: regionId(id) }, term }) as RegionBeat
const meta = (id: number): StoreMeta => ({ storeId: storeId(id), state: 'up' }) as StoreMeta
const stats = { storeId: storeId(1) } as StoreStats
const idsOf = (beats: readonly RegionBeat[]): number[] => beats.map(one => one.region.regionId)

t.test('while PD is away heartbeats do not pile up: the newest of each region waits', async t => {
  const { adapter, beats } = new World()
  const got: (readonly Operator[])[] = []
  const done = (operators: readonly Operator[]): void => { got.push(operators) }
  adapter.regionHeartbeat([beat(1), beat(2)], done)
  for (let term = 2; term < 50; term++) adapter.regionHeartbeat([beat(1, term), beat(3, term)], done)
  t.equal(beats.length, 1, 'one request is under way')
  t.strictSame(idsOf(beats[0]!.sent), [1, 2])
  beats[0]!.reject(new PdUnavailableError('gone'))
  await settle()
  t.equal(beats.length, 2)
  t.strictSame(beats[1]!.sent.map(one => [one.region.regionId, one.term]), [[1, 49], [3, 49]])
  const operator = { kind: 'addLearner' } as Operator
  beats[1]!.resolve([operator])
  await settle()
  t.strictSame(got.flat(), [operator], 'an operator is carried out once, however many waited')
})

t.test('many regions go in several requests', async t => {
  const { adapter, beats } = new World()
  adapter.regionHeartbeat(Array.from({ length: 600 }, (_, at) => beat(at + 1)), () => {})
  for (let at = 0; at < 3; at++) {
    beats[at]!.resolve([])
    await settle()
  }
  t.strictSame(beats.map(one => one.sent.length), [256, 256, 88])
})

t.test('a leader of PD that is found hears of all regions at once, but not of old leaderships', async t => {
  const world = new World()
  const { adapter, beats } = world
  const got: (readonly Operator[])[] = []
  adapter.regionHeartbeat([beat(1)], () => {})
  beats[0]!.resolve([])
  await world.advance(900)
  adapter.regionHeartbeat([beat(2)], operators => { got.push(operators) })
  beats[1]!.resolve([])
  await world.advance(200)
  adapter.onLeaderFound()
  t.strictSame(idsOf(beats[2]!.sent), [2])
  const operator = { kind: 'removePeer' } as Operator
  beats[2]!.resolve([operator])
  await settle()
  t.strictSame(got, [[], [operator]], 'and its answer is not lost')
  adapter.close()
  adapter.onLeaderFound()
  t.equal(beats.length, 3)
})

t.test('a young store asks often; when another one is new, PD hears of regions again', async t => {
  const world = new World()
  const { adapter, beats, reports } = world
  adapter.regionHeartbeat([beat(1)], () => {})
  beats[0]!.resolve([])
  adapter.storeHeartbeat(stats)
  reports[0]!.resolve([meta(1)])
  await settle()
  await world.advance(200)
  t.equal(reports.length, 2, 'again, long before its clock says so')
  reports[1]!.resolve([meta(1), meta(2)])
  await settle()
  t.equal(beats.length, 2)
  t.strictSame(idsOf(beats[1]!.sent), [1])
  beats[1]!.resolve([])
  for (let i = 0; i < 60; i++) {
    reports.at(-1)!.resolve([meta(1), meta(2)])
    await settle()
    await world.advance(200)
  }
  t.ok(reports.length < 40, 'it grows up')
  t.equal(beats.length, 2, 'nobody is new')
  t.equal(world.learnt.at(-1)?.length, 2)
})

t.test('refusals', async t => {
  const world = new World()
  world.adapter.storeHeartbeat(stats)
  world.reports[0]!.reject(new PdRefusedError('StoreHeartbeat', { kind: 'InvalidArgument', reason: 'store 1 is a tombstone' }))
  await settle()
  t.equal(world.refused.length, 1)
  world.adapter.regionHeartbeat([beat(1)], () => {})
  world.beats[0]!.reject(new PdRefusedError('RegionHeartbeat', { kind: 'InvalidArgument', reason: 'no' }))
  await settle()
  t.equal(world.refused.length, 1, 'only that of the store itself counts')
})
