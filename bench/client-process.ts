import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { BenchError, type LoadFigures } from './figures.js'
import type { WorkloadSettings } from './workloads.js'

export interface ClientJob extends WorkloadSettings {
  readonly work: string
  readonly inFlight: number
  readonly rate: number
  readonly seconds: number
  readonly valueBytes: number
  readonly stamp: string
}

export type ClientAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly figures: LoadFigures }
  | { readonly kind: 'failed'; readonly reason: string }

const program = fileURLToPath(new URL('./client-main.js', import.meta.url))
const readyMsMax = 15_000
const graceMs = 40_000
const closeMsMax = 3_000

/** Our TypeScript client in a process of its own; one job at a time. */
export class ClientProcess {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) { this.#child = child }

  static async start(pd: readonly string[], keyspace: number): Promise<ClientProcess> {
    const child = fork(program, [pd.join(','), String(keyspace)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const client = new ClientProcess(child)
    const answer = await client.#answer(readyMsMax)
    if (answer.kind !== 'ready') throw new BenchError('the client process did not start')
    return client
  }

  async run(job: ClientJob, signal: AbortSignal): Promise<LoadFigures> {
    const onAbort = (): void => { this.#child.send('stop') }
    signal.addEventListener('abort', onAbort)
    try {
      const answered = this.#answer(job.seconds * 1_000 + graceMs)
      this.#child.send(job)
      const answer = await answered
      if (answer.kind === 'done') return answer.figures
      throw new BenchError(answer.kind === 'failed' ? answer.reason : 'the client process answered out of turn')
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), closeMsMax)
      this.#child.once('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      this.#child.send('close')
    })
  }

  #answer(withinMs: number): Promise<ClientAnswer> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#child.off('message', onMessage)
        this.#child.off('exit', onExit)
      }
      const onMessage = (message: unknown): void => {
        done()
        resolve(message as ClientAnswer)
      }
      const onExit = (code: number | null): void => {
        done()
        reject(new BenchError(`the client process ended with ${code}`))
      }
      const timer = setTimeout(() => {
        done()
        reject(new BenchError(`the client process said nothing for ${withinMs / 1_000} s`))
      }, withinMs)
      this.#child.on('message', onMessage)
      this.#child.on('exit', onExit)
    })
  }
}
