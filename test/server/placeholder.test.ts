/** The reserve on disk: real blocks, given back when the disk is full, and not for writes then. */
import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Placeholder } from '../../src/server/placeholder.js'
import { storeId } from '../../src/common/ids.js'
import { BatchWriter } from '../../src/engine/batch-writer.js'
import { Cf } from '../../src/engine/api.js'
import { DiskWatch } from '../../src/store/disk-watch.js'
import { peer, region } from '../pd/samples.js'
import { folder } from '../cli/kit.js'

const mib = 2 ** 20
const hasFallocate = ((): boolean => {
  try {
    execFileSync('fallocate', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

t.test('made where there is room, given back when there is none, made again when there is', async t => {
  const dir = folder(t)
  const path = join(dir, 'space_placeholder_file')
  const space = (availableBytes: number): { capacityBytes: number; availableBytes: number } => ({ capacityBytes: 1e12, availableBytes })
  const placeholder = new Placeholder(dir, mib)
  const made = async (): Promise<void> => {
    for (let i = 0; i < 500 && !placeholder.isHeld; i++) await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.equal(placeholder.watch(space(4 * mib)).heldBackBytes, 0)
  t.notOk(existsSync(path), 'not at the cost of those who write')
  placeholder.watch(space(100 * mib))
  if (!hasFallocate) {
    t.pass('no fallocate here: none is made')
    return
  }
  await made()
  t.equal(statSync(path).size, mib)
  t.ok(statSync(path).blocks * 512 >= mib, 'real blocks')
  t.equal(placeholder.watch(space(mib / 4)).heldBackBytes, mib)
  t.notOk(existsSync(path))
  t.equal(placeholder.watch(space(mib + mib / 4)).heldBackBytes, mib, 'still not for writes')
  t.equal(placeholder.watch(space(100 * mib)).heldBackBytes, 0)
  await made()
  t.ok(existsSync(path))
  const again = new Placeholder(dir, mib)
  again.watch(space(0))
  t.notOk(existsSync(path), 'a start on a full disk gives back what an earlier life made')
})

t.test('a leader refuses what a majority has no room for, and lets deletes through', async t => {
  const watch = new DiskWatch(storeId(1), 10 * mib)
  const of = region({ peers: [peer(11, 1), peer(12, 2), peer(13, 3), peer(14, 4, 'learner')] })
  const put = new BatchWriter()
  put.put(Cf.Default, new Uint8Array([1]), new Uint8Array([2]))
  const write = put.finish()
  const deletion = new BatchWriter()
  deletion.del(Cf.Default, new Uint8Array([1]))
  const removal = deletion.finish()
  watch.look({ capacityBytes: 1e12, availableBytes: 1e11 })
  t.ok(watch.isAmple)
  watch.learn([storeId(2)], [storeId(2)])
  t.notOk(watch.isAmple)
  t.equal(watch.refusal(of, write), undefined, 'two of three have room')
  watch.learn([storeId(2), storeId(4)], [])
  t.equal(watch.refusal(of, write), undefined, 'learners are not asked')
  watch.learn([storeId(2), storeId(3)], [])
  t.match(watch.refusal(of, write), { kind: 'DiskFull', storeIds: [2, 3] })
  t.equal(watch.refusal(of, removal), undefined)
  watch.learn([], [])
  t.ok(watch.look({ capacityBytes: 1e12, availableBytes: 9 * mib }), 'it became full')
  t.match(watch.refusal(of, write), { kind: 'DiskFull', storeIds: [1] })
  t.notOk(watch.isCritical)
  watch.look({ capacityBytes: 1e12, availableBytes: 2 * mib })
  t.ok(watch.isCritical)
  watch.look({ capacityBytes: 1e12, availableBytes: 15 * mib, heldBackBytes: 10 * mib })
  t.ok(watch.isFull, 'what the placeholder gave back is not for writes')
  t.match(watch.snapshotRefusal(6 * mib), { kind: 'DiskFull', storeIds: [1], reason: /does not fit/ })
  t.equal(watch.snapshotRefusal(5 * mib), undefined)
})
