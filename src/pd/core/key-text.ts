/**
 * Keys as strings of one-byte characters: they compare with `<` in byte order, cost a third of a Uint8Array's
 * memory and never pin the frame that they arrived in.
 */
export function keyText(key: Uint8Array): string {
  let text = ''
  for (let at = 0; at < key.length; at += chunkBytes) {
    text += String.fromCharCode(...key.subarray(at, at + chunkBytes))
  }
  return text
}
const chunkBytes = 4096

/** @returns owned bytes */
export function keyBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}
