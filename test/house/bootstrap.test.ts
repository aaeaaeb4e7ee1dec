/** The set-up script on machines that are not ready for it: what it says, and when it has nothing to do. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../../..', import.meta.url))
/** Somebody who may write nowhere, and who may not look into a folder of the suite, which is root's alone: hence /tmp. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

/** What the script reads of a checkout, set up: the stamps say so. */
function checkout(t: { teardown(run: () => unknown): unknown }, { isSetUp }: { isSetUp: boolean }): string {
  const folder = mkdtempSync('/tmp/karst-checkout-')
  t.teardown(() => {
    chmodSync(folder, 0o755)
    rmSync(folder, { recursive: true, force: true })
  })
  for (const path of ['scripts', 'native', 'package.json', 'package-lock.json', 'binding.gyp']) {
    cpSync(join(root, path), join(folder, path), { recursive: true })
  }
  if (isSetUp) {
    for (const stamp of ['node_modules/.karst-stamp', 'build/.karst-stamp']) {
      mkdirSync(join(folder, stamp, '..'))
      cpSync(join(root, stamp), join(folder, stamp))
    }
    const build = readFileSync(join(folder, 'scripts/build.mjs'))
    mkdirSync(join(folder, 'dist'))
    writeFileSync(join(folder, 'dist/.karst-stamp'),
      createHash('sha256').update('scripts/build.mjs').update('\0').update(build).update('\0').digest('hex'))
  }
  chmodSync(folder, 0o555)
  return folder
}

function bootstrap(folder: string, path = process.env['PATH'] ?? ''): { code: number | null; says: string } {
  const run = spawnSync(process.execPath, [join(folder, 'scripts/bootstrap.mjs')],
    { cwd: folder, encoding: 'utf8', env: { PATH: path }, ...nobody })
  return { code: run.status, says: run.stderr + run.stdout }
}

/** A folder of commands for PATH. */
function commands(t: { teardown(run: () => unknown): unknown }, ...names: readonly string[]): string {
  const folder = mkdtempSync('/tmp/karst-path-')
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  chmodSync(folder, 0o755)
  for (const name of names) symlinkSync('/bin/false', join(folder, name))
  return folder
}

t.test('a checkout that is set up and cannot be written runs as it is', async t => {
  t.same(bootstrap(checkout(t, { isSetUp: true })), { code: 0, says: '' })
})

t.test('one that is not set up and cannot be written says so, without a stack', async t => {
  const { code, says } = bootstrap(checkout(t, { isSetUp: false }))
  t.equal(code, 1)
  t.match(says, /not set up, and cannot be written/)
  t.notMatch(says, /^\s+at /m)
})

t.test('a missing package and no way to install it: the command to give as root', async t => {
  const folder = checkout(t, { isSetUp: false })
  chmodSync(folder, 0o777)
  const withoutSudo = bootstrap(folder, commands(t, 'apt-get'))
  t.equal(withoutSudo.code, 1)
  t.match(withoutSudo.says, /needed and not found: .*g\+\+.*there is no sudo: please run this as root[^]*apt-get install -y .*g\+\+/)
  const withPassword = bootstrap(folder, commands(t, 'apt-get', 'sudo'))
  t.match(withPassword.says, /sudo asks for a password here: please run this as root/)
  const withoutApt = bootstrap(folder, commands(t))
  t.match(withoutApt.says, /this system has no apt-get, please install them/)
  for (const { says } of [withoutSudo, withPassword, withoutApt]) t.notMatch(says, /^\s+at |ENOENT/m)
})

t.test('another RocksDB library makes the addon be built again', async t => {
  const script = readFileSync(join(root, 'scripts/bootstrap.mjs'), 'utf8')
  t.match(script, /const addonHash = \(\) => hashOf\([^;]*rocksdb\(\)\)/, 'what was linked against is part of the stamp')
  const stamp = readFileSync(join(root, 'build/.karst-stamp'), 'utf8')
  const folder = checkout(t, { isSetUp: true })
  t.equal(bootstrap(folder).code, 0)
  chmodSync(folder, 0o777)
  writeFileSync(join(folder, 'scripts/bootstrap.mjs'),
    script.replace('return [headers === undefined', 'return [\'another library\', headers === undefined'))
  const changed = bootstrap(folder)
  t.not(changed.code, 0, `it wants to build, where stamp ${stamp.substring(0, 8)} was enough before`)
})
