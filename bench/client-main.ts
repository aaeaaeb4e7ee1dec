/** A process of its own for our TypeScript client: what it costs is counted apart from the servers and from the benchmark. */
import { noLog } from '../src/server/logging.js'
import { clientTarget, valueMaker } from './client-target.js'
import type { ClientAnswer, ClientJob } from './client-process.js'
import { openConnection } from '../src/server/connection.js'
import { runLoad } from './load.js'
import { findWorkload } from './workloads.js'

const [pd = '', keyspace = '0'] = process.argv.slice(2)
const { client, close } = openConnection({ name: 'bench', log: noLog, pdAddresses: pd.split(','), keyspace: Number(keyspace) })
let stop = new AbortController()

const say = (answer: ClientAnswer): void => { process.send?.(answer) }

async function work(job: ClientJob): Promise<void> {
  const workload = findWorkload(job.work)
  if (workload === undefined) throw new Error(`no workload ${job.work}`)
  stop = new AbortController()
  const figures = await runLoad({
    next: workload.make(job), target: clientTarget(client.raw, valueMaker(job.valueBytes, job.stamp, job.seed)), seconds: job.seconds,
    inFlight: job.inFlight, rate: job.rate, signal: stop.signal,
  })
  say({ kind: 'done', figures })
}

process.on('SIGINT', () => {}) // The benchmark decides when we stop; Ctrl-C reaches the whole group.
process.on('disconnect', () => { process.exit(0) })
process.on('message', (message: ClientJob | 'stop' | 'close') => {
  if (message === 'stop') stop.abort()
  else if (message === 'close') {
    close()
    process.disconnect()
  } else work(message).catch((error: unknown) => { say({ kind: 'failed', reason: String(error) }) })
})
say({ kind: 'ready' })
