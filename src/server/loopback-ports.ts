import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/** Ports of loopback, all different: the wished-for ones where they are free, else any that were free a moment ago. */
export async function loopbackPorts(wishes: readonly number[]): Promise<number[]> {
  const servers = await Promise.all(wishes.map(async wish => await listen(wish) ?? await listen(0)))
  const ports = servers.map(server => (server?.address() as AddressInfo).port)
  await Promise.all(servers.map(server => new Promise<void>(resolve => { server?.close(() => { resolve() }) })))
  return ports
}

function listen(port: number): Promise<ReturnType<typeof createServer> | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', error => { port === 0 ? reject(error) : resolve(undefined) })
    server.listen(port, '127.0.0.1', () => { resolve(server) })
  })
}
