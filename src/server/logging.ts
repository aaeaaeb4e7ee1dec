import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import type { pino as Pino } from 'pino'
import type { LogFields, LogLevel } from '../common/env.js'
import { isCode } from './files.js'
import { StartupError } from './startup-error.js'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  /** Appended to; empty: standard error. */
  readonly file: string
}

/** A log that goes on when its file was renamed: `reopen` begins a new one under the old name. */
export interface NodeLog extends LogSink {
  readonly isFile: boolean
  reopen(): void
}

export type LogSink = (node: string, level: LogLevel, event: string, fields?: LogFields) => void

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** One event, one line. Written at once: the line that explains the end of a process must not stay in a buffer. */
export function createLog(options: LogOptions): NodeLog {
  const lines = new Lines(options.file)
  const write = (line: string): void => { lines.write(line) }
  const sink = options.format === 'json' ? jsonLog(options.level, write) : textLog(options.level, write)
  return Object.assign(sink, { isFile: options.file !== '', reopen: () => { lines.reopen() } })
}

function textLog(least: LogLevel, write: (line: string) => void): LogSink {
  return (node, level, event, fields) => {
    if (ranks[level] >= ranks[least]) write(`${formatLine(new Date().toISOString(), node, level, event, fields)}\n`)
  }
}

function jsonLog(level: LogLevel, write: (line: string) => void): LogSink {
  // Loaded late: text logs do without it.
  const { pino } = createRequire(import.meta.url)('pino') as { pino: typeof Pino }
  const json = pino({
    level, base: null, messageKey: 'event', timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: label => ({ level: label }) },
  }, { write })
  return (node, at, event, fields) => { json[at]({ node, ...plain(fields) }, event) }
}

function openLogFile(file: string): number {
  try {
    mkdirSync(dirname(file), { recursive: true })
    return openSync(file, 'a')
  } catch (error) {
    throw new StartupError('config', `log.file.filename ${file} cannot be opened: ${(error as Error).message}`, { cause: error })
  }
}

const standardError = 2
const writeAttemptsMax = 100

class Lines {
  readonly #file: string
  #fd: number

  /** @throws StartupError when the file cannot be opened */
  constructor(file: string) {
    this.#file = file
    this.#fd = file === '' ? standardError : openLogFile(file)
  }

  /** @throws StartupError; then the old file is gone on with */
  reopen(): void {
    if (this.#file === '') return
    const old = this.#fd
    this.#fd = openLogFile(this.#file)
    closeSync(old)
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    let at = 0
    for (let attempt = 0; at < bytes.length && attempt < writeAttemptsMax;) {
      try {
        at += writeSync(this.#fd, bytes, at)
      } catch (error) {
        // A pipe whose reader is slow may be tried again; one without a reader, or a full disk, must not end a node.
        if (!isCode(error, 'EAGAIN')) return
        attempt++
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
    }
  }
}

/** `2026-01-02T03:04:05.678Z INFO  store-1 peer.split region=1 new=4` */
export function formatLine(
  time: string, node: string, level: LogLevel, event: string, fields: LogFields | undefined,
): string {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${node} ${event}`
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value !== undefined) line += ` ${name}=${formatValue(value)}`
  }
  return line
}

function formatValue(value: string | number | boolean | bigint): string {
  if (typeof value !== 'string') return String(value)
  return /^[^\s"=\p{Cc}]+$/u.test(value) ? value : JSON.stringify(value)
}

function plain(fields: LogFields | undefined): Record<string, string | number | boolean> {
  const result: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(fields ?? {})) {
    if (value !== undefined) result[name] = typeof value === 'bigint' ? value.toString() : value
  }
  return result
}

/** For programs whose output is their answer: only warnings and errors of the machinery, as text. */
export const quietLog = (): LogSink => createLog({ level: 'error', format: 'text', file: '' })
export const noLog: LogSink = () => {}
