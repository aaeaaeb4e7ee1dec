/**
 * CLOCK_BOOTTIME through the addon: it goes on while the machine sleeps, and leases need that. Without the addon (a cluster
 * in memory in a folder where nothing was compiled) the process clock does: nothing that lasts depends on it there.
 */
export const monotonicMs: () => number = await import('../engine/native.js').then(
  native => native.bootTimeMs, () => () => performance.now())
