/** Whatever is thrown at the ports of real processes: they answer or hang up, and live. */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import t from 'tap'
import { isAlive } from '../../src/verify/process-cluster.js'
import { PageSocket, within } from '../docs/page-socket.js'
import { frame } from '../docs/page-bytes.js'
import { startProcesses } from './kit.js'

function send(address: string, bytes: Uint8Array): Promise<void> {
  const [host = '', port = ''] = address.split(':')
  return within(new Promise<void>(resolve => {
    const socket = connect(Number(port), host, () => socket.end(bytes))
    socket.on('error', () => resolve()).on('close', () => resolve()).resume()
    setTimeout(() => socket.destroy(), 3_000).unref()
  }), `garbage at ${address}`)
}

t.test('garbage on every port', async t => {
  const { cluster, connection } = await startProcesses(t)
  const doors = cluster.nodes.map(node => node.address)
  const addresses = cluster.nodes.flatMap(node => [node.address, node.statusAddress])
  for (let round = 0; round < 30; round++) {
    await Promise.all(addresses.map(address => send(address, randomBytes(1 + round * 97))))
  }
  const request = Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n')
  await Promise.all(addresses.map(address => send(address, Buffer.concat([request, Buffer.alloc(70_000, 'x')]))))
  await Promise.all(addresses.map(address => send(address, request.subarray(0, 40))))
  // Behind a good upgrade: noise as WebSocket frames, as karst frames, and as bodies.
  for (let round = 0; round < 20; round++) {
    await Promise.all(doors.map(async address => {
      const noise = await PageSocket.open(address)
      if (round % 3 === 0) noise.sendRaw(randomBytes(500))
      else if (round % 3 === 1) noise.sendFrames(randomBytes(24 + round * 13))
      else noise.sendFrames(frame(16 + round, round, randomBytes(round * 7)))
      await within(Promise.race([noise.closed, new Promise(resolve => setTimeout(resolve, 1_000))]), 'noise')
      noise.close()
    }))
  }
  t.ok(cluster.nodes.every(isAlive), 'all processes live')
  await connection.client.raw.put('garbage', 'survived')
  t.equal(new TextDecoder().decode(await connection.client.raw.get('garbage')), 'survived')
})
