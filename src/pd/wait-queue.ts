import { BoundedQueue } from '../common/bounded-queue.js'

/** A BoundedQueue whose first item can be looked at before it is taken. */
export class WaitQueue<T> {
  readonly #queue: BoundedQueue<T>
  #head: T | undefined

  constructor(name: string, itemsMax: number) {
    this.#queue = new BoundedQueue(name, itemsMax, Number.MAX_SAFE_INTEGER)
  }

  get length(): number { return this.#queue.length + (this.#head === undefined ? 0 : 1) }

  /** @returns false when full; the item was not taken */
  push(item: T): boolean { return this.#queue.push(item, 0) }

  peek(): T | undefined {
    this.#head ??= this.#queue.shift()
    return this.#head
  }

  shift(): T | undefined {
    const head = this.peek()
    this.#head = undefined
    return head
  }
}
