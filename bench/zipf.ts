/** xorshift128: seeded, so that a run can be repeated. */
export class Dice {
  #a: number
  #b = 0x9e3779b9
  #c = 0x243f6a88
  #d = 0xb7e15162

  constructor(seed: number) {
    this.#a = (seed | 0) || 1
    for (let i = 0; i < 16; i++) this.next()
  }

  /** Uniform in [0, 1). */
  next(): number {
    let t = this.#d
    const s = this.#a
    this.#d = this.#c
    this.#c = this.#b
    this.#b = s
    t ^= t << 11
    t ^= t >>> 8
    this.#a = (t ^ s ^ (s >>> 19)) | 0
    return (this.#a >>> 0) / 0x1_0000_0000
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound)
  }
}

/** Numbers 0 .. count-1, hot ones scattered over the range. Gray et al., "Quickly generating billion-record databases" (1994), §3. */
export class ScrambledZipf {
  readonly #zetan: number
  readonly #alpha: number
  readonly #eta: number
  readonly #half: number

  constructor(readonly count: number, readonly theta: number, readonly dice: Dice) {
    let zetan = 0
    for (let i = 1; i <= count; i++) zetan += 1 / i ** theta
    const zeta2 = 1 + 1 / 2 ** theta
    this.#zetan = zetan
    this.#alpha = 1 / (1 - theta)
    this.#eta = (1 - (2 / count) ** (1 - theta)) / (1 - zeta2 / zetan)
    this.#half = 1 + 0.5 ** theta
  }

  next(): number {
    return scramble(this.nextRank()) % this.count
  }

  /** Unscrambled: 0 is the hottest. */
  nextRank(): number {
    const u = this.dice.next()
    const uz = u * this.#zetan
    let rank: number
    if (uz < 1) rank = 0
    else if (uz < this.#half) rank = 1
    else rank = Math.floor(this.count * (this.#eta * u - this.#eta + 1) ** this.#alpha)
    return Math.min(rank, this.count - 1)
  }
}

/** FNV-1a over four bytes: spreads neighbouring ranks. */
function scramble(value: number): number {
  let hash = 0x811c9dc5
  for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((value >>> shift) & 0xff), 0x01000193)
  return hash >>> 0
}
