// The cache of decoded images.

import { readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { flat, folderOf, GOOD, load, png } from "../support/class-folder.ts";
import { type Paint, pngBytes, writeFiles } from "../support/image-files.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

describe("the cache", () => {
  const cacheFile = (directory: string) =>
    join(directory, "images", readdirSync(join(directory, "images"))[0]!);
  /** Changes the contents of a file but not its size and times: only a cache can still hold the old image. */
  function changeUnseen(path: string, paint: Paint): void {
    const { size, atime, mtime } = statSync(path);
    const other = pngBytes(8, 8, paint);
    const content = Buffer.alloc(size);
    other.copy(content);
    expect(other.length).toBeLessThanOrEqual(size);
    writeFileSync(path, content);
    utimesSync(path, atime, mtime);
  }

  test("returns the same images without decoding, until the folder changes", async () => {
    const root = folderOf(GOOD);
    const image = join(root, "train/a/1.png");
    // Whole seconds, because utimes cannot restore finer times.
    utimesSync(image, 1e9, 1e9);
    const cacheDirectory = temporaryFolder();
    const first = await load(root, { cacheDirectory });
    changeUnseen(image, flat(9));
    const second = await load(root, { cacheDirectory });
    expect(second).toEqual(first);
    utimesSync(image, 1e9, 1e9 + 1);
    const third = await load(root, { cacheDirectory });
    expect(third.train.images[0]).toBe(9);
    writeFiles(root, { "train/a/2.png": png });
    expect((await load(root, { cacheDirectory })).train.count).toBe(3);
    // One file per folder and size, even after changes.
    expect(readdirSync(join(cacheDirectory, "images"))).toHaveLength(1);
  });

  test("is rebuilt if its file is truncated, changed or something else", async () => {
    const root = folderOf(GOOD);
    const cacheDirectory = temporaryFolder();
    const first = await load(root, { cacheDirectory });
    const path = cacheFile(cacheDirectory);
    const whole = readFileSync(path);
    const damages = [
      () => truncateSync(path, whole.length - 1),
      () => truncateSync(path, 0),
      () => writeFileSync(path, "{}"),
      () => {
        const bytes = Buffer.from(whole);
        bytes[bytes.length - 5]! ^= 1;
        writeFileSync(path, bytes);
      },
    ];
    for (const damage of damages) {
      damage();
      expect(await load(root, { cacheDirectory })).toEqual(first);
      expect(readFileSync(path).equals(whole)).toBe(true);
    }
  });

  test("can be written by several at the same time, and serves any division of the same images", async () => {
    const root = folderOf(
      Object.fromEntries(
        Array.from({ length: 12 }, (_, i) => [`${i % 2 ? "x" : "y"}/${i}.png`, pngBytes(8, 8, flat(i))]),
      ),
    );
    const cacheDirectory = temporaryFolder();
    const divided = { cacheDirectory, testFraction: 0.5 };
    const all = await Promise.all(Array.from({ length: 4 }, () => load(root, divided)));
    for (const one of all) expect(one).toEqual(all[0]);
    expect(readdirSync(join(cacheDirectory, "images"))).toHaveLength(1);
    const written = statSync(cacheFile(cacheDirectory)).mtimeMs;
    const other = await load(root, { ...divided, seed: 5 });
    expect(statSync(cacheFile(cacheDirectory)).mtimeMs).toBe(written);
    // The brightness of each sample identifies its class.
    for (const split of [other.train, other.test]) {
      for (let n = 0; n < split.count; n++) expect(split.labels[n]).toBe(split.images[n * 192]! % 2 ? 0 : 1);
    }
  });

  test("gives only a warning if it cannot be written", async () => {
    const taken = join(temporaryFolder(), "file");
    writeFileSync(taken, "");
    const warnings: string[] = [];
    const data = await load(folderOf(GOOD), {
      cacheDirectory: taken,
      onWarning: (text) => warnings.push(text),
    });
    expect(data.train.count).toBe(2);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/cannot cache the decoded images; the next start decodes them again: .*file/);
  });
});
