import type { RequestError, ServerError } from '../common/errors.js'
import { limits } from '../common/limits.js'
import { err, ok } from '../common/result.js'
import type { StoreId } from '../common/ids.js'
import type { RpcHandler, RpcHandlers } from '../transport/api.js'
import type { Operator, RegionRoute, Responses, RouteAnswer, RpcName, StoreMeta } from '../wire/messages.js'
import type { PdCommand } from './core/commands.js'
import type { RegionRecord } from './core/region-record.js'
import { logicalMax } from './core/tso.js'
import type { Leadership } from './leadership.js'
import { Membership } from './membership.js'
import type { PdNode } from './pd-node.js'

/** Ids that one request may take. */
const idsPerRequestMax = 1 << 16
const empty = {}

/** What this member's folder knows of the beginning of the group. */
export interface PdOrigin {
  readonly name: string
  /** 0: a folder that is older than tokens. */
  readonly token: number
  /** By name. */
  readonly tokens: ReadonlyMap<string, number>
}

const invalid = (reason: string): RequestError => ({ kind: 'InvalidArgument', reason })

const nowhere: RouteAnswer = { route: undefined, heardStoreId: 0, heardMsAgo: 0 }

/** A leader that no store confirms any more is told as what was heard last, not as a leader. */
function routeOf(leadership: Leadership, record: RegionRecord | undefined, nowMs: number): RouteAnswer {
  if (record === undefined) return nowhere
  const route = { region: record.region(), leader: leadership.health.leaderOf(record) }
  return { route, heardStoreId: record.leader?.storeId ?? 0, heardMsAgo: Math.max(0, Math.round(nowMs - record.heardAtMs)) }
}

/**
 * PD's side of the RPCs. Only GetMembers and Ping are answered by every member; all others by the leader while
 * it holds its lease, and by the rest with NotLeader (region 1 stands for PD's own group).
 */
export class PdServer {
  readonly #node: PdNode
  readonly #membership: Membership
  readonly handlers: RpcHandlers

  constructor(node: PdNode, origin: PdOrigin) {
    this.#node = node
    this.#membership = new Membership(node, origin, origin.tokens)
    this.handlers = { ...this.#clusterHandlers(), ...this.#storeHandlers(), ...this.#regionHandlers() }
  }

  /** For requests that are answered from what the leader knows. */
  #asLeader<N extends RpcName>(
    handle: (leadership: Leadership, request: Parameters<RpcHandler<N>>[0],
      respond: Parameters<RpcHandler<N>>[1]) => void,
  ): RpcHandler<N> {
    return (request, respond) => {
      const { leadership } = this.#node
      // Without a cluster id nobody could have a claim on any answer yet.
      if (leadership === undefined || !this.#node.hasLease || this.#node.clusterId === 0n) {
        respond(err(this.#node.notLeader()))
      } else {
        handle(leadership, request, respond)
      }
    }
  }

  #propose(command: PdCommand, done: (value: number) => void, fail: (error: ServerError) => void): void {
    this.#node.propose(command, result => {
      if (result === undefined) fail(this.#node.notLeader())
      else if (result.ok) done(result.value)
      else fail(result.error)
    })
  }

  #clusterHandlers(): RpcHandlers {
    return {
      GetMembers: (_request, respond) => {
        respond(ok({ clusterId: this.#node.clusterId, members: this.#node.members() }))
      },
      JoinMember: (request, respond) => { this.#membership.join(request, respond) },
      ReplaceMember: this.#asLeader<'ReplaceMember'>((_leadership, request, respond) => {
        this.#membership.replace(request, respond)
      }),
      Ping: (request, respond) => { respond(ok({ sentAtMs: request.sentAtMs })) },
      IsBootstrapped: this.#asLeader<'IsBootstrapped'>((_leadership, _request, respond) => {
        respond(ok({ bootstrapped: this.#node.state.isBootstrapped }))
      }),
      Bootstrap: this.#asLeader<'Bootstrap'>((_leadership, { store, region }, respond) => {
        this.#propose({ kind: 'bootstrap', store, region }, value => {
          if (value === 1) this.#node.leadership?.bootstrapped(region)
          respond(ok({ bootstrapped: value === 1 }))
        }, error => { respond(err(error)) })
      }),
      AllocId: this.#asLeader<'AllocId'>((leadership, { count }, respond) => {
        const refusal = outside(count, 'idsPerRequestMax', idsPerRequestMax)
        if (refusal !== undefined) respond(err(refusal))
        else leadership.allocIds(count, result => { respond(result.ok ? ok({ first: result.value }) : result) })
      }),
      Tso: this.#asLeader<'Tso'>((leadership, { count }, respond) => {
        const refusal = outside(count, 'tsoCountMax', logicalMax)
        if (refusal !== undefined) {
          respond(err(refusal))
          return
        }
        leadership.tsoBatch(count, result => {
          respond(result.ok ? ok({ ...result.value, count }) : result)
        })
      }),
    }
  }

  #storeHandlers(): RpcHandlers {
    return {
      PutStore: this.#asLeader<'PutStore'>((leadership, { store, force, incarnation, previous }, respond) => {
        const isBurial = store.state === 'tombstone' && !force && this.#node.state.stores.get(store.storeId)?.state === 'offline'
        const refusal = isBurial ? leadership.burialRefusal(store.storeId) : undefined
        if (refusal !== undefined) {
          respond(err(refusal))
          return
        }
        // By force: an operator takes an offline store back. Without: the store says that it is there.
        const command: PdCommand = store.state === 'up' && force
          ? { kind: 'setStoreState', storeId: store.storeId, state: 'up' }
          : incarnation !== 0 && store.state === 'up' ? { kind: 'registerStore', store, incarnation, previous }
            : { kind: 'putStore', store }
        this.#propose(command, () => { respond(ok(empty)) }, error => { respond(err(error)) })
      }),
      GetStores: this.#asLeader<'GetStores'>((_leadership, _request, respond) => {
        respond(ok({ stores: [...this.#node.state.stores.values()] }))
      }),
      StoreHeartbeat: this.#asLeader<'StoreHeartbeat'>((leadership, { stats, incarnation }, respond) => {
        const refusal = leadership.storeHeartbeat(stats, incarnation)
        respond(refusal === undefined ? ok(this.#storeAnswer(leadership)) : err(refusal))
      }),
    }
  }

  #regionHandlers(): RpcHandlers {
    const { config } = this.#node
    return {
      RegionHeartbeat: this.#asLeader<'RegionHeartbeat'>((leadership, { beats }, respond) => {
        respond(ok({ operators: leadership.regionHeartbeat(beats) }))
      }),
      AskSplit: this.#asLeader<'AskSplit'>((leadership, { region, count }, respond) => {
        const refusal = outside(count, 'splitCountMax', config.splitCountMax)
          ?? (region.peers.length === 0 ? invalid('a region without peers cannot be split') : undefined)
        if (refusal !== undefined) respond(err(refusal))
        else leadership.askSplit(region, count, result => { respond(result.ok ? ok({ ids: result.value }) : result) })
      }),
      ReportSplit: this.#asLeader<'ReportSplit'>((leadership, { regions }, respond) => {
        leadership.reportSplit(regions)
        respond(ok(empty))
      }),
      GetRegion: this.#asLeader<'GetRegion'>((leadership, { key }, respond) => {
        respond(ok(routeOf(leadership, leadership.tree.byKey(key), this.#nowMs)))
      }),
      GetPreviousRegion: this.#asLeader<'GetPreviousRegion'>((leadership, { key }, respond) => {
        respond(ok(routeOf(leadership, leadership.tree.previous(key), this.#nowMs)))
      }),
      GetRegionById: this.#asLeader<'GetRegionById'>((leadership, { regionId }, respond) => {
        respond(ok(routeOf(leadership, leadership.tree.byId(regionId), this.#nowMs)))
      }),
      ScanRegions: this.#asLeader<'ScanRegions'>((leadership, { start, end, limit }, respond) => {
        const wanted = limit > 0 ? Math.min(limit, config.scanRegionsMax) : config.scanRegionsMax
        const routes: RegionRoute[] = []
        const heardStoreIds: StoreId[] = []
        const heardMsAgo: number[] = []
        const nowMs = this.#nowMs
        let bytes = 0
        for (const record of leadership.tree.scan(start, end, wanted)) {
          bytes += record.start.length + record.end.length + 64 * record.peerCount
          if (bytes > limits.responseBytesMax && routes.length > 0) break
          const { route, heardStoreId, heardMsAgo: msAgo } = routeOf(leadership, record, nowMs)
          routes.push(route!)
          heardStoreIds.push(heardStoreId as StoreId)
          heardMsAgo.push(msAgo)
        }
        respond(ok({ routes, heardStoreIds, heardMsAgo }))
      }),
      AddOperator: this.#asLeader<'AddOperator'>((leadership, { operator }, respond) => {
        leadership.addOperator(operator, result => { respond(result.ok ? ok(empty) : result) })
      }),
      GetHealth: this.#asLeader<'GetHealth'>((leadership, _request, respond) => { respond(ok(leadership.health.describe())) }),
    }
  }

  get #nowMs(): number { return this.#node.env.clock.monotonicMs() }

  #storeAnswer({ liveness }: Leadership): Responses['StoreHeartbeat'] {
    const { full, low } = liveness.shortOfSpace()
    return { stores: this.liveStores(), fullStoreIds: full, lowStoreIds: low }
  }

  /** All but tombstones. */
  liveStores(): readonly StoreMeta[] {
    return [...this.#node.state.stores.values()].filter(store => store.state !== 'tombstone')
  }

  /** The operator's wish: up ⇄ offline → tombstone. @param done gets undefined when it is so now */
  setStoreState(storeId: StoreId, state: StoreMeta['state'], done: (error: ServerError | undefined) => void): void {
    if (!this.#node.isLeader) {
      this.#node.env.defer(() => { done(this.#node.notLeader()) })
      return
    }
    this.#propose({ kind: 'setStoreState', storeId, state }, () => { done(undefined) }, done)
  }

  /** The same as the AddOperator RPC, for the HTTP face. */
  addOperator(operator: Operator, done: (error: ServerError | undefined) => void): void {
    const { leadership } = this.#node
    if (leadership === undefined) this.#node.env.defer(() => { done(this.#node.notLeader()) })
    else leadership.addOperator(operator, result => { done(result.ok ? undefined : result.error) })
  }
}

function outside(count: number, limit: string, max: number): RequestError | undefined {
  if (!Number.isSafeInteger(count) || count < 1) return invalid(`count must be a whole number from 1 on, not ${count}`)
  return count > max ? { kind: 'LimitExceeded', limit, actual: count, max } : undefined
}
