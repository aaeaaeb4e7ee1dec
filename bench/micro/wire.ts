/** Cost of one encode and one decode (FrameReader, verifier and all) per hot frame. */
import { copyBytes } from '../../src/common/bytes.js'
import { ok } from '../../src/common/result.js'
import { FrameDecoder, encodeRaft, encodeRequest, encodeResponse } from '../../src/wire/codec.js'
import { crc32c } from '../../src/wire/crc32c.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { appendEnvelope, context, envelope } from '../../test/wire/samples.js'
import { sink, type MicroCase, type MicroSuite } from './micro-case.js'

const framesPerMessage = 16

/** A turn's message of 16 frames, as the transport makes them. */
function bothCases(name: string, writer: FrameWriter, encode: () => void, decode: (reader: FrameReader) => unknown): MicroCase[] {
  const reader = new FrameReader()
  const fill = (): void => {
    writer.reset()
    for (let i = 0; i < framesPerMessage; i++) encode()
  }
  fill()
  const message = copyBytes(writer.view())
  return [
    { name: `encode ${name}`, operations: framesPerMessage, run: fill },
    { name: `decode ${name}`, operations: framesPerMessage, run: () => {
      reader.reset(message)
      while (reader.next() === 'frame') sink.value = decode(reader)
    } },
  ]
}

function wireCases(): MicroCase[] {
  const key = new Uint8Array(20).fill(7)
  const value = new Uint8Array(256).fill(9)
  const get = { context, key }
  const put = { context, key, value, ttlSeconds: 0 }
  const heartbeat = [{ ...envelope, startKey: key, endKey: key }]
  const append1 = [appendEnvelope(1, 300)]
  const append16 = [appendEnvelope(16, 256)]
  const rows = Array.from({ length: 100 }, () => ({ key, value }))
  const w = new FrameWriter()
  const decoder = new FrameDecoder()
  const page = new Uint8Array(4_096).fill(3)
  return [
    ...bothCases('RawGet request', w, () => encodeRequest('RawGet', 77, get, w), reader => decoder.decodeRequest(reader)),
    ...bothCases('RawGet response', w, () => encodeResponse('RawGet', 77, ok({ value }), w), reader => decoder.decodeResponse('RawGet', reader)),
    ...bothCases('RawPut request', w, () => encodeRequest('RawPut', 77, put, w), reader => decoder.decodeRequest(reader)),
    ...bothCases('RawPut response', w, () => encodeResponse('RawPut', 77, ok({}), w), reader => decoder.decodeResponse('RawPut', reader)),
    ...bothCases('Raft heartbeat', w, () => encodeRaft(heartbeat, w), reader => decoder.decodeRaft(reader)),
    ...bothCases('Raft append 1 x 300 B', w, () => encodeRaft(append1, w), reader => decoder.decodeRaft(reader)),
    ...bothCases('Raft append 16 x 256 B', w, () => encodeRaft(append16, w), reader => decoder.decodeRaft(reader)),
    ...bothCases('RawScan response, 100 rows', w, () => encodeResponse('RawScan', 77, ok({ rows, more: false }), w),
      reader => decoder.decodeResponse('RawScan', reader)),
    { name: 'crc32c 20 B', operations: 1, run: () => { sink.value = crc32c(page, 0, 20) } },
    { name: 'crc32c 4 KiB', operations: 1, run: () => { sink.value = crc32c(page) } },
  ]
}

export const wire: MicroSuite = {
  name: 'wire', about: 'frames: encode, and decode with the verifier', cases: () => Promise.resolve({ cases: wireCases(), close: () => Promise.resolve() }),
}
