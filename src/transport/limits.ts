import { limits } from '../common/limits.js'

/** Bounds of this room. Times in ms, sizes in bytes. */
export const transportLimits = {
  /** Frames of one turn are joined until a message has this size; then it leaves before the turn ends. */
  messageBytesSoft: 1 << 20,
  /** What a message may have at most: the soft size and one frame of the largest kind behind it. */
  messageBytesMax: limits.frameBytesMax + (1 << 20),

  /** From the start of a dial to the other side's Hello; also how long a server waits for a client's Hello. */
  handshakeMsMax: 3_000,
  /** Between two looks at a connection that should be heard from. */
  beatMs: 1_000,
  /** So many beats without a byte, pings unanswered, and the connection is taken for dead. */
  silentBeatsMax: 3,

  backoffMsMin: 50,
  backoffMsMax: 2_000,
  /** A connection that lived shorter than this counts as a failed dial, so that flapping ones do not spin. */
  stableMs: 1_000,

  /** Requests a server works on at a time, per connection; above it ServerIsBusy. Also the calls of one channel. */
  requestsInFlightMax: 16_384,
  /** Encoded calls waiting for a dial, or bytes a channel's connection could not pass on yet. */
  channelBytesMax: 64 << 20,
  /** A client that leaves so many bytes of answers unread gets ServerIsBusy for whatever it asks now. */
  unreadBytesBusy: 16 << 20,
  /** At this many nothing of it is served any more, not even with refusals, until it has read some. */
  unreadBytesHeld: 24 << 20,
  /** At this many it is disconnected. Answers have a reserved place before they are made, so this is not reached. */
  unreadBytesMax: 64 << 20,
  /** Answers of all connections, reserved and unread. */
  answerBytesMax: 96 << 20,
  /** While all of that is taken, a connection that leaves this many unread is told ServerIsBusy. */
  unreadBytesBusyWhenFull: 256 << 10,
  /** Large reads of one connection that wait for room, and what their requests hold. */
  largeWaitingMax: 4_096,
  largeWaitingBytesMax: 16 << 20,
  /** While large reads wait for room: a connection that has read nothing of its answers for so long is ended. */
  stalledMsMax: 10_000,
  /** The same when nobody else waits, for one that is not read from either. */
  pausedMsMax: 60_000,
  /** Received and not yet begun, of one connection; more ends it. A channel of ours may have 64 MiB on the way. */
  inboxBytesMax: (64 << 20) + limits.frameBytesMax + (1 << 20),
  /** Of all connections; while there are more, a connection with more than 1 MiB of it is ended when it brings yet more. */
  inboxBytesOfAllMax: 128 << 20,
  /** Requests that were begun and are not answered, of all connections; above it ServerIsBusy. */
  requestBytesMax: 256 << 20,
  /** Where the network can wait, a connection is not read from while so much of it waits here. */
  inboxPauseBytes: 1 << 20,
  /** From the beginning of a message to its end. */
  unfinishedMsMax: 30_000,
  /** Without a sign of life, pongs included. */
  silentMsMax: 120_000,
  /** A message before the other side's Hello was understood. */
  helloBytesMax: 64 << 10,

  /** Raft bytes queued for one store, those in its socket included. Bulk (entries, snapshots) may use half of it. */
  raftQueueBytesMax: 64 << 20,
  /** Raft frames are cut at this size, so that the receiver can begin before all has arrived. */
  raftFrameBytesSoft: 512 << 10,
  raftFrameEnvelopesMax: 4_096,
  /** Kept while a store is being dialled, newest first. */
  raftKeptMax: 64,
  raftKeptBytesMax: 1 << 20,
  /** A store that nobody has sent to for so long is not dialled in the background any more. */
  raftWantedMs: 30_000,
} as const
