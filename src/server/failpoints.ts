import { writeSync } from 'node:fs'

/** What a hidden test flag `--failpoint name=action` asks for. `kill`: SIGKILL to ourselves. */
export type FailAction = { readonly kind: 'kill' | 'exit' | 'throw' } | { readonly kind: 'sleep'; readonly ms: number }

/** `name=kill|exit|throw|sleep:MS`, optionally `name=3*kill`: the third time. */
export function parseFailpoint(text: string): { name: string; action: FailAction; nth: number } | undefined {
  const match = /^([A-Za-z0-9_.-]+)=(?:(\d{1,9})\*)?(kill|exit|throw|sleep:(\d{1,7}))$/.exec(text)
  if (match === null) return undefined
  const [, name = '', nth, word = '', ms] = match
  const action: FailAction = ms === undefined
    ? { kind: word as 'kill' | 'exit' | 'throw' } : { kind: 'sleep', ms: Number(ms) }
  return { name, action, nth: Number(nth ?? 1) }
}

/** @returns the Env hook; undefined when there is nothing to do, so that production pays one comparison. */
export function createFailpoints(texts: readonly string[]): ((name: string) => void) | undefined {
  if (texts.length === 0) return undefined
  const points = new Map<string, { action: FailAction; nth: number; hits: number }>()
  for (const text of texts) {
    const parsed = parseFailpoint(text)
    if (parsed === undefined) throw new Error(`--failpoint "${text}": name=[N*]kill|exit|throw|sleep:MS is expected`)
    points.set(parsed.name, { action: parsed.action, nth: parsed.nth, hits: 0 })
  }
  return name => {
    const point = points.get(name)
    if (point === undefined) return
    point.hits++
    if (point.hits === point.nth || (point.action.kind === 'sleep' && point.hits > point.nth)) act(name, point.action)
  }
}

function act(name: string, action: FailAction): void {
  writeSync(2, `failpoint ${name}: ${action.kind}\n`)
  switch (action.kind) {
    case 'kill': process.kill(process.pid, 'SIGKILL'); break
    case 'exit': process.exit(99); break
    case 'throw': throw new Error(`failpoint ${name}`)
    case 'sleep': Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, action.ms); break
  }
}
