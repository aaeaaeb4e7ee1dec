import type { PeerId } from '../../common/ids.js'
import type { Region } from '../../common/region.js'
import { engineKeyOf, wireKeyOfText } from '../../rawkv/codec.js'
import type { Operator } from '../../wire/messages.js'
import type { ClusterWorld } from './world.js'

/** Splits regions, moves leaders and replicas at drawn moments: by PD's operators, or by asking a store. */
export class ClusterAdmin {
  #isStopped = false

  constructor(readonly world: ClusterWorld) {}

  start(): void {
    const { admin } = this.world.plan
    this.#every(admin.split, () => { this.#split() })
    this.#every(admin.transfer, () => { this.#transfer() })
    this.#every(admin.move, () => { this.#move() })
    this.#every(admin.pdOperators, () => { this.#moveLeaderByPd() })
  }

  stop(): void { this.#isStopped = true }

  #every(meanMs: number, act: () => void): void {
    if (meanMs === 0) return
    const { scheduler, random } = this.world
    scheduler.after(random.exponential(meanMs), () => {
      if (this.#isStopped) return
      act()
      this.#every(meanMs, act)
    })
  }

  #anyRegion(): Region | undefined {
    const regions = new Map<number, Region>()
    for (const { region } of this.world.leaders()) regions.set(region.regionId, region)
    return this.world.random.pick([...regions.values()])
  }

  #note(what: string, regionId: number): void {
    this.world.trace.event({ time: this.world.scheduler.now, node: 'admin', region: regionId, kind: 'ask', detail: what })
  }

  /** Between two keys of the workload, or at one of them. */
  #split(): void {
    const { random, keys } = this.world
    const region = this.#anyRegion()
    if (region === undefined) return
    const texts = keys.flatMap(key => [key, `${key}/`])
    const wanted = [...new Set(Array.from({ length: random.chance(0.2) ? 2 : 1 }, () => random.pick(texts)!))].sort()
    const splitKeys = wanted.map(text => engineKeyOf(wireKeyOfText(0, text)))
    this.#note(`split at ${wanted.join(' ')}`, region.regionId)
    if (random.chance(0.5)) {
      this.#operator({ kind: 'splitRegion', regionId: region.regionId, epoch: region.epoch, keys: splitKeys })
      return
    }
    this.world.onLeaderOf(region.regionId, (store, info) => {
      const context = { regionId: info.region.regionId, epoch: info.region.epoch, peerId: info.peerId, timeoutMs: 0 }
      store.splitRegion(context, splitKeys, () => {})
    })
  }

  #transfer(): void {
    const region = this.#anyRegion()
    const to = this.world.random.pick(region?.peers ?? [])
    if (region === undefined || to === undefined) return
    this.#note(`transfer to store ${to.storeId}`, region.regionId)
    this.world.onLeaderOf(region.regionId, (store, info, node) => {
      const context = { regionId: info.region.regionId, epoch: info.region.epoch, peerId: info.peerId, timeoutMs: 0 }
      this.world.nemesis.onHandOver(node)
      store.transferLeader(context, to.storeId, () => {})
    })
  }

  #moveLeaderByPd(): void {
    const region = this.#anyRegion()
    const peer = this.world.random.pick(region?.peers ?? [])
    if (region === undefined || peer === undefined) return
    this.#note(`PD: transfer to store ${peer.storeId}`, region.regionId)
    this.#operator({ kind: 'transferLeader', regionId: region.regionId, epoch: region.epoch, peer })
  }

  /** A replica more, or one less: PD then puts the number right again. */
  #move(): void {
    const { random } = this.world
    const region = this.#anyRegion()
    if (region === undefined) return
    const base = { regionId: region.regionId, epoch: region.epoch }
    const free = this.world.storeIds().filter(id => !region.peers.some(peer => peer.storeId === id))
    const target = random.pick(free)
    if (target !== undefined && random.chance(0.4)) {
      this.#note(`PD: learner on store ${target}`, region.regionId)
      this.#operator({ kind: 'addLearner', ...base, peer: { peerId: 0 as PeerId, storeId: target, role: 'learner' } })
      return
    }
    const peer = random.pick(region.peers)
    if (peer === undefined || region.peers.length < 3) return
    this.#note(`PD: remove peer ${peer.peerId} on store ${peer.storeId}`, region.regionId)
    this.#operator({ kind: 'removePeer', ...base, peer })
  }

  #operator(operator: Operator): void { this.world.askPd(operator) }
}

