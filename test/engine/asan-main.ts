// npm run test:asan: the addon built with the address sanitizer in a temporary folder, and the engine's tests on it.
// Leak detection is off: V8 never frees what lives for ever; the open-use-close test watches memory instead.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** From dist/test/engine/. */
const root = fileURLToPath(new URL('../../../', import.meta.url))
const flags = '-fsanitize=address -fno-omit-frame-pointer -g'

function run(command: string, args: readonly string[], cwd: string, env: Record<string, string>): number {
  const result = spawnSync(command, args, { cwd, stdio: 'inherit', env: { ...process.env, ...env } })
  return result.status ?? 1
}

function buildAddon(folder: string): string {
  for (const part of ['native', 'binding.gyp', 'package.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const prefix = dirname(dirname(process.execPath))
  const nodedir = [prefix, '/usr'].find(path => existsSync(join(path, 'include/node/node_api.h')))
  const status = run(process.execPath, [join(root, 'node_modules/node-gyp/bin/node-gyp.js'), 'rebuild', '--jobs=max',
    '--loglevel=warn', ...(nodedir === undefined ? [] : [`--nodedir=${nodedir}`])], folder,
  { CXXFLAGS: flags, LDFLAGS: flags })
  if (status !== 0) throw new Error('the sanitized addon does not build')
  return join(folder, 'build/Release/karst.node')
}

const folder = mkdtempSync(join(tmpdir(), 'karst-asan-'))
try {
  const library = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout.trim()
  const addon = buildAddon(folder)
  console.log(`engine tests on ${addon} with ${library}`)
  process.exitCode = run(process.execPath, [join(root, 'scripts/test.mjs'), 'engine/'], root, {
    KARST_ADDON: addon,
    LD_PRELOAD: library,
    // RocksDB is not instrumented: containers that cross the border look poisoned, and it mixes allocators' twins.
    ASAN_OPTIONS: ['detect_leaks=0', 'detect_container_overflow=0', 'alloc_dealloc_mismatch=0', 'quarantine_size_mb=8',
      'exitcode=99'].join(':'),
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
