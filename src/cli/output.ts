import { createRequire } from 'node:module'
import type Table from 'cli-table3'
import { toJson } from '../server/json.js'

/** What a command ends with. 3: a write may or may not have happened. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, undetermined: 3 } as const

/** Ends a command with a message for people and a code for machines; nothing else is printed. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  constructor(readonly code: string, message: string, readonly exitCode: number = exitCodes.failed,
    readonly details?: Readonly<Record<string, unknown>>) {
    super(message)
  }
}

export const usageError = (message: string): CommandError => new CommandError('Usage', message, exitCodes.usage)

export const printLine = (text: string): void => { process.stdout.write(`${text}\n`) }
/** As printLine, at the pace of whoever reads: for output without bounds. */
export async function printSlowly(text: string): Promise<void> {
  if (process.stdout.write(`${text}\n`) || process.stdout.destroyed) return
  await new Promise<void>(resolve => {
    const go = (): void => {
      process.stdout.off('drain', go).off('close', go).off('error', go)
      resolve()
    }
    process.stdout.on('drain', go).on('close', go).on('error', go)
  })
}
export const printJson = (value: unknown): void => { printLine(toJson(value)) }

/** Borderless, two spaces between columns: reads well and cuts well. */
export function printTable(head: readonly string[], rows: readonly (readonly unknown[])[]): void {
  const none = {
    top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
    left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ',
  }
  // Loaded late: most commands print no table.
  const TableClass = createRequire(import.meta.url)('cli-table3') as typeof Table
  const table = new TableClass({ head: [...head], chars: none, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] } })
  for (const row of rows) table.push(row.map(cell => cell === undefined ? '' : String(cell)))
  printLine(table.toString().split('\n').map(line => line.trimEnd()).join('\n'))
}

/** Printable ASCII as it is, anything else as `x'6B6579'`. */
export function showBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes)
  for (const byte of bytes) if (byte < 0x20 || byte > 0x7e) return `x'${text.toString('hex').toUpperCase()}'`
  return text.toString('latin1')
}

export const isUtf8Text = (bytes: Uint8Array): boolean => Buffer.from(Buffer.from(bytes).toString('utf8'), 'utf8').equals(bytes)

/** One JSON shape for a value everywhere: `{"text": …}` or `{"hex": …}` when it is no text. */
export function bytesJson(bytes: Uint8Array, isHex: boolean): string | { hex: string } {
  const buffer = Buffer.from(bytes)
  if (isHex) return buffer.toString('hex')
  return isUtf8Text(bytes) ? buffer.toString('utf8') : { hex: buffer.toString('hex') }
}
