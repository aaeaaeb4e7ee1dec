import t from 'tap'
import fc from 'fast-check'
import { equalBytes, fromUtf8, utf8 } from '../../src/common/bytes.js'
import { liveValue, storedValue } from '../../src/rawkv/codec.js'
import {
  casOperandLength, decodeCasResult, putTtlOperandLength, rawEvaluator, writeCasOperand, writePutTtlOperand,
} from '../../src/rawkv/evaluator.js'
import type { CasOperand } from '../../src/rawkv/evaluator.js'
import { ApplyOp } from '../../src/store/api.js'

const key = utf8('k')

function cas(operand: CasOperand, stored: Uint8Array | undefined, nowMs = 5000) {
  const bytes = new Uint8Array(casOperandLength(operand))
  t.equal(writeCasOperand(bytes, 0, operand), bytes.length)
  const outcome = rawEvaluator.evaluate(ApplyOp.CompareAndSwap, key, bytes, stored, nowMs)
  return { ...decodeCasResult(outcome.result), effect: outcome.effect, bytes: outcome.bytes }
}

const text = (bytes: Uint8Array | undefined): string | undefined => bytes && fromUtf8(bytes)
const stored = (value: string, expirySeconds = 0): Uint8Array => storedValue(utf8(value), expirySeconds)

t.test('compare and swap against every kind of present', async t => {
  const swap = { expected: utf8('old'), value: utf8('new'), ttlSeconds: 0 }
  const create = { expected: undefined, value: utf8('new'), ttlSeconds: 0 }
  const remove = { expected: utf8('old'), value: undefined, ttlSeconds: 0 }
  t.match(cas(swap, stored('old')), { swapped: true, effect: 'put', bytes: stored('new'), previous: utf8('old') })
  t.match(cas(swap, stored('other')), { swapped: false, effect: 'keep', previous: utf8('other') })
  t.match(cas(swap, undefined), { swapped: false, effect: 'keep', previous: undefined })
  t.match(cas(create, undefined), { swapped: true, effect: 'put', previous: undefined })
  t.match(cas(create, stored('')), { swapped: false, effect: 'keep', previous: utf8('') }, 'empty is not absent')
  t.match(cas({ ...swap, expected: utf8('') }, stored('')), { swapped: true, effect: 'put' })
  t.match(cas(remove, stored('old')), { swapped: true, effect: 'delete', previous: utf8('old') })
  t.match(cas(remove, stored('other')), { swapped: false, effect: 'keep' })
})

t.test('an expired value counts as absent, in log time', async t => {
  const create = { expected: undefined, value: utf8('new'), ttlSeconds: 0 }
  t.match(cas(create, stored('old', 5), 4999), { swapped: false, previous: utf8('old') })
  t.match(cas(create, stored('old', 5), 5000), { swapped: true, effect: 'put', previous: undefined })
  t.match(cas({ expected: utf8('old'), value: utf8('x'), ttlSeconds: 0 }, stored('old', 5), 5000), { swapped: false })
})

t.test('TTL is counted from the entry, rounded up', async t => {
  const outcome = cas({ expected: undefined, value: utf8('v'), ttlSeconds: 3 }, undefined, 5001)
  t.equal(text(liveValue(outcome.bytes, 8999)), 'v')
  t.equal(liveValue(outcome.bytes, 9000), undefined)
  const operand = new Uint8Array(putTtlOperandLength(1))
  writePutTtlOperand(operand, 0, utf8('v'), 3)
  const put = rawEvaluator.evaluate(ApplyOp.PutTtl, key, operand, undefined, 5001)
  t.same(put.bytes, outcome.bytes)
  t.equal(put.effect, 'put')
})

t.test('an operand that does not parse is corruption, never a guess', async t => {
  const short = (op: number, length: number) => () =>
    rawEvaluator.evaluate(op, key, new Uint8Array(length).fill(0xff), undefined, 0)
  t.throws(short(ApplyOp.CompareAndSwap, 8), { code: 'corruption' })
  t.throws(short(ApplyOp.CompareAndSwap, 20), { code: 'corruption' })
  t.throws(short(ApplyOp.PutTtl, 3), { code: 'corruption' })
  t.throws(short(99, 20), { code: 'corruption' })
})

t.test('a chain of operations agrees with a plain variable', async t => {
  const value = fc.option(fc.constantFrom('', 'a', 'b'), { nil: undefined })
  fc.assert(fc.property(fc.array(fc.tuple(value, value), { maxLength: 20 }), steps => {
    let model: string | undefined
    let disk: Uint8Array | undefined
    return steps.every(([expected, next]) => {
      const toBytes = (one: string | undefined): Uint8Array | undefined => one === undefined ? undefined : utf8(one)
      const operand = { expected: toBytes(expected), value: toBytes(next), ttlSeconds: 0 }
      const bytes = new Uint8Array(casOperandLength(operand))
      writeCasOperand(bytes, 0, operand)
      const outcome = rawEvaluator.evaluate(ApplyOp.CompareAndSwap, key, bytes, disk, 0)
      const result = decodeCasResult(outcome.result)
      const agrees = result.swapped === (model === expected) && text(result.previous) === model
      if (result.swapped) model = next
      if (outcome.effect === 'put') disk = outcome.bytes
      if (outcome.effect === 'delete') disk = undefined
      return agrees && (disk === undefined ? model === undefined : equalBytes(liveValue(disk, 0)!, utf8(model!)))
    })
  }))
  t.pass('swapped, previous and what is stored')
})
