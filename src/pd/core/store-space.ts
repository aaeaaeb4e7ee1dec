import type { StoreStats } from '../../wire/messages.js'

export interface SpaceConfig {
  /** `low-space-ratio`: a store whose disk is fuller than this gets no more replicas. */
  readonly lowSpaceRatio: number
}

const gibibyte = 2 ** 30
/** As in TiKV's PD: a store with few regions and this much left is not called full, however large its disk is. */
const youngRegionsMax = 30
const youngBytesMin = 8 * gibibyte

/** Of what a store told of its disk. Zero capacity: it does not know. */
export type StoreSpace = Pick<StoreStats, 'capacityBytes' | 'availableBytes' | 'reserveBytes' | 'isDiskFull'>

export const noSpaceKnown: StoreSpace = { capacityBytes: 0, availableBytes: 0, reserveBytes: 0, isDiskFull: false }

export function isLowSpace(space: StoreSpace, regions: number, config: SpaceConfig): boolean {
  if (space.isDiskFull) return true
  const { capacityBytes, availableBytes, reserveBytes } = space
  if (capacityBytes === 0) return false
  if (availableBytes < 2 * reserveBytes) return true
  if (regions < youngRegionsMax && availableBytes > youngBytesMin) return false
  return availableBytes < (1 - config.lowSpaceRatio) * capacityBytes
}

/** Is there room for a replica of so many bytes, beside what is held in reserve? */
export function hasRoomFor(space: StoreSpace, regionBytes: number): boolean {
  return space.capacityBytes === 0 || space.availableBytes - space.reserveBytes >= regionBytes
}

export const spaceText = ({ availableBytes }: StoreSpace): string => `${(availableBytes / gibibyte).toFixed(1)} GiB free`
