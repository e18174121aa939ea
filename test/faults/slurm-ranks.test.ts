// Ranks started by the srun of a real Slurm, with the libraries and process managers of Debian's packages.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { messageOf } from "../../src/support/errors.ts";
import { requireDone } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";
import { missingMpi } from "../support/mpi.ts";
import { BIN, runProgram } from "../support/program.ts";
import { missingForSlurm, type Slurm, startSlurm } from "../support/slurm.ts";

const missing = missingForSlurm();
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-srun-"));
let slurm: Slurm | null = null;

beforeAll(async () => {
  if (missing.length > 0) return;
  mkdirSync(join(folder, "slurm"));
  slurm = await startSlurm(join(folder, "slurm"));
}, limitMs(120_000));

afterAll(async () => {
  await slurm?.stop();
  rmSync(folder, { recursive: true });
}, limitMs(60_000));

const TRAIN = [
  ...[
    "train",
    "--dataset",
    "synthetic:1x7x7:4:150:40",
    "--width",
    "24",
    "--hidden",
    "2",
    "--batch-size",
    "50",
  ],
  ...["--ghost-size", "10", "--shards", "2", "--max-steps", "9", "--runs-dir", folder],
];

test.for([
  { mpi: "OpenMPI", manager: "pmix" },
  { mpi: "MPICH", manager: "pmi2" },
] as const)(
  "srun --mpi=$manager starts the ranks of $mpi, which give the weights of one process",
  { timeout: limitMs(300_000) },
  async ({ mpi, manager }, { skip }) => {
    if (missing.length > 0)
      skip(`no Slurm here: ${missing.join(", ")} not found (Debian: apt-get install slurm-wlm)`);
    if (missingMpi(mpi)) skip(missingMpi(mpi));
    requireDone(await runProgram([...TRAIN, "--name", `one-${mpi}`]));
    const step = ["srun", `--mpi=${manager}`, "--ntasks=2", "--overcommit", "--kill-on-bad-exit=1"] as const;
    try {
      slurm!.run(...step, process.execPath, BIN, ...TRAIN, "--name", `two-${mpi}`);
    } catch (error) {
      if (/can not load PMIx library/.test(messageOf(error)))
        skip("Slurm's pmix plug-in finds no libpmix.so (Debian: apt-get install libpmix-dev)");
      throw error;
    }
    const weights = (name: string) => readFileSync(join(folder, `${name}-${mpi}`, "weights.safetensors"));
    expect(weights("two").equals(weights("one"))).toBe(true);
  },
);
