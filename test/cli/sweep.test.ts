// Grids of runs as processes: their states and reasons, and what a second start does.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { UsageError } from "../../src/support/errors.ts";
import { formatDuration } from "../../src/support/format.ts";
import { readGrid } from "../../src/sweep/grid.ts";
import type { RunStatus } from "../../src/sweep/sweep-folder.ts";
import { ghostbatch } from "../support/command-line.ts";
import { firstStep } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";
import { runProgram, startProgram } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-sweep-"));
afterAll(() => rmSync(folder, { recursive: true }));

const BASE =
  "base: {dataset: 'synthetic:1x7x7:4:150:40', width: 16, hidden: 2, batchSize: 50, ghostSize: 10, clipNorm: 0, epochs: 1000000";

function grid(name: string, text: string): string {
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, `name: ${name}\n${text}\n`);
  return path;
}

async function sweep(
  path: string,
  ...words: string[]
): Promise<{ code: number | null; stderr: string; statuses: RunStatus[] }> {
  const { code, stdout, stderr } = await runProgram([
    "sweep",
    path,
    "--runs-dir",
    folder,
    "--json",
    ...words,
  ]);
  return { code, stderr, statuses: JSON.parse(stdout === "" ? "[]" : stdout) };
}

test("a grid has a run for every combination, named after its values", async () => {
  const path = grid(
    "letters",
    "base: {dataset: synthetic, maxSteps: 5}\ngrid:\n  batchSize: [32, 64]\n  seed: [0, 1, 2]\n  subset: [null, {train: 10, test: 5, seed: 0}]",
  );
  const { runs } = await readGrid(path);
  expect(runs).toHaveLength(12);
  expect(new Set(runs.map(({ name }) => name)).size).toBe(12);
  expect(runs[0]!.name).toBe("letters-batchSize_32-seed_0-subset_null");
  expect(runs[1]!.name).toMatch(/^letters-[0-9a-f]{12}$/); // an object cannot be part of a name
  expect(runs[11]!.spec).toMatchObject({
    dataset: "synthetic",
    batchSize: 64,
    seed: 2,
    subset: { train: 10 },
    maxSteps: 5,
    model: "f1",
  });
  const { runs: single } = await readGrid(grid("single", "base: {model: resnet8}"));
  expect(single[0]!.spec.baseRegime).toBe("resnet44");
});

test.each([
  ["grid: {batchSize: [32, 'many']}", /bad\.yaml:2: grid\.batchSize/],
  ["grid: {batchsize: [32]}", /bad\.yaml:2: grid\.batchsize: unknown option; did you mean batchSize\?/],
  ["grid: {seed: []}", /bad\.yaml:2: grid\.seed/],
  ["base: {learnrat: 3}", /bad\.yaml:2: base\.learnrat: unknown option/],
  ["grid: {seed: [1, 1]}", /two runs of the grid are the same: bad-seed_1/],
  ["grid: {model: [nothing]}", /unknown name "nothing"/],
])("a grid with %s is refused, with its line", async (text, message) => {
  const path = grid("bad", text);
  await expect(readGrid(path)).rejects.toThrow(UsageError);
  await expect(readGrid(path)).rejects.toThrow(message);
});

test(
  "a failing run does not stop the others; a second start skips finished runs and tries the rest again",
  async () => {
    const path = grid("rates", `${BASE}, maxSteps: 60}\ngrid: {learningRate: [1.0e+30, 0.1, 0.05]}`);
    // A time limit longer than a single timer allows.
    const first = await sweep(path, "--jobs", "2", "--time-limit", "600h");
    expect(first.code).toBe(1);
    expect(first.statuses.map(({ name, state }) => [name, state])).toEqual([
      ["rates-learningRate_1e30", "failed"],
      ["rates-learningRate_0.1", "done"],
      ["rates-learningRate_0.05", "done"],
    ]);
    expect(first.statuses[0]!.why).toMatch(
      /^error: step 2: the loss is .* first produced in step 2 by .*the run has diverged/,
    );
    expect(first.statuses[1]!.summary).toMatchObject({ steps: 60 });
    const summary = join(folder, "rates-learningRate_0.1", "summary.json");
    const before = statSync(summary).mtimeMs;
    const second = await sweep(path);
    expect(second.code).toBe(1);
    expect(second.stderr.match(/: running/g)).toHaveLength(1);
    expect(statSync(summary).mtimeMs).toBe(before);
    const shown = await runProgram(["sweep", path, "--runs-dir", folder, "--status"]);
    expect(shown.stdout).toMatch(/2 done, 0 running, 0 stopped, 1 failed, 0 waiting\n$/);
  },
  limitMs(240_000),
);

test(
  "a time limit ends one run with a checkpoint, a signal ends all; both continue later",
  async () => {
    const path = grid("long", `${BASE}, maxSteps: 100000000}\ngrid: {seed: [1]}`);
    // A busy machine may need most of a limit to start: if no step was done, the next limit is twice as long.
    let step = 0;
    for (let limit = 4; step === 0 && limit <= 64; limit *= 2) {
      const limited = await sweep(path, "--time-limit", `${limit}s`);
      expect(limited.code).toBe(1);
      expect(limited.statuses[0]).toMatchObject({
        state: "failed",
        why: `error: time limit of ${formatDuration(limit)} reached; it continues when the sweep is started again`,
      });
      step = limited.statuses[0]!.step;
    }
    expect(step).toBeGreaterThan(0);
    const again = startProgram(["sweep", path, "--runs-dir", folder]);
    await firstStep(again, join(folder, "long-seed_1"));
    again.child.kill("SIGTERM");
    const ended = await again.ended;
    expect(ended.code).toBe(143);
    expect(ended.stderr).toMatch(/stopped by SIGTERM; continue with: ghostbatch sweep/);
    const [status] = (await sweep(path, "--status")).statuses;
    expect(status!.state).toBe("stopped");
    expect(status!.why).toMatch(/^stopped by SIGTERM after step \d+ of \d+; continue with:/);
    expect(status!.step).toBeGreaterThanOrEqual(step);
  },
  limitMs(360_000),
);

test("of two sweeps at once only one trains a run, and the other does not touch its log; SIGUSR2 ends it like SIGTERM", async () => {
  const path = grid("shared", `${BASE}, maxSteps: 100000000}\ngrid: {seed: [1]}`);
  const both = [1, 2].map(() => startProgram(["sweep", path, "--runs-dir", folder, "--json"]));
  const first = await Promise.race(both.map(async (program) => ({ program, ended: await program.ended })));
  expect(first.ended.code).toBe(1);
  expect(JSON.parse(first.ended.stdout)).toMatchObject([{ state: "running" }]);
  const other = both.find((program) => program !== first.program)!;
  const run = join(folder, "shared-seed_1");
  await firstStep(other, run);
  other.child.kill("SIGUSR2");
  const ended = await other.ended;
  expect(ended.code).toBe(140);
  expect(ended.stderr).toMatch(
    /stopped by SIGUSR2; continue with: ghostbatch sweep .*shared\.yaml --runs-dir \S+ --json$/m,
  );
  expect(JSON.parse(ended.stdout)).toMatchObject([{ state: "stopped", step: expect.any(Number) }]);
  expect(readdirSync(join(run, "checkpoints")).length).toBeGreaterThan(0);
  expect(readFileSync(join(folder, "shared.sweep", "shared-seed_1.log"), "utf8")).not.toMatch(/^error/m);
});

test("what would fail in every run is refused before a folder is created, and --status creates none", async () => {
  const path = grid("checked", `${BASE}, maxSteps: 1}`);
  const before = readdirSync(folder).sort();
  for (const [words, message] of [
    [["--checkpoint-every", "banana"], /--checkpoint-every .*'banana'/],
    [["--data-dir", "somewhere"], /--data-dir somewhere: the data set synthetic has no files/],
    [["--emit", "slurm", "--time-limit", "45s"], /--time-limit 45s: .*the minimum is 3m/],
    [["--adapter", "no such adapter"], /no adapter matches "no such adapter"/],
  ] as const) {
    const { code, stderr } = await ghostbatch(["sweep", path, "--runs-dir", folder, ...words]);
    expect([code, stderr]).toEqual([words[0] === "--adapter" ? 3 : 2, expect.stringMatching(message)]);
  }
  const shown = await ghostbatch(["sweep", path, "--runs-dir", folder, "--status", "--json"]);
  expect(shown.code).toBe(0);
  expect(JSON.parse(shown.stdout)).toMatchObject([{ name: "checked", state: "waiting" }]);
  expect(readdirSync(folder).sort()).toEqual(before);
});

test("a damaged summary of one run is that run's failure, and the others have their states", async () => {
  const path = grid("torn", "base: {dataset: synthetic}\ngrid: {seed: [0, 1]}");
  const run = join(folder, "torn-seed_0");
  mkdirSync(run);
  writeFileSync(join(run, "summary.json"), '{"accuracy": NaN}');
  const { code, stdout } = await ghostbatch(["sweep", path, "--status", "--json", "--runs-dir", folder]);
  expect([code, JSON.parse(stdout)]).toMatchObject([
    0,
    [
      {
        state: "failed",
        why: expect.stringMatching(/summary\.json: damaged: expected JSON.*delete the folder/),
      },
      { state: "waiting" },
    ],
  ]);
});
