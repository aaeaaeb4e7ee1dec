import type { Env } from '../common/env.js'
import type { ServerError } from '../common/errors.js'
import type { RaftLog } from '../engine/api.js'
import type { RaftLinks } from '../transport/api.js'
import type { Member, RaftEnvelope } from '../wire/messages.js'
import { checkPdConfig, defaultPdConfig } from './config.js'
import type { PdConfig, PdMember } from './config.js'
import { ClusterState } from './core/cluster-state.js'
import { decodeProposal, encodeProposal } from './core/commands.js'
import type { PdCommand } from './core/commands.js'
import { Leadership } from './leadership.js'
import type { Proposed } from './leadership.js'
import { PdServer } from './pd-server.js'
import type { PdOrigin } from './pd-server.js'
import { memberRef, RaftGroup } from './raft-group.js'
import type { Machine } from './raft-group.js'
import { pdRegionId } from './raft-storage.js'

export interface PdDependencies {
  readonly env: Env
  readonly name: string
  readonly memberId: number
  /** A log of its own; it holds nothing but PD's group (region 1). Closed by whoever opened it, after stop(). */
  readonly raftLog: RaftLog
  /** How members are reached, this one included: `initial-cluster`, or what who let this one in said. */
  readonly members: readonly PdMember[]
  /** Whom the group began with, the same on each member. Default: all of `members`. */
  readonly founderIds?: readonly number[]
  readonly origin?: PdOrigin
  /** Raft messages to other members; a member id stands where a store id is asked for. */
  readonly peerLinks: RaftLinks
  readonly config?: Partial<PdConfig>
  /** The process must end: a broken invariant or a broken disk. This node has stopped already. */
  readonly onFatal: (error: Error) => void
  /** Planted bugs, for proving the checkers: P42. */
  readonly plants?: ReadonlySet<string>
}

interface Pending {
  readonly done: (result: Proposed) => void
}

/** Milliseconds between two attempts to have our own URLs recorded. */
const announceMs = 1_000

/** @throws Error when the configuration cannot work, StorageError when the log cannot be read */
export function createPdNode(deps: PdDependencies): PdNode { return new PdNode(deps) }

/**
 * One member of PD: the replicated state, the raft group that replicates it, and, while this member leads, a
 * Leadership. Nothing happens before start(). All through Env.
 */
export class PdNode {
  readonly #deps: PdDependencies
  readonly #env: Env
  readonly config: PdConfig
  readonly #group: RaftGroup
  readonly #incarnation: number
  #state = new ClusterState()
  #sequence = 0
  #pending = new Map<number, Pending>()
  #leadership: Leadership | undefined
  #seen = { term: 0, leader: 0 }
  #announcedAtMs = Number.NEGATIVE_INFINITY
  #isStopped = false
  /** Answers to all PD requests: hand `server.handlers` to a listener. */
  readonly server: PdServer

  constructor(deps: PdDependencies) {
    this.#deps = deps
    this.#env = deps.env
    this.config = { ...defaultPdConfig, ...deps.config }
    const mistakes = [...checkPdConfig(this.config)]
    const isNamed = deps.members.some(member => member.memberId === deps.memberId)
    if (!isNamed) mistakes.push('initial-cluster does not name this member')
    if (mistakes.length > 0) throw new Error(`PD configuration: ${mistakes.join('; ')}`)
    this.#incarnation = 1 + deps.env.random.below(2 ** 32)
    this.#group = new RaftGroup({
      env: deps.env, memberId: deps.memberId, founderIds: deps.founderIds ?? deps.members.map(member => member.memberId),
      raftLog: deps.raftLog, links: deps.peerLinks, config: this.config, machine: this.#machine(),
      onChange: () => { this.#onChange() },
      onTick: () => { this.#onTick() },
      onLease: () => { this.#leadership?.onLease() },
      onFatal: error => {
        this.#close()
        deps.onFatal(error)
      },
    })
    this.server = new PdServer(this, deps.origin ?? { name: deps.name, token: 0, tokens: new Map() })
  }

  get env(): Env { return this.#env }
  get state(): ClusterState { return this.#state }
  /** 0n until the first leader has drawn it. */
  get clusterId(): bigint { return this.#state.clusterId }
  /**
   * Defined while this member leads, knows everything that was ever acknowledged, and holds the lease: who is cut off from
   * the others leads nobody, whatever its role says until it steps down.
   */
  get leadership(): Leadership | undefined { return this.hasLease ? this.#leadership : undefined }
  get isLeader(): boolean { return this.leadership !== undefined }
  get hasLease(): boolean { return this.#group.hasLease }
  describe(): ReturnType<RaftGroup['describe']> { return this.#group.describe() }

  start(): void { this.#group.start() }

  onRaft(envelope: RaftEnvelope): void { this.#group.onMessage(envelope) }
  onLinkDown(memberId: number): void { this.#group.onLinkDown(memberId) }

  /** Hands leadership over if there is somebody to take it, at most for timeoutMs; then nothing happens any more. */
  stop(timeoutMs: number, done: () => void): void {
    if (this.#isStopped) {
      this.#env.defer(done)
      return
    }
    const deadlineMs = this.#env.clock.monotonicMs() + timeoutMs
    const finish = (): void => {
      this.#close()
      done()
    }
    if (!this.#group.handOver()) {
      this.#env.defer(finish)
      return
    }
    this.#endLeadership()
    const look = (): void => {
      if (!this.#group.isLeader || this.#env.clock.monotonicMs() >= deadlineMs) finish()
      else this.#env.setTimer(this.config.tickMs / 4, look)
    }
    look()
  }

  #close(): void {
    this.#isStopped = true
    this.#group.stop()
    this.#endLeadership()
    this.#failPending()
  }

  members(): readonly Member[] {
    const { leaderId } = this.#group
    const leader = leaderId === this.#deps.memberId && !this.hasLease ? 0 : leaderId
    return this.#group.memberIds.map(memberId => {
      const configured = this.#deps.members.find(member => member.memberId === memberId)
      const recorded = this.#state.members.get(memberId)
      return {
        name: configured?.name ?? recorded?.name ?? `${memberId}`, memberId,
        clientUrls: configured !== undefined && configured.clientUrls.length > 0 ? configured.clientUrls : recorded?.clientUrls ?? [],
        peerUrls: this.peerUrlsOf(memberId), isLeader: memberId === leader,
      }
    })
  }

  /** Configured ones first: the ports of a playground are others each time. */
  peerUrlsOf(memberId: number): readonly string[] {
    const configured = this.#deps.members.find(member => member.memberId === memberId)
    return configured?.peerUrls ?? this.#state.members.get(memberId)?.peerUrls ?? []
  }

  notLeader(): ServerError {
    const { leaderId } = this.#group
    const isOther = leaderId !== 0 && leaderId !== this.#deps.memberId
    return { kind: 'NotLeader', regionId: pdRegionId, leader: isOther ? memberRef(leaderId) : undefined }
  }

  /**
   * `done` runs once, in a later turn: with the result when the command is applied here, with undefined when
   * that cannot be waited for. Then it may still be applied; every command may be repeated.
   */
  propose(command: PdCommand, done: (result: Proposed) => void): void {
    const sequence = ++this.#sequence
    const bytes = encodeProposal({ incarnation: this.#incarnation, sequence }, command)
    if (this.#isStopped || !this.#group.propose(bytes)) {
      this.#env.defer(() => { done(undefined) })
      return
    }
    this.#pending.set(sequence, { done })
  }

  #machine(): Machine {
    return {
      apply: data => {
        const { id, command } = decodeProposal(data)
        const result = this.#state.apply(command)
        if (id.incarnation !== this.#incarnation) return
        const pending = this.#pending.get(id.sequence)
        if (pending === undefined) return
        this.#pending.delete(id.sequence)
        pending.done(result)
      },
      encode: () => this.#state.encode(),
      restore: data => { this.#state = ClusterState.decode(data) },
    }
  }

  #onChange(): void {
    const { term, leaderId } = this.#group
    if (term !== this.#seen.term || leaderId !== this.#seen.leader) {
      this.#seen = { term, leader: leaderId }
      this.#env.log('info', 'pd.leader', { member: this.#deps.name, leader: leaderId, term })
      this.#failPending()
      this.#announcedAtMs = Number.NEGATIVE_INFINITY
    }
    const isOver = !this.#group.isReadyLeader || this.#leadership?.term !== term
    if (this.#leadership !== undefined && isOver) this.#endLeadership()
    if (this.#leadership === undefined && this.#group.isReadyLeader && !this.#isStopped) this.#beginLeadership()
  }

  #beginLeadership(): void {
    this.#leadership = new Leadership({
      env: this.#env, config: this.config, plants: this.#deps.plants ?? new Set(), state: () => this.#state,
      hasLease: () => this.#group.hasLease, sinceHeardMs: this.#group.sinceHeardMs, notLeader: () => this.notLeader(),
      propose: (command, done) => { this.propose(command, done) },
    }, this.#group.term)
  }

  #endLeadership(): void {
    const ended = this.#leadership
    this.#leadership = undefined
    ended?.end()
  }

  #failPending(): void {
    const failed = this.#pending
    this.#pending = new Map()
    for (const { done } of failed.values()) done(undefined)
  }

  /** As the leader sees it: did it answer within an election time-out? */
  isHeard(memberId: number): boolean { return this.#group.isHeard(memberId) }

  get memberId(): number { return this.#deps.memberId }
  get founderIds(): readonly number[] {
    return this.#deps.founderIds ?? this.#deps.members.map(member => member.memberId)
  }

  #onTick(): void {
    this.#leadership?.onTick()
    if (this.#state.retiredMembers.size > 0) this.#group.reconcile(this.#state.retiredMembers, this.#state.awaitedMembers)
    this.#announce()
  }

  /** Has our URLs recorded, so that every member can tell clients where the leader is. Goes to it by raft. */
  #announce(): void {
    const own = this.#deps.members.find(member => member.memberId === this.#deps.memberId)
    if (own === undefined || own.clientUrls.length === 0 || this.#group.leaderId === 0) return
    const recorded = this.#state.members.get(own.memberId)
    if (recorded !== undefined && recorded.name === own.name && sameUrls(recorded.clientUrls, own.clientUrls)
      && sameUrls(recorded.peerUrls, own.peerUrls)) return
    const nowMs = this.#env.clock.monotonicMs()
    if (nowMs - this.#announcedAtMs < announceMs) return
    this.#announcedAtMs = nowMs
    this.propose({ kind: 'putMember', member: own }, () => {})
  }
}

function sameUrls(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((url, i) => url === right[i])
}
