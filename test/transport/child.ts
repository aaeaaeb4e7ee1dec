/** A process of its own for test/transport/process.test.ts: serves on argv[2] as argv[3] says, or plays both sides and ends. */
import { utf8 } from '../../src/common/bytes.js'
import { storeId } from '../../src/common/ids.js'
import { ok } from '../../src/common/result.js'
import { createRaftLinks } from '../../src/transport/raft-links.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import { context, envelopeFrom } from '../wire/samples.js'
import { hello, realNode, secret } from './real.js'

const [, , address = '', mode = ''] = process.argv

async function serve(): Promise<void> {
  const rpc = await listenRpc({
    env: realNode('child').env, address, secret, hello: () => hello('store', 1), onRaft: () => undefined,
    handlers: {
      RawGet: (request, respond) => {
        if (mode === 'throws') throw new Error('a broken invariant')
        if (mode !== 'mute') respond(ok({ value: request.key }))
      },
    },
  })
  process.stdout.write(`listening ${rpc.address}\n`)
}

/** Uses everything, closes everything, and must then end by itself. */
async function comeAndGo(): Promise<void> {
  const node = realNode('both')
  const rpc = await listenRpc({
    env: node.env, address, secret, hello: () => hello('store', 1), onRaft: () => undefined,
    handlers: { RawGet: (request, respond) => respond(ok({ value: request.key })) },
  })
  const channel = openChannel({ env: node.env, address: rpc.address, hello: () => hello('client') })
  const links = createRaftLinks({ env: node.env, secret, hello: () => hello('store', 2), addressOf: () => rpc.address })
  const result = await channel.call('RawGet', { context, key: utf8('a') }, { timeoutMs: 600_000 })
  links.send(storeId(1), envelopeFrom(2))
  links.flush()
  const refused = openChannel({ env: node.env, address: '127.0.0.1:1', hello: () => hello('client') })
  const no = await refused.call('RawGet', { context, key: utf8('a') }, { timeoutMs: 600_000 })
  if (mode === 'orderly') {
    channel.close()
    links.close()
    refused.close()
    rpc.close()
  }
  node.close()
  process.stdout.write(`${result.answered} ${no.answered || no.failure.kind}\n`)
}

await (mode === 'orderly' || mode === 'abrupt' ? comeAndGo() : serve())
