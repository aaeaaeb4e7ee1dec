/** As much of protobuf's wire format as a few requests of etcd need. */

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) | 0x80)
  }
}

export const bytesField = (field: number, value: Uint8Array): Uint8Array =>
  Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value])

export const numberField = (field: number, value: number): Uint8Array => Buffer.from([...varint(field * 8), ...varint(value)])

export const message = (...fields: readonly Uint8Array[]): Uint8Array => Buffer.concat(fields)

/** A gRPC message: not compressed, length, bytes. */
export function frame(body: Uint8Array): Uint8Array {
  const header = Buffer.alloc(5)
  header.writeUInt32BE(body.length, 1)
  return Buffer.concat([header, body])
}
