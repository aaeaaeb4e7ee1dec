import { compareBytes } from '../common/bytes.js'
import type { Region } from '../common/region.js'
import { engineKeyOf, keyspaceEnd, keyspaceOf } from './codec.js'

/** Engine key of a range's end; an empty one means the end of the keyspace. Never empty. */
export function rangeEnd(start: Uint8Array, end: Uint8Array): Uint8Array {
  return engineKeyOf(end.length > 0 ? end : keyspaceEnd(keyspaceOf(start) ?? 0))
}

/** @param end not empty */
export function clipEnd(end: Uint8Array, region: Region): Uint8Array {
  return region.endKey.length > 0 && compareBytes(region.endKey, end) < 0 ? region.endKey : end
}
