/** A rule of the system was broken in this run. Thrown by oracles, caught by the run. */
export class OracleFailure extends Error {
  override readonly name = 'OracleFailure'
  /**
   * @param rule    the rule, as a sentence
   * @param oracle  file that holds it
   * @param regions whose events help to understand it
   */
  constructor(readonly rule: string, readonly oracle: string, readonly facts: string, readonly regions: readonly number[] = []) {
    super(`${rule}: ${facts}`)
  }
}

/** A node ends here and now: thrown by a fail-point, caught by the event that ran the node's code. */
export class NodeKilled extends Error {
  override readonly name = 'NodeKilled'
}
