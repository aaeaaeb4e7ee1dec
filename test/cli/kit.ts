import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const program = fileURLToPath(new URL('../../../bin/karst.mjs', import.meta.url))
const runMsMax = 120_000

export interface Run { readonly code: number | null; readonly out: string; readonly err: string }

/** Runs one command to its end. */
export function karst(args: readonly string[], options: { readonly cwd?: string } = {}): Promise<Run> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  const timer = setTimeout(() => child.kill('SIGKILL'), runMsMax)
  const text = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { text.out += chunk })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { text.err += chunk })
  return new Promise(resolve => {
    child.on('close', code => {
      clearTimeout(timer)
      resolve({ code, ...text })
    })
  })
}

export interface Service {
  readonly pid: number
  /** The first line of standard output. */
  readonly line: Promise<Record<string, unknown>>
  readonly text: { out: string; err: string }
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  signal(signal: NodeJS.Signals): void
}

/** Starts a command that stays up; ended with the test, by pid. */
export function serve(t: Test, args: readonly string[], options: { readonly cwd?: string } = {}): Service {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  const text = { out: '', err: '' }
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { text.err += chunk })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(resolve => {
    child.on('close', (code, signal) => { resolve({ code, signal }) })
  })
  const line = new Promise<Record<string, unknown>>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text.out += chunk
      const end = text.out.indexOf('\n')
      if (end >= 0) resolve(JSON.parse(text.out.substring(0, end)) as Record<string, unknown>)
    })
    void ended.then(({ code, signal }) => { reject(new Error(`ended with ${code ?? signal}: ${text.out}${text.err}`)) })
  })
  line.catch(() => {})
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(timer)
  })
  return { pid: child.pid ?? 0, line, text, ended, signal: signal => { child.kill(signal) } }
}

export function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'karst-cli-'))
  t.teardown(() => { rmSync(path, { recursive: true, force: true }) })
  return path
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
