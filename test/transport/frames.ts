import { randomBytes } from 'node:crypto'
import { copyBytes } from '../../src/common/bytes.js'
import type { Random } from '../../src/common/env.js'
import { DiallerHandshake } from '../../src/transport/handshake.js'
import { FrameDecoder, encodeCancel, encodeHello, encodeProof, encodeRaft, encodeRequest, rpcNameOf } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { FrameKind } from '../../src/wire/messages.js'
import type { Hello, RaftEnvelope, Requests, RpcName } from '../../src/wire/messages.js'
import { secret } from './real.js'

function made(write: (w: FrameWriter) => void): Uint8Array {
  const w = new FrameWriter()
  write(w)
  return copyBytes(w.view())
}

/** Greets like a node, or like a client, and answers the server's challenge. */
export class Greeting {
  readonly frame: Uint8Array
  readonly #handshake: DiallerHandshake

  constructor(as: Hello, key = secret) {
    this.#handshake = new DiallerHandshake(dice, () => as, key)
    this.frame = helloFrame(this.#handshake.greeting)
  }

  /** @returns the frame that is owed when the message has the server's Hello, empty for a client */
  answerTo(message: Uint8Array): Uint8Array | undefined {
    const reader = new FrameReader()
    reader.reset(copyBytes(message))
    if (reader.next() !== 'frame' || reader.kind !== FrameKind.Hello) return undefined
    const theirs = new FrameDecoder().decodeHello(reader)
    const outcome = theirs.ok && this.#handshake.onHello(theirs.value)
    if (outcome === false || 'reason' in outcome) throw new Error(`a bad Hello: ${JSON.stringify(outcome)}`)
    const { proof } = outcome
    return proof === undefined ? new Uint8Array(0) : proofFrame(proof)
  }
}

const dice: Random = { float: Math.random, below: bound => Math.floor(Math.random() * bound), bytes: count => new Uint8Array(randomBytes(count)) }

export const proofFrame = (proof: Uint8Array): Uint8Array => made(w => encodeProof(proof, w))
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
