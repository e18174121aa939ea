// A login node that does not see the images: it plans, writes scripts whose tasks look for the images themselves, and shows what
// they have trained.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { ghostbatch } from "../support/command-line.ts";
import { makeRun } from "../support/made-run.ts";
import { runProgram, start } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-unseen-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** On compute nodes only. */
const SCRATCH = join(folder, "scratch", "images");
const EMIT = ["--emit", "slurm", "--gres", "gpu:1"];

/** What `reproduce` asks of a summary beyond what a made run has. */
const REST = {
  ...{ bestStep: 200, lastFive: 94, testLoss: 0.2, skippedSteps: 0, setupSeconds: 1, imagesPerSecond: 1000 },
  ...{ slabSamples: 32, dispatchesPerStep: 10, gpuBytes: 1e6 },
};

let number = 0;
const newRuns = () => join(folder, `runs${number++}`);

const reproduce = (...words: string[]) => ghostbatch(["reproduce", ...words]);

/** The specifications that a script trains, by name. */
function emittedSpecs(runs: string, id: string): Map<string, Record<string, unknown>> {
  const path = join(runs, `${id}.sweep`);
  const files = readdirSync(path).filter((name) => name.endsWith(".yaml"));
  return new Map(
    files.map((name) => [name.replace(".yaml", ""), parse(readFileSync(join(path, name), "utf8"))]),
  );
}

test.each([
  [["table1", "--rows", "c3"], "table1-small", "cifar100", 5],
  [["table1", "--rows", "f1,c1", "--columns", "SB"], "table1-small", "cifar10", 2],
  [["table2", "--batch", "4096", "--columns", "SB,GBN"], "table2-small", "imagenet", 2],
  [["table2", "--batch", "4096", "--columns", "SB,GBN", "--scale", "full"], "table2-full", "imagenet", 2],
  [["figure1", "--model", "c1"], "figure1-c1-small", "cifar10", 4],
  [["figure2", "--model", "c1"], "figure2-c1-small", "cifar10", 8],
  [["figure3", "--model", "c1"], "figure3-c1-small", "cifar10", 3],
] as const)("%j is emitted: tasks look in the folder of --data-dir", async (words, id, dataset, count) => {
  const runs = newRuns();
  const emitted = await reproduce(...words, ...EMIT, "--data-dir", SCRATCH, "--runs-dir", runs);
  expect([emitted.code, emitted.stderr]).toEqual([
    0,
    expect.stringMatching(/^note: .*: this machine does not see the images of \w+: .*; each task looks/),
  ]);
  const specs = [...emittedSpecs(runs, id).values()];
  expect(specs.length).toBe(count);
  expect(specs.map((spec) => spec["dataset"])).toContain(dataset);
  const script = readFileSync(join(runs, `${id}.sweep`, "submit.sbatch"), "utf8");
  expect(script.split(`--data-dir ${SCRATCH} `).length - 1).toBe(count);
});

test("--images says which images compute nodes see, for tables, figures, and the task of figure 4", async () => {
  const images = ["--images", `folder:${SCRATCH}`];
  const runs = newRuns();
  const where = [...images, ...EMIT, "--runs-dir", runs];
  expect((await reproduce("table1", "--rows", "f1,c1", "--columns", "SB", ...where)).code).toBe(0);
  const datasets = [...emittedSpecs(runs, "table1-small").values()].map(({ dataset }) => dataset);
  expect(datasets).toEqual([`folder:${SCRATCH}`, "mnist"]); // c1, f1
  expect((await reproduce("figure4", "--model", "c1", ...where)).code).toBe(0);
  const script = readFileSync(join(runs, "figure4-c1-small.sweep", "submit.sbatch"), "utf8");
  expect(script).toContain(`--images folder:${SCRATCH} --runs-dir`);
  expect((await reproduce("table1", "--rows", "f1", ...where)).stderr).toBe(
    `error: --images folder:${SCRATCH}: F1 is trained on MNIST; omit the option\n`,
  );
});

test("a script needs the name of the folder, and says so before there is anything", async () => {
  for (const words of [["table1", "--rows", "c1"], ["table2"], ["figure1", "--model", "c1"]]) {
    const runs = newRuns();
    const { code, stderr } = await reproduce(...words, ...EMIT, "--runs-dir", runs);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^error: .*; if only the compute nodes see the images, name their folder .*\n$/),
    ]);
    expect(() => readdirSync(runs)).toThrow();
  }
});

test("a dry run needs no images at any scale", async () => {
  for (const words of [["table2"], ["table1", "--rows", "c3"], ["figure1", "--model", "vgg"]]) {
    const { code, stdout, stderr } = await reproduce(...words, "--dry-run", "--assume-limits", "h100");
    expect([code, stdout]).toEqual([0, expect.stringMatching(/different runs, [\d.]+ .FLOP in total/)]);
    expect(stderr).toMatch(/^note: .* the plan is for the whole data set\n/);
  }
});

test("a task that does not find its images ends with a line that names the missing file", async () => {
  const runs = newRuns();
  // In a process of its own, which is what the script starts again.
  const table = ["reproduce", "table1", "--rows", "c1", ...EMIT, "--data-dir", SCRATCH, "--runs-dir", runs];
  expect((await runProgram(table)).code).toBe(0);
  const sweep = join(runs, "table1-small.sweep");
  const env = { SLURM_ARRAY_JOB_ID: "7", SLURM_ARRAY_TASK_ID: "0", DEBUG: "" };
  const task = await start("bash", [join(sweep, "submit.sbatch")], { env }).ended;
  expect(task.code).toBe(2);
  const log = readdirSync(sweep).find((name) => name.endsWith(".log"))!;
  expect(readFileSync(join(sweep, log), "utf8")).toMatch(
    /^error: .*scratch\/images\/\S+\/data_batch_1\.bin: CIFAR-10's file is missing: .*\n$/,
  );
  expect(readdirSync(runs)).toEqual(["table1-small.sweep"]);
});

test("the same command without --emit shows the finished runs, and what is missing while some are not", async () => {
  const runs = newRuns();
  const table = ["table1", "--rows", "c1", "--columns", "SB,LB", "--data-dir", SCRATCH, "--runs-dir", runs];
  await reproduce(...table, ...EMIT);
  const [first, second] = [...emittedSpecs(runs, "table1-small").keys()];
  makeRun(runs, { name: first!, summary: REST });
  const early = await reproduce(...table);
  expect([early.code, early.stderr]).toEqual([2, expect.stringMatching(/^error: C1: no images in .*\n$/)]);
  makeRun(runs, { name: second!, summary: REST });
  const shown = await reproduce(...table, "--json");
  expect([shown.code, shown.stderr]).toEqual([0, ""]);
  expect(JSON.parse(shown.stdout).rows[0].cells).toMatchObject({ SB: { n: 1 }, LB: { n: 1 } });
});

test("images that are there are used as before", async () => {
  const seen = join(folder, "seen");
  for (const part of ["train", "test"]) mkdirSync(join(seen, part, "cat"), { recursive: true });
  const runs = newRuns();
  const where = ["--data-dir", seen, "--runs-dir", runs];
  const { code, stderr } = await reproduce("figure1", "--model", "c1", ...where, ...EMIT);
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/seen\/train\/cat: a class folder without images/),
  ]);
});
