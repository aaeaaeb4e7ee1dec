/** Big integers as decimal texts, bytes as hex. */
export const toJson = (value: unknown): string => JSON.stringify(value, (_key, one: unknown) => {
  if (typeof one === 'bigint') return one.toString()
  if (one instanceof Uint8Array) return Buffer.from(one).toString('hex').toUpperCase()
  return one
})
