// Compiles shim/fault-io.c: a preloaded library that makes syncs and writes fail or slow. Its header says how to ask.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** From dist/test/engine/. */
const source = fileURLToPath(new URL('../../../test/engine/shim/fault-io.c', import.meta.url))

/** @returns the path to name in LD_PRELOAD */
export function buildShim(folder: string): string {
  const library = join(folder, 'fault-io.so')
  const args = ['-shared', '-fPIC', '-O1', '-Wall', '-o', library, source, '-ldl']
  const result = spawnSync('cc', args, { encoding: 'utf8', env: { ...process.env, LD_PRELOAD: '' } })
  if (result.status !== 0) throw new Error(`the fault shim does not compile: ${result.stderr}`)
  return library
}
