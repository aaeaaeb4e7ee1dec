import { assert } from './assert.js'

declare const brand: unique symbol
type Branded<Name extends string> = number & { readonly [brand]: Name }

/** All ids, terms and indexes are integers in [0, 2^53). 0 means "none". */
export type RegionId = Branded<'RegionId'>
export type PeerId = Branded<'PeerId'>
export type StoreId = Branded<'StoreId'>
export type Term = Branded<'Term'>
export type LogIndex = Branded<'LogIndex'>

/** TSO value: physical ms << 18 | logical, about 2^58.7: never a number. */
export type Ts = bigint & { readonly [brand]: 'Ts' }

function checked(value: number, name: string): number {
  assert(Number.isSafeInteger(value) && value >= 0, () => `${name} out of range: ${value}`)
  return value
}

export const regionId = (value: number): RegionId => checked(value, 'RegionId') as RegionId
export const peerId = (value: number): PeerId => checked(value, 'PeerId') as PeerId
export const storeId = (value: number): StoreId => checked(value, 'StoreId') as StoreId
export const term = (value: number): Term => checked(value, 'Term') as Term
export const logIndex = (value: number): LogIndex => checked(value, 'LogIndex') as LogIndex

/** The next or an earlier index: `plus(index, -1)`. */
export const plus = (index: LogIndex, by: number): LogIndex => logIndex(index + by)

export const tsLogicalBits = 18n
export const ts = (value: bigint): Ts => {
  assert(value >= 0n && value < 1n << 64n, () => `Ts out of range: ${value}`)
  return value as Ts
}
export const composeTs = (physicalMs: number, logical: number): Ts =>
  ts((BigInt(physicalMs) << tsLogicalBits) | BigInt(logical))
export const physicalOf = (value: Ts): number => Number(value >> tsLogicalBits)
