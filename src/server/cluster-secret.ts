import { createHmac, randomBytes } from 'node:crypto'
import {
  chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ClusterSecret } from '../transport/handshake.js'
import { isCode, syncFolder } from './files.js'
import { StartupError } from './startup-error.js'

/** 32 bytes as base64 without padding, which is shorter than as hex. */
const charactersMin = 43
const charactersMax = 4_096
/** Fewer different characters are no dice. */
const differentMin = 10
const secretText = /^[A-Za-z0-9+/=_.:-]+$/
const othersMay = 0o077

const generate = (): string => randomBytes(32).toString('base64')

class Secret implements ClusterSecret {
  readonly #text: string
  constructor(text: string) { this.#text = text }
  sign(message: Uint8Array): Uint8Array { return new Uint8Array(createHmac('sha256', this.#text).update(message).digest()) }
}

/** One that no file has: for clusters inside one process. */
export const drawClusterSecret = (): ClusterSecret => new Secret(generate())
/** For twins in memory, which must do the same each time. */
export const clusterSecretOf = (text: string): ClusterSecret => new Secret(text)

/** Where nodes of one user on one host find it, as Erlang's find their cookie. */
export function defaultClusterSecretFile(home: string): string { return join(home, '.karst', 'cluster-secret') }

/**
 * @param path  '': the default, which is created by the first node that asks
 * @throws StartupError('config')
 */
export function openClusterSecret(path: string): ClusterSecret {
  if (path !== '') return readClusterSecret(path)
  const home = process.env.HOME ?? homeOfUser()
  if (home === '') {
    throw new StartupError('config', 'there is no home folder to keep a cluster secret in: say --cluster-secret-file (stores and PD '
      + 'prove with it that they belong together; all need the same). One is made by: '
      + 'head -c 32 /dev/urandom | base64 > cluster-secret; chmod 600 cluster-secret')
  }
  const standard = defaultClusterSecretFile(home)
  createClusterSecretFile(standard)
  return readClusterSecret(standard)
}

function homeOfUser(): string {
  try {
    return homedir()
  } catch {
    return ''
  }
}

/** Does nothing when it is there. Whole or not at all: nodes that start together find the same one. */
export function createClusterSecretFile(path: string): void {
  try {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return
    makeFolder(dirname(path))
    writeOnce(path, `${generate()}\n`)
  } catch (error) {
    throw new StartupError('config', `the cluster secret ${path} cannot be created: ${(error as Error).message}. `
      + 'Say with --cluster-secret-file where it is', { cause: error })
  }
}

/** The folder above must be there: Node's recursive mkdir does not end where none can be made, as in /proc. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
  }
}

function writeOnce(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const fd = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  try {
    chmodSync(temporary, 0o600)
    linkSync(temporary, path)
    syncFolder(dirname(path))
  } catch (error) {
    // Somebody was faster: theirs is the secret.
    if (!isCode(error, 'EEXIST')) throw error
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** @throws StartupError('config') */
export function readClusterSecret(path: string): ClusterSecret {
  const refused = (why: string, cause?: unknown): StartupError =>
    new StartupError('config', `the cluster secret ${path} ${why}`, cause === undefined ? {} : { cause })
  let text: string
  try {
    const found = statSync(path)
    if (!found.isFile()) throw refused('is no file')
    if (process.platform !== 'win32' && (found.mode & othersMay) !== 0) {
      const mode = (found.mode & 0o777).toString(8)
      throw refused(`can be read or written by other users (mode ${mode}), and is no secret then: chmod 600 ${path}`)
    }
    if (found.size > charactersMax) throw refused(`has ${found.size} bytes; at most ${charactersMax} are read`)
    text = readFileSync(path, 'latin1').trim()
  } catch (error) {
    if (error instanceof StartupError) throw error
    throw refused(`cannot be read: ${(error as Error).message}`, error)
  }
  const advice = `make one with: head -c 32 /dev/urandom | base64 > ${path}`
  if (text.length < charactersMin) throw refused(`is too short: 32 random bytes as base64 or hex are expected; ${advice}`)
  if (!secretText.test(text)) throw refused(`is not one word of base64 or hex; ${advice}`)
  if (new Set(text).size < differentMin) throw refused(`is not random; ${advice}`)
  return new Secret(text)
}
