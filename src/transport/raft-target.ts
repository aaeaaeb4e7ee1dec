import type { Env, Timer } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import { limits } from '../common/limits.js'
import { encodeRaft } from '../wire/codec.js'
import type { FrameError, FrameReader } from '../wire/frame.js'
import type { FrameWriter } from '../wire/frame-writer.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import { envelopeBytes } from '../wire/raft-block.js'
import { Backoff } from './backoff.js'
import type { Counters } from './counters.js'
import type { ClusterSecret } from './handshake.js'
import { transportLimits } from './limits.js'
import { Link } from './link.js'
import type { LinkOwner } from './link.js'

export interface RaftTargetParts {
  readonly env: Env
  readonly hello: () => Hello
  readonly secret: ClusterSecret
  readonly addressOf: (to: StoreId) => string | undefined
  readonly counters: Counters
  /** Shared by all targets: it is empty between two frames. */
  readonly writer: FrameWriter
  readonly onUp: (to: StoreId) => void
  readonly onDown: (to: StoreId) => void
}

const dropped = (reason: string): string => `transport_raft_dropped_total{reason="${reason}"}`
const droppedDown = dropped('down')
const droppedFull = dropped('full')
const droppedOversize = dropped('oversize')
const sentEnvelopes = 'transport_raft_envelopes_sent_total'
const sentFrames = 'transport_raft_frames_sent_total'
const sentBytes = 'transport_raft_sent_bytes_total'
const linkUps = 'transport_raft_link_ups_total'
const linkDowns = 'transport_raft_link_downs_total'
export const raftCounterNames = [
  droppedDown, droppedFull, droppedOversize, sentEnvelopes, sentFrames, sentBytes, linkUps, linkDowns,
]

/** Frame header, table and list around one envelope, generously. */
const frameOverheadBytes = 256
const envelopeBytesMax = limits.frameBytesMax - frameOverheadBytes

/**
 * The way to one store. What is sent leaves in the order it was sent, or not at all: priority is a matter of admission.
 * Entries and snapshots are refused when half of the limit is used, everything else when all of it is.
 */
export class RaftTarget implements LinkOwner {
  /** In the list of targets to flush; kept by RaftLinks. */
  isDirty = false
  readonly #parts: RaftTargetParts
  readonly #env: Env
  readonly #backoff: Backoff
  #link: Link | undefined
  #dialTimer: Timer | undefined
  #queue: RaftEnvelope[] = []
  #sizes: number[] = []
  #queueBytes = 0
  /** As of the last flush: an upper bound while nothing is sent. */
  #bufferedBytes = 0
  #wantedUntilMs = 0
  #isClosed = false

  constructor(readonly to: StoreId, parts: RaftTargetParts) {
    this.#parts = parts
    this.#env = parts.env
    this.#backoff = new Backoff(parts.env)
  }

  get isUp(): boolean { return this.#link !== undefined && this.#link.isReady }

  queuedBytes(): number { return this.#queueBytes + (this.#link?.bufferedBytes() ?? 0) }

  /** @returns false when it was dropped */
  send(envelope: RaftEnvelope): boolean {
    const bytes = envelopeBytes(envelope)
    if (bytes > envelopeBytesMax) return this.#drop(droppedOversize)
    if (this.isUp) {
      if (!this.#hasRoom(envelope, bytes)) return this.#drop(droppedFull)
      this.#push(envelope, bytes)
      return true
    }
    this.#wantedUntilMs = this.#env.clock.monotonicMs() + transportLimits.raftWantedMs
    this.#dialWhenDue()
    if (this.#link === undefined) return this.#drop(droppedDown)
    this.#push(envelope, bytes)
    this.#keepNewest()
    return true
  }

  flush(): void {
    const link = this.#link
    if (link === undefined || !link.isReady || this.#queue.length === 0) return
    let from = 0
    while (from < this.#queue.length && this.isUp) {
      const to = this.#frameEnd(from)
      this.#sendFrame(link, from === 0 && to === this.#queue.length ? this.#queue : this.#queue.slice(from, to))
      from = to
    }
    this.#clearQueue()
    this.#bufferedBytes = link.isReady ? link.bufferedBytes() : 0
  }

  close(): void {
    this.#isClosed = true
    this.#dialTimer?.cancel()
    this.#link?.close('closed by its owner')
    this.#link = undefined
    this.#clearQueue()
  }

  // ---- LinkOwner

  /** Its address may have passed to another store. */
  refuses(theirs: Hello): string | undefined {
    const { role } = this.#parts.hello()
    return theirs.role === role && theirs.nodeId === this.to ? undefined
      : `this is ${theirs.role} ${theirs.nodeId}, not ${role} ${this.to}`
  }

  onReady(): void {
    this.#parts.counters.add(linkUps)
    this.#parts.onUp(this.to)
    this.flush()
  }

  /** Nobody answers raft frames: what comes here has no business to. */
  onFrame(frame: FrameReader): FrameError | undefined { return { kind: 'UnknownKind', frameKind: frame.kind } }

  onDown(reason: string, aliveMs: number): void {
    this.#link = undefined
    this.#bufferedBytes = 0
    this.#parts.counters.add(droppedDown, this.#queue.length)
    this.#clearQueue()
    this.#backoff.onDown(aliveMs)
    if (aliveMs > 0) {
      this.#env.log('info', 'transport.raft-link-down', { store: this.to, reason })
      this.#parts.counters.add(linkDowns)
      this.#parts.onDown(this.to)
      this.#wantedUntilMs = this.#env.clock.monotonicMs() + transportLimits.raftWantedMs
    }
    this.#dialWhenDue()
  }

  expectsAnswers(): boolean { return true }

  // ---- the dial

  #dialWhenDue(): void {
    if (this.#isClosed || this.#link !== undefined || this.#dialTimer !== undefined) return
    if (this.#env.clock.monotonicMs() > this.#wantedUntilMs) return
    const waitMs = this.#backoff.waitMs()
    if (waitMs <= 0) return this.#dial()
    this.#dialTimer = this.#env.setTimer(waitMs, () => {
      this.#dialTimer = undefined
      this.#dialWhenDue()
    })
  }

  #dial(): void {
    const address = this.#parts.addressOf(this.to)
    if (address === undefined) {
      this.#backoff.onDown(0)
      return
    }
    this.#link = new Link({ env: this.#env, address, hello: this.#parts.hello, secret: this.#parts.secret }, this)
  }

  // ---- the queue

  #hasRoom(envelope: RaftEnvelope, bytes: number): boolean {
    const { message } = envelope
    const isBulk = message.entries.length > 0 || message.snapshot !== undefined
    const max = isBulk ? transportLimits.raftQueueBytesMax / 2 : transportLimits.raftQueueBytesMax
    if (this.#queueBytes + this.#bufferedBytes + bytes <= max) return true
    this.#bufferedBytes = this.#link?.bufferedBytes() ?? 0
    return this.#queueBytes + this.#bufferedBytes + bytes <= max
  }

  #push(envelope: RaftEnvelope, bytes: number): void {
    this.#queue.push(envelope)
    this.#sizes.push(bytes)
    this.#queueBytes += bytes
  }

  #keepNewest(): void {
    const { raftKeptMax, raftKeptBytesMax } = transportLimits
    while (this.#queue.length > 1 && (this.#queue.length > raftKeptMax || this.#queueBytes > raftKeptBytesMax)) {
      this.#queue.shift()
      this.#queueBytes -= this.#sizes.shift()!
      this.#parts.counters.add(droppedDown)
    }
  }

  #clearQueue(): void {
    this.#queue.length = 0
    this.#sizes.length = 0
    this.#queueBytes = 0
  }

  /** @returns the end of the frame that begins with envelope `from`: at least one, and no more than a frame should hold */
  #frameEnd(from: number): number {
    const { raftFrameBytesSoft, raftFrameEnvelopesMax } = transportLimits
    const last = Math.min(this.#queue.length, from + raftFrameEnvelopesMax)
    let bytes = this.#sizes[from]!
    let end = from + 1
    for (; end < last; end++) {
      bytes += this.#sizes[end]!
      if (bytes > raftFrameBytesSoft) break
    }
    return end
  }

  #sendFrame(link: Link, envelopes: readonly RaftEnvelope[]): void {
    const { writer, counters } = this.#parts
    writer.reset()
    if (encodeRaft(envelopes, writer) !== undefined) {
      counters.add(droppedOversize, envelopes.length)
      return
    }
    counters.add(sentFrames)
    counters.add(sentEnvelopes, envelopes.length)
    counters.add(sentBytes, writer.length)
    link.send(writer.view())
    writer.reset()
  }

  #drop(counter: string): false {
    this.#parts.counters.add(counter)
    return false
  }
}
