import { readFileSync } from 'node:fs'
import { Option } from 'commander'
import type { Command } from 'commander'
import { nearest } from '../server/config/did-you-mean.js'
import type { Field, Schema, Value } from '../server/config/fields.js'
import { describeSchema, loadConfig, written } from '../server/config/load.js'
import type { ConfigInput, ConfigMistake, ConfigValues } from '../server/config/load.js'
import { CommandError, exitCodes, printJson, printLine } from './output.js'

export interface NodeOptions {
  readonly config?: string
  readonly configCheck?: true
  readonly configInfo?: 'json'
  readonly set?: readonly string[]
  readonly failpoint?: readonly string[]
  readonly stopWithStdin?: true
  readonly json?: true
}

const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text]

/** Every key of the schema that has a flag, and what all servers have. Unknown flags are reported with the other mistakes. */
export function addNodeOptions(command: Command, schema: Schema): Command {
  for (const field of schema.fields) {
    if (field.flag === undefined) continue
    command.addOption(new Option(`--${field.flag} <${placeholder(field)}>`, `${field.doc} [${field.key}${defaultText(field)}]`))
  }
  return command
    .option('--config <file>', 'TOML file; flags win over it')
    .option('--set <key=value>', 'any key of the file, once or more', collect)
    .option('--config-check', 'report every mistake in file and flags, start nothing')
    .addOption(new Option('--config-info <format>', 'print every key with its meaning and default').choices(['json']))
    .option('--json', 'one JSON line when it is ready, or an error as JSON')
    .addOption(new Option('--failpoint <name=action>', 'for tests').argParser(collect).hideHelp())
    .addOption(new Option('--stop-with-stdin', 'the end of standard input ends it').hideHelp())
    .allowUnknownOption().allowExcessArguments()
}

function placeholder(field: Field): string {
  switch (field.kind) {
    case 'address': return 'host:port'
    case 'addresses': return 'host:port,…'
    case 'urls': return 'url,…'
    case 'labels': return 'name=value,…'
    case 'choice': return (field.choices ?? []).join('|')
    case 'text': return 'text'
    case 'duration': return 'duration'
    case 'size': return 'size'
    case 'integer':
    case 'ratio': return 'number'
    case 'boolean': return 'true|false'
    case 'list': return 'text,…'
  }
}

function defaultText(field: Field): string {
  const text = shown(written(field, field.default))
  return text === '' ? '' : `, default ${text}`
}

function shown(value: Value): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value === 'object') return Object.entries(value).map(([name, one]) => `${name}=${one}`).join(',')
  return String(value)
}

/**
 * The configuration in force; undefined when there is nothing to start (--config-check, --config-info).
 * @throws CommandError with all mistakes at once
 */
export async function readNodeOptions(command: Command, schema: Schema): Promise<ConfigValues | undefined> {
  const options = command.opts<NodeOptions>()
  if (options.configInfo !== undefined) {
    printJson({ program: schema.program, keys: describeSchema(schema) })
    return undefined
  }
  const mistakes: ConfigMistake[] = [...unknownWords(command), ...badSets(options.set ?? [])]
  const loaded = loadConfig(schema, {
    ...await readConfigFile(options.config, mistakes), flags: flagsOf(command, schema), keys: setsOf(options.set ?? []),
  })
  if (!loaded.ok) mistakes.push(...loaded.mistakes)
  if (mistakes.length > 0 || !loaded.ok) throw mistakesError(mistakes)
  if (options.configCheck === undefined) return loaded.values
  if (options.json) printJson({ ok: true, mistakes: [], config: loaded.values.all() })
  else printLine(`${options.config ?? 'flags'}: no mistakes`)
  return undefined
}

function mistakesError(mistakes: readonly ConfigMistake[]): CommandError {
  const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`
  const lines = mistakes.map(({ where, text }) => text.startsWith(where) ? `  ${text}` : `  ${where}: ${text}`)
  return new CommandError('config', `${count} in the configuration:\n${lines.join('\n')}`, exitCodes.usage, { mistakes })
}

async function readConfigFile(path: string | undefined, mistakes: ConfigMistake[]): Promise<Pick<ConfigInput, 'file'>> {
  if (path === undefined) return {}
  try {
    const text = readFileSync(path, 'utf8')
    const { readToml } = await import('../server/config/toml.js')
    return { file: { path, toml: readToml(text) } }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    mistakes.push({ where: '--config', text: `--config ${path}: ${code === 'ENOENT' ? 'there is no such file' : message}` })
    return {}
  }
}

/** Flags that were given, by their outside name: commander calls `--data-dir` dataDir. */
function flagsOf(command: Command, schema: Schema): Record<string, unknown> {
  const options = command.opts<Record<string, unknown>>()
  const flags: Record<string, unknown> = {}
  for (const { flag } of schema.fields) {
    if (flag !== undefined) flags[flag] = options[flag.replace(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase())]
  }
  return flags
}

const setPattern = /^([^=]+)=(.*)$/s
const badSets = (sets: readonly string[]): ConfigMistake[] => sets.filter(text => !setPattern.test(text))
  .map(text => ({ where: '--set', text: `--set ${text}: key=value is expected` }))
const setsOf = (sets: readonly string[]): Record<string, string> => Object.fromEntries(sets.flatMap(text => {
  const match = setPattern.exec(text)
  return match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const]
}))

/** What commander did not know: it leaves such words in `args`. */
function unknownWords(command: Command): ConfigMistake[] {
  const known = command.options.flatMap(option => option.hidden ? [] : option.long ?? [])
  const mistakes: ConfigMistake[] = []
  let isValue = false
  for (const word of command.args) {
    if (word.startsWith('-') && word !== '-') {
      const name = word.replace(/=.*$/, '')
      const meant = nearest(name, known)
      mistakes.push({ where: name, text: `${name} is no flag of this command${meant === undefined ? '' : `; did you mean ${meant}?`}` })
      isValue = !word.includes('=')
    } else {
      // The word behind an unknown flag is most likely its value.
      if (!isValue) mistakes.push({ where: word, text: `"${word}" is not expected here` })
      isValue = false
    }
  }
  return mistakes
}
