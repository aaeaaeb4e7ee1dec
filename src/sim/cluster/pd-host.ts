import type { PdMember } from '../../pd/config.js'
import type { StoreId } from '../../common/ids.js'
import { createPdNode } from '../../pd/pd-node.js'
import type { PdNode } from '../../pd/pd-node.js'
import { createRaftLinks } from '../../transport/raft-links.js'
import { listenRpc } from '../../transport/rpc-server.js'
import { ownFeatures, spoken } from '../../wire/features.js'
import type { Hello } from '../../wire/messages.js'
import type { SimDisk } from '../sim-disk.js'
import type { SimEnv, SimNode } from '../sim-env.js'
import { NoisyLinks } from './noisy-links.js'
import type { ClusterWorld } from './world.js'

export const pdClientPort = 2379
const pdPeerPort = 2380

/** A PD member's machine: what the process is put together from, each time it starts. */
export class PdHost {
  pd: PdNode | undefined

  constructor(readonly world: ClusterWorld, readonly node: SimNode, readonly disk: SimDisk, readonly memberId: number) {}

  boot(): void {
    this.pd = undefined
    const env = this.node.boot()
    this.node.enter(env, () => { this.world.watch(this.node, env, this.#start(env)) })
  }

  async #start(env: SimEnv): Promise<void> {
    const { world, disk, node, memberId } = this
    const { members } = world
    const raftLog = disk.openLog(env, error => { world.fatal(node, env, error) })
    const hello = (): Hello => ({ ...spoken, features: ownFeatures, clusterId: this.pd?.clusterId ?? 0n, role: 'pd', nodeId: memberId })
    const addressOf = (to: StoreId): string | undefined => {
      const member = members.find(one => one.memberId === to)
      return member && `${member.name}:${pdPeerPort}`
    }
    const links = createRaftLinks({ env, hello, secret: world.secret, addressOf, onDown: to => { this.pd?.onLinkDown(to) } })
    const peerLinks = new NoisyLinks(env, links, world.plan.raft,
      envelope => { world.guarded(() => { world.oracles.onPdSent(node.name, envelope, disk) }) }, () => world.isHealed)
    const pd = createPdNode({
      env, name: node.name, memberId, raftLog, members, peerLinks, config: world.plan.pd, plants: world.plants,
      onFatal: error => { world.fatal(node, env, error) },
    })
    this.pd = pd
    await listenRpc({ env, address: `${node.name}:${pdClientPort}`, hello, secret: world.secret, handlers: pd.server.handlers })
    if (members.length > 1) {
      await listenRpc({
        env, address: `${node.name}:${pdPeerPort}`, hello, secret: world.secret, handlers: {}, onRaft: envelope => { pd.onRaft(envelope) },
      })
    }
    pd.start()
  }
}

export function pdMembers(count: number): readonly PdMember[] {
  return Array.from({ length: count }, (_, at) => ({
    name: `pd-${at + 1}`, memberId: at + 1, clientUrls: [`http://pd-${at + 1}:${pdClientPort}`],
    peerUrls: [`http://pd-${at + 1}:${pdPeerPort}`],
  }))
}
