import type { Env } from '../common/env.js'
import type { StoreId } from '../common/ids.js'
import { limits } from '../common/limits.js'
import { FrameWriter } from '../wire/frame-writer.js'
import type { Hello, RaftEnvelope } from '../wire/messages.js'
import type { RaftLinks } from './api.js'
import { Counters } from './counters.js'
import type { ClusterSecret } from './handshake.js'
import { RaftTarget, raftCounterNames } from './raft-target.js'
import type { RaftTargetParts } from './raft-target.js'

export interface RaftLinksOptions {
  readonly env: Env
  readonly hello: () => Hello
  readonly secret: ClusterSecret
  /** Asked at every dial; undefined: not known now. */
  readonly addressOf: (to: StoreId) => string | undefined
  /** Both in later turns, and in pairs: up, down, up … */
  readonly onUp?: ((to: StoreId) => void) | undefined
  /** An established connection has broken. */
  readonly onDown?: ((to: StoreId) => void) | undefined
}

const keptBytes = 4 << 20

export type RaftLinksHandle = RaftLinks & { metrics(): Record<string, number>; close(): void }

export function createRaftLinks(options: RaftLinksOptions): RaftLinksHandle { return new Links(options) }

/** One connection and one queue per store we have something to say to. */
class Links implements RaftLinksHandle {
  readonly #parts: RaftTargetParts
  readonly #counters = new Counters(...raftCounterNames)
  readonly #targets = new Map<StoreId, RaftTarget>()
  #dirty: RaftTarget[] = []
  #isClosed = false

  constructor(options: RaftLinksOptions) {
    const { env } = options
    const tell = (whom: ((to: StoreId) => void) | undefined, to: StoreId): void => {
      if (whom !== undefined) env.defer(() => { if (!this.#isClosed) whom(to) })
    }
    this.#parts = {
      env, hello: options.hello, secret: options.secret, addressOf: options.addressOf, counters: this.#counters,
      // One for all targets: what a turn sends to one of them fits, and nothing is allocated for it.
      writer: new FrameWriter(limits.frameBytesMax, keptBytes),
      onUp: to => tell(options.onUp, to),
      onDown: to => tell(options.onDown, to),
    }
  }

  send(to: StoreId, envelope: RaftEnvelope): boolean {
    if (this.#isClosed) return false
    let target = this.#targets.get(to)
    if (target === undefined) this.#targets.set(to, target = new RaftTarget(to, this.#parts))
    if (!target.send(envelope)) return false
    if (!target.isDirty) {
      target.isDirty = true
      this.#dirty.push(target)
    }
    return true
  }

  flush(): void {
    if (this.#dirty.length === 0) return
    const dirty = this.#dirty
    this.#dirty = []
    for (let i = 0; i < dirty.length; i++) {
      dirty[i]!.isDirty = false
      dirty[i]!.flush()
    }
  }

  metrics(): Record<string, number> {
    let connected = 0
    let queuedBytes = 0
    for (const target of this.#targets.values()) {
      if (target.isUp) connected++
      queuedBytes += target.queuedBytes()
    }
    return {
      ...this.#counters.read(), transport_raft_links: this.#targets.size, transport_raft_links_connected: connected,
      transport_raft_queued_bytes: queuedBytes,
    }
  }

  close(): void {
    this.#isClosed = true
    for (const target of this.#targets.values()) target.close()
    this.#targets.clear()
    this.#dirty = []
  }
}
