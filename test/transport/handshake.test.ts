/** Who is at the other end: what is proven, what is replayed, relayed or reflected, and what was not known in the beginning. */
import { createHmac } from 'node:crypto'
import t from 'tap'
import { err } from '../../src/common/result.js'
import { clusterSecretOf } from '../../src/server/cluster-secret.js'
import { AcceptorHandshake, DiallerHandshake, helloMismatch, nonceBytes } from '../../src/transport/handshake.js'
import { createRaftLinks } from '../../src/transport/raft-links.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { listenRpc } from '../../src/transport/rpc-server.js'
import type { Hello } from '../../src/wire/messages.js'
import { storeId } from '../../src/common/ids.js'
import { envelopeFrom } from '../wire/samples.js'
import { FakeWorld } from './fake.js'
import { Greeting, describe, helloFrame, join, proofFrame, requestFrame } from './frames.js'
import { hello, secret } from './real.js'

let drawn = 0
const random = { float: () => 0.5, below: () => 0, bytes: (count: number) => new Uint8Array(count).fill(++drawn) }
const other = clusterSecretOf('the secret of somebody else, who has nothing to do with us')
const store = (id: number, clusterId = 7n): Hello => hello('store', id, clusterId)

/** Both sides, and what each said. */
function meet(dialler: Hello, acceptor: Hello, keys = { dialler: secret, acceptor: secret }): {
  greeting: Hello; answer: Hello; proof: Uint8Array; accept: AcceptorHandshake
} {
  const dial = new DiallerHandshake(random, () => dialler, keys.dialler)
  const accept = new AcceptorHandshake(random, () => acceptor, keys.acceptor)
  const outcome = accept.onHello(dial.greeting)
  if (!('answer' in outcome)) throw new Error(outcome.reason)
  const back = dial.onHello(outcome.answer)
  if (!('proof' in back)) throw new Error(back.reason)
  return { greeting: dial.greeting, answer: outcome.answer, proof: back.proof ?? new Uint8Array(0), accept }
}

t.test('a proof is the MAC that docs/PROTOCOL.md describes', async t => {
  const { greeting, answer, proof, accept } = meet(store(3), hello('pd', 9, 0n))
  const side = ({ clusterId, role, nodeId, nonce }: Hello): Buffer => {
    const bytes = Buffer.alloc(65)
    bytes.writeUInt32LE(1, 0)
    bytes.writeUInt32LE(1, 4)
    bytes.writeBigUInt64LE(clusterId, 8)
    bytes[16] = { client: 0, store: 1, pd: 2 }[role]
    bytes.writeBigUInt64LE(BigInt(nodeId), 17)
    bytes.set(nonce!, 33)
    return bytes
  }
  const mac = (by: string): string => createHmac('sha256', 'the secret of the nodes in these tests')
    .update(Buffer.concat([Buffer.from(`karst proof 1 ${by}`.padEnd(32, '\0')), side(greeting), side(answer)])).digest('hex')
  t.equal(Buffer.from(answer.proof!).toString('hex'), mac('acceptor'))
  t.equal(Buffer.from(proof).toString('hex'), mac('dialler'))
  t.notOk(accept.peer, 'not before the proof has come')
  t.equal(accept.onProof(proof), undefined)
  t.equal(accept.peer?.nodeId, 3)
})

t.test('what was heard cannot be used again, for or by anybody else', async t => {
  const heard = meet(store(3), store(1))
  const replayed = new AcceptorHandshake(random, () => store(1), secret)
  replayed.onHello(heard.greeting)
  t.match(replayed.onProof(heard.proof), { isForged: true, reason: /store 3 has another cluster secret/ }, 'another nonce')
  const victim = new AcceptorHandshake(random, () => store(2), secret)
  const ask = victim.onHello({ ...heard.greeting })
  t.ok('answer' in ask)
  for (const [what, proof] of Object.entries({
    'its own': heard.answer.proof!, 'that of whoever dialled another': heard.proof, 'none': new Uint8Array(0), 'zeroes': new Uint8Array(32),
    'the victim\'s': 'answer' in ask ? ask.answer.proof! : new Uint8Array(0),
  })) t.match(victim.onProof(proof), { isForged: true }, what)
  t.notOk(victim.peer)
  // A dialler that meant store 1 shows nothing to somebody who passes on what store 2 says under another name.
  const dial = new DiallerHandshake(random, () => store(3), secret)
  const second = new AcceptorHandshake(random, () => store(2), secret)
  const answer = second.onHello(dial.greeting)
  if ('answer' in answer) {
    t.match(dial.onHello({ ...answer.answer, nodeId: 1 }), { isForged: true })
    t.match(dial.onHello({ ...answer.answer, role: 'pd' }), { isForged: true })
    t.match(dial.onHello({ ...answer.answer, features: 1n }), { isForged: true }, 'nobody takes features away or adds them')
  }
  t.throws(() => meet(store(3), store(1), { dialler: secret, acceptor: other }), /store 1 has another cluster secret.*same --cluster-secret-file/)
})

t.test('nodes without a challenge are of an older version; clients need none', async t => {
  const accept = (): AcceptorHandshake => new AcceptorHandshake(random, () => store(1), secret)
  for (const nonce of [undefined, new Uint8Array(0), new Uint8Array(nonceBytes - 1)]) {
    t.match(accept().onHello({ ...store(3), nonce }), { reason: /store 3 proves no cluster secret: it runs an older version/ })
  }
  const dial = new DiallerHandshake(random, () => store(3), secret)
  t.match(dial.onHello(store(1)), { reason: /store 1 proves no cluster secret/ })
  const client = accept()
  t.match(client.onHello(hello('client')), { answer: { nonce: undefined, proof: undefined } }, 'one Hello each way, as ever')
  t.equal(client.peer?.role, 'client')
})

t.test('versions: the highest that both speak, or a sentence', async t => {
  const of = (lowest: number, highest?: number): Hello => ({ ...hello('client'), protocolVersion: lowest, protocolVersionMax: highest })
  t.equal(helloMismatch(of(1), of(1, 4)), undefined)
  t.equal(helloMismatch(of(2, 3), of(3, 9)), undefined)
  t.equal(helloMismatch(of(1), of(2)), 'protocol version 2 is not spoken here, 1 is')
  t.equal(helloMismatch(of(1, 2), of(3, 9)), 'protocol version 3 to 9 is not spoken here, 1 to 2 is')
})

class Wire {
  readonly world = new FakeWorld()
  clusterId = 0n
  async serve(key = secret): Promise<void> {
    await listenRpc({
      env: this.world.env('server'), address: 'here:1', secret: key, hello: () => hello('pd', 1, this.clusterId), onRaft: () => undefined,
      handlers: { RawGet: (_request, respond) => { respond(err({ kind: 'StaleCommand' })) } },
    })
  }
}

t.test('before its proof a node is served nothing, and a client never sends one', async t => {
  const s = new Wire()
  await s.serve()
  const say = (...frames: Uint8Array[][]): string[] => {
    const heard: string[] = []
    s.world.env('raw').network.dial('here:1', {
      onMessage: bytes => { heard.push(...describe(bytes).map(text => text.split(':')[0]!)) }, onClose: () => { heard.push('closed') },
    })
    const end = s.world.wires.at(-1)!.dialler
    s.world.run(5)
    for (const list of frames) end.send(join(...list))
    s.world.run(5)
    return heard
  }
  const ping = requestFrame('Ping', 1, { sentAtMs: 1 })
  const node = new Greeting(hello('pd', 2)).frame
  const client = helloFrame(hello('client'))
  t.same(say([node, ping]), ['Hello', 'ProtocolError', 'closed'])
  t.same(say([node], [proofFrame(new Uint8Array(32))]), ['Hello', 'ProtocolError', 'closed'])
  t.same(say([node], [node]), ['Hello', 'ProtocolError', 'closed'], 'a second Hello')
  t.same(say([client, proofFrame(new Uint8Array(32)), ping]), ['Hello', 'ProtocolError', 'closed'])
  t.same(say([helloFrame(hello('pd', 2))]), ['ProtocolError', 'closed'], 'e87673d and before')
  t.same(say([client, ping]), ['Hello', 'Ping 1 →'])
  s.world.run(4_000)
  t.same(say([node]).concat(), ['Hello'])
})

t.test('links of two secrets do not come up, and say why', async t => {
  const s = new Wire()
  await s.serve(other)
  const env = s.world.env('node')
  const up: number[] = []
  const links = createRaftLinks({ env, secret, hello: () => hello('pd', 2), addressOf: () => 'here:1', onUp: to => { up.push(to) } })
  links.send(storeId(1), envelopeFrom(2))
  s.world.run(500)
  t.same(up, [])
  t.ok(env.log_.some(line => /another cluster secret/.test(String(line.fields?.reason))), 'in the log')
  links.close()
})

t.test('a Hello that was accepted before a cluster had its id is looked at again when it has one, on both sides', async t => {
  const s = new Wire()
  await s.serve()
  const heard: string[] = []
  const greeting = new Greeting(hello('client', 0, 5n))
  s.world.env('raw').network.dial('here:1', { onMessage: bytes => { heard.push(...describe(bytes)) }, onClose: () => { heard.push('closed') } })
  const end = s.world.wires.at(-1)!.dialler
  s.world.run(5)
  end.send(join(greeting.frame, requestFrame('Ping', 1, { sentAtMs: 1 })))
  s.world.run(5)
  t.same(heard.splice(0), ['Hello', 'Ping 1 →'])
  s.clusterId = 5n
  end.send(requestFrame('Ping', 2, { sentAtMs: 1 }))
  s.world.run(5)
  t.same(heard.splice(0), ['Ping 2 →'], 'it is ours')
  s.clusterId = 0n
  const late = { id: 0n }
  const channel = openChannel({ env: s.world.env('client'), address: 'here:1', hello: () => hello('client', 0, late.id) })
  s.clusterId = 6n
  const first = channel.call('Ping', { sentAtMs: 1 }, { timeoutMs: 1_000 })
  s.world.run(20)
  t.match(await first, { answered: true })
  late.id = 5n
  const second = channel.call('Ping', { sentAtMs: 1 }, { timeoutMs: 1_000 })
  s.world.run(20)
  t.match(await second, { answered: false, failure: { reason: /this is cluster 5, not 6/ } }, 'the dialler hangs up')
  s.clusterId = 0n
  const stranger = new Greeting(hello('client', 0, 9n))
  s.world.env('raw').network.dial('here:1', { onMessage: bytes => { heard.push(...describe(bytes)) }, onClose: () => { heard.push('closed') } })
  const last = s.world.wires.at(-1)!.dialler
  s.world.run(5)
  last.send(stranger.frame)
  s.world.run(5)
  s.clusterId = 6n
  last.send(requestFrame('Ping', 3, { sentAtMs: 1 }))
  s.world.run(5)
  t.same(heard, ['Hello', 'ProtocolError: this is cluster 6, not 9', 'closed'], 'the server hangs up, and serves nothing first')
  channel.close()
})
