import { setFlagsFromString } from 'node:v8'
import { StorageError } from '../common/errors.js'
import { StartupError } from './startup-error.js'
import { formatLine } from './logging.js'
import type { NodeLog } from './logging.js'

export interface Runnable {
  readonly name: string
  start(): Promise<void>
  /** @param handOverMs how long leaderships may take to go elsewhere; absent: as configured */
  stop(handOverMs?: number): Promise<void>
}

export interface RunOptions<T extends Runnable> {
  readonly log: NodeLog
  readonly create: (onFatal: (error: Error) => void) => T
  readonly onReady: (node: T) => void
  /** The end of standard input is the end of the whole cluster: stop, hand nothing over. For who starts many nodes. */
  readonly stopWithStdin: boolean
  /** How long a stop may take in all, beyond what the hand-over is given; then the process ends as it is. */
  readonly closeMsMax?: number
}

/** Beside 0 (stopped as asked), 1 (does not start, or PD does not want it) and 2 (configuration). */
export const fatalExitCode = 70
/**
 * A node's heap is small and its buffers, which V8 counts with it, come and go by the megabyte: with V8's own growing factor
 * that was a full collection every 60 ms under 50 MB/s of writes. Five times what is alive bounds it as well.
 */
const heapGrowingPercent = 400
const signals = { SIGINT: 2, SIGTERM: 15 } as const
const closeMsMaxDefault = 60_000
const handOverMsMax = 10 * 60_000

/**
 * Runs one node until it is asked to stop. The first signal stops it in order, the second one at once.
 * @returns the exit code @throws StartupError when it does not start
 */
export async function runNode<T extends Runnable>(options: RunOptions<T>): Promise<number> {
  const { log } = options
  setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`)
  const die = (error: unknown): never => {
    const isWanted = error instanceof StartupError
    sayFatal(log, node.name, error)
    process.exit(isWanted ? 1 : fatalExitCode)
  }
  const node = options.create(die)
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
  const stopping: { reason?: string } = {}
  const ended = new Promise<number>((resolve, reject) => {
    const stop = (reason: string, handOverMs?: number): void => {
      stopping.reason = reason
      log(node.name, 'info', 'node.stops', { reason })
      const limit = setTimeout(() => die(new Error('the stop takes too long')), handOverMsMax + (options.closeMsMax ?? closeMsMaxDefault))
      limit.unref()
      node.stop(handOverMs).then(() => { resolve(0) }, reject)
    }
    for (const [signal, number] of Object.entries(signals) as [keyof typeof signals, number][]) {
      process.on(signal, () => {
        if (stopping.reason === undefined) return stop(signal)
        if (stopping.reason === 'end of input') return
        log(node.name, 'warn', 'node.ends-at-once', { reason: `a second signal, ${signal}` })
        process.exit(128 + number)
      })
    }
    // What rotates log files says so with HUP: the node goes on, in a new file.
    process.on('SIGHUP', () => { reopenLog(log, node.name) })
    if (options.stopWithStdin) onStdinEnd(() => { if (stopping.reason === undefined) stop('end of input', 0) })
  })
  // What rejects before somebody waits for it is not lost: it is looked at below.
  ended.catch(() => {})
  try {
    await node.start()
    if (stopping.reason === undefined) options.onReady(node)
  } catch (error) {
    if (stopping.reason === undefined) {
      // Whoever called us tells it to people; the log file has it too.
      if (log.isFile) log(node.name, 'error', 'node.fatal', { reason: reasonOf(error) })
      throw error
    }
  }
  const code = await ended
  // It would keep the process alive for as long as whoever started us lives.
  if (options.stopWithStdin) process.stdin.destroy()
  return code
}

/** Into the log, and to standard error as well where that is another place: who looks at one of them sees it. */
function sayFatal(log: NodeLog, name: string, error: unknown): void {
  const fields = { reason: reasonOf(error) }
  log(name, 'error', 'node.fatal', fields)
  if (log.isFile) process.stderr.write(`${formatLine(new Date().toISOString(), name, 'error', 'node.fatal', fields)}\n`)
}

function reopenLog(log: NodeLog, name: string): void {
  try {
    log.reopen()
    log(name, 'info', 'node.log-reopened', {})
  } catch (error) {
    log(name, 'error', 'node.log-not-reopened', { reason: reasonOf(error) })
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof StartupError) return error.message
  if (error instanceof StorageError) {
    return `the disk failed (${error.code}): ${error.message}. What was acknowledged is in the log; look after the disk, then start again.`
  }
  return `a bug: ${error instanceof Error ? error.stack ?? error.message : String(error)}`
}

function onStdinEnd(run: () => void): void {
  process.stdin.on('end', run)
  process.stdin.on('error', run)
  process.stdin.resume()
}
