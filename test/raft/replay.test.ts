// Data-driven stories. Our own are in test/raft/testdata; the public ones are replayed too where they are at
// hand.
//   npm test -- raft/replay --rewrite    accepts what our own stories print now; read the diff
import t from 'tap'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { difference, significantLines } from './replay/compare.js'
import { casesOf, parseDataFile, renderDataFile } from './replay/datadriven.js'
import { exceptions, replay } from './replay/replay.js'
import { seededRandom } from './random.js'

// dist/test/raft/replay.test.js → the root of the project
const root = join(dirname(fileURLToPath(import.meta.url)), '../../..')
const own = join(root, 'test/raft/testdata')
const shared = process.env['KARST_RAFT_TESTDATA'] ?? join(root, '../shared/raft-testdata')
const rewrite = process.argv.includes('--rewrite')

function dataFiles(path: string): string[] {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return path.endsWith('.txt') ? [path] : []
  return readdirSync(path).sort().flatMap(name => dataFiles(join(path, name)))
}

const ownFiles = dataFiles(own)
const files = [...ownFiles, ...dataFiles(shared)]

for (const file of files) {
  const name = basename(file, '.txt')
  t.test(`replay ${name}`, async t => {
    const text = readFileSync(file, 'utf8')
    const result = replay(name, text, !rewrite)
    if (rewrite && file.startsWith(own)) {
      writeFileSync(file, renderDataFile(text, result.outputs))
      t.pass('rewritten')
      return
    }
    for (const { line, command, text: found } of result.mismatches) t.fail(`${file}:${line} ${command}: ${found}`)
    t.equal(result.mismatches.length, 0, `${result.cases} cases`)
    t.ok(result.cases > 0)
  })
}

t.test('our own stories are there, one for each subject', async t => {
  const names = ownFiles.map(file => basename(file, '.txt'))
  for (const subject of ['election', 'prevote', 'replication_conflict', 'snapshot', 'joint_change', 'read_index',
    'leader_transfer', 'vote_guard', 'async_storage', 'restart']) t.ok(names.includes(subject), subject)
})

t.test('every exception names a reason and a file', async t => {
  for (const [name, { lines, reason }] of Object.entries(exceptions)) t.ok(lines.length > 0 && reason.length > 20, name)
  t.equal(Object.keys(exceptions).length, 0, 'there are none')
})

/** Changes one digit of one significant line of the expectation. */
function corrupt(text: string, random: (bound: number) => number): { text: string; line: string } | undefined {
  const cases = casesOf(parseDataFile(text))
  const places = cases.flatMap(one => {
    const significant = new Set(significantLines(one.expected))
    return one.expected.split('\n').flatMap((line, i) => {
      const digits = [...line.matchAll(/\d/g)].map(match => match.index)
      return significant.has(line.trimEnd()) && digits.length > 0 ? [{ one, line, i, digits }] : []
    })
  })
  if (places.length === 0) return undefined
  const { one, line, i, digits } = places[random(places.length)]!
  const at = digits[random(digits.length)]!
  const changed = `${line.substring(0, at)}${(Number(line[at]) + 1) % 10}${line.substring(at + 1)}`
  const lines = text.split('\n')
  const head = one.input === '' ? 1 : 1 + one.input.split('\n').length
  const doubled = lines[one.line - 1 + head + 1] === '----' ? 1 : 0
  lines[one.line - 1 + head + 1 + doubled + i] = changed
  return { text: lines.join('\n'), line: `${line} → ${changed}` }
}

t.test('a single wrong digit in an expectation is found, wherever it is', async t => {
  let tried = 0
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    const random = seededRandom(7)
    for (let round = 0; round < 12; round++) {
      const wrong = corrupt(text, bound => random.below(bound))
      if (wrong === undefined) continue
      tried++
      const { mismatches } = replay('corrupted', wrong.text)
      if (mismatches.length !== 1) t.fail(`${basename(file)} passes with ${wrong.line}`)
    }
  }
  t.ok(tried >= ownFiles.length * 12, `${tried} corruptions, all found`)
})

t.test('a missing or an additional line is found; log text and ok are not compared', async t => {
  t.equal(difference('INFO x\nok', 'DEBUG y'), undefined)
  t.equal(difference('a\n  INFO 1 became leader\nb', 'a\nb'), undefined)
  t.ok(difference('a\nb', 'a'))
  t.ok(difference('a', 'a\nb'))
  t.ok(difference('1->2 MsgApp Term:1 Log:1/10 Commit:10', '1->2 MsgApp Term:1 Log:1/10 Commit:11'))
  t.ok(difference('a\nb', 'b\na'))
  t.ok(difference('> 1 handling Ready\n  <empty Ready>', '> 1 handling Ready\n<empty Ready>'))
})

t.test('the reader of data files keeps what it does not change', async t => {
  const text = '# why\n\nadd x=(1, 2) y=3\nv1 v2\n----\none\ntwo\n\n\ncampaign 1\n----\n----\na\n\nb\n----\n----\n'
  const [first, second] = casesOf(parseDataFile(text))
  t.match({ ...first! }, { command: 'add', input: 'v1 v2', expected: 'one\ntwo', line: 3 })
  t.same(first!.args, [{ key: 'x', values: ['1', '2'] }, { key: 'y', values: ['3'] }])
  t.equal(second!.expected, 'a\n\nb')
  t.equal(renderDataFile('# a\ncampaign 1\n----\nold\n\n# b\n', ['new']), '# a\ncampaign 1\n----\nnew\n\n# b\n')
  t.throws(() => parseDataFile('campaign 1\n'), /no ----/)
})
