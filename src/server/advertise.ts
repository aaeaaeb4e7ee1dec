const anyHost = /^(0\.0\.0\.0|\[::\]):/

/** Listens on every address of the machine: nobody else can use that as an address to reach us. */
export const isAnyHost = (address: string): boolean => anyHost.test(address)

/** What others are told: what the operator says, else where we listen, with the port that we got. */
export function advertised(given: string, listening: string): string {
  return given === '' ? listening : given
}

export const portOf = (address: string): number => Number(address.substring(address.lastIndexOf(':') + 1))
export const hostOf = (address: string): string => address.substring(0, address.lastIndexOf(':'))
export const isLoopback = (address: string): boolean => /^(127\.|localhost:|\[::1\]:)/.test(address)
