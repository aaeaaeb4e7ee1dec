import { FrameWriter } from '../src/wire/frame-writer.js'
import { copyBytes, utf8 } from '../src/common/bytes.js'
import { encodeHello, encodeRequest } from '../src/wire/codec.js'
import { keyspaceEnd, wireKeyOfText } from '../src/rawkv/codec.js'
import { protocolVersion, type Requests, type RpcName, type RequestContext } from '../src/wire/messages.js'
import { BenchError } from './figures.js'
import type { NativeTemplate } from './native-load.js'
import { bytesField, frame, message, numberField } from './protobuf.js'
import { keyDeltas, keyDigits, keyOf, type RequestKind, type RequestMix, type WorkloadSettings } from './workloads.js'

/** Numbers of the sample keys, far from any record: their digits occur nowhere else in a request. */
const sampleKey = (at: number): string => keyOf(9_000_000_000_000_000 + at)
const digitsOf = (key: string): string => key.slice(-keyDigits)

export const stampBytes = 8
/** First bytes of every value that one run writes: a reader sees whose value it is. */
export const stampOf = (run: number): string => `r${String(run).padStart(stampBytes - 1, '0')}`

export interface RequestSettings extends WorkloadSettings {
  readonly valueBytes: number
  readonly stamp: string
}

/** Every place of `text` in a request. */
export function locateAll(request: Uint8Array, text: string): number[] {
  const buffer = Buffer.from(request.buffer, request.byteOffset, request.byteLength)
  const places: number[] = []
  for (let at = buffer.indexOf(text, 0, 'latin1'); at >= 0; at = buffer.indexOf(text, at + text.length, 'latin1')) places.push(at)
  return places
}

/** Finds the place of a key's digits: they must stand there exactly once. */
export function locateDigits(request: Uint8Array, key: string): number {
  const places = locateAll(request, digitsOf(key))
  if (places.length !== 1) throw new BenchError(`the digits of key ${key} are ${places.length} times in the request, not once`)
  return places[0] as number
}

function templateOf(kind: RequestKind, share: number, bytes: Uint8Array, settings: RequestSettings, answerMin: number): NativeTemplate {
  const deltas = keyDeltas(kind, settings)
  const isWrite = kind === 'put' || kind === 'batchPut'
  const stamps = locateAll(bytes, settings.stamp)
  if (isWrite && stamps.length !== deltas.length) throw new BenchError(`${stamps.length} values in a ${kind} of ${deltas.length}`)
  const keys = deltas.map((delta, at) => ({ at: locateDigits(bytes, sampleKey(at)), delta }))
  // etcd's scan names its end as a second key.
  const endKey = sampleKey(deltas.length)
  if (locateAll(bytes, digitsOf(endKey)).length > 0) keys.push({ at: locateDigits(bytes, endKey), delta: settings.scanRows })
  return {
    share, answerMin, bytes, digits: keyDigits, keys,
    values: { bytes: isWrite ? settings.valueBytes - stampBytes : 0, at: isWrite ? stamps.map(at => at + stampBytes) : [] },
  }
}

const sampleValue = ({ valueBytes, stamp }: RequestSettings): Uint8Array => Buffer.alloc(valueBytes, 'v').fill(stamp, 0, stampBytes, 'latin1')

/** How many bytes of values an answer of this kind carries when all keys are there. */
function valuesIn(kind: RequestKind, settings: RequestSettings): number {
  switch (kind) {
    case 'get': return settings.valueBytes
    case 'batchGet': return settings.valueBytes * settings.batchKeys
    case 'scan': return settings.valueBytes * settings.scanRows
    case 'put': case 'batchPut': return 0
  }
}

// ---- karst

/** Frames as our own client would send them, id 1. */
export function karstTemplates(mix: RequestMix, settings: RequestSettings, to: {
  readonly context: RequestContext; readonly keyspace: number
}): NativeTemplate[] {
  return mix.parts.map(({ kind, share }) => {
    const [name, request] = karstRequest(kind, settings, to)
    const bytes = encode(name, request)
    return templateOf(kind, share, bytes, settings, valuesIn(kind, settings) + stampBytes)
  })
}

type NamedRequest = { [N in RpcName]: [name: N, request: Requests[N]] }[RpcName]

function karstRequest(kind: RequestKind, settings: RequestSettings, to: { readonly context: RequestContext; readonly keyspace: number }):
NamedRequest {
  const { context, keyspace } = to
  const key = (at: number): Uint8Array => wireKeyOfText(keyspace, sampleKey(at))
  const count = settings.batchKeys
  switch (kind) {
    case 'get': return ['RawGet', { context, key: key(0) }]
    case 'put': return ['RawPut', { context, key: key(0), value: sampleValue(settings), ttlSeconds: 0 }]
    case 'batchGet': return ['RawBatchGet', { context, keys: Array.from({ length: count }, (_, at) => key(at)), prefixWelcome: false }]
    case 'batchPut': return ['RawBatchPut', { context,
      pairs: Array.from({ length: count }, (_, at) => ({ key: key(at), value: sampleValue(settings), ttlSeconds: 0 })) }]
    case 'scan': return ['RawScan', { context, start: key(0), end: keyspaceEnd(keyspace), rowsMax: settings.scanRows, keysOnly: false,
      reverse: false }]
  }
}

function encode(name: RpcName, request: Requests[RpcName]): Uint8Array {
  const writer = new FrameWriter()
  const limit = encodeRequest(name, 1, request, writer)
  if (limit) throw new BenchError(`a ${name} of ${limit.actual} is above ${limit.limit} (${limit.max})`)
  return copyBytes(writer.view())
}

export function helloFrame(clusterId: bigint): Uint8Array {
  const writer = new FrameWriter()
  encodeHello({ protocolVersion, clusterId, role: 'client', nodeId: 0 }, writer)
  return copyBytes(writer.view())
}

// ---- etcd

const grpcPrefixBytes = 5

/** gRPC messages of etcdserverpb.KV; field numbers are those of etcd's rpc.proto. */
export function etcdTemplates(mix: RequestMix, settings: RequestSettings): NativeTemplate[] {
  return mix.parts.map(({ kind, share }) => ({
    ...templateOf(kind, share, frame(etcdRequest(kind, settings)), settings, valuesIn(kind, settings) + grpcPrefixBytes),
    path: `/etcdserverpb.KV/${kind === 'put' ? 'Put' : kind === 'batchPut' || kind === 'batchGet' ? 'Txn' : 'Range'}`,
  }))
}

export const etcdPut = (key: Uint8Array, value: Uint8Array): Uint8Array => message(bytesField(1, key), bytesField(2, value))
export const etcdRange = (key: Uint8Array): Uint8Array => message(bytesField(1, key))
/** Without a compare every operation of `success` is carried out. RequestOp: 1 range, 2 put. */
const etcdTxn = (field: 1 | 2, requests: readonly Uint8Array[]): Uint8Array =>
  message(...requests.map(request => bytesField(2, message(bytesField(field, request)))))

function etcdRequest(kind: RequestKind, settings: RequestSettings): Uint8Array {
  const key = (at: number): Uint8Array => utf8(sampleKey(at))
  const many = (one: (at: number) => Uint8Array): Uint8Array[] => Array.from({ length: settings.batchKeys }, (_, at) => one(at))
  switch (kind) {
    case 'get': return etcdRange(key(0))
    case 'put': return etcdPut(key(0), sampleValue(settings))
    case 'batchGet': return etcdTxn(1, many(at => etcdRange(key(at))))
    case 'batchPut': return etcdTxn(2, many(at => etcdPut(key(at), sampleValue(settings))))
    // With an open end etcd 3.4 looks up the revision of every key behind the start, whatever the limit.
    case 'scan': return message(bytesField(1, key(0)), bytesField(2, key(1)), numberField(3, settings.scanRows))
  }
}
