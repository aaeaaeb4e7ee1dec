import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import type { CallResult, RpcChannel, RpcHandlers } from '../../src/transport/api.js'
import { transportLimits } from '../../src/transport/limits.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { RpcServer } from '../../src/transport/rpc-server.js'
import type { RpcName, RpcResult } from '../../src/wire/messages.js'
import { context } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import type { FakeEnd } from './fake.js'
import { describe, helloFrame, join } from './frames.js'
import { hello, secret } from './real.js'

const address = 'store-1:20160'
const timeoutMs = 60_000
const key = utf8('key')
const get = { context, key }

interface Setup {
  readonly world: FakeWorld
  readonly channel: RpcChannel
  readonly ends: string[]
  /** Answers to RawGet that the server still owes. */
  readonly owed: ((result: RpcResult<'RawGet'>) => void)[]
  rpc: RpcServer | undefined
  serve(handlers?: RpcHandlers, clusterId?: bigint): Promise<RpcServer>
  get(options?: { timeoutMs?: number; signal?: AbortSignal }): void
  dialler(): FakeEnd
  acceptor(): FakeEnd
}

function setup(clusterId = 0n): Setup {
  const world = new FakeWorld()
  const channel = openChannel({ env: world.env('client'), address, hello: () => hello('client', 0, clusterId) })
  const ends: string[] = []
  const owed: ((result: RpcResult<'RawGet'>) => void)[] = []
  let count = 0
  const made: Setup = {
    world, channel, ends, owed, rpc: undefined,
    serve: async (handlers = { RawGet: (request, respond) => { owed.push(respond) } }, serverCluster = 0n) =>
      made.rpc = await listenRpc({ env: world.env('server'), address, secret, hello: () => hello('store', 1, serverCluster), handlers }),
    get: (options = {}) => {
      const number = ++count
      let isDone = false
      let isCalling = true
      channel.send('RawGet', get, { timeoutMs, ...options }, result => {
        ends.push(`${number} ${inWords(result)}${isDone ? ' AGAIN' : ''}${isCalling ? ' AT ONCE' : ''}`)
        isDone = true
      })
      isCalling = false
    },
    dialler: () => world.wires.at(-1)!.dialler,
    acceptor: () => world.wires.at(-1)!.acceptor,
  }
  return made
}

function inWords(result: CallResult<RpcName>): string {
  if (!result.answered) return `${result.failure.kind} sent=${result.failure.sent}`
  return result.result.ok ? 'ok' : result.result.error.kind
}

t.test('nothing is dialled before the first call; Hello goes first and alone; a turn is one message each way', async t => {
  const s = setup()
  await s.serve({ RawGet: (request, respond) => respond(ok({ value: request.key })) })
  s.world.run(100)
  t.equal(s.world.dials.length, 0)
  for (let i = 0; i < 3; i++) s.get()
  t.notOk(s.channel.isConnected)
  s.world.run(10)
  t.ok(s.channel.isConnected)
  s.get()
  s.get()
  s.world.run(10)
  t.same(s.dialler().sent.map(describe), [['Hello'], ['RawGet 1', 'RawGet 2', 'RawGet 3'], ['RawGet 4', 'RawGet 5']])
  t.same(s.acceptor().sent.map(describe), [['Hello'], ['RawGet 1 →', 'RawGet 2 →', 'RawGet 3 →'], ['RawGet 4 →', 'RawGet 5 →']])
  t.same(s.ends, ['1 ok', '2 ok', '3 ok', '4 ok', '5 ok'])
  t.equal(s.world.dials.length, 1)
})

t.test('clusters that know themselves different do not talk; an unknown one fits any', async t => {
  for (const [ours, theirs, end] of [[1n, 2n, '1 Refused sent=false'], [1n, 1n, '1 ok'], [0n, 2n, '1 ok'], [1n, 0n, '1 ok']] as const) {
    const s = setup(ours)
    const rpc = await s.serve({ RawGet: (request, respond) => respond(ok({ value: undefined })) }, theirs)
    s.get()
    s.world.run(10)
    t.same(s.ends, [end], `${ours} and ${theirs}`)
    t.equal(rpc.metrics().transport_hello_mismatches_total, end.includes('ok') ? 0 : 1)
    t.equal(rpc.metrics().transport_connections, end.includes('ok') ? 1 : 0)
    if (!end.includes('ok')) t.match(describe(s.acceptor().sent[0]!)[0], /^ProtocolError: this is cluster 2, not 1$/)
  }
})

t.test('the client looks at the Hello it gets, too', async t => {
  const s = setup(1n)
  s.world.listeners.set(address, { accept: end => ({ onMessage: () => end.send(helloFrame(hello('store', 1, 2n))), onClose: () => undefined }) })
  s.get()
  s.world.run(10)
  t.same(s.ends, ['1 Refused sent=false'])
  t.match(describe(s.dialler().sent[1]!)[0], /ProtocolError: this is cluster 1, not 2/)
})

t.test('a server that never says Hello is given up on', async t => {
  const s = setup()
  s.world.listeners.set(address, { accept: () => ({ onMessage: () => undefined, onClose: () => undefined }) })
  s.get()
  s.world.run(transportLimits.handshakeMsMax - 1)
  t.same(s.ends, [])
  s.world.run(2)
  t.same(s.ends, ['1 Refused sent=false'])
  t.ok(s.dialler().isEnded)
})

t.test('a dial that hangs in the dark ends, too', async t => {
  const s = setup()
  s.world.dark.add(address)
  s.get()
  s.world.run(transportLimits.handshakeMsMax + 1)
  t.same(s.ends, ['1 Refused sent=false'])
})

t.test('a broken connection: what left is open, what did not leave is certainly not done', async t => {
  const s = setup()
  await s.serve()
  s.get()
  s.world.run(10)
  s.get()
  s.world.run(10)
  s.get() // in the writer
  s.world.kill(address)
  t.same(s.ends, ['1 ConnectionLost sent=true', '2 ConnectionLost sent=true', '3 ConnectionLost sent=false'])
  t.notOk(s.channel.isConnected)
  s.world.run(100)
  t.equal(s.ends.length, 3)
  t.equal(s.world.dials.length, 1, 'nobody asks: nobody dials')
})

t.test('a call made after the loss waits for the new connection and knows that it was not sent', async t => {
  const s = setup()
  await s.serve()
  s.get()
  s.world.run(5_000)
  s.world.kill(address)
  s.get()
  t.equal(s.world.dials.length, 2, 'at once: the connection had lasted')
  s.world.run(1.5)
  t.same(s.ends.slice(1), ['2 Refused sent=false'])
  s.get()
  await s.serve({ RawGet: (request, respond) => respond(ok({ value: undefined })) })
  s.world.run(100)
  t.same(s.ends.slice(2), ['3 ok'])
})

t.test('dials are spaced: 50 ms doubling to 2 s, less up to half by dice', async t => {
  const s = setup()
  for (let i = 0; i < 12_000; i++) {
    s.get()
    s.world.run(2)
  }
  const gaps = s.world.dials.slice(1).map((dial, i) => dial.atMs - s.world.dials[i]!.atMs)
  t.ok(gaps.length >= 14 && gaps.length <= 30, `${gaps.length} dials in 24 s`)
  for (const [i, gap] of gaps.entries()) {
    const step = Math.min(2_000, 50 * 2 ** i)
    t.ok(gap >= step / 2 && gap <= step + 5, `gap ${i}: ${gap} ms, step ${step}`)
  }
  t.ok(new Set(gaps.slice(8).map(Math.round)).size > 2, 'there are dice in it')
  t.ok(s.ends.every(end => end.endsWith('Refused sent=false')))
})

t.test('a connection that flaps is not redialled in a spin', async t => {
  const s = setup()
  await s.serve({ RawGet: (request, respond) => respond(ok({ value: undefined })) })
  for (let i = 0; i < 1_000; i++) {
    s.get()
    s.world.run(10)
    s.world.wires.at(-1)!.cut('flap')
  }
  t.ok(s.world.dials.length < 20, `${s.world.dials.length} dials in 10 s`)
})

t.test('time-outs: waiting for a dial, in flight; the server is told, the late answer is dropped there', async t => {
  const s = setup()
  const rpc = await s.serve()
  s.world.dark.add(address)
  s.get({ timeoutMs: 30 })
  s.world.run(36)
  t.same(s.ends, ['1 Timeout sent=false'])
  s.world.dark.delete(address)
  s.world.run(5_000)
  s.get({ timeoutMs: 100 })
  s.get({ timeoutMs: 200 })
  s.get({ timeoutMs: 50_000 })
  s.world.run(106)
  t.same(s.ends.slice(1), ['2 Timeout sent=true'])
  s.world.run(5)
  t.same(describe(s.dialler().sent.at(-1)!), ['Cancel 2'])
  t.equal(rpc.metrics().transport_cancelled_requests_total, 1)
  for (const respond of s.owed) respond(ok({ value: undefined }))
  s.world.run(5)
  t.same(describe(s.acceptor().sent.at(-1)!), ['RawGet 3 →', 'RawGet 4 →'])
  t.same(s.ends.slice(2), ['3 ok', '4 ok'])
  t.equal(rpc.metrics().transport_requests_in_flight, 0)
})

t.test('an answer that crosses its Cancel is ignored', async t => {
  const s = setup()
  await s.serve()
  s.get({ timeoutMs: 50 })
  s.world.run(49.5)
  for (const respond of s.owed) respond(ok({ value: undefined }))
  s.world.run(100)
  t.same(s.ends, ['1 Timeout sent=true'])
  s.get()
  s.world.run(10)
  s.owed.at(-1)!(ok({ value: undefined }))
  s.world.run(10)
  t.same(s.ends.slice(1), ['2 ok'])
})

t.test('abort: before, while waiting, in flight, after; once and later', async t => {
  const s = setup()
  await s.serve()
  const aborts = Array.from({ length: 5 }, () => new AbortController())
  aborts[0]!.abort()
  s.get({ signal: aborts[0]!.signal })
  s.get({ signal: aborts[1]!.signal })
  aborts[1]!.abort()
  t.same(s.ends, [])
  s.world.run(10)
  t.same(s.ends, ['1 Aborted sent=false', '2 Aborted sent=false'])
  s.get({ signal: aborts[2]!.signal })
  s.get({ signal: aborts[3]!.signal })
  s.world.run(10)
  aborts[2]!.abort()
  s.get({ signal: aborts[4]!.signal })
  aborts[4]!.abort() // in the writer: it will leave
  s.world.run(10)
  t.same(s.ends.slice(2), ['3 Aborted sent=true', '5 Aborted sent=true'])
  t.same(s.dialler().sent.slice(1).map(describe), [['RawGet 2', 'RawGet 3'], ['Cancel 2', 'RawGet 4', 'Cancel 4']],
    'aborted while waiting: never sent')
  s.owed[1]!(ok({ value: undefined }))
  s.world.run(10)
  aborts[3]!.abort()
  s.world.run(10)
  t.same(s.ends.slice(4), ['4 ok'])
})

t.test('the queue of a dial is limited in items and bytes', async t => {
  const s = setup()
  s.world.dark.add(address)
  for (let i = 0; i < transportLimits.requestsInFlightMax + 2; i++) s.get()
  s.world.run(0)
  t.same(s.ends, [`${transportLimits.requestsInFlightMax + 1} QueueFull sent=false`, `${transportLimits.requestsInFlightMax + 2} QueueFull sent=false`])
  const bytes = setup()
  bytes.world.dark.add(address)
  const ends: string[] = []
  const put = { context, key, value: new Uint8Array(8 << 20), ttlSeconds: 0 }
  for (let i = 0; i < 12; i++) bytes.channel.send('RawPut', put, { timeoutMs: 500 }, result => { ends.push(inWords(result)) })
  bytes.world.run(0)
  t.same(ends, ['QueueFull sent=false', 'QueueFull sent=false', 'QueueFull sent=false', 'QueueFull sent=false'])
  bytes.world.run(600)
  t.same(ends.slice(4), Array.from({ length: 8 }, () => 'Timeout sent=false'))
  bytes.channel.send('RawPut', put, { timeoutMs: 100 }, result => { ends.push(inWords(result)) })
  bytes.world.run(200)
  t.same(ends.slice(12), ['Timeout sent=false'], 'what ended has made room')
})

t.test('a connection that does not take bytes fills up, and takes calls again when it drains', async t => {
  const s = setup()
  await s.serve({ RawPut: (request, respond) => respond(ok({})) })
  s.get()
  s.world.run(10)
  s.dialler().isStalled = true
  const ends: string[] = []
  const put = { context, key, value: new Uint8Array(8 << 20), ttlSeconds: 0 }
  const send = (): void => s.channel.send('RawPut', put, { timeoutMs }, result => { ends.push(inWords(result)) })
  for (let i = 0; i < 12; i++) {
    send()
    s.world.run(1)
  }
  t.same(ends, ['QueueFull sent=false', 'QueueFull sent=false', 'QueueFull sent=false', 'QueueFull sent=false'])
  s.dialler().unstall()
  send()
  s.world.run(10)
  t.same(ends.slice(4), Array.from({ length: 9 }, () => 'ok'))
})

t.test('close in every state ends every call once', async t => {
  const idle = setup()
  idle.channel.close()
  idle.channel.close()
  idle.get()
  idle.world.run(10)
  t.same(idle.ends, ['1 Closed sent=false'])
  t.equal(idle.world.dials.length, 0)

  const dialling = setup()
  dialling.world.dark.add(address)
  dialling.get()
  dialling.channel.close()
  t.same(dialling.ends, [])
  dialling.world.run(10_000)
  t.same(dialling.ends, ['1 Closed sent=false'])

  const backingOff = setup()
  backingOff.get()
  backingOff.world.run(2)
  backingOff.get()
  backingOff.channel.close()
  backingOff.world.run(10_000)
  t.same(backingOff.ends, ['1 Refused sent=false', '2 Closed sent=false'])
  t.equal(backingOff.world.dials.length, 1)

  const busy = setup()
  const rpc = await busy.serve()
  busy.get()
  busy.world.run(10)
  busy.get()
  busy.channel.close()
  t.notOk(busy.channel.isConnected)
  busy.world.run(10_000)
  t.same(busy.ends, ['1 Closed sent=true', '2 Closed sent=false'])
  t.equal(rpc.metrics().transport_connections, 0)
  for (const respond of busy.owed) respond(ok({ value: undefined }))
  t.equal(rpc.metrics().transport_requests_in_flight, 0)
  t.same(busy.world.crashes, [])
})

t.test('closing from inside an answer ends the rest of the message', async t => {
  const s = setup()
  await s.serve({ RawGet: (request, respond) => respond(ok({ value: undefined })) })
  const ends: string[] = []
  for (let i = 0; i < 3; i++) {
    s.channel.send('RawGet', get, { timeoutMs }, result => {
      ends.push(inWords(result))
      s.channel.close()
    })
  }
  s.world.run(100)
  t.same(ends, ['ok', 'Closed sent=true', 'Closed sent=true'])
})

t.test('a peer that falls silent is noticed while answers are owed, in three to four seconds', async t => {
  const s = setup()
  await s.serve()
  s.get()
  s.world.run(10)
  s.owed[0]!(ok({ value: undefined }))
  s.world.run(60_000)
  t.same(s.dialler().sent.slice(2), [], 'an idle channel is not pinged')
  s.get()
  s.world.run(20_000)
  t.same(s.ends, ['1 ok'], 'slow is not silent: pings are answered')
  s.world.dark.add(address)
  const fromMs = s.world.nowMs
  s.world.run(2_900)
  t.same(s.ends.length, 1)
  s.world.run(1_200)
  t.same(s.ends.slice(1), ['2 ConnectionLost sent=true'])
  t.ok(s.world.nowMs - fromMs < 4_200)
})

t.test('whoever slept himself does not take the others for dead', async t => {
  const s = setup()
  await s.serve()
  s.get()
  s.world.run(1_500)
  s.world.sleep(30_000)
  s.world.run(5_000)
  t.same(s.ends, [])
  t.ok(s.channel.isConnected)
})

t.test('damage from a server ends the connection with a word about it', async t => {
  const s = setup()
  s.world.listeners.set(address, { accept: end => ({
    onMessage: bytes => {
      if (describe(bytes)[0] === 'Hello') end.send(helloFrame(hello('store', 1)))
      else end.send(join(utf8('this is not a frame, it only pretends')))
    },
    onClose: () => undefined,
  }) })
  s.get()
  s.world.run(10)
  t.same(s.ends, ['1 ConnectionLost sent=true'])
  t.match(describe(s.dialler().sent.at(-1)!)[0], /^ProtocolError: bad magic/)
  t.ok(s.dialler().isEnded)
})

t.test('bytes of a request may be reused by its caller at once', async t => {
  const s = setup()
  const keys: string[] = []
  await s.serve({ RawGet: (request, respond) => {
    keys.push(Buffer.from(request.key).toString())
    respond(ok({ value: request.key }))
  } })
  const mine = utf8('aaaa')
  s.channel.send('RawGet', { context, key: mine }, { timeoutMs }, () => undefined)
  mine.fill(98)
  s.world.run(10)
  s.channel.send('RawGet', { context, key: mine }, { timeoutMs }, () => undefined)
  mine.fill(99)
  s.world.run(10)
  t.same(keys, ['aaaa', 'bbbb'])
})

t.test('a request that breaks an invariant throws at its caller and leaves the channel whole', async t => {
  const s = setup()
  await s.serve()
  t.throws(() => s.channel.send('AllocId', { count: -1 }, { timeoutMs }, () => t.fail('answered')), /53-bit/)
  s.get()
  s.world.run(10)
  t.throws(() => s.channel.send('AllocId', { count: -1 }, { timeoutMs }, () => t.fail('answered')), /53-bit/)
  s.get()
  s.world.run(10)
  t.equal(s.owed.length, 2)
})
