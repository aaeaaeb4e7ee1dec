import { copyBytes } from '../common/bytes.js'
import type { Env, Timer } from '../common/env.js'
import { err } from '../common/result.js'
import { FrameDecoder, encodeCancel, encodeRequest } from '../wire/codec.js'
import type { FrameError, FrameReader } from '../wire/frame.js'
import { FrameWriter } from '../wire/frame-writer.js'
import type { Hello, Requests, RpcName } from '../wire/messages.js'
import type { CallFailure, CallOptions, CallResult, RpcChannel } from './api.js'
import { AbortWatch } from './abort-watch.js'
import { Backoff } from './backoff.js'
import type { ClusterSecret } from './handshake.js'
import { transportLimits } from './limits.js'
import { Link } from './link.js'
import type { LinkOwner } from './link.js'

export interface ChannelOptions {
  readonly env: Env
  readonly address: string
  /** Asked at every dial. */
  readonly hello: () => Hello
  /** Of a store or member of PD: it proves who it is, and whom it speaks to. */
  readonly secret?: ClusterSecret | undefined
  /** Shared with whoever listens to the same signals; default: one of its own. */
  readonly aborts?: AbortWatch | undefined
}

/** Does nothing until the first call. */
export function openChannel(options: ChannelOptions): RpcChannel { return new Channel(options) }

interface Call {
  readonly id: number
  readonly name: RpcName
  readonly deadlineMs: number
  readonly done: (result: CallResult<RpcName>) => void
  /** Its frame, while there is no connection to write it to. */
  frame: Uint8Array | undefined
  signal: AbortSignal | undefined
  onAbort: (() => void) | undefined
}

/** Deadlines are looked at no more often than this. */
const sweepMsMin = 5
const timerMsMax = 2 ** 30

/**
 * Calls to one address. A call is encoded when it is made: into the writer when there is a connection, which flushes it at
 * the end of the turn, else into bytes of its own that wait for one. So its request may be changed by the caller afterwards,
 * and a call that ends while it waits is certainly not carried out.
 */
// hot path: bench/micro/transport.ts
class Channel implements RpcChannel, LinkOwner {
  readonly address: string
  readonly #env: Env
  readonly #hello: () => Hello
  readonly #secret: ClusterSecret | undefined
  readonly #backoff: Backoff
  readonly #aborts: AbortWatch
  readonly #writer = new FrameWriter()
  readonly #decoder = new FrameDecoder()
  #link: Link | undefined
  #dialTimer: Timer | undefined
  /** In order of their making: those without a frame are on the wire or in the writer. */
  #calls = new Map<number, Call>()
  #waitingBytes = 0
  #nextId = 1
  /** Calls up to this id may have reached the server, unless they still have their frame. */
  #flushedId = 0
  #bufferedBytes = 0
  #isFlushDue = false
  #sweepTimer: Timer | undefined
  #sweepAtMs = Infinity
  #isClosed = false

  constructor(options: ChannelOptions) {
    this.#env = options.env
    this.address = options.address
    this.#hello = options.hello
    this.#secret = options.secret
    this.#backoff = new Backoff(options.env)
    this.#aborts = options.aborts ?? new AbortWatch()
  }

  get isConnected(): boolean { return this.#link !== undefined && this.#link.isReady }

  call<N extends RpcName>(name: N, request: Requests[N], options: CallOptions): Promise<CallResult<N>> {
    return new Promise(resolve => this.send(name, request, options, resolve))
  }

  send<N extends RpcName>(name: N, request: Requests[N], options: CallOptions, done: (result: CallResult<N>) => void): void {
    const answer = done as (result: CallResult<RpcName>) => void
    const obstacle = this.#obstacle(options)
    if (obstacle !== undefined) return this.#later(answer, { answered: false, failure: obstacle })
    const writer = this.#writer
    const isConnected = this.isConnected
    if (isConnected && writer.length >= transportLimits.messageBytesSoft) this.#flush()
    const id = this.#nextId
    const excess = encodeRequest(name, id, request, writer)
    if (excess !== undefined) return this.#later(answer, { answered: true, result: err(excess) })
    this.#nextId++
    const call: Call = {
      id, name, deadlineMs: this.#env.clock.monotonicMs() + options.timeoutMs, done: answer,
      frame: undefined, signal: undefined, onAbort: undefined,
    }
    this.#calls.set(id, call)
    if (call.deadlineMs < this.#sweepAtMs) this.#armSweep(call.deadlineMs, options.timeoutMs)
    if (options.signal !== undefined) this.#listen(call, options.signal)
    if (isConnected) this.#scheduleFlush()
    else this.#wait(call)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#link?.close('closed by its owner')
    this.#link = undefined
    this.#dialTimer?.cancel()
    this.#sweepTimer?.cancel()
    this.#writer.reset()
    const calls = this.#calls
    this.#calls = new Map()
    this.#waitingBytes = 0
    for (const call of calls.values()) {
      this.#forget(call)
      this.#later(call.done, failed('Closed', this.#isSent(call), 'the channel was closed'))
    }
  }

  // ---- LinkOwner

  /** Who answers at the address will do: requests name their region, and a wrong store says so. */
  refuses(_theirs: Hello): undefined { return undefined }

  onReady(): void {
    for (const call of this.#calls.values()) {
      if (call.frame === undefined) continue
      if (this.#writer.length >= transportLimits.messageBytesSoft) this.#flush()
      this.#writer.append(call.frame)
      call.frame = undefined
    }
    this.#waitingBytes = 0
    this.#flush()
  }

  onFrame(frame: FrameReader): FrameError | undefined {
    const call = this.#calls.get(frame.requestId)
    // Its caller has given up, and said so: the answer was on its way already.
    if (call === undefined) return undefined
    const result = this.#decoder.decodeResponse(call.name, frame)
    if (!result.ok) return result.error
    this.#calls.delete(call.id)
    if (call.signal !== undefined) this.#forget(call)
    call.done({ answered: true, result: result.value })
    return undefined
  }

  onDown(reason: string, aliveMs: number): void {
    this.#link = undefined
    this.#backoff.onDown(aliveMs)
    this.#writer.reset()
    this.#bufferedBytes = 0
    const calls = this.#calls
    this.#calls = new Map()
    this.#waitingBytes = 0
    for (const call of calls.values()) {
      this.#forget(call)
      call.done(failed(aliveMs > 0 ? 'ConnectionLost' : 'Refused', this.#isSent(call), reason))
    }
  }

  expectsAnswers(): boolean { return this.#calls.size > 0 }

  // ---- out

  #obstacle(options: CallOptions): CallFailure | undefined {
    if (this.#isClosed) return { kind: 'Closed', sent: false, reason: 'the channel is closed' }
    if (options.signal?.aborted) return { kind: 'Aborted', sent: false, reason: 'aborted before it was made' }
    const { requestsInFlightMax, channelBytesMax } = transportLimits
    if (this.#calls.size >= requestsInFlightMax) {
      return { kind: 'QueueFull', sent: false, reason: `${requestsInFlightMax} calls are under way` }
    }
    if (this.#waitingBytes + this.#bufferedBytes + this.#writer.length > channelBytesMax) {
      this.#bufferedBytes = this.#link?.bufferedBytes() ?? 0
      if (this.#waitingBytes + this.#bufferedBytes + this.#writer.length > channelBytesMax) {
        return { kind: 'QueueFull', sent: false, reason: `${channelBytesMax} bytes are waiting` }
      }
    }
    return undefined
  }

  /** The writer holds this call's frame alone. */
  #wait(call: Call): void {
    call.frame = copyBytes(this.#writer.view())
    this.#writer.reset()
    this.#waitingBytes += call.frame.length
    this.#dialWhenDue()
  }

  #dialWhenDue(): void {
    if (this.#link !== undefined || this.#dialTimer !== undefined) return
    const waitMs = this.#backoff.waitMs()
    if (waitMs <= 0) return this.#dial()
    this.#dialTimer = this.#env.setTimer(waitMs, () => {
      this.#dialTimer = undefined
      if (this.#calls.size > 0 && this.#link === undefined) this.#dial()
    })
  }

  #dial(): void {
    this.#link = new Link({ env: this.#env, address: this.address, hello: this.#hello, secret: this.#secret }, this)
  }

  #scheduleFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#env.defer(this.#flushDue)
  }

  readonly #flushDue = (): void => {
    this.#isFlushDue = false
    if (this.isConnected) this.#flush()
  }

  #flush(): void {
    const link = this.#link
    if (link === undefined || this.#writer.length === 0) return
    // A lost connection keeps flushedId: what did not leave was not sent. onDown follows.
    if (link.send(this.#writer.view())) this.#flushedId = this.#nextId - 1
    this.#writer.reset()
    this.#bufferedBytes = link.bufferedBytes()
  }

  // ---- ends of calls

  #isSent(call: Call): boolean { return call.frame === undefined && call.id <= this.#flushedId }

  /** Ends a call whose answer nobody waits for any more, and tells the server. */
  #giveUp(call: Call, kind: 'Timeout' | 'Aborted', reason: string): CallResult<RpcName> {
    this.#calls.delete(call.id)
    this.#forget(call)
    if (call.frame !== undefined) {
      this.#waitingBytes -= call.frame.length
      return failed(kind, false, reason)
    }
    // In the writer or beyond: it will be or was sent.
    if (this.isConnected) {
      encodeCancel(call.id, this.#writer)
      this.#scheduleFlush()
    }
    return failed(kind, true, reason)
  }

  #listen(call: Call, signal: AbortSignal): void {
    call.signal = signal
    call.onAbort = () => {
      if (this.#calls.get(call.id) === call) this.#later(call.done, this.#giveUp(call, 'Aborted', 'aborted by the caller'))
    }
    this.#aborts.add(signal, call.onAbort)
  }

  #forget(call: Call): void {
    if (call.signal === undefined || call.onAbort === undefined) return
    this.#aborts.remove(call.signal, call.onAbort)
    call.signal = undefined
  }

  #later(done: (result: CallResult<RpcName>) => void, result: CallResult<RpcName>): void {
    this.#env.defer(() => done(result))
  }

  // ---- deadlines: one timer for the earliest; answered calls leave it armed, so it is armed about once per time-out

  #armSweep(atMs: number, inMs: number): void {
    this.#sweepTimer?.cancel()
    this.#sweepAtMs = atMs
    this.#sweepTimer = this.#env.setTimer(Math.min(Math.max(inMs, sweepMsMin), timerMsMax), this.#sweep)
  }

  readonly #sweep = (): void => {
    const nowMs = this.#env.clock.monotonicMs()
    const expired: Call[] = []
    let nextMs = Infinity
    for (const call of this.#calls.values()) {
      if (call.deadlineMs <= nowMs) expired.push(call)
      else if (call.deadlineMs < nextMs) nextMs = call.deadlineMs
    }
    this.#sweepAtMs = Infinity
    if (nextMs < Infinity) this.#armSweep(nextMs, nextMs - nowMs)
    for (const call of expired) {
      // One that ended before may have ended this one.
      if (this.#calls.get(call.id) !== call) continue
      call.done(this.#giveUp(call, 'Timeout', 'no answer in time'))
    }
  }
}

function failed(kind: CallFailure['kind'], sent: boolean, reason: string): CallResult<RpcName> {
  return { answered: false, failure: { kind, sent, reason } }
}
