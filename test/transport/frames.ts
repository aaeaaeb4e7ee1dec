import { copyBytes } from '../../src/common/bytes.js'
import { FrameDecoder, encodeCancel, encodeHello, encodeRaft, encodeRequest, rpcNameOf } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { FrameKind } from '../../src/wire/messages.js'
import type { Hello, RaftEnvelope, Requests, RpcName } from '../../src/wire/messages.js'

function made(write: (w: FrameWriter) => void): Uint8Array {
  const w = new FrameWriter()
  write(w)
  return copyBytes(w.view())
}

export const helloFrame = (hello: Hello): Uint8Array => made(w => encodeHello(hello, w))
export const requestFrame = <N extends RpcName>(name: N, id: number, request: Requests[N]): Uint8Array =>
  made(w => { encodeRequest(name, id, request, w) })
export const cancelFrame = (id: number): Uint8Array => made(w => encodeCancel(id, w))
export const raftFrame = (envelopes: readonly RaftEnvelope[]): Uint8Array => made(w => { encodeRaft(envelopes, w) })
/** A frame with a body of no meaning. */
export const emptyFrame = (kind: number, id: number): Uint8Array => made(w => {
  encodeCancel(id, w)
  w.reset()
  w.beginFrame(kind, id)
  w.endFrame(0)
})

export function join(...parts: readonly Uint8Array[]): Uint8Array { return new Uint8Array(Buffer.concat(parts)) }

/** The frames of a message in words: `Hello`, `RawGet 3`, `RawGet 3 →` for a response. */
export function describe(message: Uint8Array): string[] {
  const reader = new FrameReader()
  const decoder = new FrameDecoder()
  reader.reset(message)
  const words: string[] = []
  while (reader.next() === 'frame') {
    const { kind, requestId } = reader
    const name = rpcNameOf(kind)
    if (name !== undefined) words.push(`${name} ${requestId}${kind >= 0x80 ? ' →' : ''}`)
    else if (kind === FrameKind.Hello) words.push('Hello')
    else if (kind === FrameKind.Cancel) words.push(`Cancel ${requestId}`)
    else if (kind === FrameKind.Raft) {
      const envelopes = decoder.decodeRaft(reader)
      words.push(`Raft x${envelopes.ok ? envelopes.value.length : 'damaged'}`)
    } else if (kind === FrameKind.ProtocolError) {
      const said = decoder.decodeProtocolError(reader)
      words.push(`ProtocolError: ${said.ok ? said.value.reason : 'damaged'}`)
    } else words.push(`kind ${kind} ${requestId}`)
  }
  if (reader.error !== undefined) words.push(reader.error.kind)
  return words
}
