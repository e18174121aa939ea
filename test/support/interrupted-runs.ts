// Runs of the command line in separate processes, to be interrupted. Each writes a checkpoint every 40 steps.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll } from "vitest";
import { ghostbatch } from "./command-line.ts";
import { outcome, requireDone } from "./kills.ts";
import { type Program, startProgram } from "./program.ts";

/** 1200 steps: long enough to be interrupted in the middle. */
export const CONFIGURATION = `
dataset: synthetic:1x7x7:4:150:40
width: 16
hidden: 2
batchSize: 50
ghostSize: 10
evaluateEvery: 9
epochs: 100000
maxSteps: 1200
`;

/** The runs of one test file, in a folder that is removed after its tests. */
export class InterruptedRuns {
  readonly directory = mkdtempSync(join(tmpdir(), "ghostbatch-interrupted-"));
  readonly config = join(this.directory, "config.yaml");
  /** Words of the command line that all runs have. */
  readonly words = ["--config", this.config, "--runs-dir", this.directory];
  /** Outcome of an undisturbed run. */
  expected = "";

  constructor() {
    beforeAll(async () => {
      writeFileSync(this.config, CONFIGURATION);
      requireDone(await ghostbatch(["train", ...this.words, "--name", "undisturbed"]));
      this.expected = outcome(this.folderOf("undisturbed"));
    });
    afterAll(() => rmSync(this.directory, { recursive: true }));
  }

  folderOf(name: string): string {
    return join(this.directory, name);
  }

  /** Complete checkpoints: the tensors are renamed last. */
  lastCheckpoints(name: string): string[] {
    const folder = join(this.folderOf(name), "checkpoints");
    return existsSync(folder)
      ? readdirSync(folder).filter((file) => /^last-\d+\.safetensors$/.test(file))
      : [];
  }

  /** Starts a run in a separate process; resolves when it has written this many checkpoints. */
  async start(name: string, checkpoints = 1, more: readonly string[] = []): Promise<Program> {
    const options = ["--name", name, "--checkpoint-every", "40", ...more];
    const program = startProgram(["train", ...this.words, ...options]);
    while (this.lastCheckpoints(name).length < checkpoints && program.child.exitCode === null) await sleep(5);
    return program;
  }
}
