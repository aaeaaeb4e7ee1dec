import type { RegionId, StoreId } from '../../common/ids.js'
import type { LogOp } from '../../engine/log-batch.js'
import { LogStateKind } from '../../engine/api.js'
import { MessageType } from '../../raft/types.js'
import type { ConfState, Message } from '../../raft/types.js'
import { decodeLogRecord } from '../../store/state-records.js'
import type { PeerInfo, RaftEnvelope } from '../../wire/messages.js'
import { OracleFailure } from '../failure.js'
import { checkPromise } from '../oracles/durability.js'
import { checkCommitQuorum, checkElectionQuorum, checkHeartbeat } from '../oracles/quorum.js'
import { LeaseWatch } from '../oracles/leases.js'
import type { LeaseClaim } from '../oracles/leases.js'
import type { LogView } from '../oracles/raft-safety.js'
import { RaftSafety } from '../oracles/raft-safety.js'
import type { SimDisk } from '../sim-disk.js'
import { RegionAudit } from './region-audit.js'
import type { Replica } from './region-audit.js'
import type { StoreHost } from './store-host.js'

const file = 'sim/cluster/oracles.ts'

export interface ClusterView {
  readonly leaseMs: number
  readonly pdLeaseMs: number
  readonly nowMs: () => number
  /** What the living stores say of a region. */
  infosOf(regionId: RegionId): readonly { readonly host: StoreHost; readonly info: PeerInfo }[]
  /** The machine that is this store now; undefined: its disk is lost. */
  hostOf(storeId: StoreId): StoreHost | undefined
  onLeader(host: StoreHost): void
}

interface SeenPeer {
  readonly life: number
  readonly term: number
  readonly isLeader: boolean
  readonly committed: number
  readonly confVer: number
}

function confOf(info: PeerInfo): ConfState {
  const ids = (role: string): PeerInfo['peerId'][] => info.region.peers.filter(peer => peer.role === role).map(peer => peer.peerId)
  return { voters: ids('voter'), learners: ids('learner'), votersOutgoing: [], learnersNext: [], autoLeave: false }
}

/** Everything that is watched in a cluster: each region and PD's group by raft's rules, all regions by the store's. */
export class ClusterOracles {
  readonly safety = new RaftSafety()
  readonly pdSafety = new RaftSafety()
  readonly leases: LeaseWatch
  readonly pdLeases: LeaseWatch
  readonly audit = new RegionAudit()
  readonly #seen = new Map<string, SeenPeer>()
  readonly #storeOf = new Map<number, StoreId>()
  #newLeaders: { readonly host: StoreHost; readonly regionId: RegionId; readonly message: Message }[] = []

  constructor(readonly view: ClusterView) {
    this.leases = new LeaseWatch(view.leaseMs)
    this.pdLeases = new LeaseWatch(view.pdLeaseMs)
  }

  beforeLog(disk: SimDisk, ops: readonly LogOp[], isPd: boolean): void {
    (isPd ? this.pdSafety : this.safety).beforeLog(disk.name, ops, disk.log)
  }

  onLog(disk: SimDisk, ops: readonly LogOp[], isPd: boolean): void {
    (isPd ? this.pdSafety : this.safety).onLog(disk.name, ops, disk.log)
  }

  onPdSent(node: string, { regionId, message }: RaftEnvelope, disk: SimDisk): void {
    checkPromise(node, regionId, message, disk.durable)
    this.pdLeases.onSent(node, regionId, message, this.view.nowMs())
    const term = this.pdSafety.onSent(node, regionId, message, disk.log)
    if (term !== undefined) this.pdSafety.checkLeaderCompleteness(node, regionId, message.term, disk.log)
  }

  onStoreSent(host: StoreHost, { regionId, message, from, to, isTombstone }: RaftEnvelope): void {
    if (isTombstone) return
    const { disk, node } = host
    this.#storeOf.set(from.peerId, from.storeId)
    this.#storeOf.set(to.peerId, to.storeId)
    checkPromise(node.name, regionId, message, disk.durable)
    this.leases.onSent(node.name, regionId, message, this.view.nowMs())
    const term = this.safety.onSent(node.name, regionId, message, disk.log)
    if (term !== undefined) this.#newLeaders.push({ host, regionId, message })
    if (message.type === MessageType.Heartbeat) {
      checkHeartbeat({ node: node.name, regionId, durableOf: id => this.#durableOf(regionId, id) }, message, disk.log)
    }
  }

  /** What this peer would have after a crash; undefined: it is lost, or removed, and its store may have another one now. */
  #durableOf(regionId: RegionId, id: number): LogView | undefined {
    const storeId = this.#storeOf.get(id)
    const host = storeId === undefined ? undefined : this.view.hostOf(storeId)
    if (host === undefined) return undefined
    const record = decodeLogRecord(host.disk.durable.state(regionId, LogStateKind.Region))
    return record !== undefined && (record.peerId !== id || record.state === 'tombstone') ? undefined : host.disk.durable
  }

  /** After each event. */
  afterEvent(now: number, disks: readonly SimDisk[]): void {
    if (this.#newLeaders.length > 0) this.#onNewLeaders()
    for (const { syncFailedAt, name } of disks) {
      if (syncFailedAt !== undefined && now > syncFailedAt + 1_000) {
        throw new OracleFailure('a process whose fsync failed ends within a second', file, name)
      }
    }
  }

  #onNewLeaders(): void {
    const leaders = this.#newLeaders
    this.#newLeaders = []
    for (const { host, regionId, message } of leaders) {
      this.safety.checkLeaderCompleteness(host.node.name, regionId, message.term, host.disk.log)
      const info = host.store?.peers(regionId)[0]
      if (info?.term === message.term && info.role === 'leader' && info.peerId === message.from) {
        for (const peer of info.region.peers) this.#storeOf.set(peer.peerId, peer.storeId)
        const view = { node: host.node.name, regionId, conf: confOf(info), durableOf: (id: number) => this.#durableOf(regionId, id) }
        checkElectionQuorum(view, message.from, message.term)
      }
      this.#checkLeases(regionId)
      this.view.onLeader(host)
    }
  }

  #checkLeases(regionId: RegionId): void {
    const claims = this.view.infosOf(regionId).map(({ host, info }): LeaseClaim =>
      ({ node: host.node.name, term: info.term, mayRead: info.leaseValid }))
    this.leases.checkClaims(regionId, this.safety.leaderTerm(regionId), claims)
  }

  /** Now and then: what a store says of its peers, against its log and its engine. */
  look(host: StoreHost): readonly Replica[] {
    const { store, node, disk } = host
    if (store === undefined) return []
    for (const info of store.peers(0)) this.#onInfo(host, info)
    return this.audit.look(node.name, disk.engine)
  }

  #onInfo(host: StoreHost, info: PeerInfo): void {
    const { node, disk } = host
    const { regionId } = info.region
    const { applied, committed, lastIndex, term } = info
    if (!(applied <= committed && committed <= lastIndex)) {
      throw new OracleFailure('applied <= committed <= last', file, `${node.name}: ${applied} ${committed} ${lastIndex}`, [regionId])
    }
    const key = `${node.name}/${info.peerId}`
    const before = this.#seen.get(key)
    const isLeader = info.role === 'leader'
    if (info.leaseValid && term < this.safety.leaderTerm(regionId)) this.#checkLeases(regionId)
    const seen = { life: node.boots, term, isLeader, committed, confVer: info.region.epoch.confVer }
    this.#seen.set(key, seen)
    for (const peer of info.region.peers) this.#storeOf.set(peer.peerId, peer.storeId)
    if (before?.life === seen.life && committed < before.committed) {
      throw new OracleFailure('the commit index never goes back', file, `${node.name}: ${before.committed} ${committed}`, [regionId])
    }
    const isSteady = before !== undefined && before.isLeader && before.life === seen.life && before.term === term
      && before.confVer === seen.confVer
    if (!isLeader || !isSteady || committed === before.committed) return
    const entryTerm = disk.log.term(regionId, committed as never)
    if (entryTerm === undefined) return
    const view = { node: node.name, regionId, conf: confOf(info), durableOf: (id: number) => this.#durableOf(regionId, id) }
    checkCommitQuorum(view, committed, entryTerm, term)
  }
}
