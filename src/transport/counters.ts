/** Figures by metric name, as server/metrics wants them: `_total` names are counters, labels are part of the name. */
export class Counters {
  readonly #values: Record<string, number> = {}

  constructor(...names: readonly string[]) {
    for (const name of names) this.#values[name] = 0
  }

  add(name: string, by = 1): void { this.#values[name] = (this.#values[name] ?? 0) + by }

  read(): Record<string, number> { return { ...this.#values } }
}
