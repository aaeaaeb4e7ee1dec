import { equalBytes, utf8 } from '../src/common/bytes.js'
import { ClientProcess } from './client-process.js'
import { valueMaker } from './client-target.js'
import { BenchError, type LoadFigures } from './figures.js'
import { KarstCluster, type KarstOptions } from './karst-cluster.js'
import { runNative } from './native-load.js'
import { inParallel } from './processes.js'
import type { Cell, Driver, RunSettings, System } from './subject.js'
import { helloFrame, karstTemplates, stampBytes } from './templates.js'
import { keyOf } from './workloads.js'
import { Dice } from './zipf.js'

const preloadBatchKeys = 1_000
const preloadBytesMax = 256 << 10
const preloadLanes = 4
const auditKeys = 1_000

export class KarstSystem implements System {
  readonly drivers: readonly Driver[]

  private constructor(readonly name: string, readonly cluster: KarstCluster, readonly client: ClientProcess) {
    const native = (name: string, sharing: Driver['sharing'], isWide: boolean): Driver => ({
      client: name, sharing,
      skips: cell => cell.work.mix === undefined ? 'only the TypeScript client runs it' : isWide && cell.inFlight === 1 ? '' : undefined,
      run: (cell, settings) => this.#native(cell, settings, isWide ? cell.inFlight : 1),
    })
    this.drivers = [
      { client: '1 process, TypeScript', sharing: 'shared', skips: () => undefined, run: (cell, settings) => this.#typescript(cell, settings) },
      native('1 connection, native', 'shared', false),
      native('N connections, native', 'separate', true),
    ]
  }

  static async start(options: KarstOptions, name = 'karst'): Promise<KarstSystem> {
    const cluster = await KarstCluster.open(options)
    try {
      await cluster.replicated(keyOf(0))
      return new KarstSystem(name, cluster, await ClientProcess.start(cluster.pd, options.keyspace))
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  serverPids(): readonly number[] { return this.cluster.pids }

  async preload(settings: RunSettings, onProgress: (done: number) => void): Promise<void> {
    const { records, valueBytes, stamp, seed, signal } = settings
    const makeValue = valueMaker(valueBytes, stamp, seed)
    const batchKeys = Math.max(1, Math.min(preloadBatchKeys, Math.floor(preloadBytesMax / valueBytes)))
    let done = 0
    await inParallel(Math.ceil(records / batchKeys), preloadLanes, async batch => {
      if (signal.aborted) return
      const first = batch * batchKeys
      const pairs = Array.from({ length: Math.min(batchKeys, records - first) }, (_, at) => [keyOf(first + at), makeValue()] as const)
      await this.cluster.connection.client.raw.batchPut(pairs, { timeoutMs: 30_000, retryUndetermined: true })
      onProgress(done += pairs.length)
    })
  }

  /** Reads keys back: as many carry the stamp of the run as puts at random must have hit. */
  async audit(cell: Cell, settings: RunSettings, figures: LoadFigures): Promise<string | undefined> {
    const kind = cell.work.mix?.parts.length === 1 ? cell.work.mix.parts[0]?.kind : undefined
    if (kind !== 'put' && kind !== 'batchPut') return undefined
    const { records } = settings
    const dice = new Dice(settings.seed + 1)
    const keys = Array.from({ length: Math.min(auditKeys, records) }, () => keyOf(dice.below(records)))
    const values = await this.cluster.connection.client.raw.batchGet(keys, { timeoutMs: 20_000 })
    const stamp = utf8(settings.stamp)
    const hits = values.filter(value => value !== undefined && equalBytes(value.subarray(0, stampBytes), stamp)).length
    const written = figures.operations * (kind === 'batchPut' ? settings.batchKeys : 1)
    return hitsAreEnough(hits, keys.length, written, records) ? undefined
      : `${figures.operations} puts were answered, but of ${keys.length} keys read back only ${hits} carry their value`
  }

  async stop(): Promise<void> {
    await this.client.close()
    await this.cluster.stop()
  }

  #typescript(cell: Cell, settings: RunSettings): Promise<LoadFigures> {
    const { signal, records, theta, seed, batchKeys, scanRows, seconds, valueBytes, stamp } = settings
    const { work, inFlight, rate } = cell
    return this.client.run({ work: work.name, inFlight, rate, seconds, valueBytes, stamp, records, theta, seed, batchKeys, scanRows }, signal)
  }

  async #native(cell: Cell, settings: RunSettings, connections: number): Promise<LoadFigures> {
    const { work, inFlight, rate } = cell
    if (!work.mix) throw new BenchError(`${work.name} has no prepared requests`)
    const { cluster } = this
    const route = await cluster.route(keyOf(0), keyOf(settings.records))
    if (cluster.processes && route.voters < 3) throw new BenchError(`the region has ${route.voters} replicas now: this would not be equal durability`)
    if (!route.coversAll) throw new BenchError('the keys lie in several regions; the native client loads one, use --client typescript')
    return await runNative({
      program: 'karst', address: route.address, connections, window: Math.max(1, Math.floor(inFlight / connections)),
      seconds: settings.seconds, rate, keys: work.mix.keys(settings), records: settings.records, theta: work.mix.isZipf ? settings.theta : 0,
      seed: settings.seed, hello: helloFrame(cluster.connection.pd.clusterId),
      templates: karstTemplates(work.mix, settings, { context: route.context, keyspace: cluster.keyspace }),
    }, settings.signal)
  }
}

/** Of `written` puts on random keys a share of 1 - (1 - 1/records)^written is hit; five deviations are allowed for. */
export function hitsAreEnough(hits: number, asked: number, written: number, records: number): boolean {
  const share = 1 - (1 - 1 / records) ** written
  return hits >= asked * share - 5 * Math.sqrt(asked * share * (1 - share)) - 1
}
