// Runs that are taken over: what the old process can still do, and the leftovers of killed ones.

import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { thisProcess } from "../../src/storage/process-identity.ts";
import { isLocked } from "../../src/storage/run-lock.ts";
import { abandon, claimIn, environment, lockOf, resume, silence } from "../support/claimed-folders.ts";

const parent = mkdtempSync(join(tmpdir(), "ghostbatch-takeover-"));
afterAll(() => rmSync(parent, { recursive: true }));

let runsDirectory: string;
beforeEach(() => {
  runsDirectory = mkdtempSync(join(parent, "test-"));
});
const claim = (name: string) => claimIn(runsDirectory, name);

test("a process that was taken for dead adds no line to its successor's metrics", async () => {
  const old = await claim("run");
  old.append({ step: 1 });
  const { metricsPosition } = old;
  old.append({ step: 2, note: "lost" });
  abandon(old.path, { host: "elsewhere" });
  silence(lockOf(old.path));
  const next = await resume(old.path);
  await next.rewind(metricsPosition);
  // It does not know yet, and writes to files that are no longer in the folder.
  old.append({ step: 3, note: "lost" });
  next.append({ step: 2 });
  expect(readFileSync(next.file("metrics.csv"), "utf8")).toBe("step,loss,note\n1,,\n2,,\n");
  expect(readFileSync(next.file("metrics.jsonl"), "utf8").split("\n")).toHaveLength(3);
  await next.settle();
  await expect(old.rewind(null)).resolves.toBeUndefined(); // its own files, which no longer have a name
  await expect(old.write("weights.safetensors", "old")).rejects.toThrow(
    /another process has taken over this run/,
  );
  // From now on it knows.
  expect(() => old.append({ step: 4 })).toThrow(/another process has taken over this run/);
  await old.close();
  expect(readdirSync(next.path).filter((name) => name.startsWith("lock"))).toEqual(["lock-2.json"]);
  await next.finish({ accuracy: 1 });
  expect(readdirSync(next.path).sort()).toEqual([
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "metrics.jsonl",
    "summary.json",
  ]);
});

test("a process that was taken for dead finds out with its next sign of life", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    const old = await claim("run");
    abandon(old.path);
    const next = await resume(old.path);
    vi.advanceTimersByTime(30_000);
    await expect
      .poll(() => {
        try {
          return old.append({ step: 2 });
        } catch (error) {
          return (error as Error).message;
        }
      })
      .toMatch(/another process has taken over this run/);
    await next.close();
  } finally {
    vi.useRealTimers();
  }
});

test("a line from another writer is noticed before a file is replaced", async () => {
  const run = await claim("run");
  run.append({ step: 1 });
  appendFileSync(run.file("metrics.jsonl"), '{"step":2}\n');
  await expect(run.settle()).rejects.toThrow(
    /metrics\.jsonl: expected the \d+ bytes that this process has written, found \d+; another process is writing this file/,
  );
  await run.close();
});

test("a process of another boot or container counts as alive until it has been silent", async () => {
  const { path } = await claim("run");
  const { space } = thisProcess();
  for (const changed of [
    { pid: 2 ** 30, space: `${space}0` },
    { birth: "", space: null },
  ]) {
    abandon(path, changed);
    await expect(resume(path)).rejects.toThrow(/may still be using it; .* in 300 s/);
    expect(await isLocked(path)).toBe(true);
  }
  silence(lockOf(path));
  expect(await isLocked(path)).toBe(false);
  await (await resume(path)).close();
  expect(await isLocked(path)).toBe(false);
});

test("a run with a damaged record of its processes continues, with a warning", async () => {
  const run = await claim("run");
  await run.close();
  writeFileSync(run.file("environment.json"), '{"command": "gho');
  const lines: string[] = [];
  await (await resume(run.path, { report: (line) => lines.push(line) })).close();
  expect(lines).toEqual([
    expect.stringMatching(/^warning: .*environment\.json: damaged: expected JSON, .*starting a new file/),
  ]);
  expect(JSON.parse(readFileSync(run.file("environment.json"), "utf8"))).toMatchObject({
    resumed: [environment],
  });
});

test("leftovers of killed processes are removed", async () => {
  const uuid = "01234567-89ab-4cde-8f01-23456789abcd";
  const run = await claim("run");
  await run.close();
  const leave = (name: string) => writeFileSync(join(run.path, name), "");
  for (const name of [`weights.safetensors.${uuid}.tmp`, "summary.json.17-0.tmp", `metrics.csv.${uuid}.tmp`])
    leave(name);
  for (const name of [`lock-candidate.${uuid}.tmp`, "lock-1.json.tmp"]) {
    leave(name);
    silence(join(run.path, name));
  }
  // From a process that is requesting the lock right now.
  leave(`lock-candidate.${uuid.replace("0", "1")}.tmp`);
  const next = await resume(run.path);
  expect(readdirSync(run.path).filter((name) => name.endsWith(".tmp"))).toEqual([
    `lock-candidate.${uuid.replace("0", "1")}.tmp`,
  ]);
  // Unfinished folders: of a dead process, of a living one, and a new one without a lock.
  const lock = (changed: object) => JSON.stringify({ ...thisProcess(), ...changed });
  const staging = ["dead", "alive", "new"].map((name) => join(runsDirectory, `.${name}.${uuid}.tmp`));
  for (const path of staging) mkdirSync(path);
  writeFileSync(join(staging[0]!, "lock-1.json"), lock({ pid: 2 ** 30 }));
  writeFileSync(join(staging[1]!, "lock-1.json"), lock({}));
  const left = () => readdirSync(runsDirectory).filter((name) => name.startsWith("."));
  const other = await claim("other");
  expect(left()).toEqual([`.alive.${uuid}.tmp`, `.new.${uuid}.tmp`]);
  silence(staging[2]!);
  const third = await claim("third");
  expect(left()).toEqual([`.alive.${uuid}.tmp`]);
  for (const open of [next, other, third]) await open.close();
});
