import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import type { ServerError } from '../../src/common/errors.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import type { RegionId, StoreId } from '../../src/common/ids.js'
import type { Region } from '../../src/common/region.js'
import type { Result } from '../../src/common/result.js'
import { BatchOp, Cf } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { MemEngine } from '../../src/engine/mem-engine.js'
import { rawEvaluator } from '../../src/rawkv/evaluator.js'
import { MemorySpool } from '../../src/server/spool.js'
import type { StoreApi, StoreConfig, StorePd } from '../../src/store/api.js'
import { defaultStoreConfig } from '../../src/store/config.js'
import { createStore } from '../../src/store/store.js'
import type { CallOptions, CallResult, RpcChannel } from '../../src/transport/api.js'
import type { Operator, RaftEnvelope, RequestContext, RpcName, RpcResult, Requests, SplitIds } from '../../src/wire/messages.js'
import { TestDisk, TestEnv, World } from '../pd/kit.js'

const small: Partial<StoreConfig> = { reserveDiskBytes: 0, regionHeartbeatMs: 1_000, storeHeartbeatMs: 1_000, logGcTickMs: 200 }

/** One machine: a log and an engine that outlive the store on it. */
export interface Machine {
  readonly id: StoreId
  readonly disk: TestDisk
  engine: MemEngine | undefined
  env: TestEnv
  store: StoreApi | undefined
  /** The engine applies nothing more, until `release`. */
  isStalled: boolean
  /** What the stalled engine owes, in order. */
  readonly waiting: (() => void)[]
}

/** Stores on virtual time, with links that can be cut and a PD that only hands out ids and operators. */
export class StoreCluster implements Pick<StorePd, 'askSplit'> {
  readonly world: World
  readonly machines: Machine[]
  readonly cut = new Set<string>()
  readonly operators: Operator[] = []
  readonly shapes = new Map<RegionId, Region>()
  readonly fatal: string[] = []
  /** Sees every raft message that leaves a store. */
  onSend: ((envelope: RaftEnvelope) => void) | undefined
  /** Messages that do not arrive. */
  keeps: ((envelope: RaftEnvelope) => boolean) | undefined
  boundaryMistake: ((key: Uint8Array) => string | undefined) | undefined
  nextId = 1_000
  snapshots = 0

  constructor(count: number, seed = 1, readonly config: Partial<StoreConfig> = {}, readonly plants?: ReadonlySet<string>) {
    this.world = new World(seed)
    this.machines = Array.from({ length: count }, (_, at) => ({
      id: storeId(at + 1), disk: new TestDisk(), engine: undefined, store: undefined, env: new TestEnv(this.world, `store-${at + 1}`),
      isStalled: false, waiting: [],
    }))
  }

  /** The first region, with a voter on each of the first `voters` stores; each is written as bootstrap would. */
  bootstrap(voters: number, range: Pick<Region, 'startKey' | 'endKey'> = { startKey: emptyBytes, endKey: emptyBytes }): Region {
    const peers = Array.from({ length: voters }, (_, at) => ({ peerId: peerId(at + 11), storeId: storeId(at + 1), role: 'voter' as const }))
    const region: Region = { regionId: regionId(1), ...range, epoch: { confVer: 1, version: 1 }, peers }
    for (const machine of this.machines) this.start(machine, machine.id <= voters ? region : undefined)
    // A store that forgot that it is a voter would be another one's disk.
    this.world.runFor(10)
    return region
  }

  start(machine: Machine, first?: Region): StoreApi {
    const env = machine.env = new TestEnv(this.world, `store-${machine.id}`)
    const later = (run: () => void): void => {
      if (machine.isStalled) machine.waiting.push(run)
      else env.defer(run)
    }
    const options = {
      defer: later, deferFlush: (run: () => void): void => { env.setTimer(3, run) },
      get inlineBytesMax() { return machine.isStalled ? -1 : 64 << 10 },
    }
    if (machine.engine === undefined) machine.engine = new MemEngine(options)
    else machine.engine.reopen(options)
    const store = createStore({
      env, storeId: machine.id, engine: machine.engine, raftLog: machine.disk.open(env), spool: new MemorySpool(),
      evaluator: rawEvaluator, config: { ...defaultStoreConfig, ...small, ...this.config }, pd: this.#pd(machine),
      links: { send: (to, envelope) => this.#send(machine.id, to, envelope), flush: () => {} },
      bulkChannel: to => this.#channel(machine, to),
      onFatal: error => { this.fatal.push(`store ${machine.id}: ${error.stack ?? error.message}`) },
      boundaryMistake: key => this.boundaryMistake?.(key), ...(this.plants && { plants: this.plants }),
    })
    machine.store = store
    if (first !== undefined) store.bootstrapRegion(first)
    store.start()
    return store
  }

  kill(machine: Machine, keep = 0): void {
    machine.env.isDead = true
    machine.store = undefined
    machine.disk.crash(keep)
    machine.engine?.crash()
    machine.isStalled = false
    machine.waiting.length = 0
    for (const other of this.machines) other.store?.onLinkDown(machine.id)
  }

  /** A stalled engine goes on with what it was given. */
  release(machine: Machine): void {
    machine.isStalled = false
    for (const run of machine.waiting.splice(0)) machine.env.defer(run)
  }

  isCut(from: number, to: number): boolean { return this.cut.has(`${from}>${to}`) }
  isolate(id: number): void {
    for (const { id: other } of this.machines) if (other !== id) for (const link of [`${id}>${other}`, `${other}>${id}`]) this.cut.add(link)
  }

  #send(from: StoreId, to: StoreId, envelope: RaftEnvelope): boolean {
    this.onSend?.(envelope)
    if (this.keeps?.(envelope) === true) return true
    this.world.at(this.world.nowMs + 0.2 + this.world.random(), () => {
      if (!this.isCut(from, to)) this.machines[to - 1]?.store?.onRaft(envelope)
    })
    return true
  }

  #channel(machine: Machine, to: StoreId): RpcChannel {
    const send = <N extends RpcName>(name: N, request: Requests[N], options: CallOptions, done: (result: CallResult<N>) => void): void => {
      const target = this.machines[to - 1]?.store
      const answer = (result: CallResult<N>): void => { machine.env.setTimer(0.5, () => { done(result) }) }
      const reply = (error: ServerError | undefined): void => {
        const result = (error === undefined ? { ok: true, value: {} } : { ok: false, error }) as RpcResult<N>
        answer({ answered: true, result })
      }
      if (target === undefined || this.isCut(machine.id, to)) {
        answer({ answered: false, failure: { kind: 'ConnectionLost', sent: true, reason: 'cut' } })
        return
      }
      if (name === 'SnapshotBegin') this.snapshots++
      const asked = request as Requests['SnapshotBegin'] & Requests['SnapshotChunk'] & Requests['SnapshotEnd']
      if (name === 'SnapshotBegin') target.snapshots.begin(asked.snapshotId, asked.envelope, asked.totalBytes, reply)
      else if (name === 'SnapshotChunk') target.snapshots.chunk(asked.snapshotId, asked.sequence, asked.rows, asked.crc32c, reply)
      else target.snapshots.end(asked.snapshotId, asked.chunks, asked.crc32c, reply)
    }
    return {
      address: '', isConnected: true, send, close: () => {},
      call: () => Promise.reject(new Error('not used')),
    }
  }

  askSplit(region: Region, count: number, done: (ids: readonly SplitIds[] | undefined) => void): void {
    const ids = Array.from({ length: count }, () => ({
      regionId: regionId(this.nextId++), peerIds: region.peers.map(() => peerId(this.nextId++)),
    }))
    this.world.at(this.world.nowMs + 1, () => { done(ids) })
  }

  #pd(machine: Machine): StorePd {
    const later = (run: () => void): void => { machine.env.setTimer(1, run) }
    return {
      allocIds: (_count, done) => { later(() => { done(undefined) }) },
      askSplit: (region, count, done) => { this.askSplit(region, count, done) },
      reportSplit: () => {},
      storeHeartbeat: () => {},
      getRegionById: (id, done) => { later(() => { done(this.shapes.get(id)) }) },
      regionHeartbeat: (beats, done) => {
        for (const beat of beats) this.shapes.set(beat.region.regionId, beat.region)
        const wanted = this.operators.filter(one => beats.some(beat => beat.region.regionId === one.regionId))
        later(() => { done(wanted) })
      },
    }
  }

  // --- asking -------------------------------------------------------------------------------------------------------

  leader(id = 1): Machine | undefined {
    const leaders = this.machines.filter(machine => machine.store?.peers(regionId(id))[0]?.role === 'leader')
    return leaders.sort((left, right) => this.term(right, id) - this.term(left, id))[0]
  }

  term(machine: Machine, id = 1): number { return machine.store?.peers(regionId(id))[0]?.term ?? 0 }
  region(id = 1): Region { return this.leader(id)!.store!.peers(regionId(id))[0]!.region }
  context(region: Region): RequestContext { return { regionId: region.regionId, epoch: region.epoch, peerId: peerId(0), timeoutMs: 0 } }

  /** Waits for a leader that can serve. */
  elect(id = 1, msMax = 10_000): Machine {
    const found = this.world.until(() => {
      const leader = this.leader(id)
      const peer = leader?.store?.peers(regionId(id))[0]
      return peer !== undefined && peer.applied === peer.committed && peer.committed > 5
    }, msMax)
    if (!found) throw new Error(`region ${id} has no leader; ${this.fatal.join('; ')}`)
    return this.leader(id)!
  }

  put(machine: Machine, key: string, value: string, region = this.region(this.at(key))): { result?: Result<unknown, ServerError> } {
    return this.write(machine, key, new BatchWriter().add(BatchOp.Put, Cf.Default, utf8(key), utf8(value)).finish(), region)
  }

  write(machine: Machine, key: string, records: Uint8Array, region: Region): { result?: Result<unknown, ServerError> } {
    const outcome: { result?: Result<unknown, ServerError> } = {}
    machine.store!.write(this.context(region), { start: utf8(key), end: emptyBytes, single: true }, records, result => { outcome.result = result })
    return outcome
  }

  /** The region that a key belongs to, by the newest shape that any store knows. */
  at(key: string): number {
    let newest: Region | undefined
    for (const machine of this.machines) {
      for (const { region } of machine.store?.peers(0) ?? []) {
        const isIn = region.peers.length > 0 && Buffer.compare(utf8(key), region.startKey) >= 0
          && (region.endKey.length === 0 || Buffer.compare(utf8(key), region.endKey) < 0)
        if (isIn && (newest === undefined || region.epoch.version > newest.epoch.version)) newest = region
      }
    }
    return newest?.regionId ?? 1
  }

  mustPut(key: string, value: string): void {
    const outcome = this.put(this.elect(this.at(key)), key, value)
    if (!this.world.until(() => outcome.result !== undefined, 5_000)) throw new Error(`put ${key} has no answer`)
    if (!outcome.result!.ok) throw new Error(`put ${key}: ${JSON.stringify(outcome.result)}`)
  }

  get(machine: Machine, key: string, region = this.region(this.at(key))): { value?: string | undefined; error?: ServerError; done?: true } {
    const outcome: { value?: string | undefined; error?: ServerError; done?: true } = {}
    machine.store!.read(this.context(region), { start: utf8(key), end: emptyBytes, single: true }, result => {
      outcome.done = true
      if (!result.ok) outcome.error = result.error
      else {
        const bytes = result.value.reader.get(Cf.Default, utf8(key))
        outcome.value = bytes && Buffer.from(bytes).toString()
      }
    })
    return outcome
  }

  mustGet(key: string): string | undefined {
    const outcome = this.get(this.elect(this.at(key)), key)
    if (!this.world.until(() => outcome.done === true, 5_000)) throw new Error(`get ${key} has no answer`)
    if (outcome.error !== undefined) throw new Error(`get ${key}: ${JSON.stringify(outcome.error)}`)
    return outcome.value
  }

  /** Straight from one store's engine. */
  row(machine: Machine, key: string): string | undefined {
    const bytes = machine.engine?.get(Cf.Default, utf8(key))
    return bytes && Buffer.from(bytes).toString()
  }

  mustSplit(key: string): readonly Region[] {
    const id = this.at(key)
    const leader = this.elect(id)
    const outcome: { result?: Result<readonly Region[], ServerError> } = {}
    leader.store!.splitRegion(this.context(this.region(id)), [utf8(key)], result => { outcome.result = result })
    if (!this.world.until(() => outcome.result !== undefined, 5_000)) throw new Error(`split at ${key} has no answer`)
    if (!outcome.result!.ok) throw new Error(`split at ${key}: ${JSON.stringify(outcome.result)}`)
    return outcome.result!.value
  }

  /** Carries an operator out, however often it must be asked for. */
  mustOperate(operator: Operator, isDone: (region: Region) => boolean): void {
    this.operators.push(operator)
    const done = this.world.until(() => this.leader(operator.regionId) !== undefined && isDone(this.region(operator.regionId)), 20_000)
    this.operators.splice(this.operators.indexOf(operator), 1)
    if (!done) throw new Error(`operator ${operator.kind} did not come through; ${this.fatal.join('; ')}`)
  }
}
