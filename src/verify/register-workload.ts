import type { HistoryRecorder } from './history.js'

/** What the workload needs of a raw client. The library's RawClient fits. */
export interface RegisterClient {
  get(key: string): Promise<Uint8Array | undefined>
  put(key: string, value: string): Promise<void>
  delete(key: string): Promise<void>
  compareAndSwap(key: string, expected: string | undefined, value: string): Promise<{ swapped: boolean; previous: Uint8Array | undefined }>
}

export interface RegisterSettings {
  readonly clients: readonly RegisterClient[]
  readonly keys: readonly string[]
  readonly recorder: HistoryRecorder
  /** 'certain': it did not happen. 'unknown': it may have. */
  readonly classify: (error: unknown) => 'certain' | 'unknown'
  readonly random: () => number
  readonly signal: AbortSignal
  /** Pause between operations of one client, ms. */
  readonly thinkMs: number
}

export interface RegisterTotals {
  ok: number
  fail: number
  info: number
}

/**
 * Clients that read, write, delete and swap unique values on few keys until the signal. A client whose operation ends
 * unknown goes on under a new process number (history-format: process ids are not reused after `info`).
 */
export async function runRegister(settings: RegisterSettings): Promise<RegisterTotals> {
  const totals: RegisterTotals = { ok: 0, fail: 0, info: 0 }
  const state = { process: 0, value: 0 }
  await Promise.all(settings.clients.map(async client => {
    let process = state.process++
    const lastSeen = new Map<string, string | null>()
    while (!settings.signal.aborted) {
      const outcome = await oneOperation(settings, client, process, lastSeen, () => ++state.value)
      totals[outcome]++
      if (outcome === 'info') process = state.process++
      if (settings.thinkMs > 0) await new Promise(resolve => setTimeout(resolve, settings.thinkMs * (0.5 + settings.random())))
    }
  }))
  return totals
}

const text = (bytes: Uint8Array | undefined): string | null => bytes === undefined ? null : new TextDecoder().decode(bytes)

async function oneOperation(settings: RegisterSettings, client: RegisterClient, process: number,
  lastSeen: Map<string, string | null>, nextValue: () => number): Promise<keyof RegisterTotals> {
  const { keys, recorder, random } = settings
  const key = keys[Math.floor(random() * keys.length)] ?? 'k'
  const draw = random()
  const f = draw < 0.4 ? 'read' : draw < 0.7 ? 'write' : draw < 0.95 ? 'cas' : 'delete'
  const fresh = `v${nextValue()}`
  const expected = lastSeen.get(key) ?? null
  const argument = f === 'write' ? { value: fresh } : f === 'cas' ? { value: [expected, fresh] } : {}
  recorder.record({ process, type: 'invoke', f, key, ...argument })
  try {
    if (f === 'read') {
      const value = text(await client.get(key))
      lastSeen.set(key, value)
      recorder.record({ process, type: 'ok', f, key, value })
    } else if (f === 'write') {
      await client.put(key, fresh)
      lastSeen.set(key, fresh)
      recorder.record({ process, type: 'ok', f, key })
    } else if (f === 'delete') {
      await client.delete(key)
      lastSeen.set(key, null)
      recorder.record({ process, type: 'ok', f, key })
    } else {
      const { swapped, previous } = await client.compareAndSwap(key, expected ?? undefined, fresh)
      lastSeen.set(key, swapped ? fresh : text(previous))
      recorder.record({ process, type: 'ok', f, key, value: swapped ? { succeed: true } : { succeed: false, previous: text(previous) } })
    }
    return 'ok'
  } catch (error) {
    const certain = f === 'read' || settings.classify(error) === 'certain'
    recorder.record({ process, type: certain ? 'fail' : 'info', f, key })
    return certain ? 'fail' : 'info'
  }
}
