import { limits } from './limits.js'
import { decodeBytes } from './memcomparable.js'

/** Mode bytes of API v2: `r` raw keys, `x` keys of transactions; a keyspace of 3 bytes follows. */
const modes: ReadonlySet<number> = new Set([0x72, 0x78])
const prefixBytes = 4

/**
 * May regions meet at this engine key? Clients decode boundaries and go on from there, so each must be the encoding of what a
 * key can be, or of a keyspace's beginning: a boundary that is none stays for ever.
 * @returns what is wrong with it
 */
export function boundaryMistake(engineKey: Uint8Array): string | undefined {
  const decoded = decodeBytes(engineKey)
  if (decoded === undefined || decoded.taken !== engineKey.length) return 'it is not memcomparable, as region boundaries are'
  const { plain } = decoded
  if (!modes.has(plain[0] ?? 0) || plain.length < prefixBytes) return 'it is no key: `r` or `x` and a keyspace of 3 bytes come first'
  if (plain.length > prefixBytes + limits.keyBytesMax) return `it is longer than a key may be (${limits.keyBytesMax} bytes)`
  return undefined
}
