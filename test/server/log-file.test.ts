/** Log files are rotated by renaming them: HUP makes a node go on in a new file. Fatal lines are in the file as well. */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLog } from '../../src/server/logging.js'
import { folder, karst, serve } from '../cli/kit.js'

t.test('a reopened log writes to the new file', async t => {
  const file = join(folder(t), 'node.log')
  const log = createLog({ level: 'info', format: 'text', file })
  log('n', 'info', 'one', {})
  renameSync(file, `${file}.1`)
  log('n', 'info', 'two', {})
  log.reopen()
  log('n', 'info', 'three', {})
  t.match(readFileSync(`${file}.1`, 'utf8'), /one[^]*two/)
  t.match(readFileSync(file, 'utf8'), /^\S+ INFO {2}n three\n$/)
})

t.test('a node goes on after HUP, and what ends it is in its file', async t => {
  const dir = folder(t)
  const file = join(dir, 'pd.log')
  const flags = ['pd', '--client-urls', 'http://127.0.0.1:0', '--peer-urls', 'http://127.0.0.1:0', '--data-dir', join(dir, 'pd'), '--log-file', file]
  const node = serve(t, [...flags, '--json'])
  const { statusAddress } = await node.line as { statusAddress: string }
  renameSync(file, `${file}.1`)
  node.signal('SIGHUP')
  for (let i = 0; i < 200 && !(existsSync(file) && readFileSync(file, 'utf8').includes('node.log-reopened')); i++) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  t.match(readFileSync(file, 'utf8'), /node\.log-reopened/)
  t.equal((await fetch(`http://${statusAddress}/live`)).status, 200)
  t.match(JSON.parse(await (await fetch(`http://${statusAddress}/status`)).text()), { state: 'serving' })
  const other = join(dir, 'other.log')
  const second = await karst([...flags.slice(0, -1), other])
  t.equal(second.code, 1)
  t.match(second.err, /in use/, 'people are told')
  t.match(readFileSync(other, 'utf8'), /ERROR \S+ node\.fatal .*in use/, 'and so is the file')
})
