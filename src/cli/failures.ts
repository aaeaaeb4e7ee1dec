import { KarstError } from '../client/errors.js'
import { PdRefusedError, PdUnavailableError } from '../pd/api.js'
import { StartupError } from '../server/startup-error.js'
import { CommandError, exitCodes, printJson } from './output.js'

interface Failure {
  readonly code: string
  readonly message: string
  readonly exitCode: number
  readonly details?: Readonly<Record<string, unknown>>
}

/** Every error that people may meet, in words and with its exit code. The rest is a bug and keeps its stack. */
export function failureOf(error: unknown): Failure {
  if (error instanceof CommandError) {
    const { code, message, exitCode, details } = error
    return { code, message, exitCode, ...(details && { details }) }
  }
  if (error instanceof KarstError) {
    const exitCode = error.isUndetermined ? exitCodes.undetermined : exitCodes.failed
    const details = Object.fromEntries(Object.entries(error).filter(([name]) => name !== 'code' && name !== 'name'))
    return { code: error.code, message: error.message, exitCode, details }
  }
  if (error instanceof PdUnavailableError) {
    const message = `PD does not answer (${error.message}). Is the cluster up, and --pd right? \`karst playground\` starts one.`
    return { code: 'PdUnavailable', message, exitCode: exitCodes.failed }
  }
  if (error instanceof PdRefusedError) {
    return { code: error.error.kind, message: error.message, exitCode: exitCodes.failed, details: { ...error.error } }
  }
  if (error instanceof StartupError) {
    return { code: error.code, message: error.message, exitCode: error.code === 'config' ? exitCodes.usage : exitCodes.failed }
  }
  const { code: errno } = error as NodeJS.ErrnoException
  if (errno === 'EMFILE' || errno === 'ENFILE') {
    const message = 'too many open files: raise the limit with `ulimit -n 65536`, or LimitNOFILE= in the systemd unit'
    return { code: 'openFiles', message, exitCode: exitCodes.failed }
  }
  const bug = error instanceof Error ? error.stack ?? error.message : String(error)
  return { code: 'Internal', message: `this should not happen: ${bug}`, exitCode: exitCodes.failed }
}

/** Prints a failure where it belongs: JSON on stdout for machines, one line on stderr for people. */
export function reportFailure(error: unknown, isJson: boolean): number {
  const { code, message, exitCode, details } = failureOf(error)
  if (isJson) printJson({ error: { code, message, ...(details && { details }) } })
  else process.stderr.write(`karst: ${message}\n`)
  return exitCode
}
