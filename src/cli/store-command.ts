import type { Command } from 'commander'
import type { ConfigValues } from '../server/config/load.js'
import { storeSchema, storeSettings } from '../server/config/store-schema.js'
import { addNodeOptions, readNodeOptions } from './node-options.js'
import type { NodeOptions } from './node-options.js'
import { printJson } from './output.js'

const help = `
Examples:
  karst store --pd 127.0.0.1:2379 --data-dir ./data/store-1
  karst store --addr 0.0.0.0:20160 --advertise-addr 10.0.0.7:20160 --labels zone=a,host=h7 --pd 10.0.0.1:2379,10.0.0.2:2379
  karst store --config store.toml --config-check         all mistakes at once, with their lines
  karst store --set raftstore.raft-log-gc-count-limit=50000
  karst store --config-info json                         every key, its meaning and default

The same as a file:
  [server]
  addr = "127.0.0.1:20160"
  labels = { zone = "a", host = "h7" }
  [pd]
  endpoints = ["127.0.0.1:2379"]
  [storage]
  data-dir = "./data/store-1"

SIGTERM or Ctrl-C hands leaderships over, then ends; a second signal ends at once.
SIGHUP reopens the log file, for programs that rotate it.
Exit codes: 0 stopped as asked, 1 does not start, 2 configuration, 70 a broken disk or a bug (the last log line says which).`

export function register(program: Command): void {
  addNodeOptions(program.command('store').description('run a store: keeps replicas of regions, serves clients'), storeSchema)
    .addHelpText('after', help)
    .action(async (options: NodeOptions, command: Command) => {
      const values = await readNodeOptions(command, storeSchema)
      // Whatever a closed node may have left behind does not keep the process alive.
      if (values !== undefined) process.exit(await run(values, options))
    })
}

async function run(values: ConfigValues, options: NodeOptions): Promise<number> {
  const [{ runNode }, { StoreNode }, { createLog }, { openStoreOnDisk }, { openClusterSecret }] = await Promise.all([
    import('../server/run-node.js'), import('../server/store-node.js'), import('../server/logging.js'), import('../server/storage.js'),
    // Loaded while the rest is: the store needs them at once.
    import('../server/cluster-secret.js'), import('../engine/native-raft-log.js'), import('../engine/rocks-engine.js')])
  const settings = storeSettings(values)
  const secret = openClusterSecret(settings.clusterSecretFile)
  const log = createLog({
    level: values.text('log.level') as 'info', format: values.text('log.format') as 'text', file: values.text('log.file.filename'),
  })
  return await runNode({
    log, stopWithStdin: options.stopWithStdin === true,
    create: onFatal => new StoreNode({
      name: 'store', settings, log, secret, onFatal, failpoints: options.failpoint ?? [], config: () => values.all(),
      openStorage: (_env, onDiskError) => openStoreOnDisk(
        settings.dataDir, { ...settings, reserveDiskBytes: settings.raft.reserveDiskBytes }, onDiskError),
    }),
    onReady: node => {
      if (options.json) {
        printJson({
          ready: true, role: 'store', pid: process.pid, storeId: node.storeId, clusterId: node.clusterId, address: node.address,
          statusAddress: node.statusAddress, dataDir: settings.dataDir,
        })
      }
    },
  })
}
