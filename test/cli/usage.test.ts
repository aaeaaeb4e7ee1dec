import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { folder, karst } from './kit.js'

t.setTimeout(300_000)

interface Case { readonly args: readonly string[]; readonly code: number; readonly says: RegExp }

/** Two at a time: each of them is a process. */
async function all(cases: readonly Case[], check: (one: Case) => Promise<void>): Promise<void> {
  const queue = [...cases]
  const lane = async (): Promise<void> => { for (let one = queue.shift(); one !== undefined; one = queue.shift()) await check(one) }
  await Promise.all([lane(), lane()])
}

const nowhere = ['--pd', '127.0.0.1:1', '--timeout', '300ms']
const wrong: readonly Case[] = [
  { args: ['kw'], code: 2, says: /unknown command 'kw'\s+\(Did you mean kv\?\)/ },
  { args: ['kv', 'gte', 'a'], code: 2, says: /Did you mean get\?/ },
  { args: ['kv', 'get'], code: 2, says: /missing required argument 'key'/ },
  { args: ['kv', 'get', 'a', 'b'], code: 2, says: /too many arguments/ },
  { args: ['kv', 'get', 'a', '--pdd', 'x'], code: 2, says: /unknown option '--pdd'\s+\(Did you mean --pd\?\)/ },
  { args: ['kv', 'get', 'a', '--pd', 'nonsense'], code: 2, says: /"nonsense" is not host:port/ },
  { args: ['kv', 'get', 'a', '--timeout', '5'], code: 2, says: /a duration such as 500ms/ },
  { args: ['kv', 'get', 'a', '--keyspace', '99999999'], code: 2, says: /a whole number from 0 to 16777215/ },
  { args: ['kv', 'put', 'zz', '00', '--hex'], code: 2, says: /"zz" is not hex/ },
  { args: ['kv', 'put', 'a', 'b', '--ttl', '0'], code: 2, says: /a whole number from 1/ },
  { args: ['kv', 'cas', 'a', 'b'], code: 2, says: /either --expect VALUE or --absent/ },
  { args: ['kv', 'cas', 'a', 'b', '--absent', '--delete'], code: 2, says: /a value to write, or --delete/ },
  { args: ['kv', 'batch-put', 'a', 'b', 'c'], code: 2, says: /pairs: an even number of words/ },
  { args: ['kv', 'scan', '--prefix', 'a', '--start', 'b'], code: 2, says: /--prefix stands alone/ },
  { args: ['kv', 'del-range'], code: 2, says: /--start or --end, or --prefix/ },
  { args: ['kv', 'del-range', '--end', ''], code: 2, says: /--start or --end, or --prefix/ },
  { args: ['kv', 'get', 'a', '--timeout', '30d'], code: 2, says: /at most 24 days/ },
  { args: ['kv', 'get', 'a', ...nowhere], code: 1, says: /PD does not answer.*karst playground/ },
  { args: ['kv', 'put', 'a', 'b', ...nowhere], code: 1, says: /PD does not answer/ },
  { args: ['ctl', 'regon'], code: 2, says: /Did you mean region\?/ },
  { args: ['ctl', 'region', 'split'], code: 2, says: /--key KEY or --region ID/ },
  { args: ['ctl', 'region', 'transfer-leader', '--region', '1'], code: 2, says: /'--to-store <id>' not specified/ },
  { args: ['ctl', 'operator', 'add', 'foo', '--region', '1', '--store', '2'], code: 2, says: /"foo" is no operator: add-learner/ },
  { args: ['ctl', 'store', 'zero'], code: 2, says: /a whole number/ },
  { args: ['ctl', 'status', ...nowhere], code: 1, says: /PD does not answer/ },
  { args: ['store', '--adr', 'x:1', '--log-level', 'loud'], code: 2,
    says: /2 mistakes.*\n.*--adr is no flag of this command; did you mean --addr\?\n.*--log-level must be one of debug/ },
  { args: ['store', '--set', 'raftstore.raft-heartbeat-tiks=3', '--set', 'x'], code: 2,
    says: /did you mean raftstore\.raft-heartbeat-ticks\?[^]*|--set x: key=value/ },
  { args: ['store', 'word'], code: 2, says: /"word" is not expected here/ },
  { args: ['store', '--config', '/nowhere/karst.toml'], code: 2, says: /there is no such file/ },
  { args: ['store', '--data-dir', '/dev/null/x', '--addr', '127.0.0.1:0', '--status-addr', '127.0.0.1:0'], code: 1, says: /\/dev\/null\/x cannot be used/ },
  { args: ['pd', '--name', 'a', '--initial-cluster', 'b=http://x:1'], code: 2, says: /names b, but this member is called a/ },
  { args: ['playground', '--stores', '0'], code: 2, says: /a whole number from 1 to 32/ },
  { args: ['playground', '--in-memory', '--pd-port', '0', '--set', 'nonsense=1'], code: 2, says: /unknown key nonsense/ },
  { args: ['playground', '--sotres', '3'], code: 2, says: /Did you mean --stores\?/ },
  { args: ['sim', '--seed', 'x'], code: 2, says: /--seed/ },
]

t.test('wrong usage: exit code 2 (1 when the world is wrong), one line that says what is right', async t => {
  await all(wrong, async ({ args, code, says }) => {
    const run = await karst(args)
    const name = `karst ${args.join(' ')}`
    t.equal(run.code, code, name)
    t.match(run.err, says, name)
    t.equal(run.out, '', `${name}: nothing on standard output`)
    t.notMatch(run.err, /^\s+at /m, `${name}: no stack`)
  })
})

t.test('with --json the same is one JSON object on standard output', async t => {
  const some = wrong.filter(({ args }) => ['kv', 'ctl', 'store', 'pd', 'playground'].includes(args[0] ?? '')).filter((_one, at) => at % 3 === 0)
  await all(some, async ({ args, code }) => {
    const run = await karst([...args, '--json'])
    const name = `karst ${args.join(' ')} --json`
    t.equal(run.code, code, name)
    const answer = JSON.parse(run.out) as { error: { code: string; message: string } }
    t.equal(run.out.trimEnd().split('\n').length, 1, name)
    t.ok(answer.error.code.length > 0 && answer.error.message.length > 0, name)
    t.equal(run.err, '', name)
  })
})

t.test('every command teaches: help with examples, on standard output, exit code 0', async t => {
  const commands = [[], ['kv'], ['ctl'], ['pd'], ['store'], ['playground'], ['sim']]
  await all(commands.map(args => ({ args, code: 0, says: /[Ee]xamples/ })), async ({ args, says }) => {
    const run = await karst([...args, '--help'])
    t.equal(run.code, 0, args.join(' '))
    t.match(run.out, says, args.join(' '))
    t.match(run.out, args[0] === 'sim' ? /karst sim/ : /Exit codes: 0/, `${args.join(' ')} tells its exit codes`)
  })
  t.match(await karst(['kv', 'put', '--help']), { code: 0, out: /--ttl <seconds>/ })
  t.match(await karst(['help', 'kv']), { code: 0, out: /karst kv put hello world/ })
  t.match(await karst(['--version']), { code: 0, out: /^\d+\.\d+\.\d+\n$/ })
  t.match(await karst([]), { code: 2 })
})

t.test('--config-check: every mistake with its line, nothing is started', async t => {
  const dir = folder(t)
  const file = join(dir, 'store.toml')
  writeFileSync(file, '[server]\nadr = "x"\naddr = "nowhere"\n\n[raftstore]\nraft-heartbeat-ticks = "often"\nno toml here\n[storage]\nreserve-space = -1\n')
  const run = await karst(['store', '--config', file, '--config-check', '--labels', '=', '--lables', 'zone=a'])
  t.equal(run.code, 2)
  for (const line of [2, 3, 6, 7, 9]) t.match(run.err, new RegExp(`store\\.toml:${line}:`), `line ${line}`)
  t.match(run.err, /--lables is no flag.*--labels/)
  t.match(run.err, /--labels has the label name/)
  t.match(run.err, /7 mistakes/)
  const json = await karst(['store', '--config', file, '--config-check', '--json'])
  t.equal((JSON.parse(json.out) as { error: { details: { mistakes: unknown[] } } }).error.details.mistakes.length, 5)
  writeFileSync(file, '[server]\naddr = "127.0.0.1:7"\n')
  t.match(await karst(['store', '--config', file, '--config-check']), { code: 0, out: /store\.toml: no mistakes/ })
  const good = await karst(['store', '--config', file, '--config-check', '--json', '--set', 'pd.endpoints=a:1,b:2'])
  t.match(JSON.parse(good.out), { ok: true, config: { 'server.addr': '127.0.0.1:7', 'pd.endpoints': ['a:1', 'b:2'] } })
  const info = JSON.parse((await karst(['pd', '--config-info', 'json'])).out) as { keys: { name: string; description: string }[] }
  t.ok(info.keys.some(key => key.name === 'replication.max-replicas' && key.description.length > 0))
})
