import { boundaryMistake } from '../../common/boundary.js'
import { createPdClient } from '../../client/pd-client.js'
import type { StoreId } from '../../common/ids.js'
import { LogStateKind } from '../../engine/api.js'
import type { RaftLog } from '../../engine/api.js'
import type { PdClient } from '../../pd/api.js'
import { rawEvaluator } from '../../rawkv/evaluator.js'
import { IdentityKeeper } from '../../server/identity.js'
import type { StoreIdentity } from '../../server/identity.js'
import { RpcDoor, storeRequests } from '../../server/rpc-door.js'
import { MemorySpool } from '../../server/spool.js'
import { StoreDirectory } from '../../server/store-directory.js'
import { joinCluster } from '../../server/store-join.js'
import { StorePdAdapter } from '../../server/store-pd.js'
import { storeHandlers } from '../../server/store-services.js'
import type { StoreApi } from '../../store/api.js'
import { createStore } from '../../store/store.js'
import { createRaftLinks } from '../../transport/raft-links.js'
import { openChannel } from '../../transport/rpc-channel.js'
import { listenRpc } from '../../transport/rpc-server.js'
import { ownFeatures, spoken } from '../../wire/features.js'
import type { Hello, StoreMeta } from '../../wire/messages.js'
import { describeMessage } from '../describe-message.js'
import type { SimDisk } from '../sim-disk.js'
import type { SimEnv, SimNode } from '../sim-env.js'
import { NoisyLinks } from './noisy-links.js'
import type { ClusterWorld } from './world.js'

const pdDeadlineMs = 3_000
const firstPort = 20_160

/** Node's own class: a signal that never fires is asked for once, outside of runs. */
const never = new AbortController().signal

/** A store's machine: what the process is put together from, each time it starts. The twin of server/store-node. */
export class StoreHost {
  store: StoreApi | undefined
  identity: StoreIdentity | undefined
  /** P47: who this machine thinks it is, whatever its disk says. */
  #believed: StoreIdentity | undefined
  /** A new store lives at a new address: PD does not give an address away twice. */
  #generation = 0
  readonly #spool = new MemorySpool()

  constructor(readonly world: ClusterWorld, readonly node: SimNode, readonly disk: SimDisk) {}

  get address(): string { return `${this.node.name}:${firstPort + this.#generation}` }

  boot(): void {
    this.store = undefined
    const env = this.node.boot()
    this.node.enter(env, () => { this.world.watch(this.node, env, this.#start(env)) })
  }

  /** The disk is lost. @param believes P47: comes back under its old name */
  wipe(believes: boolean): void {
    this.#believed = believes ? this.identity : undefined
    if (!believes) {
      this.identity = undefined
      this.#generation++
    }
    this.store = undefined
    this.disk.wipe()
    this.#spool.sweep()
  }

  async #start(env: SimEnv): Promise<void> {
    const { world, disk, node } = this
    const raftLog = disk.openLog(env, error => { world.fatal(node, env, error) })
    const engine = disk.openEngine(env)
    const door = new RpcDoor(storeRequests)
    const hello = (): Hello =>
      ({ ...spoken, features: ownFeatures, clusterId: this.identity?.clusterId ?? 0n, role: 'store', nodeId: this.identity?.storeId ?? 0 })
    const keeper = new IdentityKeeper({ raftLog, engine, folder: undefined })
    if (this.#believed !== undefined && keeper.load() === undefined) await keeper.save(this.#believed, undefined)
    this.identity = keeper.load()
    await listenRpc({
      env, address: this.address, hello, secret: world.secret, handlers: door.handlers,
      onRaft: envelope => { this.store?.onRaft(envelope) },
    })
    const state: { adapter?: StorePdAdapter } = {}
    const openPd = (greet: () => Hello): PdClient => createPdClient({
      env, addresses: world.pdAddresses, deadlineMs: pdDeadlineMs, onLeaderFound: () => { state.adapter?.onLeaderFound() },
      channelFor: address => openChannel({ env, address, hello: greet, secret: world.secret }),
    })
    const joining = openPd(() => ({ ...hello(), clusterId: 0n }))
    const { identity, firstRegion, incarnation } = await joinCluster({
      env, pd: joining, keeper, pdAddresses: world.pdAddresses, signal: never, metaOf: storeId => this.#meta(env, storeId),
    })
    this.identity = identity
    // From now on in the name of this store and of its cluster: PD takes heartbeats of nobody else.
    joining.close()
    const pd = openPd(hello)
    const directory = new StoreDirectory({ env, pd, openChannel: address => openChannel({ env, address, hello, secret: world.secret }) })
    const store = this.#create(env, { raftLog, pd, directory, hello, state, incarnation })
    if (firstRegion !== undefined && !isWritten(raftLog, firstRegion.regionId)) store.bootstrapRegion(firstRegion)
    store.start()
    this.store = store
    door.open(storeHandlers(store, env))
    if (firstRegion !== undefined) await keeper.save(identity, undefined)
  }

  #meta(env: SimEnv, storeId: StoreId): StoreMeta {
    return {
      storeId, address: this.address, statusAddress: '', labels: {}, version: 'sim', state: 'up', startedAtWallMs: env.clock.wallMs(),
    }
  }

  #create(env: SimEnv, parts: { raftLog: RaftLog; pd: PdClient; directory: StoreDirectory; hello: () => Hello
    state: { adapter?: StorePdAdapter }; incarnation: number }): StoreApi {
    const { world, disk, node } = this
    const { directory, pd, hello, raftLog, incarnation } = parts
    const { storeId } = this.identity!
    const adapter = new StorePdAdapter({
      env, pd, incarnation, beatMsMax: world.plan.store.regionHeartbeatMs * 2,
      onStores: stores => { directory.learn(stores) },
      onShortOfSpace: (full, low) => { this.store?.onShortOfSpace(full, low) },
      onRefused: error => { world.fatal(node, env, error) },
    })
    parts.state.adapter = adapter
    const links = createRaftLinks({
      env, hello, secret: world.secret, addressOf: to => directory.addressOf(to), onUp: to => { this.store?.onLinkUp(to) },
      onDown: to => { this.store?.onLinkDown(to) },
    })
    const noisy = new NoisyLinks(env, links, world.plan.raft,
      envelope => {
        const { regionId, message } = envelope
        if (world.trace.print !== undefined) {
          world.trace.say({ time: world.scheduler.now, node: node.name, region: regionId, kind: 'send', detail: describeMessage(message) })
        }
        world.guarded(() => { world.oracles.onStoreSent(this, envelope) })
      }, () => world.isHealed)
    return createStore({
      env, storeId, engine: disk.watchedEngine(world.plan.disk.persistChance), raftLog, links: noisy, pd: adapter, spool: this.#spool,
      bulkChannel: to => directory.bulkChannel(to), evaluator: rawEvaluator, config: world.plan.store,
      onFatal: error => { world.fatal(node, env, error) }, boundaryMistake, plants: world.plants,
    })
  }
}

const isWritten = (raftLog: RaftLog, id: Parameters<RaftLog['region']>[0]): boolean =>
  raftLog.region(id) !== undefined || raftLog.state(id, LogStateKind.Region) !== undefined
