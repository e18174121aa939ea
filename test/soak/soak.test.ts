// Half an hour of training with a checkpoint every few seconds, while another process reads its metrics: memory and open files
// stay flat after the first minute. GHOSTBATCH_SOAK_MINUTES sets the duration.
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { limitMs } from "../support/limits.ts";
import { startProgram } from "../support/program.ts";

const MINUTES = Number(process.env.GHOSTBATCH_SOAK_MINUTES ?? 30);
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-soak-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CONFIGURATION = `
dataset: synthetic:1x28x28:10:4000:500
width: 128
hidden: 3
batchSize: 250
ghostSize: 25
evaluateEvery: 20
epochs: 10000000
`;

interface Sample {
  readonly seconds: number;
  readonly residentBytes: number;
  readonly files: number;
  readonly checkpoints: number;
}

test(
  `${MINUTES} minutes: memory and open files stay flat`,
  async ({ skip }) => {
    if (platform() !== "linux") skip("memory and open files are read from /proc, which only Linux has");
    const config = join(folder, "config.yaml");
    writeFileSync(config, CONFIGURATION);
    const words = [
      "train",
      "--config",
      config,
      "--runs-dir",
      folder,
      "--name",
      "soak",
      "--checkpoint-every",
      "3s",
    ];
    // Prints a line for every buffer created on the GPU.
    const { child, ended } = startProgram(words, { env: { DEBUG: "allocations" } });
    let allocations: { seconds: number; line: string }[] = [];
    const begin = Date.now();
    const seconds = () => (Date.now() - begin) / 1000;
    child.stderr!.on("data", (text: string) => {
      allocations.push(
        ...text
          .split("\n")
          .filter((line) => line.startsWith("allocate "))
          .map((line) => ({ seconds: seconds(), line })),
      );
      // Only the last ones matter.
      allocations = allocations.slice(-100);
    });

    const samples: Sample[] = [];
    const seen = new Set<string>();
    const reader = readLines(join(folder, "soak", "metrics.jsonl"));
    let lines = 0;
    while (seconds() < 60 * MINUTES && child.exitCode === null) {
      await sleep(500);
      lines += reader();
      const checkpoints = join(folder, "soak", "checkpoints");
      if (!statSync(checkpoints, { throwIfNoEntry: false })) continue;
      for (const name of readdirSync(checkpoints)) if (/^last-\d+\.json$/.test(name)) seen.add(name);
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      const residentBytes = 1024 * Number(status.match(/^VmRSS:\s+(\d+) kB$/m)![1]);
      samples.push({
        seconds: seconds(),
        residentBytes,
        files: readdirSync(`/proc/${child.pid}/fd`).length,
        checkpoints: seen.size,
      });
    }
    child.kill("SIGTERM");
    expect((await ended).code).toBe(143);

    const last = samples.at(-1)!;
    // The minimum over a window: what remains after garbage collection.
    const window = Math.min(300, (60 * MINUTES - 60) / 3);
    const early = samples.filter((sample) => sample.seconds >= 60 && sample.seconds < 60 + window);
    const late = samples.filter((sample) => sample.seconds >= last.seconds - window);
    const floor = (of: Sample[], key: "residentBytes" | "files") =>
      Math.min(...of.map((sample) => sample[key]));
    const growth = floor(late, "residentBytes") / floor(early, "residentBytes") - 1;
    const made = allocations.filter((allocation) => allocation.seconds > 60);
    expect(allocations).not.toEqual([]); // the lines are seen at all
    console.log(
      `${MINUTES} minutes, ${last.checkpoints} checkpoints seen, ${lines} lines of metrics read: resident ${(floor(early, "residentBytes") / 2 ** 20).toFixed(1)} MiB after a minute, ${(100 * growth).toFixed(2)} % more at the end; ${floor(early, "files")} and ${floor(late, "files")} open files; ${made.length} GPU buffers made after the first minute`,
    );
    expect(last.checkpoints).toBeGreaterThan(5 * MINUTES);
    expect(lines).toBeGreaterThan(100);
    expect(growth).toBeLessThan(0.01);
    expect(floor(late, "files")).toBeLessThanOrEqual(floor(early, "files"));
    expect(made).toEqual([]);
  },
  60_000 * MINUTES + limitMs(300_000),
);

/** Reads a growing file like `tail -f`. Each call returns the number of new whole lines. */
function readLines(path: string): () => number {
  let file: number | null = null;
  let rest = "";
  const buffer = new Uint8Array(65536);
  return () => {
    if (!statSync(path, { throwIfNoEntry: false })) return 0;
    file ??= openSync(path, "r");
    let count = 0;
    for (let bytes = readSync(file, buffer); bytes > 0; bytes = readSync(file, buffer)) {
      const lines = (rest + new TextDecoder().decode(buffer.subarray(0, bytes))).split("\n");
      rest = lines.pop()!;
      for (const line of lines) JSON.parse(line); // every line is whole
      count += lines.length;
    }
    return count;
  };
}
