import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'

const running = new Set<ChildProcess>()
const folders = new Set<string>()

/** Children and data never outlive us. */
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** A folder that goes at the latest when we go. */
export function temporaryFolder(path: string): { remove(): void } {
  folders.add(path)
  return {
    remove: () => {
      folders.delete(path)
      rmSync(path, { recursive: true, force: true })
    },
  }
}

/** A child of ours whose output goes to a file. */
export function startProcess(command: string, args: readonly string[], logPath: string,
  env?: Readonly<Record<string, string>>): ChildProcess {
  const log = openSync(logPath, 'a')
  const child = spawn(command, [...args], { stdio: ['ignore', log, log], env: { ...process.env, ...env } })
  running.add(child)
  child.on('exit', () => running.delete(child))
  child.on('error', error => { throw new Error(`${command} did not start: ${error.message}`) })
  closeSync(log)
  return child
}

export function stopProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM', killAfterMs = 10_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill(signal)
  })
}

const ticksPerSecond = 100

/** User plus system time of one process so far; 0 when it is gone. */
export function cpuSeconds(pid: number): number {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
  const fields = text.substring(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return match ? Number(match[1]) * 1024 : 0
}


export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** Runs `one` for 0 .. count - 1, at most `lanes` at a time. */
export async function inParallel(count: number, lanes: number, one: (at: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, async () => {
    while (next < count) await one(next++)
  }))
}
