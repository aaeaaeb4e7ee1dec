import { existsSync } from 'node:fs'
import { join } from 'node:path'

export const hasCommand = (name: string): boolean => (process.env['PATH'] ?? '').split(':').some(folder => existsSync(join(folder, name)))

/** What a comparison with etcd needs and does not find, with the Debian package that brings it. */
export function missingForEtcd(): string[] {
  const wanted = [['etcd', 'etcd-server'], ['cc', 'build-essential']] as const
  return wanted.filter(([command]) => !hasCommand(command)).map(([command, debian]) => `${command} (Debian: ${debian})`)
}

export const hasH2load = (): boolean => hasCommand('h2load')
