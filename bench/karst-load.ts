import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LoadFigures } from './etcd.js'

const source = fileURLToPath(new URL('../../bench/native/karst-load.c', import.meta.url))

/** Compiles the native closed-loop client into a temporary folder. */
export function buildLoader(): string {
  if (!existsSync(source)) throw new Error(`${source} is missing`)
  const path = join(mkdtempSync(join(tmpdir(), 'karst-load-')), 'karst-load')
  execFileSync('cc', ['-O2', '-o', path, source])
  return path
}

export interface PreparedRequest {
  /** The Hello frame and one request frame, as they go over the wire. */
  readonly hello: Uint8Array
  readonly request: Uint8Array
  /** Where in the request the decimal digits of the key are. */
  readonly keyOffset: number
  readonly keyDigits: number
}

/** Finds the place of a key's digits in an encoded frame: they must stand there exactly once. */
export function locateDigits(frame: Uint8Array, digits: string): number {
  const needle = Buffer.from(digits, 'latin1')
  const at = Buffer.from(frame).indexOf(needle)
  if (at < 0 || Buffer.from(frame).indexOf(needle, at + 1) >= 0) throw new Error('the key is not in the frame exactly once')
  return at
}

export interface LoaderRun {
  readonly loader: string
  readonly address: string
  readonly connections: number
  readonly window: number
  readonly seconds: number
  readonly keys: number
  readonly prepared: PreparedRequest
  readonly seed: number
}

/** Runs the native client; `cpuUs` is its own processor time an operation. */
export async function runLoader(run: LoaderRun): Promise<LoadFigures & { readonly clientCpuUs: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'karst-load-'))
  const file = (name: string): string => join(folder, name)
  writeFileSync(file('hello'), run.prepared.hello)
  writeFileSync(file('request'), run.prepared.request)
  const [host, port] = run.address.split(':')
  const args = [host ?? '', port ?? '', run.connections, run.window, run.seconds, run.keys, file('hello'), file('request'),
    run.prepared.keyOffset, run.prepared.keyDigits, run.seed, file('latency')].map(String)
  const output = await new Promise<string>((resolve, reject) => {
    execFile('bash', ['-c', 'TIMEFORMAT="cpu %U %S"; time "$0" "$@"', run.loader, ...args],
      { timeout: (run.seconds + 30) * 1_000 }, (error, stdout, stderr) => error ? reject(new Error(`${error.message} ${stderr}`)) : resolve(stdout + stderr))
  })
  const match = /(\d+) (\d+) ([\d.]+)\s+cpu ([\d.]+) ([\d.]+)/.exec(output)
  if (!match) throw new Error(`karst-load said: ${output}`)
  const operations = Number(match[1])
  const bytes = readFileSync(file('latency'))
  const latencies = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2).slice().sort()
  const at = (share: number): number => (latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0) / 1_000
  return {
    operations, failed: Number(match[2]), perSecond: operations / Number(match[3]), p50: at(0.5), p99: at(0.99), p999: at(0.999),
    clientCpuUs: (Number(match[4]) + Number(match[5])) * 1e6 / Math.max(1, operations),
  }
}
