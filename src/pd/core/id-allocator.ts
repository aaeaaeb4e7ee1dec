import { assert } from '../../common/assert.js'

/**
 * Ids from windows that were given to this member for good by a committed command, so that no id is ever given twice,
 * whoever leads and whatever is lost: an unused rest is simply never used.
 */
export class IdAllocator {
  #next = 0
  #end = 0
  #isAsked = false

  constructor(readonly windowIds: number) {
    assert(windowIds > 0, 'the id window must not be empty')
  }

  get remaining(): number { return this.#end - this.#next }

  /** @returns the first of `count` consecutive ids, or undefined when a window must come first */
  take(count: number): number | undefined {
    assert(Number.isSafeInteger(count) && count > 0, 'count of ids must be positive')
    if (this.remaining < count) return undefined
    const first = this.#next
    this.#next += count
    return first
  }

  /**
   * How many ids to ask for now; undefined when there are enough or the question is under way.
   * @param wanted ids that somebody waits for
   */
  windowToAsk(wanted: number): number | undefined {
    if (this.#isAsked) return undefined
    if (this.remaining >= Math.max(wanted, Math.ceil(this.windowIds / 2))) return undefined
    this.#isAsked = true
    return Math.max(this.windowIds, wanted)
  }

  /** The window [first, first + count) is ours. A window that does not continue the present one replaces it. */
  granted(first: number, count: number): void {
    this.#isAsked = false
    if (first !== this.#end) this.#next = first
    this.#end = first + count
  }

  failed(): void { this.#isAsked = false }
}
