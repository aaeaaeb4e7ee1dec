import { emptyBytes } from '../common/bytes.js'
import type { ServerError, StorageError } from '../common/errors.js'
import type { RegionId, StoreId } from '../common/ids.js'
import type { Region } from '../common/region.js'
import { peerOnStore } from '../common/region.js'
import { err, ok } from '../common/result.js'
import type { Result } from '../common/result.js'
import { LogStateKind } from '../engine/api.js'
import type { EngineCalls } from '../engine/api.js'
import { BatchWriter } from '../engine/batch-writer.js'
import { MessageType } from '../raft/types.js'
import type { PeerInfo, RaftEnvelope, RequestContext, StoreStats } from '../wire/messages.js'
import type { KeyRange, RegionView, StoreApi, StoreDependencies } from './api.js'
import { writeNewRegion } from './applier.js'
import { storeConfigMistakes, storeLimits } from './config.js'
import { DiskWatch } from './disk-watch.js'
import { Lifecycle } from './lifecycle.js'
import { LogGc } from './log-gc.js'
import { Operations } from './operations.js'
import { Peer } from './peer.js'
import type { PeerContext } from './peer.js'
import { Quarantine } from './quarantine.js'
import { birthHardState, Recovery } from './recovery.js'
import { leaderFor } from './requests.js'
import { StoreShared } from './shared.js'
import { SnapshotInstaller } from './snapshot-installer.js'
import { SnapshotReceiver } from './snapshot-receiver.js'
import { SnapshotSender } from './snapshot-sender.js'
import { decodeSnapshotData, encodeLogRecord } from './state-records.js'
import { Turn } from './turn.js'
import type { QueuedWrite, WriteDone } from './write-ledger.js'
import { WritePressure } from './write-pressure.js'

/** @throws Error when the configuration cannot work */
export function createStore(deps: StoreDependencies): StoreApi { return new Store(deps) }

/** The door of the room: takes requests, messages and ticks to the peers, and leaves the work to `Turn`. */
class Store implements StoreApi {
  readonly #shared: StoreShared
  readonly #turn: Turn
  readonly #lifecycle: Lifecycle
  readonly #operations: Operations
  readonly #quarantine: Quarantine
  readonly #sender: SnapshotSender
  readonly #receiver: SnapshotReceiver
  readonly #installer: SnapshotInstaller
  readonly #logGc: LogGc
  readonly #disk: DiskWatch
  readonly #context: PeerContext
  readonly #pressure: WritePressure
  /** Requests that another store has to serve. As long as they come, clients have not noticed yet. */
  #sentElsewhere = 0
  #isStarted = false
  readonly snapshots: StoreApi['snapshots']

  constructor(deps: StoreDependencies) {
    const mistakes = storeConfigMistakes(deps.config)
    if (mistakes.length > 0) throw new Error(`store configuration: ${mistakes.join('; ')}`)
    const shared = new StoreShared(deps, child => this.#lifecycle.fateOf(child))
    this.#shared = shared
    this.#pressure = new WritePressure(deps.config)
    this.#context = {
      env: deps.env, log: deps.raftLog, config: deps.config, plants: shared.plants, ledger: shared.ledger,
      makeSnapshot: (peer, requestIndex, to) => this.#sender.make(peer, requestIndex, to),
    }
    this.#turn = new Turn(shared, {
      onRole: peer => { this.#onRole(peer) },
      onLeading: peer => { this.#operations.changed(peer) },
      onSplit: (peer, regions) => { this.#lifecycle.onSplit(peer, regions) },
      onConfChange: (peer, applied) => { this.#lifecycle.onConfChange(peer, applied) },
      onInstall: (peer, work) => { this.#installer.begin(peer, work) },
      onSnapshotMessage: (peer, message) => { this.#sender.send(peer, message) },
    })
    this.#disk = new DiskWatch(deps.storeId, deps.config.reserveDiskBytes)
    this.#operations = new Operations(shared, this.#turn, (peer, to) => this.#sender.bytesSentTo(peer, to.peerId))
    this.#lifecycle = new Lifecycle(shared, this.#context, this.#turn, peer => { this.#operations.changed(peer) })
    this.#quarantine = new Quarantine(shared, {
      handOver: peer => { this.#operations.handOverToAny(peer) },
      destroy: (peer, reason) => { this.#lifecycle.destroy(peer, reason) },
      silentMsMax: this.#operations.silentMsMax,
    })
    this.#sender = new SnapshotSender(shared, peer => { this.#turn.markDirty(peer) })
    this.#receiver = new SnapshotReceiver(shared, bytes => this.#disk.snapshotRefusal(bytes), envelope => { this.#onSnapshot(envelope) })
    this.#installer = new SnapshotInstaller(shared, this.#receiver, {
      finish: (peer, responses) => { this.#turn.finish(peer, responses) },
      onInstalled: peer => {
        shared.table.set(peer.region!, shared.plants.has('P17'))
        peer.onMembers()
        peer.pending.giveUp('a snapshot took the place of the log', this.#turn.answers)
      },
    })
    this.#logGc = new LogGc(shared)
    this.snapshots = {
      begin: (id, envelope, bytes, done) => { shared.guarded(() => { this.#receiver.begin(id, envelope, bytes, done) }) },
      chunk: (id, sequence, rows, crc, done) => { shared.guarded(() => { this.#receiver.chunk(id, sequence, rows, crc, done) }) },
      end: (id, chunks, crc, done) => { shared.guarded(() => { this.#receiver.end(id, chunks, crc, done) }) },
    }
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  bootstrapRegion(region: Region): void {
    const { log, engine, deps } = this.#shared
    const self = peerOnStore(region, deps.storeId)
    if (self === undefined) throw new Error('the first region has no peer on this store')
    const batch = log.batch()
    birthHardState(log, batch, region, self.peerId)
    batch.state(region.regionId, LogStateKind.Region, encodeLogRecord({ state: 'initial', peerId: self.peerId, region }))
    log.append(batch, true, () => {})
    const writer = new BatchWriter()
    writeNewRegion(writer, region)
    engine.write(writer.finish())
  }

  start(): void {
    const { env, peers, table, deps, plants, leaving } = this.#shared
    const startedMs = env.clock.monotonicMs()
    deps.spool.sweep()
    const recovered = new Recovery(this.#shared).run()
    for (const { regionId, region } of recovered.doomed) {
      leaving.add(regionId)
      if (region !== undefined) table.set(region, plants.has('P17'))
    }
    for (const start of recovered.peers) {
      const peer = new Peer(this.#context, start)
      if (peer.region !== undefined) table.set(peer.region, plants.has('P17'))
      peers.set(start.regionId, peer)
      // Nobody else's vote counts, so nobody was ever granted a lease by this one.
      if (peer.isSoleVoter) peer.node.campaign()
      else peer.hurry(env.random.below(5))
      if (peer.hasWork) this.#turn.markDirty(peer)
    }
    this.#isStarted = true
    for (const one of recovered.doomed) this.#lifecycle.bury(one)
    env.log('info', 'store.recovered', {
      regions: peers.size, entries: recovered.entriesReplayed, ms: Math.round(env.clock.monotonicMs() - startedMs),
    })
    const { config } = this.#shared
    this.#every(config.tickMs, () => { this.#tick() })
    this.#every(config.logGcTickMs, () => { this.#logGc.run() })
    this.#every(storeLimits.patrolMs, () => { this.#patrol() })
    this.#every(config.regionHeartbeatMs, () => { this.#operations.beatAll() })
    this.#every(config.storeHeartbeatMs, () => { deps.pd.storeHeartbeat(this.stats()) })
    this.#shared.guarded(() => { deps.pd.storeHeartbeat(this.stats()) })
  }

  #every(ms: number, run: () => void): void {
    this.#shared.later(ms, () => {
      run()
      this.#every(ms, run)
    })
  }

  #tick(): void {
    if (this.#shared.ledger.count > 0 || this.#pressure.refusal !== undefined || this.#turn.pump.pendingBytes > 0) {
      this.#pressure.look(this.#turn.pump.pendingBytes, this.#shared.engine.stats())
    }
    for (const peer of this.#shared.peers.values()) {
      peer.tick()
      // A replica has caught up: PD's next step waits for that.
      if (peer.hasPendingReplicas && peer.isLeader && peer.pendingPeers().length === 0) this.#operations.changed(peer)
      if (peer.hasWork) this.#turn.markDirty(peer)
    }
  }

  #patrol(): void {
    const { env, peers, deps, config } = this.#shared
    const now = env.clock.monotonicMs()
    if (this.#disk.look(deps.diskSpace?.()) || this.#disk.isUrgent) deps.pd.storeHeartbeat(this.stats())
    this.#quarantine.patrol(now)
    this.#sender.patrol(now)
    this.#receiver.patrol(now)
    this.#lifecycle.patrol(now)
    for (const peer of peers.values()) {
      peer.pending.timeOut('not applied in time', this.#turn.answers, now - storeLimits.requestTimeoutMs)
      peer.pending.forget(peer.isLeader ? peer.node.term : undefined)
      this.#turn.refuseReads(peer, now - storeLimits.requestTimeoutMs)
      const isStale = !peer.isLeader && now - peer.lastHeardMs > config.peerStaleMs
      if (!isStale) continue
      peer.lastHeardMs = now
      deps.pd.getRegionById(peer.regionId, region => {
        this.#shared.guarded(() => { if (region !== undefined) this.#lifecycle.onVerdict(peer, region) })
      })
    }
    this.#turn.schedule()
  }

  #onRole(peer: Peer): void {
    const { node } = peer
    this.#shared.env.log('info', 'peer.role', { region: peer.regionId, role: node.role, term: node.term, leader: node.lead })
    if (peer.isLeader) {
      this.#shared.counters.elections++
      const now = this.#shared.env.clock.monotonicMs()
      for (const one of peer.region?.peers ?? []) peer.heardFrom.set(one.peerId, now)
      peer.lastReadMs = now
    } else {
      peer.lease.clear()
      this.#turn.refuseReads(peer)
    }
  }

  /**
   * Hands over, answers what is under way, then stays until no request comes any more that belongs to another store: a client
   * whose connection ends under a write cannot know what became of it.
   */
  stop(timeoutMs: number, done: () => void): void {
    const { env, peers } = this.#shared
    const deadlineMs = env.clock.monotonicMs() + timeoutMs
    const finish = (): void => {
      this.#shared.guarded(() => {
        this.#sender.stop()
        this.#receiver.stop()
        for (const peer of peers.values()) this.#lifecycle.abandon(peer, 'the store stops')
        for (const answer of this.#turn.answers.splice(0)) answer()
        // What was handed out is committed, and the engine's close waits for it.
        this.#shared.applier.flush()
        for (const answer of this.#shared.applier.takeOwed()) answer()
      })
      this.#shared.isStopped = true
      done()
    }
    const since = { quietMs: env.clock.monotonicMs(), idleMs: undefined as number | undefined, elsewhere: this.#sentElsewhere }
    const look = (): void => {
      const leaders = [...peers.values()].filter(peer => peer.isLeader && !peer.isSoleVoter)
      const now = env.clock.monotonicMs()
      if (now >= deadlineMs || this.#shared.isStopped) return finish()
      const isIdle = leaders.length === 0 && this.#shared.ledger.count === 0 && this.#shared.applier.isDrained
      since.idleMs = isIdle ? since.idleMs ?? now : undefined
      if (!isIdle || since.elsewhere !== this.#sentElsewhere) since.quietMs = now
      since.elsewhere = this.#sentElsewhere
      const isQuiet = now - since.quietMs >= storeLimits.stopQuietMs || now - (since.idleMs ?? now) >= storeLimits.stopLingerMsMax
      if (isIdle && isQuiet) return finish()
      for (const peer of leaders) if (peer.node.leadTransferee === 0) this.#operations.handOverToAny(peer)
      env.setTimer(20, look)
    }
    env.defer(look)
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  get isBusy(): boolean { return this.#tooMuchUnderWay(0) !== undefined || this.#pressure.refusal !== undefined }

  #tooMuchUnderWay(bytes: number): string | undefined {
    const { ledger, config } = this.#shared
    if (ledger.count >= config.proposalsPendingMax) return 'too many writes under way'
    // A write that is larger than all that may be under way goes alone.
    return ledger.count > 0 && ledger.bytes + bytes > config.writesPendingBytesMax ? 'too many bytes of writes under way' : undefined
  }

  // hot path: bench put
  write(context: RequestContext, range: KeyRange, records: Uint8Array, done: WriteDone, onSettled?: () => void): void {
    const found = leaderFor(this.#shared, context, range)
    if (!found.ok) return this.#sendElsewhere(found, done)
    const peer = found.value
    const refusal = this.#refusal(peer, records)
    if (refusal !== undefined) return done(err(refusal))
    this.#shared.counters.writes++
    const write: QueuedWrite = { records, bytes: records.length, version: peer.region!.epoch.version, done, onSettled }
    this.#shared.ledger.begin(write)
    peer.queue.push(write)
    this.#turn.markDirty(peer)
  }

  #sendElsewhere<T>(found: Result<T, ServerError> & { readonly ok: false }, done: (result: typeof found) => void): void {
    this.#sentElsewhere++
    done(found)
  }

  #refusal(peer: Peer, records: Uint8Array): ServerError | undefined {
    if (this.#shared.isStopped) return { kind: 'ServerIsBusy', reason: 'the store stops', backoffMs: 100 }
    const reason = this.#tooMuchUnderWay(records.length)
    if (reason !== undefined) return { kind: 'ServerIsBusy', reason, backoffMs: 20 }
    if (this.#pressure.refusal !== undefined) return this.#pressure.refusal
    return this.#disk.isAmple ? undefined : this.#disk.refusal(peer.region!, records)
  }

  // hot path: bench get
  read(context: RequestContext, range: KeyRange, done: (result: Result<RegionView, ServerError>) => void): void {
    const found = leaderFor(this.#shared, context, range)
    if (!found.ok) return this.#sendElsewhere(found, done)
    const peer = found.value
    const now = this.#shared.env.clock.monotonicMs()
    peer.lastReadMs = now
    if (peer.canReadLocally()) {
      this.#shared.counters.leaseReads++
      done(ok(this.#view(peer.region!)))
      return
    }
    if (this.#shared.isStopped) return done(err({ kind: 'ServerIsBusy', reason: 'the store stops', backoffMs: 100 }))
    peer.rounds.add({ sinceMs: now, resume: isSafe => { this.#resume(isSafe, peer, context, range, done) } })
    this.#turn.markDirty(peer)
  }

  /** The round was confirmed and its index is applied. What the region is may have changed meanwhile. */
  #resume(isSafe: boolean, asked: Peer, context: RequestContext, range: KeyRange,
    done: (result: Result<RegionView, ServerError>) => void): void {
    const found = leaderFor(this.#shared, context, range)
    if (!found.ok) return done(found)
    if (!isSafe || found.value !== asked) {
      return done(err({ kind: 'ReadIndexNotReady', regionId: context.regionId, reason: 'leadership was not confirmed' }))
    }
    this.#shared.counters.indexReads++
    done(ok(this.#view(asked.region!)))
  }

  #view(region: Region): RegionView {
    return { reader: this.#shared.engine, region, nowMs: this.#shared.env.clock.wallMs(), failed: this.#readFailed }
  }

  readonly #readFailed = (regionId: RegionId, error: StorageError): ServerError => this.#quarantine.readFailed(regionId, error)

  splitRegion(context: RequestContext, keys: readonly Uint8Array[], done: (result: Result<readonly Region[], ServerError>) => void): void {
    this.#shared.guarded(() => { this.#operations.split(context, keys, done) })
  }

  transferLeader(context: RequestContext, to: StoreId, done: Parameters<StoreApi['transferLeader']>[2]): void {
    this.#shared.guarded(() => { this.#operations.transfer(context, to, done) })
  }

  // --- raft ---------------------------------------------------------------------------------------------------------

  onRaft(envelope: RaftEnvelope): void {
    if (!this.#isStarted) return
    this.#shared.guarded(() => {
      this.#shared.counters.messagesIn++
      // Snapshots come by their own door, behind their rows.
      if (envelope.message.type === MessageType.Snapshot) return
      // As if it were lost: heartbeats go on, and the leader sends it again when there may be room.
      if (this.#disk.isCritical && envelope.message.type === MessageType.Append && envelope.message.entries.length > 0) {
        this.#shared.counters.appendsRefused++
        return
      }
      const peer = this.#lifecycle.receiver(envelope)
      if (peer === undefined) return
      this.#step(peer, envelope)
      if (peer.hasWork) this.#turn.markDirty(peer)
    })
  }

  /** A message that no peer could have sent is dropped: believed, it would end the process, now or at the next start. */
  #step(peer: Peer, envelope: RaftEnvelope): void {
    const mistake = peer.step(envelope)
    if (mistake === undefined) return
    const { counters, env } = this.#shared
    const { from, message } = envelope
    if (counters.messagesRefused++ % 1_000 > 0) return
    const { type, term } = message
    env.log('warn', 'raft.refused', { region: peer.regionId, from: from.peerId, store: from.storeId, type, term, mistake })
  }

  #onSnapshot(envelope: RaftEnvelope): void {
    const { table, plants, env } = this.#shared
    const snapshot = envelope.message.snapshot!
    const data = decodeSnapshotData(snapshot.data)!
    const peer = this.#lifecycle.receiver({ ...envelope, startKey: data.region.startKey, endKey: data.region.endKey })
    const { startKey, endKey, regionId } = data.region
    const inTheWay = table.overlapping(startKey, endKey).find(region => region.regionId !== regionId)
    if (peer === undefined || peer.isInstalling || (inTheWay !== undefined && !plants.has('P17'))) {
      env.log('info', 'snapshot.refused', { region: regionId, overlaps: inTheWay?.regionId })
      this.#receiver.discard(data.snapshotId)
      return
    }
    this.#step(peer, envelope)
    if (peer.node.pendingSnapshotIndex !== snapshot.meta.index) this.#receiver.discard(data.snapshotId)
    // The range is taken from now on: raft cannot take its word back.
    else if (peer.region === undefined) table.set(data.region, plants.has('P17'))
    this.#turn.markDirty(peer)
  }

  onLinkDown(storeId: StoreId): void {
    if (!this.#isStarted) return
    this.#shared.guarded(() => {
      for (const peer of this.#shared.peers.values()) {
        if (peer.isLeader) {
          for (const one of peer.region?.peers ?? []) if (one.storeId === storeId) peer.node.reportUnreachable(one.peerId)
          if (peer.hasWork) this.#turn.markDirty(peer)
        } else if (peer.leaderRef?.storeId === storeId) {
          peer.hurry(this.#shared.env.random.below(3))
        }
      }
    })
  }

  onLinkUp(_storeId: StoreId): void {}

  onShortOfSpace(full: readonly StoreId[], low: readonly StoreId[]): void { this.#disk.learn(full, low) }

  // --- what is known ------------------------------------------------------------------------------------------------

  peers(regionId: RegionId | 0): readonly PeerInfo[] {
    const { peers, log } = this.#shared
    const wanted = [...peers.values()].filter(peer => regionId === 0 || peer.regionId === regionId)
    return wanted.map((peer): PeerInfo => {
      const { node, state } = peer
      const nobody: Region = {
        regionId: peer.regionId, startKey: emptyBytes, endKey: emptyBytes, epoch: { confVer: 0, version: 0 }, peers: [],
      }
      const known = log.region(peer.regionId)
      return {
        region: peer.region ?? nobody, peerId: peer.peerId, role: node.role, leaderId: node.lead, term: node.term,
        committed: node.committed, applied: state?.visibleIndex ?? 0, firstIndex: (known?.truncatedIndex ?? 0) + 1,
        lastIndex: node.lastIndex, leaseValid: peer.canReadLocally(),
      }
    })
  }

  stats(): StoreStats {
    const { peers, engine, log, deps, env, config } = this.#shared
    if (this.#disk.space.capacityBytes === 0) this.#disk.look(deps.diskSpace?.())
    const usedBytes = engine.stats().diskBytes + log.space.diskBytes
    return {
      storeId: deps.storeId, ...this.#disk.space,
      usedBytes, regionCount: peers.size, leaderCount: [...peers.values()].filter(peer => peer.isLeader).length, isBusy: this.isBusy,
      snapshotsReceiving: this.#receiver.count, snapshotsSending: this.#sender.count, isDiskFull: this.#disk.isFull,
      reserveBytes: config.reserveDiskBytes, wallMs: env.clock.wallMs(), regionHeartbeatMs: config.regionHeartbeatMs,
    }
  }

  metrics(): Readonly<Record<string, number>> {
    const { counters, peers, engine, log, applier } = this.#shared
    const stats = engine.stats()
    const { space } = log
    const leaders = [...peers.values()].filter(peer => peer.isLeader).length
    return {
      store_turns_total: counters.turns, raft_log_appends_total: counters.appends, raft_log_syncs_total: counters.syncs,
      store_writes_total: counters.writes, store_lease_reads_total: counters.leaseReads,
      store_index_reads_total: counters.indexReads, raft_messages_received_total: counters.messagesIn,
      raft_messages_refused_total: counters.messagesRefused, store_parked_votes: this.#lifecycle.parkedCount,
      raft_messages_sent_total: counters.messagesOut, region_splits_total: counters.splits,
      raft_elections_total: counters.elections, snapshots_sent_total: counters.snapshotsSent,
      snapshots_received_total: counters.snapshotsReceived, snapshots_failed_total: counters.snapshotsFailed,
      store_entries_applied_total: applier.entriesApplied, store_regions: peers.size, store_leaders: leaders,
      store_writes_pending: this.#shared.ledger.count, store_write_bytes_pending: this.#shared.ledger.bytes,
      store_apply_bytes_pending: this.#turn.pump.pendingBytes, raft_log_disk_bytes: space.diskBytes,
      raft_log_live_bytes: space.liveBytes, raft_log_pinned_bytes: space.pinnedBytes, engine_disk_bytes: stats.diskBytes,
      engine_memtable_bytes: stats.memtableBytes, engine_pending_compaction_bytes: stats.pendingCompactionBytes,
      engine_stalled: stats.stalled ? 1 : 0, engine_reads_waiting: stats.readsWaiting,
      engine_range_tombstones: stats.rangeTombstones, ...this.#quarantine.metrics(), ...callMetrics(stats.calls),
      store_disk_available_bytes: this.#disk.space.availableBytes,
      store_disk_full: this.#disk.isFull ? 1 : 0, raft_appends_refused_disk_full_total: counters.appendsRefused,
      snapshots_refused_disk_full_total: counters.snapshotsRefused, snapshots_sending: this.#sender.count,
      snapshots_receiving: this.#receiver.count,
      store_writes_refused_engine_behind: this.#pressure.refusal === undefined ? 0 : 1,
    }
  }
}

/** How long calls into the engine kept the loop. */
function callMetrics(calls: EngineCalls | undefined): Readonly<Record<string, number>> {
  if (calls === undefined) return {}
  const over = (us: number): number => calls.counts.reduce((sum, count, log2us) => 2 ** log2us > us ? sum + count : sum, 0)
  return {
    engine_loop_calls_total: over(0), engine_loop_calls_over_1ms_total: over(1024), engine_loop_calls_over_4ms_total: over(4096),
    engine_loop_calls_over_33ms_total: over(32_768), engine_loop_calls_seconds_total: calls.sumMs / 1000,
    engine_loop_call_max_seconds: calls.maxMs / 1000, store_cold_reads_total: calls.reads,
  }
}
