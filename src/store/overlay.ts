type Value = Uint8Array | undefined

const keyText = (key: Uint8Array): string => {
  let text = ''
  for (const byte of key) text += String.fromCharCode(byte)
  return text
}

/**
 * What the earlier operations of one entry have made of CF default, in front of the engine. A deleted range is an interval:
 * nobody lists what lies under it.
 */
export class Overlay {
  readonly #points = new Map<string, Value>()
  readonly #ranges: { readonly from: string; readonly to: string }[] = []

  set(key: Uint8Array, value: Value): void { this.#points.set(keyText(key), value) }

  /** [start, end); empty end = no bound. */
  deleteRange(start: Uint8Array, end: Uint8Array): void {
    const range = { from: keyText(start), to: keyText(end) }
    for (const key of this.#points.keys()) if (isIn(range, key)) this.#points.set(key, undefined)
    this.#ranges.push(range)
  }

  /** @param beneath asked when no operation of this entry says what the key holds */
  get(key: Uint8Array, beneath: (key: Uint8Array) => Value): Value {
    const name = keyText(key)
    if (this.#points.has(name)) return this.#points.get(name)
    return this.#ranges.some(range => isIn(range, name)) ? undefined : beneath(key)
  }
}

const isIn = ({ from, to }: { readonly from: string; readonly to: string }, key: string): boolean =>
  key >= from && (to === '' || key < to)
