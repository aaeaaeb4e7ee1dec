import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { storeId } from '../../src/common/ids.js'
import { ok } from '../../src/common/result.js'
import type { RpcHandlers } from '../../src/transport/api.js'
import { createRaftLinks } from '../../src/transport/raft-links.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { RaftEnvelope } from '../../src/wire/messages.js'
import { appendEnvelope, context, envelopes } from '../wire/samples.js'
import { hello, realNode, until, waitMs, secret } from './real.js'

const timeoutMs = 5_000
t.test('thousands of calls at once come back, each with its own answer', async t => {
  const server = realNode('server')
  const client = realNode('client')
  t.teardown(() => { client.close(); server.close() })
  // The channel's own pings are requests too, if it takes longer than a second.
  let gets = 0
  const counted: RpcHandlers = { RawGet: (request, respond) => {
    gets++
    respond(ok({ value: request.key }))
  } }
  const rpc = await listenRpc({ env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1), handlers: counted })
  const channel = openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') })
  t.notOk(channel.isConnected)
  const results = await Promise.all(Array.from({ length: 5_000 }, (unused, i) =>
    channel.call('RawGet', { context, key: utf8(`key-${i}`) }, { timeoutMs })))
  t.ok(channel.isConnected)
  const wrong = results.filter((result, i) => !(result.answered && result.result.ok &&
    Buffer.from(result.result.value.value!).toString() === `key-${i}`))
  t.same(wrong, [])
  t.equal(gets, 5_000)
  t.equal(rpc.metrics().transport_requests_in_flight, 0)
  channel.close()
  await until('the server sees it', () => rpc.metrics().transport_connections === 0)
  rpc.close()
})

t.test('values of megabytes pass both ways, and the one that is too large is an answer', async t => {
  const server = realNode('server')
  const client = realNode('client')
  t.teardown(() => { client.close(); server.close() })
  const rpc = await listenRpc({
    env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1), handlers: {
      RawPut: (request, respond) => respond(ok({})),
      RawGet: (request, respond) => respond(ok({ value: new Uint8Array(Number(Buffer.from(request.key).toString())).fill(7) })),
    },
  })
  const channel = openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') })
  const value = new Uint8Array(8 << 20).fill(3)
  const puts = await Promise.all([1, 2, 3, 4].map(() => channel.call('RawPut', { context, key: utf8('k'), value, ttlSeconds: 0 }, { timeoutMs })))
  t.ok(puts.every(put => put.answered && put.result.ok))
  const got = await channel.call('RawGet', { context, key: utf8(String(12 << 20)) }, { timeoutMs })
  t.ok(got.answered && got.result.ok && got.result.value.value?.length === 12 << 20 && got.result.value.value[777] === 7)
  const tooLarge = await channel.call('RawGet', { context, key: utf8(String(17 << 20)) }, { timeoutMs })
  t.match(tooLarge, { answered: true, result: { ok: false, error: { kind: 'LimitExceeded', limit: 'frameBytesMax' } } })
  const tooLargeRequest = await channel.call('RawPut',
    { context, key: utf8('k'), value: new Uint8Array(17 << 20), ttlSeconds: 0 }, { timeoutMs })
  t.match(tooLargeRequest, { answered: true, result: { ok: false, error: { kind: 'LimitExceeded', limit: 'frameBytesMax' } } })
  channel.close()
  rpc.close()
})

t.test('a port that is taken, a host that is not ours and text that is no address are refused with a reason', async t => {
  const node = realNode('node')
  t.teardown(() => node.close())
  const first = await node.env.network.listen('127.0.0.1:0', () => { throw new Error('nobody calls') })
  await t.rejects(node.env.network.listen(first.address, () => { throw new Error('nobody calls') }), /port is taken/)
  await t.rejects(node.env.network.listen('203.0.113.7:0', () => { throw new Error('nobody calls') }), /not an address of this machine/)
  for (const text of ['', 'localhost', '127.0.0.1', '127.0.0.1:99999', ':80', '::1:80', 'a b:80', 'http://x:1']) {
    await t.rejects(node.env.network.listen(text, () => { throw new Error('nobody calls') }), /host:port/, text)
  }
  first.close()
  const again = await node.env.network.listen(first.address, () => { throw new Error('nobody calls') })
  t.equal(again.address, first.address)
  const six = await node.env.network.listen('[::1]:0', () => { throw new Error('nobody calls') })
  t.match(six.address, /^\[::1\]:\d+$/)
})

t.test('IPv6; and what was answered before the server closes still arrives', async t => {
  const server = realNode('server')
  const client = realNode('client')
  t.teardown(() => { client.close(); server.close() })
  const rpc = await listenRpc({
    env: server.env, address: '[::1]:0', secret, hello: () => hello('store', 1),
    handlers: { RawGet: (request, respond) => {
      respond(ok({ value: new Uint8Array(200_000) }))
      if (request.key.length === 2) rpc.close()
    } },
  })
  const channel = openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') })
  const results = await Promise.all(['a', 'b', 'cc'].map(key => channel.call('RawGet', { context, key: utf8(key) }, { timeoutMs })))
  t.ok(results.every(result => result.answered))
  channel.close()
})

t.test('raft goes over and comes in order; both ends of a link learn of its death', async t => {
  const left = realNode('store-1')
  const right = realNode('store-2')
  t.teardown(() => { left.close(); right.close() })
  const got: RaftEnvelope[] = []
  const events: string[] = []
  let rpc = await listenRpc({
    env: right.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 2), handlers: {}, onRaft: envelope => { got.push(envelope) },
  })
  const { address } = rpc
  const links = createRaftLinks({
    env: left.env, secret, hello: () => hello('store', 1), addressOf: to => to === storeId(2) ? address : undefined,
    onUp: to => { events.push(`up ${to}`) }, onDown: to => { events.push(`down ${to}`) },
  })
  t.ok(links.send(storeId(2), envelopes[0]!))
  links.flush()
  await until('up', () => events.includes('up 2'))
  for (let i = 0; i < 500; i++) {
    if (!links.send(storeId(2), { ...appendEnvelope(2, 4_000), epoch: { confVer: i, version: 1 } })) t.fail('dropped')
  }
  links.flush()
  await until('all arrived', () => got.length === 501)
  t.same(got.slice(1).map(envelope => envelope.epoch.confVer), Array.from({ length: 500 }, (unused, i) => i))
  t.same(got[0], envelopes[0])
  rpc.close()
  await until('down', () => events.includes('down 2'))
  rpc = await listenRpc({
    env: right.env, address, secret, hello: () => hello('store', 2), handlers: {}, onRaft: envelope => { got.push(envelope) },
  })
  await until('up again without a send', () => events.length === 3)
  t.same(events, ['up 2', 'down 2', 'up 2'])
  links.close()
  rpc.close()
})

t.test('the network itself: messages of every length class, many at once, in order, both ways; drained; closed with a word', async t => {
  const left = realNode('left')
  const right = realNode('right')
  t.teardown(() => { left.close(); right.close() })
  const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 17 << 20, 3]
  const listener = await right.env.network.listen('127.0.0.1:0', connection => {
    connection.admit?.(false)
    return { onMessage: bytes => { connection.send(bytes) }, onClose: () => undefined }
  })
  const got: { readonly length: number; readonly sum: number }[] = []
  const log: string[] = []
  const connection = left.env.network.dial(listener.address, {
    onOpen: () => { log.push('open') },
    onMessage: bytes => { got.push({ length: bytes.length, sum: (bytes[0] ?? 0) + (bytes.at(-1) ?? 0) }) },
    onDrain: () => { log.push('drain') },
    onClose: reason => { log.push(`closed: ${reason}`) },
  })
  t.equal(connection.send(new Uint8Array(1)), false, 'not before it is open')
  await until('open', () => log.includes('open'))
  const reused = new Uint8Array(17 << 20)
  for (const [i, length] of lengths.entries()) {
    reused.fill(i + 1)
    t.ok(connection.send(reused.subarray(0, length)))
  }
  t.ok(connection.bufferedBytes() > 0)
  await until('all echoed', () => got.length === lengths.length)
  t.same(got, lengths.map((length, i) => ({ length, sum: length === 0 ? 0 : 2 * (i + 1) })))
  t.equal(connection.bufferedBytes(), 0)
  t.ok(log.includes('drain'))
  connection.close('enough')
  connection.close('again')
  t.equal(connection.send(new Uint8Array(1)), false)
  t.notOk(log.some(line => line.startsWith('closed')), 'not from inside close')
  await until('closed', () => log.some(line => line.startsWith('closed')))
  await waitMs(20)
  t.same(log.filter(line => line.startsWith('closed')), ['closed: enough'])
  for (const address of ['127.0.0.1:1', 'nowhere.invalid:80', 'nonsense']) {
    const ends: string[] = []
    left.env.network.dial(address, { onMessage: () => undefined, onClose: reason => { ends.push(reason) } })
    t.same(ends, [], 'a dial never ends at once')
    await until(`no ${address}`, () => ends.length > 0)
    t.ok(ends.length === 1 && ends[0] !== '', address)
  }
})
