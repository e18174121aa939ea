// The script of a job array, run by a shell with a scontrol that only records its arguments.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { completeSpec } from "../../src/run/run-spec.ts";
import { UsageError } from "../../src/support/errors.ts";
import { readGrid } from "../../src/sweep/grid.ts";
import { slurmArrays, slurmScript, submitScript } from "../../src/sweep/slurm.ts";
import { SweepFolder } from "../../src/sweep/sweep-folder.ts";
import { ghostbatch } from "../support/command-line.ts";
import { start } from "../support/program.ts";

const directory = mkdtempSync(join(tmpdir(), "ghostbatch slurm "));
afterAll(() => rmSync(directory, { recursive: true }));

const bin = join(directory, "bin");
const requeued = join(directory, "requeued");
mkdirSync(bin);
writeFileSync(join(bin, "scontrol"), `#!/bin/sh\necho "$@" >>'${requeued}'\n`);
chmodSync(join(bin, "scontrol"), 0o755);

const grid = { name: "array", runs: [{ name: "array-seed_1", spec: completeSpec({ seed: 1 }) }] };
const folder = new SweepFolder(directory, grid);
const checkpoints = join(directory, "array-seed_1", "checkpoints");

/** Starts task 0, whose run is these shell commands. */
async function runTask(commands: string, timeLimit?: number) {
  rmSync(requeued, { force: true });
  const commandOf = () => ["sh", "-c", commands];
  const script = join(directory, "submit.sbatch");
  writeFileSync(script, slurmScript(grid, folder, { jobs: 1, timeLimit, directory, commandOf }));
  const env = {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    SLURM_ARRAY_JOB_ID: "7",
    SLURM_ARRAY_TASK_ID: "0",
  };
  return start("bash", [script], { env });
}

test("a task with a new checkpoint is queued again, and one without progress fails", async () => {
  await folder.create(grid.runs);
  mkdirSync(checkpoints, { recursive: true });
  // At SIGUSR2 the run writes the checkpoint of step 5, which is new only the first time.
  const commands = `trap 'echo >"${checkpoints}/last-5.json"; exit 140' USR2; echo ready; while :; do sleep 0.05; done`;
  const log = () => readFileSync(folder.logOf(grid.runs[0]!), "utf8");
  const outcomes: unknown[] = [];
  for (const turn of [1, 2]) {
    const task = await runTask(commands);
    await expect
      .poll(() => existsSync(folder.logOf(grid.runs[0]!)) && log().split("ready").length - 1)
      .toBe(turn);
    task.child.kill("SIGUSR2");
    outcomes.push([(await task.ended).code, existsSync(requeued) && readFileSync(requeued, "utf8")]);
  }
  expect(outcomes).toEqual([
    [140, "requeue 7_0\n"],
    [1, false],
  ]);
  expect(log()).toMatch(
    /ready\nready\nerror: SIGUSR2 arrived before the first step was done: .* longer --time-limit\n$/,
  );
});

test("a run that is killed before it handles signals is not queued again; other exit codes are passed on", async () => {
  for (const [commands, code] of [
    ["kill -USR2 $$", 1],
    ["exit 3", 3],
    ["exit 0", 0],
  ] as const) {
    expect((await (await runTask(commands)).ended).code).toBe(code);
    expect(existsSync(requeued)).toBe(false);
  }
});

test.each([45, 60, 120])(
  "a time limit of %i s, too short for the signal before its end, is refused",
  async (seconds) => {
    await expect(runTask("exit 0", seconds)).rejects.toThrow(UsageError);
    await expect(runTask("exit 0", seconds)).rejects.toThrow(/--time-limit \d+s: .*the minimum is 3m/);
    expect((await (await runTask("exit 0", 121)).ended).code).toBe(0);
  },
);

test("more runs than an array allows become several arrays, one after the other", async () => {
  const file = join(directory, "big.yaml");
  const seeds = Array.from({ length: 2500 }, (_, seed) => seed).join();
  writeFileSync(
    file,
    `name: big\nbase: {dataset: synthetic, model: f1, maxSteps: 1}\ngrid: {seed: [${seeds}]}\n`,
  );
  const arrays = slurmArrays(await readGrid(file));
  expect(arrays.map(({ runs }) => runs.length)).toEqual([1000, 1000, 500]);
  const names = arrays.flatMap(({ runs }) => runs.map(({ name }) => name));
  expect(new Set(names).size).toBe(2500);
  const big = new SweepFolder(directory, arrays[0]!);
  const options = { jobs: 7, directory, commandOf: () => ["true"] };
  const script = slurmScript(arrays[2]!, big, options);
  expect(script).toContain("#SBATCH --array=0-499%7\n");
  expect(script).toContain(`\n499) log='${join(big.path, "big-seed_2499.log")}'`);

  // Like sbatch on a named cluster; the second submission is refused.
  const submitted = join(directory, "submitted");
  const refusing = `[ $(wc -l <'${submitted}') -lt 2 ] || exit 1; echo "$(wc -l <'${submitted}');cluster"`;
  writeFileSync(join(bin, "sbatch"), `#!/bin/sh\necho "$@" >>'${submitted}'\n${refusing}\n`, { mode: 0o755 });
  const env = { PATH: `${bin}${delimiter}${process.env.PATH}` };
  const { code, stdout } = await start("sh", ["-c", submitScript(["a b", "second", "third"], true)], { env })
    .ended;
  expect([code, stdout]).toEqual([1, "1;cluster\n"]);
  expect(readFileSync(submitted, "utf8")).toBe("--parsable a b\n--parsable --dependency=afterany:1 second\n");
});

test("--emit refuses what train would refuse, with the same message, before a folder is created", async () => {
  const file = join(directory, "wrong.yaml");
  const runs = join(directory, "none");
  for (const [base, flags] of [
    ["dataset: mnits", ["--dataset", "mnits"]],
    ["model: resnet4", ["--model", "resnet4"]],
    ["width: 3, model: resnet44", ["--width", "3", "--model", "resnet44"]],
    [
      "dataset: 'synthetic:1x1x1:2:8:8', model: resnet44",
      ["--dataset", "synthetic:1x1x1:2:8:8", "--model", "resnet44"],
    ],
    ["dataset: 'synthetic:1x9999999x99:2'", ["--dataset", "synthetic:1x9999999x99:2"]],
  ] as const) {
    writeFileSync(file, `name: wrong\nbase: {${base}}\n`);
    const emitted = await ghostbatch(["sweep", file, "--emit", "slurm", "--runs-dir", runs]);
    const trained = await ghostbatch(["train", ...flags, "--dry-run", "--runs-dir", runs]);
    const reason = (text: string) =>
      text.replace(/^error: (\S+: base\.\w+: |--[\w-]+ \S+: |option .* is invalid\. )?/, "");
    expect([base, emitted.code, reason(emitted.stderr)]).toEqual([
      base,
      trained.code,
      reason(trained.stderr),
    ]);
    expect(existsSync(runs)).toBe(false);
  }
});

test("runs on several GPUs are ranks of srun, which passes SIGUSR2 on, with at least as many shards", async () => {
  const file = join(directory, "ranks.yaml");
  writeFileSync(
    file,
    "name: ranks\nbase: {dataset: synthetic, model: f1}\ngrid: {shards: [1, 8], seed: [1]}\n",
  );
  const emit = (...words: string[]) =>
    ghostbatch(["sweep", file, "--runs-dir", directory, "--emit", "slurm", "--gpus-per-run", ...words]);
  expect((await emit("4")).code).toBe(0);
  const script = readFileSync(join(directory, "ranks.sweep", "submit.sbatch"), "utf8");
  expect(script).toMatch(/^#SBATCH --ntasks=4\n#SBATCH --gpus-per-task=1$/m);
  expect(script).toMatch(
    /^srun --ntasks=4 --gpus-per-task=1 --kill-on-bad-exit=1 "\$\{command\[@\]\}" &\nrun=\$!$/m,
  );
  const shardsOf = (name: string) => readFileSync(join(directory, "ranks.sweep", `${name}.yaml`), "utf8");
  expect(shardsOf("ranks-shards_1-seed_1")).toMatch(/^shards: 4$/m);
  expect(shardsOf("ranks-shards_8-seed_1")).toMatch(/^shards: 8$/m);

  expect((await emit("4", "--gres", "gpu:a100:4")).code).toBe(0);
  const own = readFileSync(join(directory, "ranks.sweep", "submit.sbatch"), "utf8");
  expect(own).toMatch(/^srun --ntasks=4 --kill-on-bad-exit=1 "/m);
  expect(own).not.toContain("gpus-per-task");

  const uneven = await emit("3");
  expect(uneven).toMatchObject({ code: 2, stdout: "" });
  expect(uneven.stderr).toMatch(/^error: --gpus-per-run 3: expected a power of two/m);
});
