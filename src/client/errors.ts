/**
 * What a caller of the client may meet. Branch on `code` or the class. Of a failed write:
 *
 *   isUndetermined  false — it certainly was not and will not be carried out (PartialWrite says how much of it was)
 *   isUndetermined  true  — it may have happened, or may still happen; only reading tells
 */
export type KarstErrorCode =
  | 'Undetermined' | 'Timeout' | 'Aborted' | 'LimitExceeded' | 'InvalidArgument' | 'PartialWrite'
  | 'PdUnavailable' | 'ClusterMismatch' | 'Unsupported' | 'PermissionDenied' | 'Closed'

export class KarstError extends Error {
  override readonly name: string = 'KarstError'
  readonly isUndetermined: boolean = false
  constructor(readonly code: KarstErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

/** A write went out and its answer did not come back. It is never repeated by itself. */
export class UndeterminedError extends KarstError {
  override readonly name = 'UndeterminedError'
  override readonly isUndetermined = true
  constructor(reason: string, options?: ErrorOptions) {
    super('Undetermined', `the write may or may not have happened: ${reason}`, options)
  }
}

/** The time given ran out. A write that ends so was certainly not carried out. `waitedFor` is the last obstacle. */
export class TimeoutError extends KarstError {
  override readonly name = 'TimeoutError'
  constructor(readonly timeoutMs: number, readonly waitedFor: string) {
    super('Timeout', `not done within ${timeoutMs} ms: ${waitedFor}`)
  }
}

/** The caller's signal. A write that ends so was certainly not carried out. */
export class AbortedError extends KarstError {
  override readonly name = 'AbortedError'
  constructor(options?: ErrorOptions) { super('Aborted', 'aborted by the caller', options) }
}

/** `limit` is a name of common/limits. */
export class LimitExceededError extends KarstError {
  override readonly name = 'LimitExceededError'
  constructor(readonly limit: string, readonly actual: number, readonly max: number) {
    super('LimitExceeded', `${limit}: ${actual}, at most ${max}`)
  }
}

export class InvalidArgumentError extends KarstError {
  override readonly name = 'InvalidArgumentError'
  constructor(reason: string) { super('InvalidArgument', reason) }
}

/** A write over several regions was carried out in some; in the others it certainly was not. `cause` is the first failure. */
export class PartialWriteError extends KarstError {
  override readonly name = 'PartialWriteError'
  constructor(readonly written: number, readonly failed: number, readonly unit: 'keys' | 'regions', options: ErrorOptions) {
    super('PartialWrite', `${written} ${unit} were written, ${failed} were not`, options)
  }
}

/** Nobody could say where a key lives, or which stores there are. */
export class PdUnreachableError extends KarstError {
  override readonly name = 'PdUnreachableError'
  constructor(reason: string, options?: ErrorOptions) { super('PdUnavailable', reason, options) }
}

/** Another cluster lives at these addresses. */
export class ClusterMismatchError extends KarstError {
  override readonly name = 'ClusterMismatchError'
  constructor(readonly requested: string, readonly actual: string) {
    super('ClusterMismatch', `cluster ${requested} was asked for, ${actual} answered`)
  }
}

/** The server does not know this request: it is older than the client. */
export class UnsupportedError extends KarstError {
  override readonly name = 'UnsupportedError'
  constructor(what: string) { super('Unsupported', `the server does not support ${what}`) }
}

/** The request is not for clients. */
export class PermissionDeniedError extends KarstError {
  override readonly name = 'PermissionDeniedError'
  constructor(reason: string) { super('PermissionDenied', reason) }
}

export class ClosedError extends KarstError {
  override readonly name = 'ClosedError'
  constructor() { super('Closed', 'the client is closed') }
}
