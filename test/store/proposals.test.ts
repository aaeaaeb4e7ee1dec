import t from 'tap'
import { logIndex, term } from '../../src/common/ids.js'
import type { ServerError } from '../../src/common/errors.js'
import { PendingProposals } from '../../src/store/proposals.js'
import { WriteLedger } from '../../src/store/write-ledger.js'
import type { WriteDone } from '../../src/store/write-ledger.js'

const stale: ServerError = { kind: 'StaleCommand' }

/** What each pending write was told, by name. */
function watched(): { pending: PendingProposals; told: Record<string, string>; add: (name: string, index: number, at: number) => void
  apply: (index: number, at: number) => void; giveUp: () => void; timeOut: () => void; ledger: WriteLedger } {
  const ledger = new WriteLedger()
  const pending = new PendingProposals(ledger)
  const told: Record<string, string> = {}
  const run = (answers: (() => void)[]): void => { for (const answer of answers) answer() }
  return {
    pending, told, ledger,
    add: (name, index, at) => {
      const done: WriteDone = result => { told[name] = `${told[name] ?? ''}${result.ok ? 'ok' : result.error.kind}` }
      const onSettled = (): void => { told[name] = `${told[name] ?? ''} settled ` }
      const write = { records: new Uint8Array(0), bytes: 10, version: 1, done, onSettled }
      ledger.begin(write)
      pending.add({ index: logIndex(index), term: term(at), proposedAtMs: index, admin: undefined, writes: [write] })
    },
    apply: (index, at) => {
      pending.applied(logIndex(index), term(at), { kind: 'data', results: undefined }, stale)?.()
    },
    timeOut: () => {
      const answers: (() => void)[] = []
      pending.timeOut('late', answers, Infinity)
      run(answers)
    },
    giveUp: () => {
      const answers: (() => void)[] = []
      pending.giveUp('gone', answers)
      run(answers)
    },
  }
}

t.test('a write is acknowledged when the entry at its index is of its term', t => {
  const { told, add, apply } = watched()
  add('a', 8, 5)
  apply(8, 5)
  t.equal(told['a'], ' settled ok')
  t.end()
})

t.test('another term at its index means that it will never be applied', t => {
  const { told, add, apply } = watched()
  add('a', 8, 5)
  apply(8, 6)
  t.equal(told['a'], ' settled StaleCommand')
  t.end()
})

t.test('deposed and elected again, a leader answers what it proposed in both terms', t => {
  const { told, add, apply, pending } = watched()
  add('old', 10, 5)
  add('new', 8, 7)
  apply(8, 7)
  t.equal(told['new'], ' settled ok', 'the newer one, though the older index was proposed first')
  t.equal(told['old'], undefined, 'nobody knows yet')
  apply(9, 7)
  apply(10, 5)
  t.equal(told['old'], ' settled ok', 'the old entry came back from another log')
  t.ok(pending.isEmpty)
  t.end()
})

t.test('what nobody will ever tell is undetermined', t => {
  const { told, add, giveUp, ledger } = watched()
  add('a', 8, 5)
  t.equal(ledger.count, 1)
  giveUp()
  t.equal(told['a'], 'Undetermined settled ')
  t.equal(ledger.count, 0)
  t.end()
})

t.test('what is answered undetermined in time is settled when it is applied after all, and not before', t => {
  const { told, add, apply, timeOut, ledger, pending } = watched()
  add('a', 8, 5)
  timeOut()
  timeOut()
  t.equal(told['a'], 'Undetermined', 'told once')
  t.same([ledger.count, ledger.bytes], [1, 10], 'it may still be applied')
  pending.forget(term(5))
  t.equal(ledger.count, 1, 'the same leader')
  apply(8, 5)
  t.equal(told['a'], 'Undetermined settled ', 'one answer')
  t.same([ledger.count, ledger.bytes], [0, 0])
  t.end()
})

t.test('what is answered undetermined is settled when another term leads', t => {
  const { told, add, timeOut, ledger, pending } = watched()
  add('a', 8, 5)
  add('b', 9, 5)
  timeOut()
  add('c', 10, 5)
  pending.forget(undefined)
  t.same(told, { a: 'Undetermined settled ', b: 'Undetermined settled ' })
  t.equal(ledger.count, 1, 'what was not answered still gets its answer')
  t.notOk(pending.isEmpty)
  t.end()
})
