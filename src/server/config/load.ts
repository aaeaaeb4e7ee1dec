import { nearest } from './did-you-mean.js'
import { parseField } from './fields.js'
import type { Field, Schema, Value } from './fields.js'
import { StartupError } from '../startup-error.js'
import { formatBytes, formatDuration } from './units.js'
import type { TomlEntry, TomlFile } from './toml.js'

export interface ConfigMistake {
  /** `karst.toml:12:3`, `--addr`, or the key for relations between defaults. */
  readonly where: string
  readonly text: string
}

export interface ConfigInput {
  /** Read with config/toml, which is loaded only when there is a file. */
  readonly file?: { readonly path: string; readonly toml: TomlFile }
  /** Flags that were given, by their long name without dashes. They win over the file. */
  readonly flags: Readonly<Record<string, unknown>>
  /** Values by their outside name, from a program. They win over both. */
  readonly keys?: Readonly<Record<string, unknown>>
}

interface Given {
  readonly value: Value
  readonly where: string
}

/** All values of a schema, typed on the way out. */
export class ConfigValues {
  readonly #fields: ReadonlyMap<string, Field>
  readonly #given: ReadonlyMap<string, Given>

  constructor(schema: Schema, given: ReadonlyMap<string, Given>) {
    this.#fields = new Map(schema.fields.map(field => [field.key, field]))
    this.#given = given
  }

  /** The value in force. An unknown key is our bug. */
  value(key: string): Value {
    const given = this.#given.get(key)
    if (given !== undefined) return given.value
    const field = this.#fields.get(key)
    if (field === undefined) throw new Error(`configuration key ${key} is not in the schema`)
    return field.default
  }

  number(key: string): number { return this.value(key) as number }
  text(key: string): string { return this.value(key) as string }
  boolean(key: string): boolean { return this.value(key) as boolean }
  list(key: string): readonly string[] { return this.value(key) as readonly string[] }
  labels(key: string): Readonly<Record<string, string>> { return this.value(key) as Readonly<Record<string, string>> }
  isGiven(key: string): boolean { return this.#given.has(key) }

  /** Everything in force, by outside name and as it would be written in a file, for /config. */
  all(): Record<string, Value> {
    return Object.fromEntries([...this.#fields].map(([key, field]) => [key, written(field, this.value(key))]))
  }
}

export type Loaded =
  | { readonly ok: true; readonly values: ConfigValues }
  | { readonly ok: false; readonly mistakes: readonly ConfigMistake[] }

/** Reads the file, then the flags over it; checks every key, value and relation; reports all mistakes together. */
export function loadConfig(schema: Schema, input: ConfigInput): Loaded {
  const mistakes: ConfigMistake[] = []
  const given = new Map<string, Given>()
  const broken = new Set<string>()
  if (input.file !== undefined) readFile(schema, input.file, given, broken, mistakes)
  const take = (field: Field, raw: unknown, where: string): void => {
    const parsed = parseField(field, raw)
    if ('value' in parsed) {
      given.set(field.key, { value: parsed.value, where })
      broken.delete(field.key)
    } else {
      mistakes.push({ where, text: `${where} ${parsed.mistake}` })
      broken.add(field.key)
    }
  }
  for (const field of schema.fields) {
    if (field.flag !== undefined && input.flags[field.flag] !== undefined) take(field, input.flags[field.flag], `--${field.flag}`)
  }
  for (const [key, raw] of Object.entries(input.keys ?? {})) {
    const field = schema.fields.find(one => one.key === key)
    if (field === undefined) mistakes.push({ where: key, text: unknownKey(schema, key) })
    else take(field, raw, key)
  }
  const values = new ConfigValues(schema, given)
  checkRules(schema, values, given, broken, mistakes)
  mistakes.sort((left, right) => lineOf(left) - lineOf(right))
  return mistakes.length === 0 ? { ok: true, values } : { ok: false, mistakes }
}

function readFile(
  schema: Schema, file: NonNullable<ConfigInput['file']>, given: Map<string, Given>,
  broken: Set<string>, mistakes: ConfigMistake[],
): void {
  const { toml } = file
  for (const { place, text } of toml.mistakes) {
    mistakes.push({ where: `${file.path}:${place.line}:${place.column}`, text: `not TOML: ${text}` })
  }
  for (const entry of toml.entries.flatMap(entry => flatten(schema, entry))) {
    const key = entry.path.join('.')
    const where = `${file.path}:${entry.place.line}:${entry.place.column}`
    const field = schema.fields.find(one => one.key === key)
    if (field === undefined) {
      mistakes.push({ where, text: unknownKey(schema, key) })
      continue
    }
    const parsed = parseField(field, entry.value)
    if ('value' in parsed) given.set(key, { value: mergeLabels(given.get(key)?.value, parsed.value), where })
    else {
      mistakes.push({ where, text: `${key} ${parsed.mistake}` })
      broken.add(key)
    }
  }
}

const lineOf = (mistake: ConfigMistake): number => Number(/:(\d+):\d+$/.exec(mistake.where)?.[1] ?? 0)

/** `server.labels.zone = "a"` belongs to the field `server.labels`; an inline table of another name is its keys. */
function flatten(schema: Schema, entry: TomlEntry): TomlEntry[] {
  const labels = schema.fields.find(field => field.kind === 'labels' && isPrefix(field.key.split('.'), entry.path))
  if (labels !== undefined) return [entry.path.length === labels.key.split('.').length ? entry : wrap(entry, labels)]
  if (!isTable(entry.value)) return [entry]
  return Object.entries(entry.value).flatMap(([name, value]) =>
    flatten(schema, { path: [...entry.path, name], value, place: entry.place }))
}

const isTable = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)

const isPrefix = (prefix: readonly string[], path: readonly string[]): boolean =>
  prefix.length <= path.length && prefix.every((part, at) => path[at] === part)

function wrap(entry: TomlEntry, field: Field): TomlEntry {
  const depth = field.key.split('.').length
  return { path: entry.path.slice(0, depth), value: { [entry.path.slice(depth).join('.')]: entry.value }, place: entry.place }
}

function unknownKey(schema: Schema, key: string): string {
  const known = schema.fields.map(field => field.key)
  const last = key.substring(key.lastIndexOf('.') + 1)
  const elsewhere = known.filter(one => one.endsWith(`.${last}`) || one === last)
  const meant = elsewhere.length === 1 ? elsewhere[0] : nearest(key, known)
  return `unknown key ${key}${meant === undefined ? '' : `; did you mean ${meant}?`}`
}

function checkRules(
  schema: Schema, values: ConfigValues, given: ReadonlyMap<string, Given>, broken: ReadonlySet<string>,
  mistakes: ConfigMistake[],
): void {
  for (const rule of schema.rules) {
    if (rule.keys.some(key => broken.has(key))) continue
    const text = rule.check(values)
    if (text === undefined) continue
    const wheres = rule.keys.flatMap(key => given.get(key)?.where ?? [])
    mistakes.push({ where: wheres[0] ?? rule.keys[0] ?? '', text })
  }
}

/** Several label entries of one table make one value. */
function mergeLabels(left: Value | undefined, right: Value): Value {
  return typeof left === 'object' && !Array.isArray(left) && typeof right === 'object' && !Array.isArray(right)
    ? { ...left, ...right } : right
}

/** `20000` → `20s`, `1048576` → `1MiB`. */
export function written(field: Field, value: Value): Value {
  if (field.kind === 'duration') return formatDuration(Number(value))
  return field.kind === 'size' ? formatBytes(Number(value)) : value
}

/** For programs. @throws StartupError('config') with all mistakes, one a line */
export function mustLoadConfig(schema: Schema, input: ConfigInput): ConfigValues {
  const loaded = loadConfig(schema, input)
  if (loaded.ok) return loaded.values
  throw new StartupError('config', loaded.mistakes.map(mistake => mistake.text).join('\n'))
}

/** The schema for machines and people: `--config-info json`. */
export function describeSchema(schema: Schema): readonly Record<string, unknown>[] {
  return schema.fields.map(field => ({
    name: field.key, type: field.kind, default: written(field, field.default), description: field.doc,
    ...(field.min === undefined ? {} : { min: field.min }), ...(field.max === undefined ? {} : { max: field.max }),
    ...(field.choices === undefined ? {} : { choices: field.choices }),
    ...(field.flag === undefined ? {} : { flag: `--${field.flag}` }),
  }))
}
