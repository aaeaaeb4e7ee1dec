import { mkdirSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { LockFile } from './lock-file.js'
import { StartupError } from './startup-error.js'

/** What a node of one kind keeps in its folder. The first name is the file that says so. */
export const folderNames = {
  store: ['STORE.json', 'raft', 'db', 'snapshots'],
  pd: ['PD.json', 'raft'],
} as const
export type FolderKind = keyof typeof folderNames

const anybodys = /^(LOCK|lost\+found|.*\.(log|new))$/

/**
 * Makes the folder if there is none and takes its lock. Folders of other programs, and of the other kind of node, are
 * left alone.
 * @throws StartupError('dataDirForeign' | 'dataDirInUse')
 */
export function claimFolder(kind: FolderKind, path: string): LockFile {
  const folder = resolve(path)
  try {
    mkdirSync(folder, { recursive: true })
    refuseForeign(kind, folder, readdirSync(folder))
    return LockFile.take(folder)
  } catch (error) {
    if (error instanceof StartupError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'EACCES' || code === 'EPERM' ? `user ${process.getuid?.() ?? ''} may not write there`
      : code === 'ENOTDIR' || code === 'EEXIST' ? 'it is no folder' : code === 'EROFS' ? 'its file system is read-only' : message
    throw new StartupError('dataDirForeign', `--data-dir ${folder} cannot be used: ${why}`, { cause: error })
  }
}

function refuseForeign(kind: FolderKind, folder: string, names: readonly string[]): void {
  const own: readonly string[] = folderNames[kind]
  const other = kind === 'store' ? 'pd' : 'store'
  if (names.includes(folderNames[other][0])) {
    const whose = other === 'pd' ? 'a PD member' : 'a store'
    throw new StartupError('dataDirForeign', `${folder} belongs to ${whose}: give this ${kind} a --data-dir of its own`)
  }
  if (names.some(name => own.includes(name))) return
  const foreign = names.filter(name => !anybodys.test(name))
  if (foreign.length === 0) return
  throw new StartupError('dataDirForeign', `${folder} holds other things (${foreign.slice(0, 3).join(', ')}${foreign.length > 3
    ? ', …' : ''}) and no data of a ${kind}: give it an empty folder, or one that is not there yet`)
}
