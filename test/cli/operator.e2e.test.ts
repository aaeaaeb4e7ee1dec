/** What an operator types on a bad day: the cluster says what is wrong, and does not do what would lose data. */
import t from 'tap'
import { folder, isRunning, karst, serve } from './kit.js'
import type { Run } from './kit.js'

t.setTimeout(300_000)

interface Node { readonly address: string; readonly pid: number; readonly storeId: number }
interface Ready { readonly endpoints: string[]; readonly pids: number[]; readonly stores: Node[] }
interface Route { readonly id: number; readonly leaderStore: number | null; readonly peers: { readonly storeId: number }[] }

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 60; i++) {
    if (await isSo()) return
    await new Promise(resolve => setTimeout(resolve, 500))
  }
  throw new Error(`${what}: not within a minute`)
}

t.test('status, burials and removals by hand', async t => {
  const playground = serve(t, ['playground', '--json', '--pd-port', '0'], { cwd: folder(t) })
  const ready = await playground.line as unknown as Ready
  t.teardown(() => { for (const pid of ready.pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL') })
  const pd = ['--pd', ready.endpoints.join(','), '--timeout', '30s']
  const ctl = (...args: string[]): Promise<Run> => karst(['ctl', ...args, ...pd])
  const routes = async (): Promise<readonly Route[]> => (JSON.parse((await ctl('region', '--json')).out) as { regions: Route[] }).regions

  await until('all is well', async () => (await ctl('status')).code === 0)
  t.match(await karst(['ctl', 'status', '--pd', ready.stores[0]!.address, '--timeout', '1s']), { code: 1, err: /is a store, not a member of PD/ })
  t.match(await karst(['kv', 'get', 'a', '--pd', ready.stores[0]!.address, '--timeout', '1s']), { code: 1, err: /is a store, not a member of PD/ })
  t.match(await ctl('region', 'split', '--key', 'm'), { code: 0, out: /store \d[^]*store \d/ }, 'it says who leads the halves')
  t.notMatch((await ctl('region', 'split', '--key', 'q')).out, /none/)

  const [first] = await routes()
  const victim = ready.stores.find(store => store.storeId !== first?.leaderStore)!
  const other = ready.stores.find(store => store !== victim && store.storeId !== first?.leaderStore)!
  const place = (node: Node): string[] => ['--region', String(first?.id), '--store', String(node.storeId)]
  t.match(await ctl('store', 'tombstone', String(victim.storeId)), { code: 1, err: /must be offline/ })
  t.match(await ctl('store', 'offline', String(victim.storeId)), { code: 0 })
  t.match(await ctl('status'), { code: 1, out: new RegExp(`! store ${victim.storeId} is offline`) })
  t.match(await ctl('store', 'tombstone', String(victim.storeId)), { code: 1, err: /holds replicas of 3 regions.*--force/ })
  t.match(await ctl('store', 'up', String(victim.storeId)), { code: 0 })
  t.match(await ctl('store', String(victim.storeId), '--json'), { out: /"state":"up"/ }, 'it is taken back')
  t.match(await ctl('store', '99999'), { code: 1, err: /no store 99999/ })
  t.match(await ctl('store', 'tombstone', '99999'), { code: 1, err: /no store 99999/ })
  t.match(await ctl('region', '--id', '99999'), { code: 1, err: /no region 99999/ })
  t.match(await ctl('region', 'add-peer', ...place(other)), { code: 1, err: /has a replica of region \d+ already/ })
  t.match(await ctl('region', 'add-peer', '--region', String(first?.id), '--store', '99999'), { code: 1, err: /no store 99999/ })
  await until('all is well again', async () => (await ctl('status')).code === 0)

  process.kill(victim.pid, 'SIGKILL')
  const status = await ctl('status')
  t.match(status, { code: 1, out: new RegExp(`! store ${victim.storeId} does not answer`) })
  const json = JSON.parse((await ctl('status', '--json')).out) as { isWell: boolean; problems: { kind: string; text: string }[] }
  t.equal(json.isWell, false)
  t.ok(json.problems.some(problem => problem.kind === 'store-no-answer'))
  await until('PD notices', async () => /disconnected|down_peers|does not answer/.test((await ctl('region', 'remove-peer', ...place(other))).err)
    || /lose its quorum/.test((await ctl('region', 'remove-peer', ...place(other))).err))
  t.match(await ctl('region', 'remove-peer', ...place(other)), { code: 1, err: /lose its quorum.*--force/ })
})
