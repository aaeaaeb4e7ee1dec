import { KarstError } from '../client/errors.js'

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** @throws Error naming what was waited for, when it does not come true in time */
export async function waitFor<T>(
  what: string, timeoutMs: number, look: () => Promise<T | undefined> | T | undefined, everyMs = 20,
): Promise<T> {
  const endMs = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      last = error
    }
    if (performance.now() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last })
    await sleep(everyMs)
  }
}

/** 'certain': the client says that it did not happen, and will be held to that. */
export function classify(error: unknown): 'certain' | 'unknown' {
  if (!(error instanceof KarstError)) throw error
  return error.isUndetermined ? 'unknown' : 'certain'
}
