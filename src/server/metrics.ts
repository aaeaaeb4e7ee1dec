import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { IntervalHistogram } from 'node:perf_hooks'
import type Library from 'prom-client'
import type { Counter, Gauge, Registry } from 'prom-client'
import { metricHelp } from './metric-help.js'

/** Plain figures by metric name; `_total` names are counters. A name may carry labels: `x_total{kind="a"}`. */
export type MetricsSource = () => Readonly<Record<string, number>>

const namePattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$/
const resolutionMs = 10
/** Delay figures are those of the last whole window and of the one under way. */
const windowMs = 10_000

/** Figures of one node, in a registry of its own: many nodes may live in one process. */
export class NodeMetrics {
  readonly #labels: Readonly<Record<string, string>>
  #prometheus: Promise<Prometheus> | undefined
  readonly #sources: MetricsSource[] = []
  readonly loop: LoopDelay

  /** @param labels on every line, such as the node's name */
  constructor(labels: Readonly<Record<string, string>>) {
    this.#labels = labels
    this.loop = new LoopDelay()
    this.add(processFigures)
    this.add(() => this.loop.figures())
  }

  add(source: MetricsSource): void { this.#sources.push(source) }

  close(): void { this.loop.close() }

  async text(): Promise<string> {
    this.#prometheus ??= Prometheus.load(this.#labels)
    const prometheus = await this.#prometheus
    const seen = new Set<string>()
    for (const source of this.#sources) {
      for (const [key, value] of Object.entries(source())) {
        prometheus.set(key, value)
        seen.add(key)
      }
    }
    prometheus.forgetOthers(seen)
    return await prometheus.registry.metrics()
  }
}

/** Format of `text`. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'

/** prom-client, loaded when somebody asks for figures: a start is shorter without it. */
class Prometheus {
  readonly #library: typeof Library
  readonly registry: Registry
  readonly #gauges = new Map<string, Gauge>()
  readonly #counters = new Map<string, Counter>()
  readonly #told = new Map<string, { readonly metric: Gauge | Counter; readonly labels: Readonly<Record<string, string>> }>()

  private constructor(library: typeof Library, labels: Readonly<Record<string, string>>) {
    this.#library = library
    this.registry = new library.Registry()
    this.registry.setDefaultLabels({ ...labels })
  }

  static async load(labels: Readonly<Record<string, string>>): Promise<Prometheus> {
    return new Prometheus((await import('prom-client')).default, labels)
  }

  set(key: string, value: number): void {
    const match = namePattern.exec(key)
    if (match === null || !Number.isFinite(value)) return
    const name = `karst_${match[1] ?? ''}`
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, label, text]) => [label, text]))
    const labelNames = Object.keys(labels)
    if (!name.endsWith('_total')) {
      const gauge = this.#gauge(name, labelNames)
      gauge.set(labels, value)
      this.#told.set(key, { metric: gauge, labels })
      return
    }
    const counter = this.#counter(name, labelNames)
    this.#told.set(key, { metric: counter, labels })
    counter.remove(labels)
    counter.inc(labels, Math.max(0, value))
  }

  /** What only a leader knows is not told by one who was: the last figure would stand for ever. */
  forgetOthers(seen: ReadonlySet<string>): void {
    for (const [key, { metric, labels }] of this.#told) {
      if (seen.has(key)) continue
      metric.remove(labels)
      this.#told.delete(key)
    }
  }

  #gauge(name: string, labelNames: string[]): Gauge {
    let gauge = this.#gauges.get(name)
    if (gauge === undefined) {
      gauge = new this.#library.Gauge({ name, help: helpOf(name), labelNames, registers: [this.registry] })
      this.#gauges.set(name, gauge)
    }
    return gauge
  }

  #counter(name: string, labelNames: string[]): Counter {
    let counter = this.#counters.get(name)
    if (counter === undefined) {
      counter = new this.#library.Counter({ name, help: helpOf(name), labelNames, registers: [this.registry] })
      this.#counters.set(name, counter)
    }
    return counter
  }
}

const helpOf = (name: string): string => metricHelp(name.replace(/^karst_/, '')) ?? 'Not described yet.'

/** How late the event loop is. The histogram of perf_hooks counts its own period; it is taken off here. */
export class LoopDelay {
  readonly #histogram: IntervalHistogram
  #startedAtMs = performance.now()
  #last: { readonly p50: number; readonly p99: number; readonly max: number } | undefined
  #maxMs = 0

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs })
    this.#histogram.enable()
  }

  figures(): Record<string, number> {
    const read = (quantile: number): number =>
      Math.max(0, this.#histogram.percentile(quantile) / 1e6 - resolutionMs) / 1e3
    const hasAny = this.#histogram.count > 0
    const now = hasAny ? { p50: read(50), p99: read(99), max: read(100) } : { p50: 0, p99: 0, max: 0 }
    this.#maxMs = Math.max(this.#maxMs, now.max)
    const shown = this.#last ?? now
    if (performance.now() - this.#startedAtMs > windowMs) {
      this.#last = now
      this.#startedAtMs = performance.now()
      this.#histogram.reset()
    }
    const worst = { p50: Math.max(shown.p50, now.p50), p99: Math.max(shown.p99, now.p99), max: Math.max(shown.max, now.max) }
    return {
      'event_loop_delay_seconds{quantile="0.5"}': worst.p50, 'event_loop_delay_seconds{quantile="0.99"}': worst.p99,
      'event_loop_delay_seconds{quantile="1"}': worst.max, event_loop_delay_ever_max_seconds: this.#maxMs,
    }
  }

  close(): void { this.#histogram.disable() }
}

function processFigures(): Record<string, number> {
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  return {
    process_resident_memory_bytes: memory.rss, process_heap_used_bytes: memory.heapUsed,
    process_heap_total_bytes: memory.heapTotal, process_external_memory_bytes: memory.external,
    process_cpu_user_seconds_total: cpu.user / 1e6, process_cpu_system_seconds_total: cpu.system / 1e6,
    process_uptime_seconds: process.uptime(),
  }
}
