// node dist/test/raft/replay/main.js DIR|FILE … : replays data-driven raft cases, one line a file.
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { exceptions, replay } from './replay.js'

function dataFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { withFileTypes: true }).sort((left, right) => left.name < right.name ? -1 : 1)
    .flatMap(each => each.isDirectory() || each.name.endsWith('.txt') ? dataFiles(join(path, each.name)) : [])
}

const paths = process.argv.slice(2)
if (paths.length === 0) {
  console.error('usage: raft replay DIR|FILE …\n\nReplays data-driven raft cases and compares state and messages.')
  process.exit(2)
}
let files = 0
let failed = 0
let cases = 0
for (const file of paths.flatMap(dataFiles)) {
  const name = basename(file, '.txt')
  const result = replay(name, readFileSync(file, 'utf8'))
  files++
  cases += result.cases
  const reason = exceptions[name]?.reason
  const sign = result.mismatches.length === 0 ? '✓' : '✗'
  console.log(`${sign} ${name}  ${result.cases}${reason === undefined ? '' : `  except: ${reason}`}`)
  for (const { line, command, text } of result.mismatches) {
    console.log(`    ${file}:${line} ${command}\n    ${text.replaceAll('\n', '\n    ')}`)
  }
  if (result.mismatches.length > 0) failed++
}
console.log(`${files - failed} of ${files} files, ${cases} cases`)
process.exit(failed === 0 && files > 0 ? 0 : 1)
