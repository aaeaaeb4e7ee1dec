import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { err, ok } from '../../src/common/result.js'
import {
  FrameDecoder, encodeCancel, encodeErrorOfKind, encodeHello, encodeProtocolError, encodeRaft, encodeRequest, encodeResponse,
} from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { rpcCodecs } from '../../src/wire/generated/codec.js'
import { FrameKind } from '../../src/wire/messages.js'
import type { Requests, Responses, RpcName } from '../../src/wire/messages.js'
import { appendEnvelope, context, envelopes, errors, requests, responses } from './samples.js'

const names = Object.keys(requests) as RpcName[]
const decoder = new FrameDecoder()

/** The owned copy a connection makes of what the writer holds. */
function frames(w: FrameWriter): FrameReader {
  const reader = new FrameReader()
  reader.reset(Uint8Array.from(w.view()))
  return reader
}

t.test('every RPC has the frame kind of messages.ts', async t => {
  t.same(Object.keys(rpcCodecs).sort(), Object.keys(FrameKind).filter(name => !['Hello', 'Raft', 'ProtocolError', 'Cancel', 'Proof'].includes(name)).sort())
  for (const name of names) t.equal(rpcCodecs[name].kind, FrameKind[name], name)
})

t.test('every request comes back as it was', async t => {
  for (const name of names) {
    for (const request of requests[name]) {
      const w = new FrameWriter()
      t.equal(encodeRequest(name, 77, request as Requests[typeof name], w), undefined)
      const reader = frames(w)
      t.equal(reader.next(), 'frame')
      t.equal(reader.kind, FrameKind[name])
      t.equal(reader.requestId, 77)
      t.same(decoder.decodeRequest(reader), ok({ name, request }), name)
      t.equal(reader.next(), 'end')
    }
  }
})

t.test('every response comes back as it was', async t => {
  for (const name of names) {
    for (const response of responses[name]) {
      const w = new FrameWriter()
      t.equal(encodeResponse(name, 2 ** 53 - 1, ok(response as Responses[typeof name]), w), undefined)
      const reader = frames(w)
      t.equal(reader.next(), 'frame')
      t.equal(reader.kind, FrameKind[name] | 0x80)
      t.equal(reader.requestId, 2 ** 53 - 1)
      t.same(decoder.decodeResponse(name, reader), ok(ok(response)), name)
    }
  }
})

t.test('every error comes back as it was, as the answer to any RPC', async t => {
  for (const error of errors) {
    for (const name of ['RawGet', 'RawScan', 'GetMembers', 'RawPut'] as const) {
      const w = new FrameWriter()
      encodeResponse(name, 1, err(error), w)
      const reader = frames(w)
      t.equal(reader.next(), 'frame')
      t.same(decoder.decodeResponse(name, reader), ok(err(error)), error.kind)
    }
  }
})

t.test('control frames and raft come back as they were', async t => {
  const w = new FrameWriter()
  const hello = { protocolVersion: 1, clusterId: 2n ** 63n, role: 'store', nodeId: 4 } as const
  encodeHello(hello, w)
  encodeRaft(envelopes, w)
  encodeCancel(99, w)
  encodeProtocolError('bad body', w)
  encodeErrorOfKind(120, 5, { kind: 'Unimplemented', what: 'kind 120' }, w)
  const reader = frames(w)
  t.equal(reader.next(), 'frame')
  t.same(decoder.decodeHello(reader), ok(hello))
  t.equal(reader.next(), 'frame')
  t.same(decoder.decodeRaft(reader), ok(envelopes))
  t.equal(reader.next(), 'frame')
  t.equal(reader.requestId, 99)
  t.ok(decoder.decodeCancel(reader).ok)
  t.equal(reader.next(), 'frame')
  t.same(decoder.decodeProtocolError(reader), ok({ reason: 'bad body' }))
  t.equal(reader.next(), 'frame')
  t.equal(reader.kind, 120 | 0x80)
  t.equal(reader.next(), 'end')
})

t.test('many frames in one writer, reused, growing: bodies are aligned and nothing of the last turn leaks', async t => {
  const w = new FrameWriter()
  const once = new FrameWriter()
  for (let turn = 0; turn < 5; turn++) {
    w.reset()
    for (let i = 0; i < 200; i++) {
      const request = { context, key: utf8(`k${i * turn}`), value: new Uint8Array(i * 7), ttlSeconds: i }
      const from = w.length
      t.equal(from % 8, 0)
      encodeRequest('RawPut', i, request, w)
      once.reset()
      encodeRequest('RawPut', i, request, once)
      if (!Buffer.from(once.view()).equals(w.view(from))) t.fail('same request, other bytes')
    }
    const reader = frames(w)
    let count = 0
    while (reader.next() === 'frame') {
      const read = decoder.decodeRequest(reader)
      if (!read.ok || read.value.name !== 'RawPut' || read.value.request.ttlSeconds !== count) t.fail('wrong frame')
      count++
    }
    t.equal(count, 200)
    t.equal(reader.error, undefined)
  }
})

t.test('what does not fit is not appended and names its limit', async t => {
  const w = new FrameWriter(4_096)
  encodeRequest('RawGet', 1, { context, key: utf8('a') }, w)
  const before = Uint8Array.from(w.view())
  t.match(encodeRequest('RawPut', 2, { context, key: utf8('a'), value: new Uint8Array(5_000), ttlSeconds: 0 }, w),
    { kind: 'LimitExceeded', limit: 'frameBytesMax', max: 4_096 })
  t.same(w.view(), before)
  t.match(encodeRequest('RawBatchGet', 3, { context, keys: new Array(70_000).fill(utf8('')), prefixWelcome: false }, w),
    { kind: 'LimitExceeded', limit: 'keys.items', actual: 70_000, max: 65_536 })
  t.same(w.view(), before)
  t.throws(() => encodeRequest('AllocId', 4, { count: -1 }, w), /53-bit/)
  t.throws(() => encodeRequest('AllocId', 4, { count: NaN }, w), /53-bit/)
  t.same(w.view(), before)
})

t.test('byte fields are views into the message', async t => {
  const w = new FrameWriter()
  encodeRaft([appendEnvelope(2, 50)], w)
  const reader = frames(w)
  reader.next()
  const decoded = decoder.decodeRaft(reader)
  t.equal(decoded.ok && decoded.value[0]!.message.entries[1]!.data.buffer, reader.bytes.buffer)
})

t.test('a response of another kind than its request is refused', async t => {
  const w = new FrameWriter()
  encodeResponse('RawPut', 1, ok({}), w)
  const reader = frames(w)
  reader.next()
  t.same(decoder.decodeResponse('RawGet', reader), err({ kind: 'UnknownKind', frameKind: FrameKind.RawPut | 0x80 }))
  t.same(decoder.decodeRequest(reader), err({ kind: 'UnknownKind', frameKind: FrameKind.RawPut | 0x80 }))
})

t.test('the buffer may grow at any byte of a frame', async t => {
  for (let bytes = 3_900; bytes < 4_200; bytes++) {
    const w = new FrameWriter()
    const response = { value: new Uint8Array(bytes).fill(9) }
    t.equal(encodeResponse('RawGet', 1, ok(response), w), undefined)
    const reader = frames(w)
    if (reader.next() !== 'frame') t.fail('no frame')
    const read = decoder.decodeResponse('RawGet', reader)
    if (!read.ok || !read.value.ok || read.value.value.value?.length !== bytes) t.fail(`wrong at ${bytes}`)
  }
})
