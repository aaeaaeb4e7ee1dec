import { err, ok } from '../common/result.js'
import type { ServerError } from '../common/errors.js'
import type { Result } from '../common/result.js'
import { BodyDamage, BodyReader } from './body-reader.js'
import type { FrameError, FrameReader } from './frame.js'
import { ListTooLong } from './frame-writer.js'
import type { FrameWriter, LimitExceeded } from './frame-writer.js'
import {
  readHello, readProof, readProtocolError, readRaftBatch, readServerError, rpcCodecs,
  writeCancel, writeErrorResponse, writeHello, writeProof, writeProtocolError, writeRaftBatch,
} from './generated/codec.js'
import type { RpcCodec } from './generated/codec.js'
import { cancelLayout, helloLayout, proofLayout, protocolErrorLayout, raftBatchLayout } from './generated/layouts.js'
import type { Layout } from './layout.js'
import { FrameKind, responseBit } from './messages.js'
import type { Hello, RaftEnvelope, Requests, RpcName, RpcResult } from './messages.js'
import { Verifier } from './verifier.js'

/** A request of any kind, as a server meets it. */
export type AnyRequest = { readonly [N in RpcName]: { readonly name: N; readonly request: Requests[N] } }[RpcName]

const names: (RpcName | undefined)[] = []
for (const codec of Object.values(rpcCodecs)) names[codec.kind] = codec.name
const codecs: (RpcCodec<RpcName> | undefined)[] = []
for (const codec of Object.values(rpcCodecs)) codecs[codec.kind] = codec as unknown as RpcCodec<RpcName>

/** @param kind of a request or response frame */
export const rpcNameOf = (kind: number): RpcName | undefined => names[kind & ~responseBit]

// ---- encode: every function appends one frame, or nothing and says which limit is in the way

function finish(w: FrameWriter, write: () => number): LimitExceeded | undefined {
  try {
    return w.endFrame(write())
  } catch (error) {
    w.dropFrame()
    if (error instanceof ListTooLong) return { kind: 'LimitExceeded', limit: error.limit, actual: error.actual, max: error.max }
    throw error
  }
}

export function encodeRequest<N extends RpcName>(
  name: N, requestId: number, request: Requests[N], w: FrameWriter,
): LimitExceeded | undefined {
  const codec = rpcCodecs[name]
  w.beginFrame(codec.kind, requestId)
  return finish(w, () => codec.writeRequest(w, request))
}

/** A result that does not fit is not sent: the caller answers with the error that comes back. */
export function encodeResponse<N extends RpcName>(
  name: N, requestId: number, result: RpcResult<N>, w: FrameWriter,
): LimitExceeded | undefined {
  const codec = rpcCodecs[name]
  w.beginFrame(codec.kind | responseBit, requestId)
  return finish(w, () => result.ok ? codec.writeResponse(w, result.value) : writeErrorResponse(w, result.error))
}

/** Answers a request whose kind has no codec here. */
export function encodeErrorOfKind(kind: number, requestId: number, error: ServerError, w: FrameWriter): void {
  w.beginFrame(kind | responseBit, requestId)
  finish(w, () => writeErrorResponse(w, error))
}

export function encodeRaft(envelopes: readonly RaftEnvelope[], w: FrameWriter): LimitExceeded | undefined {
  w.beginFrame(FrameKind.Raft, 0)
  return finish(w, () => writeRaftBatch(w, { envelopes }))
}

export function encodeHello(hello: Hello, w: FrameWriter): void {
  w.beginFrame(FrameKind.Hello, 0)
  finish(w, () => writeHello(w, hello))
}

export function encodeProof(proof: Uint8Array, w: FrameWriter): void {
  w.beginFrame(FrameKind.Proof, 0)
  finish(w, () => writeProof(w, { proof }))
}

export function encodeProtocolError(reason: string, w: FrameWriter): void {
  w.beginFrame(FrameKind.ProtocolError, 0)
  finish(w, () => writeProtocolError(w, { reason }))
}

export function encodeCancel(requestId: number, w: FrameWriter): void {
  w.beginFrame(FrameKind.Cancel, requestId)
  finish(w, () => writeCancel(w, {}))
}

// ---- decode

/** Verifies and reads the current frame of a FrameReader. One per connection or shared; it keeps nothing. */
export class FrameDecoder {
  readonly #verifier = new Verifier()
  readonly #reader = new BodyReader()

  decodeRequest(frame: FrameReader): Result<AnyRequest, FrameError> {
    const codec = codecs[frame.kind]
    if (codec === undefined) return err({ kind: 'UnknownKind', frameKind: frame.kind })
    const read = this.#body(frame, codec.requestLayout, codec.readRequest)
    return read.ok ? ok({ name: codec.name, request: read.value } as AnyRequest) : read
  }

  /** @param name what the request of this id was; a response of another kind is UnknownKind */
  decodeResponse<N extends RpcName>(name: N, frame: FrameReader): Result<RpcResult<N>, FrameError> {
    const codec = rpcCodecs[name]
    if (frame.kind !== (codec.kind | responseBit)) return err({ kind: 'UnknownKind', frameKind: frame.kind })
    return this.#body(frame, codec.responseLayout, (reader, root): RpcResult<N> => {
      const error = reader.target(root, reader.vtable(root), 4)
      return error === 0 ? ok(codec.readResponse(reader, root)) : err(readServerError(reader, error))
    })
  }

  decodeRaft(frame: FrameReader): Result<readonly RaftEnvelope[], FrameError> {
    const batch = this.#body(frame, raftBatchLayout, readRaftBatch)
    return batch.ok ? ok(batch.value.envelopes) : batch
  }

  decodeHello(frame: FrameReader): Result<Hello, FrameError> { return this.#body(frame, helloLayout, readHello) }

  decodeProof(frame: FrameReader): Result<{ readonly proof: Uint8Array }, FrameError> {
    return this.#body(frame, proofLayout, readProof)
  }

  decodeProtocolError(frame: FrameReader): Result<{ readonly reason: string }, FrameError> {
    return this.#body(frame, protocolErrorLayout, readProtocolError)
  }

  decodeCancel(frame: FrameReader): Result<object, FrameError> { return this.#body(frame, cancelLayout, () => ({})) }

  #body<T>(frame: FrameReader, layout: Layout, read: (reader: BodyReader, root: number) => T): Result<T, FrameError> {
    const root = this.#verifier.verify(frame.view, frame.bodyStart, frame.bodyEnd, layout)
    if (typeof root === 'string') return err({ kind: 'BadBody', path: root })
    this.#reader.reset(frame.bytes, frame.view)
    try {
      return ok(read(this.#reader, root))
    } catch (error) {
      if (!(error instanceof BodyDamage)) throw error
      return err({ kind: 'BadBody', path: `${layout.name}: ${error.path}` })
    }
  }
}
