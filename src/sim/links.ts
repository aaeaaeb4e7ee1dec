import type { SimRandom } from './random.js'

/** What the wires of a run are like. Probabilities per message; times in ms. */
export interface LinkQuality {
  readonly delayMinMs: number
  readonly delayMeanMs: number
  readonly loss: number
  readonly duplicate: number
  /** A message may overtake others: it gets an extra delay of up to this. */
  readonly reorder: number
  readonly reorderMs: number
}

export const calmLinks: LinkQuality =
  { delayMinMs: 0.1, delayMeanMs: 0.3, loss: 0, duplicate: 0, reorder: 0, reorderMs: 0 }

/** Directed state of every pair of nodes: who can reach whom, and how well. Nodes are named. */
export class Links {
  quality: LinkQuality = calmLinks
  readonly #cut = new Set<string>()
  readonly #clogged = new Map<string, number>()
  readonly #random: SimRandom
  /** Told when links open again, so that what waited can go. */
  onOpened: (() => void) | undefined

  constructor(random: SimRandom) {
    this.#random = random
  }

  isCut(from: string, to: string): boolean { return this.#cut.has(`${from}>${to}`) }
  get cutCount(): number { return this.#cut.size }

  cut(from: string, to: string): void { this.#cut.add(`${from}>${to}`) }

  /** Nothing sent before `untilMs` arrives before it. */
  clog(from: string, to: string, untilMs: number): void { this.#clogged.set(`${from}>${to}`, untilMs) }

  cloggedUntil(from: string, to: string): number { return this.#clogged.get(`${from}>${to}`) ?? 0 }

  healPartitions(): void {
    this.#cut.clear()
    this.onOpened?.()
  }

  heal(): void {
    this.quality = calmLinks
    this.#clogged.clear()
    this.healPartitions()
  }

  delayMs(): number {
    return this.quality.delayMinMs + this.#random.exponential(this.quality.delayMeanMs)
  }

  /** For links that may lose whole messages: arrival times of the copies, none when it is lost. */
  copies(from: string, to: string, now: number): readonly number[] {
    if (this.isCut(from, to)) return []
    const { loss, duplicate, reorder, reorderMs } = this.quality
    if (loss > 0 && this.#random.chance(loss)) return []
    const at = (): number => {
      const late = reorder > 0 && this.#random.chance(reorder) ? this.#random.float() * reorderMs : 0
      return Math.max(now + this.delayMs() + late, this.cloggedUntil(from, to))
    }
    if (duplicate > 0 && this.#random.chance(duplicate)) return [at(), at() + this.#random.exponential(reorderMs + 5)]
    return [at()]
  }
}

/** Ways to cut a cluster. */
export type PartitionShape = 'isolate' | 'halves' | 'mute' | 'deafen' | 'ring' | 'bridge'
export const partitionShapes: readonly PartitionShape[] = ['isolate', 'halves', 'mute', 'deafen', 'ring', 'bridge']

/**
 * @param order the nodes in drawn order; the first one is the odd one out
 * @returns     what was done, for the trace
 */
export function partition(links: Links, order: readonly string[], shape: PartitionShape, random: SimRandom): string {
  const nodes = order
  const one = order[0]!
  const both = (left: string, right: string): void => {
    links.cut(left, right)
    links.cut(right, left)
  }
  switch (shape) {
    case 'isolate':
      for (const other of nodes) if (other !== one) both(one, other)
      return `isolate ${one}`
    case 'mute':
      for (const other of nodes) if (other !== one) links.cut(one, other)
      return `nobody hears ${one}`
    case 'deafen':
      for (const other of nodes) if (other !== one) links.cut(other, one)
      return `${one} hears nobody`
    case 'halves': {
      const half = 1 + random.below(Math.max(1, nodes.length - 1))
      for (const left of order.slice(0, half)) for (const right of order.slice(half)) both(left, right)
      return `{${order.slice(0, half).join(' ')}} {${order.slice(half).join(' ')}}`
    }
    case 'ring':
      for (let at = 0; at < order.length; at++) {
        for (let other = at + 2; other < order.length; other++) {
          if (at === 0 && other === order.length - 1) continue
          both(order[at]!, order[other]!)
        }
      }
      return `ring ${order.join(' ')}`
    default: {
      const half = Math.ceil((order.length - 1) / 2)
      const left = order.slice(1, 1 + half)
      for (const a of left) for (const b of order.slice(1 + half)) both(a, b)
      return `bridge ${one}`
    }
  }
}
