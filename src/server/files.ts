import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Whole or not at all, and durable when it returns: temporary file, fsync, rename, fsync of the folder. */
export function writeFileDurably(path: string, text: string): void {
  const temporary = `${path}.new`
  const fd = openSync(temporary, 'w', 0o644)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  syncFolder(dirname(path))
}

export function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

export function readFileIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

export const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === code

export function ensureFolder(...parts: readonly string[]): string {
  const path = join(...parts)
  mkdirSync(path, { recursive: true })
  return path
}

export const removeFile = (path: string): void => { rmSync(path, { force: true }) }

export interface DiskSpace {
  readonly capacityBytes: number
  readonly availableBytes: number
  /** Of these, not for writes: a placeholder was given back. */
  readonly heldBackBytes?: number
}

export function diskSpace(path: string): DiskSpace {
  const { blocks, bavail, bsize } = statfsSync(path)
  return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize }
}
