#!/usr/bin/env node
// Makes a bare clone runnable, and is a no-op when it already is. Node built-ins only: nothing is installed yet.
// Each step keeps a stamp: the hash of what it was made from. Contents count, not times.
import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import {
  closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const lockPath = join(root, '.karst-bootstrap.lock')
const lockWaitMsMax = 300_000
const say = text => process.stderr.write(`karst: ${text}\n`)

function fail(text) {
  say(text)
  release()
  process.exit(1)
}

function filesBelow(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap(entry => entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)])
}

function hashOf(paths, ...extra) {
  const hash = createHash('sha256')
  for (const path of paths) hash.update(path).update('\0').update(readFileSync(join(root, path))).update('\0')
  for (const text of extra) hash.update(text)
  return hash.digest('hex')
}

function stampIs(path, value) {
  return existsSync(join(root, path)) && readFileSync(join(root, path), 'utf8') === value
}

function run(command, args, what) {
  // npm passes its own configuration down as npm_*; a nested npm must not inherit it.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_')))
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', maxBuffer: 64 << 20 })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  fail(`${what} failed: ${command} ${args.join(' ')} (${result.error?.message ?? `exit ${result.status}`})`)
}

let held = false

function acquire() {
  const started = Date.now()
  for (let told = false; ; told = true) {
    try {
      const fd = openSync(lockPath, 'wx')
      writeFileSync(fd, String(process.pid))
      closeSync(fd)
      held = true
      return
    } catch (error) {
      if (error.code !== 'EEXIST') fail(`this folder is not set up, and cannot be written to set it up: ${error.message}`)
      if (holderIsGone()) rmSync(lockPath, { force: true })
      else if (Date.now() - started > lockWaitMsMax) fail(`another set-up holds ${lockPath} for too long; remove it if no set-up runs`)
      else {
        if (!told) say('another set-up is running in this folder; waiting for it')
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
      }
    }
  }
}

function holderIsGone() {
  try {
    const pid = Number(readFileSync(lockPath, 'utf8'))
    if (!pid) return Date.now() - statSync(lockPath).mtimeMs > 5_000
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH' || error.code === 'ENOENT'
  }
}

function release() {
  if (held) rmSync(lockPath, { force: true })
  held = false
}

/** Debian packages the addon is compiled against. Other systems: install RocksDB's headers by hand. */
function missingPackages() {
  const missing = []
  if (!existsSync('/usr/include/rocksdb/db.h') && !existsSync('/usr/local/include/rocksdb/db.h')) missing.push('librocksdb-dev')
  if (!hasCommand('g++')) missing.push('g++')
  if (!hasCommand('make')) missing.push('make')
  if (!hasCommand('python3')) missing.push('python3')
  return missing
}

function systemPackages() {
  const missing = missingPackages()
  if (missing.length === 0) return
  const isRoot = process.getuid() === 0
  if (!hasCommand('apt-get')) fail(`needed and not found: ${missing.join(', ')}; this system has no apt-get, please install them`)
  const byHand = `please run this as root, then start again:\n  apt-get update && apt-get install -y ${missing.join(' ')}`
  if (!isRoot && !hasCommand('sudo')) fail(`needed and not found: ${missing.join(', ')}; you are not root and there is no sudo: ${byHand}`)
  if (!isRoot && spawnSync('sudo', ['-n', 'true']).status !== 0) {
    fail(`needed and not found: ${missing.join(', ')}; sudo asks for a password here: ${byHand}`)
  }
  say(`installing ${missing.join(', ')} with apt-get`)
  const apt = (...args) => {
    const words = ['DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', ...args]
    if (isRoot) run('env', words, 'apt-get')
    else run('sudo', ['-n', 'env', ...words], 'apt-get')
  }
  apt('update')
  apt('install', '-y', '--no-install-recommends', ...missing)
}

function hasCommand(name) {
  return (process.env.PATH ?? '').split(':').some(folder => folder && existsSync(join(folder, name)))
}

const stamps = { packages: 'node_modules/.karst-stamp', addon: 'build/.karst-stamp', typescript: 'dist/.karst-stamp' }

function packagesHash() {
  // Scripts and names may change without another install.
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return hashOf(['package-lock.json'], JSON.stringify([dependencies, devDependencies]), process.version)
}

function nodePackages() {
  const wanted = packagesHash()
  if (stampIs(stamps.packages, wanted)) return
  say('installing node packages from the lock file (npm ci)')
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], 'npm ci')
  writeFileSync(join(root, stamps.packages), wanted)
}

/** What the addon was compiled against: another library of the same name may have other bytes in its structures. */
function rocksdb() {
  const headers = ['/usr/local/include', '/usr/include'].map(folder => join(folder, 'rocksdb/version.h')).find(existsSync)
  const folders = ['/usr/local/lib', '/usr/lib', `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`, '/usr/lib64']
  const libraries = folders.map(folder => join(folder, 'librocksdb.so')).filter(existsSync).map(path => {
    const real = realpathSync(path)
    return `${real} ${statSync(real).size}`
  })
  return [headers === undefined ? '' : readFileSync(headers, 'utf8'), ...libraries].join('\n')
}

const addonHash = () => hashOf(['binding.gyp', ...filesBelow('native').filter(path => /\.(cc|h|c)$/.test(path))],
  process.versions.modules, process.arch, rocksdb())

function addon() {
  const wanted = addonHash()
  if (stampIs(stamps.addon, wanted)) return
  say('compiling the storage addon (about half a minute)')
  const prefix = dirname(dirname(process.execPath))
  const nodedir = [prefix, '/usr'].find(folder => existsSync(join(folder, 'include/node/node_api.h')))
  run(process.execPath, [join(root, 'node_modules/node-gyp/bin/node-gyp.js'), 'rebuild', '--jobs=max',
    ...(nodedir ? [`--nodedir=${nodedir}`] : [])], 'the addon build')
  writeFileSync(join(root, stamps.addon), wanted)
}

const typescriptHash = () =>
  hashOf([...['src', 'test', 'bench'].flatMap(filesBelow).filter(path => path.endsWith('.ts')), 'scripts/build.mjs'])

async function typescript() {
  const wanted = typescriptHash()
  if (stampIs(stamps.typescript, wanted)) return
  const { buildAll } = await import('./build.mjs')
  await buildAll()
  mkdirSync(join(root, 'dist'), { recursive: true })
  writeFileSync(join(root, stamps.typescript), wanted)
}

/** Nothing to do, so nothing to write: a checkout on a read-only disk runs as well. */
const isSetUp = () => missingPackages().length === 0 && stampIs(stamps.packages, packagesHash())
  && stampIs(stamps.addon, addonHash()) && stampIs(stamps.typescript, typescriptHash())

if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node 20 or newer is needed, this is ${process.version}`)
process.on('exit', release)
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))
if (!isSetUp()) {
  acquire()
  systemPackages()
  nodePackages()
  addon()
  await typescript()
  release()
}
