import { protocolVersion } from './messages.js'
import type { Hello } from './messages.js'

/**
 * What this program understands beyond protocol version 1. Bits are never given away twice. Whoever does not know a bit
 * ignores it; who lacks one is not sent what it stands for.
 */
export const features = {} as const satisfies Readonly<Record<string, bigint>>
export type Feature = keyof typeof features

export const ownFeatures: bigint = Object.values<bigint>(features).reduce((sum, bit) => sum | bit, 0n)

export const versionsOf = (hello: Hello): { readonly lowest: number; readonly highest: number } => {
  const { protocolVersion: lowest, protocolVersionMax } = hello
  return { lowest, highest: Math.max(lowest, protocolVersionMax ?? lowest) }
}

/** Versions that this program speaks. */
export const spoken = { protocolVersion, protocolVersionMax: protocolVersion } as const

/** @returns the version two speak with each other, or undefined when they have none in common */
export function commonVersion(left: Hello, right: Hello): number | undefined {
  const one = versionsOf(left)
  const other = versionsOf(right)
  const version = Math.min(one.highest, other.highest)
  return version >= Math.max(one.lowest, other.lowest) ? version : undefined
}
