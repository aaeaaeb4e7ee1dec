import { createServer } from 'node:net'
import type { Random } from '../common/env.js'
import { formatAddress } from './address.js'
import type { HostAndPort } from './address.js'

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken',
  EADDRNOTAVAIL: 'the host is not an address of this machine',
  ENOTFOUND: 'the host is not known',
  EAI_AGAIN: 'the host is not known, its name server does not answer',
  EACCES: 'this user may not use that port',
}

/**
 * Where port 0 is looked for first: below the range that systems give to outgoing connections (Linux: 32768 on), so that a
 * node which is stopped and started again on "its" port does not find a client of somebody else on it.
 */
const portMin = 10_240
const portMax = 32_767
const triesMax = 50

/**
 * Asks for the address with an ordinary listening socket, and lets go of it. uWebSockets can either share a port with
 * others (SO_REUSEPORT) or, when told not to, also loses SO_REUSEADDR: then a restarted node would wait a minute for the
 * connections of its last life. So it shares, and this tells before that nobody else is there.
 * @returns the port, a free one for port 0; rejects with the reason
 */
export async function probe(place: HostAndPort, random: Random): Promise<number> {
  if (place.port !== 0) return await tryPort(place)
  for (let tries = 0; tries < triesMax; tries++) {
    const port = portMin + random.below(portMax - portMin + 1)
    const found = await tryPort({ host: place.host, port }).catch((error: Error) => error)
    if (typeof found === 'number') return found
    // It is not the port: port 0 will fail the same way, and say so in the words of the caller.
    if ((found.cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') break
  }
  return await tryPort(place)
}

function tryPort(place: HostAndPort): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = reasons[error.code ?? ''] ?? error.message
      reject(new Error(`cannot listen on ${formatAddress(place)}: ${reason}`, { cause: error }))
    })
    server.listen({ host: place.host, port: place.port, exclusive: true }, () => {
      const found = server.address()
      const port = typeof found === 'object' && found !== null ? found.port : 0
      server.close(() => resolve(port))
    })
  })
}
