/** The claims of docs/PROTOCOL.md, checked by a client that was written from it alone. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { body, crc32c, engineKey, frame, framesOf, plainKey, routeBlock, Table, wireKey } from './page-bytes.js'
import { clientHello, helloFrame } from './page-socket.js'

const page = readFileSync(fileURLToPath(new URL('../../../docs/PROTOCOL.md', import.meta.url)), 'utf8')
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')

/** The bytes of an example of section 13, by its title. Offsets must count on. */
function example(title: string): Uint8Array {
  const from = page.indexOf(`**${title}**`)
  const [, block = ''] = /```\n([^]*?)\n```/.exec(page.slice(from)) ?? []
  const bytes: number[] = []
  for (const line of block.split('\n')) {
    const [, offset, dump = ''] = /^ *(\d+) {2}((?:[0-9a-f]{2} ?)+)/.exec(line) ?? []
    if (from < 0 || Number(offset) !== bytes.length) throw new Error(`${title}: "${line}" is not at ${bytes.length}`)
    bytes.push(...dump.trim().split(' ').map(pair => Number.parseInt(pair, 16)))
  }
  return Uint8Array.from(bytes)
}

function only(title: string): { kind: number; requestId: number; table: Table } {
  const frames = framesOf(example(title))
  if (frames.length !== 1) throw new Error(`${title}: ${frames.length} frames`)
  const { kind, requestId, body: bytes } = frames[0]!
  return { kind, requestId, table: Table.root(bytes) }
}

t.test('checksum and keys are as the page says', async t => {
  t.equal(crc32c(text('123456789')), 0xe3069283)
  t.equal(hex(engineKey(wireKey(0, text('hello')))), '7200000068656c6cff6f00000000000000f8')
  t.equal(hex(engineKey(text('12345678'))), '3132333435363738ff0000000000000000f7', 'a full group is followed by an empty one')
  for (let length = 0; length < 30; length++) {
    const key = Uint8Array.from({ length }, (_, at) => at * 37)
    t.equal(hex(plainKey(engineKey(key))), hex(key))
  }
  t.ok(page.includes('72 00 00 00 68 65 6c 6c ff   6f 00 00 00 00 00 00 00 f8'), 'the example in section 6')
})

t.test('the examples read as their titles say', async t => {
  const hello = only('Hello of a client that does not know the cluster yet')
  t.same([hello.kind, hello.requestId, hello.table.u32(0), hello.table.big(1), hello.table.u8(2)], [1, 0, 1, 0n, 0])
  const members = only('GetMembers, response of PD')
  t.same([members.kind, members.requestId, members.table.big(1)], [64 | 0x80, 1, 0xfedcba9876543210n])
  const [member] = members.table.tables(2)
  t.same([member?.text(0), member?.u64(1), member?.texts(2), member?.texts(3), member?.u8(4)],
    ['pd-0', 9, ['http://127.0.0.1:2379'], [], 1])
  const question = only('GetRegion, request: where is the engine key of `hello`?')
  t.same([question.kind, hex(question.table.vector(0))], [74, hex(engineKey(wireKey(0, text('hello'))))])
  const { leader, region } = routeBlock(only('GetRegion, response').table.vector(1)!)
  t.same([leader?.peerId, leader?.storeId, region.regionId, region.confVer, region.version], [3, 1, 2, 1, 1])
  t.same(region.peers.map(peer => [peer.peerId, peer.storeId, peer.role]), [[3, 1, 0], [6, 4, 0]])
  t.same([hex(region.startKey), hex(plainKey(region.endKey))], ['', hex(wireKey(0, text('m')))])
})

t.test('a put and a get, byte for byte', async t => {
  for (const [title, kind, id] of [['RawPut, request', 17, 3], ['RawGet, request', 16, 4]] as const) {
    const request = only(title)
    const context = request.table.table(0)!
    t.same([request.kind, request.requestId, hex(request.table.vector(1))], [kind, id, hex(wireKey(0, text('hello')))])
    t.same([context.u64(0), hex(context.struct(1, 16)), context.u64(2), context.u32(3)],
      [2, '01000000000000000100000000000000', 3, 5000])
    if (kind === 17) t.same([request.table.text(2), request.table.u64(3)], ['world', 0])
  }
  const done = only('RawPut, response: done')
  t.same([done.kind, done.requestId, done.table.has(0)], [0x91, 3, false])
  const error = only('RawPut, response: NotLeader').table.table(0)!
  const leader = error.struct(2, 24)
  t.same([error.u8(0), error.u64(1), leader[0], leader[8], leader[16]], [1, 2, 3, 1, 0])
  t.same([8, 16, 32].map(at => error.has(at)), [false, false, false], 'fields of other kinds are absent, also behind the end')
  const found = only('RawGet, response: `world`')
  t.same([found.kind, found.requestId, found.table.has(0), found.table.text(1)], [0x90, 4, false, 'world'])
  t.same(only('RawGet, response: no such key').table.has(1), false)
})

t.test('what this client writes, this client reads', async t => {
  const made = body({ u32: 7 }, undefined, { bytes: text('abc') }, { table: [undefined, { u64: 2n ** 60n }] }, { u8: 1 })
  const table = Table.root(made)
  t.same([table.u32(0), table.has(1), table.text(2), table.table(3)?.big(1), table.table(3)?.has(0), table.u8(4), table.has(9)],
    [7, false, 'abc', 2n ** 60n, false, 1, false])
  t.equal(framesOf(Buffer.concat([helloFrame(clientHello), frame(16, 9, made)])).length, 2)
  const cut = frame(16, 9, made).subarray(0, -1)
  t.throws(() => framesOf(cut), /cut body/)
  t.throws(() => framesOf(frame(16, 9, made).map((byte, at) => at === 16 ? byte + 1 : byte)), /checksum/)
})
