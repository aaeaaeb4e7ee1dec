import { closeSync, openSync, writeSync } from 'node:fs'

/** One line of a history: docs/PROTOCOL.md says nothing of it, src/verify/README.md does. */
export interface HistoryLine {
  readonly process: number | 'nemesis'
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: string
  readonly key?: string
  readonly value?: unknown
  readonly time_ns: string
}

/**
 * Records what clients did on one monotonic clock. `invoke` is written before the request leaves; `fail` only when the
 * operation certainly did not happen; everything unknown is `info`.
 */
export class HistoryRecorder {
  readonly lines: HistoryLine[] = []
  readonly #file: number | undefined
  #pending = ''

  constructor(path: string | undefined) {
    this.#file = path === undefined ? undefined : openSync(path, 'w')
  }

  record(line: Omit<HistoryLine, 'time_ns'>): void {
    const stamped: HistoryLine = { ...line, time_ns: process.hrtime.bigint().toString() }
    this.lines.push(stamped)
    if (this.#file === undefined) return
    this.#pending += `${JSON.stringify(stamped)}\n`
    if (this.#pending.length > 65_536) this.#flush()
  }

  #flush(): void {
    if (this.#file !== undefined && this.#pending.length > 0) writeSync(this.#file, this.#pending)
    this.#pending = ''
  }

  close(): void {
    this.#flush()
    if (this.#file !== undefined) closeSync(this.#file)
  }
}
