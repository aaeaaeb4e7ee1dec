import type { CommandResult } from './machine.js'
import { theRegion } from './peer.js'
import type { RaftPeer } from './peer.js'
import type { RaftLevel } from './world.js'

/** Clients that are always there: they propose to whom they believe leads, and wait. One operation at a time each. */
export class Clients {
  readonly #waiting = new Map<number, { done: (result: CommandResult) => void }>()
  readonly #reading = new Map<number, { key: string; floor: number; done: (value: string | null) => void }>()
  #id = 0
  #isStopped = false
  #value = 0

  constructor(readonly world: RaftLevel, readonly count: number, readonly keys: readonly string[], readonly thinkMs: number) {}

  start(): void {
    for (let client = 0; client < this.count; client++) this.#think(new Map())
  }

  stop(): void { this.#isStopped = true }

  #think(seen: Map<string, string | null>): void {
    this.world.scheduler.after(this.world.random.exponential(this.thinkMs), () => {
      if (!this.#isStopped) this.#act(seen, () => { this.#think(seen) })
    })
  }

  /** Sometimes a deposed leader is asked: that is where stale reads come from. */
  #target(): RaftPeer | undefined {
    const leaders = this.world.peers().filter(peer => peer.node.role === 'leader')
    return this.world.random.pick(leaders)
  }

  #act(seen: Map<string, string | null>, done: () => void): void {
    const { random } = this.world
    const key = random.pick(this.keys)!
    const draw = random.float()
    if (draw < 0.4) {
      this.read(key, value => {
        if (value !== undefined) seen.set(key, value)
        done()
      })
      return
    }
    const f = draw < 0.75 ? 'write' as const : draw < 0.93 ? 'cas' as const : 'delete' as const
    const fresh = `v${++this.#value}`
    const expected = seen.get(key) ?? null
    const value = f === 'write' ? fresh : f === 'cas' ? [expected, fresh] as const : null
    this.write({ f, key, value }, result => {
      if (result !== undefined) seen.set(key, f === 'delete' ? null : result.swapped ? fresh : result.previous)
      done()
    })
  }

  /** @param done undefined: not carried out, or not known */
  write(asked: { f: 'write' | 'cas' | 'delete'; key: string; value: string | readonly [string | null, string] | null },
    done: (result: CommandResult | undefined) => void): void {
    const { f, key, value } = asked
    const end = this.world.history.invoke(f, key, value ?? undefined)
    const id = ++this.#id
    const finish = once((type: 'ok' | 'fail' | 'info', result?: CommandResult): void => {
      this.#waiting.delete(id)
      const said = f !== 'cas' || result === undefined ? undefined
        : result.swapped ? { succeed: true } : { succeed: false, previous: result.previous }
      end(type, said)
      done(result)
    })
    const target = this.#target()
    if (target === undefined) {
      finish('fail')
      return
    }
    this.#waiting.set(id, { done: result => { finish('ok', result) } })
    this.world.onPeer(target, () => {
      if (target.propose({ id, f, key, value }) !== 'ok') finish('fail')
    })
    this.world.scheduler.after(this.world.clientTimeoutMs, () => { finish('info') })
  }

  read(key: string, done: (value: string | null | undefined) => void): void {
    const end = this.world.history.invoke('read', key)
    const id = ++this.#id
    const finish = once((type: 'ok' | 'fail', value?: string | null): void => {
      this.#reading.delete(id)
      end(type, value)
      done(value)
    })
    const target = this.#target()
    if (target === undefined) {
      finish('fail')
      return
    }
    const asked = { key, floor: 0, done: (value: string | null): void => { finish('ok', value) } }
    this.#reading.set(id, asked)
    this.world.onPeer(target, () => {
      asked.floor = this.world.oracles.safety.committed(theRegion)
      if (!target.read(id)) finish('fail')
    })
    this.world.scheduler.after(this.world.clientTimeoutMs, () => { finish('fail') })
  }

  completed(id: number, result: CommandResult): void { this.#waiting.get(id)?.done(result) }
  readReady(id: number, peer: RaftPeer): void {
    const asked = this.#reading.get(id)
    if (asked === undefined) return
    this.world.guarded(() => { this.world.oracles.checkRead(peer, asked.floor) })
    asked.done(peer.machine.read(asked.key))
  }
}

function once<A extends unknown[]>(run: (...args: A) => void): (...args: A) => void {
  const state = { isDone: false }
  return (...args) => {
    if (state.isDone) return
    state.isDone = true
    run(...args)
  }
}
