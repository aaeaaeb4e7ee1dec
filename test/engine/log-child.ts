// A process that is meant to die: appends to a raft log and an engine, and says on stdout what is durable.
//   node log-child.js DIR            from the last complete batch on, until killed
//   node log-child.js DIR count N    N synced batches, then a clean close
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { logIndex, regionId, term } from '../../src/common/ids.js'
import { LogStateKind, Cf } from '../../src/engine/api.js'
import type { RaftLog } from '../../src/engine/api.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { openNativeRaftLog } from '../../src/engine/native-raft-log.js'
import { openRocksEngine } from '../../src/engine/rocks-engine.js'
import { EntryType } from '../../src/raft/types.js'

export const regionCount = 5
const compactEvery = 40

/** Batch n appends this many entries of which each says n: size and number are a function of n. */
export const entriesOf = (n: number): number => 1 + (n * 7) % 3
export const dataOf = (n: number, i: number): Buffer => Buffer.from(`${n}.${i}:`.padEnd(20 + (n * 37 + i) % 900, 'x'))

/** The n of the last batch the log holds, from the store record. */
export function lastOf(log: RaftLog): number {
  const bytes = log.state(regionId(0), LogStateKind.Store)
  return bytes === undefined ? 0 : Number(Buffer.from(bytes).toString())
}

function appendOne(log: RaftLog, n: number, sync: boolean, onDurable: () => void): void {
  const id = regionId(1 + n % regionCount)
  const batch = log.batch()
  const known = log.region(id)
  const first = (known?.lastIndex ?? 0) + 1
  batch.entries(id, Array.from({ length: entriesOf(n) }, (_, i) => ({
    term: term(1 + Math.floor(n / 100)), index: logIndex(first + i), type: EntryType.Normal, data: dataOf(n, i),
  })))
  batch.state(regionId(0), LogStateKind.Store, Buffer.from(String(n)))
  if (known !== undefined && n % compactEvery === 0 && known.lastIndex > known.truncatedIndex + 20) {
    const index = logIndex(known.lastIndex - 10)
    batch.compact(id, index, log.term(id, index)!)
  }
  log.append(batch, sync, onDurable)
}

function engineBatch(n: number): Uint8Array {
  const batch = new BatchWriter()
  for (const cf of [Cf.Default, Cf.Lock, Cf.Write, Cf.Raft]) batch.put(cf, Buffer.from('n'), Buffer.from(String(n)))
  return batch.put(Cf.Default, Buffer.from(`k${n % 100}`), Buffer.from(String(n).padEnd(500, '.'))).finish()
}

async function main(dir: string, mode: string | undefined, count: number): Promise<void> {
  const log = openNativeRaftLog({
    dir: join(dir, 'log'), segmentBytes: 32 << 10, cacheBytesMax: 16 << 10, idleMarkMs: 3,
  })
  const engine = openRocksEngine({ path: join(dir, 'db'), memtableBytes: 1 << 20 })
  let n = Math.max(lastOf(log), Number(Buffer.from(engine.get(Cf.Raft, Buffer.from('n')) ?? []).toString()))
  writeSync(1, 'open\n')
  let inFlight = 0
  let done: () => void = () => {}
  const step = (): void => {
    while (inFlight < 8 && (mode === undefined || count > 0)) {
      count--
      const mine = ++n
      inFlight++
      engine.submit(engineBatch(mine), () => {})
      if (mine % 25 === 0) engine.flush(() => { writeSync(1, `flushed ${mine}\n`) })
      appendOne(log, mine, mode !== undefined || mine % 3 > 0, () => {
        inFlight--
        writeSync(1, `durable ${mine}\n`)
        if (inFlight === 0 && count === 0) done()
        else setImmediate(step)
      })
    }
  }
  step()
  if (mode === undefined) return
  await new Promise<void>(resolve => { done = resolve })
  await log.close()
  await engine.close()
}

if (process.argv[1]?.endsWith('log-child.js') === true) {
  await main(process.argv[2]!, process.argv[3], Number(process.argv[4] ?? 0))
}
