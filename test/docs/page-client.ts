/** Sections 8 and 9 of docs/PROTOCOL.md: finds regions and asks them. Retries nothing, so that tests see every answer. */
import { concat, engineKey, routeBlock, u64le, wireKey } from './page-bytes.js'
import type { Field, Route , Table} from './page-bytes.js'
import { clientHello, PageSocket } from './page-socket.js'

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
export const key = (value: string): Uint8Array => wireKey(0, text(value))

export interface PageError {
  readonly kind: number
  readonly table: Table
}

/** Field 0 of a response. */
export function errorOf(response: Table): PageError | undefined {
  const table = response.table(0)
  return table === undefined ? undefined : { kind: table.u8(0), table }
}

export function contextOf(regionId: number, confVer: number, version: number, peerId: number, timeoutMs = 5_000): Field {
  return { table: [{ u64: regionId }, { struct: u64le(confVer, version) }, { u64: peerId }, { u32: timeoutMs }] }
}

export class PageClient {
  clusterId = 0n
  readonly storeAddresses = new Map<number, string>()
  readonly #sockets = new Map<string, PageSocket>()

  private constructor(readonly pd: PageSocket) {}

  static async connect(pdAddress: string): Promise<PageClient> {
    const client = new PageClient(await PageSocket.open(pdAddress))
    const members = await client.pd.request(64)
    client.clusterId = members.big(1)
    for (const store of (await client.pd.request(69)).tables(1)) client.storeAddresses.set(store.u64(0), store.text(1))
    return client
  }

  async locate(wire: Uint8Array): Promise<Route> {
    const answer = await this.pd.request(74, { bytes: engineKey(wire) })
    const block = answer.vector(1)
    if (block === undefined) throw new Error('no region holds the key')
    return routeBlock(block)
  }

  async store(storeId: number): Promise<PageSocket> {
    const address = this.storeAddresses.get(storeId) ?? ''
    const known = this.#sockets.get(address)
    if (known !== undefined) return known
    const socket = await PageSocket.open(address, { ...clientHello, clusterId: this.clusterId })
    this.#sockets.set(address, socket)
    return socket
  }

  /** Asks the leader of the region that holds `wire`. */
  async ask(kind: number, wire: Uint8Array, ...fields: readonly Field[]): Promise<Table> {
    const { region, leader } = await this.locate(wire)
    if (leader === undefined) throw new Error('PD knows no leader')
    const store = await this.store(leader.storeId)
    return await store.request(kind, contextOf(region.regionId, region.confVer, region.version, leader.peerId), ...fields)
  }

  close(): void {
    this.pd.close()
    for (const socket of this.#sockets.values()) socket.close()
  }
}

export const hexOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')
export const repeated = (byte: number, count: number): Uint8Array => new Uint8Array(count).fill(byte)
export { concat }
