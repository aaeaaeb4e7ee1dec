/** A live cluster meets the client that was written from docs/PROTOCOL.md alone. */
import { connect } from 'node:net'
import t from 'tap'
import { startCluster } from '../../src/server/cluster.js'
import type { Cluster } from '../../src/server/cluster.js'
import type { Table} from './page-bytes.js';
import {
  body, concat, engineKey, frame, keysBlock, pairsBlock, plainKey, regionsBlock, routeBlock, routesBlock, rowsBlock, u32le,
  valuesBlock, wireKey,
} from './page-bytes.js'
import { contextOf, errorOf, hexOf, key, PageClient, repeated, text } from './page-client.js'
import { clientHello, helloFrame, PageSocket, within } from './page-socket.js'

const parts: { cluster?: Cluster; client?: PageClient } = {}
const theCluster = (): Cluster => parts.cluster!
const theClient = (): PageClient => parts.client!

t.before(async () => {
  parts.cluster = await startCluster()
  parts.client = await PageClient.connect(parts.cluster.pdAddresses[0]!)
})
t.teardown(async () => {
  parts.client?.close()
  await parts.cluster?.close()
})

const read = async (name: string): Promise<string | undefined> => {
  const answer = await theClient().ask(16, key(name), { bytes: key(name) })
  t.notOk(errorOf(answer), `read of ${name}`)
  return answer.has(1) ? answer.text(1) : undefined
}
const put = (name: string, value: string, ttl = 0): Promise<Table> =>
  theClient().ask(17, key(name), { bytes: key(name) }, { bytes: text(value) }, { u64: ttl })

t.test('Hello tells who is there', async t => {
  const client = theClient()
  const pd = await client.pd.hello
  t.same([pd.protocolVersion, pd.role, pd.nodeId], [1, 2, (await client.pd.request(64)).tables(2)[0]?.u64(1)], 'node id: the member id')
  t.equal(pd.clusterId, client.clusterId)
  t.not(client.clusterId, 0n)
  t.equal(client.storeAddresses.size, 3)
  for (const [storeId] of client.storeAddresses) {
    const hello = await (await client.store(storeId)).hello
    t.same([hello.role, hello.nodeId, hello.clusterId], [1, storeId, client.clusterId])
  }
})

t.test('a put and a get', async t => {
  const done = await put('hello', 'world')
  t.notOk(errorOf(done))
  t.equal(await read('hello'), 'world')
  t.equal(await read('never written'), undefined)
  t.notOk(errorOf(await theClient().ask(18, key('hello'), { bytes: key('hello') })))
  t.equal(await read('hello'), undefined)
})

t.test('requests right behind Hello, several frames in one message, any order', async t => {
  const socket = await PageSocket.open(theCluster().pdAddresses[0]!, 'none')
  const answers = [socket.request.bind(socket)].map(ask => {
    socket.sendFrames(helloFrame(clientHello), frame(96, 900, body(undefined)), frame(4, 900, body()))
    return [ask(96, undefined), ask(78, { u32: 10 }), ask(78, { u32: 1 })] as const
  })[0]!
  const [ping, first, second] = await Promise.all(answers)
  t.equal(ping.f64(1), 0)
  t.equal(first.u32(3), 10)
  const ts = (answer: Table): bigint => (answer.big(1) << 18n) | BigInt(answer.u32(2))
  t.ok(ts(second) !== ts(first) && (ts(second) > ts(first) || ts(second) <= ts(first) - 10n), 'no timestamp twice')
  socket.close()
})

t.test('batches, scans, swaps and time to live', async t => {
  const client = theClient()
  const names = ['a', 'b', 'c', 'd']
  const pairs = pairsBlock(names.map(name => ({ key: key(`s/${name}`), value: text(name.toUpperCase()), ttlSeconds: 0 })))
  t.notOk(errorOf(await client.ask(20, key('s/'), { bytes: pairs })))
  const values = await client.ask(19, key('s/'), { bytes: keysBlock([key('s/d'), key('s/x'), key('s/a')]) })
  t.same(valuesBlock(values.vector(1)!).map(value => value && Buffer.from(value).toString()), ['D', undefined, 'A'])
  const scan = async (start: string, end: string, rowsMax: number, reverse: number): Promise<{ rows: string[]; more: number }> => {
    const answer = await client.ask(22, key('s/'), { bytes: key(start) }, { bytes: key(end) }, { u32: rowsMax }, { u8: 0 }, { u8: reverse })
    t.notOk(errorOf(answer))
    return { rows: rowsBlock(answer.vector(1)!).map(row => `${Buffer.from(row.key.subarray(4))}=${Buffer.from(row.value)}`), more: answer.u8(2) }
  }
  t.same(await scan('s/a', 's/d', 10, 0), { rows: ['s/a=A', 's/b=B', 's/c=C'], more: 0 })
  t.same(await scan('s/a', 's/z', 2, 0), { rows: ['s/a=A', 's/b=B'], more: 1 })
  t.same(await scan('s/b\0', 's/z', 2, 0), { rows: ['s/c=C', 's/d=D'], more: 0 }, 'on from the last key and a zero')
  t.same(await scan('s/a', 's/z', 2, 1), { rows: ['s/d=D', 's/c=C'], more: 1 })
  const swap = async (expected: string | undefined, value: string | undefined): Promise<[number, string | undefined]> => {
    const answer = await client.ask(24, key('s/e'), { bytes: key('s/e') }, expected === undefined ? undefined : { bytes: text(expected) },
      value === undefined ? undefined : { bytes: text(value) })
    t.notOk(errorOf(answer))
    return [answer.u8(1), answer.has(2) ? answer.text(2) : undefined]
  }
  t.same(await swap(undefined, '1'), [1, undefined])
  t.same(await swap(undefined, '2'), [0, '1'])
  t.same(await swap('1', '3'), [1, '1'])
  t.same(await swap('3', undefined), [1, '3'], 'deletes on a match')
  t.equal(await read('s/e'), undefined)
  t.notOk(errorOf(await put('s/ttl', 'x', 100)))
  const ttl = await client.ask(25, key('s/ttl'), { bytes: key('s/ttl') })
  t.ok(ttl.has(1) && ttl.u64(1) > 90 && ttl.u64(1) <= 101, `${ttl.u64(1)} s left`)
  t.notOk(errorOf(await client.ask(23, key('s/'), { bytes: key('s/') }, { bytes: key('s0') })))
  t.same(await scan('s/', 's0', 10, 0), { rows: [], more: 0 })
})

t.test('region errors carry what the page says', async t => {
  const client = theClient()
  const { region, leader } = await client.locate(key('hello'))
  const follower = region.peers.find(peer => peer.peerId !== leader?.peerId)!
  const get = async (storeId: number, regionId: number, version: number, peerId: number, wire = key('hello')): Promise<Table | undefined> =>
    errorOf(await (await client.store(storeId)).request(16, contextOf(regionId, region.confVer, version, peerId), { bytes: wire }))?.table
  const notLeader = await get(follower.storeId, region.regionId, region.version, follower.peerId)
  t.same([notLeader?.u8(0), notLeader?.u64(1)], [1, region.regionId])
  t.equal(Buffer.from(notLeader!.struct(2, 24)).readBigUInt64LE(0), BigInt(leader!.peerId))
  const epoch = await get(leader!.storeId, region.regionId, region.version + 7, leader!.peerId)
  t.equal(epoch?.u8(0), 4)
  const [current] = regionsBlock(epoch!.vector(6)!)
  t.same([current?.regionId, current?.version, current?.peers.length], [region.regionId, region.version, 3])
  const unknown = await get(leader!.storeId, 999_999_999, region.version, 0)
  t.same([unknown?.u8(0), unknown?.u64(1)], [2, 999_999_999])
  const mismatch = await get(leader!.storeId, region.regionId, region.version, 999_999_999)
  t.same([mismatch?.u8(0), mismatch?.u64(13), mismatch?.u64(14)], [11, 999_999_999, leader!.peerId])
})

t.test('a split: KeyNotInRegion, EpochNotMatch, and PD finds both sides', async t => {
  const client = theClient()
  const before = await client.locate(key('m'))
  const plain = errorOf(await client.ask(32, key('m'), { bytes: keysBlock([key('m')]) }))
  t.equal(plain?.kind, 97, 'a boundary is an engine key; a wire key would cut the region where no client could follow')
  const split = await client.ask(32, key('m'), { bytes: keysBlock([engineKey(key('m'))]) })
  t.notOk(errorOf(split))
  const regions = regionsBlock(split.vector(1)!)
  t.equal(regions.length, 2)
  const stale = await (await client.store(before.leader!.storeId)).request(16,
    contextOf(before.region.regionId, before.region.confVer, before.region.version, 0), { bytes: key('a') })
  t.equal(errorOf(stale)?.kind, 4, 'the old version of the range')
  t.same(regionsBlock(errorOf(stale)!.table.vector(6)!).map(one => one.regionId).sort(), regions.map(one => one.regionId).sort())
  const isKnown = async (): Promise<boolean> => {
    const [left, right] = [await client.locate(key('a')), await client.locate(key('m'))]
    return hexOf(right.region.startKey) === hexOf(engineKey(key('m'))) && left.leader !== undefined && right.leader !== undefined
  }
  await within((async () => { while (!await isKnown()) await new Promise(done => setTimeout(done, 20)) })(), 'PD hears of the split')
  const [left, right] = [await client.locate(key('a')), await client.locate(key('z'))]
  t.equal(hexOf(plainKey(left.region.endKey)), hexOf(key('m')))
  t.not(left.region.regionId, right.region.regionId)
  const outside = errorOf(await (await client.store(left.leader!.storeId)).request(17,
    contextOf(left.region.regionId, left.region.confVer, left.region.version, left.leader!.peerId), { bytes: key('z') }, { bytes: text('x') }))
  t.same([outside?.kind, outside?.table.u64(1)], [3, left.region.regionId])
  t.equal(hexOf(outside?.table.vector(5)), hexOf(left.region.endKey), 'end key of the region')
  const routes = routesBlock((await client.pd.request(77, { bytes: new Uint8Array(0) }, { bytes: new Uint8Array(0) }, { u32: 0 })).vector(1)!)
  t.same(routes.map(one => one.region.regionId), [left.region.regionId, right.region.regionId])
  const previous = routeBlock((await client.pd.request(75, { bytes: engineKey(key('m')) })).vector(1)!)
  t.equal(previous.region.regionId, left.region.regionId, 'the greatest key below the boundary is on its left')
  const last = routeBlock((await client.pd.request(75, { bytes: new Uint8Array(0) })).vector(1)!)
  t.equal(last.region.regionId, right.region.regionId, 'empty: behind all keys')
})

t.test('requests that are wrong are told why and change nothing', async t => {
  const client = theClient()
  const refused = async (kind: number, ...fields: Parameters<PageClient['ask']>[2][]): Promise<Table> => {
    const error = errorOf(await client.ask(kind, key('w'), ...fields))
    t.ok(error, `kind ${kind} is refused`)
    return error!.table
  }
  const longest = concat(key(''), repeated(0x77, 8_192))
  const tooLong = concat(longest, text('x'))
  const long = await refused(17, { bytes: tooLong }, { bytes: text('v') })
  t.same([long.u8(0), long.text(16), long.u64(21), long.u64(18)], [96, 'keyBytesMax', 8_193, 8_192])
  t.equal((await refused(16, { bytes: tooLong })).u8(0), 96, 'reads too')
  t.notOk(errorOf(await client.ask(17, key('w'), { bytes: longest }, { bytes: text('v') })), 'the longest key is fine')
  const large = await refused(17, { bytes: key('w') }, { bytes: repeated(1, 8 << 20) })
  t.same([large.u8(0), large.text(16), large.u64(18)], [96, 'entryBytesMax', 8 << 20])
  t.equal((await refused(17, { bytes: text('no prefix') }, { bytes: text('v') })).u8(0), 97)
  t.equal((await refused(17, { bytes: wireKey(0, new Uint8Array(0)) }, { bytes: text('v') })).u8(0), 97, 'the empty key')
  t.equal((await refused(19, { bytes: keysBlock([]) })).u8(0), 97, 'an empty batch')
  t.equal((await refused(22, { bytes: key('w') }, { bytes: key('x') }, { u32: 0 })).u8(0), 97, 'rows_max 0')
  const rows = await refused(22, { bytes: key('w') }, { bytes: key('x') }, { u32: 10_241 })
  t.same([rows.u8(0), rows.text(16)], [96, 'scanRowsMax'])
  t.equal((await refused(22, { bytes: key('w') }, { bytes: wireKey(7, text('x')) }, { u32: 5 })).u8(0), 97, 'out of its keyspace')
  const store = await client.store([...client.storeAddresses.keys()][0]!)
  for (const [socket, kind, ...fields] of [[client.pd, 16, contextOf(1, 1, 1, 1), { bytes: key('w') }], [store, 120], [store, 64]] as const) {
    const error = errorOf(await (socket as PageSocket).request(kind, ...fields))
    t.equal(error?.kind, 100, `kind ${kind}: ${error?.table.text(20)}`)
  }
  t.equal(await read('w'), undefined)
})

const brokenFrames: Readonly<Record<string, () => Uint8Array>> = {
  'a wrong magic': () => text('this is no frame at all, but long enough'),
  'a wrong checksum': () => frame(96, 1, body()).map((byte, at) => at === 20 ? byte ^ 1 : byte),
  'a wrong version': () => frame(96, 1, body()).map((byte, at) => at === 2 ? 9 : byte),
  'a cut frame': () => frame(96, 1, body({ u64: 1 })).subarray(0, -3),
  'half a header': () => frame(96, 1, body()).subarray(0, 11),
  'a request id above 2^53': () => {
    const whole = frame(96, 2 ** 52, body())
    whole[15] = 0xff
    return frame(96, Number.MAX_SAFE_INTEGER + 1, body())
  },
  'a response': () => frame(96 | 0x80, 1, body()),
  'kind 7': () => frame(7, 1, body()),
  'raft from a client': () => frame(2, 0, body({ bytes: u32le(0) })),
  'a second Hello': () => helloFrame(clientHello),
  'a body without its context': () => frame(16, 1, body(undefined, { bytes: key('x') })),
  'a body that points outside': () => frame(16, 1, concat(u32le(4_000), repeated(0, 20))),
  'an empty body': () => frame(16, 1, new Uint8Array(0)),
  'a block with a lying count': () => frame(19, 1, body(contextOf(1, 1, 1, 1), { bytes: concat(u32le(50), u32le(1), text('x')) })),
  'a block with bytes left over': () => frame(19, 1, body(contextOf(1, 1, 1, 1), { bytes: concat(keysBlock([key('x')]), text('?')) })),
}

t.test('damage ends the connection with a reason, and nothing else', async t => {
  const addresses = [theCluster().pdAddresses[0]!, theCluster().stores[0]!.address]
  for (const [name, make] of Object.entries(brokenFrames)) {
    for (const address of addresses) {
      const socket = await PageSocket.open(address)
      await within(socket.hello, 'Hello')
      socket.sendFrames(make())
      await within(socket.closed, `${name}: the end`)
      t.equal(socket.protocolErrors.length, 1, `${name}: ${socket.protocolErrors.join()}`)
    }
  }
  for (const address of addresses) {
    const early = await PageSocket.open(address, 'none')
    early.sendFrames(frame(96, 1, body()))
    await within(early.closed, 'a request before Hello')
    t.equal(early.protocolErrors.length, 1, early.protocolErrors.join())
    const stranger = await PageSocket.open(address, { ...clientHello, clusterId: theClient().clusterId ^ 1n })
    await within(stranger.closed, 'another cluster id')
    t.match(stranger.protocolErrors, [/cluster/])
    const future = await PageSocket.open(address, { ...clientHello, protocolVersion: 2 })
    await within(future.closed, 'another version')
    t.match(future.protocolErrors, [/version/])
    const speaker = await PageSocket.open(address)
    await within(speaker.hello, 'Hello')
    speaker.sendText('hello')
    await within(speaker.closed, 'a text message')
    const silent = await PageSocket.open(address, 'none')
    await within(silent.closed, 'no Hello', 6_000)
    t.match(silent.protocolErrors, [/Hello/])
  }
})

t.test('bytes that are not even HTTP, on every port', async t => {
  const { pdAddresses, pdStatusAddresses, stores } = theCluster()
  const ports = [...pdAddresses, ...pdStatusAddresses, ...stores.flatMap(store => [store.address, store.statusAddress])]
  for (const address of ports) {
    for (const junk of [repeated(0xff, 5_000), text('GET / HTTP/1.1\r\n\r\n'), text(`GET /${'x'.repeat(100_000)} HTTP/1.1\r\n`), repeated(0, 1)]) {
      const [host = '', port = ''] = address.split(':')
      await within(new Promise<void>((resolve, reject) => {
        const socket = connect(Number(port), host, () => socket.end(junk))
        socket.on('error', () => resolve()).on('close', () => resolve()).resume()
        setTimeout(() => {
          socket.destroy()
          reject(new Error(`${address} neither answers nor closes`))
        }, 8_000).unref()
      }), `junk at ${address}`)
    }
  }
  t.ok(theCluster().stores.every(store => store.isUp), 'all stores are up')
  t.notOk(errorOf(await put('after', 'all that')))
  t.equal(await read('after'), 'all that')
})
