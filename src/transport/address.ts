export interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** `host:port`, IPv6 in brackets: `[::1]:2379`. @returns undefined when malformed */
export function parseAddress(address: string): HostAndPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/?#@]+)):(\d{1,5})$/.exec(address)
  if (match === null) return undefined
  const port = Number(match[3])
  const host = match[1] ?? match[2] ?? ''
  return port > 65_535 ? undefined : { host, port }
}

export const formatAddress = ({ host, port }: HostAndPort): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
