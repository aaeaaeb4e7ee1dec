import { copyBytes } from '../../src/common/bytes.js'
import type {
  Connection, ConnectionHandler, Env, LogFields, LogLevel, Listener, Network, Timer,
} from '../../src/common/env.js'

/** A world in memory with its own time. Same calls, same order of events. */
export class FakeWorld {
  nowMs = 1_000
  readonly latencyMs = 1
  readonly listeners = new Map<string, FakeListener>()
  /** Addresses that swallow what is sent to them and say nothing: cables cut, processes stopped. */
  readonly dark = new Set<string>()
  readonly dials: { readonly address: string; readonly atMs: number }[] = []
  readonly wires: FakeWire[] = []
  /** What escaped from node code: in production the process would be gone. */
  readonly crashes: unknown[] = []
  #events: { readonly atMs: number; readonly order: number; run: (() => void) | undefined }[] = []
  #order = 0

  at(delayMs: number, run: () => void): Timer {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, run: run as (() => void) | undefined }
    this.#events.push(event)
    return { cancel: () => { event.run = undefined } }
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    const endMs = this.nowMs + ms
    for (let steps = 0; ; steps++) {
      if (steps > 2e6) throw new Error('the world does not come to rest')
      let first = -1
      for (let i = 0; i < this.#events.length; i++) {
        const event = this.#events[i]!
        if (event.atMs > endMs) continue
        const best = this.#events[first]
        if (best === undefined || event.atMs < best.atMs || (event.atMs === best.atMs && event.order < best.order)) first = i
      }
      if (first < 0) break
      const [event] = this.#events.splice(first, 1)
      this.nowMs = Math.max(this.nowMs, event!.atMs)
      this.#guarded(event!.run)
    }
    this.nowMs = endMs
  }

  /** Nothing ran here for so long, as when a process was stopped: time has passed, events are late. */
  sleep(ms: number): void { this.nowMs += ms }

  env(name: string): FakeEnv { return new FakeEnv(this, name) }

  /** The process behind an address ends: its connections break, nobody listens. */
  kill(address: string): void {
    this.listeners.delete(address)
    for (const wire of this.wires) if (wire.address === address) wire.cut('reset by peer')
  }

  #guarded(run: (() => void) | undefined): void {
    try {
      run?.()
    } catch (error) {
      this.crashes.push(error)
    }
  }
}

export class FakeEnv implements Env {
  readonly clock = { monotonicMs: () => this.world.nowMs, wallMs: () => Math.floor(this.world.nowMs) }
  readonly network: Network
  readonly log_: { readonly level: LogLevel; readonly event: string; readonly fields: LogFields | undefined }[] = []
  #dice = 0x2545f491
  readonly random = {
    float: () => {
      this.#dice = (Math.imul(this.#dice, 1_664_525) + 1_013_904_223) >>> 0
      return this.#dice / 2 ** 32
    },
    below: (bound: number) => Math.floor(this.random.float() * bound),
    bytes: (count: number) => new Uint8Array(count),
  }

  constructor(readonly world: FakeWorld, readonly name: string) { this.network = new FakeNetwork(world) }

  setTimer(delayMs: number, run: () => void): Timer { return this.world.at(Math.max(0, delayMs), run) }
  defer(run: () => void): void { this.world.at(0, run) }
  log(level: LogLevel, event: string, fields?: LogFields): void { this.log_.push({ level, event, fields }) }
  failpoint(): void { return }
}

export interface FakeListener { readonly accept: (connection: Connection) => ConnectionHandler }

class FakeNetwork implements Network {
  constructor(readonly world: FakeWorld) {}

  async listen(address: string, accept: (connection: Connection) => ConnectionHandler): Promise<Listener> {
    if (this.world.listeners.has(address)) throw new Error(`${address} is taken`)
    const { listeners } = this.world
    listeners.set(address, { accept })
    return { address, close: () => { listeners.delete(address) } }
  }

  dial(address: string, handler: ConnectionHandler): Connection {
    const { world } = this
    world.dials.push({ address, atMs: world.nowMs })
    const wire = new FakeWire(world, address, handler)
    world.wires.push(wire)
    return wire.dialler
  }
}

/** Both ends of one connection. */
export class FakeWire {
  readonly dialler: FakeEnd
  readonly acceptor: FakeEnd

  constructor(readonly world: FakeWorld, readonly address: string, handler: ConnectionHandler) {
    this.dialler = new FakeEnd(this, address)
    this.acceptor = new FakeEnd(this, 'client')
    this.dialler.handler = handler
    this.dialler.other = this.acceptor
    this.acceptor.other = this.dialler
    if (world.dark.has(address)) return
    world.at(world.latencyMs, () => {
      const listener = world.listeners.get(address)
      if (this.dialler.isEnded) return
      if (listener === undefined) return this.dialler.end('connection refused')
      this.acceptor.isOpen = this.dialler.isOpen = true
      this.acceptor.handler = listener.accept(this.acceptor)
      handler.onOpen?.()
    })
  }

  get isDark(): boolean { return this.world.dark.has(this.address) }

  cut(reason: string): void {
    this.dialler.end(reason)
    this.acceptor.end(reason)
  }
}

export class FakeEnd implements Connection {
  handler: ConnectionHandler | undefined
  other!: FakeEnd
  isOpen = false
  isEnded = false
  /** The other side does not read: what is sent stays here. */
  isStalled = false
  /** Whole messages that were sent, in order. */
  readonly sent: Uint8Array[] = []
  #held: Uint8Array[] = []
  #heldBytes = 0

  constructor(readonly wire: FakeWire, readonly remote: string) {}

  send(bytes: Uint8Array): boolean {
    if (this.isEnded || !this.isOpen) return false
    const message = copyBytes(bytes)
    this.sent.push(message)
    if (this.isStalled) {
      this.#held.push(message)
      this.#heldBytes += message.length
    } else this.#deliver(message)
    return true
  }

  bufferedBytes(): number { return this.#heldBytes }

  unstall(): void {
    this.isStalled = false
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const message of held) this.#deliver(message)
    if (!this.isEnded) this.handler?.onDrain?.()
  }

  /** The first `count` of the messages that wait go on their way. */
  letThrough(count: number): void {
    for (const message of this.#held.splice(0, count)) {
      this.#heldBytes -= message.length
      this.#deliver(message)
    }
  }

  close(reason: string): void {
    if (this.isEnded) return
    this.isEnded = true
    this.wire.world.at(0, () => this.handler?.onClose(reason))
    if (!this.wire.isDark) this.wire.world.at(this.wire.world.latencyMs, () => this.other.end(`closed: ${reason}`))
  }

  end(reason: string): void {
    if (this.isEnded) return
    this.isEnded = true
    this.handler?.onClose(reason)
  }

  #deliver(message: Uint8Array): void {
    if (this.wire.isDark) return
    this.wire.world.at(this.wire.world.latencyMs, () => {
      if (this.other.isEnded || this.wire.isDark) return
      // Lent for the call: afterwards the memory is somebody else's.
      const lent = copyBytes(message)
      try {
        this.other.handler?.onMessage(lent)
      } finally {
        lent.fill(0xcc)
      }
    })
  }
}
