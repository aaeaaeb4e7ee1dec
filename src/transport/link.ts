import type { Connection, ConnectionHandler, Env, Timer } from '../common/env.js'
import { copyBytes } from '../common/bytes.js'
import { FrameDecoder, encodeHello, encodeProof, encodeProtocolError, encodeRequest } from '../wire/codec.js'
import { FrameReader, describeFrameError } from '../wire/frame.js'
import type { FrameError } from '../wire/frame.js'
import { FrameWriter } from '../wire/frame-writer.js'
import { FrameKind, responseBit } from '../wire/messages.js'
import type { Hello } from '../wire/messages.js'
import { DiallerHandshake } from './handshake.js'
import type { ClusterSecret } from './handshake.js'
import { transportLimits } from './limits.js'

export interface LinkOwner {
  /** Is this whom we meant? @returns why not */
  refuses(theirs: Hello): string | undefined
  /** Both have said Hello. */
  onReady(): void
  /** A frame that is not the link's own business; its bytes are owned. @returns the damage found in it */
  onFrame(frame: FrameReader): FrameError | undefined
  /** Exactly once unless the owner closed the link; nothing comes after it. `aliveMs` counts from onReady, 0: never. */
  onDown(reason: string, aliveMs: number): void
  /** Something is owed by the other side: silence means death, so ask with pings. */
  expectsAnswers(): boolean
}

export interface LinkParts {
  readonly env: Env
  readonly address: string
  /** Asked when it is dialled, and until our cluster is known. */
  readonly hello: () => Hello
  /** Of nodes; a client has none. */
  readonly secret: ClusterSecret | undefined
}

/** Id of the link's own pings; those of callers begin at 1. */
const pingId = 0

/**
 * One dialled connection from the dial to its end: Hello both ways, keep-alive, damage. It is not dialled again; its
 * owner makes a new one.
 *
 *   dialling → (open) → greeting → (their Hello) → ready → down
 */
export class Link implements ConnectionHandler {
  readonly #env: Env
  readonly #owner: LinkOwner
  readonly #handshake: DiallerHandshake
  readonly #connection: Connection
  readonly #reader = new FrameReader()
  readonly #decoder = new FrameDecoder()
  #state: 'dialling' | 'greeting' | 'ready' | 'down' = 'dialling'
  #timer: Timer | undefined
  #readyAtMs = 0
  #wasHeard = false
  #isPinged = false
  #silentBeats = 0
  #backlogBytes = 0
  #sentBytes = 0
  #drainedBytes = 0

  constructor({ env, address, hello, secret }: LinkParts, owner: LinkOwner) {
    this.#env = env
    this.#owner = owner
    this.#handshake = new DiallerHandshake(env.random, hello, secret)
    this.#timer = env.setTimer(transportLimits.handshakeMsMax, () => this.#fail('no Hello in time'))
    this.#connection = env.network.dial(address, this)
  }

  get isReady(): boolean { return this.#state === 'ready' }

  /** @returns false when the connection is gone: onDown follows */
  send(bytes: Uint8Array): boolean {
    this.#sentBytes += bytes.length
    return this.#connection.send(bytes)
  }

  bufferedBytes(): number { return this.#connection.bufferedBytes() }

  /** The owner's way out: no onDown comes. */
  close(reason: string): void {
    if (this.#state === 'down') return
    this.#end()
    this.#connection.close(reason)
  }

  onOpen(): void {
    if (this.#state !== 'dialling') return
    this.#state = 'greeting'
    const w = new FrameWriter()
    encodeHello(this.#handshake.greeting, w)
    this.#connection.send(w.view())
  }

  onMessage(bytes: Uint8Array): void {
    this.#wasHeard = true
    const stranger = this.#handshake.recheck()
    if (stranger !== undefined) return this.#protocolError(stranger)
    const reader = this.#reader
    reader.reset(copyBytes(bytes))
    for (;;) {
      if (this.#state === 'down') return
      const next = reader.next()
      if (next === 'end') return
      const error = next === 'damaged' ? reader.error : this.#onFrame(reader)
      if (error !== undefined) return this.#protocolError(describeFrameError(error))
    }
  }

  onClose(reason: string): void { this.#down(reason) }

  #onFrame(frame: FrameReader): FrameError | undefined {
    switch (frame.kind) {
      case FrameKind.Hello: return this.#onHello(frame)
      case FrameKind.ProtocolError: return this.#onProtocolError(frame)
      case FrameKind.Ping | responseBit:
        if (frame.requestId === pingId) return undefined
    }
    return this.#state === 'ready' ? this.#owner.onFrame(frame) : { kind: 'UnknownKind', frameKind: frame.kind }
  }

  #onHello(frame: FrameReader): FrameError | undefined {
    if (this.#state !== 'greeting') return { kind: 'UnknownKind', frameKind: frame.kind }
    const hello = this.#decoder.decodeHello(frame)
    if (!hello.ok) return hello.error
    const outcome = this.#handshake.onHello(hello.value)
    const refusal = 'reason' in outcome ? outcome.reason : this.#owner.refuses(hello.value)
    if (refusal !== undefined || 'reason' in outcome) {
      this.#protocolError(refusal ?? '')
      return undefined
    }
    if (outcome.proof !== undefined) {
      const w = new FrameWriter()
      encodeProof(outcome.proof, w)
      this.send(w.view())
    }
    this.#state = 'ready'
    this.#readyAtMs = this.#env.clock.monotonicMs()
    this.#timer?.cancel()
    this.#timer = this.#env.setTimer(transportLimits.beatMs, this.#beat)
    this.#owner.onReady()
    return undefined
  }

  #onProtocolError(frame: FrameReader): FrameError | undefined {
    const said = this.#decoder.decodeProtocolError(frame)
    if (!said.ok) return said.error
    this.#env.log('warn', 'transport.refused', { remote: this.#connection.remote, reason: said.value.reason })
    this.#fail(`refused: ${said.value.reason}`)
    return undefined
  }

  #protocolError(reason: string): void {
    if (this.#state === 'down') return
    this.#env.log('warn', 'transport.damaged', { remote: this.#connection.remote, reason })
    const w = new FrameWriter()
    encodeProtocolError(reason, w)
    this.#connection.send(w.view())
    this.#fail(reason)
  }

  /** Counts beats, not ms: our own pause of a minute is one silent beat, not sixty. */
  readonly #beat = (): void => {
    if (this.#state !== 'ready') return
    const isDraining = this.#isDraining()
    this.#silentBeats = this.#wasHeard || !this.#isPinged || isDraining ? 0 : this.#silentBeats + 1
    this.#wasHeard = false
    if (this.#silentBeats >= transportLimits.silentBeatsMax) return this.#fail('silent: pings are not answered')
    this.#isPinged = this.#owner.expectsAnswers()
    if (this.#isPinged) this.#ping()
    this.#timer = this.#env.setTimer(transportLimits.beatMs, this.#beat)
  }

  /** A backlog that moves is a sign of life: our pings wait behind it. */
  #isDraining(): boolean {
    const backlogBytes = this.#connection.bufferedBytes()
    const drainedBytes = this.#sentBytes - backlogBytes
    // Without a backlog before, the bytes may have gone no further than our own kernel.
    const isDraining = this.#backlogBytes > 0 && drainedBytes > this.#drainedBytes
    this.#backlogBytes = backlogBytes
    this.#drainedBytes = drainedBytes
    return isDraining
  }

  #ping(): void {
    const w = new FrameWriter()
    encodeRequest('Ping', pingId, { sentAtMs: this.#env.clock.monotonicMs() }, w)
    this.send(w.view())
  }

  #fail(reason: string): void {
    if (this.#state === 'down') return
    this.#connection.close(reason)
    this.#down(reason)
  }

  #down(reason: string): void {
    if (this.#state === 'down') return
    const aliveMs = this.#state === 'ready' ? Math.max(1, this.#env.clock.monotonicMs() - this.#readyAtMs) : 0
    this.#end()
    this.#owner.onDown(reason, aliveMs)
  }

  #end(): void {
    this.#state = 'down'
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
