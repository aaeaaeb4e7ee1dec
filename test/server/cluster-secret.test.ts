import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createClusterSecretFile, defaultClusterSecretFile, openClusterSecret } from '../../src/server/cluster-secret.js'

const dir = mkdtempSync(join(tmpdir(), 'karst-secret-'))
t.teardown(() => { rmSync(dir, { recursive: true, force: true }) })
const message = new Uint8Array([1, 2, 3])
const signed = (path: string): string => Buffer.from(openClusterSecret(path).sign(message)).toString('hex')

function written(name: string, text: string, mode = 0o600): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

t.test('the first node of a user on a host makes it; the others find it', async t => {
  const home = join(dir, 'home')
  mkdirSync(home)
  const before = process.env.HOME
  process.env.HOME = home
  t.teardown(() => { process.env.HOME = before })
  const first = signed('')
  const path = defaultClusterSecretFile(home)
  t.equal(signed(''), first)
  t.equal(signed(path), first)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(join(home, '.karst')).mode & 0o777, 0o700)
  t.match(readFileSync(path, 'latin1'), /^[A-Za-z0-9+/]{43}=\n$/)
  t.same(readdirSync(join(home, '.karst')), ['cluster-secret'], 'nothing else is left')
  createClusterSecretFile(path)
  t.equal(signed(path), first, 'one that is there stays')
  process.env.HOME = ''
  t.throws(() => openClusterSecret(''), { code: 'config', message: /no home folder.*--cluster-secret-file/s })
  process.env.HOME = '/proc/nowhere'
  t.throws(() => openClusterSecret(''), { code: 'config', message: /cannot be created/ })
})

t.test('what is taken for a secret, and what is not', async t => {
  const word = '5f0d6c2e9ab14873c1d0e4f82b7a96355f0d6c2e9ab14873c1d0e4f82b7a9635'
  const plain = signed(written('plain', word))
  t.equal(signed(written('newline', `${word}\n`)), plain, 'the end of the line is no part of it')
  t.equal(signed(written('windows', `${word}\r\n`)), plain)
  symlinkSync(join(dir, 'plain'), join(dir, 'link'))
  t.equal(signed(join(dir, 'link')), plain)
  t.not(signed(written('another', word.replace('5', '6'))), plain)
  const bad: readonly (readonly [string, RegExp])[] = [
    [written('open', word, 0o640), /other users \(mode 640\).*chmod 600/],
    [written('world', word, 0o602), /other users \(mode 602\)/],
    [written('short', 'changeit\n'), /too short.*urandom/],
    [written('words', `${word} ${word}`), /not one word/],
    [written('dull', 'a'.repeat(64)), /not random/],
    [written('large', 'ab12'.repeat(2_000)), /8000 bytes/],
    [join(dir, 'missing'), /cannot be read: ENOENT/],
    [dir, /is no file/],
  ]
  for (const [path, words] of bad) t.throws(() => openClusterSecret(path), { code: 'config', message: words }, path)
})
