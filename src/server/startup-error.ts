/** Why a node does not start, or must not go on, in words for the operator. `code` is for machines and exit codes. */
export type StartupCode =
  | 'dataDirInUse' | 'dataDirForeign' | 'dataDirDamaged' | 'clusterMismatch' | 'storeTombstone' | 'storeRefused'
  | 'memberRefused' | 'stopped' | 'addressInUse' | 'config' | 'pdUnavailable' | 'notSettled' | 'openFiles'

export class StartupError extends Error {
  override readonly name = 'StartupError'
  constructor(readonly code: StartupCode, message: string, options?: ErrorOptions) {
    super(message, options)
  }
}
