import type { Random } from '../../src/common/env.js'

/** mulberry32: small, good enough, and the same everywhere. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  return {
    float: () => next() / 2 ** 32,
    below: bound => Math.floor(next() / 2 ** 32 * bound),
    bytes: count => Uint8Array.from({ length: count }, () => next() & 0xff),
  }
}
