import t from 'tap'
import fc from 'fast-check'
import { boundaryMistake } from '../../src/common/boundary.js'
import { compareBytes, emptyBytes, equalBytes, toHex, utf8 } from '../../src/common/bytes.js'
import { decodeBytes, encodeBytes } from '../../src/common/memcomparable.js'
import {
  afterEngineKey, ceilWireKey, engineKeyOf, expiryAt, expiryOf, keyspaceBounds, keyspaceMax, keyspaceOf, liveValue, storedValue, ttlLeft,
  userKeyOf, wireKey, wireKeyOf, wireKeyOfText,
} from '../../src/rawkv/codec.js'
import { checkBatch, checkEntry, checkKey, checkRange, checkRows, checkTtl } from '../../src/rawkv/limits.js'

const bytes = fc.uint8Array({ maxLength: 40 })
const sign = (value: number): number => Math.sign(value)

t.test('a wire key is `r`, three bytes of keyspace, the user key', async t => {
  t.equal(toHex(wireKey(0, utf8('k'))), '720000006b')
  t.equal(toHex(wireKey(0x010203, utf8('k'))), '720102036b')
  t.equal(toHex(keyspaceBounds(0xff).end), '72000100')
  t.equal(toHex(keyspaceBounds(keyspaceMax).end), '73', 'the last keyspace ends where the next mode starts')
  t.throws(() => wireKey(keyspaceMax + 1, emptyBytes))
  t.equal(keyspaceOf(utf8('x123')), undefined)
})

t.test('text keys are their UTF-8', async t => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), text =>
    equalBytes(wireKeyOfText(7, text), wireKey(7, utf8(text)))))
  t.pass('in every alphabet')
})

t.test('laws of the key codec', async t => {
  fc.assert(fc.property(bytes, fc.nat({ max: keyspaceMax }), (key, keyspace) => {
    const wire = wireKey(keyspace, key)
    const engine = engineKeyOf(wire)
    return equalBytes(engine, encodeBytes(wire)) && equalBytes(wireKeyOf(engine), wire) &&
      equalBytes(decodeBytes(engine)!.plain, wire) && equalBytes(userKeyOf(wire), key) && keyspaceOf(wire) === keyspace
  }))
  t.pass('decode is the inverse of encode, and both are memcomparable')
  fc.assert(fc.property(bytes, bytes, (left, right) => {
    const [a, b] = [engineKeyOf(wireKey(1, left)), engineKeyOf(wireKey(1, right))]
    const after = afterEngineKey(a)
    return sign(compareBytes(a, b)) === sign(compareBytes(left, right)) &&
      compareBytes(a, after) < 0 && (compareBytes(b, a) <= 0 || compareBytes(b, after) > 0)
  }))
  t.pass('engine order is user order, and nothing lies between a key and just after it')
  fc.assert(fc.property(bytes, fc.nat({ max: keyspaceMax }), fc.nat({ max: keyspaceMax }), (key, one, other) => {
    const { start, end } = keyspaceBounds(one)
    const wire = wireKey(other, key)
    return (compareBytes(wire, start) >= 0 && compareBytes(wire, end) < 0) === (one === other)
  }))
  t.pass('a keyspace holds its own keys and no others')
  t.same(engineKeyOf(emptyBytes), emptyBytes, 'no bound stays no bound')
  t.throws(() => wireKeyOf(utf8('nonsense')), { code: 'corruption' })
})

t.test('stored values carry their expiry behind the value', async t => {
  t.equal(toHex(storedValue(utf8('v'), 0)), '7600')
  t.equal(toHex(storedValue(utf8('v'), 0x123456789)), '76000000012345678901')
  fc.assert(fc.property(bytes, fc.nat({ max: 2 ** 31 - 1 }), fc.nat(), (value, ttl, now) => {
    const expiry = expiryAt(now, ttl)
    const stored = storedValue(value, expiry)
    const isLiveAt = (ms: number): boolean => {
      const live = liveValue(stored, ms)
      return live !== undefined && equalBytes(live, value)
    }
    if (ttl === 0) return expiryOf(stored) === 0 && isLiveAt(Number.MAX_SAFE_INTEGER) && ttlLeft(stored, now) === 0
    const left = ttlLeft(stored, now)
    return expiryOf(stored) === expiry && isLiveAt(now + ttl * 1000 - 1) && !isLiveAt(now + ttl * 1000 + 1000) && left === ttl
  }))
  t.pass('alive for the whole TTL, gone a second later at most, and the TTL reads back')
  t.throws(() => liveValue(emptyBytes, 0), { code: 'corruption' })
  t.throws(() => liveValue(Uint8Array.of(1, 2, 9), 0), { code: 'corruption' })
  t.throws(() => liveValue(Uint8Array.of(1, 2, 1), 0), { code: 'corruption' })
})

t.test('limits have names', async t => {
  const long = (length: number): Uint8Array => wireKey(0, new Uint8Array(length).fill(1))
  t.equal(checkKey(long(8192)), undefined)
  t.same(checkKey(long(8193)), { kind: 'LimitExceeded', limit: 'keyBytesMax', actual: 8193, max: 8192 })
  t.match(checkKey(long(0)), { kind: 'InvalidArgument' })
  t.match(checkKey(utf8('tiny')), { kind: 'InvalidArgument' })
  t.equal(checkEntry(8 << 20), undefined)
  t.match(checkEntry((8 << 20) + 1), { limit: 'entryBytesMax' })
  t.match(checkBatch(0), { kind: 'InvalidArgument' })
  t.match(checkBatch(10_241), { limit: 'batchKeysMax' })
  t.match(checkRows(0), { kind: 'InvalidArgument' })
  t.match(checkRows(10_241), { limit: 'scanRowsMax' })
  for (const wrong of [-1, 0.5, NaN]) t.match(checkTtl(wrong), { kind: 'InvalidArgument' })
  t.match(checkTtl(2 ** 31), { limit: 'ttlSecondsMax' })
  t.equal(checkRange(wireKey(1, emptyBytes), emptyBytes), undefined)
  t.equal(checkRange(wireKey(1, emptyBytes), wireKey(2, emptyBytes)), undefined)
  t.match(checkRange(wireKey(1, emptyBytes), wireKey(2, utf8('a'))), { kind: 'InvalidArgument' })
  t.match(checkRange(emptyBytes, emptyBytes), { kind: 'InvalidArgument' })
})

t.test('any bytes may be a boundary: the first key behind it is found', async t => {
  const few = fc.oneof(fc.uint8Array({ maxLength: 30 }),
    fc.array(fc.constantFrom(0, 1, 0x66, 0xf7, 0xf8, 0xfe, 0xff), { maxLength: 30 }).map(all => Uint8Array.from(all)),
    fc.uint8Array({ maxLength: 20 }).map(encodeBytes))
  const keys = fc.array(fc.constantFrom(0, 1, 0x66, 0xff), { minLength: 1, maxLength: 24 }).map(all => Uint8Array.from(all))
  fc.assert(fc.property(few, keys, (boundary, key) => {
    const first = ceilWireKey(boundary)
    return compareBytes(encodeBytes(first), boundary) >= 0 && (compareBytes(encodeBytes(key), boundary) >= 0) === (compareBytes(key, first) >= 0)
  }), { numRuns: 20_000 })
  fc.assert(fc.property(bytes, key => equalBytes(ceilWireKey(encodeBytes(key)), key)))
  t.pass()
})

t.test('regions meet where a key can be', async t => {
  const at = (wire: number[]): string | undefined => boundaryMistake(encodeBytes(Uint8Array.from(wire)))
  for (const good of [[0x72, 0, 0, 0], [0x72, 255, 255, 255], [0x78, 0, 0, 1, 9], [0x72, 0, 0, 0, ...new Array<number>(8192).fill(255)]]) {
    t.equal(at(good), undefined)
  }
  for (const bad of [[], [0x72], [0x72, 255, 255], [0x73], [0x73, 0, 0, 0, 1], [0xff], [0x72, 0, 0, 0, ...new Array<number>(8193).fill(1)]]) {
    t.type(at(bad), 'string')
  }
  for (const bytes of [[], [0x72, 0, 0, 0, 0x61], [0x72, 0, 0, 0, 1, 0, 0, 0, 0xfb], [0x72, 0, 0, 0, 0, 0, 0, 0, 0xfb, 0]]) {
    t.type(boundaryMistake(Uint8Array.from(bytes)), 'string')
  }
})
