// A command killed with -9 takes its trainer with it, at any moment of the trainer's life.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { softwareNodePath } from "../../src/host/node/software-gpu.ts";
import { killCommands, processesWith } from "../support/orphans.ts";
import { BIN, start } from "../support/program.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-orphans-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

describe.skipIf(softwareNodePath() === null)("if a command starts a separate trainer", () => {
  test("20 commands killed: no trainer remains", async () => {
    const mark = "orphans-of-20-kills";
    const data = ["--dataset", "synthetic:1x28x28:10:550:100", "--width", "16", "--hidden", "2"];
    const words = ["train", ...data, "--epochs", "100000", "--runs-dir", runsDirectory, "--name", mark];
    const report = await killCommands({
      words: [BIN, ...words, "--resume", "--checkpoint-every", "20"],
      mark,
      count: 20,
      seed: 7,
      within: 8000,
      pauses: true,
    });
    console.log(
      `${report.orphans} of ${report.killed} trainers outlived their command; the longest took ${report.longest.toFixed(0)} ms to end`,
    );
    expect(report).toMatchObject({ killed: 20, orphans: 0 });
  }, 600_000);
});

test("a sweep killed with -9 takes its trainers with it", async () => {
  const grid = join(runsDirectory, "grid.yaml");
  writeFileSync(
    grid,
    "name: swept\nbase: {dataset: 'synthetic:1x7x7:4:150:40', width: 16, hidden: 2, epochs: 100000}\ngrid: {seed: [1, 2]}\n",
  );
  const sweep = start("node", [BIN, "sweep", grid, "--jobs", "2", "--runs-dir", runsDirectory]);
  const trainers = () => processesWith("swept-seed_");
  await expect.poll(() => trainers().length, { timeout: 60_000 }).toBeGreaterThanOrEqual(2);
  sweep.child.kill("SIGKILL");
  await expect.poll(trainers, { timeout: 5000 }).toEqual([]);
});
