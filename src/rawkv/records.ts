import { assert } from '../common/assert.js'
import { encodedLength } from '../common/memcomparable.js'
import { BatchOp, Cf, batchRecordHeaderBytes } from '../engine/api.js'
import { ApplyOp } from '../store/api.js'
import { storedLength, writeEngineKey, writeStored } from './codec.js'
import { casOperandLength, putTtlOperandLength, writeCasOperand, writePutTtlOperand } from './evaluator.js'
import type { CasOperand } from './evaluator.js'

/**
 * Packed records of raw operations (layout: engine/api BatchOp), each key encoded straight into its place.
 * One allocation a request; the engine key that routes the request is a view into it.
 */
const header = batchRecordHeaderBytes

export const deleteBytes = (key: Uint8Array): number => header + encodedLength(key.length)

export const putBytes = (key: Uint8Array, value: Uint8Array, ttlSeconds: number): number =>
  deleteBytes(key) + (ttlSeconds === 0 ? storedLength(value.length, false) : putTtlOperandLength(value.length))

export const casBytes = (key: Uint8Array, operand: CasOperand): number => deleteBytes(key) + casOperandLength(operand)

function writeHeader(target: Uint8Array, at: number, op: number, keyBytes: number, valueBytes: number): number {
  target[at] = op
  target[at + 1] = Cf.Default
  target[at + 4] = keyBytes
  target[at + 5] = keyBytes >>> 8
  target[at + 6] = keyBytes >>> 16
  target[at + 7] = keyBytes >>> 24
  target[at + 8] = valueBytes
  target[at + 9] = valueBytes >>> 8
  target[at + 10] = valueBytes >>> 16
  target[at + 11] = valueBytes >>> 24
  return at + header
}

/** All writers: `target` is zero from `at` on; @returns the position behind the record. */
export function writePut(
  target: Uint8Array, at: number, key: Uint8Array, value: Uint8Array, ttlSeconds: number,
): number {
  const keyBytes = encodedLength(key.length)
  if (ttlSeconds === 0) {
    at = writeHeader(target, at, BatchOp.Put, keyBytes, storedLength(value.length, false))
    return writeStored(target, writeEngineKey(target, at, key), value)
  }
  at = writeHeader(target, at, ApplyOp.PutTtl, keyBytes, putTtlOperandLength(value.length))
  return writePutTtlOperand(target, writeEngineKey(target, at, key), value, ttlSeconds)
}

export function writeDelete(target: Uint8Array, at: number, key: Uint8Array): number {
  at = writeHeader(target, at, BatchOp.Delete, encodedLength(key.length), 0)
  return writeEngineKey(target, at, key)
}

export function writeCas(target: Uint8Array, at: number, key: Uint8Array, operand: CasOperand): number {
  at = writeHeader(target, at, ApplyOp.CompareAndSwap, encodedLength(key.length), casOperandLength(operand))
  return writeCasOperand(target, writeEngineKey(target, at, key), operand)
}

/** @param start engine key @param end engine key, not empty: a delete range is always clipped to its region */
export function deleteRangeRecord(start: Uint8Array, end: Uint8Array): Uint8Array {
  assert(end.length > 0, 'a delete range has an end')
  const records = new Uint8Array(header + start.length + end.length)
  const at = writeHeader(records, 0, BatchOp.DeleteRange, start.length, end.length)
  records.set(start, at)
  records.set(end, at + start.length)
  return records
}

/** The engine key of the record at `at`. @returns a view */
export const recordKey = (records: Uint8Array, at: number, key: Uint8Array): Uint8Array =>
  records.subarray(at + header, at + header + encodedLength(key.length))
