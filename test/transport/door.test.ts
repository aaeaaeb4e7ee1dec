/** The door among strangers: what is not finished is bounded in time and bytes, connections are counted, an end says why. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import type { DoorLimits } from '../../src/transport/ws-network-door.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import { context } from '../wire/samples.js'
import { helloFrame, requestFrame } from './frames.js'
import { hello, realNode, secret, until } from './real.js'
import type { RealNode } from './real.js'

const mib = 1 << 20
const upgrade = `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${
  Buffer.alloc(16, 1).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`

/** A client frame with a mask of zeroes; `announced` may be more than there is. */
function frame(payload: Uint8Array, announced = payload.length, mask = true): Buffer {
  const head = Buffer.alloc(mask ? 14 : 10)
  head[0] = 0x82
  head[1] = (mask ? 0x80 : 0) | 127
  head.writeBigUInt64BE(BigInt(announced), 2)
  return Buffer.concat([head, payload])
}

interface Stranger { readonly socket: Socket; heard(): string; isEnded(): boolean }

async function stranger(address: string, ...bytes: (string | Uint8Array)[]): Promise<Stranger> {
  const [host = '', port = ''] = address.split(':')
  const socket = connect({ host, port: Number(port) })
  let text = ''
  let isEnded = false
  socket.on('data', (data: Buffer) => { text += data.toString('latin1') })
  socket.on('error', () => { isEnded = true })
  socket.on('close', () => { isEnded = true })
  await new Promise<void>(resolve => { socket.once('connect', resolve) })
  for (const one of bytes) socket.write(one)
  return { socket, heard: () => text, isEnded: () => isEnded }
}

interface Served { readonly server: RealNode; readonly address: string; check(): Promise<void> }

async function serve(t: { teardown(run: () => void): void }, limits: DoorLimits): Promise<Served> {
  const server = realNode('server', limits)
  const client = realNode('client')
  const rpc = await listenRpc({
    env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1),
    handlers: { RawGet: (request, respond) => respond(ok({ value: request.key })) },
  })
  const channel = openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') })
  const check = async (): Promise<void> => {
    const result = await channel.call('RawGet', { context, key: utf8('k') }, { timeoutMs: 10_000 })
    if (!result.answered || !result.result.ok) throw new Error('the healthy connection suffers')
  }
  await check()
  t.teardown(() => {
    client.close()
    server.close()
  })
  return { server, address: rpc.address, check }
}

const roomy: DoorLimits = { sockets: 'native', connectionsMax: 1_000, connectionsPerAddressMax: 1_000, unfinishedBytesMax: 16 * mib }

t.test('messages that are not finished have one budget; the largest goes first, in words', async t => {
  const { server, address, check } = await serve(t, roomy)
  const part = new Uint8Array(mib)
  const crowd: Stranger[] = []
  for (let i = 0; i < 40; i++) {
    crowd.push(await stranger(address, upgrade, frame(helloFrame(hello('client')))))
    await until('greeted', () => crowd.at(-1)!.heard().includes('Ka'))
    crowd.at(-1)!.socket.write(frame(part, 16 * mib))
  }
  await until('some have gone', () => crowd.filter(one => one.isEnded()).length >= 24)
  t.ok(server.metrics().transport_unfinished_bytes! <= 16 * mib)
  await check()
  t.ok(crowd.some(one => one.heard().includes('too many messages are not finished')))
  for (const one of crowd) one.socket.destroy()
  await until('given back', () => server.metrics().transport_unfinished_bytes === 0)
})

t.test('before Hello a message is small, whatever is announced', async t => {
  const { server, address } = await serve(t, roomy)
  const one = await stranger(address, upgrade, frame(new Uint8Array(10), 16 * mib))
  await until('ended', () => one.isEnded())
  t.match(one.heard(), /a message has at most 65536 bytes before Hello/)
  t.equal(server.metrics().transport_unfinished_bytes, 0)
})

t.test('frames without a mask, text and nonsense end in words', async t => {
  const { address, check } = await serve(t, roomy)
  const cases: [Buffer, RegExp][] = [
    [frame(helloFrame(hello('client')), undefined, false), /must be masked/],
    [Buffer.from('818300000000616263', 'hex'), /binary messages only/],
    [Buffer.from('8081000000000a', 'hex'), /a continuation of nothing/],
    [Buffer.from('c28000000000', 'hex'), /reserved bits/],
    [Buffer.from('838000000000', 'hex'), /unknown opcode/],
  ]
  for (const [bytes, reason] of cases) {
    const one = await stranger(address, upgrade, bytes)
    await until('ended', () => one.isEnded())
    t.match(one.heard(), reason)
  }
  await check()
})

t.test('connections over the limit, of all or of an address, are told to come again; a healthy one goes on', async t => {
  const few: DoorLimits = { sockets: 'native', connectionsMax: 50, connectionsPerAddressMax: 20, unfinishedBytesMax: mib }
  const { server, address, check } = await serve(t, few)
  const crowd = await Promise.all(Array.from({ length: 40 }, () => stranger(address, upgrade)))
  await until('refused', () => crowd.filter(one => one.heard().includes('503 Service Unavailable')).length >= 21)
  await check()
  t.ok(server.metrics()['transport_refused_connections_total{why="address"}']! >= 21)
  for (const one of crowd) one.socket.destroy()
  await until('forgotten', () => server.metrics().transport_open_sockets === 1)
  const later = await stranger(address, upgrade, frame(helloFrame(hello('client'))))
  await until('served again', () => later.heard().includes('Ka'))
  later.socket.destroy()
})

t.test('who does not finish its upgrade is sent away; plain HTTP has an answer', async t => {
  const { address } = await serve(t, roomy)
  const slow = await stranger(address, 'GET / HT')
  const plain = await stranger(address, 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
  await until('answered', () => plain.isEnded())
  t.match(plain.heard(), /^HTTP\/1.1 426 .*this port speaks karst/s)
  await until('sent away', () => slow.isEnded(), 10_000)
  t.match(slow.heard(), /408 Request Timeout/)
})

t.test('a client that sends faster than it is served is not read from, and loses nothing', async t => {
  const server = realNode('server', roomy)
  const client = realNode('client')
  t.teardown(() => {
    client.close()
    server.close()
  })
  let served = 0
  const rpc = await listenRpc({
    env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1),
    handlers: { RawPut: (request, respond) => {
      served++
      respond(ok({}))
    } },
  })
  const one = await stranger(rpc.address, upgrade, frame(helloFrame(hello('client'))))
  await until('greeted', () => one.heard().includes('Ka'))
  const put = frame(requestFrame('RawPut', 1, { context, key: utf8('k'), value: new Uint8Array(4 * mib), ttlSeconds: 0 }))
  let most = 0
  for (let i = 0; i < 60; i++) {
    one.socket.write(put)
    if (i % 10 === 0) await new Promise(resolve => { setImmediate(resolve) })
    most = Math.max(most, rpc.metrics().transport_inbox_bytes!)
  }
  await until('all served', () => {
    most = Math.max(most, rpc.metrics().transport_inbox_bytes!)
    return served === 60
  }, 30_000)
  t.ok(most < 24 * mib, `${most} bytes waited`)
  t.equal(rpc.metrics().transport_overrun_connections_total, 0)
  one.socket.destroy()
})
