import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readConfig } from "../../src/run/config-file.ts";
import { summaryOf } from "../../src/run/resume.ts";
import { readRun } from "../../src/storage/read-run.ts";
import { readTextFile, readTextFileIfAny } from "../../src/storage/text-file.ts";
import { DataError } from "../../src/support/errors.ts";
import { makeRun } from "../support/made-run.ts";

const root = mkdtempSync(join(tmpdir(), "ghostbatch-text-"));
afterAll(() => rmSync(root, { recursive: true }));

test("anything but a file, and a file that is too large, is an error before it is read", () => {
  mkdirSync(join(root, "folder"));
  execFileSync("mkfifo", [join(root, "pipe")]);
  writeFileSync(join(root, "large"), "");
  truncateSync(join(root, "large"), 2 ** 40);
  for (const [name, message] of [
    ["folder", /folder: expected a file, found a folder/],
    ["pipe", /pipe: expected a file, found a pipe/],
    ["large", /large: expected at most 256 MiB, found 1\.00 TiB/],
    ["missing", /missing: cannot read: no such file/],
  ] as const) {
    expect(() => readTextFile(join(root, name))).toThrow(DataError);
    expect(() => readTextFile(join(root, name))).toThrow(message);
  }
  expect(() => readTextFile("/dev/zero")).toThrow(/found a device/);
  expect(() => readTextFile("/dev/zero", { orPipe: true, most: 1000 })).toThrow(/at most 1000 B, found more/);
  expect(readTextFileIfAny(join(root, "missing"))).toBeNull();
  expect(readTextFileIfAny(join(root, "large", "below"))).toBeNull();
});

test("a configuration of a megabyte is refused before it is parsed", () => {
  const path = join(root, "large.yaml");
  writeFileSync(path, `dataset: mnist\n${"# a comment\n".repeat(100_000)}`);
  expect(() => readConfig(path)).toThrow(/large\.yaml: expected at most 256 KiB, found 1\.14 MiB/);
});

test("a summary that is a pipe, and metrics without a step, are errors", async () => {
  const piped = makeRun(root, { name: "piped", finished: false });
  execFileSync("mkfifo", [join(piped, "summary.json")]);
  await expect(readRun(piped)).rejects.toThrow(/summary\.json: expected a file, found a pipe/);
  await expect(summaryOf(piped)).rejects.toThrow(/found a pipe/);
  const stepless = makeRun(root, { name: "stepless" });
  writeFileSync(join(stepless, "metrics.jsonl"), '{"kind":"train","loss":1}\n{"kind":"train","step":2}\n');
  await expect(readRun(stepless)).rejects.toThrow(
    /metrics\.jsonl: line 1 is damaged: expected JSON with a step/,
  );
});
