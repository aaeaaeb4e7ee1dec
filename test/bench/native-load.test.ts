// The native clients against servers that look at every request: what they send is right, what they count is true.
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2'
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'
import { peerId, regionId } from '../../src/common/ids.js'
import type { RegionError } from '../../src/common/errors.js'
import { err, ok } from '../../src/common/result.js'
import { wireKeyOfText } from '../../src/rawkv/codec.js'
import { FrameDecoder, encodeHello, encodeResponse, type AnyRequest } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { FrameWriter } from '../../src/wire/frame-writer.js'
import { FrameKind, protocolVersion } from '../../src/wire/messages.js'
import { BenchError } from '../../bench/figures.js'
import { runNative, type NativePlan } from '../../bench/native-load.js'
import { etcdTemplates, helloFrame, karstTemplates, stampOf, type RequestSettings } from '../../bench/templates.js'
import { findWorkload, keyOf, type RequestMix } from '../../bench/workloads.js'

const settings: RequestSettings = { records: 2_000, theta: 0.99, seed: 1, batchKeys: 10, scanRows: 50, valueBytes: 64, stamp: stampOf(1) }
const keyspace = 5
const context = { regionId: regionId(7), epoch: { confVer: 1, version: 2 }, peerId: peerId(9), timeoutMs: 500 }
const mixOf = (name: string): RequestMix => findWorkload(name)!.mix!

interface Faults {
  /** Every so many-th request is refused. */
  readonly refuseEvery?: number
  readonly missingEvery?: number
  readonly stall?: { readonly fromMs: number; readonly toMs: number }
}

class FakeKarst {
  readonly requests: AnyRequest[] = []
  hellos = 0
  connections = 0
  readonly #server: WebSocketServer
  readonly #started = performance.now()

  constructor(server: WebSocketServer, readonly faults: Faults) {
    this.#server = server
    server.on('connection', socket => { this.#accept(socket) })
  }

  static async listen(faults: Faults = {}): Promise<FakeKarst> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
    await new Promise(resolve => server.once('listening', resolve))
    return new FakeKarst(server, faults)
  }

  get address(): string { return `127.0.0.1:${(this.#server.address() as AddressInfo).port}` }
  close(): void {
    for (const socket of this.#server.clients) socket.terminate()
    this.#server.close()
  }

  #accept(socket: WebSocket): void {
    this.connections++
    const reader = new FrameReader()
    const writer = new FrameWriter()
    encodeHello({ protocolVersion, clusterId: 1n, role: 'store', nodeId: 1 }, writer)
    socket.send(writer.view())
    socket.on('message', (data: Buffer) => {
      reader.reset(new Uint8Array(data))
      writer.reset()
      let state = reader.next()
      for (; state === 'frame'; state = reader.next()) this.#take(reader, writer)
      if (state === 'damaged') throw new Error(JSON.stringify(reader.error))
      if (writer.length > 0) this.#send(socket, Buffer.from(writer.view()))
    })
  }

  #send(socket: WebSocket, answer: Buffer): void {
    const age = performance.now() - this.#started
    const { stall } = this.faults
    if (stall && age >= stall.fromMs && age < stall.toMs) setTimeout(() => socket.send(answer), stall.toMs - age)
    else socket.send(answer)
  }

  #take(reader: FrameReader, writer: FrameWriter): void {
    if (reader.kind === FrameKind.Hello) {
      this.hellos++
      return
    }
    const decoded = new FrameDecoder().decodeRequest(reader)
    if (!decoded.ok) throw new Error(JSON.stringify(decoded.error))
    const count = this.requests.push(decoded.value)
    const busy: RegionError = { kind: 'ServerIsBusy', reason: 'test', backoffMs: 1 }
    const isRefused = count % (this.faults.refuseEvery ?? Infinity) === 0
    const isMissing = count % (this.faults.missingEvery ?? Infinity) === 0
    const { name } = decoded.value
    if (name === 'RawPut') encodeResponse('RawPut', reader.requestId, isRefused ? err(busy) : ok({}), writer)
    else if (name === 'RawBatchPut') encodeResponse('RawBatchPut', reader.requestId, ok({}), writer)
    else encodeResponse('RawGet', reader.requestId, isRefused ? err(busy) : ok({ value: isMissing ? undefined : new Uint8Array(64) }), writer)
  }
}

function karstPlan(address: string, work: string, more: Partial<NativePlan> = {}): NativePlan {
  const mix = mixOf(work)
  return {
    program: 'karst', address, connections: 4, window: 8, seconds: 0.4, rate: 0, keys: mix.keys(settings), records: settings.records,
    theta: mix.isZipf ? settings.theta : 0, seed: 3, hello: helloFrame(1n), templates: karstTemplates(mix, settings, { context, keyspace }), ...more,
  }
}

t.test('karst: puts arrive whole, with keys and values that differ', async t => {
  const server = await FakeKarst.listen()
  const figures = await runNative(karstPlan(server.address, 'put'))
  server.close()
  t.equal(server.connections, 4)
  t.equal(server.hellos, 4)
  t.equal(figures.failed, 0)
  t.equal(figures.operations, server.requests.length, 'what the server saw is what the client counts')
  const keys = new Set<string>()
  const values = new Set<string>()
  for (const one of server.requests) {
    if (one.name !== 'RawPut') throw new Error(one.name)
    keys.add(Buffer.from(one.request.key).toString('latin1'))
    values.add(Buffer.from(one.request.value).toString('latin1'))
  }
  const prefix = Buffer.from(wireKeyOfText(keyspace, '')).toString('latin1')
  const known = new Set(Array.from({ length: settings.records }, (_, at) => `${prefix}${keyOf(at)}`))
  t.ok([...keys].every(key => known.has(key)))
  t.ok(keys.size > 50)
  t.ok([...values].every(value => value.startsWith(settings.stamp) && value.length === 64))
  t.ok(values.size > server.requests.length / 2, 'values do not repeat')
})

t.test('karst: error responses and missing values are failures, the kind is told', async t => {
  const server = await FakeKarst.listen({ refuseEvery: 10, missingEvery: 7 })
  const figures = await runNative(karstPlan(server.address, 'get'))
  server.close()
  const count = server.requests.length
  const expected = Array.from({ length: count }, (_, at) => at + 1).filter(at => at % 10 === 0 || at % 7 === 0).length
  t.equal(figures.failed, expected)
  t.equal(figures.operations, count - expected)
  t.match(figures.firstError, /an answer of \d+ bytes/)
  const refusing = await FakeKarst.listen({ refuseEvery: 1 })
  const none = await runNative(karstPlan(refusing.address, 'put', { seconds: 0.2 }))
  refusing.close()
  t.equal(none.operations, 0)
  t.equal(none.firstError, 'ErrorKind 5', 'ServerIsBusy')
})

t.test('karst: a mix has its shares, a batch its keys, zipf its hot key', async t => {
  const server = await FakeKarst.listen()
  await runNative(karstPlan(server.address, 'ycsb-a'))
  await runNative(karstPlan(server.address, 'batch-put', { seconds: 0.2 }))
  server.close()
  const mixed = server.requests.filter(one => one.name !== 'RawBatchPut')
  const share = mixed.filter(one => one.name === 'RawPut').length / mixed.length
  t.ok(Math.abs(share - 0.5) < 0.1, `puts ${share}`)
  const counts = new Map<string, number>()
  for (const one of mixed) if ('key' in one.request) {
    const key = Buffer.from(one.request.key as Uint8Array).toString('latin1')
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const hottest = Math.max(...counts.values()) / mixed.length
  t.ok(hottest > 0.07 && hottest < 0.2, `the hottest key has ${hottest}; by the law 0.122`)
  const batches = server.requests.flatMap(one => one.name === 'RawBatchPut' ? [one.request] : [])
  t.ok(batches.length > 0)
  t.ok(batches.every(({ pairs }) => new Set(pairs.map(pair => Buffer.from(pair.key).toString('latin1'))).size === 10))
})

t.test('karst: open loop keeps its rate and shows a stall', async t => {
  const server = await FakeKarst.listen({ stall: { fromMs: 400, toMs: 900 } })
  const figures = await runNative(karstPlan(server.address, 'get', { rate: 1_000, seconds: 1.5, connections: 1, window: 8 }))
  server.close()
  t.equal(server.requests.length, 1_500)
  t.equal(figures.operations, 1_500)
  t.ok(figures.p99 > 300, `p99 ${figures.p99}`)
})

t.test('karst: a server that closes or speaks something else ends the run with a reason', async t => {
  const closing = createServer(socket => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') })
  await new Promise<void>(resolve => closing.listen(0, '127.0.0.1', resolve))
  await t.rejects(runNative(karstPlan(`127.0.0.1:${(closing.address() as AddressInfo).port}`, 'get')), { name: 'BenchError', message: /WebSocket/ })
  closing.close()
  const stop = new AbortController()
  const server = await FakeKarst.listen()
  const running = runNative(karstPlan(server.address, 'get', { seconds: 30 }), stop.signal)
  setTimeout(() => stop.abort(), 200)
  await t.rejects(running, BenchError)
  server.close()
})

t.test('etcd: requests over HTTP/2 as gRPC wants them; an answer without a message is a failure', async t => {
  const seen: { path: string; body: Buffer }[] = []
  const server = createHttp2()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const body = Buffer.concat(chunks)
      const count = seen.push({ path: String(headers[':path']), body })
      if (headers['content-type'] !== 'application/grpc' || headers[':method'] !== 'POST' || headers['te'] !== 'trailers') seen.length = 0
      if (count % 5 === 0) return stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' }, { endStream: true })
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.alloc(5))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const figures = await runNative({
    program: 'etcd', address, connections: 2, window: 16, seconds: 0.5, rate: 0, keys: settings.records, records: settings.records, theta: 0, seed: 1,
    templates: etcdTemplates(mixOf('put'), settings),
  })
  server.close()
  t.equal(figures.operations + figures.failed, seen.length)
  t.equal(figures.failed, Math.floor(seen.length / 5))
  t.equal(figures.firstError, 'a gRPC status without a message')
  t.ok(seen.every(one => one.path === '/etcdserverpb.KV/Put' && one.body.readUInt32BE(1) === one.body.length - 5))
  t.ok(new Set(seen.map(one => one.body.toString('latin1', 7, 27))).size > 50)
})
