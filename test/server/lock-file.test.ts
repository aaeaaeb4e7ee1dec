import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { LockFile } from '../../src/server/lock-file.js'

const statOf = (pid: number): string[] => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.substring(text.lastIndexOf(')') + 2).split(' ')
}

t.test('a process that was killed and not reaped holds no folder; one that lives does, and a later one with its pid does not', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'karst-lock-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  // The shell becomes a program that never asks how its child ended.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 600'], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => parent.kill('SIGKILL'))
  const pid = await new Promise<number>(resolve => createInterface({ input: parent.stdout }).once('line', line => { resolve(Number(line)) }))
  for (let tries = 0; tries < 1_000 && statOf(pid)[0] !== 'Z'; tries++) await new Promise(resolve => { setTimeout(resolve, 10) })
  t.equal(statOf(pid)[0], 'Z')
  const path = join(folder, 'LOCK')
  writeFileSync(path, `${pid} ${statOf(pid)[19]}\n`)
  LockFile.take(folder).release()
  writeFileSync(path, `${parent.pid} ${statOf(parent.pid!)[19]}\n`)
  t.throws(() => LockFile.take(folder), { code: 'dataDirInUse' })
  writeFileSync(path, `${parent.pid} 1\n`)
  LockFile.take(folder).release()
  writeFileSync(path, '')
  LockFile.take(folder).release()
})
