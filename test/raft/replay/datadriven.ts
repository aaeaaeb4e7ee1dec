/**
 * A file of cases: a command with arguments, perhaps input lines, `----`, the expected output, a blank line.
 */
export interface DataCase {
  /** Line of the command, counted from 1. */
  readonly line: number
  readonly command: string
  readonly args: readonly DataArg[]
  readonly input: string
  readonly expected: string
}

/** `3` is key only; `index=10` and `voters=(1,2,3)` have values. */
export interface DataArg {
  readonly key: string
  readonly values: readonly string[]
}

/** Text between cases (comments, blank lines) is kept for rewriting. */
export interface DataFile {
  readonly parts: readonly (string | DataCase)[]
}

export function parseDataFile(text: string): DataFile {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const parts: (string | DataCase)[] = []
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!
    if (line.trim() === '' || line.startsWith('#')) {
      parts.push(line)
      at++
      continue
    }
    const start = at
    while (at < lines.length && lines[at] !== '----') at++
    if (at === lines.length) throw new Error(`line ${start + 1}: no ---- after the command`)
    const head = lines.slice(start, at)
    at++
    // A doubled ---- begins an expectation that may hold blank lines and ends with another doubled one.
    const doubled = lines[at] === '----'
    const expected: string[] = []
    if (doubled) {
      for (at++; !(lines[at] === '----' && lines[at + 1] === '----'); at++) expected.push(lines[at]!)
      at += 2
    } else {
      for (; at < lines.length && lines[at]!.trim() !== ''; at++) expected.push(lines[at]!)
    }
    const { command, args } = parseCommand(head[0]!)
    parts.push({ line: start + 1, command, args, input: head.slice(1).join('\n'), expected: expected.join('\n') })
  }
  return { parts }
}

export const casesOf = (file: DataFile): DataCase[] =>
  file.parts.filter((part): part is DataCase => typeof part !== 'string')

function parseCommand(line: string): { command: string; args: DataArg[] } {
  const words = line.match(/[^\s=()]+=\([^)]*\)|\S+/g) ?? []
  const args = words.slice(1).map(word => {
    const equals = word.indexOf('=')
    if (equals < 0) return { key: word, values: [] }
    const value = word.substring(equals + 1)
    const list = value.startsWith('(') ? value.slice(1, -1).split(',').map(each => each.trim()) : [value]
    return { key: word.substring(0, equals), values: list.filter(each => each !== '') }
  })
  return { command: words[0]!, args }
}

/** The same file with other outputs, in order of its cases. */
export function renderDataFile(text: string, outputs: readonly string[]): string {
  const lines = text.split('\n')
  const { parts } = parseDataFile(text)
  const out: string[] = []
  let next = 0
  for (const part of parts) {
    if (typeof part === 'string') {
      out.push(part)
      continue
    }
    const head = part.input === '' ? 0 : part.input.split('\n').length
    out.push(...lines.slice(part.line - 1, part.line + head), '----', outputs[next++]!.trimEnd())
  }
  return `${out.join('\n')}\n`
}
