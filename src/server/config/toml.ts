import { getStaticTOMLValue, parseTOML } from 'toml-eslint-parser'
import type { AST } from 'toml-eslint-parser'

export interface Place {
  readonly line: number
  readonly column: number
}

/** One `key = value` of a file, with its whole name and where it stands. */
export interface TomlEntry {
  readonly path: readonly string[]
  readonly value: unknown
  readonly place: Place
}

export interface TomlFile {
  readonly entries: readonly TomlEntry[]
  readonly mistakes: readonly { readonly place: Place; readonly text: string }[]
}

const syntaxMistakesMax = 100

/**
 * Reads TOML and says where everything stands. A line that is no TOML is a mistake; it is taken out and the rest is read,
 * so that all of them are reported together.
 */
export function readToml(text: string): TomlFile {
  const lines = text.split('\n')
  const mistakes: { place: Place; text: string }[] = []
  for (;;) {
    try {
      return { entries: entriesOf(parseTOML(lines.join('\n'))), mistakes }
    } catch (error) {
      const { lineNumber, column, message } = error as { lineNumber?: number; column?: number; message: string }
      if (lineNumber === undefined) throw error
      const at = Math.min(lineNumber, lines.length)
      mistakes.push({ place: { line: at, column: (column ?? 0) + 1 }, text: message })
      if (mistakes.length >= syntaxMistakesMax || lines[at - 1] === '') return { entries: [], mistakes }
      lines[at - 1] = ''
    }
  }
}

function entriesOf(program: AST.TOMLProgram): TomlEntry[] {
  const entries: TomlEntry[] = []
  for (const statement of program.body[0].body) {
    if (statement.type === 'TOMLKeyValue') {
      addKeyValue(entries, [], statement)
      continue
    }
    const path = statement.resolvedKey.map(String)
    for (const pair of statement.body) addKeyValue(entries, path, pair)
  }
  return entries
}

function addKeyValue(entries: TomlEntry[], table: readonly string[], pair: AST.TOMLKeyValue): void {
  const path = [...table, ...pair.key.keys.map(key => key.type === 'TOMLBare' ? key.name : key.value)]
  const { line, column } = pair.loc.start
  entries.push({ path, value: getStaticTOMLValue(pair.value), place: { line, column: column + 1 } })
}
