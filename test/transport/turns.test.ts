/** A turn has a budget and a connection no more than its share of it, whatever arrives. */
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import type { RpcHandlers } from '../../src/transport/api.js'
import { transportLimits } from '../../src/transport/limits.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import { turnUnits, frameUnits } from '../../src/transport/turns.js'
import type { Hello, RpcResult } from '../../src/wire/messages.js'
import { context, envelopes } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import type { FakeEnd, FakeEnv } from './fake.js'
import { Greeting, cancelFrame, describe, emptyFrame, helloFrame, join, raftFrame, requestFrame } from './frames.js'
import { hello, secret } from './real.js'

const address = 'store-1:20160'
const mib = 1 << 20
const ping = (id: number): Uint8Array => requestFrame('Ping', id, { sentAtMs: 1 })
const get = (id: number): Uint8Array => requestFrame('RawGet', id, { context, key: utf8('k') })
const scan = (id: number): Uint8Array =>
  requestFrame('RawScan', id, { context, start: utf8('a'), end: utf8('b'), rowsMax: 9, keysOnly: false, reverse: false })

interface Peer { readonly end: FakeEnd; readonly server: FakeEnd; readonly heard: string[]; say(...frames: Uint8Array[]): void }

/** A server that counts what it does between two turns. The clock stands still, or runs while handlers work. */
class Setup {
  readonly world = new FakeWorld()
  readonly env: FakeEnv = this.world.env('server')
  /** Requests begun since the last end of a turn, and the most there ever were. */
  inTurn = 0
  mostInTurn = 0
  readonly begun: string[] = []
  rpc!: Awaited<ReturnType<typeof listenRpc>>

  async serve(handlers: RpcHandlers = {}): Promise<this> {
    this.rpc = await listenRpc({
      env: this.env, address, secret, hello: () => hello('store', 1), onRaft: () => { this.begun.push('raft') },
      handlers: {
        RawGet: (request, respond) => {
          this.count('get')
          respond(ok({ value: undefined }))
        },
        ...handlers,
      },
    })
    return this
  }

  count(what: string): void {
    this.begun.push(what)
    if (this.inTurn++ === 0) this.world.at(0, () => { this.inTurn = 0 })
    this.mostInTurn = Math.max(this.mostInTurn, this.inTurn)
  }

  connect(as: Hello = hello('client')): Peer {
    const heard: string[] = []
    const greeting = new Greeting(as)
    const at = this.world.wires.length
    this.world.env('raw').network.dial(address, {
      onMessage: bytes => {
        heard.push(...describe(bytes))
        const owed = greeting.answerTo(bytes)
        if (owed !== undefined && owed.length > 0) this.world.wires[at]!.dialler.send(owed)
      }, onClose: reason => { heard.push(`closed: ${reason}`) },
    })
    const wire = this.world.wires.at(-1)!
    this.world.run(5)
    wire.dialler.send(greeting.frame)
    this.world.run(5)
    heard.length = 0
    return { end: wire.dialler, server: wire.acceptor, heard, say: (...frames) => { wire.dialler.send(join(...frames)) } }
  }

  metric(name: string): number { return this.rpc.metrics()[name]! }
}

const framesOfTurn = turnUnits / frameUnits

t.test('a message of very many frames is served over many turns; a ping of another connection is not behind them', async t => {
  const s = await new Setup().serve()
  const flood = s.connect()
  const other = s.connect()
  const count = 20 * framesOfTurn
  const one = emptyFrame(127, 1)
  flood.say(...Array.from({ length: count }, () => one))
  let turns = 0
  const { defer } = s.env
  s.env.defer = run => {
    turns++
    defer.call(s.env, run)
  }
  other.say(ping(1))
  s.world.run(1)
  s.world.run(1)
  t.same(other.heard, ['Ping 1 →'])
  s.world.run(1_000)
  t.ok(turns >= 19, `${turns} turns`)
  t.equal(flood.heard.length, count, 'and nothing is lost')
  t.equal(s.metric('transport_inbox_bytes'), 0)
})

t.test('time counts as well: handlers that are slow have fewer requests in a turn', async t => {
  const s = await new Setup().serve({ RawGet: (request, respond) => {
    s.count('get')
    s.world.sleep(0.5)
    respond(ok({ value: undefined }))
  } })
  const flood = s.connect()
  flood.say(...Array.from({ length: 100 }, (unused, i) => get(i)))
  s.world.run(200)
  t.equal(flood.heard.length, 100)
  t.ok(s.mostInTurn <= 8, `${s.mostInTurn} in one turn`)
})

t.test('connections with a backlog take turns, whatever each has sent', async t => {
  const s = await new Setup().serve()
  const big = s.connect()
  const small = s.connect()
  const order: string[] = []
  big.say(...Array.from({ length: 10_000 }, (unused, i) => get(i)))
  s.world.run(1)
  small.say(...Array.from({ length: 600 }, (unused, i) => get(i)))
  s.world.run(100)
  t.equal(small.heard.length, 600)
  t.equal(big.heard.length, 10_000)
  t.ok(s.mostInTurn <= framesOfTurn + 8, `${s.mostInTurn} in one turn`)
  t.same(order, [])
})

t.test('raft of stores does not wait for clients', async t => {
  const s = await new Setup().serve()
  const flood = s.connect()
  const store = s.connect(hello('store', envelopes[0]!.from.storeId))
  flood.say(...Array.from({ length: 5_000 }, (unused, i) => get(i)))
  store.say(raftFrame([envelopes[0]!]))
  s.world.run(100)
  const at = s.begun.indexOf('raft')
  t.ok(at >= 0 && at <= framesOfTurn, `raft came after ${at} requests`)
})

t.test('a large read begins when its answer has room; all of them are answered, and none is refused', async t => {
  const page = new Uint8Array(4 * mib - 1_000)
  const s = await new Setup().serve({ RawScan: (request, respond) => {
    s.count('scan')
    respond(ok({ rows: [{ key: utf8('k'), value: page }], more: true }))
  } })
  const slow = s.connect()
  slow.server.isStalled = true
  for (let id = 1; id <= 300; id++) slow.say(scan(id))
  slow.say(ping(999))
  s.world.run(50)
  const unread = slow.server.bufferedBytes()
  t.ok(unread <= transportLimits.unreadBytesBusy && unread > 4 * mib, `${unread} bytes unread`)
  t.equal(s.mostInTurn, 1, 'one in a turn')
  t.equal(s.metric('transport_busy_answers_total'), 0)
  t.ok(slow.server.sent.some(message => describe(message).includes('Ping 999 →')), 'what came behind them does not wait')
  slow.server.unstall()
  s.world.run(5_000)
  t.equal(slow.heard.filter(word => word.startsWith('RawScan')).length, 300)
  t.equal(s.metric('transport_answer_bytes'), 0)
  t.equal(s.metric('transport_request_bytes'), 0)
})

t.test('however many do not read, the next one has room; all together stay under one budget', async t => {
  const page = new Uint8Array(3 * mib)
  const s = await new Setup().serve({ RawScan: (request, respond) => {
    respond(ok({ rows: [{ key: utf8('k'), value: page }], more: true }))
  } })
  const hogs = Array.from({ length: 12 }, () => s.connect())
  for (const hog of hogs) {
    hog.server.isStalled = true
    hog.say(...Array.from({ length: 100 }, (unused, i) => scan(i)))
  }
  s.world.run(100)
  t.ok(s.metric('transport_answer_bytes') <= transportLimits.answerBytesMax)
  const healthy = s.connect()
  for (let i = 0; i < 20; i++) {
    healthy.say(scan(i), get(1_000 + i))
    s.world.run(10)
  }
  t.equal(healthy.heard.length, 40, 'scans and gets are served at once')
  t.notOk(healthy.heard.includes('closed'))
  s.world.run(transportLimits.stalledMsMax + 3_000)
  t.equal(s.metric('transport_slow_clients_total'), 12, 'who holds what others wait for and does not read is ended')
  t.equal(s.metric('transport_answer_bytes'), 0, 'and it is given back')
  const last = describe(hogs[0]!.server.sent.at(-1)!)
  t.match(last, ['ProtocolError: answers are not read, and others wait'])
})

t.test('answers that come all at once, later than asked for, stop at the limit', async t => {
  const value = new Uint8Array(mib)
  const owed: ((result: RpcResult<'RawGet'>) => void)[] = []
  const s = await new Setup().serve({ RawGet: (request, respond) => { owed.push(respond) } })
  const raw = s.connect()
  raw.server.isStalled = true
  raw.say(...Array.from({ length: 1_000 }, (unused, i) => get(i)))
  s.world.run(20)
  t.equal(owed.length, 1_000)
  for (const respond of owed) respond(ok({ value }))
  s.world.run(20)
  t.ok(raw.server.bufferedBytes() < 40 * mib, `${raw.server.bufferedBytes()} bytes`)
  raw.server.unstall()
  s.world.run(20)
  t.equal(raw.heard.length, 1_000, 'each is answered')
})

t.test('a large read that is cancelled while it waits never begins; the end of its connection lets it go', async t => {
  let begun = 0
  const owed: ((result: RpcResult<'RawScan'>) => void)[] = []
  const s = await new Setup().serve({ RawScan: (request, respond) => {
    begun++
    owed.push(respond)
  } })
  const raw = s.connect()
  raw.say(...Array.from({ length: 10 }, (unused, i) => scan(i)))
  s.world.run(20)
  const room = begun
  t.ok(room >= 2 && room < 10, `${room} reserve room`)
  raw.say(...Array.from({ length: 9 }, (unused, i) => cancelFrame(i)))
  s.world.run(5)
  t.equal(s.metric('transport_waiting_reads'), 1)
  for (const respond of owed.splice(0)) respond(ok({ rows: [], more: false }))
  s.world.run(5)
  t.equal(begun, room + 1)
  raw.end.close('enough')
  s.world.run(5)
  for (const respond of owed) respond(ok({ rows: [], more: false }))
  t.equal(s.metric('transport_answer_bytes'), 0)
  t.equal(s.metric('transport_request_bytes'), 0)
  t.same(s.world.crashes, [])
})

t.test('before Hello a message is small', async t => {
  const s = await new Setup().serve()
  const heard: string[] = []
  s.world.env('raw').network.dial(address, {
    onMessage: bytes => { heard.push(...describe(bytes)) }, onClose: () => { heard.push('closed') },
  })
  s.world.run(5)
  s.world.wires.at(-1)!.dialler.send(join(helloFrame(hello('client')), new Uint8Array(transportLimits.helloBytesMax)))
  s.world.run(5)
  t.match(heard, [/^ProtocolError: \d+ bytes before Hello; 65536 are allowed/, 'closed'])
})
