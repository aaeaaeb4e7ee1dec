import type { RawClient } from '../src/client/raw-client.js'
import { unreachable } from '../src/common/assert.js'
import type { LoadTarget } from './load.js'
import { stampBytes } from './templates.js'
import type { Operation } from './workloads.js'
import { Dice } from './zipf.js'

const poolBytes = 1 << 20

/** Values that begin with a stamp and do not compress, as the native clients make them. */
export function valueMaker(valueBytes: number, stamp: string, seed: number): () => Uint8Array {
  const dice = new Dice(seed)
  const pool = Buffer.alloc(poolBytes)
  for (let at = 0; at < poolBytes; at++) pool[at] = dice.below(256)
  const head = Buffer.from(stamp, 'latin1')
  return () => {
    const value = Buffer.allocUnsafe(valueBytes)
    const from = dice.below(Math.max(1, poolBytes - valueBytes))
    for (let at = 0; at < valueBytes;) at += pool.copy(value, at, from, from + valueBytes - at)
    head.copy(value, 0, 0, stampBytes)
    return value
  }
}

/** Our own client under load. A value that is not there is an error: every record was written before. */
export function clientTarget(raw: RawClient, makeValue: () => Uint8Array): LoadTarget {
  const get = async (key: string): Promise<void> => {
    if (await raw.get(key) === undefined) throw new Error(`key ${key} is missing`)
  }
  const scan = async (key: string, rows: number): Promise<void> => {
    const found = await raw.scan({ start: key }, { limit: rows, pageRows: Math.min(rows, 1024) }).toArray()
    if (found.length === 0) throw new Error(`a scan from ${key} found nothing`)
  }
  const batchGet = async (keys: readonly string[]): Promise<void> => {
    const values = await raw.batchGet(keys)
    const missing = values.indexOf(undefined)
    if (missing >= 0) throw new Error(`key ${keys[missing]} is missing`)
  }
  return {
    run: operation => runOperation(operation),
  }

  async function runOperation(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case 'get': return await get(operation.key)
      case 'put': case 'insert': return await raw.put(operation.key, makeValue())
      case 'readModifyWrite':
        await get(operation.key)
        return await raw.put(operation.key, makeValue())
      case 'scan': return await scan(operation.key, operation.rows)
      case 'batchPut': return await raw.batchPut(operation.keys.map(key => [key, makeValue()] as const))
      case 'batchGet': return await batchGet(operation.keys)
      default: return unreachable(operation, 'operation')
    }
  }
}
