import { assert } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { Connection, ConnectionHandler, Timer } from '../common/env.js'
import { err, ok } from '../common/result.js'
import {
  FrameDecoder, encodeErrorOfKind, encodeHello, encodeProtocolError, encodeResponse, rpcNameOf,
} from '../wire/codec.js'
import { FrameReader, describeFrameError, frameHeaderBytes } from '../wire/frame.js'
import type { FrameError } from '../wire/frame.js'
import { FrameWriter } from '../wire/frame-writer.js'
import { FrameKind, responseBit } from '../wire/messages.js'
import type { Hello, Requests, RpcName, RpcResult } from '../wire/messages.js'
import { raftTypesOf } from '../wire/raft-rules.js'
import { accessRefusal } from './access.js'
import { busyBackoffMs, reservedBytes, withoutValues } from './answer-room.js'
import type { RpcHandler, RpcHandlerContext } from './api.js'
import { AcceptorHandshake } from './handshake.js'
import type { Refusal } from './handshake.js'
import { Inbox } from './inbox.js'
import { transportLimits } from './limits.js'
import { damageCounter } from './server-parts.js'
import type { ServerParts } from './server-parts.js'
import { frameUnits, unitsOfBytes } from './turns.js'
import type { TurnTaker } from './turns.js'
import { WaitingReads } from './waiting-reads.js'

/** Frame kinds from here to the response bit are requests; below are control frames. */
const requestKindMin = 16
/** Ids of requests that were cancelled before they were answered. More are forgotten: then answers go out unneeded. */
const cancelledMax = 4_096
/** The clock is asked after so many frames, or so many units, of a turn. */
const framesPerLook = 8
const unitsPerLook = 64

/**
 * One accepted connection: Hello first, then requests and raft in, answers of a turn out as one message. Turns decide when
 * what has arrived is served, and how much of it at a time.
 */
// hot path: bench/micro/transport.ts
export class ServerConnection implements ConnectionHandler, TurnTaker {
  readonly #parts: ServerParts<ServerConnection>
  readonly #connection: Connection
  readonly #reader = new FrameReader()
  readonly #decoder = new FrameDecoder()
  readonly #writer = new FrameWriter()
  readonly #cancelled = new Set<number>()
  readonly #inbox: Inbox
  readonly #large = new WaitingReads()
  deficit = 0
  /** Of the turn at hand, in units. */
  #cost = 0
  /** Kept free for answers that are under way, and what the other side has not read; both are in the room's account. */
  #reservedBytes = 0
  #unreadBytes = 0
  #sentBytes = 0
  #readBytes = 0
  #stalledBeats = 0
  readonly #handshake: AcceptorHandshake
  #isPaused = false
  #context: RpcHandlerContext | undefined
  #helloTimer: Timer | undefined
  #inFlight = 0
  #isDirty = false
  #isClosed = false

  constructor(parts: ServerParts<ServerConnection>, connection: Connection) {
    this.#parts = parts
    this.#connection = connection
    this.#inbox = new Inbox(parts.held, this.#reader)
    this.#handshake = new AcceptorHandshake(parts.env.random, parts.hello, parts.secret)
    this.#helloTimer = parts.env.setTimer(transportLimits.handshakeMsMax, () => this.#protocolError('no Hello in time'))
  }

  get inFlight(): number { return this.#inFlight }
  get waitingReads(): number { return this.#large.size }
  get #peer(): Hello | undefined { return this.#handshake.peer }
  /** Proven: what it claims counts for nothing before. */
  get isPeer(): boolean { return this.#peer !== undefined && this.#peer.role !== 'client' }
  get hasMore(): boolean { return !this.#inbox.isEmpty && !this.#isHeld }
  /** Not even refusals are made for one that reads none of them. */
  get #isHeld(): boolean { return this.#unreadBytes > transportLimits.unreadBytesHeld && !this.isPeer }

  bufferedBytes(): number { return this.#isClosed ? 0 : this.#connection.bufferedBytes() }

  onMessage(bytes: Uint8Array): void {
    const { counters, turns, env, held } = this.#parts
    counters.add('transport_received_bytes_total', bytes.length)
    const stranger = this.#handshake.recheck()
    if (stranger !== undefined) return this.#refuse({ reason: stranger, isForged: false })
    const isGreeting = this.#peer === undefined
    if (isGreeting && this.#inbox.bytes + bytes.length > transportLimits.helloBytesMax) {
      return this.#protocolError(`${bytes.length} bytes before Hello; ${transportLimits.helloBytesMax} are allowed`)
    }
    this.#inbox.push(copyBytes(bytes), env.clock.monotonicMs())
    // One frame: who speaks is found out at once, whatever waits.
    if (isGreeting) this.serve(0)
    if (this.#isClosed) return
    turns.arrived(this)
    const waiting = this.#inbox.bytes
    if (waiting === 0 || this.#isClosed) return
    if (waiting > transportLimits.inboxPauseBytes && !this.isPeer) this.#pause(true)
    if (waiting > transportLimits.inboxBytesMax
      || (held.inboxBytes > transportLimits.inboxBytesOfAllMax && waiting > transportLimits.messageBytesSoft)) {
      counters.add('transport_overrun_connections_total')
      this.#protocolError(`${waiting} bytes of requests wait: more comes than can be served`)
    }
  }

  serve(limit: number): number {
    const { clock } = this.#parts.env
    const isPeer = limit === Infinity
    const startMs = isPeer ? 0 : clock.monotonicMs()
    let lookedAt = 0
    this.#cost = 0
    for (let frames = 1; !this.#isClosed && !this.#isHeld; frames++) {
      const next = this.#reader.next()
      if (next === 'end') {
        this.#context = undefined
        if (!this.#inbox.advance()) break
        continue
      }
      const error = next === 'damaged' ? this.#reader.error : this.#onFrame(this.#reader)
      if (error !== undefined) {
        this.#onDamage(error)
        break
      }
      this.#cost += frameUnits
      if (this.#cost >= limit) break
      if (isPeer || (frames % framesPerLook !== 0 && this.#cost - lookedAt < unitsPerLook)) continue
      lookedAt = this.#cost
      if ((clock.monotonicMs() - startMs) * 1_000 >= limit) break
    }
    // What ended with the limit is let go of, too.
    if (!this.#isClosed && this.#inbox.isEmpty) this.#inbox.advance()
    if (this.#inbox.isEmpty) this.#context = undefined
    if (this.#isPaused && this.#inbox.bytes < transportLimits.inboxPauseBytes / 2) this.#pause(false)
    return isPeer ? 0 : Math.max(this.#cost, (clock.monotonicMs() - startMs) * 1_000)
  }

  #pause(isPaused: boolean): void {
    if (this.#isPaused === isPaused || this.#connection.pause === undefined) return
    this.#isPaused = isPaused
    this.#connection.pause(isPaused)
    // Nothing is heard of one that is not read from, not even its end.
    if (isPaused) this.#parts.watch()
  }

  beginLarge(): 'begun' | 'noRoom' | 'none' {
    const read = this.#large.first()
    if (read === undefined || this.#isClosed) return 'none'
    if (!this.#takeRoom(read.reserveBytes)) return 'noRoom'
    this.#large.delete(read.id)
    this.#inFlight++
    this.#parts.held.requestBytes += read.frame.length
    // Not the inbox's reader, which may be in the middle of a message.
    const reader = new FrameReader()
    reader.reset(read.frame)
    reader.next()
    const decoded = this.#decoder.decodeRequest(reader)
    assert(decoded.ok, 'it was decoded before')
    if (decoded.ok) {
      this.#dispatch(read.name, read.id, decoded.value.request, read.frame.length, read.reserveBytes, this.#contextAt(read.arrivedAtMs))
    }
    return 'begun'
  }

  onDrain(): void {
    if (this.#isClosed) return
    this.#accountUnread()
    this.#parts.turns.roomFreed()
    if (this.hasMore) this.#parts.turns.arrived(this)
  }

  get isPaused(): boolean { return this.#isPaused }

  /**
   * Once a second while large reads wait for room, or a connection is paused. Ends one that reads nothing.
   * @param areOthersWaiting for what it holds
   */
  beat(areOthersWaiting: boolean): void {
    if (this.#isClosed) return
    this.#accountUnread()
    const readBytes = this.#sentBytes - this.#unreadBytes
    this.#stalledBeats = this.#unreadBytes > 0 && readBytes === this.#readBytes ? this.#stalledBeats + 1 : 0
    this.#readBytes = readBytes
    const stalledMs = this.#stalledBeats * transportLimits.beatMs
    if (areOthersWaiting && stalledMs >= transportLimits.stalledMsMax) this.#dropSlow('answers are not read, and others wait')
    else if (this.#isPaused && stalledMs >= transportLimits.pausedMsMax) this.#dropSlow('answers are not read')
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
    this.#sentBytes += bytes.length
    this.#connection.send(bytes)
    writer.reset()
    this.#accountUnread()
    if (this.#unreadBytes > transportLimits.unreadBytesMax) this.#dropSlow('answers are not read')
  }

  #onFrame(frame: FrameReader): FrameError | undefined {
    const { kind } = frame
    if (this.#peer === undefined) return this.#onStranger(frame)
    if (kind >= requestKindMin && kind < responseBit) return this.#onRequest(frame)
    switch (kind) {
      case FrameKind.Raft: return this.#onRaft(frame)
      case FrameKind.Cancel: return this.#onCancel(frame)
      case FrameKind.ProtocolError: return this.#onProtocolError(frame)
    }
    return { kind: 'UnknownKind', frameKind: kind }
  }

  /** Before it is known who speaks. */
  #onStranger(frame: FrameReader): FrameError | undefined {
    const { awaits } = this.#handshake
    if (frame.kind === FrameKind.ProtocolError) return this.#onProtocolError(frame)
    if (frame.kind === FrameKind.Hello && awaits === 'hello') return this.#onHello(frame)
    if (frame.kind !== FrameKind.Proof || awaits !== 'proof') return { kind: 'UnknownKind', frameKind: frame.kind }
    const proof = this.#decoder.decodeProof(frame)
    if (!proof.ok) return proof.error
    const refusal = this.#handshake.onProof(proof.value.proof)
    if (refusal !== undefined) this.#refuse(refusal)
    else this.#admitted()
    return undefined
  }

  #onHello(frame: FrameReader): FrameError | undefined {
    const hello = this.#decoder.decodeHello(frame)
    if (!hello.ok) return hello.error
    const outcome = this.#handshake.onHello(hello.value)
    if ('reason' in outcome) {
      this.#refuse(outcome)
      return undefined
    }
    encodeHello(outcome.answer, this.#writer)
    this.#markDirty()
    if (this.#peer !== undefined) this.#admitted()
    return undefined
  }

  #admitted(): void {
    this.#helloTimer?.cancel()
    this.#connection.admit?.(this.isPeer)
  }

  #refuse({ reason, isForged }: Refusal): void {
    this.#parts.counters.add(isForged ? 'transport_forged_proofs_total' : 'transport_hello_mismatches_total')
    this.#protocolError(reason)
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
    const { request } = read.value
    const frameBytes = frame.bodyEnd - frame.bodyStart + frameHeaderBytes
    this.#cost += unitsOfBytes(frameBytes)
    this.#inFlight++
    this.#parts.held.requestBytes += frameBytes
    const busy = this.#busyReason()
    if (busy !== undefined) {
      this.#answerBusy(name, frame.requestId, frameBytes, busy)
      return undefined
    }
    const refusal = accessRefusal(name, request, this.#peer!)
    if (refusal !== undefined) {
      counters.add('transport_denied_requests_total')
      this.#answer(name, frame.requestId, err(refusal), frameBytes, 0)
      return undefined
    }
    const reserveBytes = this.isPeer ? 0 : reservedBytes(name, request)
    if (reserveBytes > 0 && !(this.#large.size === 0 && this.#parts.turns.mayBeginLarge && this.#takeRoom(reserveBytes))) {
      this.#wait(name, frame, frameBytes, reserveBytes)
      return undefined
    }
    this.#dispatch(name, frame.requestId, request, frameBytes, reserveBytes, this.#context ??= this.#contextAt(this.#inbox.arrivedAtMs))
    return undefined
  }

  /** Asked before each request is begun. */
  #busyReason(): string | undefined {
    const { room, held } = this.#parts
    if (this.#inFlight + this.#large.size > transportLimits.requestsInFlightMax) return 'too many requests in flight'
    const unreadBytes = this.#unreadBytes + this.#writer.length
    if (unreadBytes > transportLimits.unreadBytesBusy) return 'answers are not read'
    if (unreadBytes > transportLimits.unreadBytesBusyWhenFull && room.isFull) return 'answers are not read, and others wait'
    if (held.requestBytes > transportLimits.requestBytesMax) return 'too many bytes of requests in flight'
    return undefined
  }

  #answerBusy(name: RpcName, id: number, frameBytes: number, reason: string): void {
    this.#parts.counters.add('transport_busy_answers_total')
    this.#answer(name, id, err({ kind: 'ServerIsBusy', reason, backoffMs: busyBackoffMs }), frameBytes, 0)
  }

  /** A large read stands aside; what came behind it goes on. */
  #wait(name: RpcName, frame: FrameReader, frameBytes: number, reserveBytes: number): void {
    const copy = copyBytes(frame.bytes.subarray(frame.bodyStart - frameHeaderBytes, frame.bodyEnd))
    const isTaken = this.#large.push({
      name, id: frame.requestId, frame: copy, reserveBytes, arrivedAtMs: this.#inbox.arrivedAtMs,
    })
    if (!isTaken) return this.#answerBusy(name, frame.requestId, frameBytes, 'too many large reads wait')
    this.#inFlight--
    this.#parts.held.requestBytes -= frameBytes
    this.#parts.turns.addLarge(this)
  }

  #takeRoom(reserveBytes: number): boolean {
    const { room } = this.#parts
    if (!room.tryTake(this.#reservedBytes + this.#unreadBytes, reserveBytes)) return false
    this.#reservedBytes += reserveBytes
    return true
  }

  #dispatch(
    name: RpcName, id: number, request: Requests[RpcName], frameBytes: number, reserveBytes: number, context: RpcHandlerContext,
  ): void {
    const handler = this.#parts.handlers[name] as RpcHandler<RpcName> | undefined
    if (handler !== undefined) {
      // What a handler throws is a broken invariant: nobody catches it here, the process ends.
      handler(request, this.#responder(name, id, frameBytes, reserveBytes), context)
      return
    }
    if (name === 'Ping') this.#answer(name, id, ok(request as Requests['Ping']), frameBytes, reserveBytes)
    else this.#answer(name, id, err({ kind: 'Unimplemented', what: name }), frameBytes, reserveBytes)
  }

  #responder(name: RpcName, id: number, frameBytes: number, reserveBytes: number): (result: RpcResult<RpcName>) => void {
    let isAnswered = false
    return result => {
      assert(!isAnswered, () => `${name} was answered twice`)
      isAnswered = true
      this.#answer(name, id, result, frameBytes, reserveBytes)
    }
  }

  /** One for all requests of a message. */
  #contextAt(arrivedAtMs: number): RpcHandlerContext {
    return { remote: this.#connection.remote, role: this.#peer!.role, nodeId: this.#peer!.nodeId, arrivedAtMs }
  }

  #answer(name: RpcName, id: number, result: RpcResult<RpcName>, frameBytes: number, reserveBytes: number): void {
    this.#inFlight--
    this.#parts.held.requestBytes -= frameBytes
    if (this.#isClosed) return
    if (this.#cancelled.size === 0 || !this.#isCancelled(id)) {
      const isOver = !this.isPeer && this.#unreadBytes > 2 * transportLimits.unreadBytesBusy
      this.#write(name, id, isOver ? withoutValues(name, result) : result)
    }
    if (reserveBytes > 0) this.#giveBack(reserveBytes)
  }

  #write(name: RpcName, id: number, result: RpcResult<RpcName>): void {
    this.#ensureRoom()
    const before = this.#writer.length
    const excess = encodeResponse(name, id, result, this.#writer)
    if (excess !== undefined) encodeResponse(name, id, err(excess), this.#writer)
    this.#cost += unitsOfBytes(this.#writer.length - before)
    this.#markDirty()
  }

  /** The answer has left, or is a small one. */
  #giveBack(reserveBytes: number): void {
    this.#ensureRoom()
    this.#reservedBytes -= reserveBytes
    this.#parts.room.change(-reserveBytes)
    this.#parts.turns.roomFreed()
  }

  #accountUnread(): void {
    const unreadBytes = this.#connection.bufferedBytes()
    if (unreadBytes === this.#unreadBytes) return
    this.#parts.room.change(unreadBytes - this.#unreadBytes)
    this.#unreadBytes = unreadBytes
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
    if (this.#large.delete(frame.requestId)) {
      this.#parts.counters.add('transport_cancelled_requests_total')
      return undefined
    }
    if (this.#inFlight === 0 || this.#cancelled.size >= cancelledMax) return undefined
    this.#parts.counters.add('transport_cancelled_requests_total')
    this.#cancelled.add(frame.requestId)
    return undefined
  }

  #onRaft(frame: FrameReader): FrameError | undefined {
    const { onRaft, counters } = this.#parts
    const { role, nodeId } = this.#peer!
    // Stores speak raft with stores, and members of PD with members.
    if (onRaft === undefined || role === 'client' || role !== this.#handshake.ownRole || nodeId === 0) {
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
    this.#sayWhy(reason)
  }

  #sayWhy(reason: string): void {
    if (this.#isClosed) return
    const w = new FrameWriter()
    encodeProtocolError(reason, w)
    this.#connection.send(w.view())
    this.close(reason)
  }

  #onDamage(error: FrameError): void {
    this.#parts.counters.add(damageCounter(error.kind))
    this.#protocolError(describeFrameError(error))
  }

  /** It would not read a ProtocolError either, but whoever looks at what it left unread finds the reason at its end. */
  #dropSlow(reason: string): void {
    this.#parts.counters.add('transport_slow_clients_total')
    this.#parts.warn('transport.slow-client', { remote: this.#connection.remote, reason, unreadBytes: this.#unreadBytes })
    this.#sayWhy(reason)
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
    this.#inbox.clear()
    this.#large.clear()
    const { room, turns } = this.#parts
    room.change(-this.#reservedBytes - this.#unreadBytes)
    this.#reservedBytes = this.#unreadBytes = 0
    turns.forget(this)
    turns.roomFreed()
    this.#parts.onClosed(this)
  }
}
