import t from 'tap'
import { copyBytes } from '../../src/common/bytes.js'
import { logIndex, storeId, term } from '../../src/common/ids.js'
import type { StoreId } from '../../src/common/ids.js'
import { transportLimits } from '../../src/transport/limits.js'
import { createRaftLinks } from '../../src/transport/raft-links.js'
import type { RaftLinksHandle } from '../../src/transport/raft-links.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { RpcServer } from '../../src/transport/rpc-server.js'
import type { RaftEnvelope } from '../../src/wire/messages.js'
import { envelope } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import type { FakeEnd } from './fake.js'
import { describe } from './frames.js'
import { hello, secret } from './real.js'

const two = storeId(2)
const home = 'store-2:20160'

/** A message that tells its number: small ones are heartbeats, others carry an entry. */
function numbered(number: number, dataBytes = 0): RaftEnvelope {
  const base = dataBytes === 0 ? envelope : { ...envelope, message: { ...envelope.message, index: logIndex(number), entries: [
    { term: term(7), index: logIndex(number + 1), type: 0 as const, data: new Uint8Array(dataBytes) }] } }
  return { ...base, epoch: { confVer: number, version: 1 } }
}

class Setup {
  readonly world = new FakeWorld()
  readonly addresses = new Map<StoreId, string>([[two, home]])
  readonly events: string[] = []
  readonly got: number[] = []
  readonly links: RaftLinksHandle
  rpc: RpcServer | undefined
  #isSending = false

  constructor() {
    const note = (what: string) => (to: StoreId) => {
      this.events.push(`${what} ${to} at ${this.world.nowMs}${this.#isSending ? ' IN SEND' : ''}`)
    }
    this.links = createRaftLinks({
      env: this.world.env('store-1'), secret, hello: () => hello('store', 1), addressOf: to => this.addresses.get(to),
      onUp: note('up'), onDown: note('down'),
    })
  }

  async serve(address = home, nodeId = 2): Promise<this> {
    this.rpc = await listenRpc({
      env: this.world.env('store-2'), address, secret, hello: () => hello('store', nodeId), handlers: {},
      onRaft: one => { this.got.push(one.epoch.confVer) },
    })
    return this
  }

  send(...envelopes: RaftEnvelope[]): boolean[] {
    this.#isSending = true
    const results = envelopes.map(one => this.links.send(two, one))
    this.links.flush()
    this.#isSending = false
    return results
  }

  /** Connected. */
  async up(): Promise<this> {
    await this.serve()
    this.send(numbered(0))
    this.world.run(10)
    this.got.length = 0
    return this
  }

  end(): FakeEnd { return this.world.wires.at(-1)!.dialler }
  dropped(reason: string): number | undefined { return this.links.metrics()[`transport_raft_dropped_total{reason="${reason}"}`] }
  sentRaft(): string[][] { return this.end().sent.map(copyBytes).map(describe).filter(words => words[0]!.startsWith('Raft')) }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (unused, i) => from + i)

t.test('nothing goes before flush; a flush is one frame; both directions say Hello as stores', async t => {
  const s = await new Setup().up()
  for (const number of range(1, 6)) t.equal(s.links.send(two, numbered(number)), true)
  s.world.run(10)
  t.same(s.got, [])
  s.links.flush()
  s.links.flush()
  s.world.run(10)
  t.same(s.got, range(1, 6))
  t.same(s.sentRaft(), [['Raft x1'], ['Raft x5']])
  t.equal(s.events.length, 1)
  t.match(s.events[0], /^up 2 at \d+(\.\d+)?$/)
  t.match(s.links.metrics(), { transport_raft_links: 1, transport_raft_links_connected: 1, transport_raft_queued_bytes: 0 })
})

t.test('a flush of many bytes is cut into messages, each within the frame limit', async t => {
  const s = await new Setup().up()
  s.send(...range(1, 11).map(number => numbered(number, 200_000)), numbered(11, 15 << 20), numbered(12))
  s.world.run(10)
  t.same(s.got, range(1, 13))
  const sizes = s.end().sent.slice(2).map(bytes => bytes.length)
  t.ok(sizes.every(size => size <= transportLimits.raftFrameBytesSoft || size < (15 << 20) + 1_000), String(sizes))
  t.same(s.sentRaft().slice(1).flat(), ['Raft x2', 'Raft x2', 'Raft x2', 'Raft x2', 'Raft x2', 'Raft x1', 'Raft x1'])
  s.send(...range(13, 10_013).map(number => numbered(number)))
  s.world.run(10)
  t.equal(s.got.length, 10_012)
})

t.test('an envelope that no frame can hold is dropped and counted; the others go', async t => {
  const s = await new Setup().up()
  t.same(s.send(numbered(1), numbered(2, 17 << 20), numbered(3)), [true, false, true])
  s.world.run(10)
  t.same(s.got, [1, 3])
  t.equal(s.dropped('oversize'), 1)
  const limit = 16 << 20
  for (let bytes = limit - 700; bytes < limit; bytes += 50) s.send(numbered(bytes, bytes))
  s.world.run(10)
  t.ok(s.events.length === 1, 'near the limit: some fit, some are dropped, none breaks the connection')
})

t.test('half full: entries are refused and heartbeats go on; full: nothing goes; order is kept throughout', async t => {
  const s = await new Setup().up()
  s.end().isStalled = true
  const accepted: number[] = []
  let number = 1
  const offer = (dataBytes: number): boolean => {
    const isTaken = s.send(numbered(number, dataBytes))[0]!
    if (isTaken) accepted.push(number)
    number++
    return isTaken
  }
  while (offer(1 << 20)) s.world.run(1)
  t.ok(number > 30 && number < 34, `${number} MiB of entries`)
  for (let i = 0; i < 1_000; i++) if (!offer(0)) t.fail('a heartbeat was refused at half')
  t.notOk(offer(1 << 20))
  const bulky = { ...numbered(0), startKey: new Uint8Array(16 << 10), endKey: new Uint8Array(16 << 10) }
  while (s.send({ ...bulky, epoch: { confVer: number, version: 1 } })[0]!) {
    accepted.push(number++)
    s.world.run(1)
  }
  t.ok(s.links.metrics().transport_raft_queued_bytes! > transportLimits.raftQueueBytesMax - (1 << 20))
  t.ok(s.links.metrics().transport_raft_queued_bytes! < transportLimits.raftQueueBytesMax + 1_000)
  t.same(s.send(bulky), [false])
  t.equal(s.dropped('full'), 4)
  s.end().unstall()
  t.ok(offer(1 << 20), 'room again')
  s.world.run(10)
  t.same(s.got, accepted)
})

t.test('a backlog that moves is alive, one that only grows is not', async t => {
  const moving = await new Setup().up()
  const end = moving.end()
  end.isStalled = true
  for (let i = 0; i < 100; i++) {
    moving.send(numbered(i, 100_000))
    moving.world.run(100)
    if (i % 5 === 0) end.letThrough(1)
  }
  t.equal(moving.events.length, 1, 'ten seconds without a pong, but with bytes taken')
  const stuck = await new Setup().up()
  stuck.end().isStalled = true
  const fromMs = stuck.world.nowMs
  for (let i = 0; stuck.events.length === 1 && i < 100; i++) {
    stuck.send(numbered(i, 100_000))
    stuck.world.run(100)
  }
  t.match(stuck.events[1], /^down 2/)
  t.ok(stuck.world.nowMs - fromMs < 5_200, `${stuck.world.nowMs - fromMs} ms`)
})

t.test('while a store is being dialled the newest few are kept', async t => {
  const s = new Setup()
  await s.serve()
  t.ok(s.send(...range(1, 201).map(number => numbered(number))).every(Boolean))
  s.world.run(10)
  t.same(s.got, range(201 - transportLimits.raftKeptMax, 201))
  t.equal(s.dropped('down'), 200 - transportLimits.raftKeptMax)
  const large = new Setup()
  await large.serve()
  large.send(...range(1, 11).map(number => numbered(number, 300_000)))
  large.world.run(10)
  t.same(large.got, [8, 9, 10], 'limited in bytes, too')
})

t.test('nobody there: dials are spaced, messages are refused meanwhile', async t => {
  const s = new Setup()
  t.same(s.send(numbered(1)), [true])
  s.world.run(5)
  t.same(s.send(numbered(2)), [false])
  for (let i = 0; i < 500; i++) {
    s.world.run(20)
    s.send(numbered(3))
  }
  t.ok(s.world.dials.length > 8 && s.world.dials.length < 25, `${s.world.dials.length} dials in 10 s`)
  t.same(s.events, [])
  await s.serve()
  s.world.run(2_100)
  t.match(s.events, [/^up 2/], 'found without a send')
})

t.test('a store that nobody writes to is not dialled for ever', async t => {
  const s = new Setup()
  s.send(numbered(1))
  s.world.run(transportLimits.raftWantedMs + 3_000)
  const { length } = s.world.dials
  s.world.run(600_000)
  t.equal(s.world.dials.length, length)
  await s.serve()
  s.send(numbered(2))
  s.world.run(10)
  t.same(s.got, [2])
})

t.test('a broken link is told at once, in a later turn, and mended in the background', async t => {
  const s = await new Setup().up()
  s.world.run(5_000)
  const brokenAt = s.world.nowMs
  s.send(numbered(1))
  s.world.kill(home)
  s.world.run(0)
  t.same(s.events.slice(1), [`down 2 at ${brokenAt}`])
  t.equal(s.world.dials.length, 2, 'dialled again at once')
  s.world.run(300)
  await s.serve()
  s.world.run(1_000)
  t.equal(s.events.length, 3)
  t.match(s.events[2], /^up 2/)
  t.notOk(s.events.some(event => event.includes('IN SEND')))
  t.match(s.links.metrics(), { transport_raft_link_ups_total: 2, transport_raft_link_downs_total: 1 })
})

t.test('a silent store is down after three to four seconds', async t => {
  const s = await new Setup().up()
  s.world.run(10_000)
  t.equal(s.events.length, 1, 'pings are answered')
  s.world.dark.add(home)
  const fromMs = s.world.nowMs
  s.world.run(2_900)
  t.equal(s.events.length, 1)
  s.world.run(1_200)
  t.match(s.events[1], /^down 2/)
  t.ok(s.world.nowMs - fromMs < 4_200)
})

t.test('the address is asked at every dial', async t => {
  const s = new Setup()
  s.addresses.delete(two)
  t.same(s.send(numbered(1)), [false])
  t.equal(s.world.dials.length, 0)
  s.world.run(100)
  s.addresses.set(two, 'elsewhere:1')
  await s.serve('elsewhere:1')
  s.send(numbered(2))
  s.world.run(10)
  t.same(s.got, [2])
  s.world.run(5_000)
  s.addresses.set(two, 'moved:1')
  s.world.kill('elsewhere:1')
  await s.serve('moved:1')
  s.world.run(10)
  t.same(s.world.dials.map(dial => dial.address), ['elsewhere:1', 'moved:1'])
  s.send(numbered(3))
  s.world.run(10)
  t.same(s.got, [2, 3])
})

t.test('an address that passed to another store gets nothing', async t => {
  const s = await new Setup().serve(home, 3)
  s.send(numbered(1))
  s.world.run(10)
  t.same(s.end().sent.map(describe), [['Hello'], ['ProtocolError: this is store 3, not store 2']])
  t.same(s.got, [])
  t.same(s.events, [])
  s.world.kill(home)
  await s.serve()
  s.world.run(200)
  t.match(s.events, [/^up 2/], 'it is tried again')
})

t.test('nothing is overtaken or doubled, whatever breaks when', async t => {
  let total = 0
  for (let seed = 1; seed <= 60; seed++) {
    let dice = seed * 7_919
    const roll = (bound: number): number => {
      dice = (Math.imul(dice, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor(dice / 2 ** 32 * bound)
    }
    const s = await new Setup().up()
    let number = 1
    for (let step = 0; step < 300; step++) {
      switch (roll(12)) {
        case 0: s.world.wires.at(-1)!.cut('cut'); break
        case 1:
          s.world.kill(home)
          break
        case 2:
          if (!s.world.listeners.has(home)) await s.serve()
          break
        case 3: s.end().isStalled = true; break
        case 4: s.end().unstall(); break
        default: s.send(...range(0, roll(5)).map(() => numbered(number++, roll(3) * 1_000)))
      }
      s.world.run(roll(30))
    }
    s.end().unstall()
    s.world.run(100)
    const isSorted = s.got.every((one, i) => i === 0 || one > s.got[i - 1]!)
    total += s.got.length
    const words = s.events.map(event => event.split(' ')[0])
    const alternate = words.every((word, i) => word === (i % 2 === 0 ? 'up' : 'down'))
    if (!isSorted || !alternate || s.world.crashes.length > 0) {
      t.fail(`seed ${seed}`, { got: s.got, events: s.events, crashes: s.world.crashes })
    }
  }
  t.ok(total > 1_000, `${total} messages arrived under 60 seeds`)
})

t.test('close is the end: no dial, no callback, no message', async t => {
  const s = await new Setup().up()
  s.links.close()
  s.links.close()
  t.same(s.send(numbered(1)), [false])
  s.world.run(60_000)
  t.same(s.got, [])
  t.equal(s.events.length, 1)
  t.equal(s.world.dials.length, 1)
  t.equal(s.rpc!.metrics().transport_connections, 0)
  const dialling = new Setup()
  dialling.send(numbered(1))
  dialling.links.close()
  const waiting = new Setup()
  waiting.send(numbered(1))
  waiting.world.run(5)
  waiting.send(numbered(1))
  waiting.links.close()
  for (const one of [dialling, waiting]) {
    one.world.run(60_000)
    t.same(one.events, [])
    t.equal(one.world.dials.length, 1)
  }
})
