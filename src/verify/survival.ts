import { classify, sleep } from './waiting.js'

/** What the audit needs of a client. KarstClient fits. */
export interface SurvivalClient {
  readonly raw: {
    put(key: string, value: string, options: { timeoutMs: number }): Promise<void>
    batchGet(keys: readonly string[], options: { timeoutMs: number }): Promise<(Uint8Array | undefined)[]>
  }
}

/** One write of a key that is written once. */
interface Written {
  readonly key: string
  readonly value: string
}

const valueBytes = 100
const keysPerRead = 1_000
const failuresKept = 50

/**
 * The audit of acknowledged writes. Each key is written once: one that was acknowledged must be there for ever, one that the
 * client says was certainly not written must never be seen, the others may be either.
 */
export class Survival {
  readonly acknowledged: Written[] = []
  readonly refused: Written[] = []
  unknown = 0
  /** What the last refused and unknown writes were told, for reports. */
  readonly failures: string[] = []
  #ordinal = 0
  /** When the last write was acknowledged. */
  lastAckMs = 0

  constructor(readonly prefix: string) {}

  /** `writers` loops until the signal. */
  async load(clients: readonly SurvivalClient[], writers: number, signal: AbortSignal, timeoutMs: number): Promise<void> {
    await Promise.all(Array.from({ length: writers }, async (_, at) => {
      const client = clients[at % clients.length]
      while (client !== undefined && !signal.aborted) {
        const outcome = await this.#write(client, timeoutMs)
        // A refusal came back at once perhaps: do not spin.
        if (outcome !== 'ok') await sleep(5)
      }
    }))
  }

  async #write(client: SurvivalClient, timeoutMs: number): Promise<'ok' | 'certain' | 'unknown'> {
    const key = `${this.prefix}${String(this.#ordinal++).padStart(9, '0')}`
    const written = { key, value: valueOf(key) }
    try {
      await client.raw.put(key, written.value, { timeoutMs })
      this.acknowledged.push(written)
      this.lastAckMs = performance.now()
      return 'ok'
    } catch (error) {
      const outcome = classify(error)
      if (outcome === 'certain') this.refused.push(written)
      else this.unknown++
      if (this.failures.push(String(error)) > failuresKept) this.failures.shift()
      return outcome
    }
  }

  /** @param from acknowledged writes before this place were looked at already. @returns what is wrong, in words */
  async check(client: SurvivalClient, from = 0): Promise<string[]> {
    const wrong: string[] = []
    await this.#read(client, this.acknowledged.slice(from), (written, found) => {
      if (found === undefined) wrong.push(`acknowledged write of ${written.key} is lost`)
      else if (found !== written.value) wrong.push(`${written.key} holds ${JSON.stringify(found)}, which nobody wrote`)
    })
    await this.#read(client, this.refused, (written, found) => {
      if (found !== undefined) wrong.push(`${written.key} is there although its write was reported as certainly not carried out`)
    })
    return wrong
  }

  async #read(
    client: SurvivalClient, list: readonly Written[], look: (written: Written, found: string | undefined) => void,
  ): Promise<void> {
    for (let at = 0; at < list.length; at += keysPerRead) {
      const part = list.slice(at, at + keysPerRead)
      const values = await client.raw.batchGet(part.map(({ key }) => key), { timeoutMs: 30_000 })
      part.forEach((written, i) => {
        const value = values[i]
        look(written, value === undefined ? undefined : new TextDecoder().decode(value))
      })
    }
  }
}

const valueOf = (key: string): string => `${key} `.padEnd(valueBytes, 'karst ')
