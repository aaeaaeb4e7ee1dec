import { assert } from '../../common/assert.js'

/**
 * Appends sent to one follower and not yet acknowledged, oldest first: the last index of each and its bytes.
 * A ring that grows up to `messagesMax`. The byte limit is soft: the message that crosses it is still
 * admitted.
 */
export class Inflights {
  readonly #messagesMax: number
  readonly #bytesMax: number
  readonly #indexes: number[] = []
  readonly #sizes: number[] = []
  #start = 0
  #count = 0
  #bytes = 0

  /** @param bytesMax 0 means no limit */
  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  get count(): number { return this.#count }
  get bytes(): number { return this.#bytes }
  get full(): boolean {
    return this.#count === this.#messagesMax || (this.#bytesMax !== 0 && this.#bytes >= this.#bytesMax)
  }

  /** Indexes must come in ascending order, and only while not full. */
  add(index: number, bytes: number): void {
    assert(!this.full, 'no room for another append in flight')
    let at = this.#start + this.#count
    if (at >= this.#messagesMax) at -= this.#messagesMax
    this.#indexes[at] = index
    this.#sizes[at] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Frees every message whose last index is <= index. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!
      this.#count--
      this.#start++
      if (this.#start >= this.#messagesMax) this.#start = 0
    }
    // Starting over at the front keeps the ring as short as the window ever was.
    if (this.#count === 0) this.#start = 0
  }

  reset(): void {
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }
}
