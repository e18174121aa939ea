// A sweep as a job array of a real Slurm. One task gets the signal for its time limit, the other is requeued. Both continue where
// they stopped, and end with the bits of undisturbed runs.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunStatus } from "../../src/sweep/sweep-folder.ts";
import { outcome, requireDone } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";
import { runProgram } from "../support/program.ts";
import { missingForSlurm, type Slurm, startSlurm } from "../support/slurm.ts";

const missing = missingForSlurm();
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-slurm-"));
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

const GRID = `
name: array
base: {dataset: "synthetic:1x28x28:10:550:100", width: 32, hidden: 2, batchSize: 100, ghostSize: 20, epochs: 100000, maxSteps: 6000, evaluateEvery: 100}
grid: {seed: [1, 2]}
`;
const NAMES = ["array-seed_1", "array-seed_2"];

test(
  "Slurm: interrupted tasks continue where they stopped",
  async ({ skip }) => {
    if (missing.length > 0)
      skip(`no Slurm here: ${missing.join(", ")} not found (Debian: apt-get install slurm-wlm)`);
    const { run } = slurm!;
    const grid = join(folder, "grid.yaml");
    writeFileSync(grid, GRID);
    const [here, there] = [join(folder, "here"), join(folder, "there")];
    requireDone(await runProgram(["sweep", grid, "--runs-dir", here]));

    const emitted = await runProgram([
      "sweep",
      grid,
      "--runs-dir",
      there,
      "--emit",
      "slurm",
      "--jobs",
      "2",
      "--time-limit",
      "2h",
    ]);
    requireDone(emitted);
    const script = emitted.stdout.match(/^sbatch (.*)$/m)![1]!;
    expect(readFileSync(script, "utf8")).toMatch(
      /^#SBATCH --array=0-1%2\n#SBATCH --time=120\n#SBATCH --signal=B:USR2@60$/m,
    );
    const job = run("sbatch", "--parsable", script).trim();

    for (const [task, interrupt] of [
      ["scancel", "--signal=USR2", "--batch", `${job}_0`], // as Slurm does at the time limit
      ["scontrol", "requeue", `${job}_1`], // as Slurm does when it preempts
    ].entries()) {
      const metrics = join(there, NAMES[task]!, "metrics.jsonl");
      while (!existsSync(metrics) || readFileSync(metrics).length < 20_000) await sleep(50);
      run(interrupt[0]!, ...interrupt.slice(1));
    }
    while (run("squeue", "--noheader").trim() !== "") await sleep(500);

    const shown = await runProgram(["sweep", grid, "--runs-dir", there, "--status", "--json"]);
    const statuses: RunStatus[] = JSON.parse(shown.stdout);
    expect(statuses.map(({ state, why }) => `${state} ${why}`)).toEqual(["done ", "done "]);
    for (const name of NAMES) {
      expect(readFileSync(join(there, "array.sweep", `${name}.log`), "utf8")).toMatch(
        /stopped by SIG(USR2|TERM) after step[\s\S]*resuming .* after step \d+/,
      );
      expect(outcome(join(there, name))).toBe(outcome(join(here, name)));
    }
    // Submitted again, everything is already finished.
    run("sbatch", "--parsable", script);
    while (run("squeue", "--noheader").trim() !== "") await sleep(500);
    expect(readFileSync(join(there, "array.sweep", `${NAMES[0]}.log`), "utf8")).toContain(
      "has already finished",
    );
  },
  limitMs(900_000),
);
