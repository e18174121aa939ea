// Ranks over the installed MPI libraries: the bits of one process, signals, resuming, and ranks that die or hang.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtProgram } from "../../support/built-program.ts";
import { outcome, requireDone } from "../../support/kills.ts";
import { limitMs } from "../../support/limits.ts";
import { type Mpi, missingMpi, runGhostbatch, startGhostbatch, startRanks } from "../../support/mpi.ts";
import { type Program, runProgram, start } from "../../support/program.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-mpi-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const TRAIN = [
  ...["train", "--dataset", "synthetic:1x7x7:4:150:40", "--width", "24", "--hidden", "2"],
  ...[
    "--batch-size",
    "50",
    "--ghost-size",
    "10",
    "--shards",
    "4",
    "--epochs",
    "100000",
    "--evaluate-every",
    "3",
  ],
  ...["--log-every", "4", "--checkpoint-every", "20", "--runs-dir", runsDirectory],
];

const library = (mpi: Mpi) => ({ mpi, missing: missingMpi(mpi) });
const libraries = [library("OpenMPI"), library("MPICH")];
const pathOf = (name: string) => join(runsDirectory, name);

/** Complete checkpoints. */
function checkpointsOf(name: string): string[] {
  const folder = join(pathOf(name), "checkpoints");
  return existsSync(folder) ? readdirSync(folder).filter((file) => /^last-.*json$/.test(file)) : [];
}

/** Process ids of the ranks of a run, from /proc, because launchers start them in different ways. */
function ranksOf(name: string): number[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words[0] === process.execPath && words.includes(name) ? [Number(pid)] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** Waits for the first checkpoint of a run. */
async function underWay(name: string, { ended }: Program, newerThan: readonly string[] = []): Promise<void> {
  let isEnded = false;
  void ended.then(() => {
    isEnded = true;
  });
  while (checkpointsOf(name).every((file) => newerThan.includes(file))) {
    if (isEnded) throw new Error(`${name} ended before its first checkpoint: ${(await ended).stderr}`);
    await sleep(20);
  }
}

const LIMIT = limitMs(180_000);

describe("bits", () => {
  let program: string;
  let alone: string;
  beforeAll(async () => {
    program = await builtProgram("mpi-bits");
    const ended = await start(process.execPath, [program]).ended;
    requireDone(ended);
    alone = ended.stdout;
    expect(alone.trim().split("\n")).toHaveLength(5);
  }, LIMIT);

  test.for(libraries.flatMap((one) => [2, 4].map((ranks) => ({ ...one, ranks }))))(
    "$mpi, $ranks ranks: the same as one process, with every running-statistics rule",
    { timeout: LIMIT },
    async ({ mpi, missing, ranks }, { skip }) => {
      if (missing) skip(missing);
      const ended = await startRanks(mpi, ranks, [program]).ended;
      requireDone(ended);
      expect(ended.stdout).toBe(alone);
    },
  );
});

describe("code", () => {
  let program: string;
  beforeAll(async () => {
    program = await builtProgram("mpi-code");
  });

  test.for(libraries)(
    "$mpi overwrites no functions of the C library, which other threads are running",
    { timeout: LIMIT },
    async ({ mpi, missing }, { skip }) => {
      if (missing) skip(missing);
      const ended = await startRanks(mpi, 2, [program]).ended;
      requireDone(ended);
      expect(ended.stdout).toBe("0 0\n");
    },
  );
});

test("SIGUSR2 stops all ranks after the same step; 4 ranks, then 2 of another library, then one process give the undisturbed run", {
  timeout: LIMIT,
}, async ({ skip }) => {
  for (const { missing } of libraries) if (missing) skip(missing);
  requireDone(await runProgram([...TRAIN, "--max-steps", "240", "--name", "undisturbed"]));
  const name = "interrupted";
  const first = startGhostbatch("OpenMPI", 4, [...TRAIN, "--max-steps", "240", "--name", name]);
  await underWay(name, first);
  // To the launcher, as a batch system does; the launcher passes it on to all ranks.
  first.child.kill("SIGUSR2");
  const stopped = await first.ended;
  expect(stopped.code).toBe(140);
  expect(stopped.stderr.match(/stopped by SIGUSR2/g)).toHaveLength(1);

  const before = checkpointsOf(name);
  const goOn = ["train", "--resume", pathOf(name), "--checkpoint-every", "20"];
  const second = startGhostbatch("MPICH", 2, goOn);
  await underWay(name, second, before);
  process.kill(Math.max(...ranksOf(pathOf(name))), "SIGUSR2");
  const again = await second.ended;
  expect(again.stderr).toMatch(
    /resuming .* after step \d+\n[\s\S]*stopped by SIGUSR2( on rank 1 \(\S+\))? after step/,
  );
  expect(again.code).toBe(140);

  requireDone(await runProgram(goOn));
  const left = (run: string) => {
    const { summary, ...files } = JSON.parse(outcome(pathOf(run)));
    return JSON.stringify({ ...files, summary: { ...summary, dispatchesPerStep: 0 } });
  };
  expect(left(name) === left("undisturbed")).toBe(true);
});

describe.for(libraries)("$mpi", ({ mpi, missing }) => {
  const begin = async (name: string, words: readonly string[] = []) => {
    const run = startGhostbatch(mpi, 2, [...TRAIN, "--name", name, ...words]);
    await underWay(name, run);
    return run;
  };

  test("a killed rank ends the job; the last checkpoint stays", { timeout: LIMIT }, async ({ skip }) => {
    if (missing) skip(missing);
    const name = `killed-${mpi}`;
    const run = await begin(name);
    process.kill(Math.max(...ranksOf(name)), "SIGKILL");
    const { code } = await run.ended;
    expect(code).not.toBe(0);
    while (ranksOf(name).length > 0) await sleep(20);
    expect(checkpointsOf(name)).not.toEqual([]);
    const goOn = await runProgram(["train", "--resume", pathOf(name), "--dry-run"]);
    requireDone(goOn);
  });

  test("a hanging rank is named and ends the job", { timeout: LIMIT }, async ({ skip }) => {
    if (missing) skip(missing);
    const name = `hanging-${mpi}`;
    const run = await begin(name, ["--watchdog", "2s"]);
    process.kill(Math.max(...ranksOf(name)), "SIGSTOP");
    const { code, stderr } = await run.ended;
    expect(stderr).toMatch(
      /^error: (rank 1 \(\S+\): )?no answer from rank [01] \(\S+\) within 2\.00 s \(--watchdog\)/m,
    );
    expect(code).not.toBe(0);
    while (ranksOf(name).length > 0) await sleep(20);
  });

  test("doctor lists what each rank has, once", { timeout: LIMIT }, async ({ skip }) => {
    if (missing) skip(missing);
    const ended = await runGhostbatch(mpi, 2, ["doctor", "--json"]);
    requireDone(ended);
    const { ranks } = JSON.parse(ended.stdout);
    expect(ranks).toMatchObject([0, 1].map((rank) => ({ rank, host: hostname(), software: true })));
  });

  test("a mistake is reported once", { timeout: LIMIT }, async ({ skip }) => {
    if (missing) skip(missing);
    const { code, signal, stderr } = await runGhostbatch(mpi, 3, [...TRAIN, "--name", "uneven"]);
    expect(stderr.match(/^error: .*/gm), `code ${code}, signal ${signal}: ${stderr}`).toEqual([
      "error: 3 ranks: expected a power of two, because the shards of a batch are added in pairs; start 2 or 4",
    ]);
    expect(existsSync(pathOf("uneven"))).toBe(false);
  });
});
