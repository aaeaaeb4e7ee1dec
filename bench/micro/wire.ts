/** Cost of one encode and one decode (FrameReader, verifier and all) per hot frame. Run: node dist/bench/micro/wire.js */
import Benchmark from 'benchmark'
import { copyBytes } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import { FrameDecoder, encodeRaft, encodeRequest, encodeResponse } from '../../src/wire/codec.js'
import { crc32c } from '../../src/wire/crc32c.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { appendEnvelope, context, envelope } from '../../test/wire/samples.js'

const framesPerMessage = 16
const key = new Uint8Array(20).fill(7)
const value = new Uint8Array(256).fill(9)
const get = { context, key }
const put = { context, key, value, ttlSeconds: 0 }
const heartbeat = [{ ...envelope, startKey: key, endKey: key }]
const append1 = [appendEnvelope(1, 300)]
const append16 = [appendEnvelope(16, 256)]
const rows = Array.from({ length: 100 }, () => ({ key, value }))

const writer = new FrameWriter()
const reader = new FrameReader()
const decoder = new FrameDecoder()
let sink: unknown

/** A turn's message of 16 frames, as the transport makes them; figures are per frame. */
function encodeCase(name: string, encode: () => void): void {
  suite.add(`encode ${name}`, () => {
    writer.reset()
    for (let i = 0; i < framesPerMessage; i++) encode()
  })
}

function decodeCase(name: string, encode: () => void, decode: () => unknown): void {
  writer.reset()
  for (let i = 0; i < framesPerMessage; i++) encode()
  const message = copyBytes(writer.view())
  suite.add(`decode ${name}`, () => {
    reader.reset(message)
    while (reader.next() === 'frame') sink = decode()
  })
}

function bothCases(name: string, encode: () => void, decode: () => unknown): void {
  encodeCase(name, encode)
  decodeCase(name, encode, decode)
}

const suite = new Benchmark.Suite()
bothCases('RawGet request', () => encodeRequest('RawGet', 77, get, writer), () => decoder.decodeRequest(reader))
bothCases('RawGet response', () => encodeResponse('RawGet', 77, ok({ value }), writer), () => decoder.decodeResponse('RawGet', reader))
bothCases('RawPut request', () => encodeRequest('RawPut', 77, put, writer), () => decoder.decodeRequest(reader))
bothCases('RawPut response', () => encodeResponse('RawPut', 77, ok({}), writer), () => decoder.decodeResponse('RawPut', reader))
bothCases('Raft heartbeat', () => encodeRaft(heartbeat, writer), () => decoder.decodeRaft(reader))
bothCases('Raft append 1 x 300 B', () => encodeRaft(append1, writer), () => decoder.decodeRaft(reader))
bothCases('Raft append 16 x 256 B', () => encodeRaft(append16, writer), () => decoder.decodeRaft(reader))
bothCases('RawScan response, 100 rows', () => encodeResponse('RawScan', 77, ok({ rows, more: false }), writer),
  () => decoder.decodeResponse('RawScan', reader))
const header = copyBytes(writer.view()).subarray(0, 20)
const page = new Uint8Array(4_096).fill(3)
suite.add('crc32c 20 B', () => { for (let i = 0; i < framesPerMessage; i++) sink = crc32c(header) })
suite.add('crc32c 4 KiB', () => { for (let i = 0; i < framesPerMessage; i++) sink = crc32c(page) })
suite.on('cycle', (event: Benchmark.Event) => {
  const { name, hz, stats } = event.target as unknown as Benchmark
  const microseconds = 1e6 / (hz ?? 0) / framesPerMessage
  console.log(`${(name ?? '').padEnd(36)} ${microseconds.toFixed(3).padStart(8)} us  ±${(stats?.rme ?? 0).toFixed(1)} %`)
})
suite.on('complete', () => { if (sink === undefined) console.log('nothing was decoded') })
suite.run()
