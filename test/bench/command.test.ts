import t from 'tap'
import { Command, CommanderError } from 'commander'
import { register } from '../../bench/bench-command.js'
import { parse } from '../../bench/options.js'

/** @returns what the command says against it */
async function refusal(...args: string[]): Promise<{ code: number; said: string }> {
  let said = ''
  const program = new Command('karst')
  register(program)
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeErr: text => { said += text }, writeOut: text => { said += text } })
  }
  try {
    await program.parseAsync(['bench', ...args], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) return { code: error.exitCode, said }
    throw error
  }
  return { code: -1, said }
}

t.test('wrong usage is told before anything starts', async t => {
  const wrong: readonly (readonly [RegExp, ...string[]])[] = [
    [/no workload putt; there are put get/, 'putt'],
    [/whole number from 1 to 4,096/, 'put', '--in-flight', '0'],
    [/whole number from 1 to 4,096/, 'put', '--in-flight', '1,x'],
    [/above 0, up to/, 'put', '--rate', '-5'],
    [/above 0, up to/, 'put', '--seconds', ''],
    [/bytes from 8 to/, 'put', '--value-bytes', '4'],
    [/bytes from 8 to/, 'put', '--value-bytes', '1g'],
    [/above 0 and below 1/, 'ycsb-a', '--theta', '1'],
    [/etcd, or the folder of another checkout/, 'put', '--vs', 'redis'],
    [/host:port of a PD member/, 'put', '--pd', 'localhost'],
    [/typescript, native/, 'put', '--client', 'java'],
    [/failover stands alone/, 'failover', 'put'],
    [/no --pd/, 'startup', '--pd', '127.0.0.1:1'],
    [/unknown option/, 'put', '--fast'],
  ]
  for (const [pattern, ...args] of wrong) {
    const { code, said } = await refusal(...args)
    t.ok(code > 0, args.join(' '))
    t.match(said, pattern, args.join(' '))
  }
})

t.test('help teaches: every workload and examples', async t => {
  const { code, said } = await refusal('--help')
  t.equal(code, 0)
  for (const word of ['ycsb-a', 'batch-put', 'failover', '--vs', 'Examples:']) t.match(said, word)
})

t.test('options as they are typed', async t => {
  t.same(parse.inFlight('1,64, 256'), [1, 64, 256])
  t.equal(parse.valueBytes('4k'), 4_096)
  t.same(parse.client('typescript,n'), ['TypeScript', 'N connections'])
  t.same(parse.address('a:1,b:2'), ['a:1', 'b:2'])
})
