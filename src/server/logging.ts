import { pino } from 'pino'
import type { LogFields, LogLevel } from '../common/env.js'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  /** Appended to; empty: standard error. */
  readonly file: string
}

export type LogSink = (node: string, level: LogLevel, event: string, fields?: LogFields) => void

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** One event, one line. Written at once: the line that explains the end of a process must not stay in a buffer. */
export function createLog(options: LogOptions): LogSink {
  const destination = pino.destination({ dest: options.file === '' ? 2 : options.file, sync: true, mkdir: true, append: true })
  if (options.format === 'json') {
    const json = pino({
      level: options.level, base: null, messageKey: 'event', timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    }, destination)
    return (node, level, event, fields) => { json[level]({ node, ...plain(fields) }, event) }
  }
  const lowest = ranks[options.level]
  return (node, level, event, fields) => {
    if (ranks[level] < lowest) return
    destination.write(`${formatLine(new Date().toISOString(), node, level, event, fields)}\n`)
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
