import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { CheckpointFolder, type StoredCheckpoint } from "../../src/storage/checkpoint-file.ts";
import { DataError } from "../../src/support/errors.ts";

const parent = mkdtempSync(join(tmpdir(), "ghostbatch-checkpoints-"));
afterAll(() => rmSync(parent, { recursive: true }));

let run: string;
let files: CheckpointFolder;
let lines: string[];
beforeEach(() => {
  run = mkdtempSync(join(parent, "run-"));
  files = new CheckpointFolder(run);
  lines = [];
});

/** Suffix of a temporary file, as a killed process leaves it. */
const SUFFIX = "01234567-89ab-4cde-8f01-23456789abcd.tmp";

const data = Float32Array.from({ length: 1000 }, (_, i) => Math.fround(Math.sin(i)));
const write = (step: number, kind: "last" | "best" = "last") =>
  files.write({ kind, step }, [["values", { shape: [1000], data }]], { step, note: "é", nothing: null });
const names = () => readdirSync(files.path).sort();
const newest = (accept = (checkpoint: StoredCheckpoint) => checkpoint) =>
  files.newestWhole(accept, { report: (line) => lines.push(line) });

test("checkpoints are read back, newest first", async () => {
  expect(await newest()).toBeNull();
  for (const step of [5, 10, 9]) await write(step);
  expect(await files.list("last")).toEqual([10, 9, 5].map((step) => ({ kind: "last", step })));
  const found = (await newest())!;
  expect(found.step).toBe(10);
  expect(found.content).toEqual({ step: 10, note: "é", nothing: null });
  expect(found.tensors.get("values")!.data).toEqual(data);
  await files.prune([{ kind: "last", step: 9 }]);
  expect(names()).toEqual(["last-9.json", "last-9.safetensors"]);
});

test.each([
  ["a byte of the tensors", "last-7.safetensors", (path: string) => flip(path, 2000)],
  ["a byte of the header", "last-7.safetensors", (path: string) => flip(path, 12)],
  ["the end of the tensors", "last-7.safetensors", (path: string) => truncateSync(path, 3000)],
  ["the tensors", "last-7.safetensors", (path: string) => rmSync(path)],
  [
    "a digit of the JSON",
    "last-7.json",
    (path: string) => writeFileSync(path, readFileSync(path, "utf8").replace('"step": 7', '"step": 8')),
  ],
  ["the end of the JSON", "last-7.json", (path: string) => truncateSync(path, 40)],
  ["all of the JSON", "last-7.json", (path: string) => truncateSync(path, 0)],
  ["the JSON", "last-7.json", (path: string) => rmSync(path)],
  [
    "a regular file as JSON",
    "last-7.json",
    (path: string) => {
      rmSync(path);
      mkdirSync(path);
    },
  ],
])("without %s, the previous checkpoint is used, with a message", async (_, name, damage) => {
  await write(5);
  await write(7);
  damage(join(files.path, name));
  expect((await newest())!.step).toBe(5);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(
    new RegExp(`${name.replace(".", "\\.")}: .*; using the checkpoint before it, of step 5$`),
  );
});

test("with none left, an error names the files", async () => {
  for (const step of [3, 4]) await write(step);
  for (const step of [3, 4]) flip(join(files.path, `last-${step}.safetensors`), 900);
  await expect(newest()).rejects.toThrow(DataError);
  await expect(newest()).rejects.toThrow(
    /no usable checkpoint: .*last-4\.safetensors: damaged.*; .*last-3\.safetensors: damaged.*; restore the files/,
  );
  // Tensors without JSON cannot come from a killed process.
  for (const step of [3, 4]) rmSync(join(files.path, `last-${step}.json`));
  await expect(newest()).rejects.toThrow(
    /no usable checkpoint: .*last-4\.json: cannot read: no such file.*; .*last-3\.json: /,
  );
});

test("a first checkpoint that was interrupted before its files had their names does not exist", async () => {
  await write(3);
  rmSync(join(files.path, "last-3.json"));
  renameSync(join(files.path, "last-3.safetensors"), join(files.path, `last-3.safetensors.${SUFFIX}`));
  await files.completeInterrupted();
  expect(await newest()).toBeNull();
});

test("a checkpoint interrupted between its two renames is completed, with its own tensors only", async () => {
  await write(3);
  const tensors = join(files.path, "last-3.safetensors");
  renameSync(tensors, `${tensors}.${SUFFIX}`);
  writeFileSync(`${tensors}.${SUFFIX.replace("0", "1")}`, "of another attempt");
  await expect(newest()).rejects.toThrow(/last-3\.safetensors: cannot read: no such file/);
  await files.completeInterrupted();
  expect((await newest())!.step).toBe(3);
  await files.sweep();
  expect(names()).toEqual(["last-3.json", "last-3.safetensors"]);
});

test("a refused checkpoint leaves the existing files", async () => {
  await write(5);
  const before = names();
  const tensors = [["values", { shape: [1000], data }]] as const;
  const refused = files.write({ kind: "last", step: 6 }, tensors, {}, () =>
    Promise.reject(new DataError("lost")),
  );
  await expect(refused).rejects.toThrow("lost");
  expect(names()).toEqual(before);
});

test("a checkpoint that the caller refuses counts as damaged; a programming error does not", async () => {
  for (const step of [3, 4]) await write(step);
  const refusing = (checkpoint: StoredCheckpoint) => {
    if (checkpoint.step === 4) throw new DataError("not this one");
    return checkpoint;
  };
  expect((await newest(refusing))!.step).toBe(3);
  await expect(newest(() => Reflect.get(null as never, "x"))).rejects.toThrow(TypeError);
});

test("leftovers of a killed process are removed; complete checkpoints and other files are not", async () => {
  await write(5);
  await write(5, "best");
  for (const name of [`last-7.safetensors.${SUFFIX}`, "best-7.json.12-4.tmp", "notes.txt", "last-7.tmp"]) {
    writeFileSync(join(files.path, name), "half");
  }
  await files.sweep();
  expect(names()).toEqual([
    "best-5.json",
    "best-5.safetensors",
    "last-5.json",
    "last-5.safetensors",
    "last-7.tmp",
    "notes.txt",
  ]);
});

// Three writes (header, values, JSON) and four syncs (both files, and the folder after each rename).
test.each([
  ["write", 1],
  ["write", 2],
  ["write", 3],
  ["sync", 1],
  ["sync", 2],
  ["sync", 3],
  ["sync", 4],
] as const)("a disk that is full at %s %i leaves the old checkpoint", async (method, failing) => {
  await write(5);
  const before = names();
  const handle = await open(run, "r");
  await handle.close();
  const prototype = Object.getPrototypeOf(handle);
  const original = prototype[method];
  let calls = 0;
  vi.spyOn(prototype, method).mockImplementation(function (this: unknown, ...given: unknown[]) {
    if (++calls < failing) return original.apply(this, given);
    return Promise.reject(Object.assign(new Error("ENOSPC: told to"), { code: "ENOSPC" }));
  });
  await expect(write(6)).rejects.toThrow(/last-6\.(safetensors|json): cannot write: the disk is full/);
  vi.restoreAllMocks();
  expect(names().filter((name) => name.endsWith(".tmp"))).toEqual([]);
  expect((await newest())!.step).toBe(5);
  await files.sweep();
  expect(names()).toEqual(before);
});

test("a folder that cannot be created is an error that names it", async () => {
  writeFileSync(join(run, "checkpoints"), "a file");
  await expect(write(1)).rejects.toThrow(/checkpoints: expected a folder, found a file/);
  rmSync(join(run, "checkpoints"));
  mkdirSync(join(run, "checkpoints"));
  await write(1);
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(path, bytes);
}
