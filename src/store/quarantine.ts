import { compareBytes } from '../common/bytes.js'
import type { ServerError, StorageError } from '../common/errors.js'
import type { PeerId, RegionId } from '../common/ids.js'
import { Cf } from '../engine/api.js'
import type { EngineDamage } from '../engine/api.js'
import { operatorMistake } from './operator-guard.js'
import type { Peer } from './peer.js'
import type { StoreShared } from './shared.js'

interface Case {
  readonly peerId: PeerId
  /** While it led, the others were able to go on without it; believed until then. */
  mayGoUntilMs: number
}

export interface QuarantinePorts {
  readonly handOver: (peer: Peer) => void
  readonly destroy: (peer: Peer, reason: string) => void
  readonly silentMsMax: number
}

/** Between the last look of a leader at its followers and the moment it goes. */
const permitMs = 10_000

/**
 * Replicas with rows in damaged blocks of the engine. Their raft logs are whole: they go on voting, and answer what they can
 * read. A leader gives its leadership away and, when the other replicas can do without it by the rules for removals, is
 * destroyed behind a tombstone, like a peer that was removed: PD finds a down replica and has another built. A follower
 * cannot know how the others are: it stays until it has led. What cannot go without the last copy or the quorum stays.
 */
export class Quarantine {
  readonly #shared: StoreShared
  readonly #ports: QuarantinePorts
  readonly #cases = new Map<RegionId, Case>()
  #files: readonly EngineDamage[] = []
  #failedReads = 0

  constructor(shared: StoreShared, ports: QuarantinePorts) {
    this.#shared = shared
    this.#ports = ports
  }

  metrics(): Readonly<Record<string, number>> {
    return { engine_damaged_files: this.#files.length, store_peers_damaged: this.#cases.size, store_reads_failed_total: this.#failedReads }
  }

  /** @returns what the reader is told */
  readFailed(regionId: RegionId, error: StorageError): ServerError {
    this.#failedReads++
    if (error.code === 'closed') return { kind: 'ServerIsBusy', reason: 'the store stops', backoffMs: 100 }
    this.#shared.env.log('error', 'store.read-failed', { region: regionId, code: error.code, reason: error.message })
    if (error.code === 'corruption') this.#take(this.#shared.peers.get(regionId))
    return { kind: 'ServerIsBusy', reason: `rows of this replica cannot be read (${error.code})`, backoffMs: 500 }
  }

  patrol(nowMs: number): void {
    for (const damage of this.#shared.engine.damages()) this.#found(damage)
    for (const [regionId, one] of this.#cases) this.#treat(regionId, one, nowMs)
    if (this.#files.length > 0) this.#files = this.#files.filter(file => !this.#dropped(file))
  }

  #found(damage: EngineDamage): void {
    const { file, cf, reason } = damage
    this.#shared.env.log('error', 'store.file-damaged', { file, cf, reason })
    this.#files = [...this.#files, damage]
    if (cf !== Cf.Raft) for (const peer of this.#inside(damage)) this.#take(peer)
  }

  #take(peer: Peer | undefined): void {
    if (peer === undefined || peer.isRemoved || this.#cases.has(peer.regionId)) return
    this.#shared.env.log('error', 'peer.damaged', { region: peer.regionId, peer: peer.peerId })
    this.#cases.set(peer.regionId, { peerId: peer.peerId, mayGoUntilMs: 0 })
  }

  #treat(regionId: RegionId, one: Case, nowMs: number): void {
    const peer = this.#shared.peers.get(regionId)
    if (peer?.peerId !== one.peerId || peer.region === undefined) {
      this.#cases.delete(regionId)
      return
    }
    if (!peer.isLeader) {
      if (nowMs < one.mayGoUntilMs && peer.leaderRef !== undefined) this.#ports.destroy(peer, 'its rows are damaged')
      return
    }
    const { region } = peer
    const self = region.peers.find(other => other.peerId === peer.peerId)
    if (self === undefined) return
    const wish = { kind: 'removePeer', regionId, epoch: region.epoch, peer: self } as const
    // Two of two left is the least that can change members again.
    const isEnough = region.peers.filter(other => other.role === 'voter').length > 2
    if (!isEnough || operatorMistake(peer, wish, nowMs, this.#ports.silentMsMax) !== undefined) return
    one.mayGoUntilMs = nowMs + permitMs
    this.#ports.handOver(peer)
  }

  /** A damaged file of which nobody needs a row any more goes, and compactions run again. */
  #dropped(file: EngineDamage): boolean {
    if (file.cf === Cf.Raft || this.#inside(file).length > 0 || this.#shared.leaving.size > 0) return false
    this.#shared.engine.dropFiles(file.cf, file.smallest, file.largest)
    this.#shared.env.log('info', 'store.file-dropped', { file: file.file })
    return true
  }

  #inside({ smallest, largest }: EngineDamage): Peer[] {
    return [...this.#shared.peers.values()].filter(({ region }) => region !== undefined &&
      compareBytes(region.startKey, largest) <= 0 && (region.endKey.length === 0 || compareBytes(region.endKey, smallest) > 0))
  }
}
