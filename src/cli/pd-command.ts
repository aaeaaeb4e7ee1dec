import type { Command } from 'commander'
import type { ConfigValues } from '../server/config/load.js'
import { pdSchema, pdSettings } from '../server/config/pd-schema.js'
import { addNodeOptions, readNodeOptions } from './node-options.js'
import type { NodeOptions } from './node-options.js'
import { printJson } from './output.js'

const help = `
Examples:
  karst pd --data-dir ./data/pd                          one member, clients on 127.0.0.1:2379, HTTP on 127.0.0.1:2380
  karst pd --name pd-1 --client-urls http://10.0.0.1:2379 --peer-urls http://10.0.0.1:2380 \\
           --initial-cluster pd-1=http://10.0.0.1:2380,pd-2=http://10.0.0.2:2380,pd-3=http://10.0.0.3:2380
  karst pd --config pd.toml --config-check               all mistakes at once, with their lines
  karst pd --set replication.max-replicas=5
  karst pd --config-info json                            every key, its meaning and default

SIGTERM or Ctrl-C hands leadership over, then ends; a second signal ends at once.
SIGHUP reopens the log file, for programs that rotate it.
Exit codes: 0 stopped as asked, 1 does not start, 2 configuration, 70 a broken disk or a bug (the last log line says which).`

export function register(program: Command): void {
  addNodeOptions(program.command('pd').description('run a member of PD: ids, timestamps, where every region is'), pdSchema)
    .addHelpText('after', help)
    .action(async (options: NodeOptions, command: Command) => {
      const values = await readNodeOptions(command, pdSchema)
      // Whatever a closed node may have left behind does not keep the process alive.
      if (values !== undefined) process.exit(await run(values, options))
    })
}

async function run(values: ConfigValues, options: NodeOptions): Promise<number> {
  const [{ runNode }, { PdProcess }, { createLog }, { openLogOnDisk }, { openClusterSecret }] = await Promise.all([
    import('../server/run-node.js'), import('../server/pd-member.js'), import('../server/logging.js'), import('../server/storage.js'),
    import('../server/cluster-secret.js'), import('../engine/native-raft-log.js')])
  const settings = pdSettings(values)
  const secret = openClusterSecret(settings.clusterSecretFile)
  const log = createLog({
    level: values.text('log.level') as 'info', format: values.text('log.format') as 'text', file: values.text('log.file.filename'),
  })
  return await runNode({
    log, stopWithStdin: options.stopWithStdin === true,
    create: onFatal => new PdProcess({
      settings, log, secret, onFatal, failpoints: options.failpoint ?? [], config: () => values.all(),
      openStorage: () => openLogOnDisk('pd', settings.dataDir, {}),
    }),
    onReady: member => {
      if (options.json) {
        printJson({
          ready: true, role: 'pd', pid: process.pid, name: member.name, addresses: member.clientAddresses,
          statusAddress: member.statusAddress, dataDir: settings.dataDir,
        })
      }
    },
  })
}
