import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BenchError, figuresOf, type LoadFigures } from './figures.js'
import { temporaryFolder } from './processes.js'
import { hasCommand } from './tools.js'

/** Which of the two native clients; they share everything but the protocol. */
export type NativeProgram = 'karst' | 'etcd'

const nativeFolder = fileURLToPath(new URL('../../bench/native/', import.meta.url))
const builtFolder = fileURLToPath(new URL('../native/', import.meta.url))

export interface NativeTemplate {
  readonly share: number
  /** An answer with a smaller body counts as failed. */
  readonly answerMin: number
  readonly bytes: Uint8Array
  readonly digits: number
  /** Where keys stand, and what is added to the drawn number there. */
  readonly keys: readonly { readonly at: number; readonly delta: number }[]
  /** Where values stand; they get random bytes. */
  readonly values: { readonly bytes: number; readonly at: readonly number[] }
  /** gRPC method; only for etcd. */
  readonly path?: string
}

export interface NativePlan {
  readonly program: NativeProgram
  readonly address: string
  readonly connections: number
  readonly window: number
  readonly seconds: number
  readonly rate: number
  /** Numbers drawn: 0 .. keys - 1; with a delta they wrap around at records. */
  readonly keys: number
  readonly records: number
  /** 0: uniform. */
  readonly theta: number
  readonly seed: number
  readonly hello?: Uint8Array
  readonly templates: readonly NativeTemplate[]
}

/** Compiles a client once per version of its source. */
export function buildLoader(program: NativeProgram): string {
  const sources = ['load-core.h', `${program}-load.c`].map(name => join(nativeFolder, name))
  const hash = createHash('sha256')
  for (const path of sources) hash.update(readFileSync(path))
  const path = join(builtFolder, `${program}-load-${hash.digest('hex').substring(0, 12)}`)
  if (existsSync(path)) return path
  if (!hasCommand('cc')) throw new BenchError('the native client needs a C compiler: apt-get install build-essential')
  mkdirSync(dirname(path), { recursive: true })
  const draft = `${path}.${process.pid}`
  execFileSync('cc', ['-O2', '-Wall', '-o', draft, sources[1] ?? '', '-lm'])
  renameSync(draft, path)
  return path
}

/** For files of clients: in memory where the system has such a place, so that they do not disturb the disk that is measured. */
export function scratchFolder(): { readonly path: string; remove(): void } {
  const path = newScratchFolder()
  return { path, ...temporaryFolder(path) }
}

function newScratchFolder(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return mkdtempSync('/dev/shm/karst-bench-')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'EACCES') throw error
    return mkdtempSync(join(tmpdir(), 'karst-bench-'))
  }
}

function writePlan(plan: NativePlan, folder: string): string {
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  const lines = [`seconds ${plan.seconds}`, `connections ${plan.connections}`, `window ${plan.window}`, `rate ${plan.rate}`,
    `keys ${plan.keys}`, `records ${plan.records}`, `theta ${plan.theta}`, `seed ${plan.seed}`, `latencies ${join(folder, 'latencies')}`]
  if (plan.hello) lines.push(`hello ${file('hello', plan.hello)}`)
  plan.templates.forEach((template, at) => {
    const places = template.keys.map(key => `${key.at}+${key.delta}`).join(' ')
    lines.push(`template ${template.share} ${template.answerMin} ${template.digits} ${file(`template-${at}`, template.bytes)} ${places}`)
    if (template.values.at.length > 0 && template.values.bytes > 0) lines.push(`values ${template.values.bytes} ${template.values.at.join(' ')}`)
    if (template.path !== undefined) lines.push(`path ${template.path}`)
  })
  return file('plan', Buffer.from(`${lines.join('\n')}\n`))
}

/** Extra time for the connections and for what is still under way at the end. */
const graceSeconds = 30

/** One run of a native client. Rejects with BenchError when the client gives up. */
export async function runNative(plan: NativePlan, signal?: AbortSignal): Promise<LoadFigures> {
  const program = buildLoader(plan.program)
  const scratch = scratchFolder()
  const folder = scratch.path
  try {
    const [host = '', port = ''] = plan.address.split(':')
    const output = await run(program, [host, port, writePlan(plan, folder)], plan.seconds + graceSeconds, signal)
    if (output === '') throw new BenchError(`${plan.program}-load ended without a word`)
    const said = JSON.parse(output) as { operations: number; failed: number; seconds: number; cpuSeconds: number; firstError: string }
    const bytes = readFileSync(join(folder, 'latencies'))
    return figuresOf(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2).slice().sort(), said)
  } finally {
    scratch.remove()
  }
}

export function run(program: string, args: readonly string[], secondsMax: number, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { timeout: secondsMax * 1_000, maxBuffer: 1 << 26, ...(signal && { signal }) }, (error, stdout, stderr) => {
      if (!error) resolve(stdout)
      else if (signal?.aborted) reject(new BenchError('stopped'))
      else reject(new BenchError(`${program.split('/').at(-1)}: ${stderr.trim() || error.message}`))
    })
  })
}
