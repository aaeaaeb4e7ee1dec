interface Watched {
  readonly listeners: Set<() => void>
  readonly onAbort: () => void
}

/**
 * One listener on each AbortSignal, however many calls it may end: a signal that is shared by thousands of calls is
 * normal, and Node takes more than ten listeners on it for a leak. One for a client and all its channels.
 */
export class AbortWatch {
  readonly #watched = new Map<AbortSignal, Watched>()

  /** Signals that calls under way hang on. */
  get size(): number { return this.#watched.size }

  add(signal: AbortSignal, listener: () => void): void {
    let watched = this.#watched.get(signal)
    if (watched === undefined) {
      const listeners = new Set<() => void>()
      const onAbort = (): void => {
        this.#watched.delete(signal)
        for (const one of listeners) one()
      }
      watched = { listeners, onAbort }
      this.#watched.set(signal, watched)
      signal.addEventListener('abort', onAbort, { once: true })
    }
    watched.listeners.add(listener)
  }

  /** Does nothing for what is not there any more. */
  remove(signal: AbortSignal, listener: () => void): void {
    const watched = this.#watched.get(signal)
    if (watched === undefined || !watched.listeners.delete(listener) || watched.listeners.size > 0) return
    this.#watched.delete(signal)
    signal.removeEventListener('abort', watched.onAbort)
  }
}
