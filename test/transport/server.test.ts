import t from 'tap'
import { copyBytes, utf8 } from '../../src/common/bytes.js'
import { err, ok } from '../../src/common/result.js'
import type { RpcHandlerContext, RpcHandlers } from '../../src/transport/api.js'
import { transportLimits } from '../../src/transport/limits.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { RpcServer } from '../../src/transport/rpc-server.js'
import type { FrameError } from '../../src/wire/frame.js'
import { FrameKind } from '../../src/wire/messages.js'
import type { Hello, RaftEnvelope, RpcResult } from '../../src/wire/messages.js'
import { crc32c } from '../../src/wire/crc32c.js'
import { context, envelopes } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import type { FakeEnd } from './fake.js'
import { Greeting, cancelFrame, describe, emptyFrame, helloFrame, join, raftFrame, requestFrame } from './frames.js'
import { hello, secret } from './real.js'

const address = 'store-1:20160'
const get = { context, key: utf8('key') }
const getFrame = (id: number): Uint8Array => requestFrame('RawGet', id, get)
const echo: RpcHandlers = { RawGet: (request, respond) => respond(ok({ value: request.key })) }

/** A client that says what it likes. */
interface Raw {
  readonly end: FakeEnd
  /** What the server said since the last look, a list per message. */
  heard(): string[][]
  say(...frames: Uint8Array[]): void
}

class Setup {
  readonly world = new FakeWorld()
  readonly env = this.world.env('server')
  readonly raft: RaftEnvelope[] = []
  rpc!: RpcServer

  async serve(handlers: RpcHandlers = echo, withRaft = true): Promise<this> {
    this.rpc = await listenRpc({
      env: this.env, address, secret, hello: () => hello('store', 1, 7n), handlers,
      onRaft: withRaft ? envelope => { this.raft.push(envelope) } : undefined,
    })
    return this
  }

  /** @param greets as whom */
  connect(greets: Hello | 'nobody' = hello('client')): Raw {
    const said: string[][] = []
    const greeting = greets === 'nobody' ? undefined : new Greeting(greets)
    this.world.env('raw').network.dial(address, {
      onMessage: bytes => {
        said.push(describe(copyBytes(bytes)))
        const owed = greeting?.answerTo(bytes)
        if (owed !== undefined && owed.length > 0) end.send(owed)
      },
      onClose: () => { said.push(['closed']) },
    })
    const end = this.world.wires.at(-1)!.dialler
    this.world.run(5)
    const raw: Raw = {
      end,
      heard: () => {
        this.world.run(5)
        return said.splice(0)
      },
      say: (...frames) => { end.send(join(...frames)) },
    }
    if (greeting !== undefined) {
      raw.say(greeting.frame)
      raw.heard()
    }
    return raw
  }

  metric(name: string): number | undefined { return this.rpc.metrics()[name] }
  damage(kind: FrameError['kind']): number | undefined { return this.metric(`transport_damaged_frames_total{kind="${kind}"}`) }
}

function patched(bytes: Uint8Array, at: number, value: number, fixChecksum = false): Uint8Array {
  const copy = copyBytes(bytes)
  copy[at] = value
  if (fixChecksum) new DataView(copy.buffer).setUint32(20, crc32c(copy, 0, 20), true)
  return copy
}

t.test('Hello is answered with Hello; requests may come right behind it', async t => {
  const s = await new Setup().serve()
  const raw = s.connect('nobody')
  raw.say(helloFrame(hello('client')), getFrame(1), getFrame(2))
  t.same(raw.heard(), [['Hello', 'RawGet 1 →', 'RawGet 2 →']])
  raw.say(getFrame(3))
  raw.say(getFrame(4))
  t.same(raw.heard(), [['RawGet 3 →', 'RawGet 4 →']], 'messages of one turn are answered by one')
})

t.test('every kind of damage ends its connection, is counted by kind and is nobody else\'s business', async t => {
  const s = await new Setup().serve()
  const healthy = s.connect()
  const request = getFrame(9)
  const large = copyBytes(request)
  new DataView(large.buffer).setUint32(16, 17 << 20, true)
  const cases: readonly [FrameError['kind'], Uint8Array, string][] = [
    ['BadMagic', patched(request, 0, 0), 'magic'],
    ['BadVersion', patched(request, 2, 9, true), 'version'],
    ['BadHeaderChecksum', patched(request, 9, 1), 'an id whose checksum was not fixed'],
    ['TooLarge', patched(large, 2, 1, true), 'a length over the limit'],
    ['Truncated', request.subarray(0, request.length - 1), 'a frame without its end'],
    ['Truncated', join(request, request.subarray(0, 10)), 'half a header behind a good frame'],
    ['BadBody', patched(request, 24, 0xff), 'a root table outside'],
    ['BadBody', patched(request, 15, 0xff, true), 'an id over 2^53'],
    ['UnknownKind', emptyFrame(0, 1), 'kind 0'],
    ['UnknownKind', emptyFrame(15, 1), 'a control kind that is not'],
    ['UnknownKind', emptyFrame(FrameKind.RawGet | 0x80, 1), 'a response'],
    ['UnknownKind', helloFrame(hello('client')), 'a second Hello'],
  ]
  for (const [kind, bytes, what] of cases) {
    const before = s.damage(kind)!
    const raw = s.connect()
    raw.say(bytes)
    const heard = raw.heard()
    t.match(heard.at(-2)?.at(-1), /^ProtocolError: /, what)
    t.same(heard.at(-1), ['closed'], what)
    t.equal(s.damage(kind), before + 1, what)
    healthy.say(getFrame(5))
    t.same(healthy.heard(), [['RawGet 5 →']], what)
  }
  t.equal(s.metric('transport_connections'), 1)
  t.same(s.world.crashes, [])
})

t.test('a flood of damage is a line a second in the log', async t => {
  const s = await new Setup().serve()
  for (let i = 0; i < 300; i++) s.connect().say(utf8('no frame at all, just words'))
  s.world.run(2_000)
  const lines = s.env.log_.length
  t.ok(lines >= 3 && lines <= 6, `${lines} lines in ${s.world.nowMs - 1_000} ms`)
  t.match(s.env.log_[1], { level: 'warn', event: 'transport.damaged', fields: { remote: 'client', reason: /bad magic/, unsaid: Number } })
  t.equal(s.damage('BadMagic'), 300)
})

t.test('good frames in front of a damaged one are served', async t => {
  const s = await new Setup().serve()
  const raw = s.connect()
  raw.say(getFrame(1), getFrame(2), patched(getFrame(3), 0, 0))
  t.match(raw.heard(), [['RawGet 1 →', 'RawGet 2 →'], [/^ProtocolError: bad magic/], ['closed']])
})

t.test('a frame split over messages is damage: messages hold whole frames', async t => {
  const s = await new Setup().serve()
  const raw = s.connect()
  const frame = getFrame(1)
  raw.say(frame.subarray(0, 30))
  raw.say(frame.subarray(30))
  t.match(raw.heard(), [[/^ProtocolError: the message ends \d+ bytes before/], ['closed']])
  t.equal(s.damage('Truncated'), 1)
})

t.test('nothing is served before Hello', async t => {
  const s = await new Setup().serve()
  for (const frame of [getFrame(1), cancelFrame(1), raftFrame([envelopes[0]!]), emptyFrame(99, 1)]) {
    const raw = s.connect('nobody')
    raw.say(frame)
    t.match(raw.heard(), [[/^ProtocolError: frame kind \d+ has no meaning here/], ['closed']])
  }
  t.equal(s.damage('UnknownKind'), 4)
  t.equal(s.metric('transport_requests_total'), 0)
})

t.test('who says nothing is sent away', async t => {
  const s = await new Setup().serve()
  const raw = s.connect('nobody')
  s.world.run(transportLimits.handshakeMsMax - 20)
  t.same(raw.heard(), [])
  s.world.run(20)
  t.match(raw.heard(), [['ProtocolError: no Hello in time'], ['closed']])
  const polite = s.connect()
  s.world.run(3_600_000)
  t.same(polite.heard(), [], 'a client that said Hello may be quiet for an hour')
})

t.test('another cluster is refused in words and counted', async t => {
  const s = await new Setup().serve()
  const raw = s.connect('nobody')
  raw.say(helloFrame(hello('client', 0, 8n)), getFrame(1))
  t.same(raw.heard(), [['ProtocolError: this is cluster 7, not 8'], ['closed']])
  t.equal(s.metric('transport_hello_mismatches_total'), 1)
  const later = s.connect('nobody')
  later.say(helloFrame({ ...hello('client'), protocolVersion: 2 }))
  t.match(later.heard(), [[/^ProtocolError: protocol version 2 is not spoken here/], ['closed']])
  t.equal(s.metric('transport_hello_mismatches_total'), 2)
})

t.test('Ping is answered by everybody; what has no handler or no codec is Unimplemented', async t => {
  const s = await new Setup().serve({})
  const raw = s.connect()
  raw.say(requestFrame('Ping', 1, { sentAtMs: 12.5 }), getFrame(2), emptyFrame(120, 3), emptyFrame(16 + 20, 4))
  t.same(raw.heard(), [['Ping 1 →', 'RawGet 2 →', 'kind 248 3', 'kind 164 4']])
})

t.test('handlers are told who asks and when', async t => {
  const contexts: RpcHandlerContext[] = []
  const s = await new Setup().serve({ RawGet: (request, respond, from) => {
    contexts.push(from)
    respond(ok({ value: undefined }))
  } })
  const raw = s.connect(hello('store', 44))
  raw.say(getFrame(1))
  raw.heard()
  t.match(contexts, [{ remote: 'client', role: 'store', nodeId: 44, arrivedAtMs: s.world.nowMs - 4 }])
})

t.test('an answer that does not fit becomes an error that names the limit', async t => {
  const s = await new Setup().serve({ RawGet: (request, respond) => respond(ok({ value: new Uint8Array(17 << 20) })) })
  const raw = s.connect()
  raw.say(getFrame(1))
  t.same(raw.heard(), [['RawGet 1 →']])
})

t.test('what a handler throws is ours: it is not caught here', async t => {
  const s = await new Setup().serve({ RawGet: () => { throw new Error('a broken invariant') } })
  s.connect().say(getFrame(1))
  s.world.run(5)
  t.match(s.world.crashes, [{ message: 'a broken invariant' }])
})

t.test('answering twice is a broken invariant', async t => {
  const s = await new Setup().serve({ RawGet: (request, respond) => {
    respond(ok({ value: undefined }))
    respond(err({ kind: 'DeadlineExceeded' }))
  } })
  s.connect().say(getFrame(1))
  s.world.run(5)
  t.match(s.world.crashes, [{ name: 'AssertionError', message: 'RawGet was answered twice' }])
})

t.test('requests in flight are limited per connection', async t => {
  const owed: ((result: RpcResult<'RawGet'>) => void)[] = []
  const s = await new Setup().serve({ RawGet: (request, respond) => { owed.push(respond) } })
  const raw = s.connect()
  const max = transportLimits.requestsInFlightMax
  raw.say(...Array.from({ length: max + 2 }, (unused, i) => getFrame(i + 1)))
  t.same(raw.heard().flat(), [`RawGet ${max + 1} →`, `RawGet ${max + 2} →`])
  t.equal(s.metric('transport_busy_answers_total'), 2)
  t.equal(s.metric('transport_requests_in_flight'), max)
  owed.splice(0, 10).forEach(respond => respond(ok({ value: undefined })))
  t.same(raw.heard().flat().length, 10)
  raw.say(getFrame(77_777))
  raw.heard()
  t.equal(owed.length, max - 10 + 1)
})

t.test('who does not read is told busy before anything is begun for it, also within one message', async t => {
  const value = new Uint8Array(3 << 20)
  let asked = 0
  const s = await new Setup().serve({ RawGet: (request, respond) => {
    asked++
    respond(ok({ value }))
  } })
  const raw = s.connect()
  const server = s.world.wires.at(-1)!.acceptor
  server.isStalled = true
  for (let id = 1; id <= 10; id++) {
    raw.say(getFrame(id))
    s.world.run(5)
  }
  t.equal(asked, 6, '16 MiB unread: busy')
  t.equal(s.metric('transport_busy_answers_total'), 4)
  t.ok(s.metric('transport_unread_bytes')! > 18 << 20)
  server.unstall()
  t.equal(raw.heard().flat().length, 10)
  server.isStalled = true
  raw.say(...Array.from({ length: 40 }, (unused, i) => getFrame(100 + i)))
  s.world.run(5)
  t.notOk(server.isEnded, 'slow is no crime')
  t.ok(server.bufferedBytes() < 20 << 20, `${server.bufferedBytes()} bytes are kept for it`)
  t.equal(asked, 12)
  server.unstall()
  t.equal(raw.heard().flat().length, 40, 'each is answered')
  t.equal(s.metric('transport_slow_clients_total'), 0)
  t.equal(s.metric('transport_unread_bytes'), 0)
  t.equal(s.metric('transport_answer_bytes'), 0)
  t.same(s.world.crashes, [])
})

t.test('cancelled requests are not answered, answered ones not cancelled', async t => {
  const owed = new Map<string, (result: RpcResult<'RawGet'>) => void>()
  const s = await new Setup().serve({ RawGet: (request, respond) => { owed.set(Buffer.from(request.key).toString(), respond) } })
  const raw = s.connect()
  for (const id of [1, 2, 3]) raw.say(requestFrame('RawGet', id, { context, key: utf8(String(id)) }))
  raw.say(cancelFrame(2))
  raw.say(cancelFrame(999))
  raw.heard()
  for (const id of ['1', '2', '3']) owed.get(id)!(ok({ value: undefined }))
  t.same(raw.heard(), [['RawGet 1 →', 'RawGet 3 →']])
  raw.say(cancelFrame(3), requestFrame('RawGet', 999, { context, key: utf8('999') }))
  raw.heard()
  owed.get('999')!(ok({ value: undefined }))
  t.same(raw.heard(), [['RawGet 999 →']], 'an old cancel does not hit a later request')
})

t.test('raft comes from stores, in order, and from nobody else', async t => {
  const s = await new Setup().serve()
  const store = s.connect(hello('store', 1))
  // Snapshots have a door of their own.
  const mayCome = envelopes.filter(one => one.message.snapshot === undefined)
  store.say(raftFrame(mayCome), raftFrame([envelopes[0]!]))
  t.same(store.heard(), [])
  t.same(s.raft, [...mayCome, envelopes[0]])
  const client = s.connect()
  client.say(raftFrame(envelopes))
  t.match(client.heard(), [[/^ProtocolError/], ['closed']])
  const deaf = await new Setup().serve(echo, false)
  const other = deaf.connect(hello('store', 3))
  other.say(raftFrame(envelopes))
  t.match(other.heard(), [[/^ProtocolError/], ['closed']])
})

t.test('answers after the end of a connection or of the server go nowhere', async t => {
  const owed: ((result: RpcResult<'RawGet'>) => void)[] = []
  const s = await new Setup().serve({ RawGet: (request, respond) => { owed.push(respond) } })
  const gone = s.connect()
  const staying = s.connect()
  gone.say(getFrame(1))
  staying.say(getFrame(1))
  staying.heard()
  gone.end.close('bye')
  s.world.run(5)
  t.equal(s.metric('transport_connections'), 1)
  s.rpc.close()
  s.rpc.close()
  for (const respond of owed) respond(ok({ value: undefined }))
  t.same(staying.heard(), [['closed']])
  t.equal(s.metric('transport_connections'), 0)
  t.notOk(s.world.listeners.has(address))
  t.same(s.world.crashes, [])
})

t.test('a handler that closes the server in the middle of a message ends it there', async t => {
  let asked = 0
  const s = await new Setup().serve({ RawGet: (request, respond) => {
    asked++
    s.rpc.close()
    respond(ok({ value: undefined }))
  } })
  const raw = s.connect()
  raw.say(getFrame(1), getFrame(2), getFrame(3))
  t.same(raw.heard(), [['closed']])
  t.equal(asked, 1)
})
