import { assert } from '../common/assert.js'
import { copyBytes } from '../common/bytes.js'
import type { Connection, ConnectionHandler, Listener, Network } from '../common/env.js'
import type { Links } from './links.js'
import type { SimRandom } from './random.js'
import type { SimEnv, SimNode } from './sim-env.js'

/** What the sender's kernel holds before bufferedBytes shows anything. */
const kernelBytes = 64 << 10
/** A connection whose bytes find no way for this long is given up by the sender's kernel. */
const giveUpMs = 15_000
/** A dial that nobody answers. */
const dialMs = 3_000
/** A lost segment comes again after this. */
const retransmitMs = 200
/** How often a blocked stream looks whether the way is open again. */
const blockedLookMs = 40
/** Overwrites what a handler had borrowed: whoever kept it reads this. */
const poison = 0xcc

interface Listening {
  readonly env: SimEnv
  readonly accept: (connection: Connection) => ConnectionHandler
}

export interface NetworkCounts {
  dials: number
  opened: number
  messages: number
  resets: number
}

/**
 * Streams between machines: ordered and reliable until they break, like TCP. A cut or clogged way holds bytes back; they
 * arrive after it opens, or the stream breaks when that takes too long. A process that is killed closes its streams, a
 * machine that loses power says nothing: its peers find out when they write to the machine that came back, or never.
 */
export class SimNetwork {
  readonly counts: NetworkCounts = { dials: 0, opened: 0, messages: 0, resets: 0 }
  readonly #listeners = new Map<string, Listening>()
  readonly #streams = new Set<Stream>()
  readonly #names = new Map<string, SimNode>()
  #nextPort = 50_000

  constructor(readonly links: Links, readonly random: SimRandom) {}

  /** The Network of one life of a node. */
  of(env: SimEnv): Network {
    return {
      listen: (address, accept) => this.#listen(env, address, accept),
      dial: (address, handler) => this.#dial(env, address, handler),
    }
  }

  /** Addresses are `host:port`, and a host is called like its node. */
  know(node: SimNode): void { this.#names.set(node.name, node) }

  /** Breaks all streams of a node, both ends learn of it. */
  reset(node: SimNode): void {
    for (const stream of [...this.#streams]) {
      if (stream.left.env.node !== node && stream.right?.env.node !== node) continue
      this.counts.resets++
      stream.break('connection reset')
    }
  }

  /** The node's process has ended. `silent`: with its machine, so nobody says goodbye. */
  ended(env: SimEnv, silent: boolean): void {
    for (const [address, listening] of this.#listeners) if (listening.env === env) this.#listeners.delete(address)
    for (const stream of [...this.#streams]) {
      const end = stream.left.env === env ? stream.left : stream.right?.env === env ? stream.right : undefined
      if (end !== undefined) stream.leave(end, silent)
    }
  }

  get openStreams(): number { return this.#streams.size }
  forget(stream: Stream): void { this.#streams.delete(stream) }

  #listen(env: SimEnv, address: string, accept: Listening['accept']): Promise<Listener> {
    const bound = address.endsWith(':0') ? `${address.slice(0, -1)}${this.#nextPort++}` : address
    if (this.#listeners.has(bound)) return Promise.reject(new Error(`EADDRINUSE: ${bound}`))
    this.#listeners.set(bound, { env, accept })
    return Promise.resolve({
      address: bound,
      close: () => { if (this.#listeners.get(bound)?.env === env) this.#listeners.delete(bound) },
    })
  }

  #dial(env: SimEnv, address: string, handler: ConnectionHandler): Connection {
    this.counts.dials++
    const host = address.slice(0, address.lastIndexOf(':'))
    const stream = new Stream(this, env, host, handler)
    this.#streams.add(stream)
    const { scheduler } = env.node.world
    const timeout = scheduler.after(dialMs, () => { stream.breakUnopened('dial timed out') })
    const there = (): void => {
      if (stream.isBroken || this.links.isCut(env.node.name, host)) return
      const target = this.#names.get(host)
      // No machine, no answer; a machine without a listener refuses.
      if (target === undefined || (!target.isAlive && !target.isMachineUp)) return
      const listening = this.#listeners.get(address)
      if (listening === undefined || !target.isAlive) {
        this.#back(host, env, () => { stream.breakUnopened('connection refused') })
        return
      }
      listening.env.node.enter(listening.env, () => { stream.accept(listening.env, listening.accept) })
      this.#back(host, env, () => {
        timeout.run = undefined
        stream.opened()
      })
    }
    scheduler.after(this.links.delayMs(), there)
    return stream.left
  }

  #back(from: string, env: SimEnv, run: () => void): void {
    env.node.world.scheduler.after(this.links.delayMs(), () => {
      if (!this.links.isCut(from, env.node.name)) run()
    })
  }

  /** When would bytes sent now arrive? */
  arrival(from: string, to: string, now: number): number {
    const { loss, reorder, reorderMs } = this.links.quality
    let delay = this.links.delayMs()
    while (loss > 0 && this.random.chance(loss) && delay < 4 * retransmitMs) delay += retransmitMs
    // What would overtake on a lossy link holds everything behind it up here.
    if (reorder > 0 && this.random.chance(reorder * 0.1)) delay += this.random.float() * reorderMs
    return Math.max(now + delay, this.links.cloggedUntil(from, to))
  }
}

/** One end of a stream, as its node sees it. */
class End implements Connection {
  handler: ConnectionHandler | undefined
  isClosed = false
  inFlightBytes = 0
  lastArrival = 0
  blockedSince: number | undefined
  wasFull = false
  readonly queue: { bytes: Uint8Array; at: number }[] = []
  isPumping = false

  constructor(readonly stream: Stream, readonly env: SimEnv, readonly remote: string) {}

  send(bytes: Uint8Array): boolean { return !this.isClosed && this.stream.send(this, copyBytes(bytes)) }
  bufferedBytes(): number { return Math.max(0, this.inFlightBytes - kernelBytes) }
  close(reason: string): void { this.stream.close(this, reason) }
}

class Stream {
  readonly left: End
  right: End | undefined
  #isOpen = false
  isBroken = false

  constructor(readonly network: SimNetwork, env: SimEnv, readonly host: string, handler: ConnectionHandler) {
    this.left = new End(this, env, host)
    this.left.handler = handler
  }

  accept(env: SimEnv, accept: (connection: Connection) => ConnectionHandler): void {
    if (this.isBroken) return
    this.right = new End(this, env, `${this.left.env.node.name}:40000`)
    this.right.handler = accept(this.right)
  }

  opened(): void {
    if (this.isBroken || this.left.isClosed) return
    this.#isOpen = true
    this.network.counts.opened++
    this.left.env.node.enter(this.left.env, () => { if (!this.left.isClosed) this.left.handler?.onOpen?.() })
  }

  breakUnopened(reason: string): void {
    if (this.#isOpen) return
    this.break(reason)
  }

  send(from: End, bytes: Uint8Array): boolean {
    assert(from !== this.left || this.#isOpen, 'sending is allowed after onOpen')
    this.network.counts.messages++
    const to = this.#other(from)
    const { scheduler } = from.env.node.world
    from.inFlightBytes += bytes.length
    if (from.inFlightBytes > kernelBytes) from.wasFull = true
    const at = Math.max(from.lastArrival + 0.0001, this.network.arrival(from.env.node.name, this.#nameOf(to), scheduler.now))
    from.lastArrival = at
    from.queue.push({ bytes, at })
    this.#pump(from)
    return true
  }

  #nameOf(end: End | undefined): string { return end?.env.node.name ?? this.host }
  #other(end: End): End | undefined { return end === this.left ? this.right : this.left }

  /** Delivers what has arrived, one message an event, in order. */
  #pump(from: End): void {
    const next = from.queue[0]
    if (next === undefined || from.isPumping) return
    from.isPumping = true
    const { scheduler } = from.env.node.world
    const to = this.#other(from)
    const look = (): void => {
      from.isPumping = false
      if (this.isBroken || from.queue[0] !== next) return
      if (this.network.links.isCut(from.env.node.name, this.#nameOf(to))) {
        from.blockedSince ??= scheduler.now
        if (scheduler.now - from.blockedSince > giveUpMs) {
          this.#lose(from, 'timed out')
          return
        }
        from.isPumping = true
        scheduler.after(blockedLookMs, look)
        return
      }
      from.blockedSince = undefined
      from.queue.shift()
      this.#deliver(from, to, next.bytes)
      this.#pump(from)
    }
    scheduler.at(Math.max(next.at, scheduler.now), look)
  }

  #deliver(from: End, to: End | undefined, bytes: Uint8Array): void {
    from.inFlightBytes -= bytes.length
    if (from.wasFull && from.inFlightBytes === 0) {
      from.wasFull = false
      from.env.node.enter(from.env, () => { if (!from.isClosed) from.handler?.onDrain?.() })
    }
    if (to === undefined) return
    const { node } = to.env
    if (to.env !== node.env) {
      // The other process is gone, perhaps without a word. A machine that is there says so.
      if (node.isMachineUp) this.#lose(from, 'connection reset')
      return
    }
    if (to.isClosed) return
    node.world.trace.mix(bytes.length * 31 + (bytes[bytes.length >> 1] ?? 0))
    node.enter(to.env, () => {
      if (to.isClosed) return
      to.handler?.onMessage(bytes)
      bytes.fill(poison)
    })
  }

  /** This end decides to close; the other hears of it behind everything that was sent. */
  close(end: End, reason: string): void {
    if (end.isClosed) return
    end.isClosed = true
    this.#say(end, reason)
    const other = this.#other(end)
    this.#farewell(end, other, reason)
  }

  #farewell(end: End, other: End | undefined, reason: string): void {
    const { scheduler } = end.env.node.world
    if (other === undefined) {
      this.isBroken = true
      this.network.forget(this)
      return
    }
    const look = (): void => {
      if (this.isBroken) return
      const from = end.env.node.name
      if (this.network.links.isCut(from, other.env.node.name)) {
        scheduler.after(blockedLookMs * 5, look)
        return
      }
      this.#lose(other, reason)
    }
    const at = this.network.arrival(end.env.node.name, other.env.node.name, scheduler.now)
    scheduler.at(Math.max(at, end.lastArrival + 0.0001), look)
  }

  /** A process is gone. */
  leave(end: End, silent: boolean): void {
    end.isClosed = true
    end.queue.length = 0
    const other = this.#other(end)
    if (other === undefined || other.isClosed) {
      this.isBroken = true
      this.network.forget(this)
    } else if (!silent) {
      this.#farewell(end, other, 'closed by peer')
    }
  }

  /** One end learns that the stream is over; the other end is closed already or learns by itself. */
  #lose(end: End, reason: string): void {
    const other = this.#other(end)
    if (!end.isClosed) {
      end.isClosed = true
      this.#say(end, reason)
    }
    if (other === undefined || other.isClosed || other.env !== other.env.node.env) {
      this.isBroken = true
      this.network.forget(this)
    } else {
      this.#farewell(end, other, reason)
    }
  }

  /** Both ends learn it now. */
  break(reason: string): void {
    if (this.isBroken) return
    this.isBroken = true
    this.network.forget(this)
    for (const end of [this.left, this.right]) {
      if (end === undefined || end.isClosed) continue
      end.isClosed = true
      this.#say(end, reason)
    }
  }

  /** In a later turn: close() does not call back into its caller. */
  #say(end: End, reason: string): void { end.env.post(0.01, () => { end.handler?.onClose(reason) }) }
}
