/** The workloads against stores in memory that lie in one way each: what they record must give the lie away. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { TimeoutError, UndeterminedError } from '../../src/client/errors.js'
import { freePorts } from '../../src/verify/free-ports.js'
import { HistoryRecorder } from '../../src/verify/history.js'
import { parseRegisterHistory } from '../../src/verify/linearizability/operations.js'
import { checkRegister } from '../../src/verify/linearizability/register.js'
import { seededRandom } from '../../src/verify/random.js'
import { runRegister } from '../../src/verify/register-workload.js'
import type { RegisterClient } from '../../src/verify/register-workload.js'
import { Survival } from '../../src/verify/survival.js'
import { exitCodeOf, judge } from '../../src/verify/verdict.js'
import type { Evidence } from '../../src/verify/verdict.js'
import { classify, sleep, waitFor } from '../../src/verify/waiting.js'

const bytes = (text: string | undefined): Uint8Array | undefined => text === undefined ? undefined : new TextEncoder().encode(text)

type Lie = 'none' | 'lost write' | 'stale read' | 'refused but done' | 'double swap' | 'delete ignored' | 'unknown'

/** A register per key that takes a moment for everything, and lies now and then. */
class MemoryRegister implements RegisterClient {
  readonly #old = new Map<string, string | undefined>()
  constructor(readonly values: Map<string, string | undefined>, readonly lie: Lie, readonly random: () => number) {}

  #lies(lie: Lie, part = 0.1): boolean { return this.lie === lie && this.random() < part }

  async #apply(key: string, value: string | undefined): Promise<void> {
    await sleep(this.random() * 2)
    if (this.#lies('lost write')) return
    const isLost = this.#lies('unknown') && this.random() < 0.5
    if (!isLost) {
      this.#old.set(key, this.values.get(key))
      this.values.set(key, value)
    }
    if (isLost || this.#lies('unknown')) throw new UndeterminedError('cut off')
    if (this.#lies('refused but done')) throw new TimeoutError(5, 'a lie')
    await sleep(this.random())
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    await sleep(this.random())
    return bytes(this.#lies('stale read') ? this.#old.get(key) : this.values.get(key))
  }

  put(key: string, value: string): Promise<void> { return this.#apply(key, value) }
  delete(key: string): Promise<void> { return this.#lies('delete ignored', 0.5) ? sleep(1) : this.#apply(key, undefined) }

  async compareAndSwap(key: string, expected: string | undefined, value: string): Promise<{ swapped: boolean; previous: Uint8Array | undefined }> {
    await sleep(this.random())
    const previous = this.values.get(key)
    const swapped = previous === expected || this.#lies('double swap')
    if (swapped) this.values.set(key, value)
    return { swapped, previous: bytes(previous) }
  }
}

async function runOn(lie: Lie, seed: number, path?: string): Promise<{ verdict: string; ok: number; info: number; fail: number }> {
  const values = new Map<string, string | undefined>()
  const random = seededRandom(seed)
  const recorder = new HistoryRecorder(path)
  const stop = new AbortController()
  const running = runRegister({
    clients: Array.from({ length: 6 }, () => new MemoryRegister(values, lie, random)), keys: ['a', 'b'], recorder, classify, random,
    signal: stop.signal, thinkMs: 0,
  })
  await waitFor('enough operations', 60_000, () => recorder.lines.length > 2_000 ? true : undefined, 5)
  stop.abort()
  const totals = await running
  recorder.close()
  return { ...totals, verdict: checkRegister(recorder.lines).verdict }
}

t.test('an honest store passes, also when outcomes are open', async t => {
  const path = join(mkdtempSync(join(tmpdir(), 'karst-verify-')), 'history.jsonl')
  const honest = await runOn('none', 1, path)
  t.equal(honest.verdict, 'linearizable')
  t.ok(honest.ok > 200, `${honest.ok} operations`)
  const read = parseRegisterHistory(readFileSync(path, 'utf8'))
  t.ok(read.length >= honest.ok * 2, 'all lines are in the file')
  t.equal(checkRegister(read).verdict, 'linearizable')
  const open = await runOn('unknown', 2)
  t.equal(open.verdict, 'linearizable')
  t.ok(open.info > 5, `${open.info} open outcomes`)
})

t.test('every lie is found', async t => {
  for (const lie of ['lost write', 'stale read', 'refused but done', 'double swap', 'delete ignored'] as const) {
    t.equal((await runOn(lie, 3)).verdict, 'violation', lie)
  }
})

t.test('the audit of acknowledged writes', async t => {
  const stored = new Map<string, string>()
  let calls = 0
  let isBroken = false
  const client = (treat: (call: number, key: string, value: string) => void) => ({ raw: {
    put: async (key: string, value: string): Promise<void> => {
      await sleep(0)
      treat(calls++, key, value)
    },
    batchGet: async (keys: readonly string[]): Promise<(Uint8Array | undefined)[]> => keys.map(key => bytes(stored.get(key))),
  } })
  const audit = async (treat: (call: number, key: string, value: string) => void): Promise<{ wrong: string[]; survival: Survival }> => {
    stored.clear()
    calls = 0
    const survival = new Survival('s/')
    const stop = new AbortController()
    const one = client(treat)
    await Promise.all([survival.load([one, one], 4, stop.signal, 100),
      waitFor('enough writes', 60_000, () => calls > 100 || isBroken ? true : undefined, 5).then(() => stop.abort())])
    return { wrong: await survival.check(one), survival }
  }
  const good = await audit((call, key, value) => {
    if (call % 3 !== 2) stored.set(key, value)
    if (call % 3 === 1) throw new UndeterminedError('maybe')
    if (call % 3 === 2) throw new TimeoutError(1, 'certainly not')
  })
  t.same(good.wrong, [])
  t.ok(good.survival.acknowledged.length > 5 && good.survival.unknown > 5 && good.survival.refused.length > 5)
  const lost = await audit((call, key, value) => { if (call !== 7) stored.set(key, value) })
  t.match(lost.wrong, [/acknowledged write of s\/000000007 is lost/])
  t.same(await lost.survival.check(client(() => {}), 8), [], 'what was looked at already may be left out')
  const changed = await audit((call, key, value) => stored.set(key, call === 3 ? 'other' : value))
  t.match(changed.wrong, [/000000003 holds "other"/])
  const late = await audit((call, key, value) => {
    stored.set(key, value)
    if (call === 5) throw new TimeoutError(1, 'a lie')
  })
  t.match(late.wrong, [/000000005 is there although/])
  await t.rejects(audit(() => {
    isBroken = true
    throw new RangeError('a bug of the client')
  }), RangeError, 'an error that is no KarstError ends the run')
})

t.test('verdict: too little of anything is void, a violation always counts', async t => {
  const good: Evidence = {
    violations: [], undecided: [], operations: { ok: 100, fail: 1, info: 1 }, okMin: 100, faultsWanted: ['kill'],
    faults: [{ kind: 'kill', nodes: ['store-1'], bit: false, struckAtMs: 0 }, { kind: 'kill', nodes: ['store-1'], bit: true, struckAtMs: 0 }],
  }
  const verdict = (change: Partial<Evidence>): string => judge({ ...good, ...change }).verdict
  t.equal(verdict({}), 'passed')
  t.equal(verdict({ operations: { ok: 99, fail: 0, info: 0 } }), 'void')
  t.equal(verdict({ faults: [] }), 'void')
  t.equal(verdict({ faults: [{ kind: 'kill', nodes: ['store-1'], bit: false, struckAtMs: 0 }] }), 'void')
  t.equal(verdict({ faultsWanted: ['kill', 'pause'] }), 'void')
  t.equal(verdict({ undecided: ['gave up'] }), 'void')
  t.equal(verdict({ violations: ['lost'], faults: [], undecided: ['gave up'] }), 'failed')
  t.match(judge({ ...good, faults: [] }).reasons, [/kill never happened/])
  t.same(exitCodeOf, { passed: 0, failed: 1, void: 3 })
})

t.test('ports are free, different and never given to outgoing connections', async t => {
  const ports = await freePorts(20)
  t.equal(new Set(ports).size, 20)
  t.ok(ports.every(port => port >= 10_240 && port < 32_768))
})
