import t from 'tap'
import { peerId, regionId } from '../../src/common/ids.js'
import { wireKeyOfText } from '../../src/rawkv/codec.js'
import { FrameDecoder } from '../../src/wire/codec.js'
import { FrameReader } from '../../src/wire/frame.js'
import { BenchError } from '../../bench/figures.js'
import type { NativeTemplate } from '../../bench/native-load.js'
import { etcdTemplates, karstTemplates, locateDigits, stampOf, type RequestSettings } from '../../bench/templates.js'
import { findWorkload, keyOf, type RequestMix } from '../../bench/workloads.js'

const settings: RequestSettings = { records: 5_000, theta: 0.99, seed: 1, batchKeys: 100, scanRows: 50, valueBytes: 64, stamp: stampOf(3) }
const keyspace = 1_000
const context = { regionId: regionId(7), epoch: { confVer: 1, version: 2 }, peerId: peerId(9), timeoutMs: 500 }
const mixOf = (name: string): RequestMix => findWorkload(name)!.mix!

/** What the native client does with a template. */
function fill(template: NativeTemplate, number: number): Uint8Array {
  const bytes = Buffer.from(template.bytes)
  for (const { at, delta } of template.keys) bytes.write(String((number + delta) % settings.records).padStart(template.digits, '0'), at, 'latin1')
  for (const at of template.values.at) bytes.fill('X', at, at + template.values.bytes)
  return bytes
}

function decode(frame: Uint8Array): { name: string; request: Record<string, unknown> } {
  const reader = new FrameReader()
  reader.reset(frame)
  t.equal(reader.next(), 'frame', 'one whole frame')
  t.equal(reader.bodyEnd, frame.length)
  const result = new FrameDecoder().decodeRequest(reader)
  if (!result.ok) throw new Error(JSON.stringify(result.error))
  return result.value as unknown as { name: string; request: Record<string, unknown> }
}

const text = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString('latin1')

t.test('a put frame stays a put when key and value change', async t => {
  const [template] = karstTemplates(mixOf('put'), settings, { context, keyspace })
  const { name, request } = decode(fill(template!, 42))
  t.equal(name, 'RawPut')
  t.equal(text(request['key']), text(wireKeyOfText(keyspace, keyOf(42))))
  t.equal(text(request['value']), `${settings.stamp}${'X'.repeat(56)}`)
  t.same(request['context'], context)
})

t.test('gets, batches and scans keep every key in its place', async t => {
  const to = { context, keyspace }
  const get = decode(fill(karstTemplates(mixOf('get'), settings, to)[0]!, 4_999))
  t.same([get.name, text(get.request['key'])], ['RawGet', text(wireKeyOfText(keyspace, keyOf(4_999)))])
  const batch = decode(fill(karstTemplates(mixOf('batch-put'), settings, to)[0]!, 4_990))
  const pairs = batch.request['pairs'] as { key: Uint8Array; value: Uint8Array }[]
  t.equal(pairs.length, 100)
  t.equal(new Set(pairs.map(pair => text(pair.key))).size, 100)
  t.equal(text(pairs[1]!.key), text(wireKeyOfText(keyspace, keyOf(40))), '4990 + 50 wraps around')
  t.ok(pairs.every(pair => text(pair.value).startsWith(`${settings.stamp}XXX`)))
  t.equal((decode(fill(karstTemplates(mixOf('batch-get'), settings, to)[0]!, 1)).request['keys'] as unknown[]).length, 100)
  const scan = decode(fill(karstTemplates(mixOf('scan'), settings, to)[0]!, 17))
  t.same([scan.name, scan.request['rowsMax'], text(scan.request['start'])], ['RawScan', 50, text(wireKeyOfText(keyspace, keyOf(17)))])
})

t.test('mixes bring one template a kind, with its share and the size of a full answer', async t => {
  const templates = karstTemplates(mixOf('ycsb-b'), settings, { context, keyspace })
  t.same(templates.map(one => one.share), [0.95, 0.05])
  t.ok(templates[0]!.answerMin > settings.valueBytes, 'a get without a value is a failure')
  t.ok(templates[1]!.answerMin < settings.valueBytes)
})

t.test('etcd requests: gRPC prefix, fields, method', async t => {
  const [put] = etcdTemplates(mixOf('put'), settings)
  const filled = Buffer.from(fill(put!, 42))
  t.equal(filled.readUInt32BE(1), filled.length - 5)
  t.equal(filled[5], 0x0a, 'field 1: key')
  t.equal(filled.toString('latin1', 7, 27), keyOf(42))
  t.equal(filled[27], 0x12, 'field 2: value')
  t.equal(filled.toString('latin1', 29), `${settings.stamp}${'X'.repeat(56)}`)
  t.equal(put!.path, '/etcdserverpb.KV/Put')
  const [scan] = etcdTemplates(mixOf('scan'), settings)
  t.match(Buffer.from(fill(scan!, 10)).toString('latin1'), new RegExp(`${keyOf(10)}.*${keyOf(60)}`, 's'), 'from the key to 50 further')
  t.equal(scan!.path, '/etcdserverpb.KV/Range')
  t.equal(etcdTemplates(mixOf('batch-put'), settings)[0]!.path, '/etcdserverpb.KV/Txn')
  t.equal(etcdTemplates(mixOf('batch-put'), settings)[0]!.keys.length, 100)
})

t.test('digits that are not there exactly once are refused', async t => {
  const key = keyOf(12)
  t.equal(locateDigits(Buffer.from(`ab${key}cd`), key), 6)
  t.throws(() => locateDigits(Buffer.from('nothing'), key), BenchError)
  t.throws(() => locateDigits(Buffer.from(key + key), key), BenchError)
})
