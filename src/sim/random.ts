import type { Random } from '../common/env.js'

/** FNV-1a over the characters. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** Seeded dice (sfc32). The same seed and name give the same stream on every machine. */
export class SimRandom implements Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(readonly seed: number, readonly name: string) {
    this.#a = hashText(name)
    this.#b = seed >>> 0
    this.#c = Math.floor(seed / 0x100000000) >>> 0
    for (let i = 0; i < 15; i++) this.#next()
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** An independent stream: drawing from one never shifts another. */
  fork(name: string): SimRandom {
    return new SimRandom(this.seed, `${this.name}/${name}`)
  }

  float(): number { return this.#next() / 0x100000000 }
  below(bound: number): number { return Math.floor(this.float() * bound) }
  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count)
    for (let at = 0; at < count; at++) bytes[at] = this.#next() & 0xff
    return bytes
  }

  chance(probability: number): boolean { return this.float() < probability }
  /** Uniform in [low, high). */
  between(low: number, high: number): number { return low + this.float() * (high - low) }
  /** Exponential with this mean: many short ones, a few very long. */
  exponential(mean: number): number { return -Math.log(1 - this.float()) * mean }
  pick<T>(list: readonly T[]): T | undefined { return list[this.below(list.length)] }
  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list]
    for (let at = copy.length - 1; at > 0; at--) {
      const other = this.below(at + 1)
      const held = copy[at]!
      copy[at] = copy[other]!
      copy[other] = held
    }
    return copy
  }
}
