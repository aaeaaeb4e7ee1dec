import { readFileSync } from 'node:fs'
import type { Env } from '../common/env.js'
import type { DoorLimits } from '../transport/ws-network-door.js'
import { StartupError } from './startup-error.js'

/** Kept for the log, the engine's tables, connections that we make, and pages. */
const filesReserved = 160
/** With fewer a node does not begin: it could serve nobody. */
const filesMin = 200
/** A server of a few thousand clients, and an engine of a few hundred tables. */
const filesSafe = 4_096

/** The soft limit of open files of this process, or undefined where it cannot be read. */
export function openFilesMax(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (line?.[1] === undefined) return undefined
    return line[1] === 'unlimited' ? Infinity : Number(line[1])
  } catch {
    return undefined
  }
}

/** What was configured, as far as the open files of this process allow. */
export function connectionLimits(configured: DoorLimits, filesMax: number | undefined): DoorLimits {
  if (filesMax === undefined) return configured
  return { ...configured, connectionsMax: Math.max(1, Math.min(configured.connectionsMax, filesMax - filesReserved)) }
}

/** @throws StartupError('openFiles') */
export function checkOpenFiles(env: Env, configured: DoorLimits, filesMax: number | undefined): void {
  if (filesMax === undefined) return
  if (filesMax < filesMin) {
    throw new StartupError('openFiles', `this process may open ${filesMax} files, and a node needs ${filesMin} at the least: raise it with `
      + '`ulimit -n 65536`, or LimitNOFILE= in its systemd unit')
  }
  if (filesMax >= filesSafe) return
  const { connectionsMax } = connectionLimits(configured, filesMax)
  env.log('warn', 'node.few-open-files', { limit: filesMax, advised: filesSafe, connections: connectionsMax })
}
