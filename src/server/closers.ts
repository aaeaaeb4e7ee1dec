/** What was opened, closed in the opposite order: each step of a start adds its own. */
export class Closers {
  #steps: (() => void | Promise<void>)[] = []

  add(close: () => void | Promise<void>): void { this.#steps.push(close) }

  /** Every step runs, also behind one that fails; the first failure is thrown at the end. Idempotent. */
  async run(): Promise<void> {
    const steps = this.#steps.reverse()
    this.#steps = []
    const failures: unknown[] = []
    for (const close of steps) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
