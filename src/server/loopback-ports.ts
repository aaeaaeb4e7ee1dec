import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/**
 * Below the range that systems give to outgoing connections and to port 0 (Linux: 32768 on): either could take a port
 * before its node listens, or while the node is down.
 */
const portMin = 10_240
const portMax = 32_767
const triesMax = 50

/** Ports of loopback, all different: the wished-for ones where they are free, else any that were free a moment ago. */
export async function loopbackPorts(wishes: readonly number[]): Promise<number[]> {
  const servers = await Promise.all(wishes.map(async wish => (wish === 0 ? undefined : await listen(wish)) ?? await listenAnywhere()))
  const ports = servers.map(server => (server?.address() as AddressInfo).port)
  await Promise.all(servers.map(server => new Promise<void>(resolve => { server?.close(() => { resolve() }) })))
  return ports
}

async function listenAnywhere(): Promise<ReturnType<typeof createServer> | undefined> {
  for (let tries = 0; tries < triesMax; tries++) {
    const server = await listen(randomInt(portMin, portMax + 1))
    if (server !== undefined) return server
  }
  return await listen(0)
}

function listen(port: number): Promise<ReturnType<typeof createServer> | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', error => { port === 0 ? reject(error) : resolve(undefined) })
    server.listen(port, '127.0.0.1', () => { resolve(server) })
  })
}
