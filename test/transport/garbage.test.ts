/** Whatever comes over real sockets: the server lives, counts it, and serves the others meanwhile. */
import { connect } from 'node:net'
import t from 'tap'
import WebSocket from 'ws'
import { utf8 } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import { transportLimits } from '../../src/transport/limits.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { RpcServer } from '../../src/transport/rpc-server.js'
import { Mutator, repair } from '../wire/fuzz.js'
import { context } from '../wire/samples.js'
import { Greeting, describe, helloFrame, join, requestFrame } from './frames.js'
import { hello, realNode, until, waitMs, secret } from './real.js'

const garbageCount = 4_000
const lanes = 16
const given = process.argv.find(text => text.startsWith('--seed='))
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given.slice('--seed='.length))

const server = realNode('server')
const client = realNode('client')
t.teardown(() => {
  client.close()
  server.close()
})
const rpc: RpcServer = await listenRpc({
  env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1), onRaft: () => undefined,
  handlers: {
    RawGet: (request, respond) => respond(ok({ value: request.key })),
    RawScan: (request, respond) => respond(ok({ rows: [{ key: utf8('k'), value: new Uint8Array(1 << 20) }], more: false })),
  },
})
const [host = '', port = ''] = rpc.address.split(':')
const url = `ws://${rpc.address}/`
const channel = openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') })
let healthyCalls = 0

/** A call of the connection that behaves; what it says must always be right. */
async function healthy(): Promise<void> {
  const key = utf8(`key-${healthyCalls++}`)
  const result = await channel.call('RawGet', { context, key }, { timeoutMs: 10_000 })
  if (!result.answered || !result.result.ok || !Buffer.from(key).equals(result.result.value.value!)) {
    throw new Error(`the healthy connection suffers: ${JSON.stringify(result)}`)
  }
}

const damages = (): number => Object.entries(rpc.metrics())
  .reduce((sum, [name, value]) => name.startsWith('transport_damaged_frames_total') ? sum + value : sum, 0)

const lastId = 2 ** 40
const lastWord = requestFrame('Ping', lastId, { sentAtMs: 1 })

/** Says Hello and the garbage. @returns whether the server ended it, or went on and answered a Ping */
function offer(garbage: Uint8Array): Promise<'ended' | 'served'> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    const greeting = new Greeting(hello('store', 9))
    const timer = setTimeout(() => reject(new Error(`no end: ${Buffer.from(garbage).toString('hex')}`)), 20_000)
    const finish = (end: 'ended' | 'served'): void => {
      clearTimeout(timer)
      socket.terminate()
      resolve(end)
    }
    socket.on('open', () => {
      socket.send(greeting.frame)
    })
    socket.on('message', (data: Buffer) => {
      const owed = greeting.answerTo(data)
      if (owed !== undefined) for (const one of [owed, garbage, lastWord]) socket.send(one)
      if (describe(data).includes(`Ping ${lastId} →`)) finish('served')
    })
    socket.on('close', () => finish('ended'))
    socket.on('error', () => undefined)
  })
}

t.test(`${garbageCount} mutated messages (--seed=${seed} repeats)`, async t => {
  const mutator = new Mutator(seed)
  const ends = { ended: 0, served: 0 }
  let left = garbageCount
  await Promise.all(Array.from({ length: lanes }, async () => {
    while (left-- > 0) {
      ends[await offer(mutator.next())]++
      if (left % 20 === 0) await healthy()
    }
  }))
  t.equal(ends.ended + ends.served, garbageCount)
  t.ok(ends.ended > garbageCount / 4 && ends.served > garbageCount / 100, JSON.stringify(ends))
  // The rest said ProtocolError themselves.
  t.ok(damages() > ends.ended * 0.9 && damages() <= ends.ended, `${damages()} counted, ${ends.ended} ended`)
  await until('only the healthy one is left', () => rpc.metrics().transport_connections === 1)
  t.ok(healthyCalls > 50)
  t.equal(rpc.metrics().transport_requests_in_flight, 0)
})

/** A TCP connection that says `bytes`. Resolves when the server ends it, or after a while. */
function say(...bytes: (string | Uint8Array)[]): Promise<void> {
  return new Promise(resolve => {
    const socket = connect({ host, port: Number(port) })
    const timer = setTimeout(() => socket.destroy(), 300)
    socket.on('connect', () => { for (const one of bytes) socket.write(one) })
    socket.on('error', () => undefined)
    socket.on('data', () => undefined)
    socket.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

const upgrade = `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${
  Buffer.alloc(16, 1).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`

t.test('bytes that are not even WebSocket', async t => {
  const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex')
  const cases: (string | Uint8Array)[][] = [
    ['\r\n\r\n\r\n'], ['GET'], ['GET / HTTP/1.1\r\n\r\n'], ['DELETE /etc HTTP/9.9\r\nHost: x\r\n\r\n'],
    [`GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`], [Buffer.alloc(70_000, 0xff)], [Buffer.alloc(70_000)],
    [`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc`],
    [upgrade.replace('13', '99')], [upgrade.replace(/Sec-WebSocket-Key.*\r\n/, '')],
    [upgrade, hex('ff ff ff ff ff ff ff ff')], // reserved bits
    [upgrade, hex('82 05 01 02 03 04 05')], // without a mask
    [upgrade, hex('82 ff ff ff ff ff ff ff ff ff 00 00 00 00')], // 2^64 - 1 bytes
    [upgrade, hex('82 ff 00 00 00 00 7f ff ff ff 00 00 00 00 01')], // 2 GiB
    [upgrade, hex('89 fe 01 00 00 00 00 00'), Buffer.alloc(256)], // a ping of 256 bytes
    [upgrade, hex('80 81 00 00 00 00 01')], // a continuation of nothing
    [upgrade, hex('81 81 00 00 00 00 ff')], // text that is no UTF-8
    [upgrade, hex('81 83 00 00 00 00'), 'abc'], // text
    [upgrade, hex('82 80 00 00 00 00')], // an empty message
    [upgrade, hex('88 81 00 00 00 00 01')], // a close frame of one byte
    [upgrade, helloFrame(hello('client'))], // frames, but not in messages
  ]
  for (const bytes of cases) {
    await say(...bytes)
    await healthy()
  }
  await until('all of them are gone', () => rpc.metrics().transport_connections === 1, 10_000)
  t.pass(`${cases.length} kinds of noise`)
})

interface Client { readonly socket: WebSocket; readonly heard: string[]; isClosed(): boolean }

async function greeted(): Promise<Client> {
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 << 20 })
  const heard: string[] = []
  let isClosed = false
  socket.on('message', (data: Buffer) => { heard.push(...describe(data)) })
  socket.on('close', () => { isClosed = true })
  socket.on('error', () => undefined)
  await new Promise(resolve => { socket.once('open', resolve) })
  socket.send(helloFrame(hello('client')))
  await until('Hello', () => heard.includes('Hello'))
  return { socket, heard, isClosed: () => isClosed }
}

t.test('a message may come in fragments, and a text message ends the connection', async t => {
  const { socket, heard, isClosed } = await greeted()
  const message = join(requestFrame('RawGet', 1, { context, key: utf8('a') }), requestFrame('RawGet', 2, { context, key: utf8('b') }))
  socket.send(message.subarray(0, 10), { fin: false, binary: true })
  await waitMs(20)
  socket.send(message.subarray(10, 100), { fin: false, binary: true })
  socket.ping()
  socket.send(message.subarray(100), { fin: true, binary: true })
  await until('both answers', () => heard.includes('RawGet 1 →') && heard.includes('RawGet 2 →'))
  socket.send('hello?')
  await until('closed', isClosed)
  await healthy()
  t.pass('served, then closed')
})

t.test('a message over the limit ends the connection', async t => {
  const { socket, isClosed } = await greeted()
  socket.send(new Uint8Array(transportLimits.messageBytesMax + 1))
  await until('closed', isClosed)
  await healthy()
  t.equal(rpc.metrics().transport_connections, 1)
})

t.test('a frame over the limit is refused in words', async t => {
  const { socket, heard, isClosed } = await greeted()
  const frame = requestFrame('RawPut', 1, { context, key: utf8('k'), value: new Uint8Array((16 << 20) - 300), ttlSeconds: 0 })
  const before = damages()
  socket.send(frame)
  await until('answered', () => heard.includes('RawPut 1 →'))
  const tooLarge = join(frame, new Uint8Array((16 << 20) + 8 - frame.length))
  repair(tooLarge, true)
  socket.send(tooLarge)
  await until('closed', isClosed)
  t.match(heard.at(-1), /^ProtocolError: a frame of 16777224 bytes is over the limit of 16777216/)
  t.equal(damages(), before + 1)
})

t.test('a client that asks and does not read costs its share, and the others go on; each request has its answer', async t => {
  const { socket, heard, isClosed } = await greeted()
  socket.pause()
  const scan = { context, start: utf8('a'), end: utf8('b'), rowsMax: 1, keysOnly: false, reverse: false }
  const count = 300
  socket.send(join(...Array.from({ length: count }, (unused, i) => requestFrame('RawScan', i, scan))))
  await until('they wait', () => rpc.metrics().transport_waiting_reads! > 0)
  for (let i = 0; i < 20; i++) await healthy()
  t.ok(rpc.metrics().transport_answer_bytes! <= transportLimits.unreadBytesBusy + (1 << 20), 'its share')
  socket.resume()
  await until('all answered', () => heard.filter(word => word.startsWith('RawScan')).length === count, 20_000)
  t.notOk(isClosed())
  socket.terminate()
  await until('given back', () => rpc.metrics().transport_connections === 1)
  t.equal(rpc.metrics().transport_answer_bytes, 0)
  t.equal(rpc.metrics().transport_inbox_bytes, 0)
})

t.test('small reads whose answers pile up are told that the server is busy', async t => {
  const { socket, heard } = await greeted()
  socket.pause()
  const key = new Uint8Array(1 << 20).fill(7)
  for (let i = 0; i < 60; i++) {
    socket.send(requestFrame('RawGet', i, { context, key }))
    if (i % 10 === 0) await healthy()
  }
  await until('told that the server is busy', () => rpc.metrics().transport_busy_answers_total! > 0)
  t.ok(rpc.metrics().transport_unread_bytes! < transportLimits.unreadBytesBusy + (4 << 20), 'it does not pile up')
  socket.resume()
  await until('all answered', () => heard.filter(word => word.startsWith('RawGet')).length === 60)
  socket.terminate()
})
