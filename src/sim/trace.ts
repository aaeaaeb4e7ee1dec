import { hashText } from './random.js'

/** One thing that happened. Text is built only when somebody reads it. */
export interface TraceEvent {
  readonly time: number
  readonly node: string
  readonly region: number
  readonly kind: string
  readonly detail: string | (() => string)
}

const keptPerRegion = 40

/**
 * What happened: a rolling hash of everything (two runs of one seed must agree on it) and the last events of each region
 * (region 0: of no region) for reports.
 */
export class Trace {
  #high = 0x811c9dc5
  #low = 0x9e3779b9
  readonly #byRegion = new Map<number, TraceEvent[]>()
  readonly #kindHash = new Map<string, number>()

  /** @param print every event as it comes: `--log full` */
  constructor(readonly print: ((text: string) => void) | undefined) {}

  /** 16 hex digits. */
  get hash(): string {
    return (this.#high >>> 0).toString(16).padStart(8, '0') + (this.#low >>> 0).toString(16).padStart(8, '0')
  }

  mix(value: number): void {
    this.#high = Math.imul(this.#high ^ (value | 0), 0x01000193)
    this.#low = (Math.imul(this.#low, 31) + (value | 0)) ^ (this.#high >>> 15)
  }

  event(event: TraceEvent, payload = 0): void {
    this.mix(Math.round(event.time * 1000))
    this.mix(this.#hashOf(event.node))
    this.mix(this.#hashOf(event.kind))
    this.mix(event.region)
    this.mix(payload)
    const kept = this.#byRegion.get(event.region)
    if (kept === undefined) {
      this.#byRegion.set(event.region, [event])
    } else {
      kept.push(event)
      if (kept.length > 2 * keptPerRegion) kept.splice(0, keptPerRegion)
    }
    this.print?.(formatEvent(event))
  }

  /** For who reads everything as it comes; no part of the story that is hashed. */
  say(event: TraceEvent): void { this.print?.(formatEvent(event)) }

  last(region: number, count: number): readonly TraceEvent[] {
    return (this.#byRegion.get(region) ?? []).slice(-count)
  }

  #hashOf(text: string): number {
    const known = this.#kindHash.get(text)
    if (known !== undefined) return known
    const hash = hashText(text)
    this.#kindHash.set(text, hash)
    return hash
  }
}

export function formatEvent(event: TraceEvent): string {
  const detail = typeof event.detail === 'string' ? event.detail : event.detail()
  const region = event.region === 0 ? '-' : String(event.region)
  return `${event.time.toFixed(1).padStart(10)}  ${event.node.padEnd(10)} ${region.padStart(5)}  ${event.kind.padEnd(14)} ${detail}`
}

/** 32 bits over bytes, eight at a time where it can. */
export function hashBytes(bytes: Uint8Array): number {
  let hash = 0x811c9dc5 ^ bytes.length
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash >>> 0
}
