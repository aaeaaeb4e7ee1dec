import { emptyBytes, utf8 } from '../../src/common/bytes.js'
import type { ServerError } from '../../src/common/errors.js'
import { peerId, regionId, storeId } from '../../src/common/ids.js'
import { peerOnStore, regionContains } from '../../src/common/region.js'
import type { Region } from '../../src/common/region.js'
import { err } from '../../src/common/result.js'
import { KarstClient } from '../../src/client/client.js'
import type { ClientOptions } from '../../src/client/client.js'
import { PdUnavailableError } from '../../src/pd/api.js'
import type { PdClient } from '../../src/pd/api.js'
import { engineKeyOf, wireKey } from '../../src/rawkv/codec.js'
import { createRawHandlers } from '../../src/rawkv/raw-service.js'
import type { CallFailure, CallOptions, CallResult, RpcChannel, RpcHandler, RpcHandlers } from '../../src/transport/api.js'
import type { RegionRoute, RequestContext, RpcName, RpcResult, Requests, StoreMeta } from '../../src/wire/messages.js'
import { FakeEnv, FakeStore, MapReader } from '../rawkv/fake-store.js'

export const latencyMs = 1
export const boundary = (text: string): Uint8Array => text === '' ? emptyBytes : engineKeyOf(wireKey(0, utf8(text)))

export function makeRegion(id: number, start: string, end: string, version = 1, stores = [1, 2, 3]): Region {
  return {
    regionId: regionId(id), startKey: boundary(start), endKey: boundary(end), epoch: { confVer: 1, version },
    peers: stores.map(store => ({ peerId: peerId(id * 10 + store), storeId: storeId(store), role: 'voter' as const })),
  }
}

/** What one attempt meets instead of being served. `applied`: it is carried out and its answer is lost. */
export type Trouble =
  | { readonly error: ServerError }
  | { readonly failure: CallFailure['kind']; readonly sent: boolean; readonly applied?: boolean; readonly afterMs?: number }
  | 'silence'

export interface Seen {
  readonly store: number
  readonly name: RpcName
  readonly request: Requests[RpcName]
  readonly atMs: number
}

class FakeChannel implements RpcChannel {
  isConnected = false
  isClosed = false
  constructor(readonly cluster: FakeCluster, readonly address: string, readonly store: number) {}

  call<N extends RpcName>(name: N, request: Requests[N], options: CallOptions): Promise<CallResult<N>> {
    return new Promise(resolve => this.send(name, request, options, resolve))
  }

  send<N extends RpcName>(
    name: N, request: Requests[N], options: CallOptions, done: (result: CallResult<N>) => void,
  ): void {
    const { env } = this.cluster
    let isDone = false
    const finish = (result: CallResult<N>): void => {
      if (isDone) return
      isDone = true
      timer.cancel()
      options.signal?.removeEventListener('abort', onAbort)
      done(result)
    }
    const lose = (kind: CallFailure['kind'], sent: boolean) =>
      finish({ answered: false, failure: { kind, sent, reason: 'scripted' } })
    const timer = env.setTimer(options.timeoutMs, () => lose('Timeout', true))
    const onAbort = (): void => { env.defer(() => lose('Aborted', true)) }
    options.signal?.addEventListener('abort', onAbort)
    env.setTimer(latencyMs, () => this.#arrive(name, request, finish, lose))
  }

  #arrive<N extends RpcName>(
    name: N, request: Requests[N], finish: (result: CallResult<N>) => void,
    lose: (kind: CallFailure['kind'], sent: boolean) => void,
  ): void {
    const { cluster } = this
    if (this.isClosed) return lose('Closed', false)
    if (cluster.dead.has(this.store)) {
      this.isConnected = false
      return lose('Refused', false)
    }
    this.isConnected = true
    if (name === 'Ping') return finish({ answered: true, result: { ok: true, value: request } as unknown as RpcResult<N> })
    cluster.seen.push({ store: this.store, name, request, atMs: cluster.env.nowMs })
    const trouble = cluster.troubles.shift()
    if (trouble === 'silence') return
    if (trouble !== undefined && 'error' in trouble) return finish({ answered: true, result: err(trouble.error) })
    const run = (answer: (result: RpcResult<N>) => void): void =>
      (cluster.handlers(this.store)[name] as RpcHandler<N>)(request, answer,
        { remote: 'client', role: 'client', nodeId: 0, arrivedAtMs: cluster.env.nowMs })
    if (trouble === undefined) return run(result => finish({ answered: true, result }))
    if (trouble.applied) run(() => undefined)
    if (trouble.failure === 'ConnectionLost') this.isConnected = false
    cluster.env.setTimer(trouble.afterMs ?? 0, () => lose(trouble.failure, trouble.sent))
  }

  close(): void { this.isClosed = true }
}

/** Three stores over one map, a PD, and channels that a test can make fail: everything a client sees of a cluster. */
export class FakeCluster {
  readonly env = new FakeEnv()
  readonly data = new MapReader()
  readonly leaders = new Map<number, number>()
  readonly dead = new Set<number>()
  /** Taken by the next attempts, first in first out. */
  readonly troubles: Trouble[] = []
  readonly seen: Seen[] = []
  readonly pdAsked: string[] = []
  isPdDown = false
  /** What PD believes; the stores know better after `split`. */
  pdRegions: readonly Region[]
  /** Followers name no leader. */
  isShy = false
  readonly #stores = new Map<number, { store: FakeStore; handlers: RpcHandlers }>()

  constructor(public regions: readonly Region[]) {
    this.pdRegions = regions
    for (const region of regions) this.leaders.set(region.regionId, 1)
    for (const id of [1, 2, 3]) {
      const store = new FakeStore(regions, this.data)
      store.gate = context => this.#gate(id, context)
      this.#stores.set(id, { store, handlers: createRawHandlers(store, this.env) })
    }
  }

  handlers(id: number): RpcHandlers { return this.#stores.get(id)!.handlers }
  store(id: number): FakeStore { return this.#stores.get(id)!.store }

  /** Replaces regions everywhere but in PD. */
  reshape(regions: readonly Region[], pdToo = false): void {
    for (const region of regions) if (!this.leaders.has(region.regionId)) this.leaders.set(region.regionId, 1)
    this.regions = regions
    for (const { store } of this.#stores.values()) store.regions = regions
    if (pdToo) this.pdRegions = regions
  }

  #gate(id: number, context: RequestContext): ServerError | undefined {
    const region = this.regions.find(one => one.regionId === context.regionId)
    if (region === undefined) return undefined
    const leading = this.leaders.get(context.regionId)
    if (leading === id) return undefined
    const leader = leading === undefined || this.isShy ? undefined : peerOnStore(region, storeId(leading))
    return { kind: 'NotLeader', regionId: region.regionId, leader }
  }

  #route(region: Region | undefined): RegionRoute | undefined {
    if (region === undefined) return undefined
    const leading = this.leaders.get(region.regionId)
    return { region, leader: leading === undefined ? undefined : peerOnStore(region, storeId(leading)) }
  }

  async #ask<T>(what: string, answer: () => T): Promise<T> {
    this.pdAsked.push(what)
    await new Promise<void>(resolve => this.env.setTimer(latencyMs, resolve))
    if (this.isPdDown) throw new PdUnavailableError(`${what}: nobody is there`)
    return answer()
  }

  get pd(): PdClient {
    const stores = [1, 2, 3].map((id): StoreMeta => ({
      storeId: storeId(id), address: `store:${id}`, statusAddress: '', labels: {}, version: '', state: 'up',
      startedAtWallMs: 0,
    }))
    const before = (key: Uint8Array) => this.pdRegions.find(region => key.length === 0
      ? region.endKey.length === 0
      : Buffer.compare(region.startKey, key) < 0 &&
        (region.endKey.length === 0 || Buffer.compare(key, region.endKey) <= 0))
    const partial: Partial<PdClient> = {
      clusterId: 1n,
      getStores: () => this.#ask('getStores', () => stores),
      getRegion: key => this.#ask('getRegion', () =>
        this.#route(this.pdRegions.find(region => regionContains(region, key)))),
      getPreviousRegion: key => this.#ask('getPreviousRegion', () => this.#route(before(key))),
      close: () => undefined,
    }
    return partial as PdClient
  }

  client(options: ClientOptions = {}): KarstClient {
    const openChannel = (address: string): RpcChannel =>
      new FakeChannel(this, address, Number(address.split(':')[1]))
    return new KarstClient({ env: this.env, pd: this.pd, openChannel }, options)
  }

  /** Store ids that were asked since the last call, in order. */
  asked(): number[] { return this.seen.splice(0).map(one => one.store) }
}

/** The error a promise ends in. */
export async function failure(env: FakeEnv, promise: Promise<unknown>): Promise<unknown> {
  try {
    await env.settle(promise)
  } catch (error) {
    return error
  }
  throw new Error('it succeeded')
}
