// The verbs as a user calls them, each once, on a little data.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { parse } from "yaml";
import { runningOnSoftwareNode, softwareNodePath } from "../../src/host/node/software-gpu.ts";
import { readSafetensors } from "../../src/storage/safetensors.ts";
import { ghostbatch } from "../support/command-line.ts";
import { runProgram } from "../support/program.ts";

const runs = mkdtempSync(join(tmpdir(), "ghostbatch-commands-"));
afterAll(() => rmSync(runs, { recursive: true }));

const inRun = (name: string, file: string) => join(runs, name, file);
const read = (name: string, file: string) => readFileSync(inRun(name, file), "utf8");

test("train writes a run folder; its config.yaml alone repeats the run bit for bit", async () => {
  const options =
    "--dataset synthetic --width 16 --hidden 2 --batch-size 32 --ghost-size 10 --partial authors --running-rule sequential";
  const more =
    "--lr 0.05 --lr-rule sqrt --lr-reference-batch 16 --momentum-reset epoch --clip-norm 1 --seed 7 --max-steps 5";
  const args = ["train", ...options.split(" "), ...more.split(" "), "--runs-dir", runs, "--json"];
  const first = await runProgram([...args, "--name", "first"]);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stderr).toContain("learning-rate rule sqrt, reference batch 16: rates × √(32 / 16) = 1.41421");

  const summary = JSON.parse(first.stdout);
  expect(summary).toMatchObject({ folder: join(runs, "first"), steps: 5, samples: 160, ghostSize: 11 });
  const { folder: _, ...stored } = summary;
  expect(JSON.parse(read("first", "summary.json"))).toEqual(stored);

  const config = parse(read("first", "config.yaml"));
  expect(config).toMatchObject({
    dataset: "synthetic",
    model: "f1",
    width: 16,
    hidden: 2,
    batchSize: 32,
    ghostSize: 10,
    partial: "authors",
  });
  expect(config).toMatchObject({
    runningRule: "sequential",
    learningRate: 0.05,
    learningRateRule: "sqrt",
    referenceBatchSize: 16,
    seed: 7,
  });
  const environment = JSON.parse(read("first", "environment.json"));
  expect(environment.command).toContain("ghostbatch train --dataset synthetic");
  expect(environment).toMatchObject({
    versions: { node: process.versions.node },
    adapter: { name: expect.any(String) },
  });

  const lines = read("first", "metrics.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines.map(({ kind, step }) => `${kind} ${step}`)).toEqual([
    "train 1",
    "train 2",
    "train 3",
    "train 4",
    "train 5",
    "evaluation 5",
  ]);
  expect(lines[4].loss).toBeLessThan(lines[0].loss);
  expect(lines[5].testAccuracy).toBe(summary.accuracy);
  const table = read("first", "metrics.csv").trimEnd().split("\n");
  expect(table).toHaveLength(1 + lines.length);
  expect(table[0]!.split(",")).toEqual(Object.keys(lines[0]));

  const { tensors } = await readSafetensors(inRun("first", "weights.safetensors"));
  expect(tensors.get("layers.0.weight")!.shape).toEqual([16, 784]);
  expect(tensors.has("layers.1.running_var")).toBe(true);
  // No temporary files remain.
  const wanted = [
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "metrics.jsonl",
    "summary.json",
    "weights.safetensors",
  ];
  expect(readdirSync(join(runs, "first"))).toEqual(expect.arrayContaining(wanted));
  expect(readdirSync(join(runs, "first")).filter((name) => /^\.|tmp/.test(name))).toEqual([]);

  const second = await runProgram([
    "train",
    "--config",
    inRun("first", "config.yaml"),
    "--runs-dir",
    runs,
    "--name",
    "second",
  ]);
  expect(second.code, second.stderr).toBe(0);
  expect(second.stdout).toContain(`run folder ${join(runs, "second")}`);
  for (const file of ["weights.safetensors", "config.yaml"]) {
    expect(readFileSync(inRun("second", file)).equals(readFileSync(inRun("first", file))), file).toBe(true);
  }
});

test("negative control: ghosts as large as the batch give plain batch norm, bit for bit", async () => {
  const options =
    "--dataset synthetic --width 16 --hidden 2 --batch-size 64 --lr-rule sqrt --partial authors --max-steps 4";
  const weights: Buffer[] = [];
  for (const [name, ...ghosts] of [
    ["none"],
    ["whole", "--ghost-size", "64"],
    ["halves", "--ghost-size", "32"],
  ]) {
    const { code, stderr } = await ghostbatch([
      "train",
      ...options.split(" "),
      ...ghosts,
      "--runs-dir",
      runs,
      "--name",
      name!,
    ]);
    expect(code, stderr).toBe(0);
    weights.push(readFileSync(inRun(name!, "weights.safetensors")));
  }
  expect(weights[1]!.equals(weights[0]!)).toBe(true);
  expect(weights[2]!.equals(weights[0]!)).toBe(false);
});

test("train --dry-run prints parameters, learning rates and cost, and trains nothing", async () => {
  const options =
    "--batch-size 4096 --ghost-size 128 --lr-rule sqrt --lr-reference-batch 128 --regime adapted --partial authors";
  const { code, stdout, stderr } = await ghostbatch([
    "train",
    "--dry-run",
    ...options.split(" "),
    "--runs-dir",
    join(runs, "dry"),
  ]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^parameters +1,462,794$/m);
  // 60,000 images in batches of 4096 are 15 steps; an epoch becomes 32, so drops come at steps 4800, 9600, 14400.
  const rows = stdout.split("\n").map((line) => line.trim().split(/ +/).slice(0, 3).join(" "));
  expect(rows).toEqual(
    expect.arrayContaining([
      "0 0 0.565685",
      "4,800 320 0.0565685",
      "9,600 640 0.00565685",
      "14,400 960 0.000565685",
      "24,000 1600 end",
    ]),
  );
  expect(stdout).toMatch(/24,000 steps, 96,000,000 images, 76\d TFLOP in total/); // 7.93 MFLOP an image
  expect(existsSync(join(runs, "dry"))).toBe(false);
});

test("doctor --json: the adapter, its limits, and a self-test", async () => {
  const { code, stdout, stderr } = await ghostbatch(["doctor", "--json"]);
  expect(code, stderr).toBe(0);
  const facts = JSON.parse(stdout);
  expect(facts).toMatchObject({
    adapter: { name: expect.any(String), software: expect.any(Boolean) },
    limits: { maxStorageBufferBindingSize: expect.any(Number) },
    versions: { node: process.versions.node },
  });
  expect(Math.min(facts.selfTest.checked, facts.selfTest.gflops)).toBeGreaterThan(0);
  expect(facts.adapters).toContainEqual({ backend: expect.any(String), name: expect.any(String) });
});

test("data mnist --json: the files match their checksums, and the count of each digit", async () => {
  const { code, stdout, stderr } = await ghostbatch(["data", "mnist", "--json"]);
  expect(code, stderr).toBe(0);
  const facts = JSON.parse(stdout);
  expect(facts.files.map(({ matches }: { matches: boolean }) => matches)).toEqual([true, true, true, true]);
  expect([facts.train.count, facts.test.count]).toEqual([60_000, 10_000]);
  expect(facts.test.classCounts).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]); // LeCun's page
});

test("an unknown adapter: exit code 3", async () => {
  const { code, stderr } = await ghostbatch(["doctor", "--adapter", "no such adapter"]);
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(/^error: no adapter matches "no such adapter"; available: .*\((vulkan|metal|d3d)/),
  ]);
});

test("no adapter at all: exit code 3, and what to do", async ({ skip }) => {
  if (process.platform !== "linux") skip("only on Linux can a variable hide the GPU drivers");
  if (softwareNodePath() !== null && !runningOnSoftwareNode())
    skip("this command would use the software GPU");
  const { code, stderr } = await runProgram(["train"], { env: { VK_DRIVER_FILES: "/nonexistent" } });
  expect([code, stderr]).toEqual([
    3,
    expect.stringMatching(/^error: no GPU adapter: `npm run setup` in \S+ installs a software GPU/m),
  ]);
});
