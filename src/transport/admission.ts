import { reservedFor } from './ws-network-door.js'
import type { DoorLimits } from './ws-network-door.js'

/** Who a connection is: before its Hello (and, of a peer, its proof) was understood, a stranger. */
export type Standing = 'stranger' | 'client' | 'peer'

/** Above the share of clients so many may still come, to prove that they are peers, in the time that a Hello has. */
const provingMax = 64

/**
 * Who may connect: so many in all, of which a share is kept for stores and PD, and so many from one address, peers apart.
 * Those who are too many are refused before anything is kept for them.
 */
export class Admission {
  readonly #limits: DoorLimits
  readonly #counts = { stranger: 0, client: 0, peer: 0 }
  /** Strangers and clients, by address. */
  readonly #ofAddress = new Map<string, number>()
  #refused = 0

  constructor(limits: DoorLimits) { this.#limits = limits }

  metrics(): Record<string, number> {
    const { stranger, client, peer } = this.#counts
    return {
      transport_strangers: stranger, transport_clients: client, transport_peers: peer, transport_refused_connections_total: this.#refused,
    }
  }

  /** @returns false: there is no room for it */
  comes(address: string): boolean {
    const { stranger, client, peer } = this.#counts
    const isFull = stranger + client + peer >= this.#limits.connectionsMax
    const mayProve = stranger < provingMax
    if (isFull || (!mayProve && this.#isOver(address, 1))) {
      this.#refused++
      return false
    }
    this.#counts.stranger++
    this.#ofAddress.set(address, (this.#ofAddress.get(address) ?? 0) + 1)
    return true
  }

  /** A stranger has said who it is. @returns false: of its kind there are too many */
  admit(address: string, standing: 'client' | 'peer'): boolean {
    if (standing === 'client' && this.#isOver(address, 0)) {
      this.#refused++
      return false
    }
    this.#counts.stranger--
    this.#counts[standing]++
    if (standing === 'peer') this.#forget(address)
    return true
  }

  goes(address: string, standing: Standing): void {
    this.#counts[standing]--
    if (standing !== 'peer') this.#forget(address)
  }

  #isOver(address: string, more: number): boolean {
    const { connectionsMax, connectionsPerAddressMax } = this.#limits
    const { stranger, client } = this.#counts
    return stranger + client + more > connectionsMax - reservedFor(this.#limits)
      || (this.#ofAddress.get(address) ?? 0) + more > connectionsPerAddressMax
  }

  #forget(address: string): void {
    const left = (this.#ofAddress.get(address) ?? 1) - 1
    if (left > 0) this.#ofAddress.set(address, left)
    else this.#ofAddress.delete(address)
  }
}
