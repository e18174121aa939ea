// A login node and a machine with the GPU agree: on the plan for an adapter that `doctor` described, and on the runs of a table that
// a job array has trained.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ghostbatch } from "../support/command-line.ts";
import { runProgram, start } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-emitted-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a plan from the output of doctor is the plan of the adapter itself", async () => {
  const file = join(folder, "doctor.json");
  writeFileSync(file, (await ghostbatch(["doctor", "--json"])).stdout);
  const words = [
    "train",
    "--model",
    "resnet8",
    "--dataset",
    "cifar10",
    "--ghost-size",
    "16",
    "--dry-run",
    "--json",
  ];
  const here = await ghostbatch(words);
  const assumed = await ghostbatch([...words, "--assume-limits", file]);
  expect(here.code).toBe(0);
  expect(assumed.stdout).toBe(here.stdout);
});

test("figure 4, which is not a list of runs, is one task that runs the verb itself", async () => {
  const figure = ["reproduce", "figure4", "--directions", "10", "--runs-dir", folder];
  const emitted = await runProgram([...figure, "--emit", "slurm"]);
  expect(emitted.stderr).toMatch(/^note: the script requests no GPU; .* --gres gpu:1\n$/);
  const script = emitted.stdout.match(/^sbatch (\S+)$/m)![1]!;
  const env = { SLURM_ARRAY_JOB_ID: "8", SLURM_ARRAY_TASK_ID: "0", DEBUG: "" };
  expect((await start("bash", [script], { env }).ended).code).toBe(0);
  const record = join(folder, "figure4-f1-small.experiment.json");
  expect(JSON.parse(readFileSync(record, "utf8"))).toMatchObject({
    kind: "figure4",
    data: expect.any(Array),
  });
});

test("reproduce finds the cell that a task of its job array has trained, and emits no further script", async () => {
  const table = ["reproduce", "table1", "--rows", "f1", "--columns", "LB", "--runs-dir", folder];
  const emitted = await runProgram([...table, "--emit", "slurm"]);
  const script = emitted.stdout.match(/^sbatch (\S+)$/m)![1]!;
  const env = { SLURM_ARRAY_JOB_ID: "7", SLURM_ARRAY_TASK_ID: "0", DEBUG: "" };
  const task = await start("bash", [script], { env }).ended;
  expect(task.code).toBe(0);
  const log = task.stdout.match(/^log of this task: (\S+)\n$/)![1]!;
  expect(readFileSync(log, "utf8")).toMatch(/\ntest accuracy [\d.]+ %/);

  const shown = await ghostbatch([...table, "--json"]);
  expect(shown.stderr).toBe(""); // nothing was trained, and no GPU opened
  expect(JSON.parse(shown.stdout).rows[0].cells.LB).toMatchObject({ n: 1, steps: 48 });
  expect((await ghostbatch([...table, "--emit", "slurm"])).stdout).toMatch(/^all runs have finished/);
});
