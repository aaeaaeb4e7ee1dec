import { execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median } from './figures.js'

/** What figures depend on and a reader cannot guess. */
export interface Machine {
  readonly date: string
  readonly commit: string
  readonly cores: number
  readonly cpu: string
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  /** Median of fdatasync after 4 KiB on the disk that holds the data; no write can be faster. */
  readonly syncMs: number
  readonly isMemoryDisk: boolean
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const tmpfsMagic = 0x0102_1994
const syncProbes = 100

export function machineFacts(folder: string): Machine {
  mkdirSync(folder, { recursive: true })
  return {
    date: new Date().toISOString().substring(0, 16).replace('T', ' '), commit: commitId(), cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown', memoryGib: Math.round(totalmem() / 2 ** 30), kernel: `Linux ${release()}`, node: process.version,
    syncMs: probeSync(folder), isMemoryDisk: statfsSync(folder).type === tmpfsMagic,
  }
}

export function describe(machine: Machine): string {
  return `${machine.date} UTC, commit ${machine.commit}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, ${machine.kernel}, ` +
    `Node ${machine.node}, fdatasync ${machine.syncMs.toFixed(2)} ms${machine.isMemoryDisk ? ' (IN MEMORY: no durability is measured)' : ''}`
}

function commitId(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    const isChanged = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
    return `${git('rev-parse', '--short=10', 'HEAD').trim()}${isChanged ? ' with changes' : ''}`
  } catch (error) {
    return `unknown (${(error as Error).message.split('\n')[0] ?? ''})`
  }
}

function probeSync(folder: string): number {
  const path = join(folder, `sync-probe-${process.pid}`)
  const file = openSync(path, 'w')
  try {
    const page = Buffer.alloc(4096, 1)
    const times = Array.from({ length: syncProbes }, () => {
      writeSync(file, page)
      const started = performance.now()
      fdatasyncSync(file)
      return performance.now() - started
    })
    return median(times)
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
