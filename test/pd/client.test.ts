import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import type { Ts } from '../../src/common/ids.js'
import { createPdClient } from '../../src/client/pd-client.js'
import { PdRefusedError, PdUnavailableError } from '../../src/pd/api.js'
import type { PdClient } from '../../src/pd/api.js'
import type { CallOptions, CallResult, RpcChannel } from '../../src/transport/api.js'
import type { Requests, RpcName } from '../../src/wire/messages.js'
import { Group, TestEnv, World, ask } from './kit.js'
import { peer, region, stats, store } from './samples.js'

/** A channel straight to a member's handlers, a millisecond each way. Lost while the member is dead. */
class TestChannel implements RpcChannel {
  isConnected = true
  #isClosed = false
  constructor(readonly group: Group, readonly address: string, readonly counts: Map<string, number>) {}

  send<N extends RpcName>(name: N, request: Requests[N], options: CallOptions,
    done: (result: CallResult<N>) => void): void {
    const { world } = this.group
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    let isOver = false
    const finish = (result: CallResult<N>): void => {
      if (isOver) return
      isOver = true
      done(result)
    }
    const fail = (kind: 'Timeout' | 'ConnectionLost' | 'Closed'): void =>
      finish({ answered: false, failure: { kind, sent: true, reason: '' } })
    world.at(world.nowMs + options.timeoutMs, () => { fail('Timeout') })
    world.at(world.nowMs + 1, () => {
      const member = this.group.members.find(one => `pd-${one.memberId}:2379` === this.address)
      if (this.#isClosed) fail('Closed')
      else if (member?.node === undefined) fail('ConnectionLost')
      else {
        const asked = ask(member.node.server.handlers, name, request)
        const look = (): void => {
          if (member.env.isDead) fail('ConnectionLost')
          else if (asked.result === undefined) world.at(world.nowMs + 1, look)
          else finish({ answered: true, result: asked.result })
        }
        world.at(world.nowMs + 1, look)
      }
    })
  }

  call<N extends RpcName>(name: N, request: Requests[N], options: CallOptions): Promise<CallResult<N>> {
    return new Promise(resolve => { this.send(name, request, options, resolve) })
  }

  close(): void { this.#isClosed = true }
}

interface Setup { group: Group; world: World; client: PdClient; counts: Map<string, number>; found: string[] }

function setup(seed: number, members: number, addresses = ['http://pd-1:2379']): Setup {
  const world = new World(seed)
  const group = new Group(world, members)
  const counts = new Map<string, number>()
  const found: string[] = []
  const client = createPdClient({
    env: new TestEnv(world, 'client'), addresses, channelFor: address => new TestChannel(group, address, counts),
    onLeaderFound: address => { found.push(address) },
  })
  return { group, world, client, counts, found }
}

/** Runs virtual time while a promise is pending. */
async function run<T>(world: World, promise: Promise<T>, msMax = 60_000): Promise<T> {
  let isSettled = false
  const settled = promise.finally(() => { isSettled = true })
  settled.catch(() => {})
  for (let at = 0; at < msMax && !isSettled; at++) {
    await new Promise(resolve => { setImmediate(resolve) })
    if (!isSettled) world.runFor(1)
  }
  if (!isSettled) throw new Error('nothing happens any more')
  return await settled
}

t.test('the client finds PD, learns the cluster id, and refusals carry their reason', async t => {
  const { group, world, client } = setup(1, 1)
  t.equal(client.clusterId, 0n)
  const early = client.allocIds(3)
  world.runFor(300)
  group.startAll()
  const first = await run(world, early)
  t.equal(client.clusterId, group.leader!.node!.clusterId)
  t.equal(await run(world, client.isBootstrapped()), false)
  t.equal(await run(world, client.bootstrap(store(first),
    region({ id: first + 1, peers: [peer(first + 2, first)] }))), true)
  t.equal((await run(world, client.getRegion(utf8('x'))))?.region.regionId, first + 1)
  t.same((await run(world, client.getStores())).map(one => one.storeId), [first])
  t.equal((await run(world, client.storeHeartbeat(stats(first)))).stores.length, 1)
  t.match((await run(world, client.getMembers()))[0], { name: 'pd-1', isLeader: true })
  const refused = await run(world, client.putStore(store(4_000)).then(() => undefined, (error: unknown) => error))
  t.ok(refused instanceof PdRefusedError)
  t.match(String(refused), /never allocated/)
  client.close()
  const closed = await run(world, client.getStores().then(() => undefined, (error: unknown) => error))
  t.ok(closed instanceof PdUnavailableError)
})

t.test('without PD a call ends at its deadline', async t => {
  const { world, client } = setup(2, 1)
  const at = world.nowMs
  const error = await run(world, client.allocIds(1).then(() => undefined, (reason: unknown) => reason))
  t.ok(error instanceof PdUnavailableError)
  t.ok(world.nowMs - at >= 15_000 && world.nowMs - at < 17_000, `${world.nowMs - at} ms`)
})

t.test('tso: calls of a turn are one request, answers are consecutive and in order', async t => {
  const { group, world, client, counts } = setup(3, 1)
  group.startAll()
  await run(world, client.tso(1))
  const before = counts.get('Tso')!
  const many = await run(world, Promise.all(Array.from({ length: 100 }, (_, i) => client.tso(1 + (i % 3)))))
  t.equal(counts.get('Tso')! - before, 1)
  for (let i = 1; i < many.length; i++) {
    if (many[i]! !== many[i - 1]! + BigInt(1 + ((i - 1) % 3))) throw new Error(`gap at ${i}`)
  }
  const huge = await run(world, Promise.all(Array.from({ length: 5 }, () => client.tso(4_000))))
  t.equal(counts.get('Tso')! - before, 4, 'two of 4,000 fit into a request')
  t.ok(huge.every((one, i) => i === 0 || one >= huge[i - 1]! + 4_000n))
  const error = await client.tso(0).then(() => undefined, (reason: unknown) => reason)
  t.ok(error instanceof PdRefusedError)
})

t.test('leaders die; the client follows, timestamps grow, and who listens hears of each new leader', async t => {
  const { group, world, client, found } = setup(4, 3, ['pd-1:2379', 'pd-2:2379', 'pd-3:2379'])
  group.startAll()
  let greatest = 0n as Ts
  const gaps: number[] = []
  for (let round = 0; round < 6; round++) {
    const got = await run(world, client.tso(10))
    t.ok(got > greatest, 'grows')
    greatest = got
    const leader = group.awaitLeader()
    group.kill(leader)
    const at = world.nowMs
    const next = await run(world, client.tso(1))
    gaps.push(world.nowMs - at)
    t.ok(next > greatest, 'grows over the change')
    greatest = next
    group.start(leader)
    world.runFor(3_000)
  }
  t.ok(Math.max(...gaps) < 6_000, gaps.join(' '))
  t.comment(`ms without timestamps: ${gaps.map(gap => Math.round(gap)).join(' ')}`)
  t.ok(found.length >= 7, `${found.length} leaders found`)
  t.same(world.errors, [])
})

t.test('a leader that is cut off from the others, but not from the client, is left', async t => {
  const { group, world, client } = setup(5, 3)
  group.startAll()
  await run(world, client.tso(1))
  world.runFor(3_000)
  const old = group.awaitLeader()
  const last = await run(world, client.tso(1))
  for (const other of group.members) {
    group.cut.add(`${old.memberId}>${other.memberId}`)
    group.cut.add(`${other.memberId}>${old.memberId}`)
  }
  world.runFor(600)
  const at = world.nowMs
  t.ok(await run(world, client.tso(1)) > last)
  t.ok(world.nowMs - at < 6_000, `${world.nowMs - at} ms`)
  t.not(group.leader, old)
})
