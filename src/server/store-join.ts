import type { Env } from '../common/env.js'
import { emptyBytes } from '../common/bytes.js'
import { peerId, regionId, storeId } from '../common/ids.js'
import type { StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { PdRefusedError, PdUnavailableError } from '../pd/api.js'
import type { PdClient } from '../pd/api.js'
import type { StoreMeta } from '../wire/messages.js'
import type { BootstrapIntent, IdentityKeeper, StoreIdentity } from './identity.js'
import { StartupError } from './startup-error.js'

export interface JoinOptions {
  readonly env: Env
  readonly pd: PdClient
  readonly pdAddresses: readonly string[]
  readonly keeper: IdentityKeeper
  readonly metaOf: (storeId: StoreId) => StoreMeta
  /** Ends the wait for PD. */
  readonly signal: AbortSignal
  /** A fresh store asks for its id when PD knows so many stores, or after a while: then names and ids agree. */
  readonly registerAfter?: number
}

export interface Joined {
  readonly identity: StoreIdentity
  /** The first region of the cluster is this store's to write, perhaps again, before it starts. */
  readonly firstRegion: Region | undefined
  /** This life of the store, as PD knows it. */
  readonly incarnation: number
}

const logAgainMs = 10_000
/** Others are waited for, as long as that costs nobody much. */
const othersMsMax = 5_000
const othersPollMs = 10

/**
 * Finds this node's place in the cluster. A fresh one gets an id from PD and offers the first region; one store of all is
 * told that the cluster is its own. Every step may be repeated after a crash:
 *
 *   ids from PD ─► identity and intent, durable ─► offer to PD ─► first region, durable ─► intent cleared
 *
 * Who comes back with an intent offers the same region again, and PD answers it as the first time.
 * @throws StartupError
 */
export async function joinCluster(options: JoinOptions): Promise<Joined> {
  return await new Join(options).run()
}

class Join {
  readonly #options: JoinOptions

  constructor(options: JoinOptions) { this.#options = options }

  async run(): Promise<Joined> {
    const { env, pd, keeper } = this.#options
    const known = keeper.load()
    await this.#ask(() => pd.getMembers())
    if (known !== undefined && known.clusterId !== pd.clusterId) {
      throw new StartupError('clusterMismatch', `the data is of store ${known.storeId} of cluster ${known.clusterId}, but PD at `
        + `${this.#options.pdAddresses.join(', ')} is of cluster ${pd.clusterId}. Point --pd to the right cluster, or --data-dir to `
        + 'the right folder; an empty folder joins this cluster as a new store.')
    }
    const identity = known ?? await this.#takeIdentity()
    const { intent } = keeper
    if (intent !== undefined) {
      const firstRegion = await this.#offer(identity, intent)
      if (firstRegion !== undefined) return { identity, firstRegion, incarnation: await this.#register(identity) }
      await keeper.save(identity, undefined)
    }
    const incarnation = await this.#register(identity)
    env.log('info', 'store.registered', { store: identity.storeId, cluster: identity.clusterId })
    return { identity, firstRegion: undefined, incarnation }
  }

  async #takeIdentity(): Promise<StoreIdentity> {
    const { env, pd, keeper, registerAfter = 0 } = this.#options
    await this.#waitForOthers(registerAfter)
    // One id each: the stores of a fresh cluster are called 1, 2, 3.
    const identity = { clusterId: pd.clusterId, storeId: storeId(await this.#ask(() => pd.allocIds(1))) }
    const isBootstrapped = await this.#ask(() => pd.isBootstrapped())
    env.failpoint('join.before-identity')
    // Nobody else has this number: it serves as the id of the first region and of its replica as well.
    await keeper.save(identity, isBootstrapped ? undefined : { regionId: identity.storeId, peerId: identity.storeId })
    env.failpoint('join.after-identity')
    env.log('info', 'store.identity', { store: identity.storeId, cluster: identity.clusterId })
    return identity
  }

  async #waitForOthers(stores: number): Promise<void> {
    const { env, pd } = this.#options
    const untilMs = env.clock.monotonicMs() + othersMsMax
    while (stores > 0 && env.clock.monotonicMs() < untilMs && (await this.#ask(() => pd.getStores())).length < stores) {
      await new Promise<void>(resolve => { env.setTimer(othersPollMs, resolve) })
    }
  }

  /** @returns the region when the cluster is ours */
  async #offer(identity: StoreIdentity, intent: BootstrapIntent): Promise<Region | undefined> {
    const { env, pd, metaOf } = this.#options
    const region: Region = {
      regionId: regionId(intent.regionId), startKey: emptyBytes, endKey: emptyBytes, epoch: { confVer: 1, version: 1 },
      peers: [{ peerId: peerId(intent.peerId), storeId: identity.storeId, role: 'voter' }],
    }
    const isOurs = await this.#registering(identity, () => pd.bootstrap(metaOf(identity.storeId), region))
    env.failpoint('join.after-offer')
    if (!isOurs) return undefined
    env.log('info', 'store.bootstraps', { store: identity.storeId, cluster: identity.clusterId, region: region.regionId })
    return region
  }

  /** Where it lives, which may have changed, and which of its lives this is. Nothing is served before. */
  async #register(identity: StoreIdentity): Promise<number> {
    const { env, pd, metaOf, keeper } = this.#options
    const bearer = await keeper.beginLife(1 + env.random.below(2 ** 26) * 2 ** 26 + env.random.below(2 ** 26))
    await this.#registering(identity, () => pd.putStore(metaOf(identity.storeId), false, bearer))
    await keeper.lifeIsKnown(bearer.incarnation)
    return bearer.incarnation
  }

  async #registering<T>(identity: StoreIdentity, call: () => Promise<T>): Promise<T> {
    const { pd } = this.#options
    try {
      return await this.#ask(call)
    } catch (error) {
      if (!(error instanceof PdRefusedError)) throw error
      const stores = await this.#ask(() => pd.getStores())
      const own = stores.find(store => store.storeId === identity.storeId)
      throw own?.state === 'tombstone' ? tombstoneError(identity.storeId, error)
        : new StartupError('storeRefused', `PD does not take store ${identity.storeId}: ${error.message}`, { cause: error })
    }
  }

  /** Asks until PD answers; says so while it does not. */
  async #ask<T>(call: () => Promise<T>): Promise<T> {
    const { env, pdAddresses, signal } = this.#options
    let saidAtMs = Number.NEGATIVE_INFINITY
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (signal.aborted) throw new StartupError('stopped', 'stopped while it waited for PD', { cause: error })
        if (!(error instanceof PdUnavailableError)) throw error
        const nowMs = env.clock.monotonicMs()
        if (nowMs - saidAtMs < logAgainMs) continue
        saidAtMs = nowMs
        env.log('warn', 'store.waits-for-pd', { pd: pdAddresses.join(','), reason: error.message, hint: 'is `karst pd` running there?' })
      }
    }
  }
}

export function tombstoneError(id: StoreId, cause: unknown): StartupError {
  return new StartupError('storeTombstone', `store ${id} was taken out of the cluster for good and must not come back. `
    + 'Give this node an empty --data-dir: it joins under a new id.', { cause })
}
