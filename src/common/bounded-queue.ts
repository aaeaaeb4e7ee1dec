import { assert } from './assert.js'

/** First in, first out, with a limit in items and in bytes. When full it says so; it never waits. */
export class BoundedQueue<T> {
  #items: { item: T; bytes: number }[] = []
  #head = 0
  #bytes = 0

  constructor(readonly name: string, readonly itemsMax: number, readonly bytesMax: number) {
    assert(itemsMax > 0 && bytesMax > 0, () => `queue ${name} needs limits`)
  }

  get length(): number { return this.#items.length - this.#head }
  get bytes(): number { return this.#bytes }

  /** @returns false when full; the item was not taken. An empty queue takes one item of any size. */
  push(item: T, bytes: number): boolean {
    if (this.length > 0 && (this.length >= this.itemsMax || this.#bytes + bytes > this.bytesMax)) return false
    this.#items.push({ item, bytes })
    this.#bytes += bytes
    return true
  }

  shift(): T | undefined {
    const entry = this.#items[this.#head]
    if (entry === undefined) return undefined
    this.#head++
    this.#bytes -= entry.bytes
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return entry.item
  }

  clear(): void {
    this.#items = []
    this.#head = 0
    this.#bytes = 0
  }
}
