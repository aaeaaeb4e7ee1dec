/** One line of a register history, whoever recorded it. `time_ns`: integer or decimal string of one monotonic clock. */
export interface RegisterLine {
  readonly process: number | string
  readonly type: 'invoke' | 'ok' | 'fail' | 'info'
  readonly f: string
  readonly key?: string
  readonly keys?: readonly string[]
  readonly value?: unknown
  readonly time_ns?: string | number
}

/** null = absent. Values are compared by their JSON text. */
export type RegisterValue = string | null

/**
 * What one operation demands of a register and does to it. `expect` undefined: any state is fine; `not`: any but this one.
 * `put` undefined: the state stays.
 */
export interface Operation {
  readonly id: number
  readonly process: string
  readonly text: string
  /** Position of the invoke and of the completion; `end` is Infinity when the outcome is not known. */
  readonly begin: number
  readonly end: number
  readonly expect: RegisterValue | undefined
  readonly not: RegisterValue | undefined
  readonly put: RegisterValue | undefined
}

export class HistoryError extends Error {
  override readonly name = 'HistoryError'
}

const kinds: Readonly<Record<string, 'read' | 'write' | 'delete' | 'cas'>> = {
  read: 'read', get: 'read', raw_get: 'read', r: 'read', batch_read: 'read', batch_get: 'read', scan: 'read', raw_scan: 'read',
  write: 'write', put: 'write', set: 'write', raw_put: 'write', w: 'write', batch_write: 'write', batch_put: 'write',
  delete: 'delete', del: 'delete', raw_delete: 'delete', batch_delete: 'delete',
  cas: 'cas', compare_and_swap: 'cas', raw_cas: 'cas',
}

interface Open {
  readonly line: RegisterLine
  readonly begin: number
}

/** `byTime`: equal stamps are concurrent. `byIndex`: the order of the lines. */
export type HistoryOrder = 'byTime' | 'byIndex'

/** Operations of each key. Batches are taken apart: no atomicity across keys is demanded. @throws HistoryError */
export function operationsByKey(lines: readonly RegisterLine[], order: HistoryOrder): ReadonlyMap<string, readonly Operation[]> {
  const builder = new Builder()
  const stampOf = order === 'byTime' ? timeStamps(lines) : (_line: RegisterLine, at: number): number => at
  const open = new Map<string, Open>()
  lines.forEach((line, at) => {
    if (line.process === 'nemesis') return
    const process = String(line.process)
    if (line.type === 'invoke') {
      if (open.has(process)) throw new HistoryError(`line ${at + 1}: process ${process} has an operation open`)
      open.set(process, { line, begin: stampOf(line, at) })
      return
    }
    const invoked = open.get(process)
    if (invoked === undefined) throw new HistoryError(`line ${at + 1}: completion without invoke of process ${process}`)
    open.delete(process)
    if (line.type === 'fail') return
    builder.add(process, invoked, line.type === 'ok' ? line : undefined, line.type === 'ok' ? stampOf(line, at) : Infinity)
  })
  for (const [process, invoked] of open) builder.add(process, invoked, undefined, Infinity)
  return builder.byKey
}

/** Stamps as distinct small numbers in the order of time; exact beyond 2^53. */
function timeStamps(lines: readonly RegisterLine[]): (line: RegisterLine) => number {
  const exact = (line: RegisterLine): bigint => {
    if (line.time_ns === undefined) throw new HistoryError('a line has no time_ns')
    return BigInt(line.time_ns)
  }
  const all = [...new Set(lines.filter(line => line.process !== 'nemesis').map(exact))].sort((a, b) => (a < b ? -1 : 1))
  const rank = new Map(all.map((stamp, at) => [stamp, at]))
  return line => rank.get(exact(line)) ?? 0
}

class Builder {
  readonly byKey = new Map<string, Operation[]>()
  #id = 0

  add(process: string, invoked: Open, done: RegisterLine | undefined, end: number): void {
    const { line, begin } = invoked
    const kind = kinds[line.f]
    if (kind === undefined) throw new HistoryError(`unknown operation ${line.f}`)
    // A read without an answer says nothing.
    if (kind === 'read' && done === undefined) return
    const push = (key: string, text: string, rules: Partial<Operation>): void => {
      const operations = this.byKey.get(key) ?? []
      if (operations.length === 0) this.byKey.set(key, operations)
      operations.push({ id: this.#id++, process, text, begin, end, expect: undefined, not: undefined, put: undefined, ...rules })
    }
    if (line.keys !== undefined) this.#addBatch(kind, line, done, push)
    else if (line.key !== undefined) addSingle(kind, line.key, line.value, done, push)
    else throw new HistoryError(`${line.f} without key`)
  }

  #addBatch(kind: 'read' | 'write' | 'delete' | 'cas', line: RegisterLine, done: RegisterLine | undefined, push: Push): void {
    const keys = line.keys ?? []
    const given = kind === 'read' ? done?.value : line.value
    keys.forEach((key, at) => {
      const one = Array.isArray(given) ? (given as unknown[])[at] : (given as Record<string, unknown> | undefined)?.[key]
      if (kind === 'cas') throw new HistoryError('no batches of cas')
      if (kind === 'read') push(key, `read ${show(one)}`, { expect: valueOf(one) })
      else if (kind === 'write') push(key, `write ${show(one)}`, { put: valueOf(one) })
      else push(key, 'delete', { put: null })
    })
  }
}

type Push = (key: string, text: string, rules: Partial<Operation>) => void

export function valueOf(value: unknown): RegisterValue {
  return value === undefined || value === null ? null : JSON.stringify(value)
}

const show = (value: unknown): string => valueOf(value) ?? 'absent'

function addSingle(kind: 'read' | 'write' | 'delete' | 'cas', key: string, argument: unknown,
  done: RegisterLine | undefined, push: Push): void {
  const unknown = done === undefined ? '?' : ''
  if (kind === 'read') push(key, `read ${show(done?.value)}`, { expect: valueOf(done?.value) })
  else if (kind === 'write') push(key, `write ${show(argument)}${unknown}`, { put: valueOf(argument) })
  else if (kind === 'delete') push(key, `delete${unknown}`, { put: null })
  else addCas(key, argument, done, push)
}

function addCas(key: string, argument: unknown, done: RegisterLine | undefined, push: Push): void {
  if (!Array.isArray(argument) || argument.length !== 2) throw new HistoryError('cas needs [expected, new]')
  const [expected, fresh] = [valueOf(argument[0]), valueOf(argument[1])]
  const name = `cas ${expected ?? 'absent'} → ${fresh ?? 'absent'}`
  const answer = done?.value
  const isObject = typeof answer === 'object' && answer !== null
  const swapped = done === undefined || answer === undefined || answer === true ||
    (isObject && (answer as { succeed?: unknown }).succeed === true)
  if (swapped) {
    push(key, done === undefined ? `${name}?` : `${name} swapped`, { expect: expected, put: fresh })
    return
  }
  if (!isObject || !('previous' in answer)) {
    push(key, `${name} refused`, { not: expected })
    return
  }
  const previous = valueOf((answer as { previous?: unknown }).previous)
  push(key, `${name} refused, was ${previous ?? 'absent'}`, { expect: previous, not: expected })
}

/** Blank lines, `#` lines and half a line at the very end are skipped. @throws HistoryError */
export function parseRegisterHistory(text: string): RegisterLine[] {
  const lines: RegisterLine[] = []
  const raw = text.split('\n')
  raw.forEach((one, at) => {
    if (one.trim() === '' || one.startsWith('#')) return
    try {
      lines.push(JSON.parse(one) as RegisterLine)
    } catch (error) {
      if (at === raw.length - 1) return
      throw new HistoryError(`line ${at + 1} is not JSON: ${String(error)}`)
    }
  })
  return lines
}
