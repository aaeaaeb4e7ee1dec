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
  /** At this many it is disconnected. */
  unreadBytesMax: 64 << 20,

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
