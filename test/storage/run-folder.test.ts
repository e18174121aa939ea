import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { isRunning, thisProcess } from "../../src/storage/process-identity.ts";
import { readSummary } from "../../src/storage/run-folder.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { abandon, claimIn, environment, lockOf, resume, silence } from "../support/claimed-folders.ts";

const parent = mkdtempSync(join(tmpdir(), "ghostbatch-runs-"));
afterAll(() => rmSync(parent, { recursive: true }));

let runsDirectory: string;
beforeEach(() => {
  runsDirectory = join(mkdtempSync(join(parent, "test-")), "deep", "runs");
});

const claim = (name: string) => claimIn(runsDirectory, name);

test("a run leaves its configuration, environment, metrics and summary", async () => {
  const run = await claim("first");
  expect(run.path).toBe(join(runsDirectory, "first"));
  expect(await readSummary(run.path)).toBeNull();
  run.append({ step: 1, loss: 2.5, note: 'a "b", c' });
  run.append({ step: 2, loss: Number.NaN });
  // Other processes see a line as soon as it is appended.
  expect(readFileSync(run.file("metrics.csv"), "utf8")).toBe('step,loss,note\n1,2.5,"a ""b"", c"\n2,NaN,\n');
  run.append({ step: 3, note: null, loss: Number.NEGATIVE_INFINITY });
  const lines = readFileSync(run.file("metrics.jsonl"), "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { step: 1, loss: 2.5, note: 'a "b", c' },
    { step: 2, loss: "NaN", note: null },
    { step: 3, loss: "-Infinity", note: null },
  ]);
  await run.finish({ accuracy: 97.5 });
  expect(await readSummary(run.path)).toEqual({ accuracy: 97.5 });
  const configuration = readFileSync(run.file("config.yaml"), "utf8");
  expect(parse(configuration)).toEqual({ rates: [0.1, 0.01], again: [0.1, 0.01] });
  expect(configuration).not.toContain("&");
  const stored = JSON.parse(readFileSync(run.file("environment.json"), "utf8"));
  expect(stored).toMatchObject({ ...environment, process: thisProcess() });
  expect(readdirSync(run.path).sort()).toEqual([
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "metrics.jsonl",
    "summary.json",
  ]);
  expect(readdirSync(runsDirectory)).toEqual(["first"]);
});

test("a column that was not declared is an error, and no line is written", async () => {
  const run = await claim("columns");
  expect(() => run.append({ step: 1, accuracy: 1 } as never)).toThrow(
    /column accuracy was not declared; the columns are step, loss, note/,
  );
  expect(readFileSync(run.file("metrics.jsonl"), "utf8")).toBe("");
  await run.close();
});

describe("claiming", () => {
  test("of many claims of one name exactly one succeeds, and the others leave no trace", async () => {
    const claims = await Promise.allSettled(Array.from({ length: 20 }, () => claim("same")));
    const won = claims.filter(({ status }) => status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const outcome of claims) {
      if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(UsageError);
    }
    expect(readdirSync(runsDirectory)).toEqual(["same"]);
    await expect(claim("same")).rejects.toThrow(/run folder .*same already exists: choose another --name/);
  });

  test.each(["", ".", "..", "a/b", "a\\b", ".hidden", "a\n", "../up", "x".repeat(101)])(
    "the name %j is refused",
    async (name) => {
      await expect(claim(name)).rejects.toThrow(UsageError);
      expect(existsSync(runsDirectory)).toBe(false);
    },
  );

  test("a folder that cannot be created is a DataError, and nothing is left behind", async () => {
    mkdirSync(join(runsDirectory, ".."), { recursive: true });
    writeFileSync(runsDirectory, "a file");
    await expect(claim("run")).rejects.toThrow(DataError);
    await expect(claim("run")).rejects.toThrow(/runs: expected a folder, found a file/);
    expect(readFileSync(runsDirectory, "utf8")).toBe("a file");
  });
});

describe("resuming an unfinished run", () => {
  test("keeps its metrics up to a position, and its record of processes", async () => {
    const old = await claim("run");
    old.append({ step: 1 });
    const { metricsPosition } = old;
    old.append({ step: 2 });
    await old.close();
    const run = await resume(old.path);
    await run.rewind(metricsPosition);
    run.append({ step: 2, note: "again" });
    expect(readFileSync(run.file("metrics.csv"), "utf8")).toBe("step,loss,note\n1,,\n2,,again\n");
    const record = JSON.parse(readFileSync(run.file("environment.json"), "utf8"));
    expect(record).toMatchObject({ ...environment, process: thisProcess(), resumed: [environment] });
    await run.finish({ accuracy: 1 });
    await run.close();
    expect(readdirSync(run.path).filter((name) => name.startsWith("lock"))).toEqual([]);
    await expect(resume(run.path)).rejects.toThrow(/the run has finished/);
  });

  test("is refused while its process runs, here or perhaps elsewhere", async () => {
    const { path } = await claim("run");
    await expect(resume(path)).rejects.toThrow(UsageError);
    await expect(resume(path)).rejects.toThrow(/run: in use by process \d+ on .*; wait for it to finish/);
    abandon(path, { host: "elsewhere" });
    await expect(resume(path)).rejects.toThrow(
      /on elsewhere may still be using it; .* in 300 s, or at once if you delete .*lock-1/,
    );
    // Ten signs of life missed.
    silence(lockOf(path));
    const run = await resume(path);
    // The id of a dead process, now used by another one.
    abandon(path, { birth: "another boot" });
    const next = await resume(path);
    // The process that was taken for dead notices before it replaces a file.
    await expect(run.settle()).rejects.toThrow(/another process has taken over this run/);
    await expect(run.finish({})).rejects.toThrow(DataError);
    expect(await readSummary(path)).toBeNull();
    await next.settle();
    await next.close();
  });

  test("of many attempts one succeeds, round after round", async () => {
    const { path } = await claim("run");
    for (let round = 0; round < 5; round++) {
      abandon(path);
      const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => resume(path)));
      const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      expect(won).toHaveLength(1);
      await won[0]!.settle();
      expect(readdirSync(path).filter((name) => name.includes("lock"))).toHaveLength(1);
    }
  });

  test("a folder that is not a run's is not touched", async () => {
    mkdirSync(join(runsDirectory, "photos"), { recursive: true });
    writeFileSync(join(runsDirectory, "photos", "holiday"), "");
    await expect(resume(join(runsDirectory, "photos"))).rejects.toThrow(
      /metrics\.jsonl: cannot open: no such file/,
    );
    await expect(resume(join(runsDirectory, "nothing"))).rejects.toThrow(DataError);
    const { path } = await claim("run");
    abandon(path);
    await expect(resume(path, { columns: ["step"] })).rejects.toThrow(
      /metrics\.csv: expected the columns step/,
    );
  });
});

test("a process is identified by more than its id", async () => {
  expect(isRunning(thisProcess())).toBe(true);
  expect(isRunning({ ...thisProcess(), host: "elsewhere" })).toBe("unknown");
  const child = spawn(process.execPath, ["-e", ""]);
  const pid = child.pid as number;
  await new Promise((resolve) => child.on("exit", resolve));
  expect(isRunning({ ...thisProcess(), pid })).toBe(false);
});

test("a damaged summary is an error that names the file", async () => {
  const run = await claim("run");
  await run.close();
  writeFileSync(run.file("summary.json"), '{"accuracy": 9');
  await expect(readSummary(run.path)).rejects.toThrow(DataError);
  await expect(readSummary(run.path)).rejects.toThrow(/summary\.json: damaged: expected JSON/);
});
