// A one-node Slurm from Debian's slurm-wlm, which a test starts in its own folder.
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { limitMs } from "./limits.ts";

const PROGRAMS = [
  "munged",
  "slurmctld",
  "slurmd",
  "sbatch",
  "srun",
  "squeue",
  "scontrol",
  "scancel",
  "sinfo",
];

/** The programs of Slurm that are missing; empty if all are installed. */
export function missingForSlurm(): string[] {
  return PROGRAMS.filter((name) => pathOf(name) === null);
}

export interface Slurm {
  /** Runs one of its programs and returns what it prints. */
  run(program: string, ...words: string[]): string;
  stop(): Promise<void>;
}

export async function startSlurm(folder: string): Promise<Slurm> {
  for (const name of ["state", "spool"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "munge.key"), randomBytes(1024), { mode: 0o400 });
  const user = userInfo().username;
  const socket = join(folder, "munge.socket");
  const [ctldPort, slurmdPort] = [await freePort(), await freePort()];
  const configuration = join(folder, "slurm.conf");
  writeFileSync(
    configuration,
    `ClusterName=test
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${ctldPort}
SlurmdPort=${slurmdPort}
AuthType=auth/munge
AuthInfo=socket=${socket},cred_expire=5
SlurmUser=${user}
SlurmdUser=${user}
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/slurmd.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdLogFile=${folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
ReturnToService=2
NodeName=${hostname()} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
`,
  );
  const env = { ...process.env, SLURM_CONF: configuration };
  const munge = [
    "--foreground",
    "--force",
    `--socket=${socket}`,
    `--key-file=${folder}/munge.key`,
    `--pid-file=${folder}/munge.pid`,
    `--log-file=${folder}/munge.log`,
    `--seed-file=${folder}/munge.seed`,
  ];
  const daemons = [
    spawn(pathOf("munged")!, munge, { env, stdio: "ignore" }),
    spawn(pathOf("slurmctld")!, ["-D"], { env, stdio: "ignore" }),
    spawn(pathOf("slurmd")!, ["-D"], { env, stdio: "ignore" }),
  ];
  const run = (program: string, ...words: string[]) =>
    execFileSync(pathOf(program)!, words, { env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  const slurm = {
    run,
    async stop() {
      for (const daemon of daemons.reverse()) {
        const ended = new Promise((resolve) => daemon.on("exit", resolve));
        daemon.kill("SIGTERM");
        if (daemon.exitCode === null)
          await Promise.race([ended, sleep(limitMs(10_000)).then(() => daemon.kill("SIGKILL"))]);
      }
    },
  };
  for (const begin = Date.now(); Date.now() - begin < limitMs(60_000); await sleep(200)) {
    try {
      if (/idle/.test(run("sinfo", "--noheader", "--format=%T"))) return slurm;
    } catch {
      // It does not answer yet.
    }
  }
  await slurm.stop();
  throw new Error(`Slurm does not start: see ${folder}/slurmctld.log`);
}

function pathOf(program: string): string | null {
  try {
    // Daemons are in folders that only root has in PATH.
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    return execFileSync("sh", ["-c", `command -v ${program}`], { env, encoding: "utf8" }).trim();
  } catch {
    return null;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
