/** How many may connect, whoever speaks WebSocket with them. */
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import { Admission } from '../../src/transport/admission.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { DoorLimits } from '../../src/transport/ws-network-door.js'
import { context } from '../wire/samples.js'
import { hello, realNode, secret } from './real.js'

const limits: DoorLimits = { sockets: 'uwebsockets', connectionsMax: 50, connectionsPerAddressMax: 20, unfinishedBytesMax: 1 << 20 }

t.test('clients of one address fill their share and no more; peers of that address still come', t => {
  const admission = new Admission(limits)
  const come = (standing: 'client' | 'peer'): boolean => admission.comes('a') && admission.admit('a', standing)
  t.equal(Array.from({ length: 20 }, () => come('client')).filter(Boolean).length, 20)
  t.notOk(come('client'), 'the address has its share')
  admission.goes('a', 'stranger')
  for (let peer = 0; peer < 10; peer++) t.ok(come('peer'), `peer ${peer}`)
  admission.goes('a', 'client')
  t.ok(come('client'), 'one went')
  t.match(admission.metrics(), { transport_clients: 20, transport_peers: 10, transport_strangers: 0, transport_refused_connections_total: 1 })
  t.end()
})

t.test('strangers and clients of many addresses leave the share of peers alone; nothing is kept of those who went', t => {
  const admission = new Admission({ ...limits, connectionsMax: 1_000 })
  for (let at = 0; at < 900; at++) t.ok(admission.comes(`a${at}`) && admission.admit(`a${at}`, 'client'))
  t.ok(admission.comes('b'), 'it may be a peer')
  t.notOk(admission.admit('b', 'client'))
  t.ok(admission.admit('b', 'peer'))
  let strangers = 0
  while (strangers < 1_000 && admission.comes('c')) strangers++
  t.ok(strangers <= 64, `${strangers} may try to prove themselves at a time`)
  t.end()
})

t.test('uWebSockets: clients above the limit are sent away with a reason, and a healthy one goes on', async t => {
  const [server, client] = [realNode('server', limits), realNode('client')]
  t.teardown(() => {
    client.close()
    server.close()
  })
  const rpc = await listenRpc({
    env: server.env, address: '127.0.0.1:0', secret, hello: () => hello('store', 1),
    handlers: { RawGet: (request, respond) => respond(ok({ value: request.key })) },
  })
  const channels = Array.from({ length: 40 }, () => openChannel({ env: client.env, address: rpc.address, hello: () => hello('client') }))
  const get = async (channel: typeof channels[number]): Promise<boolean> =>
    (await channel.call('RawGet', { context, key: utf8('k') }, { timeoutMs: 10_000 })).answered
  const answers = await Promise.all(channels.map(get))
  t.equal(answers.filter(Boolean).length, 20, 'as many as one address may have')
  const healthy = channels[answers.indexOf(true)]!
  t.ok(await get(healthy), 'and those are served on')
  t.ok(server.metrics().transport_refused_connections_total! >= 20)
})
