import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { makeFolder } from "../../src/storage/folder.ts";

const disk = vi.hoisted(() => ({ readOnly: false }));

// Like Linux and Node: a folder inside a missing one gives ENOENT, and so does the recursive call for whatever it may not create.
vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  const { existsSync } = await import("node:fs");
  const { dirname } = await import("node:path");
  const mkdir = async (path: string, options?: { recursive?: boolean }) => {
    if (!disk.readOnly || existsSync(path)) return real.mkdir(path, options);
    const code = options?.recursive || !existsSync(dirname(path)) ? "ENOENT" : "EROFS";
    throw Object.assign(new Error(code), { code });
  };
  return { ...real, mkdir };
});

const root = mkdtempSync(join(tmpdir(), "ghostbatch-folder-"));
afterAll(() => rmSync(root, { recursive: true }));

test("a folder and its parents are created, and an existing one stays", async () => {
  const path = join(root, "a", "b", "c");
  for (let i = 0; i < 2; i++) await makeFolder(path);
  expect(statSync(path).isDirectory()).toBe(true);
  writeFileSync(join(root, "file"), "");
  await expect(makeFolder(join(root, "file"))).rejects.toThrow("file: expected a folder, found a file");
  await expect(makeFolder(join(root, "file", "inside"))).rejects.toThrow(
    /inside: cannot create the folder: part of the path is a file/,
  );
  symlinkSync(join(root, "nothing"), join(root, "link"));
  await expect(makeFolder(join(root, "link"))).rejects.toThrow(/link: .*a broken link/);
});

test("it fails if no folder can be created", async ({ skip }) => {
  if (process.platform !== "linux") skip("there is no /proc");
  await expect(makeFolder("/proc/none/inside")).rejects.toThrow(/cannot create the folder.*ENOENT/);
});

test("a read-only file system is reported as such", async () => {
  disk.readOnly = true;
  await expect(makeFolder(join(root, "x", "y"))).rejects.toThrow(/read-only/);
});

test("no other code creates folders", () => {
  const source = join(import.meta.dirname, "../../src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  const making = files.filter((name) => /\bmkdir(Sync)?\(/.test(readFileSync(join(source, name), "utf8")));
  // A run's own folder is created in one step, in an existing folder.
  expect(making.sort()).toEqual(["storage/folder.ts", "storage/run-folder.ts"]);
});
