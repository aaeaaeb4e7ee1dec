import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

/**
 * Below the range that systems give to outgoing connections (Linux: 32768 on): a process that is killed and started again
 * must find its port free, and any connection made meanwhile could have taken one of those.
 */
const portMin = 10_240
const portMax = 32_767
const triesMax = 200

function listenOn(port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

/** Ports of loopback that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = new Map<number, Server>()
  for (let tries = 0; servers.size < count; tries++) {
    if (tries > triesMax + count) throw new Error(`no ${count} free ports on loopback between ${portMin} and ${portMax}`)
    const port = randomInt(portMin, portMax + 1)
    const server = servers.has(port) ? undefined : await listenOn(port)
    if (server !== undefined) servers.set(port, server)
  }
  await Promise.all([...servers.values()].map(server => new Promise(resolve => server.close(resolve))))
  return [...servers.keys()]
}
