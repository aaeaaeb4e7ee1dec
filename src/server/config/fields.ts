import { parseBytes, parseDurationMs } from './units.js'

/** A configuration value, already in inner units: durations are ms, sizes are bytes. */
export type Value = string | number | boolean | readonly string[] | Readonly<Record<string, string>>

export type FieldKind =
  | 'duration' | 'size' | 'integer' | 'ratio' | 'boolean' | 'text' | 'choice' | 'address' | 'addresses' | 'urls' | 'labels' | 'list'

/** One documented key. `key` is the outside name (TiKV's where the meaning is the same), with its table. */
export interface Field {
  readonly key: string
  readonly kind: FieldKind
  readonly default: Value
  /** Meaning, trade-off, and what zero or empty means. */
  readonly doc: string
  /** Inclusive; in ms, bytes or units. */
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
  /** Long flag without dashes, and whether it is only another name of the key. */
  readonly flag?: string
}

/** The values in force, by key. */
export interface Values {
  number(key: string): number
  text(key: string): string
  list(key: string): readonly string[]
}

/** A relation between fields. Checked when every field it names is sound by itself. */
export interface Rule {
  readonly keys: readonly string[]
  /** @returns what is wrong, or undefined */
  readonly check: (values: Values) => string | undefined
}

export interface Schema {
  readonly program: string
  readonly fields: readonly Field[]
  readonly rules: readonly Rule[]
}

export type Parsed = { readonly value: Value } | { readonly mistake: string }
/** A timer that is set to more fires at once. */
const timerMsMax = 2 ** 31 - 1
const mistake = (text: string): Parsed => ({ mistake: text })

const addressPattern = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(\d{1,5})$/

/** `host:port` with a port that exists. 0 stands for any free port. */
export function isAddress(text: string): boolean {
  const match = addressPattern.exec(text)
  return match !== null && Number(match[2]) <= 65_535
}

/** `http://host:port` → `host:port`; plain addresses pass. */
export const withoutScheme = (text: string): string => text.replace(/^https?:\/\//, '').replace(/\/$/, '')

const splitList = (text: string): string[] => text.split(',').map(part => part.trim()).filter(part => part !== '')

/** Reads what a flag or a TOML value says. `raw`: string, number, boolean, array of strings or table of strings. */
export function parseField(field: Field, raw: unknown): Parsed {
  switch (field.kind) {
    case 'duration': return bounded(field, raw, parseDurationMs, 'a duration such as "100ms", "10s" or "5m"')
    case 'size': return bounded(field, raw, parseBytes, 'a size such as "64KiB" or "96MiB"')
    case 'integer': return bounded(field, raw, wholeNumber, 'a whole number')
    case 'ratio': return bounded(field, raw, fraction, 'a number such as 0.8')
    case 'boolean': return parseBoolean(raw)
    case 'choice': return typeof raw === 'string' && (field.choices ?? []).includes(raw)
      ? { value: raw }
      : mistake(`must be one of ${(field.choices ?? []).join(', ')}, not ${show(raw)}`)
    case 'text': return typeof raw === 'string' ? { value: raw } : mistake(`must be a text, not ${show(raw)}`)
    case 'address':
      if (typeof raw === 'string' && (raw === '' || isAddress(withoutScheme(raw)))) return { value: withoutScheme(raw) }
      return mistake(`must be an address host:port, not ${show(raw)}`)
    case 'addresses':
    case 'urls': return parseAddresses(field.kind, raw)
    case 'list': return parseList(raw)
    case 'labels': return parseLabels(raw)
  }
}

export const show = (raw: unknown): string => raw === undefined ? 'nothing' : JSON.stringify(raw)

function wholeNumber(raw: unknown): number | undefined {
  if (typeof raw === 'number') return Number.isSafeInteger(raw) ? raw : undefined
  return typeof raw === 'string' && /^-?\d{1,15}$/.test(raw) ? Number(raw) : undefined
}

function fraction(raw: unknown): number | undefined {
  if (typeof raw === 'number') return Number.isFinite(raw) ? raw : undefined
  return typeof raw === 'string' && /^\d{1,6}(\.\d{1,6})?$/.test(raw) ? Number(raw) : undefined
}

function bounded(field: Field, raw: unknown, parse: (raw: unknown) => number | undefined, wanted: string): Parsed {
  const value = parse(raw)
  if (value === undefined) return mistake(`must be ${wanted}, not ${show(raw)}`)
  const unit = field.kind === 'duration' ? ' ms' : field.kind === 'size' ? ' bytes' : ''
  const max = field.max ?? (field.kind === 'duration' ? timerMsMax : Number.MAX_SAFE_INTEGER)
  if (field.min !== undefined && value < field.min) return mistake(`must be at least ${field.min}${unit}, is ${value}${unit}`)
  if (value > max) return mistake(`must be at most ${max}${unit}, is ${value}${unit}`)
  return { value }
}

function parseBoolean(raw: unknown): Parsed {
  if (typeof raw === 'boolean') return { value: raw }
  if (raw === 'true') return { value: true }
  if (raw === 'false') return { value: false }
  return mistake(`must be true or false, not ${show(raw)}`)
}

function parseList(raw: unknown): Parsed {
  if (typeof raw === 'string') return { value: splitList(raw) }
  if (Array.isArray(raw) && raw.every(one => typeof one === 'string')) return { value: raw as string[] }
  return mistake(`must be a list of texts, not ${show(raw)}`)
}

function parseAddresses(kind: 'addresses' | 'urls', raw: unknown): Parsed {
  const list = parseList(raw)
  if (!('value' in list)) return mistake(`must be a list of addresses host:port, not ${show(raw)}`)
  const all = (list.value as readonly string[])
  const bad = all.find(one => !isAddress(withoutScheme(one)))
  const wanted = kind === 'urls' ? 'a URL http://host:port' : 'an address host:port'
  if (bad !== undefined) return mistake(`has ${show(bad)}, which is not ${wanted}`)
  return { value: kind === 'urls' ? all.map(one => `http://${withoutScheme(one)}`) : all.map(withoutScheme) }
}

const labelPattern = /^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$/

function parseLabels(raw: unknown): Parsed {
  const pairs: [string, unknown][] = []
  if (typeof raw === 'string') {
    for (const part of splitList(raw)) {
      const at = part.indexOf('=')
      if (at < 0) return mistake(`has ${show(part)}, which is not name=value`)
      pairs.push([part.substring(0, at).trim(), part.substring(at + 1).trim()])
    }
  } else if (typeof raw === 'object' && raw !== null && !Array.isArray(raw)) {
    pairs.push(...Object.entries(raw))
  } else {
    return mistake(`must be labels such as zone=a,host=b, not ${show(raw)}`)
  }
  for (const [name, value] of pairs) {
    if (!labelPattern.test(name)) return mistake(`has the label name ${show(name)}; letters, digits and _ . / - are allowed`)
    if (typeof value !== 'string' || !labelPattern.test(value)) return mistake(`has the label value ${show(value)} for ${name}`)
  }
  return { value: Object.fromEntries(pairs) as Record<string, string> }
}
