import { assert } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { Connection, ConnectionHandler, Env, LogFields, Timer } from '../common/env.js'
import { err, ok } from '../common/result.js'
import {
  FrameDecoder, encodeErrorOfKind, encodeHello, encodeProtocolError, encodeResponse, rpcNameOf,
} from '../wire/codec.js'
import { FrameReader, describeFrameError } from '../wire/frame.js'
import type { FrameError } from '../wire/frame.js'
import { FrameWriter } from '../wire/frame-writer.js'
import { FrameKind, responseBit } from '../wire/messages.js'
import type { Hello, RaftEnvelope, Requests, RpcName, RpcResult } from '../wire/messages.js'
import { raftTypesOf } from '../wire/raft-rules.js'
import { accessRefusal } from './access.js'
import type { RpcHandler, RpcHandlerContext, RpcHandlers } from './api.js'
import type { Counters } from './counters.js'
import { helloMismatch } from './handshake.js'
import { transportLimits } from './limits.js'

export interface ServerParts {
  readonly env: Env
  readonly hello: () => Hello
  readonly handlers: RpcHandlers
  readonly onRaft: ((envelope: RaftEnvelope) => void) | undefined
  readonly counters: Counters
  readonly warn: (event: string, fields: LogFields) => void
  /** Something was written; flush() is due at the end of the turn. */
  readonly onDirty: (connection: ServerConnection) => void
  readonly onClosed: (connection: ServerConnection) => void
}

export const damageCounter = (kind: FrameError['kind']): string => `transport_damaged_frames_total{kind="${kind}"}`

/** Frame kinds from here to the response bit are requests; below are control frames. */
const requestKindMin = 16
const busyBackoffMs = 100
/** Ids of requests that were cancelled before they were answered. More are forgotten: then answers go out unneeded. */
const cancelledMax = 4_096

/** One accepted connection: Hello first, then requests and raft in, answers of a turn out as one message. */
// hot path: bench/micro/transport.ts
export class ServerConnection implements ConnectionHandler {
  readonly #parts: ServerParts
  readonly #connection: Connection
  readonly #reader = new FrameReader()
  readonly #decoder = new FrameDecoder()
  readonly #writer = new FrameWriter()
  readonly #cancelled = new Set<number>()
  #peer: Hello | undefined
  #context: RpcHandlerContext | undefined
  #helloTimer: Timer | undefined
  #inFlight = 0
  #isBusy = false
  #isDirty = false
  #isClosed = false

  constructor(parts: ServerParts, connection: Connection) {
    this.#parts = parts
    this.#connection = connection
    this.#helloTimer = parts.env.setTimer(transportLimits.handshakeMsMax, () => this.#protocolError('no Hello in time'))
  }

  get inFlight(): number { return this.#inFlight }

  bufferedBytes(): number { return this.#isClosed ? 0 : this.#connection.bufferedBytes() }

  onMessage(bytes: Uint8Array): void {
    const { counters } = this.#parts
    counters.add('transport_received_bytes_total', bytes.length)
    const reader = this.#reader
    reader.reset(copyBytes(bytes))
    this.#context = undefined
    this.#isBusy = this.#connection.bufferedBytes() > transportLimits.unreadBytesBusy
    for (;;) {
      // Whatever a frame led to may have closed us.
      if (this.#isClosed) return
      const next = reader.next()
      if (next === 'end') return
      const error = next === 'damaged' ? reader.error : this.#onFrame(reader)
      if (error === undefined) continue
      counters.add(damageCounter(error.kind))
      return this.#protocolError(describeFrameError(error))
    }
  }

  onClose(_reason: string): void { this.#end() }

  close(reason: string): void {
    if (this.#isClosed) return
    this.#connection.close(reason)
    this.#end()
  }

  /** Everything that was answered this turn leaves as one message. */
  flush(): void {
    this.#isDirty = false
    const writer = this.#writer
    if (this.#isClosed || writer.length === 0) return
    const bytes = writer.view()
    this.#parts.counters.add('transport_sent_bytes_total', bytes.length)
    this.#connection.send(bytes)
    writer.reset()
    if (this.#connection.bufferedBytes() > transportLimits.unreadBytesMax) this.#dropSlow()
  }

  #onFrame(frame: FrameReader): FrameError | undefined {
    const { kind } = frame
    if (this.#peer === undefined) return this.#onHello(frame)
    if (kind >= requestKindMin && kind < responseBit) return this.#onRequest(frame)
    switch (kind) {
      case FrameKind.Raft: return this.#onRaft(frame)
      case FrameKind.Cancel: return this.#onCancel(frame)
      case FrameKind.ProtocolError: return this.#onProtocolError(frame)
    }
    return { kind: 'UnknownKind', frameKind: kind }
  }

  #onHello(frame: FrameReader): FrameError | undefined {
    if (frame.kind === FrameKind.ProtocolError) return this.#onProtocolError(frame)
    if (frame.kind !== FrameKind.Hello) return { kind: 'UnknownKind', frameKind: frame.kind }
    const hello = this.#decoder.decodeHello(frame)
    if (!hello.ok) return hello.error
    const ours = this.#parts.hello()
    const mismatch = helloMismatch(ours, hello.value)
    if (mismatch !== undefined) {
      this.#parts.counters.add('transport_hello_mismatches_total')
      this.#protocolError(mismatch)
      return undefined
    }
    this.#helloTimer?.cancel()
    this.#peer = hello.value
    encodeHello(ours, this.#writer)
    this.#markDirty()
    return undefined
  }

  #onRequest(frame: FrameReader): FrameError | undefined {
    const { counters } = this.#parts
    counters.add('transport_requests_total')
    const name = rpcNameOf(frame.kind)
    if (name === undefined) {
      this.#ensureRoom()
      encodeErrorOfKind(frame.kind, frame.requestId, { kind: 'Unimplemented', what: `frame kind ${frame.kind}` }, this.#writer)
      this.#markDirty()
      return undefined
    }
    const read = this.#decoder.decodeRequest(frame)
    if (!read.ok) return read.error
    this.#inFlight++
    if (this.#isBusy || this.#inFlight > transportLimits.requestsInFlightMax) {
      counters.add('transport_busy_answers_total')
      const reason = this.#isBusy ? 'answers are not read' : 'too many requests in flight'
      this.#answer(name, frame.requestId, err({ kind: 'ServerIsBusy', reason, backoffMs: busyBackoffMs }))
      return undefined
    }
    const refusal = accessRefusal(name, read.value.request, this.#peer!)
    if (refusal === undefined) this.#dispatch(name, frame.requestId, read.value.request)
    else {
      counters.add('transport_denied_requests_total')
      this.#answer(name, frame.requestId, err(refusal))
    }
    return undefined
  }

  #dispatch(name: RpcName, id: number, request: Requests[RpcName]): void {
    const handler = this.#parts.handlers[name] as RpcHandler<RpcName> | undefined
    if (handler !== undefined) {
      // What a handler throws is a broken invariant: nobody catches it here, the process ends.
      handler(request, this.#responder(name, id), this.#contextNow())
      return
    }
    if (name === 'Ping') this.#answer(name, id, ok(request as Requests['Ping']))
    else this.#answer(name, id, err({ kind: 'Unimplemented', what: name }))
  }

  #responder(name: RpcName, id: number): (result: RpcResult<RpcName>) => void {
    let isAnswered = false
    return result => {
      assert(!isAnswered, () => `${name} was answered twice`)
      isAnswered = true
      this.#answer(name, id, result)
    }
  }

  /** One for all requests of a message. */
  #contextNow(): RpcHandlerContext {
    return this.#context ??= {
      remote: this.#connection.remote, role: this.#peer!.role, nodeId: this.#peer!.nodeId,
      arrivedAtMs: this.#parts.env.clock.monotonicMs(),
    }
  }

  #answer(name: RpcName, id: number, result: RpcResult<RpcName>): void {
    this.#inFlight--
    if (this.#isClosed) return
    if (this.#cancelled.size > 0 && this.#isCancelled(id)) return
    this.#ensureRoom()
    const excess = encodeResponse(name, id, result, this.#writer)
    if (excess !== undefined) encodeResponse(name, id, err(excess), this.#writer)
    this.#markDirty()
  }

  #isCancelled(id: number): boolean {
    const isCancelled = this.#cancelled.delete(id)
    // Ids that were answered before their Cancel came are left over.
    if (this.#inFlight === 0) this.#cancelled.clear()
    return isCancelled
  }

  #onCancel(frame: FrameReader): FrameError | undefined {
    const read = this.#decoder.decodeCancel(frame)
    if (!read.ok) return read.error
    if (this.#inFlight === 0 || this.#cancelled.size >= cancelledMax) return undefined
    this.#parts.counters.add('transport_cancelled_requests_total')
    this.#cancelled.add(frame.requestId)
    return undefined
  }

  #onRaft(frame: FrameReader): FrameError | undefined {
    const { onRaft, counters } = this.#parts
    const { role, nodeId } = this.#peer!
    // Stores speak raft with stores, and members of PD with members.
    if (onRaft === undefined || role === 'client' || role !== this.#parts.hello().role || nodeId === 0) {
      return { kind: 'UnknownKind', frameKind: frame.kind }
    }
    const envelopes = this.#decoder.decodeRaft(frame)
    if (!envelopes.ok) return envelopes.error
    const mayCome = raftTypesOf[role]
    for (const { from, message } of envelopes.value) {
      if (from.storeId !== nodeId) return { kind: 'BadBody', path: `RaftBatch: of node ${from.storeId}, from node ${nodeId}` }
      if (!mayCome.has(message.type)) return { kind: 'BadBody', path: `RaftBatch: message type ${message.type}` }
    }
    counters.add('transport_raft_envelopes_received_total', envelopes.value.length)
    for (const envelope of envelopes.value) onRaft(envelope)
    return undefined
  }

  #onProtocolError(frame: FrameReader): FrameError | undefined {
    const said = this.#decoder.decodeProtocolError(frame)
    if (!said.ok) return said.error
    this.#parts.warn('transport.refused', { remote: this.#connection.remote, reason: said.value.reason })
    this.close('refused by the other side')
    return undefined
  }

  #protocolError(reason: string): void {
    if (this.#isClosed) return
    this.#parts.warn('transport.damaged', { remote: this.#connection.remote, reason })
    this.flush()
    const w = new FrameWriter()
    encodeProtocolError(reason, w)
    this.#connection.send(w.view())
    this.close(reason)
  }

  #dropSlow(): void {
    this.#parts.counters.add('transport_slow_clients_total')
    this.#parts.warn('transport.slow-client', {
      remote: this.#connection.remote, unreadBytes: this.#connection.bufferedBytes(),
    })
    this.close('answers are not read')
  }

  #ensureRoom(): void {
    if (this.#writer.length >= transportLimits.messageBytesSoft) this.flush()
  }

  #markDirty(): void {
    if (this.#isDirty) return
    this.#isDirty = true
    this.#parts.onDirty(this)
  }

  #end(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#helloTimer?.cancel()
    this.#parts.onClosed(this)
  }
}
