import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isCode, readFileIfThere, removeFile } from './files.js'
import { StartupError } from './startup-error.js'

/**
 * `LOCK` in a data directory: pid and start time of its owner. It is there for a clear message; RocksDB and the raft log hold
 * locks of the kernel beside it, which end with the process. So it may be empty: a disk that is full does not keep a node from
 * starting, and giving space back.
 */
export class LockFile {
  readonly #path: string
  #isHeld = true

  private constructor(path: string) { this.#path = path }

  /** @throws StartupError('dataDirInUse') */
  static take(folder: string): LockFile {
    const path = join(folder, 'LOCK')
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        writeOwner(path)
        return new LockFile(path)
      } catch (error) {
        if (isFull(error)) return new LockFile(path)
        if (!isCode(error, 'EEXIST')) throw error
      }
      const owner = readFileIfThere(path)
      if (owner === undefined) continue
      const [pid, start = ''] = owner.trim().split(' ')
      if (Number(pid) > 0 && isSameProcess(Number(pid), start)) {
        throw new StartupError('dataDirInUse',
          `${folder} is in use by process ${pid}. One folder belongs to one node: give this one its own --data-dir.`)
      }
      removeFile(path)
    }
    throw new StartupError('dataDirInUse', `${folder}: somebody else is taking it at the same time`)
  }

  release(): void {
    if (this.#isHeld) removeFile(this.#path)
    this.#isHeld = false
  }
}

const isFull = (error: unknown): boolean => isCode(error, 'ENOSPC') || isCode(error, 'EDQUOT')

function writeOwner(path: string): void {
  const fd = openSync(path, 'wx')
  try {
    writeSync(fd, `${process.pid} ${startOf(process.pid) ?? ''}\n`)
  } finally {
    closeSync(fd)
  }
}

/** Killed, and whoever started it has not asked how it ended: it holds nothing any more. */
const endedStates: readonly string[] = ['Z', 'X', 'x']

/** Field 22 of /proc/PID/stat; tells a process from a later one with the same pid. undefined: there is none, or it has ended. */
function startOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', ...fields] = text.substring(text.lastIndexOf(')') + 2).split(' ')
    return endedStates.includes(state) ? undefined : fields[18]
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ESRCH')) return undefined
    throw error
  }
}

function isSameProcess(pid: number, start: string): boolean {
  if (pid === process.pid) return startOf(pid) === start
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (isCode(error, 'ESRCH')) return false
  }
  const now = startOf(pid)
  // Where there is no /proc, a pid that lives is all that is known.
  return now === undefined ? !hasProc() : start === '' || now === start
}

const hasProc = (): boolean => startOf(process.pid) !== undefined
