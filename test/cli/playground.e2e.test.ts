import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { folder, isRunning, karst, serve } from './kit.js'
import type { Run } from './kit.js'

t.setTimeout(300_000)

/** On a machine that does much else at the same time. */
const patience = ['--timeout', '60s']

interface Node { readonly address: string; readonly statusAddress: string; readonly pid: number; readonly dataDir: string; readonly storeId: number }
interface Ready { readonly ready: boolean; readonly endpoints: string[]; readonly pids: number[]; readonly pd: Node[]; readonly stores: Node[] }

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (isSo()) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`${what}: not within 30 s`)
}

t.test('a playground of processes: write, kill -9 the leader, go on, restart, stop', async t => {
  const cwd = folder(t)
  const playground = serve(t, ['playground', '--json', '--pd-port', '0'], { cwd })
  const ready = await playground.line as unknown as Ready
  t.teardown(() => { for (const pid of ready.pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL') })
  t.equal(ready.ready, true)
  t.equal(ready.stores.length, 3)
  t.equal(new Set(ready.pids).size, 4)
  t.same(ready.stores.map(store => store.storeId), [1, 2, 3], 'store-1 is store 1')
  const pd = ['--pd', ready.endpoints.join(','), ...patience]
  const json = async (...args: string[]): Promise<Record<string, unknown>> => {
    const run = await karst([...args, ...pd, '--json'])
    return JSON.parse(run.out) as Record<string, unknown>
  }
  t.match(await karst(['kv', 'put', 'hello', 'world', ...pd]), { code: 0, out: 'ok\n', err: '' })
  t.match(await karst(['kv', 'get', 'hello', ...pd]), { code: 0, out: 'world\n' })
  t.match(await karst(['kv', 'get', 'nope', ...pd]), { code: 1, out: '', err: /no key nope/ })
  t.strictSame(await json('kv', 'get', 'nope'), { found: false, key: 'nope' })
  t.match(await karst(['kv', 'cas', 'hello', 'x', '--expect', 'wrong', ...pd]), { code: 1, err: /not swapped, the value is "world"/ })
  t.match(await karst(['kv', 'cas', 'hello', 'there', '--expect', 'world', ...pd]), { code: 0 })
  t.match(await json('kv', 'put', 'short', 'lived', '--ttl', '100'), { ok: true })
  t.match(await karst(['kv', 'ttl', 'short', ...pd]), { code: 0, out: /^(100|99|98|9\d)\n$/ })
  t.match(await karst(['kv', 'batch-put', 'k1', '1', 'k2', '2', ...pd]), { code: 0, out: 'ok, 2 keys\n' })
  t.strictSame(await json('kv', 'scan', '--prefix', 'k'), { rows: [{ key: 'k1', value: '1' }, { key: 'k2', value: '2' }], count: 2, more: false })
  t.strictSame(await json('kv', 'scan', '--prefix', 'k', '--limit', '1'), { rows: [{ key: 'k1', value: '1' }], count: 1, more: true })
  t.match(await karst(['kv', 'scan', '--limit', '1', ...pd]), { out: /^[^\n]+\n$/, err: /1 rows shown, there are more/ })
  t.match(await karst(['kv', 'scan', '--start', 'k', '--end', '', ...pd]), { out: 'k1\t1\nk2\t2\n' }, 'an empty end is no bound')
  t.match(await karst(['kv', 'scan', '--prefix', 'k', '--reverse', '--keys-only', ...pd]), { out: 'k2\nk1\n' })
  t.match(await karst(['kv', 'del', 'k1', ...pd]), { code: 0 })
  t.match(await karst(['kv', 'put', 'x'.repeat(9_000), 'v', ...pd]), { code: 1, err: /keyBytesMax/ })

  t.match(await karst(['ctl', 'region', 'split', '--key', 'k', ...pd]), { code: 0, out: /-∞\s+k[^]*k\s+∞/ })
  const { regions } = await json('ctl', 'region') as { regions: { id: number; leaderStore: number; start: string | null }[] }
  t.equal(regions.length, 2)
  const to = ready.stores.find(store => store.storeId !== regions[0]?.leaderStore)!.storeId
  t.match(await karst(['ctl', 'region', 'transfer-leader', '--region', String(regions[0]?.id), '--to-store', String(to), ...pd]), { code: 0 })
  t.match(await karst(['ctl', 'region', 'transfer-leader', '--region', '99', '--to-store', '1', ...pd]), { code: 1, err: /no region 99/ })
  t.match(await karst(['ctl', 'status', ...pd]), { code: 0, out: /stores\s+\d+ up, \d+ up, \d+ up/ })
  t.match(await json('ctl', 'store'), { stores: [{ state: 'up' }, { state: 'up' }, { state: 'up' }] })
  t.match(await json('ctl', 'member'), { members: [{ name: 'pd-1', isLeader: true }] })
  const [one, two] = [await json('ctl', 'tso'), await json('ctl', 'tso')]
  t.ok(BigInt(String(two['ts'])) > BigInt(String(one['ts'])))

  const victim = ready.stores.find(store => store.storeId === to)!
  process.kill(victim.pid, 'SIGKILL')
  const put = await retried(() => karst(['kv', 'put', 'after', 'kill', ...pd]))
  t.equal(put.code, 0, put.err)
  t.match(await karst(['kv', 'get', 'hello', ...pd]), { code: 0, out: 'there\n' })
  await until('the playground tells', () => playground.text.err.includes('is gone: SIGKILL'))
  const told = /\n {2}\S*karst\.mjs (store .*)\n/.exec(playground.text.err)?.[1]
  t.ok(told, 'it says how to start it again')
  const again = serve(t, [...(told ?? '').split(' '), '--json'], { cwd })
  t.match(await again.line, { ready: true, storeId: victim.storeId, address: victim.address })

  again.signal('SIGTERM')
  t.strictSame(await again.ended, { code: 0, signal: null }, 'a store that is asked to stop ends with 0')
  playground.signal('SIGTERM')
  t.strictSame(await playground.ended, { code: 0, signal: null })
  t.equal(playground.text.out.trimEnd().split('\n').length, 1, 'one line on standard output')
  t.strictSame(ready.pids.filter(isRunning), [], 'no process is left')
  t.notOk(existsSync(join(cwd, 'karst-data', 'store-1', 'LOCK')))

  const second = serve(t, ['playground', '--json', '--pd-port', '0'], { cwd })
  const later = await second.line as unknown as Ready
  t.teardown(() => { for (const pid of later.pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL') })
  t.match(await karst(['kv', 'get', 'after', '--pd', later.endpoints.join(','), ...patience]), { code: 0, out: 'kill\n' }, 'the data is there again')
  second.signal('SIGINT')
  t.strictSame(await second.ended, { code: 0, signal: null })
})

/** The writer's connection may have been the one that broke: its outcome is open (3), and it is asked again. */
async function retried(run: () => Promise<Run>): Promise<Run> {
  const first = await run()
  return first.code === 3 ? await run() : first
}

t.test('nodes by hand: PD after the store, TERM, a kill in the bootstrap, two on one folder', async t => {
  const dir = folder(t)
  const store = serve(t, ['store', '--addr', '127.0.0.1:0', '--status-addr', '127.0.0.1:0', '--pd', '127.0.0.1:1', '--data-dir', join(dir, 's'), '--json'])
  await until('it waits', () => store.text.err.includes('store.waits-for-pd'))
  store.signal('SIGTERM')
  t.strictSame(await store.ended, { code: 0, signal: null }, 'a start that waits can be stopped')

  const pd = serve(t, ['pd', '--client-urls', 'http://127.0.0.1:0', '--peer-urls', 'http://127.0.0.1:0', '--data-dir', join(dir, 'pd'), '--json'])
  const [address] = (await pd.line)['addresses'] as string[]
  const flags = ['--addr', '127.0.0.1:0', '--status-addr', '127.0.0.1:0', '--pd', address ?? '', '--data-dir', join(dir, 's')]
  const killed = serve(t, ['store', ...flags, '--json', '--failpoint', 'join.after-offer=kill'])
  t.strictSame(await killed.ended, { code: null, signal: 'SIGKILL' })
  const alive = serve(t, ['store', ...flags, '--json'])
  t.match(await alive.line, { ready: true, role: 'store' })
  const twin = await karst(['store', ...flags, '--json'])
  t.equal(twin.code, 1)
  t.match(JSON.parse(twin.out), { error: { code: 'dataDirInUse', message: /in use by process \d+/ } })
  t.match(await karst(['kv', 'put', 'a', 'b', '--pd', address ?? '', ...patience]), { code: 0 })
  alive.signal('SIGINT')
  t.strictSame(await alive.ended, { code: 0, signal: null })
  pd.signal('SIGTERM')
  t.strictSame(await pd.ended, { code: 0, signal: null })
})

t.test('a stop that waits for an heir; a second signal ends it at once', async t => {
  const playground = serve(t, ['playground', '--json', '--pd-port', '0'], { cwd: folder(t) })
  const ready = await playground.line as unknown as Ready
  const { stores } = ready
  t.teardown(() => { for (const pid of ready.pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL') })
  const { regions } = JSON.parse((await karst(['ctl', 'region', '--json', '--pd', ready.endpoints.join(), ...patience])).out) as
    { regions: { leaderStore: number }[] }
  const leader = stores.find(store => store.storeId === regions[0]?.leaderStore)!
  const others = stores.filter(store => store !== leader)
  for (const { pid } of others) process.kill(pid, 'SIGSTOP')
  process.kill(leader.pid, 'SIGTERM')
  await new Promise(resolve => setTimeout(resolve, 1_000))
  t.ok(isRunning(leader.pid), 'nobody can take over: it waits')
  process.kill(leader.pid, 'SIGTERM')
  await until('it ends', () => playground.text.err.includes('is gone: exit code 143'))
  for (const { pid } of others) process.kill(pid, 'SIGCONT')
  playground.signal('SIGTERM')
  t.strictSame(await playground.ended, { code: 0, signal: null })
})

t.test('a playground that is killed leaves no process behind', async t => {
  const playground = serve(t, ['playground', '--json', '--stores', '1', '--pd-port', '0'], { cwd: folder(t) })
  const { pids } = await playground.line as unknown as Ready
  t.teardown(() => { for (const pid of pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL') })
  playground.signal('SIGKILL')
  await until('the nodes end as well', () => !pids.some(isRunning))
  t.pass('they stopped with it')
})

t.test('in memory: one process, nothing on disk', async t => {
  const cwd = folder(t)
  const playground = serve(t, ['playground', '--in-memory', '--stores', '1', '--pd-port', '0', '--json'], { cwd })
  const ready = await playground.line as unknown as Ready
  const pd = ['--pd', ready.endpoints.join(','), ...patience]
  t.match(await karst(['kv', 'put', 'a', 'b', ...pd]), { code: 0 })
  t.match(await karst(['kv', 'get', 'a', ...pd]), { code: 0, out: 'b\n' })
  t.notOk(existsSync(join(cwd, 'karst-data')))
  playground.signal('SIGINT')
  t.strictSame(await playground.ended, { code: 0, signal: null })
})
