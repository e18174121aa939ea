// Trainers, and the commands that started them, are killed with -9 at random moments, during checkpoint writes too. Runs resumed
// from their checkpoints end with the bits of an undisturbed run.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { softwareNodePath } from "../../src/host/node/software-gpu.ts";
import { killRuns } from "../support/kills.ts";
import { limitMs } from "../support/limits.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-kills-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const F1 = `
dataset: synthetic:1x28x28:10:550:100
model: f1
width: 16
hidden: 2
batchSize: 100
ghostSize: 20
partial: wrap
momentumReset: epoch
evaluateEvery: 7
maxSteps: 900
epochs: 1000
`;

/** Stages of 936, 50 and 50 steps. */
const GROWING = `
dataset: synthetic:1x7x7:4:410:40
model: f1
baseRegime: f1-small
epochScale: 2.25
batchSize: 8
ghostSize: 4
batchGrowth: true
`;

const RESNET = `
dataset: synthetic:3x16x16:10:70:20
model: resnet8
batchSize: 20
ghostSize: 10
partial: exact
evaluateEvery: 5
maxSteps: 50
epochs: 1000
`;

/** If a command trains in its own process, that process is the one to kill. */
const asCommands = softwareNodePath() !== null;

test(
  "50 kills of F1, of a run with a growing batch, and of a small ResNet",
  async () => {
    const f1 = await killRuns({
      runsDirectory,
      name: "f1",
      configuration: F1,
      words: ["--checkpoint-every", "3"],
      kills: 26,
      seed: 1,
      within: 900,
      asCommands,
    });
    const growing = await killRuns({
      runsDirectory,
      name: "growing",
      configuration: GROWING,
      words: ["--checkpoint-every", "3"],
      kills: 8,
      seed: 3,
      within: 900,
      asCommands,
    });
    const words = ["--checkpoint-every", "2", "--keep-checkpoints", "3"];
    const resnet = await killRuns({
      runsDirectory,
      name: "resnet",
      configuration: RESNET,
      words,
      kills: 16,
      seed: 2,
      within: 1500,
      asCommands,
    });
    const sum = (key: "kills" | "survived" | "runs" | "insideWrites" | "insideStarts") =>
      f1[key] + growing[key] + resnet[key];
    console.log(
      `${sum("survived")} of ${sum("kills")} kills survived, in ${sum("runs")} runs; ${sum("insideWrites")} left a half-written checkpoint, ${sum("insideStarts")} came while a process started`,
    );
    expect(sum("kills")).toBe(50);
    expect([...f1.differences, ...growing.differences, ...resnet.differences]).toEqual([]);
    expect(sum("survived")).toBe(50);
    expect(sum("insideWrites")).toBeGreaterThan(0);
  },
  limitMs(3_600_000),
);
