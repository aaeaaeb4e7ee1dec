/** A broken invariant: our bug, never the caller's. The process that sees one stops rather than lies. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Stays on in production. Pass a thunk where building the text costs something. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message())
}

/** The default branch of an exhaustive switch. */
export function unreachable(value: never, what = 'value'): never {
  throw new AssertionError(`unreachable ${what}: ${JSON.stringify(value)}`)
}

/** Spells an ignored result, with the reason, where an empty catch would hide it. */
export function ignore(_result: unknown, _why: string): void {}
