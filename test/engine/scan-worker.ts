// A worker thread of workers.test.ts: attaches to an engine by path and does what it is told.
import { parentPort, workerData } from 'node:worker_threads'
import { emptyBytes } from '../../src/common/bytes.js'
import { Cf } from '../../src/engine/api.js'
import { addon } from '../../src/engine/native.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'

export interface Job {
  readonly path: string
  readonly kind: 'count' | 'forever' | 'abandon'
  readonly snapshot: number
  readonly cancelToken: number
}

if (parentPort !== null) {
  const job = workerData as Job
  const engine = openRocksEngine({ path: job.path })
  const options = { cf: Cf.Default, start: emptyBytes, end: emptyBytes, rowsMax: 1e9, bytesMax: 1e12 }
  if (job.kind === 'count') {
    const rows = engine.scanAt(job.snapshot, { ...options, valueTailBytes: 0 }).rows.length
    await engine.close()
    parentPort.postMessage(rows)
  } else {
    // Neither closes: the environment's end must.
    addon.cursorOpen(engine.handle, 0, Cf.Default, 0, 0, 0, -1)
    engine.snapshot()
    parentPort.postMessage('running')
    while (job.kind === 'forever') {
      try {
        engine.scanAt(0, options, job.cancelToken)
      } catch (error) {
        parentPort.postMessage((error as { code?: string }).code)
        break
      }
    }
  }
}
