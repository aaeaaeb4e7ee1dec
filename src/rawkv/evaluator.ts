import { assert } from '../common/assert.js'
import { emptyBytes, equalBytes } from '../common/bytes.js'
import { StorageError } from '../common/errors.js'
import { ApplyOp } from '../store/api.js'
import type { ApplyEvaluator } from '../store/api.js'
import { expiryAt, liveValue, storedValue } from './codec.js'

/**
 * Operands (little-endian) and results of the conditional operations, as they stand in raft entries:
 *
 *   CompareAndSwap   u8 flags (1: expected is present, 2: value is present), u32 ttlSeconds, u32 expectedBytes,
 *                    expected, value (the rest)
 *                    absent expected = must not exist; absent value = delete
 *       result       u8 flags (1: swapped, 2: previous is present), previous user value
 *   PutTtl           u32 ttlSeconds, value (the rest)
 *       result       empty
 *
 * An expired value counts as absent. Time is the entry's wall time, never a clock's: all replicas agree.
 */
const expectedPresent = 1
const valuePresent = 2
const swappedFlag = 1
const previousPresent = 2
const casHeaderBytes = 9
const putTtlHeaderBytes = 4

export interface CasOperand {
  readonly expected: Uint8Array | undefined
  readonly value: Uint8Array | undefined
  readonly ttlSeconds: number
}

export const casOperandLength = (operand: CasOperand): number =>
  casHeaderBytes + (operand.expected?.length ?? 0) + (operand.value?.length ?? 0)

export function writeCasOperand(target: Uint8Array, at: number, operand: CasOperand): number {
  const expected = operand.expected ?? emptyBytes
  const value = operand.value ?? emptyBytes
  target[at] = (operand.expected ? expectedPresent : 0) | (operand.value ? valuePresent : 0)
  writeU32(target, at + 1, operand.ttlSeconds)
  writeU32(target, at + 5, expected.length)
  target.set(expected, at + casHeaderBytes)
  target.set(value, at + casHeaderBytes + expected.length)
  return at + casHeaderBytes + expected.length + value.length
}

export const putTtlOperandLength = (valueBytes: number): number => putTtlHeaderBytes + valueBytes

export function writePutTtlOperand(target: Uint8Array, at: number, value: Uint8Array, ttlSeconds: number): number {
  writeU32(target, at, ttlSeconds)
  target.set(value, at + putTtlHeaderBytes)
  return at + putTtlHeaderBytes + value.length
}

export interface CasResult {
  readonly swapped: boolean
  readonly previous: Uint8Array | undefined
}

/** @returns `previous` is a view into `result` */
export function decodeCasResult(result: Uint8Array): CasResult {
  const flags = result[0]
  assert(flags !== undefined && flags < 4, 'a result of CompareAndSwap')
  return {
    swapped: (flags & swappedFlag) !== 0,
    previous: flags & previousPresent ? result.subarray(1) : undefined,
  }
}

function encodeCasResult(swapped: boolean, previous: Uint8Array | undefined): Uint8Array {
  const result = new Uint8Array(1 + (previous?.length ?? 0))
  result[0] = (swapped ? swappedFlag : 0) | (previous ? previousPresent : 0)
  if (previous) result.set(previous, 1)
  return result
}

function writeU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value
  target[at + 1] = value >>> 8
  target[at + 2] = value >>> 16
  target[at + 3] = value >>> 24
}

const readU32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0

function decodeCasOperand(operand: Uint8Array): CasOperand {
  const flags = operand.length >= casHeaderBytes ? operand[0]! : 0xff
  const valueFrom = flags < 4 ? casHeaderBytes + readU32(operand, 5) : Infinity
  if (valueFrom > operand.length) throw new StorageError('corruption', 'operand of CompareAndSwap')
  return {
    expected: flags & expectedPresent ? operand.subarray(casHeaderBytes, valueFrom) : undefined,
    value: flags & valuePresent ? operand.subarray(valueFrom) : undefined,
    ttlSeconds: readU32(operand, 1),
  }
}

type Evaluation = ReturnType<ApplyEvaluator['evaluate']>

function compareAndSwap(operand: CasOperand, stored: Uint8Array | undefined, nowMs: number): Evaluation {
  const previous = stored && liveValue(stored, nowMs)
  const matches = operand.expected === undefined
    ? previous === undefined
    : previous !== undefined && equalBytes(previous, operand.expected)
  const result = encodeCasResult(matches, previous)
  if (!matches) return { effect: 'keep', bytes: emptyBytes, result }
  if (operand.value === undefined) return { effect: stored ? 'delete' : 'keep', bytes: emptyBytes, result }
  return { effect: 'put', bytes: storedValue(operand.value, expiryAt(nowMs, operand.ttlSeconds)), result }
}

/** The raw API's part of the state machine. */
export const rawEvaluator: ApplyEvaluator = {
  isBlind: op => op === ApplyOp.PutTtl,
  evaluate(op, _key, operand, current, nowMs) {
    if (op === ApplyOp.CompareAndSwap) return compareAndSwap(decodeCasOperand(operand), current, nowMs)
    if (op !== ApplyOp.PutTtl || operand.length < putTtlHeaderBytes) {
      throw new StorageError('corruption', `conditional operation ${op} with ${operand.length} bytes`)
    }
    const expiry = expiryAt(nowMs, readU32(operand, 0))
    return { effect: 'put', bytes: storedValue(operand.subarray(putTtlHeaderBytes), expiry), result: emptyBytes }
  },
}
