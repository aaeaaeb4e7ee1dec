/**
 * The seam between what karst decides and what the world does. One Env per node. Production plugs in the real
 * clock, sockets and dice (server/real-env.ts); the simulator plugs in seeded ones (sim/). Nothing else in the
 * project touches Date, performance, timers, Math.random, crypto or sockets: `npm run check` enforces it.
 *
 * A killed node's Env goes dead: its timers and deferred calls never run again, its connections are gone.
 */
export interface Env {
  /** Node name in logs and traces, such as `store-1`. */
  readonly name: string
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  /** Runs `run` after `delayMs`; never early. Late when the loop is late. */
  setTimer(delayMs: number, run: () => void): Timer
  /** Runs `run` at the end of this turn of the loop: after everything that has already arrived was handled. */
  defer(run: () => void): void
  /** A structured event: one line in production logs, a trace record in simulation. */
  log(level: LogLevel, event: string, fields?: LogFields): void
  /** A named point at which a test may throw, kill or stall. Does nothing in production. */
  failpoint(name: string): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | undefined>>

export interface Clock {
  /** Milliseconds with fraction, never backwards, counts suspended time where the system can (CLOCK_BOOTTIME). */
  monotonicMs(): number
  /** Wall clock, whole milliseconds since 1970; may jump. Never used for safety except as TSO's hint. */
  wallMs(): number
}

export interface Timer {
  cancel(): void
}

export interface Random {
  /** Uniform in [0, 1). */
  float(): number
  /** Uniform integer in [0, bound). */
  below(bound: number): number
  bytes(count: number): Uint8Array
}

/** Message-oriented, ordered, reliable until it closes: a WebSocket in production. Addresses are `host:port`. */
export interface Network {
  /** @param accept called for each connection made to us. Rejects when the address is taken or malformed. */
  listen(address: string, accept: (connection: Connection) => ConnectionHandler): Promise<Listener>
  /** Never throws; a failed dial ends in onClose. Sending is allowed after onOpen. */
  dial(address: string, handler: ConnectionHandler): Connection
}

export interface Listener {
  /** The real address, also when port 0 was asked for. */
  readonly address: string
  close(): void
}

export interface Connection {
  readonly remote: string
  /** Queues one message; bytes are copied or written before it returns, so the caller may reuse them.
   *  @returns false when the connection is closed: the message is lost. */
  send(bytes: Uint8Array): boolean
  /** Bytes accepted by send and not yet handed to the kernel. */
  bufferedBytes(): number
  /** Reads nothing from the other side meanwhile, where the network can: it will find that it cannot send. */
  pause?(isPaused: boolean): void
  /** The other side has said who it is: from now on it may send messages of the full size. */
  admit?(isPeer: boolean): void
  close(reason: string): void
}

export interface ConnectionHandler {
  /** Dialled connections only. */
  onOpen?(): void
  /** @param bytes borrowed until return. */
  onMessage(bytes: Uint8Array): void
  /** The send buffer has drained. */
  onDrain?(): void
  /** Exactly once. Nothing is delivered after it. */
  onClose(reason: string): void
}
