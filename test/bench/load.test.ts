import t from 'tap'
import { runLoad, type LoadTarget } from '../../bench/load.js'
import { figuresOf } from '../../bench/figures.js'
import type { Operation } from '../../bench/workloads.js'

const next = (): Operation => ({ kind: 'get', key: 'k' })
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Answers after 1 ms, but for one stall that begins `atMs` after the first request: until it ends nobody is answered. */
function stallingTarget(atMs: number, forMs: number): LoadTarget & { calls: number } {
  let started = 0
  const target = {
    calls: 0,
    run: async (): Promise<void> => {
      target.calls++
      if (started === 0) started = performance.now()
      const age = performance.now() - started
      await pause(age >= atMs && age < atMs + forMs ? atMs + forMs - age : 1)
    },
  }
  return target
}

t.test('closed loop: so many are under way, all are counted', async t => {
  let underWay = 0
  let most = 0
  let calls = 0
  const figures = await runLoad({
    next, seconds: 0.3, inFlight: 16, rate: 0,
    target: { run: async () => {
      most = Math.max(most, ++underWay)
      calls++
      await pause(2)
      underWay--
    } },
  })
  t.equal(most, 16)
  t.equal(figures.operations, calls)
  t.equal(figures.failed, 0)
  t.ok(figures.p50 >= 1.9, `p50 ${figures.p50}`)
  t.ok(Math.abs(figures.perSecond - calls / figures.seconds) < 1e-6)
})

t.test('open loop: a stall shows in p99, and nothing that was due is forgotten', async t => {
  const target = stallingTarget(400, 300)
  const figures = await runLoad({ next, seconds: 1.2, inFlight: 4, rate: 500, target })
  t.equal(figures.operations, 600, 'everything that was due')
  t.equal(target.calls, 600)
  // A quarter of the requests were due in the stall, with only four under way: the others count from when they were due.
  t.ok(figures.p99 > 200, `p99 ${figures.p99} ms`)
})

t.test('open loop: a stall to the very end counts as well', async t => {
  const figures = await runLoad({ next, seconds: 0.6, inFlight: 1_000, rate: 500, target: stallingTarget(300, 900) })
  t.equal(figures.operations, 300)
  t.ok(figures.p99 > 800, `p99 ${figures.p99} ms`)
})

t.test('open loop: what is never answered is a failure, not a gap', async t => {
  let calls = 0
  const figures = await runLoad({
    next, seconds: 0.3, inFlight: 10, rate: 200, drainSeconds: 0.3,
    target: { run: () => ++calls > 20 ? new Promise(() => undefined) : Promise.resolve() },
  })
  t.equal(figures.operations, 20)
  t.equal(figures.failed, 40)
  t.match(figures.firstError, /no answer within 0.3 s/)
})

t.test('errors are counted, the first is kept; an abort ends the run', async t => {
  const stop = new AbortController()
  let calls = 0
  const run = runLoad({
    next, seconds: 30, inFlight: 2, rate: 0, signal: stop.signal,
    target: { run: async () => {
      await pause(1)
      if (++calls % 2 === 0) throw new Error(`number ${calls}`)
    } },
  })
  setTimeout(() => stop.abort(), 100)
  const figures = await run
  t.ok(figures.seconds < 5)
  t.ok(figures.failed > 0 && Math.abs(figures.failed - figures.operations) <= 2)
  t.equal(figures.firstError, 'Error: number 2')
})

t.test('percentiles of a list of latencies', async t => {
  const list = Float64Array.from({ length: 1_000 }, (_, at) => (at + 1) * 1_000)
  const figures = figuresOf(list, { operations: 1_000, failed: 0, seconds: 2, cpuSeconds: 0.5, firstError: '' })
  t.same([figures.p50, figures.p99, figures.p999], [500, 990, 999])
  t.equal(figures.perSecond, 500)
  t.equal(figures.clientCpuUs, 500)
  t.equal(figures.firstError, undefined)
  t.ok(Number.isNaN(figuresOf(new Float64Array(0), { operations: 0, failed: 1, seconds: 1, cpuSeconds: 0 }).p50))
})
