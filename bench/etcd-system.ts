import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '../src/common/bytes.js'
import { EtcdCluster, gateway } from './etcd.js'
import { BenchError, figuresOf, type LoadFigures } from './figures.js'
import { run, runNative, scratchFolder } from './native-load.js'
import { inParallel, pause } from './processes.js'
import { frame } from './protobuf.js'
import type { Cell, Driver, RunSettings, System } from './subject.js'
import { etcdPut, etcdRange, etcdTemplates } from './templates.js'
import { hasH2load } from './tools.js'
import { keyOf } from './workloads.js'

const preloadBatchKeys = 100
/** etcd takes requests of 1.5 MiB; base64 of JSON makes 4 bytes of 3. */
const preloadBytesMax = 512 << 10
const preloadLanes = 8
const preloadAttempts = 6

export class EtcdSystem implements System {
  readonly name = 'etcd'
  readonly drivers: readonly Driver[]
  /** Revision at the end of the last audit. */
  #revision = 0

  private constructor(readonly cluster: EtcdCluster) {
    const connections = (name: string, sharing: Driver['sharing'], count: (inFlight: number) => number): Driver => ({
      client: name, sharing,
      skips: cell => cell.work.mix === undefined ? 'etcd has no client for it here'
        : (sharing === 'separate' || name.startsWith('4')) && cell.inFlight < 4 ? '' : undefined,
      run: (cell, settings) => this.#native(cell, settings, count(cell.inFlight)),
    })
    this.drivers = [
      connections('1 connection, native', 'shared', () => 1),
      connections('4 connections, native', 'shared', () => 4),
      connections('N connections, native', 'separate', inFlight => inFlight),
      { client: '4 connections, h2load', sharing: 'shared', skips: skipsH2load, run: (cell, settings) => this.#h2load(cell, settings) },
    ]
  }

  static async start(folder: string): Promise<EtcdSystem> { return new EtcdSystem(await EtcdCluster.start(folder)) }

  serverPids(): readonly number[] { return this.cluster.pids() }

  async preload(settings: RunSettings, onProgress: (done: number) => void): Promise<void> {
    const { url } = await this.cluster.leader()
    const value = Buffer.alloc(settings.valueBytes, 'v').toString('base64')
    const batchKeys = Math.max(1, Math.min(preloadBatchKeys, Math.floor(preloadBytesMax / settings.valueBytes)))
    const batches = Math.ceil(settings.records / batchKeys)
    let done = 0
    await inParallel(batches, preloadLanes, async batch => {
      if (settings.signal.aborted) return
      const first = batch * batchKeys
      const success = Array.from({ length: Math.min(batchKeys, settings.records - first) }, (_, at) =>
        ({ request_put: { key: Buffer.from(keyOf(first + at)).toString('base64'), value } }))
      await withRetries(async () => { await gateway(url, 'kv/txn', { success }, 20_000) })
      onProgress(done += success.length)
    })
    this.#revision = await this.cluster.revision()
  }

  async audit(cell: Cell, _settings: RunSettings, figures: LoadFigures): Promise<string | undefined> {
    const revision = await this.cluster.revision()
    const written = revision - this.#revision
    this.#revision = revision
    const writes = cell.work.mix?.parts.filter(part => part.kind === 'put' || part.kind === 'batchPut') ?? []
    const share = writes.reduce((sum, part) => sum + part.share, 0)
    const expected = figures.operations * share
    // Shares are drawn: leave room for six deviations.
    const least = share === 1 ? expected : expected - 6 * Math.sqrt(expected)
    return written < least ? `etcd's revision grew by ${written}, its client counted about ${Math.round(expected)} writes` : undefined
  }

  async stop(): Promise<void> { await this.cluster.stop() }

  async #native(cell: Cell, settings: RunSettings, connections: number): Promise<LoadFigures> {
    const { work, inFlight, rate } = cell
    if (!work.mix) throw new BenchError(`${work.name} has no prepared requests`)
    const address = (await this.cluster.leader()).url.replace('http://', '')
    return await runNative({
      program: 'etcd', address, connections, window: Math.max(1, Math.floor(inFlight / connections)), seconds: settings.seconds, rate,
      keys: work.mix.keys(settings), records: settings.records, theta: work.mix.isZipf ? settings.theta : 0, seed: settings.seed,
      templates: etcdTemplates(work.mix, settings),
    }, settings.signal)
  }

  /** A second opinion: a client that is not ours. Every request repeats one key, which costs etcd no more than many. */
  async #h2load(cell: Cell, settings: RunSettings): Promise<LoadFigures> {
    const { url } = await this.cluster.leader()
    const scratch = scratchFolder()
    const folder = scratch.path
    // It takes whole seconds only.
    const seconds = Math.ceil(settings.seconds)
    try {
      const isPut = cell.work.name === 'put'
      const key = utf8(keyOf(42))
      const body = isPut ? etcdPut(key, new Uint8Array(settings.valueBytes).fill(0x61)) : etcdRange(key)
      writeFileSync(join(folder, 'body'), frame(body))
      const args = ['-D', String(seconds), '-c', '4', '-m', String(cell.inFlight / 4), '-t', '1', '-d', join(folder, 'body'),
        '-H', 'content-type: application/grpc', '-H', 'te: trailers', `--log-file=${join(folder, 'log')}`,
        `${url}/etcdserverpb.KV/${isPut ? 'Put' : 'Range'}`]
      const output = await run('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; { time h2load "$@"; } 2>&1', 'h2load', ...args], seconds + 30,
        settings.signal)
      return readH2load(output, readLog(join(folder, 'log')), seconds)
    } finally {
      scratch.remove()
    }
  }
}

/** A machine under other load makes etcd lose its leader for a moment. */
async function withRetries(run: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (attempt === preloadAttempts) throw error
      await pause(500)
    }
  }
}

function skipsH2load(cell: Cell): string | undefined {
  if (cell.rate > 0 || (cell.work.name !== 'put' && cell.work.name !== 'get') || cell.inFlight % 4 !== 0) return ''
  return hasH2load() ? undefined : 'h2load is not installed (Debian: nghttp2-client); the native client is used alone'
}

export function readH2load(output: string, latencies: Float64Array, seconds: number): LoadFigures {
  const requests = /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded/.exec(output)
  const cpu = /cpu ([\d.]+) ([\d.]+)/.exec(output)
  if (!requests || !cpu) throw new BenchError(`h2load said something else:\n${output}`)
  const operations = Number(requests[3])
  return figuresOf(latencies, { operations, failed: Number(requests[1]) - operations, seconds, cpuSeconds: Number(cpu[1]) + Number(cpu[2]) })
}

/** h2load's log: start time, HTTP status, microseconds, one request a line. */
function readLog(path: string): Float64Array {
  const lines = readFileSync(path, 'latin1').split('\n')
  const values = new Float64Array(lines.length)
  let count = 0
  for (const line of lines) {
    const microseconds = Number(line.substring(line.lastIndexOf('\t') + 1))
    if (line.length > 0 && microseconds > 0) values[count++] = microseconds
  }
  return values.subarray(0, count).sort()
}
