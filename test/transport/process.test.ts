/** What only separate processes show: a killed server, its port taken up again at once, the end of a process. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { utf8 } from '../../src/common/bytes.js'
import { storeId } from '../../src/common/ids.js'
import { createRaftLinks } from '../../src/transport/raft-links.js'
import { openChannel } from '../../src/transport/rpc-channel.js'
import { context, envelopeFrom } from '../wire/samples.js'
import { hello, realNode, until, secret } from './real.js'

const script = fileURLToPath(new URL('child.js', import.meta.url))
const children = new Set<ChildProcess>()
t.teardown(() => { for (const child of children) child.kill('SIGKILL') })

interface Child { readonly process: ChildProcess; readonly ended: Promise<string>; output(): string }

function start(address: string, mode: string): Child {
  const child = spawn(process.execPath, [script, address, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  let output = ''
  child.stdout.on('data', (text: Buffer) => { output += text.toString() })
  child.stderr.on('data', (text: Buffer) => { output += text.toString() })
  const ended = new Promise<string>(resolve => {
    child.once('close', (code, signal) => {
      children.delete(child)
      resolve(signal ?? String(code))
    })
  })
  return { process: child, ended, output: () => output }
}

async function serve(address: string, mode = 'echo'): Promise<{ readonly child: Child; readonly address: string }> {
  const child = start(address, mode)
  await until(`listening, not ${child.output()}`, () => child.output().includes('\n'), 20_000)
  const found = /listening (\S+)/.exec(child.output())?.[1]
  if (found === undefined) throw new Error(child.output())
  return { child, address: found }
}

const get = { context, key: utf8('a') }

t.test('a server is killed and comes back on its port at once: link down in moments, calls lost, then served again', async t => {
  const node = realNode('client')
  const { child, address } = await serve('127.0.0.1:0', 'mute')
  const events: { readonly what: string; readonly atMs: number }[] = []
  const note = (what: string) => () => { events.push({ what, atMs: performance.now() }) }
  const links = createRaftLinks({
    env: node.env, secret, hello: () => hello('store', 2), addressOf: () => address, onUp: note('up'), onDown: note('down') })
  links.send(storeId(1), envelopeFrom(2))
  links.flush()
  const channel = openChannel({ env: node.env, address, hello: () => hello('client') })
  const lost = Array.from({ length: 20 }, () => channel.call('RawGet', get, { timeoutMs: 60_000 }))
  await until('up', () => events.length === 1 && channel.isConnected)
  const killedAtMs = performance.now()
  child.process.kill('SIGKILL')
  t.equal(await child.ended, 'SIGKILL')
  t.match(await Promise.all(lost), lost.map(() => ({ answered: false, failure: { kind: 'ConnectionLost', sent: true } })))
  await until('down', () => events.length === 2)
  t.ok(events[1]!.atMs - killedAtMs < 1_000, `down after ${events[1]!.atMs - killedAtMs} ms`)
  const again = await serve(address)
  t.equal(again.address, address)
  let answered = false
  for (let i = 0; i < 50 && !answered; i++) answered = (await channel.call('RawGet', get, { timeoutMs: 5_000 })).answered
  t.ok(answered)
  await until('up again', () => events.length === 3)
  t.same(events.map(event => event.what), ['up', 'down', 'up'])
  await t.rejects(node.env.network.listen(address, () => { throw new Error('nobody calls') }), /the port is taken/)
  links.close()
  channel.close()
  again.child.process.kill('SIGKILL')
  await again.child.ended
  node.close()
})

t.test('a stopped process is noticed by the links', async t => {
  const node = realNode('client')
  const { child, address } = await serve('127.0.0.1:0')
  const events: string[] = []
  const links = createRaftLinks({
    env: node.env, secret, hello: () => hello('store', 2), addressOf: () => address,
    onUp: () => { events.push('up') }, onDown: () => { events.push('down') } })
  links.send(storeId(1), envelopeFrom(2))
  links.flush()
  await until('up', () => events.length === 1)
  child.process.kill('SIGSTOP')
  await until('down', () => events.length === 2, 8_000)
  child.process.kill('SIGCONT')
  await until('up again', () => events.length === 3, 8_000)
  t.same(events, ['up', 'down', 'up'])
  links.close()
  child.process.kill('SIGKILL')
  await child.ended
  node.close()
})

t.test('a handler that throws ends the process, and says why', async t => {
  const node = realNode('client')
  const { child, address } = await serve('127.0.0.1:0', 'throws')
  const channel = openChannel({ env: node.env, address, hello: () => hello('client') })
  t.match(await channel.call('RawGet', get, { timeoutMs: 20_000 }), { answered: false, failure: { kind: 'ConnectionLost', sent: true } })
  t.not(await child.ended, '0')
  t.match(child.output(), /a broken invariant/)
  channel.close()
  node.close()
})

for (const mode of ['orderly', 'abrupt']) {
  t.test(`after an ${mode} close nothing keeps the process alive`, async t => {
    const child = start('127.0.0.1:0', mode)
    t.equal(await child.ended, '0')
    t.match(child.output(), /^true Refused$/m)
  })
}
