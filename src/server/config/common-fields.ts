import type { Field } from './fields.js'

const kib = 1 << 10
const mib = 1 << 20
export const sizes = { kib, mib, gib: 1 << 30 } as const

/** What stores and members of PD have in common. */
export const securityFields: readonly Field[] = [
  {
    key: 'security.cluster-secret-file', kind: 'text', default: '', flag: 'cluster-secret-file',
    doc: 'File with the secret by which stores and members of PD know each other; the same for all of a cluster. Empty: '
      + '~/.karst/cluster-secret, which the first node makes.',
  },
]

/** What every server has. */
export const logFields: readonly Field[] = [
  {
    key: 'log.level', kind: 'choice', choices: ['debug', 'info', 'warn', 'error'], default: 'info', flag: 'log-level',
    doc: 'Events below this level are not written.',
  },
  {
    key: 'log.format', kind: 'choice', choices: ['text', 'json'], default: 'text', flag: 'log-format',
    doc: 'One line an event: `room.event k=v` for people, JSON for machines.',
  },
  {
    key: 'log.file.filename', kind: 'text', default: '', flag: 'log-file',
    doc: 'File the log is appended to. Empty: standard error.',
  },
]
