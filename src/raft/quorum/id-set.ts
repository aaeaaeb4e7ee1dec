import type { NodeId } from '../types.js'

/** A small immutable set of node ids in ascending order. Changing it means making another. */
export class IdSet {
  static readonly empty: IdSet = new IdSet([])
  readonly ids: readonly NodeId[]

  private constructor(sorted: readonly NodeId[]) {
    this.ids = sorted
  }

  static of(ids: Iterable<number>): IdSet {
    const sorted = [...new Set(ids)].sort((left, right) => left - right) as NodeId[]
    return sorted.length === 0 ? IdSet.empty : new IdSet(sorted)
  }

  get size(): number { return this.ids.length }
  has(id: number): boolean { return this.ids.includes(id as NodeId) }

  with(id: number): IdSet {
    return this.has(id) ? this : IdSet.of([...this.ids, id])
  }

  without(id: number): IdSet {
    return this.has(id) ? IdSet.of(this.ids.filter(other => other !== id)) : this
  }

  /** How many ids are in one of the two sets but not in both. */
  differenceSize(other: IdSet): number {
    let count = 0
    for (const id of this.ids) if (!other.has(id)) count++
    for (const id of other.ids) if (!this.has(id)) count++
    return count
  }

  /** `(1 2 3)` */
  describe(): string { return `(${this.ids.join(' ')})` }
}
