import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { platform, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { temporaryFiles, writeFileAtomically } from "../../src/storage/atomic-file.ts";
import { fileError } from "../../src/storage/file-error.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";

const parent = mkdtempSync(join(tmpdir(), "ghostbatch-atomic-"));
afterAll(() => rmSync(parent, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(parent, "test-"));
});

/** Makes the next call of a method of any open file fail with the system error `code`. */
async function failing(method: "write" | "sync", code: string): Promise<void> {
  const handle = await open(folder, "r");
  await handle.close();
  const error = Object.assign(new Error(`${code}: told to`), { code });
  vi.spyOn(Object.getPrototypeOf(handle), method).mockRejectedValueOnce(error);
}

test("replaces the content of a file and leaves nothing else behind", async () => {
  const path = join(folder, "summary.json");
  writeFileSync(path, "old and longer than the new one");
  await writeFileAtomically(path, "new é");
  expect(readFileSync(path, "utf8")).toBe("new é");
  await writeFileAtomically(path, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
  expect([...readFileSync(path)]).toEqual([1, 2, 3]);
  expect(readdirSync(folder)).toEqual(["summary.json"]);
});

test("concurrent writes of one file leave one of them, complete", async () => {
  const path = join(folder, "last");
  const contents = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
  await Promise.all(contents.map((content) => writeFileAtomically(path, content)));
  expect(contents).toContain(readFileSync(path, "utf8"));
  expect(readdirSync(folder)).toEqual(["last"]);
});

test("leftovers of a process with the same id do not interfere", async () => {
  const path = join(folder, "best");
  for (let i = 0; i < 100; i++) writeFileSync(`${path}.${process.pid}-${i}.tmp`, "left");
  await writeFileAtomically(path, "new");
  expect(readFileSync(path, "utf8")).toBe("new");
  expect(await temporaryFiles(folder, "best")).toHaveLength(100);
});

test("a refused replacement leaves the old file and no temporary one", async () => {
  const path = join(folder, "summary.json");
  writeFileSync(path, "old");
  const refused = writeFileAtomically(path, "new", () => Promise.reject(new DataError("not now")));
  await expect(refused).rejects.toThrow("not now");
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(folder)).toEqual(["summary.json"]);
});

test.each([
  ["write", "ENOSPC", /cannot write: the disk is full: .* \(ENOSPC\)$/],
  ["sync", "EIO", /cannot write: the disk reported an input\/output error \(EIO\)$/],
  ["write", "EROFS", /cannot write: the file system is read-only/],
] as const)("a failing %s (%s) leaves the old file and no temporary one", async (method, code, message) => {
  const path = join(folder, "checkpoint");
  writeFileSync(path, "old");
  await failing(method, code);
  const result = writeFileAtomically(path, "new");
  await expect(result).rejects.toThrow(DataError);
  await expect(result).rejects.toThrow(message);
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(readdirSync(folder)).toEqual(["checkpoint"]);
});

test("the error for a missing folder names the file to be written", async () => {
  await expect(writeFileAtomically(join(folder, "missing", "file"), "x")).rejects.toThrow(
    /missing.file: cannot write: no such/,
  );
});

test.runIf(platform() === "linux")("a disk that is really full is recognized", () => {
  let thrown: unknown;
  try {
    writeSync(openSync("/dev/full", "w"), "x");
  } catch (error) {
    thrown = error;
  }
  expect(fileError(thrown, "write", "a").message).toBe(
    "a: cannot write: the disk is full: free some space or choose another folder (ENOSPC)",
  );
});

test("one of this project's errors is unchanged, an unknown one keeps its text", () => {
  const own = new UsageError("own");
  expect(fileError(own, "write", "a")).toBe(own);
  expect(fileError(new Error("two\nlines"), "write", "a").message).toBe("a: cannot write: two lines");
});
