import { fromUtf8, toHex } from '../../common/bytes.js'
import { KarstClient } from '../../client/client.js'
import { KarstError } from '../../client/errors.js'
import { createPdClient } from '../../client/pd-client.js'
import type { Ts } from '../../common/ids.js'
import { openChannel } from '../../transport/rpc-channel.js'
import { protocolVersion } from '../../wire/messages.js'
import type { Hello } from '../../wire/messages.js'
import { OracleFailure } from '../failure.js'
import type { SimNode } from '../sim-env.js'
import type { ClusterWorld } from './world.js'

const file = 'sim/cluster/client-host.ts'
const clientTimeoutMs = 4_000

const textOf = (bytes: Uint8Array | undefined): string | null => bytes === undefined ? null : fromUtf8(bytes)
/** A value is its name and what fills it up to size: only the name goes into the history. */
const nameOf = (value: string | null): string | null => value === null ? null : value.slice(0, value.indexOf(';'))

/** A machine with the client library and what uses it: register operations, scans, timestamps. */
export class ClientHost {
  readonly client: KarstClient
  #isStopped = false

  constructor(readonly world: ClusterWorld, readonly node: SimNode) {
    const env = node.boot()
    const hello = (): Hello => ({ protocolVersion, clusterId: 0n, role: 'client', nodeId: 0 })
    const open = (address: string): ReturnType<typeof openChannel> => openChannel({ env, address, hello })
    const pd = createPdClient({ env, addresses: world.pdAddresses, channelFor: open, deadlineMs: 3_000 })
    this.client = new KarstClient({ env, pd, openChannel: open }, { timeoutMs: clientTimeoutMs })
  }

  start(): void {
    for (let loop = 0; loop < this.world.plan.loops; loop++) this.#think(new Map())
    this.#thinkOfTime()
  }

  stop(): void { this.#isStopped = true }

  #later(meanMs: number, run: () => Promise<void>, next: () => void): void {
    const { world } = this
    world.scheduler.after(world.random.exponential(meanMs), () => {
      if (this.#isStopped) return
      const { env } = this.node
      this.node.enter(env!, () => { world.watch(this.node, env!, run().then(next)) })
    })
  }

  #think(seen: Map<string, string | null>): void {
    this.#later(this.world.plan.thinkMs, () => this.#act(seen), () => { this.#think(seen) })
  }

  #thinkOfTime(): void {
    this.#later(200, () => this.#askTime(), () => { this.#thinkOfTime() })
  }

  async #askTime(): Promise<void> {
    const { times } = this.world
    const above = times.highest
    const count = 1 + this.world.random.below(20)
    let first: Ts
    try {
      first = await this.client.pd.tso(count)
    } catch {
      return
    }
    times.granted(first, count, above)
  }

  async #act(seen: Map<string, string | null>): Promise<void> {
    const { random, keys } = this.world
    const draw = random.float()
    if (draw < 0.06) return await this.scan(random.chance(0.3))
    if (draw < 0.12) return await this.#batch(random.shuffled(keys).slice(0, 1 + random.below(keys.length)), seen)
    const key = random.pick(keys)!
    if (draw < 0.5) seen.set(key, await this.read(key) ?? null)
    else if (draw < 0.75) await this.write(key)
    else if (draw < 0.93) await this.#swap(key, seen)
    else if (draw < 0.98) await this.#settle('delete', key, undefined, () => this.client.raw.delete(key))
    else await this.#deleteRange()
  }

  #fresh(): { readonly name: string; readonly value: string } {
    const name = `v${this.world.nextValue()}`
    return { name, value: `${name};${'x'.repeat(this.world.plan.valueBytes)}` }
  }

  /** @returns undefined when it failed */
  async #settle<T>(f: string, on: string | readonly string[], value: unknown, run: () => Promise<T>,
    said?: (result: T) => unknown): Promise<T | undefined> {
    const end = this.world.history.invoke(f, on, value)
    try {
      const result = await run()
      end('ok', said?.(result))
      return result
    } catch (error) {
      if (!(error instanceof KarstError)) {
        const text = error instanceof Error ? error.stack ?? error.message : String(error)
        throw new OracleFailure('the client rejects with KarstError only', file, text)
      }
      end(error.isUndetermined || error.code === 'PartialWrite' ? 'info' : 'fail')
      return undefined
    }
  }

  async read(key: string): Promise<string | null | undefined> {
    const found = await this.#settle('read', key, undefined, async () => nameOf(textOf(await this.client.raw.get(key))), value => value)
    return found
  }

  /** @returns did it certainly succeed? */
  async write(key: string): Promise<boolean> {
    const { name, value } = this.#fresh()
    const done = await this.#settle('write', key, name, async () => {
      await this.client.raw.put(key, value)
      return true
    }, () => undefined)
    return done === true
  }

  async #swap(key: string, seen: Map<string, string | null>): Promise<void> {
    const { name, value } = this.#fresh()
    const expected = seen.get(key) ?? null
    const filler = 'x'.repeat(this.world.plan.valueBytes)
    const result = await this.#settle('cas', key, [expected, name], async () => {
      const before = expected === null ? undefined : `${expected};${filler}`
      const { swapped, previous } = await this.client.raw.compareAndSwap(key, before, value)
      return { swapped, previous: nameOf(textOf(previous)) }
    }, ({ swapped, previous }) => swapped ? { succeed: true } : { succeed: false, previous })
    if (result !== undefined) seen.set(key, result.swapped ? name : result.previous)
  }

  async #batch(keys: readonly string[], seen: Map<string, string | null>): Promise<void> {
    const draw = this.world.random.float()
    if (draw < 0.4) {
      const values = await this.#settle('batch_read', keys, undefined,
        async () => (await this.client.raw.batchGet(keys)).map(value => nameOf(textOf(value))), found => found)
      values?.forEach((value, at) => { seen.set(keys[at]!, value) })
    } else if (draw < 0.85) {
      const fresh = keys.map(() => this.#fresh())
      await this.#settle('batch_write', keys, fresh.map(one => one.name),
        () => this.client.raw.batchPut(keys.map((key, at) => [key, fresh[at]!.value] as const)))
    } else {
      await this.#settle('batch_delete', keys, undefined, () => this.client.raw.batchDelete(keys))
    }
  }

  async #deleteRange(): Promise<void> {
    const { random, keys } = this.world
    const from = random.below(keys.length)
    const to = from + 1 + random.below(keys.length - from)
    const range = { start: keys[from]!, end: keys[to] ?? 'l' }
    await this.#settle('batch_delete', keys.slice(from, to), undefined, () => this.client.raw.deleteRange(range))
  }

  /** A scan is sorted gets: rows in order, none twice, none from outside; each row a read of its key. */
  async scan(isReverse: boolean): Promise<void> {
    const { random, keys } = this.world
    const from = random.below(keys.length)
    const to = from + 1 + random.below(keys.length - from)
    const range = { start: keys[from]!, end: keys[to] ?? 'l' }
    const options = { pageRows: random.pick([1, 2, 1024])! }
    await this.#settle('scan', keys.slice(from, to), undefined, async () => {
      const { raw } = this.client
      const rows = await (isReverse ? raw.reverseScan(range, options) : raw.scan(range, options)).toArray()
      const found = rows.map(row => fromUtf8(row.key))
      const sorted = [...new Set(found)].sort()
      if (isReverse) sorted.reverse()
      if (sorted.join() !== found.join() || found.some(key => key < range.start || key >= range.end)) {
        throw new OracleFailure('a scan gives each key of its range once, in order', file,
          `[${range.start}, ${range.end})${isReverse ? ' downwards' : ''}: ${found.join(' ')}`)
      }
      const values = new Map(rows.map((row, at) => [found[at]!, nameOf(textOf(row.value))]))
      return keys.slice(from, to).map(key => values.get(key) ?? null)
    }, values => values)
  }
}

/** Timestamps: each one once, and each greater than all that were known when it was asked for. */
export class Times {
  highest = 0n
  #count = 0
  readonly #taken: { readonly first: bigint; readonly last: bigint }[] = []

  get count(): number { return this.#count }

  granted(first: bigint, count: number, above: bigint): void {
    const last = first + BigInt(count) - 1n
    const rule = 'timestamps grow, and none is given out twice'
    if (first <= above) {
      throw new OracleFailure(rule, file, `got ${describe(first)}, but ${describe(above)} was known before it was asked for`)
    }
    const twin = this.#taken.find(range => first <= range.last && last >= range.first)
    if (twin !== undefined) throw new OracleFailure(rule, file, `${describe(first)} … ${describe(last)} was given out before`)
    this.#taken.push({ first, last })
    this.#count++
    if (last > this.highest) this.highest = last
  }
}

const describe = (ts: bigint): string => `${ts >> 18n}:${ts & 0x3ffffn}`

export const shortKey = (key: Uint8Array): string => key.length === 0 ? '∞' : toHex(key).slice(0, 24)
