import type { RaftEnvelope, RequestContext, RpcName, RpcResult, Requests } from '../wire/messages.js'
import type { StoreId } from '../common/ids.js'

/** Why a call has no answer. `sent: false` — certainly never reached the server; true — it may have been carried out. */
export type CallFailure = {
  readonly kind: 'ConnectionLost' | 'Timeout' | 'Aborted' | 'QueueFull' | 'Refused' | 'Closed'
  readonly sent: boolean
  readonly reason: string
}
export type CallResult<N extends RpcName> =
  | { readonly answered: true; readonly result: RpcResult<N> }
  | { readonly answered: false; readonly failure: CallFailure }

export interface CallOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Calls to one address over a lazily dialled, self-reconnecting connection (back-off with jitter). */
export interface RpcChannel {
  readonly address: string
  readonly isConnected: boolean
  /** Never rejects. Calls of one turn leave as one message. */
  call<N extends RpcName>(name: N, request: Requests[N], options: CallOptions): Promise<CallResult<N>>
  /** The same without a promise: for hot paths and pure loops. `done` runs exactly once, in a later turn or in an onMessage. */
  send<N extends RpcName>(name: N, request: Requests[N], options: CallOptions, done: (result: CallResult<N>) => void): void
  close(): void
}

export interface RpcHandlerContext {
  readonly remote: string
  readonly role: 'client' | 'store' | 'pd'
  readonly nodeId: number
  /** Monotonic ms of arrival. */
  readonly arrivedAtMs: number
}

/** Answers exactly once, now or later; responses of one turn leave as one message. */
export type RpcHandler<N extends RpcName> =
  (request: Requests[N], respond: (result: RpcResult<N>) => void, context: RpcHandlerContext) => void

export type RpcHandlers = { readonly [N in RpcName]?: RpcHandler<N> }

/** Raft between stores: fire and forget, ordered per target while its connection lives, dropped when it does not. */
export interface RaftLinks {
  /** Queued until flush(). @returns false when the target's queue is over its limit; the message was dropped. */
  send(to: StoreId, envelope: RaftEnvelope): boolean
  /** End of a turn: one frame per target with everything queued for it. */
  flush(): void
}

export type { RequestContext }
