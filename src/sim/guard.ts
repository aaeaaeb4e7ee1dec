/**
 * While simulated code runs, the real world throws: whoever reaches for a real clock, timer or dice inside a run gets
 * an error with its stack instead of a run that cannot be replayed.
 */
export class GlobalsGuard {
  readonly #saved: [object, string, PropertyDescriptor | undefined][] = []

  get isUp(): boolean { return this.#saved.length > 0 }

  up(): void {
    if (this.isUp) return
    for (const [owner, name] of leaks()) {
      const descriptor = Object.getOwnPropertyDescriptor(owner, name)
      if (descriptor?.configurable === false) continue
      // Without one it is inherited: a property of its own hides it.
      this.#saved.push([owner, name, descriptor])
      const trap = (): never => {
        throw new Error(`${name} inside a simulated run: it must come through Env`)
      }
      Object.defineProperty(owner, name, { value: trap, configurable: true, writable: true })
    }
  }

  down(): void {
    for (const [owner, name, descriptor] of this.#saved.splice(0)) {
      if (descriptor === undefined) Reflect.deleteProperty(owner, name)
      else Object.defineProperty(owner, name, descriptor)
    }
  }
}

function leaks(): readonly (readonly [object, string])[] {
  return [
    [Date, 'now'], [globalThis, 'Date'], [Math, 'random'], [performance, 'now'], [globalThis, 'setTimeout'],
    [globalThis, 'setInterval'], [globalThis, 'setImmediate'], [process, 'hrtime'], [process, 'nextTick'],
    [crypto, 'getRandomValues'], [crypto, 'randomUUID'], [globalThis, 'fetch'],
  ]
}
